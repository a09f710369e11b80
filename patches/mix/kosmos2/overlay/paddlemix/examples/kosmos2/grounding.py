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
"""Prompts of Kosmos-2 (arXiv:2306.14824, figures 10 and 11), and pictures with the boxes of an answer."""

from paddlemix.processors.kosmos2_grounding import insert_boxes
from PIL import ImageDraw, ImageFont

TASKS = ("grounding", "referring", "caption", "detail", "vqa", "text")
COLOURS = (
    "#e6194b",
    "#3cb44b",
    "#4363d8",
    "#f58231",
    "#911eb4",
    "#008080",
    "#9a6324",
    "#800000",
    "#808000",
    "#000075",
)


def prompt(task, text="", box=None, side=32):
    """
    The prompt of a task.

    Args:
        task (`str`):
            `grounding`: where is `text`? `referring`: what is in `box`? `caption`, `detail`: a short or a long caption with its boxes.
            `vqa`: the answer to the question `text`, with its boxes. `text`: `text` itself.
        box: (x1, y1, x2, y2) as shares of width and height; `referring` only.

    Raises:
        ValueError: an unknown task; a text or box that the task needs is missing.
    """
    text = (text or "").strip()
    if task not in TASKS:
        raise ValueError(f"there is no task {task!r}; there are {', '.join(TASKS)}")
    if task in ("grounding", "vqa", "text") and not text:
        raise ValueError(f"the task {task!r} needs a text")
    if task == "referring":
        if box is None:
            raise ValueError("the task 'referring' needs a box")
        return insert_boxes("<grounding><phrase> It</phrase>", [tuple(box)], side) + " is"
    return {
        "grounding": f"<grounding><phrase> {text}</phrase>",
        "caption": "<grounding> An image of",
        "detail": "<grounding> Describe this image in detail:",
        "vqa": f"<grounding> Question: {text} Answer:",
        "text": text,
    }[task]


def answer(model, processor, image, words, **options):
    """
    The answer to one prompt: (text with its markup, clean text, entities). options: of `generate`.
    """
    inputs = processor(images=image, text=words)
    ids, _ = model.generate(**inputs, **{"max_new_tokens": 64, **options})
    text = processor.batch_decode(ids, inputs["input_ids"])[0]
    return (text, *processor.post_process_generation(text))


def _overlaps(one, two):
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def place_labels(sizes, boxes, width, height):
    """
    Where labels stand: at their boxes, inside of the picture, and none upon another as far as there is room.

    Args:
        sizes: (width, height) of each label in pixels.
        boxes: (x1, y1, x2, y2) of what each label belongs to, in pixels.

    Returns:
        (x1, y1, x2, y2) of each label.
    """
    made = []
    for (w, h), (x1, y1, x2, y2) in zip(sizes, boxes):
        near = [(x, y) for y in (y1 - h, y1, y2, y2 - h) for x in (x1, x2 - w)]
        rest = [(x, y) for y in range(0, height, max(h // 2, 1)) for x in range(0, width, max(w // 4, 1))]
        near += sorted(rest, key=lambda place: abs(place[0] - x1) + abs(place[1] - y1))
        inside = [(min(max(x, 0), max(width - w, 0)), min(max(y, 0), max(height - h, 0))) for x, y in near]
        near = [(x, y, x + w, y + h) for x, y in inside]
        free = [place for place in near if not any(_overlaps(place, other) for other in made)]
        made.append(free[0] if free else near[0])
    return made


def draw_entities(image, entities, font=None, chosen=None):
    """
    A picture with the boxes of entities, each with its phrase; an entity has one colour in all of its boxes.

    Args:
        image (`PIL.Image`)
        entities: (phrase, span, boxes), boxes as shares of width and height.
        font (`str`, *optional*): file of a font that has the letters of the phrases; Pillow's own has no Chinese ones.
        chosen (`int`, *optional*): the entity to point out; the others are drawn thinly.
    """
    image = image.convert("RGB")
    width, height = image.size
    size, line = max(10, round(min(width, height) / 28)), max(2, round(min(width, height) / 150))
    face = ImageFont.truetype(font, size) if font else ImageFont.load_default(size)
    draw = ImageDraw.Draw(image)
    rows = []
    for number, (phrase, _, boxes) in enumerate(entities):
        for x1, y1, x2, y2 in boxes:
            # reversed corners are drawn as the box that they span
            (x1, x2), (y1, y2) = sorted((x1 * width, x2 * width)), sorted((y1 * height, y2 * height))
            rows.append((number, phrase, (x1, y1, x2, y2)))
    sizes = []
    for _, phrase, _ in rows:
        left, top, right, bottom = draw.textbbox((0, 0), phrase, font=face)
        sizes.append((min(round(right - left) + 6, width), round(bottom) + 4))
    labels = place_labels(sizes, [tuple(round(v) for v in box) for _, _, box in rows], width, height)
    for number, _, box in rows:
        strong = chosen is None or chosen == number
        draw.rectangle(
            box, outline=COLOURS[number % len(COLOURS)], width=line * 2 if chosen == number else line if strong else 1
        )
    for (number, phrase, _), place in zip(rows, labels):
        if chosen is None or chosen == number:
            draw.rectangle(place, fill=COLOURS[number % len(COLOURS)])
            draw.text((place[0] + 3, place[1] + 1), phrase, fill="white", font=face)
    return image
