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

from .draws import MASKS
from .retromae import IGNORED

MAX_PREDICTIONS = 512
# More distinct masks than this are not drawn for one text: the rows of longer texts share them.
MAX_DECODER_MASKS = 128


def word_numbers(ids, continues, special):
    """The word of each token: a token that starts with ## belongs to the word before it.

    Args:
        ids (numpy.ndarray): [length], with [CLS] and [SEP], which belong to no word.
        continues (numpy.ndarray): [vocabulary], bool, whether a token starts with ##.
        special (tuple[int]): the ids of [CLS] and [SEP].

    Returns:
        numpy.ndarray: [length], int64, numbers from 0 in order, -1 for [CLS] and [SEP].
    """
    outside = np.isin(ids, special)
    starts = ~continues[ids]
    starts[1:] |= outside[:-1]  # nothing is before the first word
    starts[:1] = True
    return np.where(outside, -1, (starts & ~outside).cumsum() - 1)


def whole_word_masks(words, ratio, rng, count=1):
    """Random choices of whole words, each of which makes up `ratio` of the tokens.

    The words are taken in random order; one that does not fit any more is passed over. If none fits, the first of them is chosen.

    Args:
        words (numpy.ndarray): [length], from `word_numbers`.
        ratio (float): share of the length to choose; at least one token, at most 512.
        rng (numpy.random.Generator)
        count (int): of masks.

    Returns:
        numpy.ndarray: [count, length], bool.
    """
    wanted = min(MAX_PREDICTIONS, max(1, int(round(len(words) * ratio))))
    sizes = np.bincount(words[words >= 0])
    order = np.argsort(rng.random([count, len(sizes)], dtype="float32"), axis=1)
    ordered = sizes[order]
    taken = ordered.cumsum(axis=1) <= wanted
    room = wanted - (ordered * taken).sum(axis=1)
    places = np.arange(len(sizes))
    last = taken.sum(axis=1)
    while True:  # a later word may fill what a longer one left; a word has few tokens, so this ends soon
        fits = (places >= last[:, None]) & (ordered <= room[:, None])
        first = fits.argmax(axis=1)
        some = np.flatnonzero(fits[np.arange(count), first])
        if not len(some):
            break
        taken[some, first[some]] = True
        room[some] -= ordered[some, first[some]]
        last[some] = first[some] + 1
    taken[~taken.any(axis=1), 0] = True
    chosen = np.zeros([count, len(sizes) + 1], dtype=bool)  # the last column is that of -1
    np.put_along_axis(chosen, order, taken, axis=1)
    return chosen[:, words]


def decoder_visibility(words, ratio, rng):
    """What each position of the decoder may look at.

    Every row has a whole-word mask of its own (drawn from at most 128 masks), and never sees its own position. [CLS] and [SEP]
    are hidden nowhere else.

    Returns:
        numpy.ndarray: [length, length], bool, whether row i may look at column j.
    """
    length = len(words)
    masks = whole_word_masks(words, ratio, rng, min(length, MAX_DECODER_MASKS))
    visible = ~masks[rng.integers(0, len(masks), length)]
    np.fill_diagonal(visible, False)
    return visible


class RetroMAECollator:
    """Makes the batch of `RetroMAEForPretraining` from token ids. What is masked follows from seed, epoch and row.

    Args:
        tokenizer (PretrainedTokenizer): of BERT.
        encoder_ratio (float): share of tokens that the encoder does not see. Default: 0.3.
        decoder_ratio (float): share that each row of the decoder does not see. Default: 0.5.
        max_length (int): tokens a text, with [CLS] and [SEP]. Default: 512.
        pad_to (int, optional): pad to this length instead of the longest text of the batch.
        seed (int): of the masks. Default: 0.

    Raises:
        ValueError: a ratio is not between 0 and 1, or the vocabulary has no [MASK]; in a call, a text has no word or no `draw`.
    """

    def __init__(self, tokenizer, encoder_ratio=0.3, decoder_ratio=0.5, max_length=512, pad_to=None, seed=0):
        for name, ratio in (("encoder_ratio", encoder_ratio), ("decoder_ratio", decoder_ratio)):
            if not 0 < ratio < 1:
                raise ValueError("%s is %r; it must be between 0 and 1" % (name, ratio))
        for token in (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id):
            if token is None or token == tokenizer.unk_token_id:
                raise ValueError("the vocabulary lacks [CLS], [SEP] or [MASK]; take that of a masked language model")
        self.tokenizer = tokenizer
        self.encoder_ratio, self.decoder_ratio = encoder_ratio, decoder_ratio
        self.max_length, self.pad_to, self.seed = max_length, pad_to, seed
        pieces = tokenizer.convert_ids_to_tokens(list(range(tokenizer.vocab_size)))
        self.continues = np.array([str(piece).startswith("##") for piece in pieces])

    def corrupt(self, ids, mask, rng):
        """Of the masked tokens 80 % become [MASK], 10 % a random token, 10 % stay (BERT, arXiv:1810.04805)."""
        ids = ids.copy()
        draw = rng.random(len(ids))
        ids[mask & (draw < 0.8)] = self.tokenizer.mask_token_id
        random = mask & (draw >= 0.8) & (draw < 0.9)
        ids[random] = rng.integers(0, self.tokenizer.vocab_size, int(random.sum()))
        return ids

    def row(self, ids, draw):
        """The six arrays of one text, without padding; `ids` are with [CLS] and [SEP]."""
        sep = self.tokenizer.sep_token_id
        ids = np.concatenate([np.asarray(ids[:-1][: self.max_length - 1], dtype="int64"), [sep]])
        words = word_numbers(ids, self.continues, (self.tokenizer.cls_token_id, sep))
        if words.max() < 0:
            raise ValueError("a text without a word cannot be masked; leave it out of the data")
        rng = draw.generator(self.seed, MASKS)
        (mask,) = whole_word_masks(words, self.encoder_ratio, rng)
        decoder_labels = ids.copy()
        decoder_labels[[0, -1]] = IGNORED
        return {
            "input_ids": self.corrupt(ids, mask, rng),
            "attention_mask": np.ones_like(ids),
            "labels": np.where(mask, ids, IGNORED),
            "decoder_input_ids": ids,
            "decoder_attention_mask": decoder_visibility(words, self.decoder_ratio, rng),
            "decoder_labels": decoder_labels,
        }

    def __call__(self, examples):
        """
        Args:
            examples (list[dict]): `input_ids` of each text, with [CLS] and with [SEP] at the end, and its `draw` (row and epoch).

        Returns:
            dict: the arguments of `RetroMAEForPretraining.forward`, numpy int64; `decoder_attention_mask` is bool.
        """
        if not all(
            "draw" in example for example in examples
        ):  # the place in the batch would repeat the masks of every batch
            raise ValueError("a text has no `draw`: add Draw(row, epoch), as TextDataset and TokenFile do")
        rows = [self.row(example["input_ids"], example["draw"]) for example in examples]
        length = self.pad_to or max(len(row["input_ids"]) for row in rows)
        fill = {"input_ids": self.tokenizer.pad_token_id, "decoder_input_ids": self.tokenizer.pad_token_id}
        fill.update({"labels": IGNORED, "decoder_labels": IGNORED})
        batch = {}
        for key in rows[0]:
            shape = [len(rows), length] + ([length] if key == "decoder_attention_mask" else [])
            batch[key] = np.full(shape, fill.get(key, 0), dtype=rows[0][key].dtype)
            for index, row in enumerate(rows):
                size = len(row[key])
                batch[key][(index,) + (slice(size),) * row[key].ndim] = row[key]
        return batch
