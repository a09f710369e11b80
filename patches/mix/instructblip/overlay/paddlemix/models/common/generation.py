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
Generation with a key-value cache: greedy, beams, and sampling (nucleus, top-k).

PaddleNLP's `GenerationMixin` (2.6.1) is not used, for it starts from ids and not from embeddings with padding on the left, and its
beam scores are divided by ((length + 5) / 6)^length_penalty. The rules here are those of `transformers` (length^length_penalty,
`early_stopping`, the order in which processors act), so that a published model gives the published model's text.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, List, Optional, Union

import numpy as np
import paddle
import paddle.nn.functional as F
from paddlenlp.utils.log import logger

__all__ = ["GenerationOptions", "generate", "rank_candidates", "filter_scores"]

LOW = -1e9
PADDING = -1  # what stands for the padding of a prompt among the ids seen so far


@dataclass
class GenerationOptions:
    """
    Args:
        max_new_tokens (`int`): longest answer in tokens; PaddleNLP's name for it, `max_length`, is taken as well.
        min_length (`int`): shortest answer in new tokens; the end token is forbidden before.
        num_beams (`int`): beams; 1 is greedy or sampling.
        do_sample (`bool`): sample each token; with one beam only.
        top_p (`float`): nucleus: the fewest tokens whose probabilities reach `top_p`; 1 takes all.
        top_k (`int`): the `top_k` best tokens; 0 takes all.
        temperature (`float`): what logits are divided by before sampling.
        repetition_penalty (`float`): above 1 makes tokens rarer that the prompt's ids or the answer hold already.
        no_repeat_ngram_size (`int`): no run of so many tokens stands twice in the prompt's ids and the answer; 0 allows all.
        length_penalty (`float`): beam scores are divided by length^length_penalty.
        early_stopping (`bool` or `"never"`): `True`: end with `num_beams` finished answers; `False`: end when no beam can get
            better at the present length; `"never"`: at the longest length.
        num_return_sequences (`int`): answers for each input: the best beams, or as many samples.
        eos_token_id (`int`, list, or -1 for none), pad_token_id (`int`): the language model's, if left out.

    PaddleNLP's `decode_strategy` is taken as well: `"greedy_search"`, `"sampling"` (the same as `do_sample=True`) or `"beam_search"`.
    """

    max_new_tokens: int = 64
    min_length: int = 0
    num_beams: int = 1
    do_sample: bool = False
    top_p: float = 1.0
    top_k: int = 0
    temperature: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    length_penalty: float = 1.0
    early_stopping: Union[bool, str] = False
    num_return_sequences: int = 1
    eos_token_id: Any = None
    pad_token_id: Optional[int] = None

    @classmethod
    def of(cls, config, options):
        """The options with the language model's tokens filled in."""
        options = cls._own_names(dict(options))
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            known += ["max_length", "decode_strategy"]
            raise ValueError(f"generate() knows no {', '.join(unknown)}; there are {', '.join(known)}")
        made = cls(**options)
        if made.eos_token_id is None:
            made.eos_token_id = config.eos_token_id
        made.eos_token_id = [
            token for token in np.atleast_1d(made.eos_token_id).tolist() if token is not None and token >= 0
        ]
        if made.pad_token_id is None:
            made.pad_token_id = (
                config.pad_token_id if config.pad_token_id is not None else (made.eos_token_id or [0])[0]
            )
        if made.num_beams > 1 and made.do_sample:
            raise ValueError("sampling takes one beam: num_beams=1, or do_sample=False")
        if made.num_return_sequences > (made.num_beams if not made.do_sample else made.num_return_sequences):
            raise ValueError(f"num_return_sequences {made.num_return_sequences} is above num_beams {made.num_beams}")
        if made.temperature <= 0 or not 0 < made.top_p <= 1 or made.max_new_tokens < 1:
            raise ValueError("temperature and max_new_tokens are above 0, and top_p in (0, 1]")
        return made

    @staticmethod
    def _own_names(options):
        """PaddleNLP's options in the names of this class."""
        if "max_length" in options:
            if "max_new_tokens" in options:
                raise ValueError("max_length and max_new_tokens say the same; give one of them")
            options["max_new_tokens"] = options.pop("max_length")
        strategy = options.pop("decode_strategy", None)
        if strategy is None:
            return options
        if strategy not in ("greedy_search", "sampling", "beam_search"):
            raise ValueError(f"decode_strategy is {strategy!r}; there are greedy_search, sampling, beam_search")
        sample, several = options.get("do_sample", strategy == "sampling"), options.get("num_beams", 1) > 1
        if sample != (strategy == "sampling") or (several and strategy == "greedy_search"):
            raise ValueError(f"decode_strategy {strategy!r} contradicts do_sample or num_beams")
        return {**options, "do_sample": sample}


class Decoding:
    """The language model, and all that it remembers of `rows` answers in the making."""

    def __init__(self, model, embeds, mask):
        self.model, self.mask = model, mask.astype("int64")
        self.cache, self.embeds, self.states = None, embeds, None
        if model.is_encoder_decoder:
            self.states = model.encode(embeds, self.mask)

    @property
    def rows(self):
        return self.mask.shape[0]

    def first(self):
        """Scores [rows, V] of the first token."""
        if self.model.is_encoder_decoder:
            start = paddle.full([self.rows, 1], self.model.start_token_id, "int64")
            return self._decode(start, self.mask)
        return self._decode(self.embeds, self.mask)

    def next(self, tokens):
        """Scores [rows, V] after `tokens` [rows]."""
        tokens = paddle.to_tensor(tokens, dtype="int64").reshape([-1, 1])
        if self.model.is_encoder_decoder:
            return self._decode(tokens, self.mask)
        self.mask = paddle.concat([self.mask, paddle.ones([self.rows, 1], "int64")], axis=1)
        return self._decode(self.model.embed(tokens), self.mask)

    def _decode(self, what, mask):
        states = {"states": self.states} if self.model.is_encoder_decoder else {}
        logits, self.cache = self.model.decode(what, mask, cache=self.cache, use_cache=True, last=True, **states)
        return logits[:, -1].astype("float32")

    def take(self, rows):
        """Go on with these rows, in this order; a row may come more than once."""
        index = paddle.to_tensor(rows, dtype="int64")
        self.cache = [tuple(paddle.index_select(tensor, index) for tensor in layer) for layer in self.cache]
        self.mask = paddle.index_select(self.mask, index)
        if self.states is not None:
            self.states = paddle.index_select(self.states, index)


def log_total(scores):
    """
    log(sum(exp(scores))) over the last axis, which stays with length 1. On a CPU, `F.log_softmax` and `F.cross_entropy` of Paddle
    2.6.2 hold what is 64 below the largest at -64, and take 1 ms for a row of 4,000 scores.
    """
    largest = scores.max(axis=-1, keepdim=True).detach()
    return (scores - largest).exp().sum(axis=-1, keepdim=True).log() + largest


def cross_entropy(logits, labels):
    """Of [..., V] and [...], in float32 or float64: 0 where the label is -100."""
    logits = logits if logits.dtype == paddle.float64 else logits.astype("float32")
    learned = (labels != -100).astype(logits.dtype)
    chosen = paddle.take_along_axis(logits, (labels * (labels != -100).astype(labels.dtype)).unsqueeze(-1), axis=-1)
    return (log_total(logits) - chosen).squeeze(-1) * learned


def penalize(scores, seen, options, length):
    """
    Repetition penalty, forbidden repetitions of n-grams, and least length.

    Args:
        scores (`Tensor`, [R, V]): logits or log-probabilities.
        seen (`ndarray`, [R, S]): ids of each row so far, -1 in place of padding on the left.
        length (`int`): number of new tokens so far.
    """
    if options.repetition_penalty != 1.0 and seen.shape[1]:
        # in the place of padding stands the last id, which counts anyway
        index = paddle.to_tensor(np.where(seen == PADDING, seen[:, -1:], seen))
        chosen = paddle.take_along_axis(scores, index, axis=1)
        factor = options.repetition_penalty
        chosen = paddle.where(chosen < 0, chosen * factor, chosen / factor)
        scores = paddle.put_along_axis(scores, index, chosen, axis=1)
    if options.no_repeat_ngram_size:
        scores = scores + paddle.to_tensor(repeated(seen, options.no_repeat_ngram_size, scores.shape[1]))
    if length < options.min_length and options.eos_token_id:
        ban = np.zeros([1, scores.shape[1]], "float32")
        ban[0, options.eos_token_id] = -np.inf
        scores = scores + paddle.to_tensor(ban)
    return scores


def repeated(seen, size, vocab):
    """[R, V] of float32: -inf at the tokens that would end a run of `size` tokens that a row of `seen` [R, S] holds already."""
    ban = np.zeros([len(seen), vocab], "float32")
    if seen.shape[1] >= size:
        runs = np.lib.stride_tricks.sliding_window_view(seen, size, axis=1)  # [R, S - size + 1, size]
        last = seen[:, seen.shape[1] - size + 1 :]
        same = (runs[:, :, :-1] == last[:, None]).all(axis=2) & (runs != PADDING).all(axis=2)
        rows, places = np.nonzero(same)
        ban[rows, runs[rows, places, -1]] = -np.inf
    return ban


def filter_scores(scores, top_k=0, top_p=1.0):
    """Logits [R, V] with -inf at the tokens that top-k, then nucleus sampling leave out."""
    if top_k:
        kth = paddle.topk(scores, min(top_k, scores.shape[1]), axis=1)[0][:, -1:]
        scores = paddle.where(scores < kth, paddle.full_like(scores, -np.inf), scores)
    if top_p < 1.0:
        order = paddle.argsort(scores, axis=1)  # from the least
        below = paddle.cumsum(F.softmax(paddle.take_along_axis(scores, order, axis=1), axis=1), axis=1)
        drop = below <= 1.0 - top_p
        drop[:, -1] = False
        drop = paddle.put_along_axis(paddle.zeros_like(scores), order, drop.astype(scores.dtype), axis=1) > 0
        scores = paddle.where(drop, paddle.full_like(scores, -np.inf), scores)
    return scores


def generate(model, embeds, mask, prompt_ids, prompt_mask, options):
    """
    Answers for embeddings.

    Args:
        model: a language model: `config`, `is_encoder_decoder`, `embed` and `decode` (see `instructblip/language.py`).
        embeds (`Tensor`, [N, L, C]), mask (`Tensor`, [N, L]): what it reads; a decoder-only model wants padding on the left.
        prompt_ids, prompt_mask (`Tensor`, [N, P]):
            ids that count as repeated where the mask is 1; an encoder-decoder counts its own start token alone.
        options ([`GenerationOptions`])

    Returns:
        ids [N * num_return_sequences, T] and scores [N * num_return_sequences].
    """
    decoding = Decoding(model, embeds, mask)
    if model.is_encoder_decoder:
        seen = np.full([decoding.rows, 1], model.start_token_id, "int64")
    else:
        seen = np.where(prompt_mask.numpy() > 0, prompt_ids.numpy(), PADDING)
        options = fit(model, embeds.shape[1], options)
    ids, scores = (beams if options.num_beams > 1 else one_by_one)(decoding, seen, options)
    return paddle.to_tensor(ids, dtype="int64"), paddle.to_tensor(scores, dtype="float32")


def fit(model, length, options):
    """The options for a prompt of `length` embeddings: no more new tokens than the language model has positions for."""
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is None or length + options.max_new_tokens - 1 <= positions:  # the last token is not read
        return options
    if length >= positions:
        raise ValueError(
            f"image and instruction take {length} places, the language model has {positions}; next: a shorter instruction "
            "(`max_prompt_len` of the processor, where it has one)"
        )
    room = positions - length + 1
    logger.warning(
        f"image and instruction take {length} of {positions} places: the answer ends after {room} tokens at the latest"
    )
    return replace(options, max_new_tokens=room)


def one_by_one(decoding, seen, options):
    """Greedy search or sampling."""
    logits = decoding.first()
    if options.num_return_sequences > 1:
        rows = np.repeat(np.arange(decoding.rows), options.num_return_sequences)
        decoding.take(rows)
        logits, seen = paddle.index_select(logits, paddle.to_tensor(rows)), seen[rows]
    prompt = seen.shape[1]
    alive, total = np.ones(decoding.rows, bool), np.zeros(decoding.rows, "float32")
    for length in range(options.max_new_tokens):
        scores = penalize(logits, seen, options, length)
        if options.do_sample:
            scores = filter_scores(scores / options.temperature, options.top_k, options.top_p)
            tokens = paddle.multinomial(F.softmax(scores, axis=1), 1)
        else:
            tokens = paddle.argmax(scores, axis=1, keepdim=True)
        chances = (paddle.take_along_axis(scores, tokens, axis=1) - log_total(scores)).numpy()[:, 0]
        tokens = np.where(alive, tokens.numpy()[:, 0], options.pad_token_id)
        total += np.where(alive, chances, 0.0)
        seen = np.concatenate([seen, tokens[:, None]], axis=1)
        alive &= ~np.isin(tokens, options.eos_token_id)
        if not alive.any() or length + 1 == options.max_new_tokens:
            break
        logits = decoding.next(tokens)
    return seen[:, prompt:], total


def beams(decoding, seen, options):
    """Beam search."""
    number, batch, width = options.num_beams, decoding.rows, options.max_new_tokens
    logits = decoding.first()
    prompt, vocab = seen.shape[1], logits.shape[1]
    rows = np.repeat(np.arange(batch), number)
    decoding.take(rows)
    logits, first = paddle.index_select(logits, paddle.to_tensor(rows)), seen[rows].reshape([batch, number, prompt])
    running = np.concatenate([first, np.full([batch, number, width], options.pad_token_id)], axis=2)
    running_scores = np.full([batch, number], LOW, "float32")
    running_scores[:, 0] = 0.0  # all beams are equal at first: only one of them may go on
    done, done_scores = running.copy(), np.full([batch, number], LOW, "float32")
    is_done = np.zeros([batch, number], bool)
    open_ = np.ones([batch, 1], bool)  # whether a better answer than the worst finished one can still come
    keep = max(2, 1 + len(options.eos_token_id)) * number
    for length in range(width):
        end = prompt + length
        scores = logits - log_total(logits)
        scores = penalize(scores, running[:, :, :end].reshape([batch * number, end]), options, length)
        scores = scores.reshape([batch, number, vocab]) + paddle.to_tensor(running_scores).unsqueeze(-1)
        values, places = paddle.topk(scores.reshape([batch, number * vocab]), keep, axis=1)
        values, places = values.numpy(), places.numpy()
        source, token = places // vocab, places % vocab
        candidates = np.take_along_axis(running, source[:, :, None], axis=1)
        candidates[:, :, end] = token
        ends = np.isin(token, options.eos_token_id) | (length + 1 == width)

        # go on with the best that have not ended
        best = np.argsort(-(values + ends * LOW), axis=1, kind="stable")[:, :number]
        running = np.take_along_axis(candidates, best[:, :, None], axis=1)
        running_scores = np.take_along_axis(values + ends.astype("float32") * LOW, best, axis=1)
        chosen = np.take_along_axis(source, best, axis=1)

        # an answer counts as finished if it is among the best `number` of this step
        ended = ends & (np.arange(keep) < number)
        full = is_done.all(axis=1, keepdims=True) & (options.early_stopping is True)
        final = values / np.float32((length + 1) ** options.length_penalty)
        final = final + (full.astype("float32") + ~open_ + ~ended) * LOW
        all_scores = np.concatenate([done_scores, final.astype("float32")], axis=1)
        best = np.argsort(-all_scores, axis=1, kind="stable")[:, :number]
        done = np.take_along_axis(np.concatenate([done, candidates], axis=1), best[:, :, None], axis=1)
        done_scores = np.take_along_axis(all_scores, best, axis=1)
        is_done = np.take_along_axis(np.concatenate([is_done, ended], axis=1), best, axis=1)

        longest = width if options.early_stopping == "never" and options.length_penalty > 0 else length + 1
        hope = running_scores[:, :1] / np.float32(longest**options.length_penalty)
        worst = np.where(is_done, done_scores.min(axis=1, keepdims=True), LOW)
        open_ = open_ & (hope > worst).any(axis=1, keepdims=True)
        finished = is_done.all() and options.early_stopping is True
        if finished or not open_.any() or length + 1 == width:
            break
        decoding.take((chosen + np.arange(batch)[:, None] * number).reshape(-1))
        logits = decoding.next(running[:, :, end].reshape(-1))
    none = ~is_done.any(axis=1)
    done, done_scores = np.where(none[:, None, None], running, done), np.where(
        none[:, None], running_scores, done_scores
    )
    done = done[:, : options.num_return_sequences, prompt : end + 1].reshape([-1, end + 1 - prompt])
    lengths = [_length(row, options.eos_token_id) for row in done]
    done = done[:, : max(lengths)]
    return done, done_scores[:, : options.num_return_sequences].reshape(-1)


def _length(row: np.ndarray, ends: List[int]) -> int:
    """Tokens of an answer up to its end token."""
    found = np.flatnonzero(np.isin(row, ends))
    return int(found[0]) + 1 if len(found) else len(row)


def rank_candidates(model, embeds, mask, candidates):
    """
    Summed cross entropy [N, K] of the candidates [K, T] or [N, K, T] (-100 at their padding) after `embeds` [N, L, C].

    The prompt is read once; its cache serves all candidates.
    """
    batch = embeds.shape[0]
    if candidates.ndim == 2:
        candidates = candidates.unsqueeze(0).expand([batch, -1, -1])
    number, length = candidates.shape[1], candidates.shape[2]
    labels = candidates.reshape([batch * number, length])
    inputs = paddle.where(labels == -100, paddle.zeros_like(labels), labels)
    decoding = Decoding(model, embeds, mask)
    rows = np.repeat(np.arange(batch), number)
    index = paddle.to_tensor(rows)
    if model.is_encoder_decoder:
        states, mask = paddle.index_select(decoding.states, index), paddle.index_select(decoding.mask, index)
        logits, _ = model.decode(model.shift_right(labels), mask, states=states)
    else:
        first = paddle.index_select(decoding.first(), index).unsqueeze(1)
        logits = first
        if length > 1:
            decoding.take(rows)
            seen = paddle.concat([decoding.mask, (labels[:, :-1] != -100).astype("int64")], axis=1)
            rest, _ = model.decode(model.embed(inputs[:, :-1]), seen, cache=decoding.cache, use_cache=True)
            logits = paddle.concat([first, rest.astype("float32")], axis=1)
    return cross_entropy(logits, labels).reshape([batch, number, length]).sum(-1)
