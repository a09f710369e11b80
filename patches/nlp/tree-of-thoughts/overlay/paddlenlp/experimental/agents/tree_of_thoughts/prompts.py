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

"""Templates of the prompts, in English and Chinese. The words that answers are parsed by ("left:", "Answer:", "sure", ...) are the same
in both."""

from __future__ import annotations

from typing import Dict

__all__ = ["LANGUAGES", "load_prompts"]

LANGUAGES = ("en", "zh")

# Worked examples that both languages share.
EXPRESSIONS = """Input: 1 2 3 4
Answer: (1 + 2 + 3) * 4 = 24
Input: 2 2 10 10
Answer: 10 + 10 + 2 + 2 = 24
Input: 2 4 6 8
Answer: 6 * 8 / (4 - 2) = 24
Input: {input}
"""
STEPS = """Input: 1 2 3 4
Steps:
1 + 2 = 3 (left: 3 3 4)
3 + 3 = 6 (left: 4 6)
4 * 6 = 24 (left: 24)
Answer: (1 + 2 + 3) * 4 = 24
Input: 2 2 10 10
Steps:
10 + 10 = 20 (left: 2 2 20)
20 + 2 = 22 (left: 2 22)
22 + 2 = 24 (left: 24)
Answer: 10 + 10 + 2 + 2 = 24
Input: 2 4 6 8
Steps:
6 * 8 = 48 (left: 2 4 48)
4 - 2 = 2 (left: 2 48)
48 / 2 = 24 (left: 24)
Answer: 6 * 8 / (4 - 2) = 24
Input: {input}
"""
MOVES = """Input: 3 4 6 9
Possible next steps:
3 + 4 = 7 (left: 6 7 9)
3 * 4 = 12 (left: 6 9 12)
9 - 3 = 6 (left: 4 6 6)
6 / 3 = 2 (left: 2 4 9)
9 - 4 = 5 (left: 3 5 6)
4 * 6 = 24 (left: 3 9 24)
6 + 9 = 15 (left: 3 4 15)
9 / 3 = 3 (left: 3 4 6)
Input: {input}
Possible next steps:
"""
JUDGED = """4 20
4 + 20 = 24
sure
5 11
5 + 11 = 16
11 - 5 = 6
5 * 11 = 55
impossible
4 7 9
4 + 7 + 9 = 20
4 * 7 - 9 = 19
%s
likely
3 4 12
12 * (4 - 3) = 12
3 * 4 + 12 = 24
sure
11 12 12
11 + 12 + 12 = 35
12 / 12 + 11 = 12
%s
impossible
{input}
"""
ANSWERS = """Input: 1 2 3 4
Answer: (1 + 2 + 3) * 4 = 24
Judge:
sure
Input: 1 2 3 4
Answer: 4 * 3 * 2 = 24
Judge:
impossible
Input: 2 2 10 10
Answer: 10 + 10 + 2 + 2 = 24
Judge:
sure
Input: 3 3 5 6
Answer: 3 * 6 + 5 + 3 = 26
Judge:
impossible
Input: {input}
Answer: {answer}
Judge:"""

GAME24_EN = {
    "standard": "Write one expression that makes 24. Use every given number exactly once, with + - * / and parentheses.\n"
    + EXPRESSIONS,
    "cot": "Make 24 in steps. A step takes two of the numbers that are left and puts their sum, difference, product or quotient in their "
    "place. At the end, write the steps as one expression.\n" + STEPS,
    "propose": "List steps that are possible: each takes two of the numbers and shows which numbers are left afterwards.\n"
    + MOVES,
    "value": "Can the numbers still make 24, each used once? Try, then say sure, likely or impossible on a line of its own.\n"
    + JUDGED % ("I do not see 24 yet, but the numbers are about right", "The numbers are too large"),
    "value_last_step": "Is the answer right? It is if it uses each number of the input exactly once, no other number, and makes 24. Say sure or "
    "impossible.\n" + ANSWERS,
}
GAME24_ZH = {
    "standard": "用给出的四个数各一次，通过 + - * / 和括号得到 24，写出一个算式。\n" + EXPRESSIONS,
    "cot": "分步得到 24。每一步取剩余数中的两个，用它们的和、差、积或商代替它们。最后把各步写成一个算式。\n" + STEPS,
    "propose": "列出可能的下一步：每一步取其中两个数，并写出之后剩余的数。\n" + MOVES,
    "value": "这些数各用一次，还能得到 24 吗？先试算，再单独用一行写 sure（能）、likely（可能）或 impossible（不能）。\n"
    + JUDGED % ("还没有得到 24，但大小合适", "这些数太大"),
    "value_last_step": "答案对吗？每个输入的数恰好用一次、没有别的数、结果是 24 才算对。回答 sure（对）或 impossible（错）。\n" + ANSWERS,
}

OWN = {("game24", "en"): GAME24_EN, ("game24", "zh"): GAME24_ZH}


def load_prompts(task: str, prompts: str = "en") -> Dict[str, str]:
    """Templates by name.

    Args:
        task (str): "game24".
        prompts (str): "en" or "zh". Default: "en".
    """
    if (task, prompts) not in OWN:
        there = sorted(language for name, language in OWN if name == task)
        raise ValueError("no prompts {!r} for {!r}; there are {}".format(prompts, task, ", ".join(there) or "none"))
    return dict(OWN[task, prompts])
