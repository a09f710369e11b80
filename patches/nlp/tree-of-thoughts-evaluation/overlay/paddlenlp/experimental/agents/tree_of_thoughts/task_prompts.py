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

"""Templates for Creative Writing and Mini Crosswords, in English and (its clues being English, not crosswords) Chinese."""

__all__ = ["MORE"]

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

MORE = {("text", "en"): TEXT_EN, ("text", "zh"): TEXT_ZH, ("crosswords", "en"): CROSSWORDS_EN}
