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

"""Templates of the prompts.

"paper" are the ones of the paper, read from the authors' package (see ``data``); numbers of the paper belong to them.
"en" and "zh" are PaddleNLP's own and need no download. The words that answers are parsed by ("left:", "Answer:", "sure",
"best choice is", ...) are the same in all of them.
"""

from __future__ import annotations

from typing import Dict, Optional

from .data import load_paper_prompts

__all__ = ["LANGUAGES", "load_prompts"]

LANGUAGES = ("en", "zh", "paper")

GAME24_EN = {
    "standard": """Write one expression that makes 24. Use every given number exactly once, with + - * / and parentheses.
Input: 1 2 3 4
Answer: (1 + 2 + 3) * 4 = 24
Input: 2 2 10 10
Answer: 10 + 10 + 2 + 2 = 24
Input: 2 4 6 8
Answer: 6 * 8 / (4 - 2) = 24
Input: {input}
""",
    "cot": """Make 24 in steps. A step takes two of the numbers that are left and puts their sum, difference, product or quotient in their place. At the end, write the steps as one expression.
Input: 1 2 3 4
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
""",
    "propose": """List steps that are possible: each takes two of the numbers and shows which numbers are left afterwards.
Input: 3 4 6 9
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
""",
    "value": """Can the numbers still make 24, each used once? Try, then say sure, likely or impossible on a line of its own.
4 20
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
I do not see 24 yet, but the numbers are about right
likely
3 4 12
12 * (4 - 3) = 12
3 * 4 + 12 = 24
sure
11 12 12
11 + 12 + 12 = 35
12 / 12 + 11 = 12
The numbers are too large
impossible
{input}
""",
    "value_last_step": """Is the answer right? It is if it uses each number of the input exactly once, no other number, and makes 24. Say sure or impossible.
Input: 1 2 3 4
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
Judge:""",
}

GAME24_ZH = {
    "standard": """用给出的四个数各一次，通过 + - * / 和括号得到 24，写出一个算式。
Input: 1 2 3 4
Answer: (1 + 2 + 3) * 4 = 24
Input: 2 2 10 10
Answer: 10 + 10 + 2 + 2 = 24
Input: {input}
""",
    "cot": """分步得到 24。每一步取剩余数中的两个，用它们的和、差、积或商代替它们。最后把各步写成一个算式。
Input: 1 2 3 4
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
Input: {input}
""",
    "propose": """列出可能的下一步：每一步取其中两个数，并写出之后剩余的数。
Input: 3 4 6 9
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
""",
    "value": """这些数各用一次，还能得到 24 吗？先试算，再单独用一行写 sure（能）、likely（可能）或 impossible（不能）。
4 20
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
还没有得到 24，但大小合适
likely
3 4 12
3 * 4 + 12 = 24
sure
11 12 12
11 + 12 + 12 = 35
12 / 12 + 11 = 12
这些数太大
impossible
{input}
""",
    "value_last_step": """答案对吗？每个输入的数恰好用一次、没有别的数、结果是 24 才算对。回答 sure（对）或 impossible（错）。
Input: 1 2 3 4
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
Judge:""",
}

TEXT_EN = {
    "standard": """Write a passage of four short paragraphs that reads as one story or argument. The paragraphs must end in these sentences, in this order: {input}
""",
    "cot": """Write a passage of four short paragraphs that reads as one story or argument. The paragraphs must end in these sentences, in this order: {input}

First make a plan, then write. Use this form:

Plan:
your plan

Passage:
your passage
""",
    "vote": """An instruction was given, and here are several choices of what to do. Compare them in detail. In the last line write "The best choice is N", where N is the number of the choice.
""",
    "compare": """Compare how coherent the two passages below are. In the last line write "The more coherent passage is 1", "The more coherent passage is 2" or "The two passages are similarly coherent".
""",
    "score": """How coherent is the passage below? Discuss it briefly. In the last line write "Thus the coherency score is N", where N is a whole number from 1 to 10.
""",
}

TEXT_ZH = {
    "standard": """写一篇由四个短段落组成、前后连贯的文章。各段的最后一句依次必须是：{input}
""",
    "cot": """写一篇由四个短段落组成、前后连贯的文章。各段的最后一句依次必须是：{input}

先写提纲，再写文章，格式如下：

Plan:
你的提纲

Passage:
你的文章
""",
    "vote": """下面是对同一要求的几种选择。请仔细比较它们，并在最后一行写 "The best choice is N"，其中 N 是所选的编号。
""",
    "compare": """比较下面两篇文章的连贯性。最后一行写 "The more coherent passage is 1"、"The more coherent passage is 2" 或 "The two passages are similarly coherent"。
""",
    "score": """下面的文章连贯吗？请简要分析，并在最后一行写 "Thus the coherency score is N"，其中 N 是 1 到 10 的整数。
""",
}

CROSSWORDS_EN = {
    "standard": """Solve a 5 x 5 crossword. There are five clues across (h1 to h5) and five down (v1 to v5). Write five rows of five letters, with a blank between the letters.

Input:
{input}

Output:
""",
    "cot": """Solve a 5 x 5 crossword. There are five clues across (h1 to h5) and five down (v1 to v5). First write a word of five letters for each clue, then five rows of five letters, with a blank between the letters.

Input:
{input}

Thoughts:
""",
    "propose": """This is a 5 x 5 crossword in progress; every word has five letters and _ is an open one.

{input}

List words that fit the unfilled or changed clues, one a line, each with how confident you are (certain, high, medium or low), like this: h1. apple (medium). You may list several words for a clue.
""",
    "value": """Is there a word of five letters that has the meaning and fits the letters that are known? Say sure, maybe or impossible in the last line.

To shout: y _ l _ _
Words of that meaning: yell (4 letters), yells (y e l l s): letter 3 is l, fits
sure

A fruit: _ _ _ x _
Words of that meaning: apple, lemon, mango, grape: letter 4 is not x in any
Only one letter is known
maybe

A river of France: z q _ _ _
No word begins with zq
impossible

{input}
""",
}

OWN = {
    ("game24", "en"): GAME24_EN,
    ("game24", "zh"): GAME24_ZH,
    ("text", "en"): TEXT_EN,
    ("text", "zh"): TEXT_ZH,
    ("crosswords", "en"): CROSSWORDS_EN,
}


def load_prompts(task: str, prompts: str = "en", assets: Optional[str] = None) -> Dict[str, str]:
    """Templates by name.

    Args:
        task (str): "game24", "text" or "crosswords".
        prompts (str): "en", "zh" (its clues being English, crosswords have none) or "paper". Default: "en".
        assets (str, optional): Folder with the paper's prompts, see ``data.assets_folder``.
    """
    if prompts == "paper":
        return load_paper_prompts(task, assets)
    if (task, prompts) not in OWN:
        there = sorted(language for name, language in OWN if name == task) + ["paper"]
        raise ValueError("no prompts {!r} for {!r}; there are {}".format(prompts, task, ", ".join(there)))
    return dict(OWN[task, prompts])
