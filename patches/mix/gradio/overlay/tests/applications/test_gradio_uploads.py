# Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Uploads that lie: about their size, their type, their place."""

import io
import os
import stat
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "applications", "gradio"))

from demo import uploads  # noqa: E402
from demo.uploads import Limits, Upload  # noqa: E402
from demo.words import Refused  # noqa: E402

LIMITS = Limits(megapixels=1.0, file_mb=4, files=5, unpacked_mb=8, ratio=100, prompt=1000)


def png(width=8, height=6):
    sink = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(sink, "PNG")
    return sink.getvalue()


def archive(path, entries):
    """A zip; an entry's name is a text or a ZipInfo."""
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as sink:
        for name, content in entries:
            sink.writestr(name, content)
    return str(path)


def refused(call, *args, **options):
    with pytest.raises(Refused) as caught:
        call(*args, **options)
    for language in ("zh", "en"):
        assert "{" not in caught.value.text(language)
    return caught.value


def test_prompts():
    assert uploads.check_prompt("  a dog ", LIMITS) == "a dog"
    assert uploads.check_prompt("", LIMITS, required=False) == ""
    assert refused(uploads.check_prompt, " \n", LIMITS).key == "no_prompt"
    long = refused(uploads.check_prompt, "a" * 10000, LIMITS)
    assert "10000" in long.text("en") and "1000" in long.text("zh")
    assert uploads.check_prompt("a" * 1000, LIMITS)


@pytest.mark.parametrize("value", [None, "many", float("nan"), float("inf"), 0, 201, 1e300])
def test_numbers_out_of_range(value):
    assert refused(uploads.check_number, "steps", value, 1, 200).key == "bad_number"


def test_numbers_in_range():
    assert uploads.check_number("steps", "7", 1, 200) == 7
    assert uploads.check_number("strength", 0.5, 0, 1, float) == 0.5


@pytest.mark.parametrize(
    ("name", "content", "key"),
    [
        ("empty.png", b"", "empty_file"),
        ("text.png", b"this is no image, whatever its name says", "not_an_image"),
        ("page.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
        ("broken.png", png()[:20], "not_an_image"),
        ("short.jpg", None, "cut_short"),
        ("large.png", png(1001, 1000), "too_many_pixels"),
        ("heavy.bmp", b"BM" + bytes(5 << 20), "big_file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_images_that_are_refused(tmp_path, name, content, key):
    if content is None:
        sink = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)).save(sink, "JPEG")
        content = sink.getvalue()[:2000]
    path = tmp_path / name
    path.write_bytes(content)
    problem = refused(uploads.read_image, Upload(name, str(path)), LIMITS)
    assert problem.key == key
    assert name in problem.text("zh")


def test_forty_megapixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = tmp_path / "forty.png"
    Image.new("1", (8000, 5000)).save(str(path))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    problem = refused(uploads.read_image, Upload("forty.png", str(path)), Limits())
    assert problem.text("en") == "forty.png has 40.0 megapixels, at most 36.0 are taken: make it smaller"


def test_a_bomb_of_pixels_is_refused(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (30000, 20000)).save(str(path))
    assert refused(uploads.read_image, Upload("bomb.png", str(path)), Limits()).key == "too_many_pixels"


def test_images_are_turned_and_made_rgb(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    for mode, suffix in (("L", "jpg"), ("RGB", "jpg"), ("RGBA", "png"), ("P", "png"), ("LA", "png")):
        path = str(tmp_path / ("a." + suffix))
        Image.new(mode, (10, 4)).save(path, exif=exif)
        image = uploads.read_image(Upload("a", path), LIMITS)
        assert (image.mode, image.size) == ("RGB", (4, 10))
        assert uploads.is_turned(path)


def test_what_is_transparent_shows_white(tmp_path):
    path = str(tmp_path / "a.png")
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(path)
    assert uploads.read_image(Upload("a", path), LIMITS).getpixel((1, 1)) == (255, 255, 255)
    Image.new("RGBA", (4, 4), (255, 0, 0, 255)).save(path)
    assert uploads.read_image(Upload("a", path), LIMITS).getpixel((1, 1)) == (255, 0, 0)
    image = Image.new("P", (4, 4), 0)
    image.putpalette([9, 9, 9, 200, 0, 0])
    image.save(path, transparency=0)
    assert uploads.read_image(Upload("a", path), LIMITS).getpixel((1, 1)) == (255, 255, 255)


def test_sixteen_bits_keep_their_contrast(tmp_path):
    grey = np.linspace(0, 65535, 256).reshape(16, 16).astype("uint16")
    for name in ("a.png", "a.tif"):
        path = str(tmp_path / name)
        Image.fromarray(grey).save(path)
        found = np.asarray(uploads.read_image(Upload("a", path), LIMITS))[..., 0].astype(int)
        assert abs(found - grey // 257).max() <= 1
        Image.fromarray(np.full((16, 16), 200, "uint16")).save(path)  # all but black
        assert np.asarray(uploads.read_image(Upload("a", path), LIMITS)).max() <= 1
    Image.fromarray((grey // 257).astype("int32")).save(path)  # 8 bits in 32
    found = np.asarray(uploads.read_image(Upload("a", path), LIMITS))[..., 0].astype(int)
    assert abs(found - grey // 257).max() <= 1


def test_the_users_name_is_the_users(tmp_path):
    """gradio's path lacks letters; what its user called it is what counts."""
    (tmp_path / "what.png").write_bytes(png())
    found, _ = uploads.gather([(str(tmp_path / "what.png"), "what?.png")], str(tmp_path / "unpacked"), LIMITS)
    assert [(upload.name, os.path.basename(upload.path)) for upload in found] == [("what?.png", "what.png")]


def gathered(tmp_path, *paths):
    return uploads.gather(
        [(str(path), os.path.basename(str(path))) for path in paths], str(tmp_path / "unpacked"), LIMITS
    )


def test_files_of_many_kinds(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    for name in ("one/a.png", "two/a.png", "two/a.JPG"):
        (tmp_path / name).write_bytes(png())
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "none.png").write_bytes(b"")
    packed = archive(
        tmp_path / "b.zip", [("in/a.png", png()), ("in/readme.md", "x"), ("__MACOSX/in/._a.png", "x"), ("in/", "")]
    )
    paths = ["one/a.png", "two/a.png", "two/a.JPG", "notes.txt", "none.png"]
    found, left_out = gathered(tmp_path, *[tmp_path / name for name in paths], packed)
    # no two stems are equal: each gets a JSON file of its own
    assert [upload.name for upload in found] == ["a.png", "a_2.png", "a_3.JPG", "in/a.png"]
    assert [(name, why.key) for name, why in left_out] == [
        ("notes.txt", "not_an_image"),
        ("none.png", "empty_file"),
        ("in/readme.md", "not_an_image"),
    ]
    assert all(os.path.getsize(upload.path) for upload in found)


def test_nothing_to_take(tmp_path):
    assert refused(gathered, tmp_path).key == "no_files"
    (tmp_path / "notes.txt").write_text("notes")
    assert refused(gathered, tmp_path, tmp_path / "notes.txt").key == "not_an_image"
    assert refused(gathered, tmp_path, tmp_path / "notes.txt", tmp_path / "notes.txt").key == "no_images"
    for number in range(6):
        (tmp_path / ("%d.png" % number)).write_bytes(png())
    assert refused(gathered, tmp_path, *sorted(tmp_path.glob("*.png"))).key == "many_files"


def link(name, target="/etc/passwd", kind=stat.S_IFLNK):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (kind | 0o777) << 16
    return entry, target


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        (("../out.png", png()), "zip_path"),
        (("a/../../out.png", png()), "zip_path"),
        (("/tmp/out.png", png()), "zip_path"),
        (("C:\\out.png", png()), "zip_path"),
        (("a\\..\\..\\out.png", png()), "zip_path"),
        (link("a.png"), "zip_link"),
        (link("pipe.png", "", stat.S_IFIFO), "zip_link"),
        (("A.PNG", png()), "zip_twice"),
        (("zeros.png", bytes(3 << 20)), "zip_bomb"),
        (("large.png", os.urandom(5 << 20)), "zip_bomb"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unsafe_zips(tmp_path, entry, key):
    packed = archive(tmp_path / "bad.zip", [("a.png" if key == "zip_twice" else "good.png", png()), entry])
    problem = refused(gathered, tmp_path, packed)
    assert problem.key == key and "bad.zip" in problem.text("en")
    left = [path for path in tmp_path.rglob("*") if path.name not in ("bad.zip", "unpacked")]
    assert all((tmp_path / "unpacked") in path.parents for path in left)


def test_a_zip_of_many_bombs_and_one_of_many_files(tmp_path):
    packed = archive(tmp_path / "many.zip", [("%d.png" % number, os.urandom(3 << 20)) for number in range(3)])
    assert refused(gathered, tmp_path, packed).key == "zip_bomb"
    packed = archive(tmp_path / "files.zip", [("%d.png" % number, "") for number in range(21)])
    assert refused(gathered, tmp_path, packed).key == "many_files"


def test_a_zip_that_lies_about_a_size(tmp_path):
    """The declared size is 10 bytes; zipfile stops there or finds a wrong checksum, and no more is written."""
    path = archive(tmp_path / "lie.zip", [("zeros.png", bytes(3 << 20))])
    with open(path, "rb") as stream:
        content = bytearray(stream.read())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(mark) + offset
        content[at : at + 4] = (10).to_bytes(4, "little")
    with open(path, "wb") as sink:
        sink.write(content)
    assert refused(gathered, tmp_path, path).key == "bad_zip"
    assert sum(file.stat().st_size for file in (tmp_path / "unpacked").rglob("*.png")) <= 10


@pytest.mark.parametrize("damage", ["head", "middle", "tail", "text", "encrypted"])
def test_damaged_zips(tmp_path, damage):
    path = archive(tmp_path / "a.zip", [("a.png", os.urandom(5000)), ("b.png", png())])
    with open(path, "rb") as stream:
        content = bytearray(stream.read())
    if damage == "encrypted":
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            content[content.index(mark) + offset] |= 1
    elif damage == "text":
        content = b"no zip at all"
    elif damage == "tail":
        content = content[:-30]
    else:
        at = 0 if damage == "head" else 2000
        content[at : at + 40] = b"x" * 40
    with open(path, "wb") as sink:
        sink.write(content)
    assert refused(gathered, tmp_path, path).key == ("zip_encrypted" if damage == "encrypted" else "bad_zip")


def test_names_in_chinese_of_either_encoding(tmp_path):
    path = archive(tmp_path / "a.zip", [("猫.png", png())])
    found, _ = gathered(tmp_path, path)
    assert found[0].name == "猫.png"
    entry = zipfile.ZipInfo("x.png")
    entry.filename = "猫/狗.png".encode("gbk").decode("cp437")
    assert uploads.readable_name(entry) == "猫/狗.png"
