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

from __future__ import annotations

import inspect
from collections import OrderedDict
from typing import Any, Callable, List, Optional, Sequence, Tuple

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle.static import InputSpec

from ....utils.log import logger
from .base import LanguageModelError
from .gguf_llama import load_tokenizer
from .local import PaddleNLPModel, Row

__all__ = ["GRAPHS", "GenerationEngine", "IncrementalModel", "Row", "common_prefix"]

Cache = List[Tuple[paddle.Tensor, ...]]

GRAPHS = ("dygraph", "static")


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences share from the start."""
    bound = min(len(first), len(second))
    for i in range(bound):
        if first[i] != second[i]:
            return i
    return bound


class _Step(paddle.nn.Layer):
    """A model's forward with one signature for all models, and the cache as a flat list (keys, values, keys, ...)."""

    def __init__(self, model):
        super().__init__()
        names = inspect.signature(model.forward).parameters
        self.model = model
        self.cache_name = "past_key_values" if "past_key_values" in names else "cache"
        self.has_positions = "position_ids" in names
        self.returns_dict = "return_dict" in names
        self.eval()

    def forward(self, ids, mask, positions, cache):
        """[logits of the last position [B, V], then the new cache]; an empty cache is none."""
        inputs = {"input_ids": ids, "attention_mask": mask, "use_cache": True}
        pairs = [(cache[i], cache[i + 1]) for i in range(0, len(cache), 2)]
        inputs[self.cache_name] = pairs if len(pairs) > 0 else None
        if self.has_positions:
            inputs["position_ids"] = positions
        if self.returns_dict:
            inputs["return_dict"] = True
        outputs = self.model(**inputs)
        if isinstance(outputs, tuple):
            logits, new = outputs[0], outputs[1]
        else:
            logits, new = outputs.logits, outputs.past_key_values
        return [logits[:, -1]] + [t for layer in new for t in layer]


class GenerationEngine:
    """Batched decoding of a causal language model of PaddleNLP, in which a shared prefix is computed once.

    The prompts of a tree search share a long few-shot prefix, and several answers are sampled from one prompt. The
    keys and values of what a group of rows shares are computed once, repeated for the rows, and kept for the next
    batch. Rows that have finished leave the batch.

    What a model can do is not read off a table but tried once on a handful of tokens (`_probe`): along which axes its
    cache grows, whether a prompt may be fed in two pieces, and whether it may be padded on the left. What fails is
    switched off with a warning: without padding only prompts of equal length share a batch, without pieces nothing is
    reused.

    Args:
        model (PretrainedModel): A causal model whose forward takes input_ids [B, S], attention_mask [B, P + S],
            position_ids [B, S], the cache of P tokens and use_cache, and gives logits [B, S, V] and the cache.
        eos_token_ids (sequence of int): Tokens that end a row; they are not part of its tokens.
        pad_token_id (int): Token on masked positions.
        max_rows (int): Largest batch. Default: 32.
        max_length (int, optional): Longest prompt plus answer. Default: no bound.
        reuse_prefix (bool): Default: True.
        min_prefix (int): Shorter shared prefixes are not worth a pass of their own. Default: 16.
        kept_prefixes (int): How many caches of prefixes are kept between batches. Default: 4.
        graph (str): "dygraph", or "static": the step of one token runs as a static graph. Default: "dygraph".
    """

    def __init__(
        self,
        model,
        eos_token_ids: Sequence[int],
        pad_token_id: int,
        max_rows: int = 32,
        max_length: Optional[int] = None,
        reuse_prefix: bool = True,
        min_prefix: int = 16,
        kept_prefixes: int = 4,
        graph: str = "dygraph",
    ):
        if graph not in GRAPHS:
            raise ValueError("graph is {!r}, it must be one of {}".format(graph, ", ".join(GRAPHS)))
        if max_rows < 1:
            raise ValueError("max_rows is {}, it must be at least 1".format(max_rows))
        self.model = model
        self.model.eval()
        self.eos = frozenset(int(i) for i in eos_token_ids)
        self.pad = int(pad_token_id)
        self.max_rows = max_rows
        self.max_length = max_length
        self.min_prefix = max(1, min_prefix)
        self.kept_prefixes = kept_prefixes
        self.graph = graph
        self._prefixes: "OrderedDict[Tuple[int, ...], Cache]" = OrderedDict()
        # Tokens that went through the model, and tokens of prompts that did not have to.
        self.computed_tokens = 0
        self.reused_tokens = 0
        self._step, self._static = _Step(model), None
        self.batch_axis, self.length_axis, self.pads, self.reuses = self._probe()
        self.reuses = self.reuses and reuse_prefix

    # ------------------------------------------------------------------ the model

    def _forward(self, ids: np.ndarray, mask: np.ndarray, positions: np.ndarray, cache: Optional[Cache]):
        """Logits of the last position [B, V] and the new cache. Shapes: ids, positions [B, S], mask [B, P + S]."""
        inputs = [paddle.to_tensor(array, dtype="int64") for array in (ids, mask, positions)]
        inputs.append([] if cache is None else [t for layer in cache for t in layer])
        with paddle.no_grad():
            outputs = None
            if self.graph == "static" and cache is not None and ids.shape[1] == 1:
                outputs = self._run_static(cache, inputs)
            if outputs is None:
                outputs = self._step(*inputs)
        self.computed_tokens += int(mask[:, -ids.shape[1] :].sum())
        return outputs[0], [tuple(outputs[i : i + 2]) for i in range(1, len(outputs), 2)]

    def _run_static(self, cache: Cache, inputs: List):
        """The step of one token as a static graph; None, and dygraph from now on, if the model cannot be one."""
        if self._static is not None:
            return self._static(*inputs)
        spec = [InputSpec([None, 1], "int64"), InputSpec([None, None], "int64"), InputSpec([None, 1], "int64")]
        free = (self.batch_axis, self.length_axis)
        spec.append(
            [
                InputSpec([None if axis in free else size for axis, size in enumerate(t.shape)], t.dtype)
                for layer in cache
                for t in layer
            ]
        )
        static = paddle.jit.to_static(_Step(self.model), input_spec=spec, full_graph=True)
        try:
            outputs = static(*inputs)
        except Exception as error:  # whatever the conversion of a model's code meets
            reason = str(error).strip().split("\n")[-1]
            logger.warning("{} cannot be a static graph: {}".format(type(self.model).__name__, reason))
            self.graph = "dygraph"
            return None
        self._static = static
        return outputs

    def _probe(self) -> Tuple[int, int, bool, bool]:
        """(batch axis, length axis, may be padded on the left, may be fed in pieces) of the model's cache."""
        # Small ids are in every vocabulary; which ones does not matter, only that they differ.
        ids = np.arange(7) % 5 + 1

        def shape(rows, length):
            block = np.tile(ids[:length], (rows, 1))
            return self._forward(block, np.ones_like(block), np.tile(np.arange(length), (rows, 1)), None)[1][0][
                0
            ].shape

        plain, more_rows, longer = shape(1, 3), shape(2, 3), shape(1, 5)
        batch_axes = [axis for axis, (a, b) in enumerate(zip(plain, more_rows)) if a != b]
        length_axes = [axis for axis, (a, b) in enumerate(zip(plain, longer)) if a != b]
        if len(batch_axes) != 1 or len(length_axes) != 1:
            raise LanguageModelError(
                "the cache of {} has shapes {}, {} and {} for 1x3, 2x3 and 1x5 tokens; this engine needs one axis for "
                "the batch and one for the length. Use PaddleNLPModel(engine='generate').".format(
                    type(self.model).__name__, plain, more_rows, longer
                )
            )
        whole, _ = self._forward(ids[None], np.ones((1, 7)), np.arange(7)[None], None)
        reuses = self._agrees(whole, self._in_pieces(ids), "a prompt in two pieces")
        mask = np.array([[0, 0] + [1] * 7])
        padded_ids = np.concatenate([[self.pad, self.pad], ids])[None]
        positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
        pads = self._agrees(whole, lambda: self._forward(padded_ids, mask, positions, None)[0], "padding on the left")
        self.computed_tokens = 0
        return batch_axes[0], length_axes[0], pads, reuses

    def _in_pieces(self, ids: np.ndarray) -> Callable:
        def run():
            _, cache = self._forward(ids[None, :4], np.ones((1, 4)), np.arange(4)[None], None)
            return self._forward(ids[None, 4:], np.ones((1, 7)), np.arange(4, 7)[None], cache)[0]

        return run

    def _agrees(self, whole: paddle.Tensor, other: Callable, what: str) -> bool:
        try:
            got = other()
        except Exception as error:  # whatever a model raises when it cannot do this
            logger.warning("{} does not take {} ({})".format(type(self.model).__name__, what, error))
            return False
        want = whole.astype("float32").numpy()
        got = got.astype("float32").numpy()
        # Half precision rounds each of the few tokens differently; a wrong mask or position is off by far more.
        loose = 1e-3 if whole.dtype == paddle.float32 else 5e-2
        if np.abs(got - want).max() <= loose * max(1.0, np.abs(want).max()):
            return True
        logger.warning("{} gives other logits for {}: not used".format(type(self.model).__name__, what))
        return False

    # ------------------------------------------------------------------ prefixes

    def _slice(self, cache: Cache, length: int) -> Cache:
        return [tuple(paddle.slice(t, [self.length_axis], [0], [length]) for t in layer) for layer in cache]

    def _repeat(self, cache: Cache, rows: int) -> Cache:
        def repeat(t):
            shape = list(t.shape)
            shape[self.batch_axis] = rows
            return t.expand(shape)

        return [tuple(repeat(t) for t in layer) for layer in cache]

    def _select(self, cache: Cache, rows: List[int]) -> Cache:
        index = paddle.to_tensor(rows, dtype="int64")
        return [tuple(paddle.index_select(t, index, axis=self.batch_axis) for t in layer) for layer in cache]

    def _prefix_cache(self, prefix: Tuple[int, ...]) -> Cache:
        """The cache of one row of `prefix`, with as much as possible taken from the caches that are kept."""
        best = max(self._prefixes, key=lambda known: common_prefix(known, prefix), default=())
        shared = common_prefix(best, prefix)
        if shared:
            self._prefixes.move_to_end(best)
        if shared < self.min_prefix:
            shared, cache = 0, None
        else:
            cache = self._slice(self._prefixes[best], shared)
        if shared < len(prefix):
            ids = np.array([prefix[shared:]])
            _, cache = self._forward(ids, np.ones((1, len(prefix))), np.arange(shared, len(prefix))[None], cache)
            self._keep(prefix, cache)
        self.reused_tokens += shared
        return cache

    def _keep(self, prefix: Tuple[int, ...], cache: Cache) -> None:
        # A shorter prefix of this one is no longer needed: it can be sliced off.
        for known in [known for known in self._prefixes if common_prefix(known, prefix) == len(known)]:
            del self._prefixes[known]
        self._prefixes[prefix] = cache
        while len(self._prefixes) > self.kept_prefixes:
            self._prefixes.popitem(last=False)

    def _groups(self, rows: Sequence[Row]) -> List[List[int]]:
        """Numbers of rows that go through the model together, at most `max_rows` in a group.

        Rows that share a prefix form a group; what is left over shares a batch without one.
        """
        order = sorted(range(len(rows)), key=lambda i: (tuple(rows[i].ids), i))
        runs: List[List[int]] = []
        for i in order:
            # In this order the first and the last row of a run share what all of them share.
            shared = common_prefix(rows[runs[-1][0]].ids, rows[i].ids) if runs and self.reuses else 0
            if shared >= self.min_prefix:
                runs[-1].append(i)
            else:
                runs.append([i])
        left = [run for run in runs if len(run) == 1 and self._known(rows[run[0]].ids) < self.min_prefix]
        runs = [run for run in runs if run not in left]
        runs.append(sorted((run[0] for run in left), key=lambda i: (len(rows[i].ids), i)))
        if not self.pads:
            runs = [self._of_length(rows, run, n) for run in runs for n in sorted({len(rows[i].ids) for i in run})]
        return [run[start : start + self.max_rows] for run in runs for start in range(0, len(run), self.max_rows)]

    @staticmethod
    def _of_length(rows: Sequence[Row], run: List[int], length: int) -> List[int]:
        return [i for i in run if len(rows[i].ids) == length]

    def _known(self, ids: Sequence[int]) -> int:
        """How much of a prompt lies in a cache that is kept."""
        return max((common_prefix(known, ids) for known in self._prefixes), default=0) if self.reuses else 0

    # ------------------------------------------------------------------ decoding

    def generate(self, rows: Sequence[Row]) -> List[List[int]]:
        """The tokens generated for each row.

        Raises:
            LanguageModelError: A prompt is empty or leaves no room for an answer.
        """
        for row in rows:
            if not row.ids:
                raise LanguageModelError("an empty prompt cannot be continued by a model without a start token")
            if self.max_length is not None and len(row.ids) >= self.max_length:
                raise LanguageModelError(
                    "the prompt has {} tokens, the model takes {} with the answer. Shorten the prompt or use a model "
                    "with a longer context.".format(len(row.ids), self.max_length)
                )
        for group in self._groups(rows):
            self._generate([rows[i] for i in group])
        return [row.tokens for row in rows]

    def _generate(self, rows: List[Row]) -> None:
        prefix: Tuple[int, ...] = ()
        if self.reuses:
            ids = [row.ids for row in rows]
            # One token of each prompt is left: its logits are the first ones that are sampled.
            shared = min(common_prefix(min(ids), max(ids)), min(len(x) for x in ids) - 1)
            prefix = tuple(ids[0][:shared]) if shared >= self.min_prefix else ()
        cache = None
        if prefix:
            cache = self._prefix_cache(prefix)
            self.reused_tokens += len(prefix) * (len(rows) - 1)
            cache = self._repeat(cache, len(rows))
        rest = [list(row.ids[len(prefix) :]) for row in rows]
        width = max(len(ids) for ids in rest)
        ids = np.array([[self.pad] * (width - len(ids)) + ids for ids in rest])
        mask = np.array([[1] * len(prefix) + [0] * (width - len(r)) + [1] * len(r) for r in rest])
        # Masked positions get a position too, any valid one.
        positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)[:, len(prefix) :]
        logits, cache = self._forward(ids, mask, positions, cache)
        lengths = [len(row.ids) for row in rows]
        alive = list(range(len(rows)))
        while True:
            tokens = self._sample(logits, [rows[i] for i in alive])
            stay = [k for k, token in enumerate(tokens) if self._append(rows[alive[k]], token)]
            if not stay:
                return
            if len(stay) < len(alive):
                alive = [alive[k] for k in stay]
                tokens, mask, cache = tokens[stay], mask[stay], self._select(cache, stay)
            mask = np.concatenate([mask, np.ones((len(alive), 1), mask.dtype)], axis=1)
            positions = np.array([[lengths[i] + len(rows[i].tokens) - 1] for i in alive])
            logits, cache = self._forward(tokens[:, None], mask, positions, cache)

    def _append(self, row: Row, token: int) -> bool:
        """Take one token; True if the row goes on."""
        if int(token) in self.eos:
            return False
        row.tokens.append(int(token))
        room = row.max_tokens
        if self.max_length is not None:
            room = min(room, self.max_length - len(row.ids))
        return len(row.tokens) < room and not row.finished(row.tokens)

    def _sample(self, logits: paddle.Tensor, rows: List[Row]) -> np.ndarray:
        """One token for each row, from logits [B, V]; the random numbers are the rows' own."""
        logits = logits.astype("float32")
        greedy = paddle.argmax(logits, axis=-1).numpy().reshape([-1])
        hot = [k for k, row in enumerate(rows) if row.temperature > 0]
        if not hot:
            return greedy
        picked = logits if len(hot) == len(rows) else paddle.index_select(logits, paddle.to_tensor(hot), axis=0)
        heat = paddle.to_tensor([[rows[k].temperature] for k in hot], dtype="float32")
        chance = F.softmax(picked / heat, axis=-1)
        order = None
        if any(rows[k].top_p < 1 for k in hot):
            top_p = paddle.to_tensor([[rows[k].top_p] for k in hot], dtype="float32")
            order = paddle.argsort(chance, axis=-1, descending=True)
            chance = paddle.take_along_axis(chance, order, axis=-1)
            before = paddle.cumsum(chance, axis=-1) - chance
            chance = paddle.where(before < top_p, chance, paddle.zeros_like(chance))
        # Inverse of the cumulative distribution: the first token whose sum passes a uniform number.
        total = paddle.cumsum(chance, axis=-1)
        draw = paddle.to_tensor([[rows[k].random.random()] for k in hot], dtype="float32") * total[:, -1:]
        index = (total <= draw).astype("int64").sum(axis=-1, keepdim=True)
        index = paddle.minimum(index, paddle.full_like(index, chance.shape[-1] - 1))
        if order is not None:
            index = paddle.take_along_axis(order, index, axis=-1)
        tokens = greedy.copy()
        tokens[hot] = index.numpy().reshape([-1])
        return tokens


class IncrementalModel(PaddleNLPModel):
    """A :class:`PaddleNLPModel` whose rows are decoded in batches that share prefixes, see :class:`GenerationEngine`.

    Args:
        model, tokenizer, options: As of PaddleNLPModel.
        reuse_prefix (bool): Keep keys and values of shared prompt prefixes. Default: True.
        graph (str): "dygraph", or "static": tokens after the first are decoded by a static graph. Default: "dygraph".
        engine (str): "incremental", "generate" (the model's own, as PaddleNLPModel), or "auto": the first, unless the model
            cannot, for example ChatGLM-6B whose prompt is not causal. Default: "auto".
    """

    def __init__(
        self,
        model,
        tokenizer,
        *args: Any,
        reuse_prefix: bool = True,
        graph: str = "dygraph",
        engine: str = "auto",
        **options: Any,
    ):
        if engine not in ("auto", "incremental", "generate"):
            raise ValueError("engine is {!r}, it must be 'auto', 'incremental' or 'generate'".format(engine))
        if graph not in GRAPHS:
            raise ValueError("graph is {!r}, it must be one of {}".format(graph, ", ".join(GRAPHS)))
        super().__init__(model, tokenizer, *args, **options)
        self.engine = None
        if engine != "generate":
            try:
                self.engine = GenerationEngine(
                    model,
                    self.eos_token_ids,
                    self.pad_token_id,
                    self.max_rows,
                    self.max_length,
                    reuse_prefix,
                    graph=graph,
                )
            except Exception as error:  # whatever a model raises that is called in a way it does not know
                if engine == "incremental":
                    raise
                logger.warning("{} runs through generate(), without prefix reuse: {}".format(self.name, error))

    @staticmethod
    def load_tokenizer(name_or_path: str):
        return load_tokenizer(name_or_path) or PaddleNLPModel.load_tokenizer(name_or_path)

    def generate(self, rows: List[Row]) -> List[List[int]]:
        return self.engine.generate(rows) if self.engine is not None else super().generate(rows)
