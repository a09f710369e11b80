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

from typing import Callable, Dict, List, Mapping, Sequence, Union

from .base import Completion, LanguageModel, LanguageModelError, Request

__all__ = ["ScriptedModel"]

Script = Union[Callable[[Request], Sequence[str]], Mapping[str, Sequence[str]], Sequence[str]]


class ScriptedModel(LanguageModel):
    """Answers from a script, so that an agent can be tested word for word, without weights and without network.

    Args:
        script: One of
            a function of the request that returns its ``n`` answers;
            a mapping from the whole prompt to a list of answers, which are used up in turn;
            a list of answers, which are used up in turn whatever the prompt.
        name (str): Name of the model in logs and caches. Default: "scripted".

    Every request and the answers it got are kept in ``calls``. Tokens are counted as words (runs of non-blanks).
    """

    def __init__(self, script: Script, name: str = "scripted"):
        self.name = name
        self.calls: List[Request] = []
        self.answers: List[List[str]] = []
        self._function = script if callable(script) else None
        self._by_prompt: Dict[str, List[str]] = {}
        self._in_turn: List[str] = []
        if isinstance(script, Mapping):
            self._by_prompt = {prompt: list(texts) for prompt, texts in script.items()}
        elif self._function is None:
            self._in_turn = list(script)
        self._mapped = isinstance(script, Mapping)

    def _texts(self, request: Request) -> List[str]:
        if self._function is not None:
            texts = list(self._function(request))
            left = []
        else:
            queue = self._by_prompt.get(request.prompt, []) if self._mapped else self._in_turn
            texts, left = queue[: request.n], queue[request.n :]
            queue[:] = left
        if len(texts) != request.n:
            raise LanguageModelError(
                "the script of {!r} has {} of the {} answers to the prompt that ends in {!r}".format(
                    self.name, len(texts), request.n, request.prompt[-80:]
                )
            )
        return texts

    def complete(self, requests: Sequence[Request]) -> List[Completion]:
        completions = []
        for request in requests:
            texts = self._texts(request)
            self.calls.append(request)
            self.answers.append(texts)
            words = sum(len(text.split()) for text in texts)
            completions.append(Completion(texts, len(request.prompt.split()), words))
        return completions
