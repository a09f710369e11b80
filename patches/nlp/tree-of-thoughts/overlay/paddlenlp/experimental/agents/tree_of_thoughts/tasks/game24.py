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
from typing import List, Sequence

from .. import reading
from ..arithmetic import equals
from .base import Task

__all__ = ["Game24", "current_numbers"]

WORDS = {"impossible": 0.001, "likely": 1, "sure": 20}


def current_numbers(y: str) -> str:
    """What is left after the last line of a state: the text after its last "left: ", up to a parenthesis."""
    last = y.strip().split("\n")[-1]
    return last.rpartition("left: ")[2].split(")")[0]


class Game24(Task):
    """Make 24 of four numbers with + - * /, each number once.

    A state is up to three moves, each "a + b = c (left: ...)" on a line of its own, and then "Answer: expression = 24".
    Proposals and values as in section 4.1 of the paper: "sure", "likely" and "impossible" are worth 20, 1 and 0.001.
    """

    name = "game24"
    steps = 4
    stops = ("\n",) * 4
    max_depth = 5
    templates = ("standard", "cot", "propose", "value", "value_last_step")

    def propose_prompt(self, x: str, y: str) -> str:
        numbers = current_numbers(y or x)
        if numbers == "24":
            # Nothing is left to combine: the moves are to be written as one expression.
            return self.prompts["cot"].format(input=x) + "Steps:" + y
        return self.prompts["propose"].format(input=numbers)

    def proposals(self, x: str, y: str, text: str) -> List[str]:
        numbers = current_numbers(y or x)
        if self.parse == "paper":
            lines = text.split("\n")
        elif numbers == "24":
            found = reading.expression(text, re.findall(r"\d+", x))
            lines = ["Answer: {} = 24".format(found)] if found else []
        else:
            lines = reading.moves(text, reading.numbers_of(numbers))
        return [y + line + "\n" for line in lines]

    def value_prompt(self, x: str, y: str) -> str:
        last = y.strip().split("\n")[-1]
        if "left: " not in last:
            return self.prompts["value_last_step"].format(input=x, answer=last.lower().replace("answer: ", ""))
        return self.prompts["value"].format(input=current_numbers(y))

    def value(self, x: str, y: str, texts: Sequence[str]) -> float:
        if len(y.strip().split("\n")) == 4 and "answer" not in y.lower():
            return 0
        said = [self._word(text) for text in texts]
        # In the order of WORDS, so that the sum is rounded as the official one is.
        return sum(worth * said.count(word) for word, worth in WORDS.items())

    def _word(self, text: str) -> str:
        if self.parse == "paper":
            return text.split("\n")[-1]
        return reading.verdict(text)

    def understood(self, kind: str, text: str) -> bool:
        if kind == "judgement":
            return self._word(text) in WORDS
        return bool(re.search(r"\d\W*[-+*/]", self._expression(text)))

    def reply(self, y: str) -> str:
        return y.strip().split("\n")[-1]

    def answer(self, y: str) -> str:
        return self._expression(y).replace(" ", "")

    def correct(self, x: str, y: str) -> bool:
        """Whether the answer of `y` (its last line; "lenient" looks for it) uses the numbers of `x`, each once, and is worth 24.

        What stands after "=" is not looked at. sqrt, powers and factorials count, as in the official verdict.
        """
        expression = self._expression(y, x)
        if sorted(re.findall(r"\d+", expression)) != sorted(re.findall(r"\d+", x)):
            return False
        return equals(expression, 24)

    def score(self, index: int, y: str):
        return {"r": int(self.correct(self.input(index), y))}
        yield  # a generator like the others, which asks nothing

    def _expression(self, y: str, x: str = "") -> str:
        last = y.strip().split("\n")[-1].lower().replace("answer: ", "").split("=")[0]
        if self.parse == "paper":
            return last
        return reading.expression(y, re.findall(r"\d+", x) if x else None) or last
