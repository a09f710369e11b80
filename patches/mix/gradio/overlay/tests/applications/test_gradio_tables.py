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
"""Tables as HTML: what a user's file name or label holds is text, and what is not shown is counted."""

import os
import sys
from html.parser import HTMLParser

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "applications", "gradio"))

from demo import tables, words  # noqa: E402

MORE = words.table("en")["more_rows"]


class Cells(HTMLParser):
    """Texts of the elements of a table by their tag."""

    def __init__(self, text):
        super().__init__()
        self.found, self.tags, self.open = {}, [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open = tag
        self.found.setdefault(tag, []).append("")

    def handle_data(self, data):
        if self.open:
            self.found[self.open][-1] += data

    def handle_endtag(self, tag):
        self.open = None


def test_heads_rows_and_caption():
    cells = Cells(tables.table("Shapes", ["image", "score"], [["a.png", 0.5], ["b.png", 1]], MORE)).found
    assert cells["caption"] == ["Shapes"] and cells["th"] == ["image", "score"]
    assert cells["td"] == ["a.png", "0.5", "b.png", "1"]


def test_a_name_is_text_whatever_it_holds():
    name = "<img src=x onerror=alert(1)>&amp;'\".png"
    made = Cells(tables.table(name, [name], [[name]], MORE))
    assert "img" not in made.tags
    assert made.found["caption"] == made.found["th"] == made.found["td"] == [name]


def test_no_rows():
    for rows in (None, []):
        cells = Cells(tables.table("Shapes", ["image"], rows, MORE)).found
        assert cells["th"] == ["image"] and "td" not in cells


def test_rows_that_are_not_shown_are_counted():
    rows = [[str(number)] for number in range(tables.MOST + 7)]
    cells = Cells(tables.table("Shapes", ["number"], rows, MORE)).found
    assert len(cells["td"]) == tables.MOST
    assert cells["p"] == ["The first 1000 rows are shown; 7 more are in the files to download"]
    assert "p" not in Cells(tables.table("Shapes", ["number"], rows[: tables.MOST], MORE)).found
