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
The held-out sets of table 1 (arXiv:2305.06500): how each is read, asked and scored.

Every reader gives rows of the same kind: `images` (paths), `text` (the whole instruction), and `answers` (list of text), or
`candidates` (list of text) with `gold` (index). Instructions are those of the article's appendix E; the annotation files are those
that the sets publish.
"""

import csv
import glob
import json
import os
from dataclasses import dataclass
from typing import Callable

SHORT = "Question: {} Short answer:"


@dataclass
class EvalSet:
    """
    read: (annotation file, image folder) -> rows. metric: one of `run_eval.py`'s. options: of `generate`; None: candidates are ranked.
    paper: table 1's figures in the order FlanT5-XL, FlanT5-XXL, Vicuna-7B, Vicuna-13B.
    """

    read: Callable
    metric: str
    options: dict
    paper: tuple


CAPTION = {"num_beams": 5, "max_new_tokens": 30, "min_length": 10, "length_penalty": 1.0}
ANSWER = {"num_beams": 5, "max_new_tokens": 10, "min_length": 1, "length_penalty": -1.0}


def _json(path):
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def _lines(path):
    with open(path, encoding="utf-8") as stream:
        return [json.loads(line) for line in stream if line.strip()]


def captions(file, folder):
    """NoCaps and others in COCO's format: {"images": [{id, file_name}], "annotations": [{image_id, caption}]}."""
    data, texts = _json(file), {}
    for one in data["annotations"]:
        texts.setdefault(one["image_id"], []).append(one["caption"])
    return [
        {
            "images": [os.path.join(folder, image["file_name"])],
            "text": "A short image description:",
            "answers": texts[image["id"]],
        }
        for image in data["images"]
    ]


def flickr30k(file, folder):
    """Karpathy's file: {"images": [{filename, split, sentences: [{raw}]}]}; the test split."""
    return [
        {
            "images": [os.path.join(folder, image["filename"])],
            "text": "A short image description:",
            "answers": [one["raw"] for one in image["sentences"]],
        }
        for image in _json(file)["images"]
        if image["split"] == "test"
    ]


def gqa(file, folder):
    """testdev_balanced_questions.json: {id: {imageId, question, answer}}."""
    return [
        {
            "images": [os.path.join(folder, row["imageId"] + ".jpg")],
            "text": SHORT.format(row["question"]),
            "answers": [row["answer"]],
        }
        for row in _json(file).values()
    ]


def vsr(file, folder):
    """JSON lines {image, caption, label}."""
    ask = 'Based on the image, is this statement true or false? "{}" Answer:'
    return [
        {
            "images": [os.path.join(folder, row["image"])],
            "text": ask.format(row["caption"].rstrip()),
            "candidates": ["false", "true"],
            "gold": int(row["label"]),
        }
        for row in _lines(file)
    ]


def iconqa(file, folder):
    """{id: {question, choices, answer}}, images in folder/id/image.png (the choose-text part)."""
    rows = []
    for key, row in _json(file).items():
        text = f"Question: {row['question']} Options: {_options(row['choices'])}. Short answer:"
        image = [os.path.join(folder, str(key), "image.png")]
        rows.append({"images": image, "text": text, "candidates": row["choices"], "gold": int(row["answer"])})
    return rows


def textvqa(file, folder):
    """TextVQA_0.5.1_val.json with "ocr_tokens" in each row where they are known: {"data": [{image_id, question, answers}]}."""
    return [
        {
            "images": [os.path.join(folder, row["image_id"] + ".jpg")],
            "text": f"OCR tokens: {', '.join(row.get('ocr_tokens', [])[:30])}. {SHORT.format(row['question'])}",
            "answers": row["answers"],
        }
        for row in _json(file)["data"]
    ]


def visdial(file, folder):
    """visdial_1.0_val.json: {"data": {dialogs: [{image_id, caption, dialog}], questions, answers}}; the gold rank."""
    data, rows = _json(file)["data"], []
    for one in data["dialogs"]:
        image = os.path.join(folder, f"VisualDialog_val2018_{one['image_id']:012d}.jpg")
        history = [f"caption: {one['caption']}"]
        for turn in one["dialog"]:
            question = data["questions"][turn["question"]]
            text = f"Dialog history: {' '.join(history)}\n {SHORT.format(question + '?')}"
            candidates = [data["answers"][index] for index in turn["answer_options"]]
            rows.append({"images": [image], "text": text, "candidates": candidates, "gold": int(turn["gt_index"])})
            history.append(f"question: {question}? answer: {data['answers'][turn['answer']]}")
    return rows


def hateful_memes(file, folder):
    """JSON lines {img, text, label}."""
    ask = 'This is an image with: "{}" written on it. Is it hateful? Answer:'
    return [
        {
            "images": [os.path.join(folder, row["img"])],
            "text": ask.format(row["text"]),
            "candidates": ["no", "yes"],
            "gold": int(row["label"]),
        }
        for row in _lines(file)
    ]


def vizwiz(file, folder):
    """val.json: [{image, question, answers: [{answer}]}]."""
    return [
        {
            "images": [os.path.join(folder, row["image"])],
            "text": SHORT.format(row["question"]),
            "answers": [one["answer"] for one in row["answers"]],
        }
        for row in _json(file)
    ]


def scienceqa(file, folder):
    """problems.json: {id: {question, choices, answer, hint, image, split}}; test questions that have an image."""
    rows = []
    for key, row in _json(file).items():
        if row["split"] == "test" and row["image"]:
            text = f"Context: {row['hint']} Question: {row['question']} Options: {_options(row['choices'])}. Answer:"
            image = [os.path.join(folder, row["split"], str(key), row["image"])]
            candidates = [f"({letter}) {choice}" for letter, choice in zip("abcdefgh", row["choices"])]
            rows.append({"images": image, "text": text, "candidates": candidates, "gold": int(row["answer"])})
    return rows


def video_qa(file, folder):
    """MSVD-QA, MSRVTT-QA: [{video_id or video, question, answer}]; folder/<video>/*.jpg are its frames in order."""
    return [
        {
            "images": frames(os.path.join(folder, str(row.get("video", row.get("video_id"))))),
            "text": SHORT.format(row["question"]),
            "answers": [row["answer"]],
        }
        for row in _json(file)
    ]


def ivqa(file, folder):
    """test.csv with video_id, question, answer1 ... answer5."""
    with open(file, encoding="utf-8", newline="") as stream:
        return [
            {
                "images": frames(os.path.join(folder, row["video_id"])),
                "text": SHORT.format(row["question"]),
                "answers": [row[f"answer{number}"] for number in range(1, 6)],
            }
            for row in csv.DictReader(stream)
        ]


def frames(folder, number=4):
    """`number` frames of a video's folder, evenly spaced (the middle of each of `number` parts)."""
    files = sorted(glob.glob(os.path.join(folder, "*.jpg")))
    if not files:
        raise FileNotFoundError(f"{folder} holds no frame *.jpg; next: extract frames of the videos, one folder each")
    return [files[int((index + 0.5) * len(files) / number)] for index in range(number)]


def _options(choices):
    return " ".join(f"({letter}) {choice}" for letter, choice in zip("abcdefgh", choices))


SETS = {
    "nocaps": EvalSet(captions, "cider", CAPTION, (119.9, 120.0, 123.1, 121.9)),
    "flickr30k": EvalSet(flickr30k, "cider", CAPTION, (84.5, 83.5, 82.4, 82.8)),
    "gqa": EvalSet(gqa, "exact", ANSWER, (48.4, 47.9, 49.2, 49.5)),
    "vsr": EvalSet(vsr, "ranking", None, (64.8, 65.6, 54.3, 52.1)),
    "iconqa": EvalSet(iconqa, "ranking", None, (50.0, 51.2, 43.1, 44.8)),
    "textvqa": EvalSet(textvqa, "vqa", ANSWER, (46.6, 46.6, 50.1, 50.7)),
    "visdial": EvalSet(visdial, "mrr", None, (46.6, 48.5, 45.2, 45.4)),
    "hateful_memes": EvalSet(hateful_memes, "auc", None, (56.6, 54.1, 59.6, 57.5)),
    "vizwiz": EvalSet(vizwiz, "vqa", ANSWER, (32.7, 30.9, 34.5, 33.4)),
    "scienceqa": EvalSet(scienceqa, "ranking", None, (70.4, 70.6, 60.5, 63.1)),
    "msvd": EvalSet(video_qa, "exact", ANSWER, (43.4, 44.3, 41.8, 41.2)),
    "msrvtt": EvalSet(video_qa, "exact", ANSWER, (25.0, 25.6, 22.1, 24.8)),
    "ivqa": EvalSet(ivqa, "ivqa", ANSWER, (53.1, 53.8, 52.2, 51.0)),
}
