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

"""Tools that reduce a picture to its structure, and tools that paint a new picture over such a structure."""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np
from PIL import Image

from .base import PICTURE, TEXT, Argument, Context, Tool, register
from .generate import QUALITY

ONE = {"picture": Argument(PICTURE, "the picture", "图片")}
CANNY = (100, 200)
BACKGROUND = 0.4


def canny_edges(pixels: np.ndarray, low: int = CANNY[0], high: int = CANNY[1]) -> np.ndarray:
    """Edges of a picture, uint8 [H, W, 3], as three equal channels of 0 and 255."""
    import cv2

    return np.repeat(cv2.Canny(pixels, low, high)[:, :, None], 3, axis=2)


def depth_picture(depth: np.ndarray) -> Image.Image:
    """A depth map, float [H, W], as grey: the largest value is white."""
    depth = depth.astype("float32")
    grey = (depth * 255 / max(float(depth.max()), 1e-6)).clip(0, 255).astype("uint8")
    return Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2))


def normal_map(depth: np.ndarray, size: Tuple[int, int], background: float = BACKGROUND) -> Image.Image:
    """Directions of the surface that a depth map describes, one unit vector a pixel, as colours around 127.5.

    Args:
        depth (np.ndarray): float [H, W], larger is nearer.
        size (tuple): Width and height of the result in pixels.
        background (float): Where the depth, brought to [0, 1], is below this, the surface is taken as level.
    """
    import cv2

    depth = depth.astype("float32")
    near = depth - depth.min()
    level = near / max(float(near.max()), 1e-12) < background
    slopes = [cv2.Sobel(depth, cv2.CV_32F, *axes, ksize=3) for axes in ((1, 0), (0, 1))]
    for slope in slopes:
        slope[level] = 0
    normal = np.stack(slopes + [np.full_like(depth, 2 * math.pi)], axis=2)
    normal /= np.sqrt((normal**2).sum(axis=2, keepdims=True))
    colours = (normal * 127.5 + 127.5).clip(0, 255).astype("uint8")
    return Image.fromarray(colours).resize(size)


class _Structure(Tool):
    """A detector of the pool, called with the picture, gives the structure as a picture of the same size."""

    arguments = ONE

    def run(self, context: Context, picture: str):
        source = context.gallery.open(picture).convert("RGB")
        with context.model(self.models[0]) as detect:
            return detect(source).resize(source.size)


class _Painted(Tool):
    """A ControlNet of the pool paints over a structure."""

    arguments = {
        "picture": Argument(PICTURE, "the structure", "结构图"),
        "prompt": Argument(TEXT, "what the new picture shows, in English", "新图片的英文描述"),
    }

    def run(self, context: Context, picture: str, prompt: str):
        with context.model(self.models[0]) as paint:
            return paint(context.gallery.open(picture).convert("RGB"), prompt + QUALITY, seed=context.seed)


@register
class DetectEdges(Tool):
    name = "detect_edges"
    description = "Find the edges (Canny) of a picture."
    description_zh = "提取图片的边缘（Canny）。"
    arguments = ONE
    lineage = "edge"

    def run(self, context: Context, picture: str):
        return Image.fromarray(canny_edges(np.asarray(context.gallery.open(picture).convert("RGB"))))


@register
class PaintFromEdges(_Painted):
    name = "paint_from_edges"
    description = "Paint a new picture over an edge picture."
    description_zh = "根据边缘图画一张新图片。"
    lineage = "canny2image"
    models = ("control-canny",)


@register
class DetectLines(_Structure):
    name = "detect_lines"
    description = "Find the straight lines of a picture."
    description_zh = "提取图片中的直线。"
    lineage = "line-of"
    models = ("lines",)


@register
class PaintFromLines(_Painted):
    name = "paint_from_lines"
    description = "Paint a new picture over a picture of straight lines."
    description_zh = "根据直线图画一张新图片。"
    lineage = "line2image"
    models = ("control-lines",)


@register
class DetectBoundaries(_Structure):
    name = "detect_boundaries"
    description = "Find the soft (HED) boundaries of a picture."
    description_zh = "提取图片的柔和边界（HED）。"
    lineage = "hed-boundary"
    models = ("hed",)


@register
class PaintFromBoundaries(_Painted):
    name = "paint_from_boundaries"
    description = "Paint a new picture over soft (HED) boundaries."
    description_zh = "根据柔和边界图（HED）画一张新图片。"
    lineage = "hed2image"
    models = ("control-hed",)


@register
class MakeScribble(_Structure):
    name = "make_scribble"
    description = "Turn a picture into a rough sketch."
    description_zh = "把图片变成草图。"
    lineage = "scribble"
    models = ("scribble",)


@register
class PaintFromScribble(_Painted):
    name = "paint_from_scribble"
    description = "Paint a new picture over a sketch."
    description_zh = "根据草图画一张新图片。"
    lineage = "scribble2image"
    models = ("control-scribble",)


@register
class DetectPose(_Structure):
    name = "detect_pose"
    description = "Find the pose of the people in a picture."
    description_zh = "提取图片中人物的姿态。"
    lineage = "human-pose"
    models = ("pose",)


@register
class PaintFromPose(_Painted):
    name = "paint_from_pose"
    description = "Paint a new picture with people in a given pose."
    description_zh = "根据姿态图画一张新图片。"
    lineage = "pose2image"
    models = ("control-pose",)


@register
class PaintFromSegments(_Painted):
    name = "paint_from_segments"
    description = "Paint a new picture over a segmentation picture."
    description_zh = "根据分割图画一张新图片。"
    lineage = "segment2image"
    models = ("control-segments",)


@register
class PredictDepth(Tool):
    name = "predict_depth"
    description = "Estimate how far away everything in a picture is (depth map)."
    description_zh = "估计图片的深度。"
    arguments = ONE
    lineage = "depth"
    models = ("depth",)

    def run(self, context: Context, picture: str):
        source = context.gallery.open(picture).convert("RGB")
        with context.model("depth") as depth:
            return depth_picture(depth(source)).resize(source.size)


@register
class PaintFromDepth(_Painted):
    name = "paint_from_depth"
    description = "Paint a new picture over a depth map."
    description_zh = "根据深度图画一张新图片。"
    lineage = "depth2image"
    models = ("control-depth",)


@register
class PredictNormals(Tool):
    name = "predict_normals"
    description = "Estimate the directions of the surfaces in a picture (normal map)."
    description_zh = "估计图片的法线图。"
    arguments = ONE
    lineage = "normal-map"
    models = ("depth",)

    def run(self, context: Context, picture: str):
        source = context.gallery.open(picture).convert("RGB")
        with context.model("depth") as depth:
            return normal_map(depth(source), source.size)


@register
class PaintFromNormals(_Painted):
    name = "paint_from_normals"
    description = "Paint a new picture over a normal map."
    description_zh = "根据法线图画一张新图片。"
    lineage = "normal2image"
    models = ("control-normals",)
