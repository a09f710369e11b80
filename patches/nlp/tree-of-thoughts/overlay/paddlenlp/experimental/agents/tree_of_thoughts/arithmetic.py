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

"""Exact arithmetic for the Game of 24: the verdict on an expression.

The official verdict hands the model's text to ``sympy.simplify``, which evaluates it as Python. Here the text is parsed:
numbers, + - * / // % ** ^ !, parentheses and sqrt(), nothing else, with fractions instead of floats.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import List, Optional, Union

__all__ = ["equals", "evaluate"]

Number = Union[Fraction, Decimal]  # a Decimal stands for a value that is not rational, to PRECISION digits

PRECISION = 60
TOKEN = re.compile(r"\s*(?:(\d+)|(sqrt)|(\*\*|//|[-+*/%^()!]))")
LARGEST_EXPONENT = 1000
LARGEST_FACTORIAL = 200
DEEPEST = 50  # nested parentheses and signs
# Bounds of time and memory: of the text, and of numerator and denominator. 200! has 1246 bits.
LONGEST = 1000
LARGEST_BITS = 8192


class _Parser:
    """Recursive descent; precedence as in Python, with ^ as another sign for ** and a postfix ! that binds tightest."""

    def __init__(self, text: str):
        self.tokens = self._tokens(text)
        self.position = 0
        self.depth = 0

    @staticmethod
    def _tokens(text: str) -> List[str]:
        tokens, position, text = [], 0, text.strip()
        if len(text) > LONGEST:
            raise ValueError("the expression is too long")
        while position < len(text):
            match = TOKEN.match(text, position)
            if match is None:
                raise ValueError("{!r} does not belong to an expression".format(text[position]))
            tokens.append(match.group(1) or match.group(2) or match.group(3))
            position = match.end()
        return tokens

    def _peek(self) -> Optional[str]:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def _take(self, *expected: str) -> Optional[str]:
        token = self._peek()
        if token is None or (expected and token not in expected):
            return None
        self.position += 1
        return token

    def parse(self) -> Number:
        value = self._sum()
        if self._peek() is not None:
            raise ValueError("{!r} follows a whole expression".format(self._peek()))
        return value

    def _sum(self) -> Number:
        value = self._product()
        while True:
            sign = self._take("+", "-")
            if sign is None:
                return value
            value = _apply(sign, value, self._product())

    def _product(self) -> Number:
        value = self._signed()
        while True:
            sign = self._take("*", "/", "//", "%")
            if sign is None:
                return value
            value = _apply(sign, value, self._signed())

    def _signed(self) -> Number:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError("nested too deeply")
        sign = self._take("+", "-")
        value = self._signed() if sign else self._power()
        self.depth -= 1
        return -value if sign == "-" else value

    def _power(self) -> Number:
        base = self._postfix()
        if self._take("**", "^") is None:
            return base
        return _apply("**", base, self._signed())

    def _postfix(self) -> Number:
        value = self._atom()
        while self._take("!"):
            value = _factorial(value)
        return value

    def _atom(self) -> Number:
        token = self._take()
        if token is not None and token.isdigit():
            if len(token) > 1 and token[0] == "0":
                raise ValueError("a number with a leading zero")
            return Fraction(int(token))
        if token == "sqrt":
            if self._peek() != "(":
                raise ValueError("sqrt without a parenthesis")
            return _root(self._atom())
        if token != "(":
            raise ValueError("a number is missing")
        value = self._sum()
        if self._take(")") is None:
            raise ValueError("a parenthesis is not closed")
        return value


def _decimal(value: Number) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(value.numerator) / Decimal(value.denominator)


def _bounded(value: Number) -> Number:
    if (
        isinstance(value, Fraction)
        and max(value.numerator.bit_length(), value.denominator.bit_length()) > LARGEST_BITS
    ):
        raise ValueError("the number is too large")
    return value


def _apply(sign: str, a: Number, b: Number) -> Number:
    return _bounded(_combined(sign, a, b))


def _combined(sign: str, a: Number, b: Number) -> Number:
    if sign in ("/", "//", "%") and b == 0:
        raise ValueError("division by zero")
    if sign == "**":
        return _raise(a, b)
    if isinstance(a, Decimal) or isinstance(b, Decimal):
        a, b = _decimal(a), _decimal(b)
    if sign == "+":
        return a + b
    if sign == "-":
        return a - b
    if sign == "*":
        return a * b
    if sign == "/":
        return a / b
    if isinstance(a, Decimal):  # of decimals, Python truncates toward zero
        floor = (a / b).to_integral_value(rounding="ROUND_FLOOR")
    else:
        floor = Fraction(a // b)
    return floor if sign == "//" else a - b * floor


def _raise(a: Number, b: Number) -> Number:
    if abs(b) > LARGEST_EXPONENT:
        raise ValueError("the exponent is too large")
    if a == 0 and b < 0:
        raise ValueError("division by zero")
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        if b.denominator == 1:
            bits = max(a.numerator.bit_length(), a.denominator.bit_length()) - 1
            if bits * abs(b) > LARGEST_BITS:  # told before it is computed
                raise ValueError("the number is too large")
            return a ** int(b)
        if b.denominator == 2 and a >= 0:
            return _combined("**", _root(a), Fraction(b.numerator))
    if a < 0:
        raise ValueError("the power is not real")
    return _decimal(a) ** _decimal(b)


def _root(value: Number) -> Number:
    if value < 0:
        raise ValueError("the root is not real")
    if isinstance(value, Fraction):
        above, below = _whole_root(value.numerator), _whole_root(value.denominator)
        if above * above == value.numerator and below * below == value.denominator:
            return Fraction(above, below)
    return _decimal(value).sqrt()


def _whole_root(value: int) -> int:
    with localcontext() as context:
        context.prec = len(str(value)) + 5
        return int(Decimal(value).sqrt())


def _factorial(value: Number) -> Number:
    if not isinstance(value, Fraction) or value.denominator != 1 or not 0 <= value <= LARGEST_FACTORIAL:
        raise ValueError("the factorial is not taken of a small whole number")
    return Fraction(math.factorial(int(value)))


def evaluate(text: str) -> Number:
    """The value of an expression: a Fraction, or a Decimal of 60 digits if roots make it irrational.

    Raises:
        ValueError: `text` is not an expression, or has no (real, moderately sized) value.
    """
    with localcontext() as context:
        context.prec = PRECISION
        try:
            return _Parser(text).parse()
        except ArithmeticError as error:  # decimal overflow
            raise ValueError(str(error))


def equals(text: str, target: int) -> bool:
    """Whether an expression is worth exactly `target`; False if it is not an expression."""
    try:
        value = evaluate(text)
    except ValueError:
        return False
    if isinstance(value, Fraction):
        return value == target
    return abs(value - target) < Decimal(10) ** (20 - PRECISION)
