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
"""
COCO and Flickr30k for retrieval: the published files of Karpathy's splits, pictures of a folder or a zip file, and what the model gets of both.
"""

import json
import os
import zipfile

import numpy as np
from PIL import Image

__all__ = ["DataError", "read_karpathy", "Pictures", "Processor"]


class DataError(ValueError):
    """A fault of an input file: message with the file, the id and what to do next."""


def read_karpathy(path, split="test", limit=None):
    """
    Pictures and all their captions.

    Formats: Karpathy's dataset_coco.json and dataset_flickr30k.json ({"images": [{"filepath", "filename", "split", "sentences": [{"raw"}]}]}),
    and LAVIS' coco_karpathy_{test,val}.json, flickr30k_{test,val}.json ([{"image", "caption": [str]}]) and coco_karpathy_train.json
    ([{"image", "caption": str}], a row for each caption), which hold one split each. "train" takes COCO's "restval" as well.

    Returns:
        list of {"image": name of the picture, "captions": list of str}, in the file's order.

    Raises:
        DataError: no such file, no JSON, a row without picture or captions, a picture that stands there twice, no row of the split.
    """
    try:
        with open(path, encoding="utf-8-sig") as stream:
            data = json.load(stream)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; next: give the annotation file that the set publishes")
    except ValueError as error:
        raise DataError(f"{path}: is no JSON ({error}); next: download the file again")
    rows, place = [], {}
    try:
        if isinstance(data, list):
            for number, row in enumerate(data):
                name, captions = row["image"], row["caption"]
                if isinstance(captions, str):  # a row for each caption
                    if name in place:
                        rows[place[name]]["captions"].append(captions)
                        continue
                    captions = [captions]
                elif name in place:
                    raise DataError(f"{path}: picture {name} stands there twice; next: download the file again")
                place[name] = len(rows)
                rows.append({"image": name, "captions": list(captions)})
        else:
            splits = ("train", "restval") if split == "train" else (split,)
            for number, row in enumerate(data["images"]):
                if row["split"] not in splits:
                    continue
                name = "/".join(part for part in (row.get("filepath", ""), row["filename"]) if part)
                if name in place:
                    raise DataError(f"{path}: picture {name} stands there twice; next: download the file again")
                place[name] = len(rows)
                rows.append({"image": name, "captions": [one["raw"] for one in row["sentences"]]})
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: row {number if 'number' in locals() else 0} lacks {error}; next: is this Karpathy's file?"
        )
    for row in rows:
        if not row["captions"] or not all(isinstance(one, str) and one.strip() for one in row["captions"]):
            raise DataError(
                f"{path}: picture {row['image']} has no caption, or one that is no text; next: download it again"
            )
    if not rows:
        raise DataError(f"{path}: gives no picture (split {split!r}); next: look at --annotations and --split")
    return rows[:limit]


class Pictures:
    """
    Pictures by name.

    Args:
        root: a folder, or a .zip file of one; a folder in it that all names share (`val2014/`) may be left out of the names.
    """

    def __init__(self, root):
        self.root, self.names = root, None
        if os.path.isfile(root):
            if not zipfile.is_zipfile(root):
                raise DataError(f"{root}: is no folder and no zip file; next: look at --images")
            with zipfile.ZipFile(root) as archive:
                self.names = set(archive.namelist())
        elif not os.path.isdir(root):
            raise DataError(f"{root}: there is no such folder; next: look at --images")

    def _in_archive(self, name):
        ends = [one for one in (name, os.path.basename(name)) if one in self.names]
        if not ends:
            ends = [one for one in self.names if one.endswith("/" + name)][:1]
        return ends[0] if ends else None

    def holds(self, name):
        return (
            os.path.isfile(os.path.join(self.root, name)) if self.names is None else self._in_archive(name) is not None
        )

    def check(self, names):
        """Raises DataError where a picture is missing; the message names the first."""
        missing = [name for name in names if not self.holds(name)]
        if missing:
            raise DataError(
                f"{self.root}: {missing[0]} is missing, {len(missing)} of {len(names)} are; next: look at --images, or take --limit"
            )

    def open(self, name):
        """The picture as an upright PIL.Image of mode RGB. Raises DataError where it cannot be read."""
        from paddlemix.processors.pictures import upright_rgb

        try:
            if self.names is None:
                with Image.open(os.path.join(self.root, name)) as image:
                    return upright_rgb(image)
            # the archive is opened anew: an open one must not be shared with data workers
            with zipfile.ZipFile(self.root) as archive, archive.open(self._in_archive(name)) as stream:
                return upright_rgb(Image.open(stream))
        except (OSError, SyntaxError, TypeError, KeyError, zipfile.BadZipFile, Image.DecompressionBombError) as error:
            raise DataError(f"{self.root}: {name} cannot be read ({error}); next: download it again")


class Processor:
    """
    What the model gets: pictures squeezed to a square, and captions cleaned as BLIP's are, cut at their end.

    Args:
        path: directory with the `vocab.txt` of bert-base-uncased. image_size: pixels. max_length: tokens of a caption; LAVIS has 35.
    """

    def __init__(self, path, image_size=364, max_length=35):
        from paddlemix.processors.blip_processing import BlipTextProcessor
        from paddlemix.processors.instructblip_processing import InstructBlipImageProcessor
        from paddlenlp.transformers import BertTokenizer

        words = os.path.join(path, "vocab.txt")
        if not os.path.isfile(words):
            raise DataError(f"{words}: there is no such file; next: put the vocab.txt of bert-base-uncased there")
        self.tokenizer = BertTokenizer(words, do_lower_case=True)
        self.tokenizer.add_special_tokens({"bos_token": "[DEC]"})
        self.images, self.cleaner = InstructBlipImageProcessor(size=image_size), BlipTextProcessor(do_caption=True)
        self.max_length = max_length

    def texts(self, captions):
        """(ids, mask) [N, max_length], int64."""
        cleaned = [self.cleaner.pre_caption(one) for one in captions]
        made = self.tokenizer(
            cleaned,
            padding="max_length",
            truncation=True,
            max_length=self.max_length,
            return_attention_mask=True,
            return_token_type_ids=False,
        )
        return np.array(made["input_ids"], np.int64), np.array(made["attention_mask"], np.int64)

    def pictures(self, images):
        """PIL images -> [N, 3, size, size], float32."""
        return np.asarray(self.images(images)["pixel_values"], np.float32)
