"""Logic parity with princeton-nlp/tree-of-thought-llm: a model that answers from a recorded run, and what is compared with it.

`nlp-tree-of-thoughts-evaluation` takes this, too, for the tasks that it adds.
"""

import hashlib
import itertools
import json
import os
import random
import re
from fractions import Fraction

import numpy as np
from paddlenlp.experimental.agents.language_models import Completion, LanguageModel
from paddlenlp.experimental.agents.tree_of_thoughts import SearchConfig, drive, reading, search

RANDOM_EXPRESSIONS = 400
REFERENCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference")


def digest(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


class Replay(LanguageModel):
    """Answers to a prompt are handed out in the order in which they were recorded.

    `recorded`: (sha256 of the prompt, stop or None, answers) of each call. `calls` holds (sha256, n) of what was asked.
    """

    name = "replay"

    def __init__(self, recorded):
        self.calls = []
        self._left = {}
        for prompt, stop, texts in recorded:
            self._left.setdefault((prompt, stop), []).extend(texts)

    def complete(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        key = (digest(request.prompt), request.stop[0] if request.stop else None)
        self.calls.append((key[0], request.n))
        left = self._left.get(key, [])
        if len(left) < request.n:
            raise AssertionError("%d answers wanted, %d recorded, for ...%r" % (request.n, len(left), request.prompt[-100:]))
        texts, self._left[key] = left[: request.n], left[request.n :]
        return Completion(texts)

    def unused(self):
        return sum(len(texts) for texts in self._left.values())


def read(reference, name):
    with open(os.path.join(reference, name), encoding="utf-8") as stream:
        return json.load(stream)


def code(texts):
    """Texts as numbers that can be compared: a row of 32 bytes for each."""
    texts = [texts] if isinstance(texts, str) else texts
    return np.array([list(bytes.fromhex(digest(text))) for text in texts], np.uint8).reshape(len(texts), 32)


def raw(digests):
    return np.array([list(bytes.fromhex(d)) for d in digests], np.uint8).reshape(len(digests), 32)


def settings(run):
    a = run["args"]
    common = dict(n_generate=a["n_generate_sample"], temperature=a["temperature"], prompt_style=a["prompt_sample"] or "cot")
    if run["naive"]:
        return SearchConfig(method="sample", select="all", **common)
    return SearchConfig(
        generate=a["method_generate"], evaluate=a["method_evaluate"], select=a["method_select"],
        n_evaluate=a["n_evaluate_sample"], n_select=a["n_select_sample"], seed=run["numpy_seed"] or 0, **common,
    )  # fmt: skip


def replay_runs(recorder, tasks, runs):
    for number, run in enumerate(runs):
        task = tasks[run["task"]]
        calls = run["calls"][: run["calls_during_solve"]]
        for merge in (False, True):
            key = "run%d.%s." % (number, "merged" if merge else "official")
            model = Replay([(c["prompt_sha256"], c["stop"], c["outputs"]) for c in run["calls"]])
            result = drive(search(task, task.input(run["index"]), settings(run)), model, merge=merge)

            def add(name, got, want, key=key):
                recorder.add("search", key + name, got, want)

            add("steps", len(result.steps), len(run["steps"]))
            for i, (got, want) in enumerate(zip(result.steps, run["steps"])):
                add("level%d.frontier" % i, code(got.frontier), code(want["ys"]))
                add("level%d.candidates" % i, code(got.candidates), code(want["new_ys"]))
                add("level%d.values" % i, np.array(got.values, float), np.array(want["values"], float))
                add("level%d.selected" % i, code([got.candidates[j] for j in got.selected]), code(want["select_new_ys"]))
            add("outputs", code(result.outputs), code(run["ys"]))
            if merge:
                prompts = {digest_ for digest_, _ in model.calls}
                add("prompts", len(prompts), len({c["prompt_sha256"] for c in calls}))
                add("answers", sum(n for _, n in model.calls), sum(c["n"] for c in calls))
            else:
                add("calls.prompts", raw([d for d, _ in model.calls]), raw([c["prompt_sha256"] for c in calls]))
                add("calls.n", np.array([n for _, n in model.calls]), np.array([c["n"] for c in calls]))
            scores = [drive(task.score(run["index"], y), model) for y in result.outputs]
            add("rewards", np.array([s["r"] for s in scores], float), np.array([s["r"] for s in run["test_output"]], float))
            add("unused", model.unused(), 0)


def verdicts(recorder, task, cases):
    got = [drive(task.score(case["index"], case["output"]), None)["r"] for case in cases]
    recorder.add("verdict", "stored", np.array(got), np.array([case["r"] for case in cases]))
    import sympy

    generator = random.Random(24)
    ours, theirs = [], []
    for _ in range(RANDOM_EXPRESSIONS):
        numbers = [str(generator.randint(1, 13)) for _ in range(4)]
        expression = random_expression(generator, numbers)
        ours.append(int(task.correct(" ".join(numbers), "Answer: %s = 24" % expression)))
        try:
            theirs.append(int(sympy.simplify(expression) == 24))
        except Exception:  # the official code calls any failure wrong
            theirs.append(0)
    recorder.add("verdict", "random", np.array(ours), np.array(theirs))


def random_expression(generator, numbers):
    """Half of them are worth 24: a value that is near is nudged there by the choice of operators."""
    signs = ("+", "-", "*", "/")
    shapes = ("({0} {4} {1}) {5} ({2} {6} {3})", "(({0} {4} {1}) {5} {2}) {6} {3}", "{0} {4} ({1} {5} ({2} {6} {3}))")
    shape = generator.choice(shapes)
    choices = list(itertools.product(signs, repeat=3))
    generator.shuffle(choices)
    texts = [shape.format(*numbers, *choice) for choice in choices]
    if generator.random() < 0.5:
        for text in texts:
            try:
                exact = "".join("Fraction(%s)" % word if word.isdigit() else word for word in split(text))
                if eval(exact, {"Fraction": Fraction}) == 24:  # our own text
                    return text
            except ZeroDivisionError:
                continue
    return texts[0]


def split(text):
    return re.findall(r"\d+|\D", text)


def chat(recorder, cases, more=()):
    """Whether each answer in the manner of a chat model is read as it must be.

    `more`: {kind: function(given, text)} for kinds that the reading module does not have.
    """
    kinds = {
        "moves": lambda given, text: reading.moves(text, reading.numbers_of(given)),
        "expression": lambda given, text: (reading.expression(text, given.split()) or "").replace(" ", ""),
    }
    kinds.update({kind: lambda given, text, kind=kind: getattr(reading, kind)(text) for kind in ("verdict", "choice", "rating")})
    kinds.update(more)
    for manner in sorted({case[0] for case in cases}):
        got, own = [], [case[1:] for case in cases if case[0] == manner]
        for kind, given, text, want in own:
            want = (want or "").replace(" ", "") if kind == "expression" else want
            got.append(kinds[kind](given, text) == want)
            if not got[-1]:
                print("%s, %s: %r is read as %r" % (manner, kind, text, kinds[kind](given, text)))
        recorder.add("chat", manner, np.array(got), np.ones(len(own), bool))
