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
"""Masks to annotations of labelme (https://github.com/labelmeai/labelme).

A polygon of labelme has no holes and one part. So each island of a mask is a polygon of its own, each hole is a polygon with labelme's own
label for background, and all of one object carry one group_id. Tools that draw the shapes in their order, as labelme's
`shapes_to_label` does, get the mask back (but for odd pixels of slivers): large shapes come first, so that what lies in a hole is drawn after it.
"""

import base64
import io
import json
import os
import re
import zipfile

import cv2
import numpy as np
from PIL import Image, ImageOps

from .uploads import is_turned

# the format: labelme 5.2 and later read and write these keys, and 5.x warns about another major version
VERSION = "5.2.1"
BACKGROUND = "_background_"
_SCORE = re.compile(r"^(.*)\(\s*([01](?:\.\d*)?(?:e-?\d*)?)\s*\)$", re.S)


def split_phrase(phrase):
    """("traffic light (red)", 0.45) from "traffic light (red)(0.45)"; the score is None where the end is no number."""
    match = _SCORE.match(phrase.strip())
    if match is None:
        return phrase.strip(), None
    digits = match.group(2)
    try:
        score = float(digits)
    except ValueError:  # AppFlow cuts the number to four characters, so that 1e-05 arrives as 1e-0 or "1e-"
        score = 0.0
    return match.group(1).strip(), score


def shapes_of_mask(mask, label, group_id=None, score=None, tolerance=1.0, min_area=16):
    """Polygons of one object.

    Args:
        mask (np.ndarray): [H, W], not 0 where the object is.
        label (str): name of the object.
        group_id (int): the same for all shapes of one object.
        score (float): written into `description`.
        tolerance (float): most that an outline may depart from the pixels, in pixels; with 0 the mask can be drawn back exactly.
        min_area (int): islands and holes with fewer pixels are left out.

    Returns:
        list[tuple[int, dict]]: (pixels inside the outline, shape of labelme). Coordinates are of pixels, x first.
    """
    mask = np.ascontiguousarray(np.asarray(mask) != 0, dtype=np.uint8)
    if mask.ndim != 2:
        raise ValueError("mask has shape %s, want [H, W]" % (mask.shape,))
    description = "" if score is None else "score %.2f" % score
    shapes = []
    # islands touch by corners as well (8 neighbours), so holes may not (4 neighbours)
    count, islands, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    for index in range(1, count):
        x, y, width, height, area = (int(number) for number in stats[index])
        if area < min_area:
            continue
        island = np.pad((islands[y : y + height, x : x + width] == index).astype(np.uint8), 1)
        shapes.append(_shape(island, x - 1, y - 1, label, group_id, description, tolerance))
        number, parts, sizes, _ = cv2.connectedComponentsWithStats(1 - island, connectivity=4)
        for part in range(1, number):
            if parts[0, 0] == part or sizes[part][cv2.CC_STAT_AREA] < min_area:
                continue
            hole = (parts == part).astype(np.uint8)
            shapes.append(_shape(hole, x - 1, y - 1, BACKGROUND, group_id, description, tolerance))
            # a part of the island that hangs on a corner, inside of the hole's outline, is drawn once more
            taken = np.zeros_like(mask)
            inside = (_filled(hole) & island)[1:-1, 1:-1]
            taken[y : y + height, x : x + width] = inside
            if inside.any():
                shapes += shapes_of_mask(taken, label, group_id, score, tolerance, min_area)
    return shapes


def in_drawing_order(shapes):
    """Shapes alone, those with most pixels inside first."""
    return [shape for _, shape in sorted(shapes, key=lambda pair: -pair[0])]


def label_file(shapes, image_name, width, height, image_data=None):
    """What labelme writes for one image.

    Args:
        shapes (list[dict]): from `in_drawing_order`.
        image_name (str): path of the image relative to the JSON file.
        image_data (bytes): content of an image file whose pixels stand upright; None lets labelme read `image_name`.
    """
    return {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": image_name,
        "imageData": None if image_data is None else base64.b64encode(image_data).decode("ascii"),
        "imageHeight": height,
        "imageWidth": width,
    }


def upright_bytes(path):
    """Content of an image file as `imageData` needs it: labelme does not turn embedded images as their EXIF says."""
    with Image.open(path) as image:
        if not is_turned(path) and image.format in ("PNG", "JPEG"):
            with open(path, "rb") as stream:
                return stream.read()
        sink = io.BytesIO()
        ImageOps.exif_transpose(image).convert("RGB").save(sink, "PNG")
    return sink.getvalue()


def json_name(name):
    """dir/a.png -> dir/a.json"""
    return os.path.splitext(name)[0] + ".json"


def write_zip(target, entries):
    """A zip that labelme can open after unpacking: each JSON file, and beside it its image where it is not inside.

    Args:
        target (str): path of the zip; it appears whole or not at all.
        entries (list): (name, path of the image, dict of `label_file`).
    """
    unfinished = target + ".part"
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path, content in entries:
            archive.writestr(json_name(name), dump(content))
            if content["imageData"] is None:
                archive.write(path, name)
    os.replace(unfinished, target)


def dump(content):
    """The text of a JSON file, as labelme writes it (UTF-8)."""
    return json.dumps(content, ensure_ascii=False, indent=2)


def _shape(part, left, top, label, group_id, description, tolerance):
    """(pixels inside, shape) of one connected part, given in a frame whose corner is at (left, top)."""
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    exact = max(contours, key=len)[:, 0, :]
    points = exact if tolerance <= 0 else _simplified(exact, tolerance)
    points = points + np.array([left, top])
    # a pixel or a line is a polygon of labelme too: it wants three points
    points = [[float(x), float(y)] for x, y in points] + [[float(x), float(y)] for x, y in points[:1]] * max(
        0, 3 - len(points)
    )
    shape = {
        "label": label,
        "points": points,
        "group_id": group_id,
        "description": description,
        "shape_type": "polygon",
        "flags": {},
    }
    return int(_filled(part).sum()), shape


def _filled(part):
    """The part with all that lies inside of its outline."""
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(part), contours, -1, 1, cv2.FILLED)


def _simplified(points, tolerance):
    """Fewer points that stay within `tolerance` of the outline; the outline itself where that would cross itself."""
    fewer = cv2.approxPolyDP(points[:, None, :].astype(np.int32), tolerance, True)[:, 0, :]
    return fewer if len(fewer) >= 3 and not crosses_itself(fewer) else points


def crosses_itself(points):
    """Whether two edges of a closed polygon [N, 2] of integers cross properly (touching is no crossing)."""
    start = np.asarray(points, dtype=np.int64)
    end = np.roll(start, -1, axis=0)

    def side(a, b, c):
        return np.sign(
            (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
        )

    # row by row, so that memory stays linear in the number of points
    for a, b in zip(start, end):
        if np.any((side(a, b, start) * side(a, b, end) < 0) & (side(start, end, a) * side(start, end, b) < 0)):
            return True
    return False
