"""What the checks take from the package registry: fetched with pip once, checked against a sha256, kept in FORKLIFT_CACHE."""

import ast
import csv
import os

from proving.wheels import cache, publish, unpacked

CACHE = cache("nlp-tree-of-thoughts")
PAPER = ("tree-of-thoughts-llm", "0.1.0", "54405a3c4d07e9a86af064ed96ea3f4ee38197d286a4b5ec14f2a14ea7ba0049")  # MIT
__all__ = ["CACHE", "prompts", "publish", "puzzles"]


def _file(name):
    return open(os.path.join(unpacked(CACHE, *PAPER), "tot", name), encoding="utf-8")


def puzzles():
    """The puzzles of the paper's Game of 24."""
    with _file("data/24/24.csv") as stream:
        return [row["Puzzles"] for row in csv.DictReader(stream)]


def prompts():
    """The paper's prompts for it, by name; their module is read, not run."""
    with _file("prompts/game24.py") as stream:
        module = ast.parse(stream.read())
    found = {}
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found[node.targets[0].id[: -len("_prompt")]] = node.value.value
    return found
