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
"""Whole-word masks, and the asymmetric masking of RetroMAE (arXiv:2205.12035, sections 3.1 to 3.3)."""

import numpy as np

from .retromae import IGNORED

MAX_PREDICTIONS = 512
# More distinct masks than this are not drawn for one text: the rows of longer texts share them.
MAX_DECODER_MASKS = 128


def words_of(tokens):
    """Positions of the tokens of each word: a token that starts with ## belongs to the word before it.

    Args:
        tokens (list[str]): with [CLS] and [SEP], which belong to no word.

    Returns:
        list[list[int]]
    """
    words = []
    for position, token in enumerate(tokens):
        if token in ("[CLS]", "[SEP]"):
            continue
        if words and token.startswith("##") and words[-1][-1] == position - 1:
            words[-1].append(position)
        else:
            words.append([position])
    return words


def whole_word_mask(words, length, ratio, rng):
    """A random choice of whole words that makes up `ratio` of the tokens.

    Args:
        words (list[list[int]]): from `words_of`.
        length (int): number of tokens, with the special ones.
        ratio (float): share of `length` to choose; at least one token, at most 512.
        rng (numpy.random.Generator)

    Returns:
        numpy.ndarray: [length], bool. A word that does not fit any more is passed over.
    """
    wanted = min(MAX_PREDICTIONS, max(1, int(round(length * ratio))))
    mask = np.zeros([length], dtype=bool)
    chosen = 0
    for index in rng.permutation(len(words)):
        if chosen >= wanted:
            break
        if chosen + len(words[index]) <= wanted:
            mask[words[index]] = True
            chosen += len(words[index])
    return mask


def decoder_visibility(words, length, ratio, rng):
    """What each position of the decoder may look at.

    Every row has a whole-word mask of its own (drawn from at most 128 masks), and never sees its own position. [CLS] and [SEP]
    are hidden nowhere else.

    Returns:
        numpy.ndarray: [length, length], int64, 1 where row i may look at column j.
    """
    masks = np.stack([whole_word_mask(words, length, ratio, rng) for _ in range(min(length, MAX_DECODER_MASKS))])
    visible = 1 - masks[rng.integers(0, len(masks), length)].astype("int64")
    visible[np.arange(length), np.arange(length)] = 0
    return visible


class RetroMAECollator:
    """Makes the batch of `RetroMAEForPretraining` from token ids.

    Args:
        tokenizer (PretrainedTokenizer): of BERT.
        encoder_ratio (float): share of tokens that the encoder does not see. Default: 0.3.
        decoder_ratio (float): share that each row of the decoder does not see. Default: 0.5.
        max_length (int): tokens a text, with [CLS] and [SEP]. Default: 512.
        pad_to (int, optional): pad to this length instead of the longest text of the batch.
        seed (int): of the masks. Default: 0.
    """

    def __init__(self, tokenizer, encoder_ratio=0.3, decoder_ratio=0.5, max_length=512, pad_to=None, seed=0):
        for name, ratio in (("encoder_ratio", encoder_ratio), ("decoder_ratio", decoder_ratio)):
            if not 0 < ratio < 1:
                raise ValueError("%s is %r; it must be between 0 and 1" % (name, ratio))
        self.tokenizer = tokenizer
        self.encoder_ratio, self.decoder_ratio = encoder_ratio, decoder_ratio
        self.max_length, self.pad_to = max_length, pad_to
        self.rng = np.random.default_rng(seed)

    def corrupt(self, ids, mask):
        """Of the masked tokens 80 % become [MASK], 10 % a random token, 10 % stay (BERT, arXiv:1810.04805)."""
        ids = ids.copy()
        draw = self.rng.random(len(ids))
        ids[mask & (draw < 0.8)] = self.tokenizer.mask_token_id
        random = mask & (draw >= 0.8) & (draw < 0.9)
        ids[random] = self.rng.integers(0, self.tokenizer.vocab_size, int(random.sum()))
        return ids

    def row(self, ids):
        """The six arrays of one text, without padding."""
        ids = np.asarray(list(ids)[: self.max_length - 1] + [self.tokenizer.sep_token_id], dtype="int64")
        words = words_of(self.tokenizer.convert_ids_to_tokens(ids.tolist()))
        if not words:
            raise ValueError("a text without a word cannot be masked; leave it out of the data")
        mask = whole_word_mask(words, len(ids), self.encoder_ratio, self.rng)
        decoder_labels = ids.copy()
        decoder_labels[[0, -1]] = IGNORED
        return {
            "input_ids": self.corrupt(ids, mask),
            "attention_mask": np.ones_like(ids),
            "labels": np.where(mask, ids, IGNORED),
            "decoder_input_ids": ids,
            "decoder_attention_mask": decoder_visibility(words, len(ids), self.decoder_ratio, self.rng),
            "decoder_labels": decoder_labels,
        }

    def __call__(self, examples):
        """
        Args:
            examples (list[dict]): `input_ids` of each text, with [CLS] and with [SEP] at the end.

        Returns:
            dict: the arguments of `RetroMAEForPretraining.forward`, numpy int64.
        """
        rows = [self.row(list(example["input_ids"])[:-1]) for example in examples]
        length = self.pad_to or max(len(row["input_ids"]) for row in rows)
        fill = {"input_ids": self.tokenizer.pad_token_id, "decoder_input_ids": self.tokenizer.pad_token_id}
        fill.update({"labels": IGNORED, "decoder_labels": IGNORED})
        batch = {}
        for key in rows[0]:
            shape = [len(rows), length] + ([length] if key == "decoder_attention_mask" else [])
            batch[key] = np.full(shape, fill.get(key, 0), dtype="int64")
            for index, row in enumerate(rows):
                size = len(row[key])
                batch[key][(index,) + (slice(size),) * row[key].ndim] = row[key]
        return batch
