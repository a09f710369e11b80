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
from dataclasses import dataclass, field
from typing import Any, Callable, List, Optional, Sequence, Union

import numpy as np
import paddle

from ....transformers import AutoModelForCausalLM, AutoTokenizer
from .base import Completion, LanguageModel, LanguageModelError, Request

__all__ = ["PROMPT_FORMATS", "PaddleNLPModel", "Row"]

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


@dataclass
class Row:
    """One sequence to continue.

    Args:
        ids (list of int): The prompt; at least one token.
        max_tokens (int): Upper bound on the tokens generated.
        temperature (float): 0 for greedy decoding.
        top_p (float): Nucleus of the distribution that is sampled.
        seed (int): Seed of this row's own random numbers, so that a row does not depend on its neighbours.
        finished (callable): Told the tokens generated so far after each one; True ends the row.
    """

    ids: Sequence[int]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    finished: Callable[[List[int]], bool] = lambda tokens: False
    tokens: List[int] = field(default_factory=list)

    def __post_init__(self):
        self.random = np.random.Generator(np.random.PCG64(self.seed))


class PaddleNLPModel(LanguageModel):
    """A causal language model of PaddleNLP (LLaMA, ChatGLM2, ...) in this process, by the model's own ``generate``.

    Answers depend on the request and ``seed`` alone, not on what else is in the batch. A prompt that leaves no room for an
    answer is refused.

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
    ):
        template = PROMPT_FORMATS.get(prompt_format, prompt_format)
        if "{prompt}" not in template:
            raise ValueError(
                "prompt_format {!r} is neither one of {} nor a template with {{prompt}}".format(
                    prompt_format, ", ".join(sorted(PROMPT_FORMATS))
                )
            )
        if isinstance(stop, str) or not all(stop):
            raise ValueError("stop is {!r}, it must be a list of texts that are not empty".format(stop))
        self.model, self.tokenizer = model, tokenizer
        self.template, self.stop, self.max_tokens, self.seed = template, tuple(stop), max_tokens, seed
        self.max_rows = max_rows
        self.name = "{}|{}".format(name or type(model).__name__, json.dumps([template, list(stop), max_tokens, seed]))
        self.max_length = _context(model.config)
        self.eos_token_ids = _eos_ids(model.config, tokenizer)
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(self.eos_token_ids)
        self.pad_token_id = int(pad)

    @classmethod
    def from_pretrained(cls, name_or_path: str, dtype: str = "float32", **options: Any) -> "PaddleNLPModel":
        """Load model and tokenizer by name or from a folder.

        Args:
            name_or_path (str): As of ``AutoModelForCausalLM.from_pretrained``, e.g. "THUDM/chatglm2-6b".
            dtype (str): "float32", "float16" or "bfloat16". Default: "float32".
            options: Arguments of the class.
        """
        model = AutoModelForCausalLM.from_pretrained(name_or_path, dtype=dtype)
        tokenizer = cls.load_tokenizer(name_or_path)
        options.setdefault("name", os.path.basename(os.path.normpath(name_or_path)) + "-" + dtype)
        return cls(model, tokenizer, **options)

    @staticmethod
    def load_tokenizer(name_or_path: str):
        return AutoTokenizer.from_pretrained(name_or_path)

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

    def _refusal(self, ids: List[int]) -> str:
        if not ids:
            return "an empty prompt cannot be continued by a model without a start token"
        if self.max_length is not None and len(ids) >= self.max_length:
            return (
                "the prompt has {} tokens, the model takes {} with the answer. Shorten the prompt or use a model with a "
                "longer context.".format(len(ids), self.max_length)
            )
        return ""

    def complete(self, requests: Sequence[Request]) -> List[Completion]:
        rows, owners = [], []
        completions = [Completion([]) for _ in requests]
        for number, request in enumerate(requests):
            ids, stops = self._encode(request), self._stops(request)
            completions[number].refused = self._refusal(ids)
            if completions[number].refused:
                completions[number].sent = 0
                continue

            def finished(tokens, ids=ids, stops=stops):
                text = self._text(ids, tokens) if stops else ""
                return any(stop in text for stop in stops)

            room = self._room(request)
            if self.max_length is not None:
                room = min(room, self.max_length - len(ids))
            for choice in range(request.n):
                seed = request.seed(self.seed, choice)
                rows.append(Row(ids, room, request.temperature, request.top_p, seed, finished))
                owners.append(number)
        for row, owner, tokens in zip(rows, owners, self.generate(rows)):
            text = self._text(row.ids, tokens)
            for stop in self._stops(requests[owner]):
                text = text.split(stop, 1)[0]
            completions[owner].texts.append(text)
            completions[owner].prompt_tokens = len(row.ids)
            completions[owner].completion_tokens += len(tokens)
        return completions

    def generate(self, rows: List[Row]) -> List[List[int]]:
        """The new tokens of each row. A batch holds rows of one prompt, so nothing is padded."""
        start = 0
        while start < len(rows):
            first, end = rows[start], start + 1
            while end < min(len(rows), start + self.max_rows) and rows[end].ids is first.ids:
                end += 1
            group = rows[start:end] if first.temperature > 0 else rows[start : start + 1]
            options = {"decode_strategy": "greedy_search"}
            if first.temperature > 0:
                options = {"decode_strategy": "sampling", "temperature": first.temperature, "top_p": first.top_p}
                # generate() has one stream of random numbers for a batch.
                paddle.seed(int(first.random.integers(2**31)))
            ids = paddle.to_tensor([first.ids] * len(group), dtype="int64")
            with paddle.no_grad():
                tokens, _ = self.model.generate(
                    ids,
                    attention_mask=paddle.ones_like(ids),
                    max_length=first.max_tokens,
                    eos_token_id=min(self.eos_token_ids),
                    pad_token_id=self.pad_token_id,
                    **options,
                )
            for row, new in zip(group, tokens.tolist()):
                row.tokens = self._until_end(new)
            for row in rows[start + len(group) : end]:  # greedy: all answers are the first one
                row.tokens = list(first.tokens)
            start = end
        return [row.tokens for row in rows]

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
