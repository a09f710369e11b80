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

"""A language model that knows the Game of 24, as well or as badly as it is told to.

A search is only as good as the model that proposes and judges. An oracle takes the model out of the question: with a
faultless one the result is what the search alone can give, and with a fallible one of known faults, what it makes of
them. It reads and writes the same texts as a real model, so everything else runs as it does in earnest.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from ..language_models.base import Completion, LanguageModel, LanguageModelError, Request
from .arithmetic import equals
from .solver import Move, combine, format_number, moves, parse_numbers, reaches
from .tasks.game24 import WORDS

__all__ = ["Game24Oracle", "Skill"]


@dataclass(frozen=True)
class Skill:
    """What an oracle can do; each number is a probability. The defaults are a faultless one.

    Args:
        step (float): A single step that it chooses keeps 24 within reach where that is possible; otherwise it is any
            step. This is all that answers without a search (standard and cot) rest on, three steps in a row.
        write (float): The final expression is written down without a slip (cot, and the last level of a search).
        insight (float): A list of proposals has a step that keeps 24 within reach, where there is one; the rest of the
            list is any steps.
        proposals (int, optional): Length of such a list. None: all steps. Default: None.
        judge (float): A judgement is right; otherwise it is one of the three words at random.
        answers (int, optional): A model that writes an expression at once repeats itself: however many answers are
            sampled for a puzzle, no more than this are independent. None: all of them. Default: None.
        chains (int, optional): The same of answers with steps (cot). Default: None.
    """

    step: float = 1.0
    write: float = 1.0
    insight: float = 1.0
    proposals: Optional[int] = None
    judge: float = 1.0
    answers: Optional[int] = None
    chains: Optional[int] = None

    def __post_init__(self):
        for name in ("proposals", "answers", "chains"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError("{} is {}, it must be at least 1".format(name, value))

    def independent(self, kind: str, choice: int) -> int:
        """The number of the answer that the `choice`-th one to a prompt of this kind repeats; mostly its own."""
        limit = {"standard": self.answers, "cot": self.chains}.get(kind)
        return choice if limit is None else choice % limit


class Game24Oracle(LanguageModel):
    """Answers the prompts of :class:`Game24`.

    Answers depend on the prompt, the number of the answer and ``seed`` alone, like those of :class:`PaddleNLPModel`.

    Args:
        prompts (dict): The templates in use; a prompt is recognized by what stands around its fields.
        skill (Skill): Default: faultless.
        seed (int): Default: 0.
    """

    def __init__(self, prompts: Dict[str, str], skill: Skill = Skill(), seed: int = 0):
        self.skill, self.seed = skill, seed
        self.name = "oracle|{}|{}".format(skill, seed)
        # The most specific template first: cot is also the beginning of the last step of a search.
        self._parts = {
            name: prompts[name].replace("{answer}", "{input}").split("{input}")
            for name in ("value_last_step", "value", "propose", "cot", "standard")
        }

    def complete(self, requests: Sequence[Request]) -> List[Completion]:
        completions = []
        for request in requests:
            kind, fields = self._recognize(request.prompt)
            answer = getattr(self, "_" + kind)
            numbers = (self.skill.independent(kind, i) for i in range(request.n))
            texts = [answer(fields, random.Random(request.seed(self.seed, i))) for i in numbers]
            words = sum(len(text.split()) for text in texts)
            completions.append(Completion(texts, len(request.prompt.split()), words))
        return completions

    def _recognize(self, prompt: str) -> Tuple[str, List[str]]:
        for kind, parts in self._parts.items():
            if not prompt.startswith(parts[0]):
                continue
            rest = prompt[len(parts[0]) :]
            if len(parts) == 3:
                middle = rest.find(parts[1])
                if middle >= 0 and rest.endswith(parts[2]):
                    return kind, [rest[:middle], rest[middle + len(parts[1]) : len(rest) - len(parts[2])]]
            elif kind == "cot":
                numbers, _, steps = rest.partition(parts[1])
                return ("last_step", [numbers, steps[len("Steps:") :]]) if steps else (kind, [numbers])
            elif rest.endswith(parts[1]):
                return kind, [rest[: len(rest) - len(parts[1])]]
        raise LanguageModelError("the oracle does not know the prompt that ends in {!r}".format(prompt[-80:]))

    # ------------------------------------------------------------------ one answer each

    def _path(self, numbers: str, chance: random.Random) -> List[Move]:
        """Moves down to one number, each chosen with the skill of a single step."""
        left, path = parse_numbers(numbers), []
        while len(left) > 1:
            options = moves(left)
            good = [move for move in options if reaches(move.left)]
            move = chance.choice(good if good and chance.random() < self.skill.step else options)
            path.append(move)
            left = move.left
        return path

    def _expression(self, numbers: str, steps: Sequence[str], chance: random.Random, write: float) -> str:
        text = combine(numbers.split(), steps)
        if chance.random() >= write:
            # A slip: the first operator becomes another one.
            sign = next(sign for sign in text if sign in "+-*/")
            text = text.replace(sign, {"+": "-", "-": "+", "*": "+", "/": "*"}[sign], 1)
        return "Answer: {} = 24".format(text)

    def _standard(self, fields: List[str], chance: random.Random) -> str:
        return self._expression(fields[0], [move.text for move in self._path(fields[0], chance)], chance, 1.0)

    def _cot(self, fields: List[str], chance: random.Random) -> str:
        path = self._path(fields[0], chance)
        answer = self._expression(fields[0], [move.text for move in path], chance, self.skill.write)
        return "Steps:\n" + "".join(_line(move) for move in path) + answer

    def _last_step(self, fields: List[str], chance: random.Random) -> str:
        steps = [line.split(" (")[0] for line in fields[1].strip().split("\n")]
        return self._expression(fields[0], steps, chance, self.skill.write)

    def _propose(self, fields: List[str], chance: random.Random) -> str:
        left = parse_numbers(fields[0])
        options = list(moves(left))
        if not options:
            return fields[0]
        count = min(self.skill.proposals or len(options), len(options))
        listed = chance.sample(options, count)
        good = [move for move in options if reaches(move.left)]
        if good and not any(move in good for move in listed) and chance.random() < self.skill.insight:
            listed[chance.randrange(count)] = chance.choice(good)
        return "".join(_line(move) for move in listed).rstrip("\n")

    def _judgement(self, right: bool, chance: random.Random) -> str:
        word = "sure" if right else "impossible"
        return word if chance.random() < self.skill.judge else chance.choice(list(WORDS))

    def _value(self, fields: List[str], chance: random.Random) -> str:
        try:
            right = reaches(parse_numbers(fields[0]))
        except ValueError:  # not a list of numbers
            right = False
        return fields[0] + "\n" + self._judgement(right, chance)

    def _value_last_step(self, fields: List[str], chance: random.Random) -> str:
        numbers, answer = fields
        expression = answer.split("=")[0]
        used = sorted("".join(c if c.isdigit() else " " for c in expression).split())
        return "\n" + self._judgement(used == sorted(numbers.split()) and equals(expression, 24), chance)


def _line(move: Move) -> str:
    return "{} (left: {})\n".format(move.text, " ".join(format_number(n) for n in move.left))
