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

from abc import ABC, abstractmethod
from typing import Any, Dict, Generator, List, Optional, Sequence, Tuple

from ...language_models.base import Request

__all__ = ["PARSERS", "Task"]

# "paper": answers are read exactly as the official code reads them, which expects a model of GPT-4's discipline.
# "lenient": what a smaller model writes around and after its answer is passed over.
PARSERS = ("paper", "lenient")


class Task(ABC):
    """What the thoughts of a search are: how a model is asked for them, and how its answers are read.

    A state `y` is the text written so far, "" at the root. Prompts are texts, answers are lists of texts; no method
    calls a model. A task implements the methods of the searches it supports.

    Args:
        inputs (list of str): The puzzles.
        prompts (dict): Templates by name, see ``prompts.load_prompts``.
        parse (str): One of `PARSERS`. Default: "paper".
    """

    name = ""
    steps = 1  # levels of a breadth-first search
    stops: Sequence[Optional[str]] = (None,)  # stop string of sampled thoughts, by level
    max_depth = 1  # depth that a depth-first search does not reach
    templates: Sequence[str] = ()  # names of the templates that are needed

    def __init__(self, inputs: Sequence[str], prompts: Dict[str, str], parse: str = "paper"):
        if parse not in PARSERS:
            raise ValueError("parse is {!r}, it must be one of {}".format(parse, ", ".join(PARSERS)))
        missing = [name for name in self.templates if name not in prompts]
        if missing:
            raise ValueError("the prompts for {} lack {}".format(self.name, ", ".join(missing)))
        self.inputs = list(inputs)
        self.prompts = dict(prompts)
        self.parse = parse

    def __len__(self) -> int:
        return len(self.inputs)

    def input(self, index: int) -> str:
        """The puzzle `index`, counted from 0."""
        if not 0 <= index < len(self.inputs):
            raise IndexError("{} has the puzzles 0 to {}, not {}".format(self.name, len(self.inputs) - 1, index))
        return self.inputs[index]

    def sample_prompt(self, style: str, x: str, y: str) -> str:
        """Prompt whose answers continue `y`; `style` is "standard" or "cot"."""
        return self.prompts[style].format(input=x) + y

    def _unsupported(self, what: str) -> NotImplementedError:
        return NotImplementedError(
            "{} is not searched by {}; see the documentation of the task".format(self.name, what)
        )

    def propose_prompt(self, x: str, y: str) -> str:
        """Prompt whose answer lists children of `y`."""
        raise self._unsupported("proposals")

    def proposals(self, x: str, y: str, text: str) -> List[str]:
        """The children of `y` in one answer."""
        raise self._unsupported("proposals")

    def value_prompt(self, x: str, y: str) -> str:
        """Prompt that judges `y` by itself."""
        raise self._unsupported("values")

    def value(self, x: str, y: str, texts: Sequence[str]) -> float:
        """What the answers to `value_prompt` say `y` is worth."""
        raise self._unsupported("values")

    def vote_prompt(self, x: str, ys: Sequence[str]) -> str:
        """Prompt that chooses one of `ys`."""
        raise self._unsupported("votes")

    def votes(self, texts: Sequence[str], n: int) -> List[int]:
        """Votes for each of `n` states."""
        raise self._unsupported("votes")

    # What a depth-first search asks for; a task that has proposals and values need not say more.

    def ranked_proposals(self, x: str, y: str, texts: Sequence[str]) -> List[str]:
        """The children of `y` in all answers, the most promising first, without repetition."""
        children = [child for text in texts for child in self.proposals(x, y, text)]
        return list(dict.fromkeys(children))

    def admissible(self, x: str, y: str) -> bool:
        """Whether `y` respects the rules, as far as can be said without a model."""
        return True

    def assessment_prompts(self, x: str, y: str, n: int) -> Tuple[List[str], int]:
        """(prompts that judge `y`, answers wanted for each)."""
        return [self.value_prompt(x, y)], n

    def assess(self, x: str, y: str, answers: Sequence[Sequence[str]]) -> Tuple[float, Dict[str, Any]]:
        """(value, whatever else is worth keeping) of `y`, from the answers to each prompt."""
        return self.value(x, y, answers[0]), {}

    def impossible(self, value: float, detail: Dict[str, Any], prune_below: float) -> bool:
        """Whether a state so assessed should be left."""
        return value <= prune_below

    def complete(self, x: str, y: str) -> bool:
        """Whether `y` needs no further thoughts."""
        return len(y.strip().split("\n")) >= self.max_depth - 1

    def finished(self, x: str, y: str) -> bool:
        """Whether a breadth-first search keeps `y` as it is, and asks for no children of it."""
        return False

    def reply(self, y: str) -> str:
        """What a user is told of a final state."""
        return y

    def output(self, x: str, y: str) -> str:
        """The answer that a state of a depth-first search stands for."""
        return y

    def understood(self, kind: str, text: str) -> bool:
        """Whether anything could be read of an answer; `kind` is "judgement" or "output" (a whole answer)."""
        return True

    def answer(self, y: str) -> str:
        """What two outputs must share to be the same answer, for a majority vote."""
        return y.strip().split("\n")[-1].strip().lower()

    @abstractmethod
    def score(self, index: int, y: str) -> Generator[List[Request], list, Dict[str, float]]:
        """Compare an output with the truth: a generator like a search (it may ask a model), which returns a dict with
        "r", the reward, and perhaps more."""
