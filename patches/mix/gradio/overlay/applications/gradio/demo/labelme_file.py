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

A polygon of labelme has no holes and one part. So each island of a mask is a polygon of its own, and all of one object carry one group_id.
A hole is, as the user chooses,

- a polygon with labelme's own label for background ("label"). Tools that draw the shapes in their order, as labelme's `shapes_to_label`
  does, get the mask back (but for odd pixels of slivers): large shapes come first, so that what lies in a hole is drawn after it;
- or a part of the outline ("cut"): the polygon goes into the hole and back over the same line. Tools that take each polygon by itself,
  as converters to COCO do, get the area without the hole, and no category for background.
"""

import base64
import io
import re

import cv2
import numpy as np
from PIL import Image, ImageOps

from .uploads import is_turned, on_white

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


def shapes_of_mask(mask, label, group_id=None, score=None, tolerance=1.0, min_area=16, holes="label"):
    """Polygons of one object.

    Args:
        mask (np.ndarray): [H, W], not 0 where the object is.
        label (str): name of the object.
        group_id (int): the same for all shapes of one object.
        score (float): written into `description`.
        tolerance (float): most that an outline may depart from the pixels, in pixels; with 0 the mask can be drawn back exactly.
        min_area (int): islands and holes with fewer pixels are left out.
        holes (str): "label" or "cut", see above.

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
        if holes == "cut":
            points = _with_holes(island, tolerance, min_area) + np.array([x - 1, y - 1])
            shapes.append((int(_filled(island).sum()), _polygon(points, label, group_id, description)))
            continue
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
        on_white(ImageOps.exif_transpose(image)).save(sink, "PNG")
    return sink.getvalue()


def _shape(part, left, top, label, group_id, description, tolerance):
    """(pixels inside, shape) of one connected part, given in a frame whose corner is at (left, top)."""
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    exact = max(contours, key=len)[:, 0, :]
    points = exact if tolerance <= 0 else _simplified(exact, tolerance)
    return int(_filled(part).sum()), _polygon(points + np.array([left, top]), label, group_id, description)


def _polygon(points, label, group_id, description):
    # a pixel or a line is a polygon of labelme too: it wants three points
    points = [[float(x), float(y)] for x, y in points] + [[float(x), float(y)] for x, y in points[:1]] * max(
        0, 3 - len(points)
    )
    return {
        "label": label,
        "points": points,
        "group_id": group_id,
        "description": description,
        "shape_type": "polygon",
        "flags": {},
    }


def _with_holes(island, tolerance, min_area):
    """Outline [N, 2] of one island with its holes cut into it.

    The holes' outlines run over the island's own pixels. Each time the hole that is nearest to what is joined already is joined by the shortest
    line, which therefore crosses neither a hole nor what lies outside.
    """
    contours, tree = cv2.findContours(island, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [contour[:, 0, :].astype(np.int64) for contour in contours]
    outer = max(
        (number for number in range(len(rings)) if tree[0][number][3] < 0), key=lambda number: len(rings[number])
    )
    inner = [number for number in range(len(rings)) if tree[0][number][3] >= 0]
    inner = [number for number in inner if _pixels_inside(rings[number], island) >= min_area]

    def joined(simplify):
        path = simplify(rings[outer])
        rest = [simplify(rings[number]) for number in inner]
        while rest:
            # (distance, place in the path, hole, place in the hole) of the shortest line to any hole
            best = None
            for number, ring in enumerate(rest):
                gaps = np.square(path[:, None] - ring[None]).sum(-1)
                place, corner = np.unravel_index(np.argmin(gaps), gaps.shape)
                if best is None or gaps[place, corner] < best[0]:
                    best = (gaps[place, corner], int(place), number, int(corner))
            _, place, number, corner = best
            ring = rest.pop(number)
            ring = np.concatenate([ring[corner:], ring[: corner + 1]])
            path = np.concatenate([path[: place + 1], ring, path[place:]])
        return path

    if tolerance > 0:
        path = joined(lambda ring: _simplified(ring, tolerance))
        if not crosses_itself(path):
            return path
    return joined(lambda ring: ring)


def _pixels_inside(ring, island):
    """Pixels of a hole: what its outline holds that is not of the island."""
    inside = cv2.fillPoly(np.zeros_like(island), [ring.astype(np.int32)], 1)
    return int((inside & (1 - island)).sum())


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
