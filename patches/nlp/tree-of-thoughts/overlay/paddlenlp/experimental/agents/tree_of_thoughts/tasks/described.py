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
from typing import Dict, List, Optional, Sequence

from .. import reading
from .base import Task

__all__ = ["DescribedTask"]

# What a description that is not given is taken to be, and the words around it.
TEXTS: Dict[str, Dict[str, str]] = {
    "en": {
        "propose": "Propose next steps towards a solution that differ from each other.",
        "judge": "Judge how promising the steps are: whether they are right, and lead to a solution.",
        "stop": "the question is answered",
        "question": "Question: {}\n",
        "so_far": "Steps so far:\n{}",
        "list": "\nWrite {count} of them, numbered, each on a line of its own and no longer than a sentence or two. As soon as {stop}, write "
        'instead one line "Answer: " with the whole answer.\n',
        "last": '\nNow give the answer, in one line that begins with "Answer: ".\n',
        "rate": '\nThink briefly. In the last line write "Score: N", where N is a whole number from 1 (useless) to 10 (excellent).\n',
    },
    "zh": {
        "propose": "请提出互不相同的、有助于解决问题的下一步。",
        "judge": "请判断这些步骤有多大希望：是否正确，能否解决问题。",
        "stop": "问题已经得到解答",
        "question": "问题：{}\n",
        "so_far": "已有的步骤：\n{}",
        "list": "\n请写出 {count} 条，编号，每条单独一行，不超过一两句话。一旦{stop}，就改为只写一行“答案：”和完整的答案。\n",
        "last": "\n现在请给出答案，只写一行，以“答案：”开头。\n",
        "rate": "\n请简要思考。最后一行写“评分：N”，其中 N 是 1（没有用）到 10（非常好）的整数。\n",
    },
}
LISTED = re.compile(
    r"^\s*(?:[-*•●]\s+|[(（\[]?\d{1,2}\s*[.．)）:：,，、\]]\s*|(?:step|option|thought|步骤|选项)\s*\d{1,2}\s*[.)）:：,，、]?\s*)",
    re.IGNORECASE,
)
ANSWER = re.compile(
    r"^\W*(?:(?:the\s+)?(?:final\s+)?answer(?:\s+is)?|(?:最终)?答案(?:是)?)\s*[:：]\s*(\S.*)$", re.IGNORECASE
)
MARK = {"en": "Answer: ", "zh": "答案："}
WORST, BEST = 1, 10


class DescribedTask(Task):
    """Any question: what a next thought is, how it is judged and when the search ends is said in words.

    A state is a thought a line; a line "Answer: ..." ends it. A state that has ended stays among the candidates with its value. On the
    last level the answer is asked for.

    Args:
        propose (str, optional): What is to be proposed as a next thought. Default: next steps that differ from each other.
        judge (str, optional): By what thoughts are judged. Default: whether they are right, and lead to a solution.
        stop (str, optional): When a model should answer instead of proposing. Default: when the question is answered.
        steps (int): Levels, the answer's included. Default: 3.
        width (int): Thoughts asked for in one prompt. Default: 3.
        language (str): "en" or "zh", of the words around these. Default: "en".
    """

    name = "described"

    def __init__(
        self,
        propose: Optional[str] = None,
        judge: Optional[str] = None,
        stop: Optional[str] = None,
        steps: int = 3,
        width: int = 3,
        language: str = "en",
    ):
        if language not in TEXTS:
            raise ValueError("language is {!r}, it must be one of {}".format(language, ", ".join(TEXTS)))
        for name, value in (("steps", steps), ("width", width)):
            if not isinstance(value, int) or value < 1:
                raise ValueError("{} is {!r}, it must be a number of at least 1".format(name, value))
        for name, value in (("propose", propose), ("judge", judge), ("stop", stop)):
            if value is not None and (not isinstance(value, str) or not value.strip()):
                raise ValueError("{} is {!r}, it must be a text".format(name, value))
        super().__init__([], {}, "lenient")
        own = TEXTS[language]
        self.propose, self.judge, self.stop = (
            given or own[n] for n, given in zip(("propose", "judge", "stop"), (propose, judge, stop))
        )
        self.steps, self.width, self.language, self.words = steps, width, language, own
        self.max_depth = steps + 1
        self.stops = (None,) * steps

    def _question(self, x: str, y: str) -> str:
        return self.words["question"].format(x.strip()) + (self.words["so_far"].format(y) if y else "")

    def propose_prompt(self, x: str, y: str) -> str:
        if y.count("\n") >= self.steps - 1:
            return self._question(x, y) + self.words["last"]
        listed = self.words["list"].format(count=self.width, stop=self.stop)
        return "{}\n\n{}{}".format(self.propose, self._question(x, y), listed)

    def proposals(self, x: str, y: str, text: str) -> List[str]:
        last = y.count("\n") >= self.steps - 1
        items, answer = self._items(reading.said(text))
        if last and not answer and items:
            answer = " ".join(items)
        thoughts = [MARK[self.language] + answer] if answer else items[: self.width]
        return [y + thought + "\n" for thought in dict.fromkeys(thoughts)]

    @staticmethod
    def _items(text: str):
        """(the items of a list, or the whole text as one; the answer, "" if there is none)."""
        items: List[str] = []
        loose: List[str] = []
        open_item = False
        for line in text.split("\n"):
            bare = LISTED.sub("", line, 1).strip()
            answer = ANSWER.match(bare)
            if answer:
                return items, answer.group(1).strip()
            if LISTED.match(line) and bare:
                items.append(bare)
                open_item = True
            elif not bare:
                open_item = False  # what follows an empty line is talk
            elif open_item:
                items[-1] += ("" if items[-1].endswith(tuple("，。；：、！？")) else " ") + bare
            else:
                loose.append(bare)
        return items or ([" ".join(loose)] if loose else []), ""

    def value_prompt(self, x: str, y: str) -> str:
        return "{}\n\n{}{}".format(self.judge, self._question(x, y), self.words["rate"])

    def value(self, x: str, y: str, texts: Sequence[str]) -> float:
        """The mean score; an answer without one counts as nothing said."""
        scores = [score for score in map(self._score, texts) if score is not None]
        return sum(scores) / len(scores) if scores else 0.0

    @staticmethod
    def _score(text: str) -> Optional[int]:
        score = reading.rating(text)
        return score if score is not None and WORST <= score <= BEST else None

    def understood(self, kind: str, text: str) -> bool:
        return self._score(text) is not None if kind == "judgement" else bool(text.strip())

    def sample_prompt(self, style: str, x: str, y: str) -> str:
        return self._question(x, y) + self.words["last"]

    def complete(self, x: str, y: str) -> bool:
        return bool(ANSWER.match(reading.said(y.strip().split("\n")[-1])))

    def finished(self, x: str, y: str) -> bool:
        return bool(y) and self.complete(x, y)

    def reply(self, y: str) -> str:
        answer = self._items(reading.said(y))[1]
        return answer or y.strip()

    def score(self, index: int, y: str):
        raise self._unsupported("a truth")
        yield
