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

import io
import os
import struct
import zlib

import numpy as np
from paddlenlp.experimental.agents.visual_chat import PictureError
from paddlenlp.experimental.agents.visual_chat.pictures import open_upload
from PIL import Image

from .common import AgentCase


def encoded(picture, format="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def png(width, height, rows=b""):
    """A PNG that says it has so many pixels, with the given (compressed) rows."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


class UploadTest(AgentCase):
    def test_what_is_no_picture_or_too_large_is_refused(self):
        svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
        bomb = png(20000, 20000, zlib.compress(b"\0" * 1000000, 9))
        gif = encoded(Image.new("P", (64, 64)), "GIF")
        for data, told in (
            (svg, "no picture"),
            (b"", "empty"),
            (b"\x89PNG\r\n\x1a\n", "no picture"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),
            (gif, "no picture"),
            (bomb, "megapixels"),
            (png(7000, 6000), "42 megapixels"),
            (png(2**31 - 1, 2**31 - 1), "megapixels|too large|no picture"),
            (png(64, 64, zlib.compress(b"\0" * 10)), "damaged"),
            (png(64, 64, b"nonsense"), "damaged"),
            (b"\x89PNG" + b"\0" * (33 << 20), "MB, at most"),
            (encoded(Image.new("RGB", (3000, 10))), "too narrow"),
        ):
            with self.assertRaisesRegex(PictureError, told):
                open_upload(data)

    def test_a_file_of_any_name_is_judged_by_its_content(self):
        path = os.path.join(self.folder, "photo.png")
        with open(path, "wb") as stream:
            stream.write(b"<svg/>")
        with self.assertRaises(PictureError):
            open_upload(path)

    def test_kinds_of_pictures(self):
        clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
        self.assertEqual(open_upload(encoded(clear)).getpixel((0, 0)), (255, 255, 255))
        deep = Image.fromarray(np.full((64, 64), 65535, "uint16"))
        self.assertEqual(open_upload(encoded(deep)).getpixel((0, 0)), (255, 255, 255))
        deep = Image.fromarray(np.tile(np.array([0, 32768], "uint16"), (64, 32)))
        self.assertEqual([open_upload(encoded(deep)).getpixel((x, 0))[0] for x in (0, 1)], [0, 128])
        palette = Image.new("P", (64, 64), 1)
        palette.putpalette([0, 0, 0, 9, 8, 7] + [0] * 762)
        self.assertEqual(open_upload(encoded(palette, transparency=0)).getpixel((0, 0)), (9, 8, 7))
        one = Image.new("1", (64, 64), 1)
        self.assertEqual(open_upload(encoded(one)).getpixel((0, 0)), (255, 255, 255))
        photo = Image.new("RGB", (80, 64))
        exif = photo.getexif()
        exif[0x0112] = 6
        exif[0x010E] = "where I live"
        upright = open_upload(encoded(photo, "JPEG", exif=exif))
        self.assertEqual((upright.size, dict(upright.getexif())), ((64, 80), {}))
        self.assertEqual(open_upload(encoded(photo, "WEBP")).size, (80, 64))

    def test_nothing_of_the_upload_is_kept_but_its_pixels(self):
        photo = Image.new("RGB", (64, 64))
        exif = photo.getexif()
        exif[0x010E] = "where I live"
        session = self.session()
        name = session.gallery.upload(encoded(photo, "JPEG", exif=exif, comment=b"secret"))
        with open(session.gallery.path(name), "rb") as stream:
            data = stream.read()
        self.assertNotIn(b"where I live", data)
        self.assertNotIn(b"secret", data)


class GalleryTest(AgentCase):
    def test_a_name_means_only_what_the_gallery_gave(self):
        outside = os.path.join(self.folder, "secret.png")
        Image.new("RGB", (8, 8)).save(outside)
        gallery = self.shown(self.session()).gallery
        for name in (
            outside,
            "../secret.png",
            "image/../../secret.png",
            "image/00000000.png/../../../secret.png",
            "image\\00000000.png",
            "./image/00000000.png",
            "image//00000000.png",
            "IMAGE/00000000.PNG",
            "image/00000000.png\x00",
            "file:///etc/passwd",
            "http://example.org/x.png",
            "~/x.png",
            "",
            "image",
        ):
            for reach in (gallery.get, gallery.path, gallery.open):
                with self.assertRaises(PictureError):
                    reach(name)
            with self.assertRaises(PictureError):
                gallery.add(Image.new("RGB", (8, 8)), name or "image", "edge")
        self.assertEqual(gallery.names(), ["image/00000000.png"])

    def test_a_file_that_was_replaced_by_a_link_is_not_opened(self):
        gallery = self.shown(self.session()).gallery
        path = gallery.path("image/00000000.png")
        outside = os.path.join(self.folder, "secret.png")
        Image.new("RGB", (8, 8)).save(outside)
        os.remove(path)
        os.symlink(outside, path)
        with self.assertRaisesRegex(PictureError, "replaced"):
            gallery.open("image/00000000.png")

    def test_users_do_not_see_each_other(self):
        one, two = self.shown(self.session("one")), self.session("two")
        self.assertIn("image/00000000.png", one.gallery)
        with self.assertRaisesRegex(PictureError, "none yet"):
            two.gallery.open("image/00000000.png")
        two.clear()
        self.assertEqual(one.gallery.open("image/00000000.png").size, (64, 48))
        self.assertEqual(os.stat(os.path.join(one.gallery.folder, "image")).st_mode & 0o077, 0)

    def test_lineage(self):
        gallery = self.shown(self.session()).gallery
        first = gallery.add(Image.new("RGB", (8, 8)), "image/00000000.png", "edge")
        second = gallery.add(Image.new("RGB", (8, 8)), first, "canny2image")
        self.assertEqual(second, "image/2000_canny2image_1000_00000000.png")
        self.assertEqual([p.made_by for p in gallery.lineage(second)], ["canny2image", "edge", "upload"])

    def test_names_that_collide_are_drawn_again_and_the_number_is_bounded(self):
        session = self.session()
        session.gallery._unique = iter(["a" * 32, "a" * 32, "b" * 32]).__next__
        session.gallery.max_pictures = 2
        self.assertEqual(
            [session.gallery.add(Image.new("RGB", (8, 8))) for _ in range(2)],
            ["image/aaaaaaaa.png", "image/bbbbbbbb.png"],
        )
        with self.assertRaisesRegex(PictureError, "no more"):
            session.gallery.add(Image.new("RGB", (8, 8)))

    def test_a_picture_that_cannot_be_written_leaves_no_name(self):
        gallery = self.session().gallery
        os.rmdir(os.path.join(gallery.folder, "image"))
        with self.assertRaises(OSError):
            gallery.add(Image.new("RGB", (8, 8)))
        self.assertEqual(len(gallery), 0)
