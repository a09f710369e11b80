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

import json
import os
from typing import Any, List, Optional, Sequence, Union

import paddle

from ....transformers import AutoModelForCausalLM, AutoTokenizer
from ....utils.log import logger
from .base import Completion, LanguageModel, LanguageModelError, Request
from .generation import GRAPHS, GenerationEngine, Row

__all__ = ["PROMPT_FORMATS", "PaddleNLPModel"]

# How a prompt is wrapped for a model that was tuned on turns of a chat; {prompt} is replaced.
PROMPT_FORMATS = {
    "plain": "{prompt}",
    "chatml": "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n",
    "llama2": "[INST] {prompt} [/INST]",
    "chatglm2": "[Round 1]\n\n问：{prompt}\n\n答：",
}

# Tokens before the answer that are decoded with it and cut off again: some tokenizers write the first piece of a text
# differently (without its blank).
ANCHOR = 4


class PaddleNLPModel(LanguageModel):
    """A causal language model of PaddleNLP (LLaMA, ChatGLM2, ...) in this process.

    Answers depend on the request and ``seed`` alone, not on what else is in the batch (up to rounding).

    Args:
        model (PretrainedModel): A causal language model, for example LlamaForCausalLM.
        tokenizer (PretrainedTokenizer): Its tokenizer.
        name (str): Name in logs and caches. Default: the class of the model.
        prompt_format (str): A key of `PROMPT_FORMATS`, or a template with {prompt}. Default: "plain".
        stop (sequence of str): Further stop strings for all requests; a base model needs them to end at all.
            Default: none.
        max_tokens (int, optional): Upper bound for all requests, below their own. Default: none.
        seed (int): Default: 0.
        max_rows (int): Largest batch; memory grows with it. Default: 32.
        reuse_prefix (bool): Keep keys and values of shared prompt prefixes. Default: True.
        graph (str): "dygraph", or "static": tokens after the first are decoded by a static graph. Default: "dygraph".
        engine (str): "incremental" (batches with shared prefixes, see :class:`GenerationEngine`), "generate" (the
            model's own ``generate``, which any generation model has, for example ChatGLM-6B whose prompt is not
            causal), or "auto": the first, unless the model cannot. Default: "auto".
    """

    def __init__(
        self,
        model,
        tokenizer,
        name: Optional[str] = None,
        prompt_format: str = "plain",
        stop: Sequence[str] = (),
        max_tokens: Optional[int] = None,
        seed: int = 0,
        max_rows: int = 32,
        reuse_prefix: bool = True,
        graph: str = "dygraph",
        engine: str = "auto",
    ):
        if engine not in ("auto", "incremental", "generate"):
            raise ValueError("engine is {!r}, it must be 'auto', 'incremental' or 'generate'".format(engine))
        if graph not in GRAPHS:
            raise ValueError("graph is {!r}, it must be one of {}".format(graph, ", ".join(GRAPHS)))
        template = PROMPT_FORMATS.get(prompt_format, prompt_format)
        if "{prompt}" not in template:
            raise ValueError(
                "prompt_format {!r} is neither one of {} nor a template with {{prompt}}".format(
                    prompt_format, ", ".join(sorted(PROMPT_FORMATS))
                )
            )
        self.model, self.tokenizer = model, tokenizer
        self.template, self.stop, self.max_tokens, self.seed = template, tuple(stop), max_tokens, seed
        self.max_rows = max_rows
        self.name = "{}|{}".format(name or type(model).__name__, json.dumps([template, list(stop), max_tokens, seed]))
        self.max_length = _context(model.config)
        self.eos_token_ids = _eos_ids(model.config, tokenizer)
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(self.eos_token_ids)
        self.pad_token_id = int(pad)
        self.engine = None
        if engine != "generate":
            try:
                self.engine = GenerationEngine(
                    model,
                    self.eos_token_ids,
                    self.pad_token_id,
                    max_rows,
                    self.max_length,
                    reuse_prefix,
                    graph=graph,
                )
            except Exception as error:  # whatever a model raises that is called in a way it does not know
                if engine == "incremental":
                    raise
                logger.warning("{} runs through generate(), without prefix reuse: {}".format(self.name, error))

    @classmethod
    def from_pretrained(cls, name_or_path: str, dtype: str = "float32", **options: Any) -> "PaddleNLPModel":
        """Load model and tokenizer by name or from a folder (one written by ``convert_gguf`` too).

        Args:
            name_or_path (str): As of ``AutoModelForCausalLM.from_pretrained``, e.g. "THUDM/chatglm2-6b".
            dtype (str): "float32", "float16" or "bfloat16". Default: "float32".
            options: Arguments of the class.
        """
        from .gguf_llama import load_tokenizer

        model = AutoModelForCausalLM.from_pretrained(name_or_path, dtype=dtype)
        own = load_tokenizer(name_or_path) if os.path.isdir(name_or_path) else None
        tokenizer = own or AutoTokenizer.from_pretrained(name_or_path)
        options.setdefault("name", os.path.basename(os.path.normpath(name_or_path)) + "-" + dtype)
        return cls(model, tokenizer, **options)

    def _encode(self, request: Request) -> List[int]:
        text = self.template.replace("{prompt}", request.prompt)
        return [int(i) for i in self.tokenizer(text)["input_ids"]]

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _text(self, prompt: Sequence[int], tokens: Sequence[int]) -> str:
        anchor = list(prompt[-ANCHOR:])
        return self._decode(anchor + list(tokens))[len(self._decode(anchor)) :]

    def _stops(self, request: Request) -> List[str]:
        return list(request.stop) + [text for text in self.stop if text not in request.stop]

    def _room(self, request: Request) -> int:
        return request.max_tokens if self.max_tokens is None else min(request.max_tokens, self.max_tokens)

    def complete(self, requests: Sequence[Request]) -> List[Completion]:
        rows, owners = [], []
        for number, request in enumerate(requests):
            ids, stops = self._encode(request), self._stops(request)

            def finished(tokens, ids=ids, stops=stops):
                text = self._text(ids, tokens) if stops else ""
                return any(stop in text for stop in stops)

            for choice in range(request.n):
                rows.append(
                    Row(
                        ids,
                        self._room(request),
                        request.temperature,
                        request.top_p,
                        request.seed(self.seed, choice),
                        finished,
                    )
                )
                owners.append(number)
        answers = self.engine.generate(rows) if self.engine is not None else self._generate(rows)
        completions = [Completion([]) for _ in requests]
        for row, owner, tokens in zip(rows, owners, answers):
            text = self._text(row.ids, tokens)
            for stop in self._stops(requests[owner]):
                text = text.split(stop, 1)[0]
            completions[owner].texts.append(text)
            completions[owner].prompt_tokens = len(row.ids)
            completions[owner].completion_tokens += len(tokens)
        return completions

    def _generate(self, rows: List[Row]) -> List[List[int]]:
        """Decoding by the model's own generate(), in batches of equal settings."""
        batches = {}
        for i, row in enumerate(rows):
            if not row.ids:
                raise LanguageModelError("an empty prompt cannot be continued")
            batches.setdefault((row.temperature, row.top_p, row.max_tokens), []).append(i)
        for (temperature, top_p, max_tokens), members in batches.items():
            for start in range(0, len(members), self.max_rows):
                group = members[start : start + self.max_rows]
                options = {"decode_strategy": "greedy_search"}
                if temperature > 0:
                    options = {"decode_strategy": "sampling", "temperature": temperature, "top_p": top_p}
                    # generate() has one stream of random numbers for a batch.
                    paddle.seed(int(rows[group[0]].random.integers(2**31)))
                inputs = self._pad([rows[i].ids for i in group])
                with paddle.no_grad():
                    tokens, _ = self.model.generate(
                        **inputs,
                        max_length=max_tokens,
                        eos_token_id=min(self.eos_token_ids),
                        pad_token_id=self.pad_token_id,
                        **options,
                    )
                for i, ids in zip(group, tokens.tolist()):
                    rows[i].tokens = self._until_end(ids)
        return [row.tokens for row in rows]

    def _pad(self, ids: List[Sequence[int]]):
        """A batch padded on the left, by the tokenizer, which knows the model's masks and positions."""
        side, self.tokenizer.padding_side = self.tokenizer.padding_side, "left"
        try:
            return self.tokenizer.pad(
                {"input_ids": [list(row) for row in ids]},
                padding=True,
                return_attention_mask=True,
                return_tensors="pd",
            )
        finally:
            self.tokenizer.padding_side = side

    def _until_end(self, ids: List[int]) -> List[int]:
        for k, token in enumerate(ids):
            if token in self.eos_token_ids:
                return ids[:k]
        return ids


def _context(config) -> Optional[int]:
    """Tokens of prompt and answer together that the positions of the model reach, if its configuration says so."""
    for name in ("max_position_embeddings", "max_sequence_length", "seq_length"):
        value: Union[int, None] = getattr(config, name, None)
        if value:
            scaled = getattr(config, "rope_scaling_type", None) is not None
            return int(value * (config.rope_scaling_factor if scaled else 1))
    return None


def _eos_ids(config, tokenizer) -> List[int]:
    ids = []
    for value in (getattr(config, "eos_token_id", None), tokenizer.eos_token_id):
        values = value if isinstance(value, (list, tuple)) else [value]
        ids += [int(v) for v in values if v is not None and int(v) not in ids]
    if not ids:
        raise LanguageModelError("neither the model's configuration nor its tokenizer names an end-of-text token")
    return ids
