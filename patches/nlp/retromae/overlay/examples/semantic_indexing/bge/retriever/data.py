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
"""Training groups of a query and its passages, and the batches of the contrastive training."""

import hashlib
import os

import numpy as np
from paddle.io import Dataset
from paddlenlp.utils.log import logger

from .draws import NEGATIVES, Draw
from .jsonl import JsonLines, check_row
from .tokens import TextEncoder

FIELDS = ("query", "pos")
# A file whose path holds this has no in-batch negatives, as with FlagEmbedding: classes and clusters, where the passage of another
# query may be right too.
NO_IN_BATCH = "no_in_batch_neg"


def key_of(text):
    """A number of 63 bits that stands for a text."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big") >> 1


class GroupDataset(Dataset):
    """A query, one positive and `group_size` - 1 negatives; which ones, follows from seed, epoch and row.

    Args:
        sources (list): rows, or lists of rows, or paths of files. Each file and each list of rows is a data set: the batches of
            `EpochBatchSampler` hold rows of one alone (`groups`). A row is a dict as in FlagEmbedding: `query` (str), `pos` and `neg`
            (lists of str), `prompt` (str, in place of the query instruction), and for distillation `pos_scores` and `neg_scores`.
        group_size (int): passages a query. Negatives are repeated if there are too few; a row without any takes positives of
            other rows of its data set. A negative that is among the positives of its row is left out.
        query_instruction, passage_instruction (str): put before the text. Default: "".
        query_format (str): how instruction and query are joined. Default: "{}{}".
        seed (int): Default: 0.
        need_scores (bool): for distillation. Default: False.

    Raises:
        ValueError: with file or row, and field: what `check_row` refuses, no scores where they are needed, no negative to be had.
    """

    def __init__(
        self,
        sources,
        group_size=8,
        query_instruction="",
        passage_instruction="",
        query_format="{}{}",
        seed=0,
        need_scores=False,
    ):
        if group_size < 1:
            raise ValueError("group_size is %d; a group has a positive at least" % group_size)
        if query_format.count("{}") != 2:
            raise ValueError("query_format is %r; it needs {} for the instruction and {} for the query" % query_format)
        if isinstance(sources, (str, os.PathLike)) or (sources and isinstance(sources[0], dict)):
            sources = [sources]
        self.group_size, self.seed = group_size, seed
        self.query_instruction, self.passage_instruction = query_instruction, passage_instruction
        self.query_format = query_format
        self.sets, self.groups, self.in_batch = [], [], []
        for source in sources:
            self._add(source, need_scores)
        if not self.groups:
            raise ValueError("there is no training row")

    def _add(self, source, need_scores):
        """One data set."""
        named = isinstance(source, (str, os.PathLike))
        name = os.fspath(source) if named else "training rows"
        seen = {"bad": 0, "scores": 0, "bare": 0, "texts": set()}

        def look(row):
            positives = set(row["pos"])
            seen["bad"] += sum(text in positives for text in row.get("neg") or [])
            seen["scores"] += row.get("pos_scores") is not None and row.get("neg_scores") is not None
            seen["bare"] += not any(text not in positives for text in row.get("neg") or [])
            if len(seen["texts"]) < 2:
                seen["texts"].add(row["pos"][0])

        if named:
            rows = JsonLines(name, FIELDS, look)
        else:
            rows = source
            for number, row in enumerate(rows):
                check_row(row, "training row %d" % number, FIELDS)
                look(row)
        if need_scores and seen["scores"] < len(rows):
            raise ValueError(
                "%s: %d of %d rows lack pos_scores or neg_scores" % (name, len(rows) - seen["scores"], len(rows))
            )
        if seen["bare"] and self.group_size > 1 and len(seen["texts"]) < 2:
            raise ValueError("%s: a row has no negative, and no other row has one for it" % name)
        if seen["bad"]:
            logger.warning("%s: %d negatives are also positives of their row, and are left out" % (name, seen["bad"]))
        start = self.groups[-1][1] if self.groups else 0
        self.sets.append(rows)
        self.groups.append((start, start + len(rows)))
        self.in_batch.append(not (named and NO_IN_BATCH in name))

    def __len__(self):
        return self.groups[-1][1]

    def _negatives(self, rows, row, rng):
        """Pairs (text, score)."""
        wanted, own = self.group_size - 1, set(row["pos"])
        texts = row.get("neg") or []
        texts = [pair for pair in zip(texts, row.get("neg_scores") or [0.0] * len(texts)) if pair[0] not in own]
        tries = 0
        while wanted and not texts:
            pool = [rows[int(other)]["pos"][0] for other in rng.integers(0, len(rows), 16 + 4 * wanted)]
            texts = [(text, 0.0) for text in dict.fromkeys(pool) if text not in own]
            tries += 1
            if tries > 100:
                raise ValueError(
                    "no negative was found for the query %r among the positives of other rows" % row["query"]
                )
        picks = []
        while len(picks) < wanted:
            picks.extend(rng.permutation(len(texts))[: wanted - len(picks)].tolist())
        return [texts[pick] for pick in picks]

    def __getitem__(self, index):
        draw = Draw.of(index)
        number = int(np.searchsorted([end for _, end in self.groups], draw.row, side="right"))
        rows = self.sets[number]
        row = rows[draw.row - self.groups[number][0]]
        rng = draw.generator(self.seed, NEGATIVES)
        first = int(rng.integers(0, len(row["pos"])))
        passages = [(row["pos"][first], (row.get("pos_scores") or [0.0] * len(row["pos"]))[first])]
        passages += self._negatives(rows, row, rng)
        prompt = row.get("prompt")
        instruction = self.query_instruction if prompt is None else prompt
        example = {
            "query": self.query_format.format(instruction, row["query"]) if instruction else row["query"],
            "passages": [self.passage_instruction + text for text, _ in passages],
            "keys": [key_of(text) for text, _ in passages],
            "positive_keys": [key_of(text) for text in row["pos"]],
            "in_batch": self.in_batch[number],
        }
        if row.get("pos_scores") is not None and row.get("neg_scores") is not None:
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
        query_max_length, passage_max_length (int): tokens with the special ones; the end of a longer text is cut off.
        pad (bool): pad to these lengths instead of the longest text of the batch (for static graphs, and between processes).
        keys (bool): add what the filter of false negatives needs. Default: False.
    """

    def __init__(self, tokenizer, query_max_length=64, passage_max_length=512, pad=False, keys=False):
        self.encoders = {"query": TextEncoder(tokenizer, query_max_length)}
        self.encoders["passage"] = TextEncoder(tokenizer, passage_max_length)
        self.tokenizer, self.pad, self.keys = tokenizer, pad, keys

    def _encode(self, name, texts):
        encoder = self.encoders[name]
        rows = [encoder(text) for text in texts]
        return pad_ids(rows, self.tokenizer.pad_token_id, encoder.max_length if self.pad else None)

    def __call__(self, examples):
        """
        Args:
            examples (list[dict]): of `GroupDataset`, all of one data set.

        Returns:
            dict: `query_input_ids`, `query_attention_mask`, `passage_input_ids`, `passage_attention_mask`, int64; `in_batch` [1] bool; perhaps
            `teacher_scores` [rows, group] float32; with `keys`, `passage_keys` [rows * group] and `positive_keys` [rows, most], int64, -1
            where there is none.
        """
        query_ids, query_mask = self._encode("query", [example["query"] for example in examples])
        passage_ids, passage_mask = self._encode("passage", [t for example in examples for t in example["passages"]])
        batch = {
            "query_input_ids": query_ids,
            "query_attention_mask": query_mask,
            "passage_input_ids": passage_ids,
            "passage_attention_mask": passage_mask,
            "in_batch": np.array([all(example.get("in_batch", True) for example in examples)]),
        }
        if all("teacher_scores" in example for example in examples):
            batch["teacher_scores"] = np.array([e["teacher_scores"] for e in examples], dtype="float32")
        if self.keys:
            batch["passage_keys"] = np.array([key for e in examples for key in e["keys"]], dtype="int64")
            most = max(len(e["positive_keys"]) for e in examples)
            batch["positive_keys"] = np.full([len(examples), most], -1, dtype="int64")
            for row, example in enumerate(examples):
                batch["positive_keys"][row, : len(example["positive_keys"])] = example["positive_keys"]
        return batch
