"""gradio_autolable.py in Chromium: upload, run, look, download, and open with labelme's own loader.

On the fork base AppFlow's Grounding DINO and SAM run (tiny, seeded); the release base has no PaddleMIX, see colour_page.py.
"""

import io
import os
import re
import stat
import zipfile

import numpy as np
import pages
import pytest
from PIL import Image, ImageDraw

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
from labelme import LabelFile  # noqa: E402
from labelme.utils import shapes_to_label  # noqa: E402

FORK = os.environ["FORKLIFT_BASE"] == "fork"
PROGRAM = [os.path.join(pages.DIRECTORY, "gradio_autolable.py")] if FORK else [os.path.join(pages.HERE, "colour_page.py")]
MODELS = ["GroundingDino/groundingdino-swint-ogc", "Sam/SamVitH-1024", "paddlemix/blip2-caption-opt2.7b"] if FORK else []
LABELS = "red, blue"
DONE_EN, DONE_ZH = r"images labelled, \d+ polygons", r"已标注 \d+ 张图像"


def picture(seed, size=(120, 90)):
    """A red ring, a blue island in its hole, and red islands elsewhere."""
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    x = 10 + seed * 7 % 30
    pen.ellipse((x, 10, x + 60, 70), fill=(200, 30, 30))
    pen.ellipse((x + 15, 25, x + 45, 55), fill="white")
    pen.rectangle((x + 25, 35, x + 35, 45), fill=(30, 60, 200))
    pen.rectangle((100, 70, 110, 80 + seed % 8), fill=(200, 30, 30))
    return image


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for number in range(3):
        picture(number).save(str(folder / ("img%d.png" % number)))
    (folder / "猫.jpg").write_bytes(_bytes(picture(5), "JPEG", quality=95))
    return folder


def _bytes(image, kind="PNG", **options):
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def archive(path, entries):
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as sink:
        for name, content in entries:
            sink.writestr(name, content)
    return path


def opened(path, image):
    """labelme opens it without an edit; on the release base what labelme draws is what the picture shows."""
    label = LabelFile(str(path))
    assert label.shapes and Image.open(io.BytesIO(label.image_data)).size == image.size
    assert {shape["shape_type"] for shape in label.shapes} == {"polygon"}
    if not FORK:
        values = {"_background_": 0, "red": 1, "blue": 2}
        drawn, _ = shapes_to_label((image.height, image.width), label.shapes, values)
        pixels = np.asarray(image.convert("RGB")).astype(int)
        want = np.zeros(drawn.shape, int)
        for value, colour in ((1, (200, 30, 30)), (2, (30, 60, 200))):
            want[np.abs(pixels - colour).max(axis=2) < 40] = value
        assert (drawn != want).mean() < 0.02  # outlines are simplified by up to a pixel
        assert {"red", "blue", "_background_"} == {shape["label"] for shape in label.shapes}
    return label


def options(user, tab):
    """With random weights everything is below the usual thresholds."""
    if FORK:
        for name in ("box", "text"):
            user.write("%s-%s" % (tab, name), 0.01)


def label_one(user, path, word):
    user.upload("single-image", path)
    user.write("single-labels", LABELS)
    options(user, "single")
    user.run("single")
    return user.wait("single", word)


@pytest.mark.parametrize(("locale", "word"), [("en-US", DONE_EN), ("zh-CN", DONE_ZH)], ids=["en", "zh"])
def test_one_image(user, files, tmp_path, locale, word):
    someone = user(locale)
    label_one(someone, files / "img0.png", word)
    assert someone.shown("single-preview") == (120, 90)
    table = someone.page.locator("#section-single .rows table")
    assert table.locator("thead th").count() == 6 and table.locator("tbody tr").count() > 2
    assert someone.page.locator("#single-preview img").get_attribute("alt") == {"en-US": "Preview", "zh-CN": "标注预览"}[locale]
    someone.picture("done")
    pages.results_fit(someone, locale)
    path = someone.download("single-download", tmp_path)
    assert os.path.basename(path) == "img0.json"
    label = opened(path, picture(0))
    assert label.image_path == "img0.png" and pages.read_json(path)["imageData"]
    assert someone.elsewhere == []


if FORK:  # BLIP-2 is in PaddleMIX, of which there is no release

    def test_labels_left_empty(user, files, tmp_path):
        """What BLIP-2 says of the picture is looked for: its tiny set speaks of six things."""
        someone = user()
        someone.upload("single-image", files / "img0.png")
        options(someone, "single")
        someone.run("single")
        someone.wait("single", DONE_EN)
        someone.picture("captioned")
        label = opened(someone.download("single-download", tmp_path), picture(0))
        words = {word for shape in label.shapes for word in shape["label"].replace(".", " ").split()}
        assert words - {"_background_"} <= {"dog", "cat", "bus", "ball", "house", "photo"} and len(words) > 1


def test_many_images_zips_and_a_directory(user, server, files, bad_files, tmp_path):
    packed = archive(tmp_path / "more.zip", [("deep/img1.png", (files / "img1.png").read_bytes()), ("readme.txt", "x")])
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "img2.png").write_bytes((files / "img2.png").read_bytes())
    (folder / "notes.md").write_text("x")
    someone = user("zh-CN")
    someone.tab(1)
    someone.upload("batch-files", files / "img0.png", files / "猫.jpg", packed, bad_files / "empty.png")
    someone.upload("batch-directory", folder)
    someone.write("batch-labels", LABELS)
    options(someone, "batch")
    someone.run("batch")
    assert "已标注 4 张图像" in someone.wait("batch", DONE_ZH + ".*3 个文件未处理")
    someone.picture("done")
    shapes, report = (someone.page.locator("#section-batch .rows tbody").nth(number) for number in (0, 1))
    assert "empty.png" in report.inner_text() and "猫.jpg" in shapes.inner_text()
    pages.results_fit(someone, "zh-CN")
    thumbnail = someone.page.locator("#batch-preview .thumbnail-item").nth(1)
    assert thumbnail.get_attribute("aria-label") == "猫.jpg" and thumbnail.locator("img").get_attribute("alt") == ""
    thumbnail.click()
    someone.page.locator("#batch-preview .preview").wait_for(state="visible")
    assert someone.faults() == []
    path = someone.download("batch-download", tmp_path)
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(path) as result:
        names = result.namelist()
        result.extractall(str(unpacked))
    want = {"img0.png": 0, "猫.jpg": 5, "deep/img1.png": 1, "img2.png": 2}
    assert sorted(names) == sorted([*want, *(os.path.splitext(name)[0] + ".json" for name in want)])
    for name, seed in want.items():
        target = unpacked / (os.path.splitext(name)[0] + ".json")
        assert pages.read_json(str(target))["imageData"] is None
        if not name.endswith(".jpg"):
            opened(target, picture(seed))
        else:
            assert LabelFile(str(target)).shapes
    assert server.runs() == []


def test_more_files_by_the_keyboard(user, files):
    someone = user()
    someone.tab(1)
    someone.upload("batch-files", files / "img0.png")
    with someone.page.expect_file_chooser() as chooser:
        someone.page.locator("#batch-files .icon-button").first.focus()
        someone.page.keyboard.press("Enter")
    chooser.value.set_files([str(files / "img1.png")])
    someone.page.locator("#batch-files tr.file").nth(1).wait_for(state="visible")
    assert someone.faults() == []


def link():
    entry = zipfile.ZipInfo("link.png")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry, "/etc/passwd"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("../../out.png", _bytes(picture(0)))], "points outside of the zip"),
        ([link()], "is a link or a special file"),
        ([("bomb.png", bytes(60 << 20))], "unpacks to too much"),
        ([("a.png", _bytes(picture(0))), ("A.png", _bytes(picture(0)))], "it holds A.png twice"),
    ],
    ids=["traversal", "link", "bomb", "twice"],
)
def test_unsafe_zips(user, server, tmp_path, entries, message):
    path = archive(tmp_path / "unsafe.zip", entries)
    someone = user()
    someone.tab(1)
    someone.upload("batch-files", path)
    someone.write("batch-labels", LABELS)
    someone.run("batch")
    said = someone.wait("batch", "unsafe.zip was refused")
    assert message in said
    someone.picture("refused")
    assert server.runs() == []


@pytest.mark.parametrize(("name", "message"), pages.BAD_FILES.items(), ids=list(pages.BAD_FILES))
def test_bad_files(user, server, bad_files, name, message):
    someone = user()
    someone.tab(1)
    someone.upload("batch-files", bad_files / name)
    someone.write("batch-labels", LABELS)
    someone.run("batch")
    someone.wait("batch", message)
    someone.picture("refused")
    assert server.runs() == []


def test_prompts_and_missing_images(user, files):
    someone = user("zh-CN")
    someone.run("single")
    someone.wait("single", "没有图像")
    someone.upload("single-image", files / "img0.png")
    someone.write("single-labels", "a" * 10000)
    someone.run("single")
    someone.wait("single", "提示词有 10000 个字符，最多 1000 个")
    someone.picture("refused")


def test_two_users_at_once(user, server, files, tmp_path):
    users = [user("en-US"), user("zh-CN")]
    for number, someone in enumerate(users):
        someone.upload("single-image", files / ("img%d.png" % (number + 1)))
        someone.write("single-labels", LABELS)
        options(someone, "single")
    for someone in users:
        someone.run("single")
    for number, (someone, word) in enumerate(zip(users, (DONE_EN, DONE_ZH))):
        someone.wait("single", word)
        folder = tmp_path / str(number)
        folder.mkdir()
        path = someone.download("single-download", folder)
        assert os.path.basename(path) == "img%d.json" % (number + 1)
        opened(path, picture(number + 1))
        someone.picture("user%d" % number)
    assert len(server.workers()) == 1


def test_cancel_in_mid_run(user, server, files, tmp_path):
    """In the middle of many images; the process and its models stay."""
    content = (files / "img0.png").read_bytes()
    packed = archive(tmp_path / "many.zip", [("%d.png" % number, content) for number in range(300)])
    someone, other = user("en-US"), user("zh-CN")
    label_one(other, files / "img1.png", DONE_ZH)
    before = server.workers()
    someone.tab(1)
    someone.upload("batch-files", packed)
    someone.write("batch-labels", LABELS if FORK else "slow")
    options(someone, "batch")
    someone.run("batch")
    someone.wait("batch", r"of 300: \d+.png: (detecting|segmenting)")
    someone.picture("running")
    # a second click on Run has an answer: the button says what goes on, and Cancel is there to be clicked
    assert someone.page.locator("#batch-run").inner_text() == "Running…" and someone.page.locator("#batch-run").is_disabled()
    assert someone.page.locator("#batch-cancel").is_enabled()
    someone.cancel("batch")
    someone.wait("batch", r"\[Cancelled\]")
    assert someone.page.locator("#batch-run").is_enabled() and someone.page.locator("#batch-cancel").is_disabled()
    label_one(other, files / "img2.png", DONE_ZH)
    assert server.workers() == before
    assert server.runs() == []


def test_cancel_keeps_what_is_finished(user, files, tmp_path):
    content = (files / "img0.png").read_bytes()
    packed = archive(tmp_path / "many.zip", [("%03d.png" % number, content) for number in range(300)])
    someone = user()
    someone.tab(1)
    assert someone.page.locator("#batch-run").is_enabled() and someone.page.locator("#batch-cancel").is_disabled()
    assert someone.status("batch") == "[Idle]"
    someone.upload("batch-files", packed)
    someone.write("batch-labels", LABELS if FORK else "red, steady")
    options(someone, "batch")
    someone.run("batch")
    said = someone.wait("batch", r"\[Running\] .* ([3-9]|\d\d+) of 300: ")
    assert re.search(r"[█░]{20} \d+ %", said)
    someone.cancel("batch")
    said = someone.wait("batch", r"Cancelled; the \d+ of 300 images that are finished are kept")
    someone.picture("kept")
    with zipfile.ZipFile(someone.download("batch-download", tmp_path)) as result:
        labels = [name for name in result.namelist() if name.endswith(".json")]
    assert len(labels) == int(re.search(r"the (\d+) of", said).group(1)) >= 2


def test_the_users_file_name(user, tmp_path):
    """gradio takes some letters out of file names; labelme looks for the user's file. What a name holds is text on the page."""
    stem = "what? 100% {{a}} ${1+1} &amp; <i>"
    path = tmp_path / (stem + ".png")
    picture(0).save(str(path))
    someone = user()
    label_one(someone, path, DONE_EN)
    assert pages.read_json(someone.download("single-download", tmp_path))["imagePath"] == path.name
    assert someone.page.locator("#section-single .rows tbody td").first.inner_text() == path.name
    someone.tab(1)
    someone.upload("batch-files", path)
    someone.write("batch-labels", LABELS)
    options(someone, "batch")
    someone.run("batch")
    someone.wait("batch", DONE_EN)
    with zipfile.ZipFile(someone.download("batch-download", tmp_path)) as result:
        assert sorted(result.namelist()) == sorted([stem + ".json", path.name])


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=["desk", "phone"])
def test_every_screen(user, locale, size):
    someone = user(locale, *size)
    pages.speaks_one_language(someone, locale)
    if locale == "zh-CN":
        assert "请用英文填写" in someone.text()
    pages.fits(someone, ["single", "batch"])
    someone.picture("page")


def test_a_killed_server_leaves_nothing_to_the_next(user, server, files, tmp_path):
    content = (files / "img0.png").read_bytes()
    packed = archive(tmp_path / "many.zip", [("%d.png" % number, content) for number in range(300)])
    someone = user()
    someone.tab(1)
    someone.upload("batch-files", packed)
    someone.write("batch-labels", LABELS if FORK else "slow")
    options(someone, "batch")
    someone.run("batch")
    someone.wait("batch", r"\d+.png: (detecting|segmenting)")
    server.crash_and_restart()


def test_an_example_fills_the_inputs(user):
    someone = user()
    someone.page.locator("button.example").first.focus()
    someone.page.keyboard.press("Enter")
    someone.page.wait_for_function("document.querySelector('#single-labels textarea').value == 'ring, box'")
    assert someone.shown("single-image") == (320, 240)
