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

import re
from typing import Callable, List, Optional, Tuple

__all__ = ["Memory", "WordMemory", "cut_by_words", "estimated_tokens"]

WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
HUMAN, AI = "\nHuman: ", "\nAI: "


def estimated_tokens(text: str) -> int:
    """How many tokens a text has, where no tokenizer is at hand: one for a Chinese character, one for three others."""
    wide = len(WIDE.findall(text))
    return wide + -(-(len(text) - wide) // 3)


def cut_by_words(history: Optional[str], limit: int) -> Optional[str]:
    """TaskMatrix's rule: from `limit` words on, whole lines leave from the front until fewer are left.

    Words are counted as runs of non-blanks first, then (for each line that leaves) as what single blanks divide.
    """
    if not history:
        return history
    words, lines = len(history.split()), history.split("\n")
    if words < limit:
        return history
    start = 0
    while words >= limit and start < len(lines):
        words -= len(lines[start].split(" "))
        start += 1
    return "\n" + "\n".join(lines[start:])


class Memory:
    """What was said, cut by tokens: whole turns leave from the front.

    Args:
        limit (int): Most tokens of :meth:`text`. Default: 1500.
        count (callable): Tokens of a text. Default: :func:`estimated_tokens`.
    """

    def __init__(self, limit: int = 1500, count: Callable[[str], int] = estimated_tokens):
        self.limit, self.count = limit, count
        self.turns: List[Tuple[str, str]] = []

    def add(self, human: str, ai: str) -> None:
        self.turns.append((human, ai))

    def text(self) -> str:
        """All turns as the prompt shows them."""
        return "".join(HUMAN + human + AI + ai for human, ai in self.turns)

    def cut(self) -> None:
        """Drop the oldest turns until the rest is within the limit; one that is too long alone leaves, too."""
        sizes = [self.count(HUMAN + human + AI + ai) for human, ai in self.turns]
        left = sum(sizes)
        while sizes and left > self.limit:
            left -= sizes.pop(0)
            del self.turns[0]

    def forget(self, human: str, ai: str) -> None:
        """Drop the last turn that says this, if it has not left yet."""
        for place in reversed(range(len(self.turns))):
            if self.turns[place] == (human, ai):
                del self.turns[place]
                break

    def clear(self) -> None:
        self.turns.clear()


class WordMemory(Memory):
    """A memory cut by :func:`cut_by_words`. Lines leave, not turns, so a turn may lose its question."""

    def __init__(self, limit: int = 500):
        super().__init__(limit)
        self._start = ""

    def text(self) -> str:
        return self._start + super().text()

    def cut(self) -> None:
        whole = self.text()
        cut = cut_by_words(whole, self.limit)
        if cut != whole:
            self._start, self.turns = cut, []

    def clear(self) -> None:
        super().clear()
        self._start = ""
