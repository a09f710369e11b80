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
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from .. import reading
from .base import Task

__all__ = ["Board", "MiniCrosswords"]

SIZE = 5
BLANK = "_"
UNFILLED, FILLED, CHANGED = 0, 1, 2
CONFIDENCE = {"certain": 1, "high": 0.5, "medium": 0.2, "low": 0.1}
PROPOSAL = re.compile(r"^([hv][1-5])\. ([a-zA-Z]{5,5}) \((certain|high|medium|low)\).*$")
LENIENT_PROPOSAL = re.compile(
    r"^\W*(?:\d{1,2}[.)]\W*)?([hv][1-5])\W+([a-z]{5})(?![a-z])\W*(?:confidence\W*|信心\W*)?(certain|high|medium|low|确定|高|中|低)?",
    re.IGNORECASE,
)
CHINESE = {"确定": "certain", "高": "high", "中": "medium", "低": "low"}
VERDICTS = ("sure", "maybe", "impossible")
# A pattern with this many blanks says too little to be judged.
TOO_OPEN = 4


class Board(NamedTuple):
    """25 letters in rows, and for each of the 10 words (5 across, 5 down) whether it was filled or changed since."""

    letters: str = BLANK * SIZE * SIZE
    status: Tuple[int, ...] = (UNFILLED,) * 2 * SIZE

    def words(self) -> List[str]:
        across = [self.letters[i * SIZE : (i + 1) * SIZE] for i in range(SIZE)]
        return across + [self.letters[i::SIZE] for i in range(SIZE)]

    def write(self, place: str, word: str) -> "Board":
        """The board with `word` at `place` ("h1" to "h5", "v1" to "v5"). Raises ValueError."""
        if not re.match(r"^[hv][1-5]$", place) or len(word) != SIZE:
            raise ValueError("{!r} at {!r} is not a word of {} letters at h1-h5 or v1-v5".format(word, place, SIZE))
        number = int(place[1]) - 1
        start, step = (number * SIZE, 1) if place[0] == "h" else (number, SIZE)
        letters = list(self.letters)
        letters[start : start + SIZE * step : step] = word.upper()
        new = Board("".join(letters), self.status)
        status = [
            CHANGED if any(a != b and a != BLANK for a, b in zip(old, now)) else state
            for state, old, now in zip(self.status, self.words(), new.words())
        ]
        status[number + (0 if place[0] == "h" else SIZE)] = FILLED
        return Board(new.letters, tuple(status))


class MiniCrosswords(Task):
    """Fill a 5 x 5 crossword from ten clues.

    A state is one line a word, "h2. motor". Section 4.3 of the paper: depth-first search; a model lists words with
    confidences for the open clues, several such answers are summed up, the best word that changes no letter is tried
    first, and a state is left if a model finds a clue that no word fits any more.

    Args:
        puzzles (list): Pairs of ten clues (across, then down) and 25 letters.
        prompts, parse: As of :class:`Task`.
    """

    name = "crosswords"
    steps = 10
    stops = (None,) * 10
    # The official search does not go on from the tenth word; the board is full with fewer.
    max_depth = 10
    templates = ("standard", "cot", "propose", "value")

    def __init__(self, puzzles: Sequence[Tuple[Sequence[str], Sequence[str]]], prompts, parse: str = "paper"):
        self.puzzles = [(list(clues), "".join(letters)) for clues, letters in puzzles]
        for number, (clues, letters) in enumerate(self.puzzles):
            if len(clues) != 2 * SIZE or len(letters) != SIZE * SIZE:
                raise ValueError("crossword {} has {} clues and {} letters".format(number, len(clues), len(letters)))
        super().__init__([render_clues(clues) for clues, _ in self.puzzles], prompts, parse)

    @staticmethod
    def clues(x: str) -> List[str]:
        """The ten clues of a puzzle."""
        return [line.split(". ", 1)[1] for line in x.strip().split("\n")]

    @staticmethod
    def board(y: str) -> Board:
        """The board that the lines of a state make; a line that is no word is passed over."""
        board = Board()
        for line in y.strip().split("\n"):
            place, _, word = line.partition(". ")
            try:
                board = board.write(place, word)
            except ValueError:
                continue
        return board

    def propose_prompt(self, x: str, y: str) -> str:
        return self.prompts["propose"].format(input=render(self.clues(x), self.board(y)))

    def proposals(self, x: str, y: str, text: str) -> List[str]:
        return [y + word + "\n" for word, _ in self._listed(text)]

    def ranked_proposals(self, x: str, y: str, texts: Sequence[str]) -> List[str]:
        total: Dict[str, float] = {}
        for text in texts:
            for word, confidence in self._listed(text):
                total[word] = total.get(word, 0) + confidence
        return [y + word + "\n" for word in sorted(total, key=total.get, reverse=True)]

    def _listed(self, text: str) -> List[Tuple[str, float]]:
        """("h2. motor", confidence) for each line that lists a word."""
        listed = []
        for line in text.split("\n"):
            match = PROPOSAL.match(line) if self.parse == "paper" else LENIENT_PROPOSAL.match(reading.plain(line))
            if match:
                place, word, confidence = match.groups()
                confidence = CHINESE.get(confidence, confidence)
                listed.append(
                    ("{}. {}".format(place.lower(), word.lower()), CONFIDENCE[(confidence or "low").lower()])
                )
        return listed

    def admissible(self, x: str, y: str) -> bool:
        return CHANGED not in self.board(y).status

    def assessment_prompts(self, x: str, y: str, n: int) -> Tuple[List[str], int]:
        """A prompt for each clue of which two letters or more are known; one answer each, as in the paper."""
        lines = [
            "{}: {}".format(clue, " ".join(word.lower()))
            for word, clue in zip(self.board(y).words(), self.clues(x))
            if word.count(BLANK) < TOO_OPEN
        ]
        return [self.prompts["value"].format(input=line) for line in lines], 1

    def assess(self, x: str, y: str, answers: Sequence[Sequence[str]]) -> Tuple[float, Dict[str, Any]]:
        said = [self._verdict(texts[0]) for texts in answers]
        count = {verdict: said.count(verdict) for verdict in VERDICTS}
        return -float(count["impossible"]), count

    def _verdict(self, text: str) -> str:
        if self.parse == "paper":
            return text.split("\n")[-1].strip()
        return {"likely": "maybe"}.get(reading.verdict(text), reading.verdict(text))

    def understood(self, kind: str, text: str) -> bool:
        return self._verdict(text) in VERDICTS if kind == "judgement" else BLANK * 25 != self.read(text).letters

    def impossible(self, value: float, detail: Dict[str, Any], prune_below: float) -> bool:
        return detail["impossible"] > 0

    def complete(self, x: str, y: str) -> bool:
        return BLANK not in self.board(y).letters

    def output(self, x: str, y: str) -> str:
        letters = self.board(y).letters
        return "\n".join(" ".join(letters[i : i + SIZE]) for i in range(0, SIZE * SIZE, SIZE))

    def answer(self, y: str) -> str:
        return self.read(y).letters

    @staticmethod
    def read(y: str) -> Board:
        """The board of an output: five rows of letters with blanks between them, after "Output:" if that is there."""
        board = Board()
        rows = y.split("Output:\n")[-1].strip().split("\n")[-SIZE:]
        for number, row in enumerate(rows, 1):
            word = "".join(row.split(" ")[:SIZE])
            word += BLANK * (SIZE - len(word))
            if len(word) == SIZE:
                board = board.write("h{}".format(number), word)
        return board

    def score(self, index: int, y: str):
        return self.compare(index, self.read(y))
        yield  # a generator like the others, which asks nothing

    def compare(self, index: int, board: Board) -> Dict[str, float]:
        """Shares of letters and words that are right, and whether all are; "r" is the share of words."""
        truth = Board(self.puzzles[index][1])
        letters = sum(a == b for a, b in zip(board.letters, truth.letters)) / SIZE**2
        words = sum(a == b for a, b in zip(board.words(), truth.words())) / (2 * SIZE)
        return {"r": words, "r_letter": letters, "r_word": words, "r_game": float(board.letters == truth.letters)}


def _places() -> List[str]:
    return ["{}{}".format(side, i + 1) for side in "hv" for i in range(SIZE)]


def render_clues(clues: Sequence[str]) -> str:
    return "".join("{}. {}\n".format(place, clue) for place, clue in zip(_places(), clues))


def render(clues: Sequence[str], board: Board) -> str:
    """The board and its words by status, as the prompts show them."""
    rows = "".join(board.letters[i : i + SIZE] + "\n" for i in range(0, SIZE * SIZE, SIZE))
    text = "Current Board:\n" + rows
    for title, status in (("Unfilled", UNFILLED), ("Filled", FILLED), ("Changed", CHANGED)):
        text += "\n{}:\n".format(title)
        for place, clue, word, state in zip(_places(), clues, board.words(), board.status):
            if state == status:
                text += "{}. {}: {}\n".format(place, clue, word)
    return text
