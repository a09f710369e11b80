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
The sets of Kosmos-2's grounding evaluation, in the files that are published for them.

A row is a dictionary: `dataset`, `image` (path), `prompt`, `width`, `height`, and what its metric needs.
"""

import json
import os
import pickle

__all__ = ["SETS", "read_flickr", "read_mdetr", "read_refer", "read_vqa", "read_captions"]


class _Plain(pickle.Unpickler):
    """REFER's files hold lists, dictionaries, texts and numbers; no class is imported, so that no file can run code."""

    def find_class(self, module, name):
        raise ValueError(f"the file names the class {module}.{name}: it is no file of REFER")


def _json(path):
    with open(path, encoding="utf-8-sig") as stream:
        return json.load(stream)


def _coco_path(images, name):
    """COCO's 2014 images lie in folders by their split, or all in one."""
    folder = "train2014" if "train2014" in name else "val2014"
    path = os.path.join(images, folder, name)
    return path if os.path.isdir(os.path.join(images, folder)) else os.path.join(images, name)


def _referring(dataset, path, phrase, width, height, target):
    row = {"dataset": dataset, "image": path, "prompt": f"<grounding><phrase>{phrase}</phrase>", "phrase": phrase}
    return {**row, "width": width, "height": height, "target": target}


def read_mdetr(annotations, images, tsv=None):
    """
    Rows of MDETR's `finetune_refcoco_val.json` and its like: one expression and one box for each entry.

    Args:
        tsv: the published `*.locout`, whose lines `[image]path<tab><grounding><phrase>...</phrase>` hold the prompts; its paths of
            images are not used.

    Raises:
        ValueError: entries of images and annotations, or lines, that do not belong together.
    """
    content = _json(annotations)
    pairs = list(zip(content["images"], content["annotations"]))
    if len(content["images"]) != len(content["annotations"]):
        raise ValueError(
            f"{annotations}: {len(content['images'])} images and {len(content['annotations'])} annotations"
        )
    rows = []
    for image, annotation in pairs:
        if image["id"] != annotation["image_id"]:
            raise ValueError(
                f"{annotations}: the annotation of image {image['id']} is of image {annotation['image_id']}"
            )
        path = _coco_path(images, image["file_name"])
        size = image["width"], image["height"]
        rows.append(_referring(image["dataset_name"], path, image["caption"], *size, annotation["bbox"]))
    if tsv:
        with open(tsv, encoding="utf-8-sig") as stream:
            prompts = [line.rstrip("\n").split("<tab>") for line in stream if line.strip()]
        if len(prompts) != len(rows) or any(len(parts) != 2 for parts in prompts):
            raise ValueError(f"{tsv} has {len(prompts)} lines for {len(rows)} expressions, or a line without <tab>")
        for number, (row, (_, words)) in enumerate(zip(rows, prompts), 1):
            if row["phrase"].strip() not in words:
                raise ValueError(f"{tsv}, line {number}: {words!r} is no prompt for {row['phrase']!r}")
            row["prompt"] = words
    return rows


def read_refer(annotations, images, split="val"):
    """
    Rows of a folder of REFER: `refs(unc).p` (RefCOCO, RefCOCO+) or `refs(umd).p` (RefCOCOg), and `instances.json`.

    Raises:
        ValueError: no such file, more than one, no expression of that split.
    """
    files = [name for name in sorted(os.listdir(annotations)) if name in ("refs(unc).p", "refs(umd).p")]
    if len(files) != 1:
        raise ValueError(
            f"{annotations} holds {files or 'neither refs(unc).p nor refs(umd).p'}; next: give the folder of one set"
        )
    with open(os.path.join(annotations, files[0]), "rb") as stream:
        references = _Plain(stream, encoding="latin1").load()
    instances = _json(os.path.join(annotations, "instances.json"))
    sizes = {image["id"]: image for image in instances["images"]}
    boxes = {one["id"]: one["bbox"] for one in instances["annotations"]}
    dataset = os.path.basename(os.path.normpath(annotations))
    rows = []
    for reference in references:
        if reference["split"] != split:
            continue
        image = sizes[reference["image_id"]]
        path = _coco_path(images, image["file_name"])
        for sentence in reference["sentences"]:
            size = image["width"], image["height"]
            rows.append(_referring(dataset, path, sentence["sent"], *size, boxes[reference["ann_id"]]))
    if not rows:
        splits = sorted({reference["split"] for reference in references})
        raise ValueError(f"{annotations} has no expression of the split {split!r}; there are {', '.join(splits)}")
    return rows


def read_flickr(annotations, images):
    """Rows of MDETR's `final_flickr_separateGT_test.json`: one for each phrase, behind the caption's words before it."""
    rows = []
    for entry in _json(annotations)["images"]:
        for spans in entry["tokens_positive_eval"]:
            start, end = spans[0]
            phrase, before = entry["caption"][start:end], entry["caption"][:start]
            row = {"dataset": "flickr30k", "image": os.path.join(images, entry["file_name"]), "phrase": phrase}
            row["prompt"] = f"<grounding>{before} <phrase>{phrase}</phrase>"
            row.update(
                width=entry["width"], height=entry["height"], flickr=[entry["original_img_id"], entry["sentence_id"]]
            )
            rows.append(row)
    return rows


def read_captions(annotations, images, split="test"):
    """Rows of Karpathy's `dataset_flickr30k.json` or `dataset_coco.json`."""
    rows = []
    for entry in _json(annotations)["images"]:
        if entry["split"] == split:
            path = os.path.join(images, entry.get("filepath", ""), entry["filename"])
            answers = [sentence["raw"] for sentence in entry["sentences"]]
            rows.append({"dataset": "caption", "image": path, "prompt": "An image of", "answers": answers})
    return rows


def read_vqa(annotations, images, questions=None):
    """
    Rows of VQAv2: `v2_OpenEnded_mscoco_val2014_questions.json` as `questions`, and its annotations.

    Raises:
        ValueError: an annotation of a question that is not there.
    """
    asked = {one["question_id"]: one for one in _json(questions)["questions"]}
    rows = []
    for one in _json(annotations)["annotations"]:
        if one["question_id"] not in asked:
            raise ValueError(f"{questions} lacks the question {one['question_id']} of {annotations}")
        name = "COCO_val2014_%012d.jpg" % one["image_id"]
        words = f"Question: {asked[one['question_id']]['question']} Answer:"
        answers = [each["answer"] for each in one["answers"]]
        rows.append({"dataset": "vqa", "image": _coco_path(images, name), "prompt": words, "answers": answers})
    return rows


SETS = {"mdetr": read_mdetr, "refer": read_refer, "flickr30k": read_flickr, "caption": read_captions, "vqa": read_vqa}
