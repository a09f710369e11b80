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
"""Files of texts and of training groups, and the batches of the contrastive training."""

import json

import numpy as np
from paddle.io import Dataset


def read_jsonl(path, required=()):
    """The objects of a file with one JSON object a line.

    Raises:
        ValueError: with file and line, for a line that is no object or lacks a `required` key.
    """
    rows = []
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError("%s, line %d: %s" % (path, number, error)) from error
            missing = [key for key in required if not isinstance(row, dict) or key not in row]
            if missing or not isinstance(row, dict):
                raise ValueError("%s, line %d: an object with %s is needed" % (path, number, ", ".join(required)))
            rows.append(row)
    return rows


def write_jsonl(path, rows):
    with open(path, "w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


class TextDataset(Dataset):
    """Texts for RetroMAE, as token ids.

    Args:
        texts (list[str])
        tokenizer (PretrainedTokenizer)
        max_length (int): tokens a text, with the special ones.
    """

    def __init__(self, texts, tokenizer, max_length=512):
        rows = (tokenizer(text, max_length=max_length, truncation=True)["input_ids"] for text in texts)
        self.rows = [row for row in rows if len(row) > 3]  # two tokens at least

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return {"input_ids": self.rows[index]}


class GroupDataset(Dataset):
    """A query, one positive and `group_size` - 1 negatives; which ones, is drawn anew each time.

    Args:
        rows (list[dict]): `query` (str), `pos` and `neg` (lists of str), and for distillation `pos_scores` and `neg_scores`. The
            format is that of FlagEmbedding.
        group_size (int): passages a query. Negatives are repeated if there are too few; a row without any takes the positives of
            other rows.
        query_instruction, passage_instruction (str): put before the text. Default: "".
        seed (int)

    Raises:
        ValueError: for a row without a positive.
    """

    def __init__(self, rows, group_size=8, query_instruction="", passage_instruction="", seed=0):
        for index, row in enumerate(rows):
            if not row.get("pos"):
                raise ValueError("training row %d (%r) has no positive" % (index, row.get("query")))
        self.rows, self.group_size = rows, group_size
        self.query_instruction, self.passage_instruction = query_instruction, passage_instruction
        self.rng = np.random.default_rng(seed)

    def __len__(self):
        return len(self.rows)

    def _negatives(self, index):
        """Pairs (text, score)."""
        row, wanted = self.rows[index], self.group_size - 1
        texts = list(zip(row.get("neg") or [], row.get("neg_scores") or [0.0] * len(row.get("neg") or [])))
        if not texts:
            own = set(row["pos"])
            others = self.rng.integers(0, len(self.rows), 16 + 4 * wanted)
            pool = [self.rows[other]["pos"][0] for other in others]
            texts = [(text, 0.0) for text in dict.fromkeys(pool) if text not in own]
            if wanted and not texts:
                raise ValueError("training row %d has no negative, and no other row has one for it" % index)
        picks = []
        while len(picks) < wanted:
            picks.extend(self.rng.permutation(len(texts))[: wanted - len(picks)].tolist())
        return [texts[pick] for pick in picks]

    def __getitem__(self, index):
        row = self.rows[index]
        first = int(self.rng.integers(0, len(row["pos"])))
        passages = [(row["pos"][first], (row.get("pos_scores") or [0.0] * len(row["pos"]))[first])]
        passages += self._negatives(index)
        example = {
            "query": self.query_instruction + row["query"],
            "passages": [self.passage_instruction + text for text, _ in passages],
        }
        if "pos_scores" in row and "neg_scores" in row:
            example["teacher_scores"] = [float(score) for _, score in passages]
        return example


def pad_ids(rows, pad_token_id, pad_to=None):
    """input_ids and attention_mask, [rows, longest row] int64."""
    length = pad_to or max(len(row) for row in rows)
    ids = np.full([len(rows), length], pad_token_id, dtype="int64")
    mask = np.zeros([len(rows), length], dtype="int64")
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask


class GroupCollator:
    """Token ids of a batch of groups: the queries, then all passages group after group.

    Args:
        tokenizer (PretrainedTokenizer)
        query_max_length, passage_max_length (int): tokens with the special ones.
        pad (bool): pad to these lengths instead of the longest text of the batch (for static graphs, and between processes).
    """

    def __init__(self, tokenizer, query_max_length=64, passage_max_length=512, pad=False):
        self.tokenizer = tokenizer
        self.query_max_length, self.passage_max_length, self.pad = query_max_length, passage_max_length, pad

    def _encode(self, texts, length):
        rows = [self.tokenizer(text, max_length=length, truncation=True)["input_ids"] for text in texts]
        return pad_ids(rows, self.tokenizer.pad_token_id, length if self.pad else None)

    def __call__(self, examples):
        query_ids, query_mask = self._encode([example["query"] for example in examples], self.query_max_length)
        passages = [text for example in examples for text in example["passages"]]
        passage_ids, passage_mask = self._encode(passages, self.passage_max_length)
        batch = {
            "query_input_ids": query_ids,
            "query_attention_mask": query_mask,
            "passage_input_ids": passage_ids,
            "passage_attention_mask": passage_mask,
        }
        if all("teacher_scores" in example for example in examples):
            batch["teacher_scores"] = np.array([e["teacher_scores"] for e in examples], dtype="float32")
        return batch
