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

from dataclasses import dataclass
from typing import Any, List, Optional, Sequence

import numpy as np
import paddle

from ..language_models import Completion, LanguageModelError, Request
from ..language_models.generation import GenerationEngine, IncrementalModel
from ..language_models.local import Row
from .grammar import Grammar, GuidedRequest, TokenTable, token_bytes

__all__ = ["GuidedModel", "GuidedRequest"]


@dataclass
class _GuidedRow(Row):
    grammar: Optional[Grammar] = None

    def __post_init__(self):
        super().__post_init__()
        self.state = self.grammar.start if self.grammar is not None else None


class _GuidedEngine(GenerationEngine):
    """Draws each token among those that the row's grammar allows, and that leave room for the end of the sentence."""

    table: TokenTable

    def _sample(self, logits: paddle.Tensor, rows: List[Row]) -> np.ndarray:
        width = logits.shape[-1]
        penalty = np.zeros([len(rows), width], "float32")
        for k, row in enumerate(rows):
            if getattr(row, "state", None) is not None:
                penalty[k] = -np.inf
                penalty[k, : len(self.table.tokens)][self._allowed(row)] = 0
        tokens = super()._sample(logits.astype("float32") + paddle.to_tensor(penalty), rows)
        for token, row in zip(tokens, rows):
            if getattr(row, "state", None) is not None:
                row.state = row.grammar.run(self.table.tokens[int(token)], row.state)
        return tokens

    def _allowed(self, row: Row) -> np.ndarray:
        room = row.max_tokens - len(row.tokens) - 1
        if self.max_length is not None:
            room = min(room, self.max_length - len(row.ids) - len(row.tokens) - 1)
        allowed = self.table.needs(row.grammar, row.state) <= room
        if not allowed.any():
            raise LanguageModelError(
                "{} tokens are too few for any sentence of the grammar; the shortest has {} bytes".format(
                    row.max_tokens, len(row.grammar.shortest(row.grammar.start))
                )
            )
        return allowed


class GuidedModel(IncrementalModel):
    """An :class:`IncrementalModel` that keeps to the grammar of a :class:`GuidedRequest`: what it writes can be read, whatever
    the weights are. A token costs at most one byte of the room that is kept for the end, so the vocabulary must hold all bytes.

    Args:
        model, tokenizer, options: As of IncrementalModel.

    Raises:
        LanguageModelError: The vocabulary lacks single bytes.
    """

    def __init__(self, model, tokenizer, *args: Any, **options: Any):
        graph, reuse = options.get("graph", "dygraph"), options.get("reuse_prefix", True)
        super().__init__(model, tokenizer, *args, **{**options, "engine": "generate"})
        self.engine = _GuidedEngine(
            model, self.eos_token_ids, self.pad_token_id, self.max_rows, self.max_length, reuse, graph=graph
        )
        self.engine.table = TokenTable(token_bytes(tokenizer))
        lacking = set(range(32, 127)) - {token[0] for token in self.engine.table.tokens if len(token) == 1}
        if lacking:
            raise LanguageModelError(
                "the vocabulary has no token for {}; a grammar needs one for each".format(bytes(sorted(lacking))[:20])
            )

    def complete(self, requests: Sequence[Request]) -> List[Completion]:
        plain = [request for request in requests if getattr(request, "grammar", None) is None]
        others = iter(super().complete(plain) if plain else [])
        completions, rows, owners = [], [], []
        for number, request in enumerate(requests):
            grammar = getattr(request, "grammar", None)
            if grammar is None:
                completions.append(next(others))
                continue
            ids = self._encode(request)
            completions.append(Completion([], prompt_tokens=len(ids), refused=self._refusal(ids)))
            if completions[-1].refused:
                completions[-1].sent = 0
                continue
            for choice in range(request.n):
                seed = request.seed(self.seed, choice)
                row = _GuidedRow(ids, self._room(request), request.temperature, request.top_p, seed, grammar=grammar)
                row.finished = lambda tokens, row=row: row.grammar.complete(row.state)
                rows.append(row)
                owners.append(number)
        for row, owner, tokens in zip(rows, owners, self.engine.generate(rows)):
            data = b"".join(self.engine.table.tokens[token] for token in tokens)
            completions[owner].texts.append(data.decode("utf-8", "replace"))
            completions[owner].completion_tokens += len(tokens)
        return completions
