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
Figures of answers, with intervals.

Captions by BLEU, ROUGE-L, CIDEr and METEOR of `paddlemix/metrics/caption_metrics.py`; VQAv2 and OK-VQA by the accuracy of
`paddlemix/metrics/vqa_metrics.py` in the rules of three public programs; GQA by equality; POPE by precision, recall and F1; retrieval by
recall at 1, 5 and 10; RefCOCO by the share of boxes with an IoU above 0.5. SPICE is left out: it needs Stanford CoreNLP and its models,
which `pycocoevalcap` downloads while it runs.
"""

import re
import shutil
from dataclasses import dataclass, field

import numpy as np

from .statistics import bootstrap

__all__ = ["Scored", "MAIN", "score_texts", "score_matrix", "box_iou", "recall_at", "has_java"]

MAIN = {
    "caption": "CIDEr",
    "vqa": "accuracy",
    "okvqa": "accuracy",
    "gqa": "accuracy",
    "pope": "F1",
    "retrieval": "R@1",
    "refcoco": "accuracy",
}


@dataclass
class Scored:
    """
    figures: {name: value}, in percent (CIDEr times 100 as well). values: [N, D] of the rows that the main figure is made of.
    answers: {id: answer} after the parser. unparsed: share of rows that the parser found no answer in, in percent.
    interval: (main figure, low, high).
    """

    figures: dict
    values: np.ndarray
    groups: list
    answers: dict = field(default_factory=dict)
    unparsed: float = 0.0
    interval: tuple = ()


def has_java():
    return shutil.which("java") is not None


def f1(sums):
    """F1 in percent from sums of true positives, false positives and false negatives [..., >= 3]; 0 without any positive."""
    positive = 2 * sums[:, 0] + sums[:, 1] + sums[:, 2]
    return 100 * 2 * sums[:, 0] / np.maximum(positive, 1)


def mean_recall(sums):
    """Mean of both directions' R@1 from sums of hits and numbers: [..., (hits i2t, images, hits t2i, captions, rows)]."""
    return 50 * (sums[:, 0] / sums[:, 1] + sums[:, 2] / sums[:, 3])


STATISTICS = {"pope": f1, "retrieval": mean_recall}


def _interval(task, scored, seed, rounds):
    scored.interval = bootstrap(scored.values, scored.groups, STATISTICS.get(task), rounds=rounds, seed=seed)
    return scored


def plain_tokens(text):
    """Lower case words and numbers between blanks: what is taken where Java, and with it the official tokenizer, is missing."""
    return " ".join(re.findall(r"\w+(?:['’.-]\w+)*", text.lower()))


class Captions:
    """References of a set, tokenized once; with Java by the official tokenizer."""

    def __init__(self, rows):
        self.java = has_java()
        self.references = self._tokens({row["id"]: row["references"] for row in rows})

    def _tokens(self, texts):
        if self.java:
            from paddlemix.metrics.caption_metrics import tokenize_captions

            return tokenize_captions(texts)
        return {key: [plain_tokens(one) for one in value] for key, value in texts.items()}

    def score(self, answers, meteor):
        from paddlemix.metrics.caption_metrics import caption_scores

        made = {key: value[0] for key, value in self._tokens({key: [text] for key, text in answers.items()}).items()}
        return caption_scores(self.references, made, tokenize=False, meteor=meteor and self.java, per_image=True)


def box_iou(first, second):
    """IoU of two boxes (x1, y1, x2, y2) in pixels, where both ends belong to a box: a side is x2 - x1 + 1 long."""

    def area(box):
        return max(0.0, box[2] - box[0] + 1) * max(0.0, box[3] - box[1] + 1)

    both = (max(first[0], second[0]), max(first[1], second[1]), min(first[2], second[2]), min(first[3], second[3]))
    shared = area(both)
    return shared / (area(first) + area(second) - shared)


def answered_box(answer, row):
    """Corners in pixels of "x1 y1 x2 y2" on a grid from 0 to 100, or None."""
    numbers = [int(one) for one in answer.split()]
    if len(numbers) != 4:
        return None
    width, height = row["size"]
    return tuple(value / 100 * side for value, side in zip(numbers, (width, height, width, height)))


def score_texts(task, rows, texts, parser, captions=None, seed=0, rounds=2000, meteor=False, interval=True):
    """
    Figures of texts.

    Args:
        task: any but retrieval. rows: of `read_set`. texts: {id: text}. parser: function (text, row) -> answer.
        captions: `Captions` of the rows, for captions. seed, rounds: of the bootstrap. meteor: METEOR as well, where Java is.

    Returns:
        Scored.
    """
    answers = {row["id"]: parser(texts[row["id"]], row) for row in rows}
    unparsed = 100 * float(np.mean([not answer for answer in answers.values()]))
    groups, figures = [row["group"] for row in rows], {}
    if task == "caption":
        found, images = captions.score(answers, meteor)
        figures = {key: 100 * value for key, value in found.items()}
        values = 100 * np.array([images["CIDEr"][row["id"]] for row in rows])
    elif task in ("vqa", "okvqa"):
        from paddlemix.metrics.vqa_metrics import vqa_accuracy

        for rules, name in (
            ("official", "accuracy"),
            ("lavis", "accuracy (LAVIS)"),
            ("minigpt4", "accuracy (MiniGPT-4)"),
        ):
            each = np.array([100 * vqa_accuracy(answers[row["id"]], row["answers"], rules) for row in rows])
            figures[name] = float(each.mean())
            values = each if rules == "official" else values
    elif task == "gqa":
        from paddlemix.metrics.vqa_metrics import exact_match

        values = np.array([100.0 * (answers[row["id"]].strip().lower() == row["answers"][0].lower()) for row in rows])
        normalized = [100.0 * exact_match(answers[row["id"]], row["answers"]) for row in rows]
        figures = {"accuracy": float(values.mean()), "accuracy (normalized)": float(np.mean(normalized))}
    elif task == "pope":
        said = np.array([answers[row["id"]] for row in rows])
        true = np.array([row["answers"][0] for row in rows])
        said = np.where(said == "", np.where(true == "yes", "no", "yes"), said)  # no answer is a wrong one
        kinds = [(said == one) & (true == two) for one, two in (("yes", "yes"), ("yes", "no"), ("no", "yes"))]
        values = np.stack([*kinds, (said == "no") & (true == "no")], axis=1).astype(np.float64)
        hits, wrong, lost, _ = values.sum(axis=0)
        figures = {"F1": float(f1(values.sum(axis=0)[None])[0]), "accuracy": 100 * float((said == true).mean())}
        figures["precision"] = 100 * float(hits / max(hits + wrong, 1))
        figures["recall"] = 100 * float(hits / max(hits + lost, 1))
        figures["yes"] = 100 * float((said == "yes").mean())
    elif task == "refcoco":
        overlaps = []
        for row in rows:
            x, y, w, h = row["box"]
            box = answered_box(answers[row["id"]], row)
            overlaps.append(0.0 if box is None else box_iou(box, (x, y, x + w, y + h)))
        values = 100.0 * (np.array(overlaps) > 0.5)
        figures = {"accuracy": float(values.mean()), "IoU": 100 * float(np.mean(overlaps))}
    else:
        raise ValueError(f"task {task!r} is not scored by texts")
    if task in ("vqa", "okvqa", "gqa"):
        kinds = np.array([row["kind"] for row in rows])
        for kind in sorted(set(kinds) - {""}):
            figures[f"accuracy, {kind}"] = float(values[kinds == kind].mean())
    scored = Scored(figures, values, groups, answers, unparsed)
    return _interval(task, scored, seed, rounds) if interval else scored


def recall_at(scores, owners, numbers=(1, 5, 10)):
    """
    Recall of images' captions and of captions' images.

    Args:
        scores: [images, captions]. owners: [captions], the image that each belongs to.

    Returns:
        (figures {"R@1 image to text", ..., "R@1"} in percent, ranks of images [images], ranks of captions [captions]). The rank of an image
        is that of its best caption. Who has the same score as the right one stands before it: equal scores for all find nothing.
    """
    scores, owners = np.asarray(scores, np.float64), np.asarray(owners)
    if scores.shape[1] != len(owners) or np.isnan(scores).any():
        raise ValueError(f"scores {scores.shape} for {len(owners)} captions, none of them NaN")
    own = owners[None] == np.arange(len(scores))[:, None]
    best = np.where(own, scores, -np.inf).max(axis=1, keepdims=True)
    images = ((scores >= best) & ~own).sum(axis=1)
    right = scores[owners, np.arange(len(owners))]
    captions = (scores >= right[None]).sum(axis=0) - 1
    figures = {}
    for name, ranks in (("image to text", images), ("text to image", captions)):
        figures.update({f"R@{number} {name}": 100 * float((ranks < number).mean()) for number in numbers})
    for number in numbers:
        figures[f"R@{number}"] = np.mean(
            [figures[f"R@{number} {name}"] for name in ("image to text", "text to image")]
        )
    figures["mean"] = float(np.mean([figures[f"R@{number}"] for number in numbers]))
    return {key: float(value) for key, value in figures.items()}, images, captions


def score_matrix(rows, scores, seed=0, rounds=2000, interval=True):
    """Scored of retrieval from scores [images, captions], the captions image after image."""
    counts = [len(row["references"]) for row in rows]
    owners = np.repeat(np.arange(len(rows)), counts)
    figures, images, captions = recall_at(scores, owners)
    hits = np.bincount(owners, weights=captions < 1, minlength=len(rows))
    values = np.stack([images < 1, np.ones(len(rows)), hits, np.array(counts)], axis=1).astype(np.float64)
    scored = Scored(figures, values, [row["group"] for row in rows])
    return _interval("retrieval", scored, seed, rounds) if interval else scored
