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
"""Files with one JSON object a line, and what is wrong with them."""

import json
import math
import os

import numpy as np

SCORES = {"pos": "pos_scores", "neg": "neg_scores"}


def _where(path, number):
    return "%s, line %d" % (path, number)


def _text(where, field, value):
    if not isinstance(value, str) or not value.strip():
        raise ValueError("%s, field %s: %r is not a text" % (where, field, value))


def check_row(row, where, fields):
    """Whether the `fields` of a row are there and as they must be; so are those of a training row that need not be there.

    Args:
        row (dict)
        where (str): for messages.
        fields (tuple[str]): "query", "text" (a text), "pos" (a list of texts, one at least), "id" (a text or a number), "relevant" (a list
            of ids, or an object with a grade for each).

    Raises:
        ValueError: with place and field.
    """
    if not isinstance(row, dict):
        raise ValueError("%s: an object with %s is needed" % (where, ", ".join(fields)))
    missing = [field for field in fields if field not in row]
    if missing:
        raise ValueError("%s: the field %s is missing" % (where, ", ".join(missing)))
    for field in ("query", "text"):
        if field in fields:
            _text(where, field, row[field])
    if "id" in fields and (isinstance(row["id"], bool) or not isinstance(row["id"], (str, int))):
        raise ValueError("%s, field id: %r is neither a text nor a number" % (where, row["id"]))
    if "relevant" in fields and not isinstance(row["relevant"], (list, dict)):
        raise ValueError("%s, field relevant: %r is neither a list nor an object" % (where, row["relevant"]))
    if "pos" not in fields:
        return
    for field, scores in SCORES.items():
        texts = row.get(field)
        if texts is None and field == "neg":
            texts = []
        if not isinstance(texts, list):
            raise ValueError("%s, field %s: %r is not a list of texts" % (where, field, texts))
        for text in texts:
            _text(where, field, text)
        values = row.get(scores)
        if values is None:
            continue
        if not isinstance(values, list) or not all(
            isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in values
        ):
            raise ValueError("%s, field %s: %r is not a list of finite numbers" % (where, scores, values))
        if len(values) != len(texts):
            raise ValueError(
                "%s, field %s: %d scores for %d texts of %s" % (where, scores, len(values), len(texts), field)
            )
    if not row["pos"]:
        raise ValueError("%s, field pos: there is no positive" % where)
    for field in ("prompt", "type"):
        if row.get(field) is not None and not isinstance(row[field], str):
            raise ValueError("%s, field %s: %r is not a text" % (where, field, row[field]))


def parse_line(line, path, number):
    """The object of a line (bytes)."""
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(
            "%s: not UTF-8 (%s). Convert the file, e.g. iconv -f GBK -t UTF-8" % (_where(path, number), error)
        )
    except ValueError as error:
        raise ValueError("%s: %s" % (_where(path, number), error))


def _lines(stream, path):
    """(number, offset, line without end and byte order mark) of each line that is not blank."""
    offset = 0
    for number, line in enumerate(stream, 1):
        start, offset = offset, offset + len(line)
        if number == 1:
            if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise ValueError("%s is UTF-16. Convert it, e.g. iconv -f UTF-16 -t UTF-8" % path)
            if line.startswith(b"\xef\xbb\xbf"):
                start, line = start + 3, line[3:]
        if line.strip():
            yield number, start, line


def read_lines(path, fields=()):
    """(row, offset in bytes) of each line of a file that is not blank.

    Raises:
        ValueError: with file, line and field, for what `check_row` refuses; and for a file without a row.
    """
    count = 0
    with open(path, "rb") as stream:
        for number, offset, line in _lines(stream, path):
            row = parse_line(line, path, number)
            check_row(row, _where(path, number), fields)
            count += 1
            yield row, offset
    if not count:
        raise ValueError("%s holds no row" % path)


def read_jsonl(path, fields=()):
    """All rows of a file, in memory. Arguments and errors as of `read_lines`."""
    return [row for row, _ in read_lines(path, fields)]


class JsonLines:
    """The rows of a file, each read when it is asked for; all of them are checked once, at the start.

    Args:
        path (str)
        fields (tuple[str]): as of `read_lines`, which also tells the errors.
        look (callable, optional): is given each row at the start.
    """

    def __init__(self, path, fields=(), look=None):
        self.path, self._stream, self._process = path, None, None
        offsets = []
        for row, offset in read_lines(path, fields):
            offsets.append(offset)
            if look is not None:
                look(row)
        self.offsets = np.array(offsets, dtype="int64")

    def __len__(self):
        return len(self.offsets)

    def __getitem__(self, index):
        if self._process != os.getpid():  # a worker must not share the position in the file
            self._stream, self._process = open(self.path, "rb"), os.getpid()
        self._stream.seek(self.offsets[index])
        return parse_line(self._stream.readline(), self.path, int(index) + 1)

    def __getstate__(self):
        return dict(self.__dict__, _stream=None, _process=None)


def write_jsonl(path, rows):
    """Write all rows; a file of that name is replaced when they are whole."""
    with open(path + ".part", "w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    os.replace(path + ".part", path)
