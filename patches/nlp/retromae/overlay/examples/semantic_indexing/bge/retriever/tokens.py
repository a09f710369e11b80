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
"""Texts to token ids, fast, and kept on disk for all processes."""

import hashlib
import json
import multiprocessing
import os
import re
import shutil

import numpy as np
from filelock import FileLock
from paddle.io import Dataset
from paddlenlp.transformers import BertTokenizer
from paddlenlp.utils.log import logger

from .draws import Draw
from .jsonl import read_lines

FORMAT = 1
# Ids of so many different words are remembered.
WORDS = 1 << 20
# BERT removes these signs; Python takes them for blanks.
REMOVED = dict.fromkeys([0x0B, 0x0C, 0x1C, 0x1D, 0x1E, 0x1F, 0x85])
# BERT makes a word of each Chinese character, and splits at blanks: nothing of one piece depends on another.
PIECE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|[^\s\u3400-\u4dbf\u4e00-\u9fff]+")
LINES = 2000  # of a task of the pool


class TextEncoder:
    """Token ids of texts, as the tokenizer gives them; a `BertTokenizer` is asked once for each word.

    Args:
        tokenizer (PretrainedTokenizer)
        max_length (int): tokens a text, with the special ones; the end of a longer text is cut off.
    """

    def __init__(self, tokenizer, max_length):
        if max_length < 3:
            raise ValueError("max_length is %d; [CLS], one token and [SEP] need 3" % max_length)
        self.tokenizer, self.max_length = tokenizer, max_length
        self._known = {} if type(tokenizer) is BertTokenizer else None

    def __call__(self, text):
        """list[int], with the special tokens."""
        if self._known is None:
            return self.tokenizer(text, max_length=self.max_length, truncation=True)["input_ids"]
        known, ids, room = self._known, [self.tokenizer.cls_token_id], self.max_length - 1
        for piece in PIECE.findall(text.translate(REMOVED)):
            part = known.get(piece)
            if part is None:
                part = self.tokenizer.convert_tokens_to_ids(self.tokenizer.tokenize(piece))
                if len(known) >= WORDS:
                    known.clear()
                known[piece] = part
            ids += part
            if len(ids) >= room:
                break
        return ids[:room] + [self.tokenizer.sep_token_id]


class TextDataset(Dataset):
    """Texts for RetroMAE, as token ids in memory. A text of fewer than two tokens is left out (`short` says how many).

    Args:
        texts (iterable of str)
        tokenizer (PretrainedTokenizer)
        max_length (int): tokens a text, with the special ones. Default: 512.

    Raises:
        ValueError: no text has two tokens.
    """

    def __init__(self, texts, tokenizer, max_length=512):
        encode = TextEncoder(tokenizer, max_length)
        rows = [encode(text) for text in texts]
        self.rows = [row for row in rows if len(row) > 3]
        self.short = len(rows) - len(self.rows)
        if not self.rows:
            raise ValueError("none of %d texts has two tokens" % len(rows))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        draw = Draw.of(index)
        return {"input_ids": self.rows[draw.row], "draw": draw}


class TokenFile(Dataset):
    """The texts of a file with one object {"text": ...} a line, as token ids on disk: made once, mapped by all processes.

    The first process makes the folder under a lock; the others wait. A run that is killed leaves nothing that is taken for whole. The
    folder's name follows from path, size and time of the file, vocabulary, tokenizer and `max_length`, so a changed one is read anew.

    Args:
        path (str): the texts.
        tokenizer (PretrainedTokenizer)
        max_length (int): tokens a text, with the special ones. Default: 512.
        folder (str, optional): where the tokens are kept. Default: beside the texts.
        processes (int): that make them. Default: 1.

    Raises:
        ValueError: with file, line and field, for a line that is no text; or no text has two tokens.
    """

    def __init__(self, path, tokenizer, max_length=512, folder=None, processes=1):
        status = os.stat(path)
        parts = [
            FORMAT,
            os.path.abspath(path),
            status.st_size,
            status.st_mtime_ns,
            max_length,
            type(tokenizer).__name__,
        ]
        parts += [getattr(tokenizer, "do_lower_case", None), sorted(tokenizer.get_vocab().items())]
        name = (
            os.path.basename(path)
            + "."
            + hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()[:16]
            + ".tokens"
        )
        self.folder = os.path.join(folder or os.path.dirname(os.path.abspath(path)), name)
        os.makedirs(os.path.dirname(self.folder), exist_ok=True)
        with FileLock(self.folder + ".lock"):
            if not os.path.isdir(self.folder):
                self._make(path, TextEncoder(tokenizer, max_length), len(tokenizer.get_vocab()), processes)
        with open(os.path.join(self.folder, "about.json"), encoding="utf-8") as stream:
            about = json.load(stream)
        self.short, self.dtype = about["short"], about["dtype"]
        self._open()

    def _open(self):
        self.starts = np.load(os.path.join(self.folder, "starts.npy"), mmap_mode="r")
        self.ids = np.memmap(os.path.join(self.folder, "ids.bin"), dtype=self.dtype, mode="r")

    def _make(self, path, encode, vocabulary, processes):
        temporary = self.folder + ".part"
        shutil.rmtree(temporary, ignore_errors=True)
        os.makedirs(temporary)
        dtype = np.dtype("uint16" if vocabulary <= 1 << 16 else "uint32")
        lengths, short = [], 0
        with open(os.path.join(temporary, "ids.bin"), "wb") as stream:
            for number, rows in enumerate(_encoded(path, encode, processes)):
                long = [row for row in rows if len(row) > 3]
                short += len(rows) - len(long)
                lengths.append(np.array([len(row) for row in long], dtype="int64"))
                stream.write(np.concatenate([np.zeros(0, dtype)] + [np.array(row, dtype) for row in long]).tobytes())
                if number % 250 == 249:
                    logger.info("%s: %d texts read" % (path, (number + 1) * LINES))
            stream.flush()
            os.fsync(stream.fileno())
        starts = np.concatenate([[0]] + lengths).cumsum()
        if len(starts) < 2:
            raise ValueError("%s: none of %d texts has two tokens" % (path, short))
        np.save(os.path.join(temporary, "starts.npy"), starts)
        with open(os.path.join(temporary, "about.json"), "w", encoding="utf-8") as stream:
            json.dump(
                {"short": short, "dtype": dtype.name, "texts": len(starts) - 1, "tokens": int(starts[-1])}, stream
            )
        os.rename(temporary, self.folder)

    def __getstate__(self):  # a worker maps the files itself
        return {key: value for key, value in self.__dict__.items() if key not in ("starts", "ids")}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._open()

    def __len__(self):
        return len(self.starts) - 1

    def __getitem__(self, index):
        draw = Draw.of(index)
        if not 0 <= draw.row < len(self):
            raise IndexError(draw.row)
        start, end = self.starts[draw.row : draw.row + 2].tolist()
        return {"input_ids": self.ids[start:end].astype("int64"), "draw": draw}


def _texts(path):
    """Lists of up to LINES texts."""
    part = []
    for row, _ in read_lines(path, ("text",)):
        part.append(row["text"])
        if len(part) == LINES:
            yield part
            part = []
    if part:
        yield part


_encode = None


def _start(encode):
    global _encode
    _encode = encode


def _encode_all(texts):
    return [_encode(text) for text in texts]


def _encoded(path, encode, processes):
    if processes <= 1:
        _start(encode)
        yield from map(_encode_all, _texts(path))
        return
    with multiprocessing.get_context("fork").Pool(processes, _start, (encode,)) as pool:
        yield from pool.imap(_encode_all, _texts(path))
