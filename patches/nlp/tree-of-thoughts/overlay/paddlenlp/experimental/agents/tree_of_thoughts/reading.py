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

"""Reading the answers of chat models: list marks, emphasis, LaTeX, full-width signs and talk are passed over.

The parser "paper" of a task uses nothing of this.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Dict, List, Optional, Sequence

__all__ = ["choice", "expression", "moves", "numbers_of", "plain", "rating", "said", "verdict"]

SIGNS = {0xFF01 + i: 0x21 + i for i in range(94)}  # full-width forms
SIGNS.update(str.maketrans("×✕✖⋅·∙∗÷∕⁄−–—‒﹣【】〔〕｛｝。、　\u00a0‘’", "******" + "*///-----[][]{}.,  ''"))
LATEX = (
    (r"\\d?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"(\1)/(\2)"),
    (r"\\(?:boxed|text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}", r"\1"),
    (r"\\(?:times|cdot|ast)\b", " * "),
    (r"\\div\b", " / "),
    (r"\\(?:left|right)(?=[^a-zA-Z])|\\[()\[\]]|\$", ""),
    (r"\\([*+\-=/_.#!])", r"\1"),
)
# Stars that are not a power: not between two terms.
EMPHASIS = re.compile(r"(?<![\d)!\s])\s*\*\*|\*\*(?!\s*[\d(])|^\s*\*\*|(?<=\s)\*\*(?=[^\s*]+\*\*)|__|`", re.MULTILINE)
NUMBER = r"-?(?:\d+\.\d+|\d+/\d+|\d+)"
EQUATION = re.compile(
    r"(?<![\d.])\(*[ \t]*({0})[ \t]*\)?[ \t]*([-+*/])[ \t]*\(?[ \t]*({0})[ \t]*\)*[ \t]*[=≈][ \t]*\(?({0})(?![\d/]|\.\d)".format(
        NUMBER
    )
)
LEFT = re.compile(r"left|leav|remain|rest\b|剩|余下|留下", re.IGNORECASE)
LISTED = re.compile(
    r"[^\d-]{{0,24}}?({0}(?:(?:\s*[,;]\s*(?:and\s+|和\s*)?|\s+and\s+|\s*[和与及]\s*|\s+){0})*)".format(NUMBER)
)
MARK = re.compile(
    r"^[\s>|#*+•●○▪◦-]*(?:(?:step|option|move|choice|步骤|方案|选项|第)?\s*[(\[]?\d{1,2}\s*[步种]?[.):\],]|[a-hA-H][.)])?\s*[:*-]*\s*",
    re.IGNORECASE,
)
ANSWER = re.compile(r"answer|expression|solution|答案|算式|表达式|答\s*:", re.IGNORECASE)
TERMS = re.compile(r"(?:sqrt|\d+|\*\*|//|[-+*/%^()!]|[ \t])+")
NEXT_EXAMPLE = re.compile(r"^\W*(?:input|输入)\s*:", re.IGNORECASE | re.MULTILINE)

LABEL = re.compile(
    r"^[\W_]*(?:(?:(?:my|the|final|最终)\s*)*(?:judge?ment|judge|verdict|answer|conclusion|evaluation|assessment|result|判断|结论|评估|评价"
    r"|答案|结果|答)\s*(?:is|是|为)?)?[\W_]*",
    re.IGNORECASE,
)
# In the order in which they are tried at a place: "不可能" is not "可能", "not sure" is neither.
VERDICTS = (
    ("", r"\bnot (?:sure|certain|likely)\b|\bunsure\b|\buncertain\b|\bunlikely\b|\blikely not\b|不确定|不一定|能否|能不能|是否"),
    (
        "impossible",
        r"\bimpossible\b|\bnot possible\b|\bcan ?not\b|\bcan't\b|\bincorrect\b|\bwrong\b|不太?可能|不可以|不能|无法|得不到|不正确|不对|错误",
    ),
    ("likely", r"\blikely\b|\bmaybe\b|\bprobably\b|\bpossibly\b|可能|也许|或许|大概"),
    ("sure", r"\bsure\b|\bcertain(?:ly)?\b|\bdefinitely\b|\bcorrect\b|肯定|一定能|可以|能够|正确|能"),
)
VERDICT = re.compile("|".join("(?P<v{}>{})".format(i, words) for i, (_, words) in enumerate(VERDICTS)), re.IGNORECASE)
ALONE = {"yes": "sure", "no": "impossible", "对": "sure", "错": "impossible", "是": "sure", "否": "impossible"}
FILLER = re.compile(
    r"^\W*(?:sure|certainly|of course|当然可以|当然|好的|可以)[!,.:]*\s*(?:(?:here|let|i\b|i'|we\b|thing|happy|下面|让我|我)[^\n.!:]*[.!:]?)",
    re.IGNORECASE,
)


def without_thinking(text: str) -> str:
    return text.rsplit("</think>", 1)[-1].split("<think>", 1)[0]


def said(text: str) -> str:
    """`text` without thinking and emphasis, otherwise word for word."""
    return EMPHASIS.sub("", without_thinking(text))


def plain(text: str) -> str:
    """`text` in ASCII signs, without thinking, LaTeX and emphasis; lines stay lines."""
    text = without_thinking(text).translate(SIGNS)
    for pattern, instead in LATEX[:1] * 3 + LATEX:  # fractions stand within each other
        text = re.sub(pattern, instead, text)
    text = EMPHASIS.sub("", text)
    return re.sub(r"(?<=[\d)])[ \t]*[xX][ \t]*(?=[\d(])", " * ", text)


def numbers_of(text: str) -> List[Fraction]:
    """The numbers in a text, in order."""
    found = []
    for part in re.findall(NUMBER, text):
        try:
            found.append(Fraction(part))
        except (ValueError, ZeroDivisionError):
            continue
    return found


def moves(text: str, current: Sequence[Fraction]) -> List[str]:
    """The moves "a + b = c (left: ...)" of an answer, each once.

    Args:
        text (str): An answer.
        current (sequence of Fraction): The numbers that are left; they tell "1.5 + 2" from a list's "1. 5 + 2".
    """
    found: Dict[str, None] = {}
    for line in plain(text).split("\n"):
        if found and NEXT_EXAMPLE.match(line):
            break
        read = [move for move in (_move(line, current), _move(MARK.sub("", line, 1), current)) if move]
        fitting = [
            move for move in read if all(n in current for n in numbers_of(move.split("=")[0].replace(" - ", " ")))
        ]
        for move in (fitting or read)[:1]:
            found.setdefault(move)
    return list(found)


def _move(line: str, current: Sequence[Fraction]) -> Optional[str]:
    equations = list(EQUATION.finditer(line))
    if not equations:
        return None
    a, sign, b, c = equations[0].groups()
    before, rest = line[: equations[0].start()].rstrip(), line[equations[0].end() :]
    if before.endswith(("+", "*", "/", "=", "≈")) or re.search(r"\d\)?\s*-$", before):
        return None  # the end of a longer sum
    word = LEFT.search(rest)
    if word is not None and any(e.start() - equations[0].end() < word.start() for e in equations[1:]):
        word = None
    listed = LISTED.match(rest, word.end()) if word is not None else None
    if listed:
        left = re.findall(NUMBER, listed.group(1))
    elif re.search(r"[=≈*+/]", rest):
        return None
    else:  # a bare list of the right length
        left = re.findall(NUMBER, rest)
        if len(left) != len(current) - 1 or numbers_of(c)[0] not in numbers_of(" ".join(left)):
            return None
    return "{} {} {} = {} (left: {})".format(a, sign, b, c, " ".join(left)) if left else None


def expression(text: str, numbers: Optional[Sequence[str]] = None) -> Optional[str]:
    """The expression that an answer gives, e.g. "5 * (10 - 4) - 6"; None if there is none.

    Args:
        text (str): An answer.
        numbers (sequence of str, optional): What the expression should be made of; one that is, is preferred.
    """
    text = plain(text)
    again = [match.start() for match in NEXT_EXAMPLE.finditer(text) if text[: match.start()].strip()]
    told, fitting = [], []
    for line in text[: again[0] if again else None].replace("[", "(").replace("]", ")").split("\n"):
        mark = ANSWER.search(line)
        for part in (line[mark.end() :] if mark else line).split("="):
            for found in TERMS.findall(part):
                found = _balanced(found)
                if not re.search(r"\d\)*!?\s*[-+*/%^]\s*[\d(s]|\d\s*\(", found):
                    continue
                found = re.sub(r"(?<=[\d)])\s*(?=\()|(?<=\))\s*(?=\d)", " * ", found)
                if mark:
                    told.append(found)
                if numbers is None or sorted(re.findall(r"\d+", found)) == sorted(numbers):
                    fitting.append((bool(mark), found))
    marked = [found for mark, found in fitting if mark]
    for choices in (marked, [found for _, found in fitting] if not told or numbers is not None else [], told):
        if choices:
            return choices[-1]
    return None


def _balanced(text: str) -> str:
    """A run of terms without signs at its ends that belong to nothing."""
    while True:
        before = text
        text = text.strip().lstrip("+*/%^)!").rstrip("+*/%^-(").strip()
        text = re.sub(r"^-\s+", "", text)
        if text.count("(") > text.count(")") and text.startswith("("):
            text = text[1:]
        if text.count(")") > text.count("(") and text.endswith(")"):
            text = text[:-1]
        if text == before:
            return text


def verdict(text: str) -> str:
    """ "sure", "likely" or "impossible", whichever an answer says; "" if it says none."""
    text = FILLER.sub("", plain(text).strip(), 1)
    for line in text.split("\n"):
        core = re.sub(r"\s*\([^()]*\)[\W_]*$", "", LABEL.sub("", line, 1)).strip("*_ \t.,!?:;\"'“”()[]")
        match = VERDICT.fullmatch(core)
        if match:
            return VERDICTS[int(match.lastgroup[1:])][0]
        if core.lower() in ALONE:
            return ALONE[core.lower()]
    said = [VERDICTS[int(match.lastgroup[1:])][0] for match in VERDICT.finditer(text)]
    return said[-1] if said else ""


def _last_number(pattern: str, text: str) -> Optional[int]:
    found = re.findall(pattern, plain(text), re.IGNORECASE)
    return int(found[-1]) if found else None


def choice(text: str) -> Optional[int]:
    """The number of the choice that an answer votes for."""
    words = r"(?:best (?:choice|option)|(?:choose|pick|select|vote for)(?: choice| option)?|最佳(?:的)?选择|最好的(?:选择|是)|最优(?:的)?选择|我?选择|选项|choice)"
    return _last_number(
        words
        + r"(?:\s*(?:is|would be|应该是|应该|是|为|第|:|-|choice|option|number|no\.?|选项|编号|#|\(|\{|\[|\"))*\s*(\d{1,4})(?!\d)",
        text,
    )


def rating(text: str) -> Optional[int]:
    """The score of coherence that an answer gives."""
    return _last_number(
        r"(?:score|rating|评分|得分|分数|打分)(?:\s*(?:is|would be|of|是|为|:|=|\(|\{|\"))*\s*(\d{1,3})(?!\d)", text
    )
