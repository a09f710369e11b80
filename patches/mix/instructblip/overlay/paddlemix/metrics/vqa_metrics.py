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
Accuracy of short answers: VQA with ten annotators, iVQA with five, and exact match.

The VQA rules are those of three public programs, which differ, measured by their results; no code of them is used:

- `"official"` (GT-Vision-Lab/VQA @ a013f00) normalizes prediction and answers only if the ten answers are not all equal;
- `"minigpt4"` (Vision-CAIR/MiniGPT-4 @ d94738a) does the same and compares in lower case;
- `"lavis"` (salesforce/LAVIS @ 506965b) always normalizes the prediction, and takes from the annotators' answers the punctuation only.
"""

import re
from collections import Counter
from functools import lru_cache

__all__ = ["normalize_answer", "vqa_accuracy", "ivqa_accuracy", "exact_match"]

RULES = ("official", "lavis", "minigpt4")

ARTICLES = ("a", "an", "the")
NUMBERS = dict(
    zip("none zero one two three four five six seven eight nine ten".split(), "0 0 1 2 3 4 5 6 7 8 9 10".split())
)
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
# Contractions with their apostrophes; what is looked for is each of them with one apostrophe left out.
CONTRACTED = (
    "ain't aren't can't couldn't didn't doesn't don't hadn't hasn't haven't isn't mightn't mustn't needn't oughtn't shan't "
    "shouldn't wasn't weren't won't wouldn't couldn't've hadn't've mightn't've shouldn't've wouldn't've "
    "could've might've must've not've should've who've would've what've where've they've you've I've we've "
    "he'd've I'd've it'd've she'd've they'd've we'd've who'd've you'd've somebody'd've someone'd've something'd've there'd've "
    "he'd it'd how'd someone'd something'd there'd they'd where'd who'd you'd "
    "he's how's that's there's somebody's someone's what's when's where's who's why's "
    "how'll it'll somebody'll someone'll something'll they'll what'll who'll why'll you'll "
    "there're they're what're why're you're I'm ma'am o'clock 'twas 'ow's'at y'all y'all'll y'all'd've"
).split()


def _contractions():
    table = {"somebody'd": "somebodyd", "let's": "let's", "she's": "she's"}
    for word in CONTRACTED:
        for place in [index for index, letter in enumerate(word) if letter == "'"]:
            table[word[:place] + word[place + 1 :]] = word
    return table


COMMA_IN_NUMBER = re.compile(r"\d,\d")
LONE_PERIOD = re.compile(r"(?<!\d)\.(?!\d)")
CONTRACTIONS = _contractions()


@lru_cache(maxsize=1 << 16)  # ten annotators mostly agree
def remove_punctuation(text):
    """A mark that touches a blank anywhere, or a comma in a number anywhere, is deleted; others become a blank."""
    out, comma = text, COMMA_IN_NUMBER.search(text)
    for mark in filter(text.__contains__, PUNCTUATION):
        if comma or mark + " " in text or " " + mark in text:
            out = out.replace(mark, "")
        else:
            out = out.replace(mark, " ")
    return LONE_PERIOD.sub("", out, count=32)  # the public evaluation hands a flag over as the count


@lru_cache(maxsize=1 << 16)
def normalize_words(text):
    """Lower case, numbers as digits, no articles, apostrophes of contractions."""
    words = [NUMBERS.get(word, word) for word in text.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def _plain(text):
    """One line without blanks at its ends."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def normalize_answer(text):
    """All rules for one answer."""
    return normalize_words(remove_punctuation(_plain(text)))


def _texts(answers, name):
    """The annotators' answers; a string would be read letter by letter."""
    if isinstance(answers, str) or len(answers) == 0:
        raise ValueError(f"{name} takes the list of the annotators' answers, not {answers!r}")
    return [_plain(answer) for answer in answers]


def vqa_accuracy(prediction, answers, rules="official"):
    """
    Accuracy of one prediction against ten annotators: the mean, over the annotators, of min(1, others that agree / 3).

    Args:
        prediction (`str`): one answer.
        answers (`list` of `str`): the annotators', usually ten.
        rules (`str`): `"official"`, `"lavis"` or `"minigpt4"`, see above.

    Returns:
        0 to 1.

    Raises:
        ValueError: unknown rules; no answers, or a string in place of their list.
    """
    if rules not in RULES:
        raise ValueError(f"rules is {rules!r}; there are {', '.join(RULES)}")
    prediction, answers = _plain(prediction), _texts(answers, "vqa_accuracy")
    differ = len(set(answers)) > 1
    if rules == "lavis" or differ:
        prediction = normalize_words(remove_punctuation(prediction))
    if differ:
        answers = [remove_punctuation(answer) for answer in answers]
        if rules != "lavis":
            answers = [normalize_words(answer) for answer in answers]
    if rules == "minigpt4":
        prediction, answers = prediction.lower(), [answer.lower() for answer in answers]
    agree = answers.count(prediction)
    scores = [min(1.0, (agree - (answer == prediction)) / 3) for answer in answers]
    return sum(scores) / len(scores)


def ivqa_accuracy(prediction, answers):
    """iVQA: 1 if two of the five annotators gave the answer, 0.5 if one did."""
    counts = Counter(normalize_answer(answer) for answer in _texts(answers, "ivqa_accuracy"))
    return min(counts[normalize_answer(prediction)] / 2, 1.0)


def exact_match(prediction, answers):
    """1 if the normalized prediction is one of the normalized answers, else 0."""
    answers = [answers] if isinstance(answers, str) else answers
    return float(normalize_answer(prediction) in {normalize_answer(answer) for answer in answers})
