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

"""
Prompts and answer parsers, by name and version.

A figure belongs to a prompt and a parser; whoever changes what one of them does gives it a new version, so that the manifests of two runs
tell them apart. A parser takes the model's text and the row, and gives the answer, or "" where it finds none (counted as unparsed).
"""

import re
from dataclasses import dataclass
from typing import Callable

__all__ = ["FRAME", "PROMPTS", "PARSERS", "SCORERS", "DEFAULTS", "choose"]

# The conversation that MiniGPT-4 was tuned on (arXiv:2304.10592), as paddlemix/examples/minigpt4/run_predict.py has it.
FRAME = (
    "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I provide it to you. "
    "Please answer my questions.###Human: <Img><ImageHere></Img> {}###Assistant:"
)
END = "###"

CAPTIONS = {
    "short@1": "A short image caption.",
    "sentence@1": "Describe this image in one short sentence.",
    "detail@1": "Describe this image in detail.",
}
QUESTIONS = {
    "short@1": "Question: {question} Short answer:",
    "word@1": "{question} Answer with a single word or a short phrase.",
    "minigptv2@1": "Based on the image, respond to this question with a short answer: {question}",
}
PROMPTS = {
    "caption": CAPTIONS,
    "vqa": QUESTIONS,
    "okvqa": QUESTIONS,
    "gqa": QUESTIONS,
    "retrieval": CAPTIONS,
    "pope": {"yesno@1": "{question} Answer yes or no.", "plain@1": "{question}"},
    "refcoco": {"minigptv2@1": "[refer] give me the location of {question}"},
}


@dataclass
class Parser:
    """take: (text, row) -> answer. likelihood: the answer is the candidate that the model finds most likely; `take` is not used."""

    take: Callable
    likelihood: bool = False


NUMBERS = dict(zip("zero one two three four five six seven eight nine ten".split(), range(11)))
OPENING = re.compile(
    r"^(?:(?:short |final |the )?answer(?: is|:)|it(?:'s| is)|this is|that is|there (?:is|are)|they are|i (?:think|believe)(?: it is)?)[\s:]+",
    re.I,
)
# an end of a sentence: . ! ? before a blank or the end, but not in 3.5 and not after Mr., Dr., St., e.g.
SENTENCE = re.compile(r"(?<!\bmr)(?<!\bmrs)(?<!\bdr)(?<!\bst)(?<!e\.g)(?<!i\.e)[.!?]+(?=\s|$|[\"'”’)])", re.I)
QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|「([^」]+)」|(?<!\w)'([^']+)'(?!\w)|‘([^’]+)’")
YES_NO = re.compile(r"\b(?:yes|yeah|no|not|nope|isn't|aren't|doesn't|don't|can't|cannot|none)\b", re.I)
NUMBER = re.compile(r"(?<![\w.])(\d+(?:,\d{3})+|\d+(?:\.\d+)?)(?!\w)|\b(" + "|".join(NUMBERS) + r")\b", re.I)
ASKS_YES_NO = re.compile(
    r"^(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|am|isn't|aren't|doesn't|don't)\b", re.I
)
ASKS_NUMBER = re.compile(r"^(?:how many|how much|what (?:number|time|year))\b", re.I)
BOX = re.compile(r"<\s*(\d+)\s*>")


def raw(text, row=None):
    """What stands before the end mark, without blanks at its ends."""
    return text.split(END)[0].replace("</s>", "").strip()


def first_sentence(text, row=None):
    """The first sentence, without its end."""
    text = raw(text).split("\n")[0].strip() if raw(text) else ""
    end = SENTENCE.search(text)
    return text[: end.start()].strip() if end else text


def short(text, row=None):
    """The first sentence without what opens an answer ("The answer is", "It is"), quotes around it, and marks at its end."""
    text, before = first_sentence(text), None
    while text != before:
        before, text = text, OPENING.sub("", text).strip()
    quoted = QUOTED.fullmatch(text)
    return (next(filter(None, quoted.groups())) if quoted else text).strip(" .,;:!?\"'")


def yes_no(text, row=None):
    """yes or no, by the first word that says so."""
    found = YES_NO.search(raw(text).replace("’", "'"))
    return "" if found is None else "yes" if found.group().lower() in ("yes", "yeah") else "no"


def pope(text, row=None):
    """The rule of POPE's own evaluation: no if the first sentence holds No, not or no as a word, else yes; it always answers."""
    words = raw(text).split(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "not", "no"} & set(words) else "yes"


def number(text, row=None):
    """The first number as digits; number words up to ten count."""
    found = NUMBER.search(raw(text))
    if found is None:
        return ""
    return found.group(1).replace(",", "") if found.group(1) else str(NUMBERS[found.group(2).lower()])


def quoted(text, row=None):
    """The first thing in quotes."""
    found = QUOTED.search(raw(text))
    return "" if found is None else next(filter(None, found.groups())).strip(" .,;:!?")


def by_question(text, row):
    """yes_no, number or short, by how the question begins; short where that one finds nothing."""
    question = row.get("question", "").strip()
    if ASKS_YES_NO.match(question) and " or " not in question:
        return yes_no(text) or short(text)
    if ASKS_NUMBER.match(question):
        return number(text) or short(text)
    return short(text)


def box(text, row=None):
    """The first four numbers of "{<x1><y1><x2><y2>}" as "x1 y1 x2 y2"."""
    numbers = BOX.findall(raw(text))
    return " ".join(numbers[:4]) if len(numbers) > 3 else ""


TEXT = {"raw@1": Parser(raw), "first_sentence@1": Parser(first_sentence)}
ANSWER = {
    **TEXT,
    "short@1": Parser(short),
    "by_question@1": Parser(by_question),
    "yes_no@1": Parser(yes_no),
    "number@1": Parser(number),
    "quoted@1": Parser(quoted),
    "choice@1": Parser(None, likelihood=True),
}
# How a picture and a caption are scored: log likelihood of the caption, the same divided by its length, or less its likelihood without picture.
SCORERS = {"sum@1": "sum", "mean@1": "mean", "without_prior@1": "without_prior"}
PARSERS = {
    "caption": TEXT,
    "vqa": ANSWER,
    "okvqa": ANSWER,
    "gqa": ANSWER,
    "retrieval": SCORERS,
    "pope": {"pope@1": Parser(pope), "yes_no@1": Parser(yes_no), "choice@1": Parser(None, likelihood=True)},
    "refcoco": {"box@1": Parser(box)},
}
# (prompt, parser) of a task where none is named
DEFAULTS = {
    "caption": ("sentence@1", "first_sentence@1"),
    "vqa": ("short@1", "by_question@1"),
    "okvqa": ("short@1", "short@1"),
    "gqa": ("short@1", "by_question@1"),
    "retrieval": ("short@1", "without_prior@1"),
    "pope": ("yesno@1", "pope@1"),
    "refcoco": ("minigptv2@1", "box@1"),
}


def choose(table, task, words, what, likelihood=True):
    """
    Entries of a task's table.

    Args:
        table: `PROMPTS` or `PARSERS`. words: names with or without version, comma separated; "all"; None: the default. what: for messages.
        likelihood: whether "all" includes parsers by likelihood.

    Returns:
        list of names with versions.

    Raises:
        ValueError: an unknown name; the message lists those that there are.
    """
    names = list(table[task])
    if words is None:
        return [DEFAULTS[task][0 if what == "prompt" else 1]]
    chosen = []
    for word in words.split(","):
        found = [name for name in names if word in (name, name.split("@")[0])]
        if word == "all":
            found = [name for name in names if likelihood or not getattr(table[task][name], "likelihood", False)]
        if not found:
            raise ValueError(
                f"--{what} {word}: task {task} has none of this name; next: one of {', '.join(names)}, or all"
            )
        chosen += [name for name in found if name not in chosen]
    return chosen
