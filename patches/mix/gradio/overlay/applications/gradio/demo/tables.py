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
"""Tables for reading. gradio's own is one for editing, which a screen reader and a keyboard cannot follow."""

import html

MOST = 1000  # rows that are shown; the files hold all


def table(title, heads, rows, more):
    """A table as HTML that scrolls by itself, by the keyboard as well.

    Args:
        title (str): its caption.
        heads (list[str]): a word for each column.
        rows (list | None): for each row one value a column; None is a table of no rows.
        more (str): the sentence below where there are more than MOST rows, with places {most} and {count} (of the others).
    """
    rows = rows or []
    head = "".join('<th scope="col">%s</th>' % html.escape(word) for word in heads)
    body = "".join(
        "<tr>%s</tr>" % "".join("<td>%s</td>" % html.escape(str(cell)) for cell in row) for row in rows[:MOST]
    )
    caption = html.escape(title)
    others = len(rows) - MOST
    rest = '<p class="rows-more">%s</p>' % html.escape(more.format(most=MOST, count=others)) if others > 0 else ""
    return (
        '<div class="rows" role="region" aria-label="%s" tabindex="0"><table><caption>%s</caption><thead><tr>%s</tr></thead>'
        "<tbody>%s</tbody></table></div>%s"
    ) % (caption, caption, head, body, rest)
