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
The evaluation sets in the formats in which they are published.

A reader gives a list of rows: {"id": str, "image": path, "group": picture, ...}; what else is in a row stands with each reader. Every
fault of a file is a `DataError` that names the file, the id, and what to do.
"""

import json
import os
import re

__all__ = ["DataError", "SETS", "read_set", "check_images", "read_answers"]


class DataError(ValueError):
    """A fault of an input file: message with the file, the id and what to do next."""


def _json(path):
    try:
        with open(path, encoding="utf-8-sig") as stream:  # a byte order mark is no fault
            return json.load(stream)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; next: give the annotation file that the set publishes")
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is no JSON ({error}); next: download the file again")


def _lines(path):
    """Rows of a file of JSON lines."""
    rows = []
    try:
        with open(path, encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    rows.append(json.loads(line))
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; next: give the annotation file that the set publishes")
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: line {number} is no JSON ({error}); next: download the file again")
    return rows


def _field(path, row, key, name, kind=None):
    """row[key], or an error that names file and id."""
    if not isinstance(row, dict) or key not in row:
        raise DataError(f"{path}: row {name} has no {key!r}; next: is this the file of this task?")
    if kind is not None and not isinstance(row[key], kind):
        raise DataError(
            f"{path}: {key!r} of row {name} is a {type(row[key]).__name__}; next: is this the file of this task?"
        )
    return row[key]


def karpathy(files, images, split):
    """
    Captions of COCO or Flickr30k, for captioning and retrieval. {"references": list of str}.

    Formats: Karpathy's dataset_coco.json / dataset_flickr30k.json ({"images": [{"filepath", "filename", "split", "cocoid" or "imgid",
    "sentences": [{"raw"}]}]}), or LAVIS' coco_karpathy_test.json ([{"image", "caption": [str]}]), which holds one split.
    """
    path, data, rows = files[0], _json(files[0]), []
    if isinstance(data, list):
        for number, row in enumerate(data):
            name = _field(path, row, "image", number, str)
            captions = _field(path, row, "caption", name, list)
            digits = re.search(r"_0*(\d+)\.\w+$", name)  # COCO's number, as result files have it
            key = digits.group(1) if digits else name
            rows.append({"id": key, "image": os.path.join(images, name), "references": captions})
    else:
        for number, row in enumerate(_field(path, data, "images", "(the file)", list)):
            if _field(path, row, "split", number) != split:
                continue
            name = row.get("cocoid", row.get("imgid", row.get("filename")))
            place = os.path.join(images, row.get("filepath", ""), _field(path, row, "filename", name, str))
            captions = [_field(path, one, "raw", name, str) for one in _field(path, row, "sentences", name, list)]
            rows.append({"id": str(name), "image": place, "references": captions})
    for row in rows:
        if not row["references"] or not all(isinstance(one, str) and one.strip() for one in row["references"]):
            raise DataError(
                f"{path}: image {row['id']} has no caption, or one that is no text; next: download the file again"
            )
    return rows


def vqa(files, images, split):
    """
    VQAv2 and OK-VQA: questions.json {"questions": [{question_id, image_id, question}], "data_subtype"} and annotations.json
    {"annotations": [{question_id, answers: [{"answer"}], "answer_type"}]}. {"question", "answers": ten, "kind"}.
    """
    if len(files) != 2:
        raise DataError(
            f"{files[0]}: VQA is published as two files; next: --annotations QUESTIONS.json ANNOTATIONS.json"
        )
    if "annotations" in (first := _json(files[0])):
        files, first = files[::-1], _json(files[1])
    questions, notes = _field(files[0], first, "questions", "(the file)", list), {}
    for row in _field(files[1], _json(files[1]), "annotations", "(the file)", list):
        name = _field(files[1], row, "question_id", len(notes))
        if name in notes:
            raise DataError(f"{files[1]}: question {name} stands there twice; next: download the file again")
        notes[name] = row
    subtype, rows = first.get("data_subtype", split), []
    for row in questions:
        name = _field(files[0], row, "question_id", len(rows))
        if name not in notes:
            raise DataError(
                f"{files[1]}: has no answers to question {name} of {files[0]}; next: take both of one split"
            )
        note, picture = notes.pop(name), _field(files[0], row, "image_id", name, (int, str))
        if not str(picture).isdigit():
            raise DataError(
                f"{files[0]}: image_id {picture!r} of question {name} is no number; next: download the file again"
            )
        answers = [_field(files[1], one, "answer", name, str) for one in _field(files[1], note, "answers", name, list)]
        if not answers:
            raise DataError(f"{files[1]}: question {name} has no answer; next: download the file again")
        rows.append(
            {
                "id": str(name),
                "group": str(picture),
                "image": os.path.join(images, f"COCO_{subtype}_{int(picture):012d}.jpg"),
                "question": _field(files[0], row, "question", name, str),
                "answers": answers,
                "kind": note.get("answer_type", ""),
            }
        )
    if notes:
        raise DataError(
            f"{files[1]}: {len(notes)} questions are not in {files[0]}, the first is {next(iter(notes))}; next: take both of one split"
        )
    return rows


def gqa(files, images, split):
    """GQA's testdev_balanced_questions.json: {id: {"imageId", "question", "answer"}}. {"question", "answers": one, "kind"}."""
    path, rows = files[0], []
    data = _json(path)
    if not isinstance(data, dict):
        raise DataError(f"{path}: GQA is published as one object by id; next: give testdev_balanced_questions.json")
    for name, row in data.items():
        picture = _field(path, row, "imageId", name, str)
        types = row.get("types") or {}
        rows.append(
            {
                "id": str(name),
                "group": picture,
                "image": os.path.join(images, picture + ".jpg"),
                "question": _field(path, row, "question", name, str),
                "answers": [_field(path, row, "answer", name, str)],
                "kind": types.get("structural", "") if isinstance(types, dict) else "",
            }
        )
    return rows


def pope(files, images, split):
    """POPE's coco_pope_random.json and the like: JSON lines {"question_id", "image", "text", "label"}. {"question", "answers": yes or no}."""
    path, rows = files[0], []
    for row in _lines(path):
        name = _field(path, row, "question_id", len(rows))
        label = _field(path, row, "label", name, str).strip().lower()
        if label not in ("yes", "no"):
            raise DataError(
                f"{path}: the label of question {name} is {label!r}, not yes or no; next: is this POPE's file?"
            )
        picture = _field(path, row, "image", name, str)
        question = _field(path, row, "text", name, str)
        place = os.path.join(images, picture)
        rows.append(
            {"id": str(name), "group": picture, "image": place, "question": question, "answers": [label], "kind": ""}
        )
    return rows


def refcoco(files, images, split):
    """
    RefCOCO as MiniGPT-v2's evaluation has it: [{"img_id", "sents": str or list, "bbox": [x, y, w, h], "height", "width"}].
    {"question": phrase, "box": xywh in pixels, "size": (width, height)}.
    """
    path, rows = files[0], []
    data = _json(path)
    if not isinstance(data, list):
        raise DataError(f"{path}: is no list of phrases; next: give MiniGPT-v2's refcoco_testA.json or the like")
    for number, row in enumerate(data):
        name = _field(path, row, "img_id", number)
        box, texts = _field(path, row, "bbox", name, list), _field(path, row, "sents", name, (str, list))
        size = (_field(path, row, "width", name), _field(path, row, "height", name))
        if len(box) != 4 or not all(isinstance(one, (int, float)) for one in (*box, *size)) or min(size) <= 0:
            raise DataError(
                f"{path}: box or size of {name} is not four numbers in a picture; next: download the file again"
            )
        file = str(name)[:27] + ".jpg"  # a number of the object may follow the picture's name
        for index, text in enumerate([texts] if isinstance(texts, str) else texts):
            rows.append(
                {
                    "id": f"{number}.{index}",
                    "group": str(name),
                    "image": os.path.join(images, file),
                    "question": text,
                    "box": [float(value) for value in box],
                    "size": [int(value) for value in size],
                    "kind": "",
                }
            )
    return rows


SETS = {
    "caption": karpathy,
    "vqa": vqa,
    "okvqa": vqa,
    "gqa": gqa,
    "retrieval": karpathy,
    "pope": pope,
    "refcoco": refcoco,
}


def read_set(task, files, images, split="test"):
    """
    Rows of a task's set.

    Args:
        task: one of `SETS`. files: annotation file(s). images: folder. split: of Karpathy's file.

    Raises:
        DataError: a file that is not what the task's set publishes, an id twice, no rows.
    """
    rows = SETS[task](list(files), images, split)
    if not rows:
        raise DataError(f"{files[0]}: gives no row (split {split!r}); next: look at --annotations and --split")
    seen = set()
    for row in rows:
        if row["id"] in seen:
            raise DataError(f"{files[0]}: id {row['id']} stands there twice; next: download the file again")
        seen.add(row["id"])
        row.setdefault("group", row["id"])
        if "<ImageHere>" in row.get("question", ""):
            raise DataError(f"{files[0]}: question {row['id']} holds the mark <ImageHere>; next: take it out")
    return rows


def check_images(rows):
    """Raises DataError where the picture of a row is missing."""
    missing = [row for row in rows if not os.path.isfile(row["image"])]
    if missing:
        raise DataError(
            f"{missing[0]['image']}: picture of id {missing[0]['id']} is missing, {len(missing)} of {len(rows)} are; "
            f"next: look at --images, or take fewer rows with --limit"
        )


def read_answers(path, rows, known):
    """
    Answers of any program in the official result format: [{"question_id" or "image_id", "answer" or "caption"}] as JSON or JSON lines.

    Args:
        rows: those that must have an answer. known: ids of the whole set.

    Returns:
        {id: text}.

    Raises:
        DataError: an id twice, an id of another split, rows without answer.
    """
    try:
        data = _json(path)
    except DataError:
        data = _lines(path)
    made = {}
    if not isinstance(data, list):
        raise DataError(
            f"{path}: is no list of answers; next: the format is [{{question_id, answer}}] or [{{image_id, caption}}]"
        )
    for number, one in enumerate(data):
        keys = ("question_id", "questionId", "image_id", "id")
        name = next((str(one[key]) for key in keys if isinstance(one, dict) and key in one), None)
        text = next((one[key] for key in ("answer", "prediction", "caption", "text") if name and key in one), None)
        if name is None or not isinstance(text, str):
            raise DataError(
                f"{path}: row {number} has no id or no answer; next: the format is [{{question_id, answer}}]"
            )
        if name not in known:
            raise DataError(
                f"{path}: id {name} is not in this set; next: take the answers and the annotations of one split"
            )
        if name in made:
            raise DataError(f"{path}: id {name} is answered twice; next: leave one answer for each")
        made[name] = text
    missing = [row["id"] for row in rows if row["id"] not in made]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(rows)} ids have no answer, the first is {missing[0]}; next: answer all, or give --limit"
        )
    return made
