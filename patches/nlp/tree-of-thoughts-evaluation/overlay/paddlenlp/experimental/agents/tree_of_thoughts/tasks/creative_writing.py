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

from ...language_models.base import Request
from .. import reading
from .base import Task

__all__ = ["CreativeWriting"]

SCORERS = 5
SCORE_TEMPERATURE = 0.7
SCORE_MAX_TOKENS = 1000
UNDECIDED = -1


class CreativeWriting(Task):
    """Write four paragraphs that end in four given sentences: first a plan, then the passage.

    Section 4.2 of the paper: thoughts are sampled, the best is chosen by votes, and the reward is the mean of five
    scores from 1 to 10 that a model gives for coherence.
    """

    name = "text"
    steps = 2
    stops = ("\nPassage:\n", None)
    max_depth = 3
    templates = ("standard", "cot", "vote", "compare", "score")

    def vote_prompt(self, x: str, ys: Sequence[str]) -> str:
        return self.prompts["vote"] + "".join("Choice {}:\n{}\n".format(i, y) for i, y in enumerate(ys, 1))

    def votes(self, texts: Sequence[str], n: int) -> List[int]:
        votes = [0] * n
        for text in texts:
            choice = self._choice(text)
            if choice is not None and 1 <= choice <= n:
                votes[choice - 1] += 1
        return votes

    def _choice(self, text: str):
        """The number after "best choice is ".

        The official pattern takes the LAST DIGIT after the words ("12" is a vote for 2); "lenient" takes the whole number.
        """
        if self.parse == "lenient":
            return reading.choice(text)
        for rest in reversed(text.split("best choice is ")[1:]):
            numbers = re.findall(r"\d", rest)
            if numbers:
                return int(numbers[-1])
        return None

    def understood(self, kind: str, text: str) -> bool:
        return self._choice(text) is not None if kind == "judgement" else bool(text.strip())

    def compare_prompt(self, first: str, second: str) -> str:
        """Prompt that asks which of two outputs is more coherent."""
        passages = enumerate((self._passage(first), self._passage(second)), 1)
        return self.prompts["compare"] + "\n".join("Passage {}:\n{}\n".format(i, text) for i, text in passages)

    @staticmethod
    def compared(text: str) -> float:
        """0 or 1 for the more coherent passage, 0.5 for neither, -1 if the answer does not say."""
        verdicts = (
            ("more coherent passage is 1", 0),
            ("more coherent passage is 2", 1),
            ("two passages are similarly coherent", 0.5),
        )
        return next((value for words, value in verdicts if words in text), UNDECIDED)

    def coherency(self, text: str):
        """The score in one answer, None if there is none."""
        if self.parse == "lenient":
            return reading.rating(text)
        scores = re.findall(r"coherency score is (\d{1,9})", text)
        return int(scores[-1]) if scores else None

    def score(self, index: int, y: str):
        prompt = self.prompts["score"] + self._passage(y)
        request = Request(prompt, SCORERS, None, SCORE_TEMPERATURE, max_tokens=SCORE_MAX_TOKENS, scope=str(index))
        completions = yield [request]
        scores = [self.coherency(text) for text in completions[0].texts]
        scores = [value for value in scores if value is not None]
        return {"r": sum(scores) / len(scores) if scores else 0, "scores": scores}

    def _passage(self, y: str) -> str:
        mark = r"Passage:\n" if self.parse == "paper" else r"\W*(?:Passage|文章|正文)\W*?\n"
        return re.split(mark, y)[-1]
