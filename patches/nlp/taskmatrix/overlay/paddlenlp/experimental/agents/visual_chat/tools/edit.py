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

"""Tools that change a part of a picture, or its size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Tuple

import numpy as np
from PIL import Image, ImageOps

from .base import PICTURE, SIZE, TEXT, Argument, Context, Tool, ToolError, register
from .find import find_mask

ONE = {"picture": Argument(PICTURE, "the picture", "图片")}
SIZED = {**ONE, "size": Argument(SIZE, "WIDTHxHEIGHT in pixels", "宽x高（像素）")}
MARGIN = 20
INPAINT = (512, 512)
GROWTH, TRIM, FIRST_TRIM = 4, 15, 10
AREA, STEP = 1_000_000, 8
BLEND = 100
Size = Tuple[int, int]


def widened(mask: np.ndarray, margin: int = MARGIN) -> np.ndarray:
    """The mask, bool [H, W], grown by so many pixels to each side (a square)."""
    grown = mask.copy()
    for axis in (0, 1):
        line = np.moveaxis(grown, axis, 0)
        summed = np.concatenate([np.zeros((1,) + line.shape[1:], int), np.cumsum(line, axis=0)])
        place = np.arange(len(line))
        hits = summed[np.minimum(place + margin + 1, len(line))] - summed[np.maximum(place - margin, 0)]
        grown = np.moveaxis(hits > 0, 0, axis)
    return grown


def repaint(context: Context, source: Image.Image, mask: np.ndarray, prompt: str) -> Image.Image:
    """The picture with the pixels of the mask painted anew; the others stay as they are."""
    painted_at = widened(mask)
    with context.model("inpaint") as paint:
        small = Image.fromarray(painted_at.astype("uint8") * 255).resize(INPAINT)
        painted = paint(source.resize(INPAINT), small, prompt, seed=context.seed).convert("RGB").resize(source.size)
    return Image.composite(painted, source, Image.fromarray(painted_at.astype("uint8") * 255))


def working_size(size: Size) -> Size:
    """The size in which a canvas is painted: about a million pixels, both sides multiples of 8."""
    scale = math.sqrt(AREA / (size[0] * size[1]))
    return tuple(int(side * scale) // STEP * STEP for side in size)


@dataclass(frozen=True)
class Round:
    """One round of outpainting: what is kept of the picture, the canvas around it, the size the model paints; (width, height)."""

    kept: Size
    canvas: Size
    painted: Size


def outpainting_rounds(start: Size, target: Size, growth: int = GROWTH, trim: int = TRIM) -> List[Round]:
    """How a picture grows to a target, both (width, height) in pixels.

    In each round `trim` pixels are cut off at both ends of a side that is not final yet, since borders are the worst part
    of what was painted last; then a side grows by at most `growth` times.

    Raises:
        ToolError: The target is smaller than the picture, or out of reach.
    """
    if any(want < have for want, have in zip(target, start)):
        raise ToolError("{}x{} is smaller than the picture, which has {}x{}".format(*target, *start))
    rounds, size = [], tuple(start)
    while size != tuple(target):
        kept = tuple(have - 2 * trim * (have != want) for have, want in zip(size, target))
        if min(kept) < STEP or len(rounds) > 20:
            raise ToolError("a picture of {}x{} is too small to be extended".format(*start))
        canvas = tuple(min(growth * have, want) for have, want in zip(kept, target))
        rounds.append(Round(kept, canvas, working_size(canvas)))
        size = canvas
    return rounds


def _middle(picture: Image.Image, size: Size) -> Image.Image:
    left, top = ((have - want) // 2 for have, want in zip(picture.size, size))
    return picture.crop((left, top, left + size[0], top + size[1]))


def canvas_around(picture: Image.Image, size: Size) -> Tuple[Image.Image, Image.Image]:
    """The picture in the middle of a white canvas of that size, and the mask: white where there is something to be painted."""
    place = tuple((outer - inner) // 2 for outer, inner in zip(size, picture.size))
    canvas, mask = Image.new("RGB", size, "white"), Image.new("L", size, "white")
    canvas.paste(picture, place)
    mask.paste(Image.new("L", picture.size, "black"), place)
    return canvas, mask


def laid_over(picture: Image.Image, canvas: Image.Image) -> Image.Image:
    """The picture in the middle of the canvas; along sides where the canvas goes on, it fades in within 100 pixels."""
    weights = []
    for inner, outer in zip(picture.size, canvas.size):
        fade = min(BLEND, inner // 4) if outer > inner else 0
        far = np.minimum(np.arange(inner), np.arange(inner)[::-1]) + 1
        weights.append(np.minimum(1.0, far / (fade + 1)))
    alpha = np.outer(weights[1], weights[0])
    place = tuple((outer - inner) // 2 for outer, inner in zip(canvas.size, picture.size))
    result = canvas.copy()
    result.paste(picture, place, Image.fromarray((alpha * 255).round().astype("uint8")))
    return result


@register
class RemoveObject(Tool):
    name = "remove_object"
    description = "Remove a named thing from a picture."
    description_zh = "从图片中去掉指定的物体。"
    arguments = {**ONE, "object": Argument(TEXT, "what to remove, in English", "要去掉的物体（英文）")}
    lineage = "replace-something"
    models = ("grounding", "segmenting", "inpaint")

    def run(self, context: Context, picture: str, object: str):
        return repaint(context, *find_mask(context, picture, object), "background")


@register
class ReplaceObject(Tool):
    name = "replace_object"
    description = "Replace a named thing in a picture by another one."
    description_zh = "把图片中指定的物体换成另一个。"
    arguments = {
        **ONE,
        "object": Argument(TEXT, "what to replace, in English", "要替换的物体（英文）"),
        "replacement": Argument(TEXT, "what comes in its place, in English", "替换成的物体（英文）"),
    }
    lineage = "replace-something"
    models = ("grounding", "segmenting", "inpaint")

    def run(self, context: Context, picture: str, object: str, replacement: str):
        return repaint(context, *find_mask(context, picture, object), replacement)


@register
class RemoveBackground(Tool):
    name = "remove_background"
    description = "Keep the main thing of a picture and make everything else transparent."
    description_zh = "保留图片的主体，把背景变透明。"
    arguments = ONE
    lineage = "remove-background"
    models = ("vqa", "grounding", "segmenting")

    def run(self, context: Context, picture: str):
        with context.model("vqa") as vqa:
            thing = vqa(context.gallery.open(picture).convert("RGB"), "what is the main object in the image?")
        source, mask = find_mask(context, picture, thing)
        source.putalpha(Image.fromarray(mask.astype("uint8") * 255))
        return source


@register
class Upscale(Tool):
    name = "upscale"
    description = "Make a picture larger and sharper (super resolution)."
    description_zh = "放大图片并提高清晰度（超分辨率）。"
    arguments = ONE
    lineage = "upscale"
    models = ("upscale",)

    def run(self, context: Context, picture: str):
        with context.model("upscale") as upscale:
            return upscale(context.gallery.open(picture).convert("RGB"))


@register
class CropCenter(Tool):
    name = "crop_center"
    description = "Cut the middle of a picture out, in a given size."
    description_zh = "按给定的大小裁剪图片的中间部分。"
    arguments = SIZED
    lineage = "crop"

    def run(self, context: Context, picture: str, size: Size):
        source = context.gallery.open(picture)
        if any(want > have for want, have in zip(size, source.size)):
            raise ToolError("the picture has {}x{} pixels only".format(*source.size))
        return _middle(source, size)


@register
class ExtendPicture(Tool):
    name = "extend_picture"
    description = "Extend a picture beyond its borders to a given size (outpainting)."
    description_zh = "把图片向外扩展到给定的大小。"
    arguments = SIZED
    lineage = "outpainting"
    models = ("caption", "inpaint")

    def run(self, context: Context, picture: str, size: Size):
        source = context.gallery.open(picture).convert("RGB")
        with context.model("caption") as caption:
            prompt = caption(source)
        source = ImageOps.crop(source, FIRST_TRIM)
        rounds = outpainting_rounds(source.size, size)
        for number, part in enumerate(rounds):
            context.check()
            context.progress(number, len(rounds))
            kept = _middle(source, part.kept)
            canvas, mask = canvas_around(kept, part.canvas)
            with context.model("inpaint") as paint:
                painted = paint(
                    canvas.resize(part.painted), mask.resize(part.painted, Image.NEAREST), prompt, seed=context.seed
                )
            source = laid_over(kept, painted.convert("RGB").resize(part.canvas))
        return source
