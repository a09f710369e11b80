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
Metrics of grounding: accuracy of referring expressions (RefCOCO, RefCOCO+, RefCOCOg) and recall of phrases (Flickr30k Entities).

Rules of microsoft/unilm @ 768a3c8, `kosmos-2/evaluation`, measured on made predictions; no code of it is used. Boxes are (x1, y1, x2, y2)
in pixels. A prediction without a box for its phrase counts as an empty box, and so as wrong.
"""

import xml.etree.ElementTree
from collections import defaultdict

import numpy as np

__all__ = ["FlickrEntities", "box_iou", "box_row", "boxes_of_phrase", "prediction_texts", "referring_accuracy"]

NO_BOX = [0.0, 0.0, 0.0, 0.0]


def box_iou(boxes, targets):
    """Intersection over union [N, M] of boxes [N, 4] and [M, 4], in their type; 0 where both are empty."""
    boxes, targets = np.asarray(boxes), np.asarray(targets)
    low = np.maximum(boxes[:, None, :2], targets[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], targets[None, :, 2:])
    sides = (high - low).clip(0)
    common = sides[..., 0] * sides[..., 1]
    area, other = ((many[:, 2] - many[:, 0]) * (many[:, 3] - many[:, 1]) for many in (boxes, targets))
    union = area[:, None] + other[None] - common
    return np.divide(common, union, out=np.zeros_like(common, dtype=union.dtype), where=union != 0)


def boxes_of_phrase(entities, phrase, width, height):
    """Boxes in pixels of the entities (phrase, span, boxes) that are called `phrase`; one empty box if there are none."""
    scale = (width, height, width, height)
    found = [
        [v * s for v, s in zip(box, scale)] for name, _, boxes in entities for box in boxes if name == phrase.strip()
    ]
    return found or [NO_BOX]


def prediction_texts(lines):
    """
    Texts behind the image in the lines `H-<number>\\t<score>\\t<text>` that the published program prints; other lines are left out.
    """
    first = [line.rstrip("\n").split("\t")[0] for line in lines]
    keep = ["H-" in word and word.split("-")[-1].isdigit() for word in first]
    return [line.rstrip("\n").split("</image>")[-1] for line, kept in zip(lines, keep) if kept]


def box_row(dataset, boxes, target):
    """
    How a referring expression was found: IoU of the first box, of the mean of all boxes, and of the best one.

    Args:
        dataset (`str`): `refcoco`, `refcoco+`, `refcocog`, ...
        boxes: of the prediction, one at least.
        target: the annotated box (x, y, width, height).
    """
    x, y, width, height = target
    target, boxes = np.array([[x, y, x + width, y + height]], "float32"), np.array(boxes, "float32")
    ious = box_iou(boxes, target)[:, 0]
    mean = box_iou(boxes.mean(axis=0, keepdims=True), target)[0, 0]
    return {"dataset": dataset, "iou": ious.tolist(), "mean_box_iou": float(mean)}


def referring_accuracy(rows, threshold=0.5):
    """
    Shares of the rows of `box_row` whose IoU is `threshold` at least.

    Returns:
        {dataset: {"1": of the first box, "mean": of the mean box, "upper bound": of the best box, "number": rows}}.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("there are no predictions to evaluate")
    made = {}
    for name in sorted({row["dataset"] for row in rows}):
        own = [row for row in rows if row["dataset"] == name]
        hits = {
            "1": [row["iou"][0] for row in own],
            "mean": [row["mean_box_iou"] for row in own],
            "upper bound": [max(row["iou"]) for row in own],
        }
        made[name] = {key: float(np.mean(np.array(values) >= threshold)) for key, values in hits.items()}
        made[name]["number"] = len(own)
    return made


def read_sentences(text):
    """
    Sentences of a file of Flickr30k Entities: `[/EN#1/people A man] walks .`

    Returns:
        for each sentence a list of (phrase, identifier, list of categories).
    """
    made = []
    for line in text.split("\n"):
        if not line:
            continue
        phrases, current = [], None
        for token in line.split():
            if current is None and token[0] == "[":
                parts = token.split("/")
                current = ([], parts[1][3:], parts[2:])
            elif current is not None:
                closes = token[-1] == "]"
                current[0].append(token[:-1] if closes else token)
                if closes:
                    phrases.append((" ".join(current[0]), current[1], current[2]))
                    current = None
        made.append(phrases)
    return made


def read_boxes(text):
    """{identifier: list of boxes} of an annotation file (XML) of Flickr30k Entities."""
    made = defaultdict(list)
    for entry in xml.etree.ElementTree.fromstring(text).findall("object"):
        box = entry.find("bndbox")
        if box is not None:
            corners = [int(box.find(key).text) for key in ("xmin", "ymin", "xmax", "ymax")]
            for name in entry.findall("name"):
                made[name.text].append(corners)
    return dict(made)


class FlickrEntities:
    """
    Recall of phrases: whether one of the first k boxes of a phrase meets a box of its annotation.

    Args:
        read: name of a file below the directory of Flickr30k Entities -> its text (`Sentences/1.txt`, `Annotations/1.xml`).
        merged (`bool`): the annotation's boxes of a phrase count as the one box around them (the protocol "merged boxes"; else
            "any box").
        threshold (`float`): least IoU.
        topk: k; -1 takes all boxes.
    """

    def __init__(self, read, merged=False, threshold=0.5, topk=(1, 5, 10, -1)):
        self.read, self.merged, self.threshold, self.topk = read, merged, threshold, topk
        self.hits, self._files = defaultdict(list), {}

    def _image(self, image):
        if image not in self._files:
            boxes = read_boxes(self.read(f"Annotations/{image}.xml"))
            if self.merged:
                boxes = {name: [_around(many)] for name, many in boxes.items()}
            self._files[image] = read_sentences(self.read(f"Sentences/{image}.txt")), boxes
        return self._files[image]

    def add(self, image, sentence, phrase, boxes):
        """
        Count the predicted `boxes` of a phrase in a sentence of an image.

        Raises:
            ValueError: the sentence has no such phrase with a box.
        """
        sentences, annotated = self._image(image)
        own = [(name, kinds) for text, name, kinds in sentences[sentence] if text == phrase and name in annotated]
        if not own:
            raise ValueError(f"sentence {sentence} of image {image} has no phrase {phrase!r} with a box")
        name, kinds = own[0]
        ious = box_iou(np.array(boxes, "float64"), np.array(annotated[name], "float64")).max(axis=1)
        for k in self.topk:
            hit = (ious if k == -1 else ious[:k]).max() >= self.threshold
            for kind in ("all", *kinds):
                self.hits[k, kind].append(bool(hit))

    def report(self):
        """{k: {category: recall}}; `all` is the recall of all phrases. Raises ValueError where nothing was counted."""
        if not self.hits:
            raise ValueError("there are no predictions to evaluate")
        made = defaultdict(dict)
        for (k, kind), values in self.hits.items():
            made[k][kind] = sum(values) / len(values)
        return dict(made)


def _around(boxes):
    many = np.array(boxes)
    return [*many[:, :2].min(axis=0).tolist(), *many[:, 2:].max(axis=0).tolist()]
