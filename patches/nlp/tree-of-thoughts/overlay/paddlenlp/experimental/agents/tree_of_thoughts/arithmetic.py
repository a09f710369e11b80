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

The official verdict hands the model's text to ``sympy.simplify``, which evaluates it as Python. Here it is parsed, not run:
numbers, + - * / // % ** ^ !, parentheses and sqrt(), nothing else, with fractions instead of floats.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Union

__all__ = ["equals", "evaluate"]

Number = Union[Fraction, Decimal]  # a Decimal stands for a value that is not rational, to PRECISION digits

PRECISION = 60
SIGNS = re.compile(r"(?:\d|sqrt|[-+*/%^()!\s])+", re.ASCII)
LEADING_ZERO = re.compile(r"(?<!\d)0\d")
LARGEST_EXPONENT = 1000
LARGEST_FACTORIAL = 200
# Bounds of time and memory: of the text, and of numerator and denominator. 200! has 1246 bits.
LONGEST = 1000
LARGEST_BITS = 8192


def _parse(text: str) -> ast.expr:
    """The syntax tree, in which a factorial is an attribute: nothing binds tighter, and Python lets them follow each other."""
    if len(text) > LONGEST or not SIGNS.fullmatch(text) or LEADING_ZERO.search(text):
        raise ValueError("{!r} is no expression".format(text[:LONGEST]))
    try:
        return ast.parse(" ".join(text.replace("^", "**").replace("!", " .factorial ").split()), mode="eval").body
    except (SyntaxError, MemoryError) as error:
        raise ValueError("{!r} is no expression ({})".format(text, error))


def _value(node: ast.expr) -> Number:
    if isinstance(node, ast.Constant):
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand) if isinstance(node.op, ast.USub) else _value(node.operand)
    if isinstance(node, ast.BinOp):
        return _bounded(OPERATIONS[type(node.op)](_value(node.left), _value(node.right)))
    if isinstance(node, ast.Attribute):
        return _factorial(_value(node.value))
    if (
        isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "sqrt"
        and len(node.args) == 1
        and not node.keywords
    ):
        return _root(_value(node.args[0]))
    raise ValueError("not a part of an expression")


def _decimal(value: Number) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(value.numerator) / Decimal(value.denominator)


def _bounded(value: Number) -> Number:
    if isinstance(value, Fraction) and max(map(int.bit_length, (value.numerator, value.denominator))) > LARGEST_BITS:
        raise ValueError("the number is too large")
    return value


def _of_a_kind(operation):
    """The operation on two fractions or on two decimals."""

    def apply(a: Number, b: Number) -> Number:
        if isinstance(a, Decimal) or isinstance(b, Decimal):
            a, b = _decimal(a), _decimal(b)
        return operation(a, b)

    return apply


def _floor(a: Number, b: Number) -> Number:
    if isinstance(a, Decimal):  # of decimals, Python truncates toward zero
        return (a / b).to_integral_value(rounding="ROUND_FLOOR")
    return Fraction(a // b)


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
            return _raise(_root(a), Fraction(b.numerator))
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


OPERATIONS = {
    ast.Add: _of_a_kind(operator.add),
    ast.Sub: _of_a_kind(operator.sub),
    ast.Mult: _of_a_kind(operator.mul),
    ast.Div: _of_a_kind(operator.truediv),
    ast.FloorDiv: _of_a_kind(_floor),
    ast.Mod: _of_a_kind(lambda a, b: a - b * _floor(a, b)),
    ast.Pow: _raise,
}


def evaluate(text: str) -> Number:
    """The value of an expression: a Fraction, or a Decimal of 60 digits if roots make it irrational.

    Raises:
        ValueError: `text` is not an expression, or has no (real, moderately sized) value.
    """
    with localcontext() as context:
        context.prec = PRECISION
        try:
            return _value(_parse(text))
        except (ArithmeticError, RecursionError) as error:  # a division by zero, a decimal that is too large
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
