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
Metrics of captions by `pycocoevalcap`: BLEU-1 to -4, ROUGE-L and CIDEr, and METEOR where it is asked for.
"""

import shutil

__all__ = ["caption_scores", "tokenize_captions"]


def tokenize_captions(captions):
    """
    The official PTB tokenizer: lower case, tokens between blanks, no punctuation.

    Args:
        captions (`dict`): id -> list of captions.

    Returns:
        id -> list of tokenized captions.

    Raises:
        RuntimeError: Java is not here.
    """
    if shutil.which("java") is None:
        raise RuntimeError("the PTB tokenizer needs Java; next: install a JRE")
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    return PTBTokenizer().tokenize({key: [{"caption": one} for one in value] for key, value in captions.items()})


def caption_scores(references, captions, tokenize=True, meteor=False, per_image=False):
    """
    Scores of captions against the references of their images.

    Args:
        references (`dict`): id -> list of captions.
        captions (`dict`): id -> caption; the same ids.
        tokenize (`bool`): by the official PTB tokenizer, which needs Java; `False` takes the strings as they are.
        meteor (`bool`): METEOR as well, which needs Java.
        per_image (`bool`): the scores of the images as well.

    Returns:
        {"BLEU-1": ..., "BLEU-4", "ROUGE-L", "CIDEr", "METEOR"}: 0 to 1, CIDEr 0 to 10; with `per_image` a pair of it and
        {"ROUGE-L": {id: score}, "CIDEr": {id: score}}, whose means these two are.

    Raises:
        ValueError: other ids on one side, no captions at all, a string in place of a list of references.
        RuntimeError: Java is needed and not here.
    """
    if set(references) != set(captions) or not captions:
        alone = sorted(map(str, set(references) ^ set(captions)))
        raise ValueError(
            f"references and captions are of {len(references)} and {len(captions)} images, these stand on one side alone: {alone[:5]}"
        )
    wrong = [key for key in references if isinstance(references[key], str) or not references[key]]
    wrong += [key for key in captions if not isinstance(captions[key], str)]
    if wrong:
        raise ValueError(f"an image has a list of references and one caption (str); image {wrong[0]!r} does not")
    if (tokenize or meteor) and shutil.which("java") is None:
        raise RuntimeError(
            "the PTB tokenizer and METEOR need Java; next: install a JRE, or tokenize=False for tokenized text"
        )
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    gold = {key: list(value) for key, value in references.items()}
    ours = {key: [captions[key]] for key in gold}
    if tokenize:
        gold, ours = tokenize_captions(gold), tokenize_captions(ours)
    bleu = Bleu(4).compute_score(gold, ours, verbose=0)[0]
    made = {f"BLEU-{number + 1}": float(value) for number, value in enumerate(bleu)}
    rouge, rouges = Rouge().compute_score(gold, ours)
    cider, ciders = Cider().compute_score(gold, ours)
    made.update({"ROUGE-L": float(rouge), "CIDEr": float(cider)})
    if meteor:
        from pycocoevalcap.meteor.meteor import Meteor

        made["METEOR"] = float(Meteor().compute_score(gold, ours)[0])
    if not per_image:
        return made
    return made, {
        name: dict(zip(gold, map(float, values))) for name, values in (("ROUGE-L", rouges), ("CIDEr", ciders))
    }
