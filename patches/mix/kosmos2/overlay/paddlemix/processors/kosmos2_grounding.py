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
Places in an image as tokens of a text: the markup of Kosmos-2.

    <grounding> An image of<phrase> a snowman</phrase><object><patch_index_0044><patch_index_0863></object>

A box is a pair of cells of a grid (32 x 32 in the published model), its upper left and its lower right one, counted row by row. Boxes are
(x1, y1, x2, y2) as shares of width and height. Article: arXiv:2306.14824, section 2.1. Behaviour measured on `transformers` 4.57.6
(`Kosmos2Processor`, Apache 2.0); no code of it is used.
"""

import math
import re

__all__ = ["box_to_cells", "cells_to_box", "extract_entities", "insert_boxes"]

TAG = re.compile(r"<.*?>")
LOCATION = re.compile(r"<patch_index_(\d+)>")
PHRASE = re.compile(r"<phrase>.+?</phrase>")
DELIMITER = "</delimiter_of_multi_objects/>"
_PAIR = r"<patch_index_\d+><patch_index_\d+>"
ENTITY = re.compile(
    rf"(?:<phrase>(?P<phrase>[^<]+)</phrase>)?<object>(?P<pairs>(?:{_PAIR}{DELIMITER})*{_PAIR})</object>"
)


def location(cell):
    """The token of a cell: `<patch_index_0044>`."""
    return f"<patch_index_{cell:04d}>"


def box_to_cells(box, side=32):
    """
    Cells of the corners of a box.

    Args:
        box: (x1, y1, x2, y2) as shares of width and height; or the two cells themselves.
        side (`int`): cells in a row and in a column.

    Returns:
        (upper left, lower right).

    Raises:
        ValueError: no such shape, corners that are reversed, a coordinate outside of 0..1, a cell outside of the grid.
    """
    values = list(box) if isinstance(box, (tuple, list)) else None
    numbers = values is not None and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    if not numbers or len(values) not in (2, 4):
        raise ValueError(f"a box is (x1, y1, x2, y2) with shares of width and height, or two cells, not {box!r}")
    if len(values) == 2:
        if not all(isinstance(v, int) and 0 <= v < side * side for v in values):
            raise ValueError(f"the cells of a box are whole numbers from 0 to {side * side - 1}, not {box!r}")
        return values[0], values[1]
    x1, y1, x2, y2 = values
    if not all(0.0 <= v <= 1.0 for v in values):
        raise ValueError(f"the box {box!r} has a corner outside of 0..1; next: divide pixels by width and height")
    if not (x2 > x1 and y2 > y1):
        raise ValueError(f"the box {box!r} is empty or reversed: x2 has to be above x1, and y2 above y1")
    left, top = math.floor(x1 * side), math.floor(y1 * side)
    right, bottom = math.ceil(x2 * side - 1), math.ceil(y2 * side - 1)
    return top * side + left, bottom * side + right


def cells_to_box(first, last, side=32):
    """
    The box of two cells: between the middles of the cells; between their outer edges where they share a row or a column.

    Corners are taken as they come: reversed ones are not exchanged.
    """
    x1, y1, x2, y2 = first % side, first // side, last % side, last // side
    low, high = (0.0, 1.0) if x1 == x2 or y1 == y2 else (0.5, 0.5)
    return (x1 + low) / side, (y1 + low) / side, (x2 + high) / side, (y2 + high) / side


def insert_boxes(text, boxes, side=32):
    """
    A text with the boxes behind its phrases.

    Args:
        text (`str`): with `<phrase>...</phrase>` around each phrase.
        boxes: for each phrase a box, a list of boxes, or `None`; see [`box_to_cells`]. `None` in place of all: nothing is done.

    Returns:
        the text with `<object> <patch_index_0044> <patch_index_0863> </object>` behind phrases.

    Raises:
        ValueError: another number of phrases (an empty one is none), or a box that is none.
    """
    if boxes is None:
        return text
    if not isinstance(boxes, (list, tuple)) or (boxes and all(isinstance(v, (int, float)) for v in boxes)):
        raise ValueError(
            f"boxes is a list with a box, a list of boxes or None for each phrase of a text, not {boxes!r}"
        )
    phrases = list(PHRASE.finditer(text))
    if not boxes:
        return text
    if len(phrases) != len(boxes):
        raise ValueError(
            f"there are boxes for {len(boxes)} phrases, and the text has {len(phrases)} (a phrase holds one letter at least): {text!r}"
        )
    made, place = [], 0
    for phrase, given in zip(phrases, boxes):
        made.append(text[place : phrase.end()])
        place = phrase.end()
        if given is None:
            continue
        one = isinstance(given, (tuple, list)) and given and not isinstance(given[0], (tuple, list, type(None)))
        pairs = [box_to_cells(box, side) for box in ([given] if one else given)]
        if pairs:
            cells = f" {DELIMITER} ".join(f"{location(first)} {location(last)}" for first, last in pairs)
            made.append(f"<object> {cells} </object>")
    return "".join(made) + text[place:]


def extract_entities(text, side=32):
    """
    What a text points at.

    Args:
        text (`str`): a generated text with its markup.

    Returns:
        the text without markup, and a list of (phrase, (start, end), boxes): where the phrase stands in that text, and its boxes.
        A box without a phrase is an entity of its own, called by its cells, with an empty span.
    """
    clean = TAG.sub("", text)
    leading = len(clean) - len(clean.lstrip())

    def position(place):
        return len(TAG.sub("", text[:place])) - leading

    entities = []
    for found in ENTITY.finditer(text):
        cells = [int(cell) for cell in LOCATION.findall(found["pairs"])]
        pairs = list(zip(cells[::2], cells[1::2]))
        phrase = found["phrase"]
        if phrase is None:
            place = position(found.start())
            for first, last in pairs:
                name = f"<patch_index_{first}><patch_index_{last}>"
                entities.append((name, (place, place), [cells_to_box(first, last, side)]))
            continue
        start = position(found.start("phrase")) + len(phrase) - len(phrase.lstrip())
        end = position(found.end("phrase")) - (len(phrase) - len(phrase.rstrip()))
        entities.append((phrase.strip(), (start, end), [cells_to_box(*pair, side) for pair in pairs]))
    return clean.strip(), entities
