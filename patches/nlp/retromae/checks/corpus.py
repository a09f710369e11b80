"""Real retrieval data: the documentation inside the packages of the environment.

A query is the first sentence of a docstring ("Compute the arithmetic mean along the specified axis"), its one relevant
passage is the rest of the same docstring (parameters, returns, notes), with every copy of the first sentence taken out.
People wrote both. The packages are pinned with hashes, so the data is the same everywhere. Queries are split by a hash of their
text; a query or a passage that occurs twice is left out altogether.
"""

import ast
import collections
import hashlib
import importlib.util
import inspect
import json
import os
import re

import assets

PACKAGES = ("numpy", "scipy", "pandas", "sklearn", "skimage", "matplotlib")
WORDS = 160


def docstrings(package):
    """(name, docstring) of every public function and class, read without importing anything."""
    root = os.path.dirname(importlib.util.find_spec(package).origin)
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in ("tests", "testing", "_vendor", "externals"))
        for file in sorted(files):
            if not file.endswith(".py"):
                continue
            with open(os.path.join(folder, file), encoding="utf-8", errors="replace") as stream:
                try:
                    tree = ast.parse(stream.read())
                except SyntaxError:
                    continue
            for node in ast.walk(tree):
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                    text = ast.get_docstring(node)
                    if text:
                        yield "%s.%s" % (package, node.name), inspect.cleandoc(text)


def plain(text):
    """Words and sentences without the marks of reStructuredText."""
    text = re.sub(r">>>.*|\.\.\. .*", " ", text)  # examples
    text = re.sub(r":\w+:`~?([^`]*)`", r"\1", text)
    text = re.sub(r"[-=~^]{3,}|[`*]|\.\. \w+::", " ", text)
    return " ".join(text.split())


def pairs():
    """[(query, passage)], without doubles, in a fixed order; read once a version of this file."""
    target = os.path.join(assets.CACHE, "docstrings-%s.json" % assets.sha256(__file__)[:12])
    if not os.path.isfile(target):
        os.makedirs(assets.CACHE, exist_ok=True)
        with open(target + ".%d" % os.getpid(), "w", encoding="utf-8") as stream:
            json.dump(read_pairs(), stream)
        os.replace(stream.name, target)
    with open(target, encoding="utf-8") as stream:
        return [tuple(pair) for pair in json.load(stream)]


def read_pairs():
    found = []
    for package in PACKAGES:
        for _, text in docstrings(package):
            head, _, rest = text.partition("\n\n")
            query, passage = plain(head).rstrip("."), plain(rest)
            passage = " ".join(passage.replace(query, " ").split()[:WORDS])
            if 4 <= len(query.split()) <= 25 and len(passage.split()) >= 25:
                found.append((query, passage))
    queries = collections.Counter(query.lower() for query, _ in found)
    passages = collections.Counter(passage[:200] for _, passage in found)
    kept = [(q, p) for q, p in found if queries[q.lower()] == 1 and passages[p[:200]] == 1]
    return sorted(kept, key=lambda pair: hashlib.sha256(pair[0].encode()).hexdigest())


def splits(test, extra=None):
    """Training rows, and the retrieval task of `test` held-out queries.

    Args:
        test (int): held-out queries. Their passages are never trained on.
        extra (int, optional): passages of the training part that stand in the corpus too, as distractors. Default: all.

    Returns:
        tuple: training pairs; corpus rows (`id`, `text`); query rows (`id`, `text`, `relevant`).
    """
    everything = pairs()
    held, training = everything[:test], everything[test:]
    passages = [passage for _, passage in held + (training if extra is None else training[:extra])]
    corpus = [{"id": "p%d" % i, "text": passage} for i, passage in enumerate(passages)]
    queries = [{"id": "q%d" % i, "text": query, "relevant": {"p%d" % i: 1}} for i, (query, _) in enumerate(held)]
    return training, corpus, queries
