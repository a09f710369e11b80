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
Metrics of InstructBLIP's evaluation (arXiv:2305.06500, section 3 and table 1).

CIDEr for captions, the VQA accuracy of ten annotators, exact match, iVQA accuracy, the accuracy of a ranking, the area under the ROC
curve, and the mean reciprocal rank. The VQA rules follow the public evaluation (GT-Vision-Lab/VQA @ a013f00, measured by its results)
and LAVIS @ 506965b, which differ: the first normalizes only if the ten answers are not all equal, the second always normalizes the
prediction and takes the annotators' answers with punctuation removed only.
"""

import re
from collections import Counter

import numpy as np

__all__ = [
    "normalize_answer",
    "vqa_accuracy",
    "ivqa_accuracy",
    "exact_match",
    "ranking_accuracy",
    "mean_reciprocal_rank",
    "roc_auc",
    "caption_scores",
]

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


def remove_punctuation(text):
    """A mark that touches a blank anywhere, or a comma in a number anywhere, is deleted; others become a blank."""
    out = text
    for mark in PUNCTUATION:
        if mark + " " in text or " " + mark in text or COMMA_IN_NUMBER.search(text):
            out = out.replace(mark, "")
        else:
            out = out.replace(mark, " ")
    return LONE_PERIOD.sub("", out, count=32)  # the public evaluation hands a flag over as the count


def normalize_words(text):
    """Lower case, numbers as digits, no articles, apostrophes of contractions."""
    words = [NUMBERS.get(word, word) for word in text.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def _plain(text):
    return text.replace("\n", " ").replace("\t", " ").strip()


def normalize_answer(text):
    """All rules for one answer."""
    return normalize_words(remove_punctuation(_plain(text)))


def vqa_accuracy(prediction, answers, rules="official"):
    """
    Accuracy of one prediction against ten annotators: the mean, over the annotators, of min(1, others that agree / 3).

    Args:
        prediction (`str`), answers (`list` of `str`)
        rules (`str`): `"official"` or `"lavis"`.

    Returns:
        0 to 1.
    """
    if rules not in ("official", "lavis"):
        raise ValueError(f"rules is {rules!r}; there are 'official' and 'lavis'")
    prediction, answers = _plain(prediction), [_plain(answer) for answer in answers]
    differ = len(set(answers)) > 1
    if rules == "lavis" or differ:
        prediction = normalize_words(remove_punctuation(prediction))
    if differ:
        answers = [remove_punctuation(answer) for answer in answers]
        if rules == "official":
            answers = [normalize_words(answer) for answer in answers]
    scores = []
    for index in range(len(answers)):
        others = answers[:index] + answers[index + 1 :]
        scores.append(min(1.0, sum(other == prediction for other in others) / 3))
    return sum(scores) / len(scores)


def ivqa_accuracy(prediction, answers):
    """iVQA: 1 if two of the five annotators gave the answer, 0.5 if one did."""
    counts = Counter(normalize_answer(answer) for answer in answers)
    return min(counts[normalize_answer(prediction)] / 2, 1.0)


def exact_match(prediction, answers):
    """1 if the normalized prediction is one of the normalized answers, else 0."""
    answers = [answers] if isinstance(answers, str) else answers
    return float(normalize_answer(prediction) in {normalize_answer(answer) for answer in answers})


def ranking_accuracy(losses, gold):
    """Share of rows of [N, K] whose least loss stands at `gold` [N]."""
    return float((np.argmin(losses, axis=1) == np.asarray(gold)).mean())


def mean_reciprocal_rank(losses, gold):
    """Mean of 1 / rank of `gold` among the candidates; a candidate with the same loss counts as better."""
    losses, gold = np.asarray(losses), np.asarray(gold)
    own = losses[np.arange(len(gold)), gold][:, None]
    return float((1.0 / (losses <= own).sum(axis=1)).mean())


def roc_auc(scores, labels):
    """Area under the ROC curve of scores [N] for labels [N] of 0 and 1; equal scores count half."""
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels).astype(bool)
    if labels.all() or not labels.any():
        raise ValueError("the area under the ROC curve needs both labels")
    positive, negative = scores[labels][:, None], scores[~labels][None]
    return float(((positive > negative) + 0.5 * (positive == negative)).mean())


def caption_scores(references, captions, tokenize=True):
    """
    BLEU-1 to -4, ROUGE-L and CIDEr by `pycocoevalcap`.

    Args:
        references (`dict`): id -> list of captions.
        captions (`dict`): id -> caption.
        tokenize (`bool`): the official PTB tokenizer, which needs Java; `False` takes the strings as they are.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    if set(references) != set(captions):
        raise ValueError("references and captions are of different images")
    gold = {key: list(value) for key, value in references.items()}
    ours = {key: [value] for key, value in captions.items()}
    if tokenize:
        from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

        tokenizer = PTBTokenizer()
        gold, ours = (
            tokenizer.tokenize({key: [{"caption": one} for one in value] for key, value in each.items()})
            for each in (gold, ours)
        )
    bleu = Bleu(4).compute_score(gold, ours, verbose=0)[0]
    made = {f"BLEU-{number + 1}": float(value) for number, value in enumerate(bleu)}
    made["ROUGE-L"] = float(Rouge().compute_score(gold, ours)[0])
    made["CIDEr"] = float(Cider().compute_score(gold, ours)[0])
    return made
