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

"""Which moves the Game of 24 has, and whether they still reach 24: what the oracle knows."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import List, NamedTuple, Sequence, Tuple

__all__ = ["Move", "combine", "format_number", "moves", "parse_numbers", "reaches"]


class Move(NamedTuple):
    """Two numbers become one: `text` is "a + b = c", `left` what is there afterwards, in order."""

    text: str
    left: Tuple[Fraction, ...]


def parse_numbers(text: str) -> Tuple[Fraction, ...]:
    """The numbers of "2 8/3 1.5", in order. Raises ValueError."""
    return tuple(sorted(Fraction(part) for part in text.split()))


def format_number(value: Fraction) -> str:
    return str(value)


@lru_cache(maxsize=None)
def moves(numbers: Tuple[Fraction, ...]) -> Tuple[Move, ...]:
    """All different moves from sorted numbers."""
    found = {}
    for i in range(len(numbers)):
        for j in range(len(numbers)):
            if i == j:
                continue
            a, b = numbers[i], numbers[j]
            rest = [n for k, n in enumerate(numbers) if k not in (i, j)]
            results = [("-", a - b)]
            if i < j:
                results += [("+", a + b), ("*", a * b)]
            if b != 0:
                results.append(("/", a / b))
            for sign, c in results:
                text = "{} {} {} = {}".format(format_number(a), sign, format_number(b), format_number(c))
                found.setdefault(text, Move(text, tuple(sorted(rest + [c]))))
    return tuple(found.values())


@lru_cache(maxsize=None)
def reaches(numbers: Tuple[Fraction, ...], target: int = 24) -> bool:
    """Whether sorted numbers can still become `target`, each used once."""
    if len(numbers) == 1:
        return numbers[0] == target
    return any(reaches(move.left, target) for move in moves(numbers))


def combine(puzzle: Sequence[str], steps: Sequence[str]) -> str:
    """The expression that the moves "a + b = c" of a path make of the puzzle's numbers.

    Raises:
        ValueError: A move uses a number that is not there.
    """
    pool: List[Tuple[Fraction, str]] = [(Fraction(n), n) for n in puzzle]
    for step in steps:
        left, result = step.split(" = ")
        a, sign, b = left.split()
        terms = []
        for number in (a, b):
            place = next((k for k, (value, _) in enumerate(pool) if value == Fraction(number)), None)
            if place is None:
                raise ValueError("{} is not left in {!r}".format(number, step))
            terms.append(pool.pop(place)[1])
        pool.append((Fraction(result), "({} {} {})".format(terms[0], sign, terms[1])))
    text = pool[-1][1]
    return text[1:-1] if text.startswith("(") else text
