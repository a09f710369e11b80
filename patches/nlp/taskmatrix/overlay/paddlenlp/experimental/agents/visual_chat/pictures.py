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

from __future__ import annotations

import io
import os
import threading
import uuid
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Tuple, Union

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = ["Gallery", "Picture", "PictureError", "derived_name", "fitted_size", "open_upload", "root_name"]

FOLDER = "image"
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MAX_BYTES = 32 << 20
MAX_PIXELS = 36 * 10**6
MAX_PICTURES = 200
SIDE, STEP = 512, 64


class PictureError(ValueError):
    """A picture or its name cannot be used. The message says why, in words that may be shown to the user and the model."""


def root_name(unique: str) -> str:
    """Name of a picture that comes from no other one; `unique` is a UUID: "image/1a2b3c4d.png"."""
    return "{}/{}.png".format(FOLDER, unique[:8])


def derived_name(name: str, made_by: str, unique: str) -> str:
    """Name of a picture made from another: NEW_TOOL_PARENT_ROOT.png, in the parent's folder.

    NEW is the first four characters of `unique`, TOOL is `made_by`, PARENT the first field of the parent's name and ROOT
    the last one, so that each name tells its parent and the upload it goes back to.

    Raises:
        PictureError: The parent's name has neither one field nor four.
    """
    folder, base = os.path.split(name)
    fields = base.split(".")[0].split("_")
    if len(fields) not in (1, 4):
        raise PictureError(
            "{!r} is no name of this gallery: it has {} fields instead of 1 or 4".format(name, len(fields))
        )
    made = "{}_{}_{}_{}.png".format(unique[:4], made_by, fields[0], fields[-1])
    return os.path.join(folder, made)


def fitted_size(width: int, height: int) -> Tuple[int, int]:
    """Size in pixels in which an upload is kept: its longer side becomes 512, then both the nearest multiple of 64.

    Raises:
        PictureError: One side would vanish.
    """
    ratio = min(SIDE / width, SIDE / height)
    # np.round and round take halves to the even neighbour.
    fitted = tuple(int(np.round(round(side * ratio) / STEP)) * STEP for side in (width, height))
    if 0 in fitted:
        raise PictureError("a picture of {}x{} pixels is too narrow".format(width, height))
    return fitted


def open_upload(source: Union[str, bytes]) -> Image.Image:
    """An uploaded picture (its path or its bytes) as RGB, upright, without metadata.

    Nothing is decoded before its format and its number of pixels are known. A 16-bit picture is scaled to 8 bits, and what
    is transparent becomes white.

    Raises:
        PictureError: It is no PNG, JPEG, WebP or BMP, too large, or damaged.
    """
    size = len(source) if isinstance(source, bytes) else os.path.getsize(source)
    if size > MAX_BYTES:
        raise PictureError("the file has {:.0f} MB, at most {} are taken".format(size / 2**20, MAX_BYTES >> 20))
    if not size:
        raise PictureError("the file is empty")
    try:
        picture = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(
            "the picture is too large: at most {} megapixels are taken".format(MAX_PIXELS // 10**6)
        ) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise PictureError("the file is no picture: PNG, JPEG, WebP and BMP are taken") from error
    with picture:
        pixels = picture.width * picture.height
        if pixels > MAX_PIXELS:
            raise PictureError(
                "the picture has {:.0f} megapixels, at most {} are taken".format(pixels / 1e6, MAX_PIXELS // 10**6)
            )
        fitted_size(picture.width, picture.height)
        try:
            picture.load()
            return _plain(ImageOps.exif_transpose(picture))
        except PictureError:
            raise
        except Exception as error:  # decoders raise whatever a damaged file leads them to
            raise PictureError("the picture is damaged: {}".format(error)) from error


def _plain(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture).astype("float64")
        top = 65535.0 if values.max() > 255 else 255.0
        picture = Image.fromarray(np.clip(values * 255.0 / top, 0, 255).round().astype("uint8"))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    plain = picture.convert("RGB")
    plain.info.clear()
    return plain


@dataclass(frozen=True)
class Picture:
    """One picture of a gallery.

    Args:
        name (str): As the model and the user see it.
        made_by (str): Lineage name of the tool, or "upload".
        parent (str): Name of the picture it was made from, or "".
        size (tuple): Width and height in pixels.
    """

    name: str
    made_by: str
    parent: str
    size: Tuple[int, int]


class Gallery:
    """The pictures of one user. A name means something only if this gallery gave it, so no text of a model or a picture can
    name any other file.

    Args:
        folder (str): A directory of this user alone; made if needed.
        unique (callable): Gives a new UUID. Default: uuid.uuid4.
        max_pictures (int): Largest number of pictures that are kept. Default: 200.
    """

    def __init__(self, folder: str, unique: Optional[Callable[[], object]] = None, max_pictures: int = MAX_PICTURES):
        self.folder = os.path.abspath(folder)
        os.makedirs(os.path.join(self.folder, FOLDER), mode=0o700, exist_ok=True)
        self.max_pictures = max_pictures
        self._unique = unique or uuid.uuid4
        self._pictures: Dict[str, Picture] = {}
        self._lock = threading.Lock()

    def __contains__(self, name: str) -> bool:
        return name in self._pictures

    def __iter__(self):
        return iter(list(self._pictures.values()))

    def __len__(self) -> int:
        return len(self._pictures)

    def names(self) -> List[str]:
        """Names of all pictures, oldest first."""
        return list(self._pictures)

    def get(self, name: str) -> Picture:
        """
        Raises:
            PictureError: The name is none of this gallery's. The message names those that there are.
        """
        if name not in self._pictures:
            known = ", ".join(self.names()[-5:]) or "there is none yet"
            raise PictureError("there is no picture {!r}; pictures: {}".format(name[:120], known))
        return self._pictures[name]

    def path(self, name: str) -> str:
        """Where the picture lies. Raises PictureError as :meth:`get`."""
        path = os.path.join(self.folder, *self.get(name).name.split("/"))
        if os.path.islink(path) or os.path.realpath(path) != os.path.join(
            os.path.realpath(self.folder), *name.split("/")
        ):
            raise PictureError("the file of {!r} has been replaced".format(name))
        return path

    def open(self, name: str) -> Image.Image:
        """The picture, decoded; RGB, or RGBA where a tool made it so. Raises PictureError as :meth:`get`."""
        with Image.open(self.path(name), formats=("PNG",)) as picture:
            picture.load()
            return picture.copy()

    def add(self, picture: Image.Image, parent: str = "", made_by: str = "upload") -> str:
        """Keep a picture under a new name; with `parent`, one that tells its lineage.

        Raises:
            PictureError: The parent is unknown, the picture is too large, or there are too many.
        """
        if parent:
            self.get(parent)
        if picture.width * picture.height > MAX_PIXELS:
            raise PictureError("a picture of {}x{} pixels is too large to be kept".format(*picture.size))
        with self._lock:
            if len(self._pictures) >= self.max_pictures:
                raise PictureError("there are {} pictures already, no more are kept".format(self.max_pictures))
            for _ in range(100):
                unique = str(self._unique())
                name = derived_name(parent, made_by, unique) if parent else root_name(unique)
                if name not in self._pictures:
                    break
            else:
                raise PictureError("no new name could be found")
            self._pictures[name] = Picture(name, made_by, parent, picture.size)
        try:
            self._write(picture, os.path.join(self.folder, *name.split("/")))
        except Exception:
            self.drop(name)
            raise
        return name

    @staticmethod
    def _write(picture: Image.Image, path: str) -> None:
        part = path + ".part"
        picture.save(part, format="PNG")
        os.replace(part, path)

    def upload(self, source: Union[str, bytes, Image.Image]) -> str:
        """Keep an upload, in the size of :func:`fitted_size`. Raises PictureError as :func:`open_upload`."""
        picture = _plain(source) if isinstance(source, Image.Image) else open_upload(source)
        return self.add(picture.resize(fitted_size(*picture.size)))

    def drop(self, name: str) -> None:
        """Forget a picture and remove its file; an unknown name is no error."""
        if self._pictures.pop(name, None) is not None:
            path = os.path.join(self.folder, *name.split("/"))
            if os.path.lexists(path):
                os.remove(path)

    def clear(self) -> None:
        """Forget all pictures and remove their files."""
        for name in self.names():
            self.drop(name)

    def lineage(self, name: str) -> List[Picture]:
        """The picture, its parent, and so on to the upload. Raises PictureError as :meth:`get`."""
        line = [self.get(name)]
        while line[-1].parent in self._pictures:
            line.append(self._pictures[line[-1].parent])
        return line
