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
"""Masks to labelme files: what labelme draws from them is the mask again."""

import base64
import io
import json
import os
import sys
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "applications", "gradio"))

from demo import labelling, labelme_file, results  # noqa: E402
from demo.labelme_file import BACKGROUND  # noqa: E402


def filled(shapes, size):
    """Shapes in their order, each filled with its outline; background takes away."""
    canvas = np.zeros(size[::-1], np.uint8)
    for shape in shapes:
        assert len(shape["points"]) > 2
        cv2.fillPoly(canvas, [np.array(shape["points"], np.int32)], 0 if shape["label"] == BACKGROUND else 1)
    return canvas.astype(bool)


def drawn(shapes, size):
    """The same as labelme's shape_to_mask does it. Pillow fills a pixel too many in a sliver that is one or two pixels wide."""
    canvas = Image.new("L", size)
    pen = ImageDraw.Draw(canvas)
    for shape in shapes:
        assert len(shape["points"]) > 2
        fill = 0 if shape["label"] == BACKGROUND else 1
        pen.polygon([tuple(point) for point in shape["points"]], outline=fill, fill=fill)
    return np.array(canvas, dtype=bool)


def ordered(mask, **options):
    return labelme_file.in_drawing_order(labelme_file.shapes_of_mask(mask, "dog", 0, 0.5, **options))


def blobs(seed, height=41, width=57):
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), float(rng.uniform(0.6, 3.0)))
    return noise > np.quantile(noise, rng.uniform(0.2, 0.8))


@pytest.mark.parametrize("seed", range(40))
def test_the_mask_comes_back_exactly(seed):
    mask = blobs(seed)
    shapes = ordered(mask, tolerance=0, min_area=1)
    assert (filled(shapes, mask.shape[::-1]) == mask).all()
    assert (drawn(shapes, mask.shape[::-1]) != mask).sum() <= 0.01 * mask.size


@pytest.mark.parametrize(
    "points", [[(3, 3)], [(3, 3), (4, 3)], [(2, 2), (3, 3), (4, 4)], [(0, 0)], [(8, 6)], [(1, 1), (2, 1), (1, 2)]]
)
def test_pixels_lines_and_corners_are_polygons(points):
    mask = np.zeros((7, 9), bool)
    for x, y in points:
        mask[y, x] = True
    shapes = ordered(mask, tolerance=0, min_area=1)
    assert (filled(shapes, (9, 7)) == mask).all()
    assert drawn(shapes, (9, 7))[mask].all()


def test_a_hole_that_closes_around_a_corner_gives_back_what_it_took():
    mask = np.ones((9, 9), bool)
    mask[2, 3:6] = mask[3, 2] = mask[3:6, 6] = mask[6, 3:6] = mask[4:6, 2] = mask[2, 2] = False
    mask[6, 6] = False
    mask[2, 2] = True  # the middle hangs on this corner
    mask[3, 3] = True
    shapes = ordered(mask, tolerance=0, min_area=1)
    assert (filled(shapes, (9, 9)) == mask).all()


def test_full_and_empty_masks():
    assert ordered(np.zeros((5, 5))) == []
    (whole,) = ordered(np.ones((5, 8)))
    assert sorted(map(tuple, whole["points"])) == [(0, 0), (0, 4), (7, 0), (7, 4)]
    with pytest.raises(ValueError, match=r"want \[H, W\]"):
        labelme_file.shapes_of_mask(np.ones((1, 5, 5)), "dog")


def test_islands_and_holes_are_shapes_of_their_own():
    mask = np.zeros((60, 100), np.uint8)
    mask[5:45, 5:45] = 1
    mask[15:35, 15:35] = 0  # a hole
    mask[22:28, 22:28] = 1  # an island in the hole
    mask[10:20, 70:90] = 1  # and one outside
    shapes = ordered(mask)
    assert [shape["label"] for shape in shapes] == ["dog", BACKGROUND, "dog", "dog"]
    assert {shape["group_id"] for shape in shapes} == {0}
    assert {len(shape["points"]) for shape in shapes} <= {4, 8}  # a hole's corners are cut where its pixels are
    assert not any(labelme_file.crosses_itself(np.array(shape["points"])) for shape in shapes)
    assert (drawn(shapes, (100, 60)) == mask.astype(bool)).all()


def test_an_object_in_the_hole_of_another_is_drawn_after_it():
    ring = np.zeros((50, 50), bool)
    ring[5:45, 5:45], ring[12:38, 12:38] = True, False
    ball = np.zeros((50, 50), bool)
    ball[20:30, 20:30] = True
    given = {"tolerance": 0.0, "min_area": 1, "holes": "label"}
    shapes = labelling._shapes([("ball", 0.9, ball), ("ring", 0.8, ring)], given)
    assert [(shape["label"], shape["group_id"]) for shape in shapes] == [("ring", 1), (BACKGROUND, 1), ("ball", 0)]
    assert (drawn(shapes, (50, 50)) == (ring | ball)).all()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("tolerance", [1.0, 3.0])
def test_simple_outlines_stay_near_and_do_not_cross(seed, tolerance):
    mask = cv2.resize(blobs(seed).astype(np.uint8), None, fx=6, fy=6, interpolation=cv2.INTER_NEAREST).astype(bool)
    exact, simple = ordered(mask, tolerance=0), ordered(mask, tolerance=tolerance)
    assert sum(len(shape["points"]) for shape in simple) < 0.3 * sum(len(shape["points"]) for shape in exact)
    assert not any(labelme_file.crosses_itself(np.array(shape["points"])) for shape in simple)
    wrong = drawn(simple, mask.shape[::-1]) != drawn(exact, mask.shape[::-1])
    edge = cv2.morphologyEx(np.pad(mask.astype(np.uint8), 1), cv2.MORPH_GRADIENT, np.ones((3, 3)))
    far = cv2.distanceTransform(1 - edge, cv2.DIST_L2, 5)[1:-1, 1:-1]
    assert not wrong.any() or far[wrong].max() <= tolerance + 1


def test_one_polygon_of_all_contours_would_cross_itself():
    """What a polygon of all contours in one list is: the reason for shapes of their own."""
    assert labelme_file.crosses_itself([[0, 0], [4, 4], [4, 0], [0, 4]])
    assert not labelme_file.crosses_itself([[0, 0], [4, 0], [4, 4], [0, 4]])
    mask = np.zeros((40, 60), np.uint8)
    mask[5:15, 5:15] = mask[20:35, 8:18] = mask[5:20, 30:50] = 1
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    assert labelme_file.crosses_itself(np.concatenate(contours)[:, 0, :])


def test_small_parts_are_left_out():
    mask = np.zeros((30, 30), np.uint8)
    mask[2:22, 2:22] = 1
    mask[10, 10] = 0
    mask[28, 28] = 1
    assert len(ordered(mask, min_area=2)) == 1
    assert len(ordered(mask, min_area=1)) == 3


@pytest.mark.parametrize("seed", range(40))
def test_holes_cut_into_the_polygon(seed):
    """Each polygon by itself, as a converter takes it, is the island without its holes."""
    mask = blobs(seed)
    shapes = ordered(mask, tolerance=0, min_area=1, holes="cut")
    assert {shape["label"] for shape in shapes} == {"dog"}
    assert (filled(shapes, mask.shape[::-1]) == mask).all()
    # the area that converters compute from the corners is that of the outline minus that of the holes
    for shape in shapes:
        x, y = np.array(shape["points"]).T
        area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
        canvas = np.zeros(mask.shape, np.uint8)
        cv2.fillPoly(canvas, [np.array(shape["points"], np.int32)], 1)
        assert area <= canvas.sum()


@pytest.mark.parametrize("tolerance", [0.0, 1.0])
def test_a_ring_as_a_converter_sees_it(tolerance):
    mask = np.zeros((60, 80), np.uint8)
    mask[5:55, 5:55] = 1
    mask[20:40, 20:40] = 0
    (shape,) = ordered(mask, tolerance=tolerance, holes="cut")
    assert not labelme_file.crosses_itself(np.array(shape["points"]))
    assert (drawn([shape], (80, 60)) == mask.astype(bool)).mean() > 0.99
    x, y = np.array(shape["points"]).T
    assert abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2 == pytest.approx(49**2 - 21**2, abs=45)
    assert len(ordered(mask, holes="label")) == 2


def test_small_holes_are_not_cut():
    mask = np.ones((20, 20), np.uint8)
    mask[10, 10] = 0
    assert len(ordered(mask, min_area=2, holes="cut")[0]["points"]) == 4
    assert len(ordered(mask, min_area=1, holes="cut")[0]["points"]) > 4


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("dog, cat", ["dog", "cat"]),
        ("dog，cat、 bird；car;bus\nhouse", ["dog", "cat", "bird", "car", "bus", "house"]),
        (" , 、", []),
        ("traffic light", ["traffic light"]),
    ],
)
def test_labels_are_separated_as_either_language_does(text, want):
    assert labelling.split_labels(text) == want


@pytest.mark.parametrize(
    ("phrase", "want"),
    [
        ("dog(0.45)", ("dog", 0.45)),
        ("traffic light (red)(0.9)", ("traffic light (red)", 0.9)),
        ("traffic light (red)", ("traffic light (red)", None)),
        ("dog(1.0)", ("dog", 1.0)),
        ("dog(1e-0", ("dog(1e-0", None)),
        ("dog(1e-0)", ("dog", 1.0)),
        ("dog(1e-)", ("dog", 0.0)),
        ("(0.31)", ("", 0.31)),
        ("room (12)", ("room (12)", None)),
        ("猫 (白)(0.5)", ("猫 (白)", 0.5)),
    ],
)
def test_the_score_is_cut_off_and_nothing_else(phrase, want):
    assert labelme_file.split_phrase(phrase) == want


@pytest.mark.parametrize(
    ("label", "want"),
    [("[CLS] red.. [SEP]", "red"), ("dog", "dog"), ("red ball.", "red ball"), ("[CLS]", ""), (" . ", "")],
)
def test_labels_lose_what_decoding_leaves(label, want):
    assert labelling.readable(label) == want


def test_the_file_has_labelmes_keys():
    shapes = ordered(blobs(1))
    content = json.loads(results.dump(labelme_file.label_file(shapes, "猫 1.png", 57, 41)))
    assert list(content) == ["version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"]
    assert (content["imagePath"], content["imageData"]) == ("猫 1.png", None)
    assert (content["imageHeight"], content["imageWidth"]) == (41, 57)
    assert content["version"].split(".")[0] == "5"
    for shape in content["shapes"]:
        assert list(shape) == ["label", "points", "group_id", "description", "shape_type", "flags"]
        assert (shape["shape_type"], shape["flags"], shape["description"]) == ("polygon", {}, "score 0.50")


def photograph(path, orientation, **options):
    """32 x 16 as stored, with its left half red."""
    image = Image.new("RGB", (32, 16), "blue")
    image.paste("red", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, **options)


def test_embedded_images_stand_upright(tmp_path):
    path = str(tmp_path / "a.jpg")
    photograph(path, 1, quality=95)
    with open(path, "rb") as stream:
        assert labelme_file.upright_bytes(path) == stream.read()
    photograph(path, 6, quality=95)  # turned by 90 degrees when shown
    image = Image.open(io.BytesIO(labelme_file.upright_bytes(path)))
    assert image.size == (16, 32)
    assert image.convert("RGB").getpixel((8, 4))[0] > 200  # the red half is on top


class Run:
    """What the worker gives to an application."""

    def __init__(self, folder, **inputs):
        self.inputs, self.folder, self.said = inputs, str(folder), []

    def path(self, name):
        return os.path.join(self.folder, name)

    def check(self):
        pass

    def part(self, number, total):
        self.said.append("%d of %d" % (number + 1, total))

    def progress(self, key, share=None, **values):
        self.said.append(key)


def bright(run, image, name):
    """A segmenter of bright things, in place of Grounding DINO and SAM."""
    mask = np.asarray(image.convert("L")) > 127
    return [("bright", 0.75, mask)] if mask.any() else []


def options(**changes):
    given = {"tolerance": 0.0, "min_area": 1, "holes": "label", "embed": False, "megapixels": 1.0, "labels": "bright"}
    return {**given, **changes}


def labelled(run, as_zip=True, find=bright):
    """What the worker left out, and what the page collects."""
    return {**labelling.autolabel(run, find=find), **results.collect(run.folder, as_zip)}


def pictures(tmp_path):
    """Two pictures with something bright, a dark one, and one that is cut short."""
    masks, uploads = {}, []
    for name in ("a.png", "deep/b.png"):
        masks[name] = blobs(len(uploads))
        path = str(tmp_path / ("upload%d.png" % len(uploads)))
        Image.fromarray(masks[name].astype(np.uint8) * 255).save(path)
        uploads.append((name, path))
    Image.new("RGB", (20, 20)).save(str(tmp_path / "dark.png"))
    uploads.append(("dark.png", str(tmp_path / "dark.png")))
    noise = np.random.default_rng(0).integers(0, 255, (50, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(str(tmp_path / "whole.png"))
    with open(str(tmp_path / "whole.png"), "rb") as stream, open(str(tmp_path / "cut.png"), "wb") as sink:
        sink.write(stream.read()[:500])
    uploads.append(("cut.png", str(tmp_path / "cut.png")))
    return masks, uploads


def test_many_images_become_a_zip_that_labelme_can_open(tmp_path):
    masks, uploads = pictures(tmp_path)
    outputs = labelled(Run(tmp_path, **options(uploads=uploads)))
    assert [(name, key) for name, key, _ in outputs["left_out"]] == [
        ("dark.png", "no_objects"),
        ("cut.png", "cut_short"),
    ]
    assert outputs["images"] == len(outputs["previews"]) == 2
    with zipfile.ZipFile(outputs["file"]) as archive:
        assert sorted(archive.namelist()) == ["a.json", "a.png", "deep/b.json", "deep/b.png"]
        for name, mask in masks.items():
            content = json.loads(archive.read(results.json_name(name)))
            assert content["imagePath"] == os.path.basename(name)
            assert (filled(content["shapes"], mask.shape[::-1]) == mask).all()
    assert not os.path.exists(outputs["file"] + ".part")


def test_embedded_images_need_no_file_beside_them(tmp_path):
    masks, uploads = pictures(tmp_path)
    outputs = labelled(Run(tmp_path, **options(uploads=uploads[:2], embed=True)))
    with zipfile.ZipFile(outputs["file"]) as archive:
        assert sorted(archive.namelist()) == ["a.json", "deep/b.json"]
        content = json.loads(archive.read("a.json"))
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(content["imageData"]))))
    assert ((image > 127) == masks["a.png"]).all()


def test_one_image_becomes_one_file_or_a_reason(tmp_path):
    masks, uploads = pictures(tmp_path)
    run = Run(tmp_path, **options(uploads=uploads[:1], embed=True))
    outputs = labelled(run, as_zip=False)
    assert os.path.basename(outputs["file"]) == "a.json"
    assert [row[1] for row in outputs["rows"]] == list(range(1, len(outputs["rows"]) + 1))
    for number, key in ((2, "no_objects"), (3, "cut_short")):
        with pytest.raises(labelling.Refused) as refused:
            labelling.autolabel(Run(tmp_path, **options(uploads=uploads[number : number + 1])), find=bright)
        assert refused.value.key == key


def test_a_model_that_fails_on_one_image_does_not_lose_the_others(tmp_path):
    _, uploads = pictures(tmp_path)

    def moody(run, image, name):
        if name == "a.png":
            raise ZeroDivisionError("a model's own mistake")
        return bright(run, image, name)

    outputs = labelled(Run(tmp_path, **options(uploads=uploads[:2])), find=moody)
    assert outputs["left_out"] == [("a.png", "model_failed", {"reason": "a model's own mistake"})]
    assert outputs["images"] == 1


def test_what_is_finished_outlives_a_run_that_is_not(tmp_path):
    """Cancelled in the third image: two are whole, and say so."""
    _, uploads = pictures(tmp_path)
    run = Run(tmp_path, **options(uploads=uploads[:2] + [("c.png", uploads[0][1])]))

    def stopped(run, image, name):
        if name == "c.png":
            raise labelling.Refused("cancelled")
        return bright(run, image, name)

    assert results.collect(run.folder, True) is None
    with pytest.raises(labelling.Refused):
        labelling.autolabel(run, find=stopped)
    assert [word for word in run.said if " of " in word] == ["1 of 3", "2 of 3", "3 of 3"]
    kept = results.collect(run.folder, True)
    assert kept["images"] == len(kept["previews"]) == 2
    with zipfile.ZipFile(kept["file"]) as archive:
        assert sorted(archive.namelist()) == ["a.json", "a.png", "deep/b.json", "deep/b.png"]
    # a record that was being written when the worker was ended is no record
    with open(os.path.join(run.folder, "finished", "00009.json.part"), "w") as stream:
        stream.write("{")
    assert results.collect(run.folder, True)["images"] == 2


def test_names_that_a_file_system_does_not_take():
    assert results.safe_name("a/what? 100%.png") == "what_ 100_.png"
    assert results.safe_name("猫.png") == "猫.png"
