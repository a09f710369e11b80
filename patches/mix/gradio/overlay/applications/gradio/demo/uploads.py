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
"""What users upload, made safe: prompts, images, and zips of images.

Nothing here trusts a name, a size or a type that an upload claims.
"""

import math
import os
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass

from PIL import Image, ImageOps

from .words import Refused

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")
_CHUNK = 1 << 20
# all that zipfile raises for a damaged file
_BROKEN_ZIP = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, NotImplementedError, EOFError)
_BROKEN_ZIP += (OSError, ValueError, RuntimeError)
_ORIENTATION = 0x0112  # the tag of EXIF that says how the camera was held


@dataclass(frozen=True)
class Limits:
    """The most that one run takes."""

    megapixels: float = 36.0
    file_mb: int = 64
    files: int = 500
    unpacked_mb: int = 1024
    ratio: int = 200
    prompt: int = 1000


@dataclass(frozen=True)
class Upload:
    """An image file on disk, and the relative path ("/" between parts) under which its user knows it."""

    name: str
    path: str


def check_prompt(text, limits, required=True):
    """The prompt without blanks at its ends. Raises Refused for an empty one (where it is required) and for a long one."""
    text = (text or "").strip()
    if required and not text:
        raise Refused("no_prompt")
    if len(text) > limits.prompt:
        raise Refused("long_prompt", length=len(text), limit=limits.prompt)
    return text


def check_number(name, value, low, high, kind=int):
    """`value` as `kind` (int or float), within [low, high]; anything else raises Refused."""
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise Refused("bad_number", name=name, value=value, low=low, high=high) from None
    if not math.isfinite(number) or number < low or number > high:
        raise Refused("bad_number", name=name, value=value, low=low, high=high)
    return number


def check_image(upload, limits):
    """Opens an upload far enough to know its format and size; pixels are decoded only after the size was found good.

    Returns:
        PIL.Image.Image: loaded, not yet turned as its EXIF says.
    """
    size = os.path.getsize(upload.path)
    if size == 0:
        raise Refused("empty_file", name=upload.name)
    if size > limits.file_mb << 20:
        raise Refused("big_file", name=upload.name, limit=limits.file_mb)
    try:
        image = Image.open(upload.path, formats=FORMATS)
    except Image.DecompressionBombError:
        raise Refused("too_many_pixels", name=upload.name, megapixels="> 178", limit=limits.megapixels) from None
    except Exception:  # Pillow raises whatever a broken header leads it to
        raise Refused("not_an_image", name=upload.name) from None
    megapixels = image.width * image.height / 1e6
    if megapixels > limits.megapixels:
        image.close()
        raise Refused("too_many_pixels", name=upload.name, megapixels=round(megapixels, 1), limit=limits.megapixels)
    try:
        image.load()
    except Exception:
        raise Refused("cut_short", name=upload.name) from None
    return image


def read_image(upload, limits):
    """RGB image, turned upright as its EXIF says (labelme turns it, too). Raises Refused."""
    return on_white(ImageOps.exif_transpose(check_image(upload, limits)))


def on_white(image):
    """An image of any mode as RGB: what is transparent shows white and not the colour that it hides, 16 bits are scaled to 8."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        low, high = image.getextrema()
        sixteen = image.mode != "I" or high > 255  # mode I may hold 8 bits; a dark picture of 16 bits stays dark
        image = image.convert("I").point(lambda value: value * (1 / 257 if sixteen else 1)).convert("L")
    elif image.mode == "F":
        low, high = image.getextrema()
        image = image.point(lambda value: value * (255 / high if high > 0 else 0)).convert("L")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def is_turned(path):
    """Whether an image file is stored in another orientation than it is shown in."""
    with Image.open(path) as image:
        return image.getexif().get(_ORIENTATION, 1) != 1


def gather(paths, folder, limits):
    """The images among uploaded files; zips are unpacked into `folder`.

    Args:
        paths (list): (path, the name that its user gave it), which gradio's own path lacks some letters of.
        folder (str): an empty directory.

    Returns:
        tuple: list of Upload with different names, and list of (name, Refused) for files that are no images.

    Raises:
        Refused: nothing at all can be taken, or a zip is unsafe. An unsafe zip ends the whole run: nobody makes one by mistake.
    """
    if not paths:
        raise Refused("no_files")
    uploads, left_out, taken = [], [], set()
    for path, name in paths:
        if os.path.getsize(path) == 0:
            left_out.append((name, Refused("empty_file", name=name)))
        elif name.lower().endswith(".zip"):
            inside, others = unpack(path, name, os.path.join(folder, "zip%d" % len(taken)), limits)
            uploads += [Upload(_other_name(upload.name, taken), upload.path) for upload in inside]
            left_out += others
        elif name.lower().endswith(SUFFIXES):
            uploads.append(Upload(_other_name(name, taken), path))
        else:
            left_out.append((name, Refused("not_an_image", name=name)))
        if len(uploads) > limits.files:
            raise Refused("many_files", count=len(uploads), limit=limits.files)
    if not uploads:
        raise left_out[0][1] if len(left_out) == 1 else Refused("no_images")
    return uploads, left_out


def unpack(path, archive_name, folder, limits):
    """The images of a zip, below `folder`. Raises Refused for a zip that is damaged or unsafe.

    The sizes that a zip declares are not believed: bytes are counted while they are unpacked.
    """
    uploads, left_out, seen, total = [], [], set(), 0
    most = limits.unpacked_mb << 20
    bomb = {"name": archive_name, "limit": limits.unpacked_mb, "ratio": limits.ratio}
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > 4 * limits.files:
                raise Refused("many_files", count=len(entries), limit=4 * limits.files)
            for entry in entries:
                _check_entry(archive_name, entry, seen)
            if sum(entry.file_size for entry in entries) > most:
                raise Refused("zip_bomb", entry="%d MB" % (sum(e.file_size for e in entries) >> 20), **bomb)
            for number, entry in enumerate(entries):
                name = readable_name(entry)
                if entry.is_dir() or _is_litter(name):
                    continue
                if not name.lower().endswith(SUFFIXES):
                    left_out.append((name, Refused("not_an_image", name=name)))
                    continue
                # a number of ours, so that no name of theirs ever reaches the file system
                target = os.path.join(folder, "%05d%s" % (number, os.path.splitext(name)[1].lower()))
                os.makedirs(folder, exist_ok=True)
                size = 0
                with archive.open(entry) as source, open(target, "wb") as sink:
                    while block := source.read(_CHUNK):
                        size += len(block)
                        if total + size > most or size > limits.file_mb << 20:
                            raise Refused("zip_bomb", entry=name, **bomb)
                        if size > _CHUNK and size > limits.ratio * max(entry.compress_size, 1):
                            raise Refused("zip_bomb", entry=name, **bomb)
                        sink.write(block)
                total += size
                if size == 0:
                    left_out.append((name, Refused("empty_file", name=name)))
                else:
                    uploads.append(Upload(name, target))
    except _BROKEN_ZIP:
        raise Refused("bad_zip", name=archive_name) from None
    return uploads, left_out


def readable_name(entry):
    """Name of a zip's entry with "/" between its parts. Chinese Windows writes GBK without saying so."""
    name = entry.filename
    if not entry.flag_bits & 0x800:
        for encoding in ("utf-8", "gbk"):
            try:
                name = name.encode("cp437").decode(encoding)
                break
            except UnicodeError:
                pass
    return name.replace("\\", "/")


def _check_entry(archive_name, entry, seen):
    name = readable_name(entry)
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or ".." in parts or "\0" in name or ":" in parts[0] or not name.strip("/"):
        raise Refused("zip_path", name=archive_name, entry=name)
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Refused("zip_link", name=archive_name, entry=name)
    if entry.flag_bits & 0x1:
        raise Refused("zip_encrypted", name=archive_name, entry=name)
    if name.lower() in seen:
        raise Refused("zip_twice", name=archive_name, entry=name)
    seen.add(name.lower())


def _is_litter(name):
    """What operating systems put into zips unasked."""
    return name.startswith("__MACOSX/") or os.path.basename(name) in (".DS_Store", "Thumbs.db")


def _other_name(name, taken):
    """`name`, or name_2, name_3, ...: two images never share a stem, since the JSON files would share a name."""
    stem, suffix = os.path.splitext(name)
    candidate, number = stem, 1
    while candidate.lower() in taken:
        number += 1
        candidate = "%s_%d" % (stem, number)
    taken.add(candidate.lower())
    return candidate + suffix
