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
"""Pictures and rows of ids as processors take them, whatever a user gives."""

import io
import os

import numpy as np
import paddle
import requests
from PIL import Image, ImageOps

__all__ = ["pad", "upright_rgb"]


def upright_rgb(image, background="white"):
    """
    One picture as an upright `PIL.Image` of mode RGB.

    Args:
        image:
            `PIL.Image` of any mode but F; `ndarray` or `Tensor` of uint8 or uint16, [H, W], [H, W, C] or [C, H, W] with 1, 3 or 4
            channels; a path or an address. 16 bits are scaled to 8, what is transparent shows `background`, EXIF's rotation is applied.
        background (`str`): a colour's name; `None` leaves transparency out of account, as `convert("RGB")` does.

    Raises:
        TypeError: something else; floating point values, whose range is not known.
        ValueError: no such file; an array of another shape.
    """
    if isinstance(image, (str, os.PathLike)):
        image = _open(os.fspath(image))
    if isinstance(image, (np.ndarray, paddle.Tensor)):
        image = _from_array(np.asarray(image))
    if not isinstance(image, Image.Image):
        raise TypeError(f"an image is a PIL.Image, an array, a path or an address, not {type(image).__name__}")
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise TypeError("a picture of mode F has values of an unknown range; next: give uint8 or uint16")
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.asarray(image, np.int64)
        sixteen = image.mode != "I" or grey.max() > 255  # mode I may hold 8 bits; a dark picture of 16 bits stays dark
        grey = grey // 257 if sixteen else grey
        image = Image.fromarray(grey.clip(0, 255).astype("uint8"))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        if background is not None:
            image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    return image.convert("RGB")


def _open(path):
    if path.startswith(("http://", "https://")):
        return Image.open(io.BytesIO(requests.get(path, timeout=60).content))
    if not os.path.isfile(path):
        raise ValueError(f"{path} is not a valid path, and no address (http://, https://)")
    return Image.open(path)


def _from_array(array):
    """[H, W], [H, W, C] or [C, H, W] of uint8 or uint16 as a `PIL.Image`."""
    if array.dtype not in (np.uint8, np.uint16):
        raise TypeError(
            f"an image array has to be uint8 (or uint16), this one is {array.dtype}; scaling to [0, 1] follows here"
        )
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (1, 3, 4)) or 0 in array.shape:
        raise ValueError(
            f"an image array is [H, W], [H, W, C] or [C, H, W] with 1, 3 or 4 channels, not {array.shape}"
        )
    array = (array // 257).astype("uint8") if array.dtype == np.uint16 else array
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array))


def pad(rows, value, left=False):
    """Lists of ids as one array [N, L] of int64, and its mask."""
    length = max(len(row) for row in rows)
    ids = np.full([len(rows), length], value, np.int64)
    mask = np.zeros([len(rows), length], np.int64)
    for index, row in enumerate(rows):
        place = slice(length - len(row), length) if left else slice(0, len(row))
        ids[index, place], mask[index, place] = row, 1
    return ids, mask
