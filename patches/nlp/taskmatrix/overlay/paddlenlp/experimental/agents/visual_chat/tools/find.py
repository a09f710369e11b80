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

"""Tools that find things in a picture and mark them."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw

from .base import PICTURE, TEXT, Argument, Context, Tool, ToolError, register

ONE = {"picture": Argument(PICTURE, "the picture", "图片")}
TWO = {**ONE, "object": Argument(TEXT, "what to find, in English", "要找的物体（英文）")}
Box = Tuple[float, float, float, float]


def find_boxes(context: Context, picture: str, thing: str) -> Tuple[Image.Image, List[Box]]:
    """The picture, and where the thing is: boxes (left, top, right, bottom) in pixels.

    Raises:
        ToolError: It is nowhere.
    """
    source = context.gallery.open(picture).convert("RGB")
    with context.model("grounding") as find:
        boxes = list(find(source, thing))
    if not boxes:
        raise ToolError("there is no {} in {}".format(thing, picture))
    return source, boxes


def find_mask(context: Context, picture: str, thing: str) -> Tuple[Image.Image, np.ndarray]:
    """The picture, and the pixels of the thing, bool [H, W]. Raises ToolError as :func:`find_boxes`."""
    source, boxes = find_boxes(context, picture, thing)
    with context.model("segmenting") as segment:
        masks = [np.asarray(mask, bool) for mask in segment(source, boxes)]
    if not masks or not np.any(masks):
        raise ToolError("the {} in {} could not be outlined".format(thing, picture))
    return source, np.any(masks, axis=0)


def coloured(masks: Sequence[np.ndarray], size: Tuple[int, int]) -> np.ndarray:
    """Masks, bool [H, W] each, as colours uint8 [H, W, 3] that depend on their order alone; larger masks lie below."""
    pixels = np.zeros((size[1], size[0], 3), "uint8")
    for number in sorted(range(len(masks)), key=lambda i: -int(masks[i].sum())):
        pixels[masks[number]] = np.random.default_rng(number).integers(40, 256, 3)
    return pixels


@register
class SegmentAll(Tool):
    name = "segment_all"
    description = "Divide a whole picture into its segments."
    description_zh = "把整张图片分割成各个部分。"
    arguments = ONE
    lineage = "segment-image"
    models = ("segmenting",)

    def run(self, context: Context, picture: str):
        source = context.gallery.open(picture).convert("RGB")
        with context.model("segmenting") as segment:
            masks = [np.asarray(mask, bool) for mask in segment(source, None)]
        if not masks:
            raise ToolError("no segment was found in {}".format(picture))
        return Image.fromarray(coloured(masks, source.size))


@register
class DetectObject(Tool):
    name = "detect_object"
    description = "Find a named thing in a picture and draw boxes around it."
    description_zh = "在图片中找到指定的物体并画框。"
    arguments = TWO
    lineage = "detect-something"
    models = ("grounding",)

    def run(self, context: Context, picture: str, object: str):
        source, boxes = find_boxes(context, picture, object)
        draw = ImageDraw.Draw(source)
        for box in boxes:
            draw.rectangle([tuple(box[:2]), tuple(box[2:])], outline=(255, 0, 0), width=3)
        return source


@register
class SegmentObject(Tool):
    name = "segment_object"
    description = "Outline a named thing in a picture (mask)."
    description_zh = "分割出图片中指定的物体。"
    arguments = TWO
    lineage = "segmentation"
    models = ("grounding", "segmenting")

    def run(self, context: Context, picture: str, object: str):
        source, mask = find_mask(context, picture, object)
        pixels = np.asarray(source).copy()
        pixels[mask] = pixels[mask] // 2 + np.array([127, 0, 0], "uint8")
        return Image.fromarray(pixels)


@register
class CropObject(Tool):
    name = "crop_object"
    description = "Cut a named thing out of a picture, as a rectangle."
    description_zh = "裁剪出图片中指定物体所在的矩形。"
    arguments = TWO
    lineage = "crop"
    models = ("grounding",)

    def run(self, context: Context, picture: str, object: str):
        source, boxes = find_boxes(context, picture, object)
        left, top, right, bottom = boxes[0]
        box = (
            max(0, int(left)),
            max(0, int(top)),
            min(source.width, int(right) + 1),
            min(source.height, int(bottom) + 1),
        )
        if box[0] >= box[2] or box[1] >= box[3]:
            raise ToolError("the {} lies outside of the picture".format(object))
        return source.crop(box)
