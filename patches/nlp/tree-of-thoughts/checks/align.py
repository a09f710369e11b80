"""Logic parity with princeton-nlp/tree-of-thought-llm, Game of 24, and the reading of chat models.

- search: the recorded runs of the official solve() and naive_solve() with a deterministic language model are replayed. The
  prompts (by sha256), their order, their numbers of answers, the states, values and selections of every level must be the
  official ones. Each run is also replayed with equal prompts merged, where the calls are fewer and everything else the same.
- verdict: what is right in the Game of 24, on the stored cases of the official test_output and on seeded random expressions
  against sympy.simplify, which the official code uses.
- parse: how answers become values and numbers, and the sha256 of prompts.
- chat: what parse "lenient" reads of 182 answers in the manner of ten chat models.
"""

import json
import os
import random

import numpy as np
import packages
from paddlenlp.experimental.agents.tree_of_thoughts import Game24, SearchConfig, drive, search
from replay import Replay, digest

from proving.record import Recorder, arguments

RANDOM_EXPRESSIONS = 400


def read(reference, name):
    with open(os.path.join(reference, name), encoding="utf-8") as stream:
        return json.load(stream)


def code(texts):
    """Texts as numbers that can be compared: a row of 32 bytes for each."""
    texts = [texts] if isinstance(texts, str) else texts
    return np.array([list(bytes.fromhex(digest(text))) for text in texts], np.uint8).reshape(len(texts), 32)


def raw(digests):
    return np.array([list(bytes.fromhex(d)) for d in digests], np.uint8).reshape(len(digests), 32)


# ---------------------------------------------------------------------- search


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


# ---------------------------------------------------------------------- verdict and parse


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
    import itertools
    from fractions import Fraction

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
    import re

    return re.findall(r"\d+|\D", text)


def parsing(recorder, tasks, stored):
    game, add = tasks["game24"], recorder.add
    values = [game.value("", case["y"], case["outputs"]) for case in stored["value"]]
    add("parse", "value", np.array(values, float), np.array([case["value"] for case in stored["value"]], float))
    from paddlenlp.experimental.agents.tree_of_thoughts.tasks.game24 import current_numbers

    cases = stored["current_numbers"]
    add("parse", "numbers", code([current_numbers(case["y"]) for case in cases]), code([case["numbers"] for case in cases]))
    prompts = {
        "propose": [game.propose_prompt(case["x"], case["y"]) for case in stored["propose_prompt"]],
        "value": [game.value_prompt(case["x"], case["y"]) for case in stored["value_prompt"]],
        "standard": [game.sample_prompt("standard", case["x"], case["y"]) for case in stored["standard_prompt"]],
        "cot": [game.sample_prompt("cot", case["x"], "") for case in stored["cot_prompt"]],
    }
    for name, made in prompts.items():
        add("parse", "prompt." + name, code(made), raw([case["sha256"] for case in stored[name + "_prompt"]]))


def chat(recorder, cases):
    """Whether each answer in the manner of a chat model is read as it must be."""
    from paddlenlp.experimental.agents.tree_of_thoughts import reading

    def read(kind, given, text):
        if kind == "moves":
            return reading.moves(text, reading.numbers_of(given))
        if kind == "expression":
            return (reading.expression(text, given.split()) or "").replace(" ", "")
        return getattr(reading, kind)(text)

    for manner in sorted({case[0] for case in cases}):
        got, own = [], [case[1:] for case in cases if case[0] == manner and case[1] != "words"]
        for kind, given, text, want in own:
            want = (want or "").replace(" ", "") if kind == "expression" else want
            got.append(read(kind, given, text) == want)
            if not got[-1]:
                print("%s, %s: %r is read as %r" % (manner, kind, text, read(kind, given, text)))
        recorder.add("chat", manner, np.array(got), np.ones(len(own), bool))


def main():
    args = arguments()
    recorder = Recorder(args.out)
    tasks = {"game24": Game24(packages.puzzles(), packages.prompts())}
    runs = read(args.reference, "bfs_transcripts.json")["runs"]
    replay_runs(recorder, tasks, [run for run in runs if run["task"] in tasks])
    verdicts(recorder, tasks["game24"], read(args.reference, "game24_test_output.json")["cases"])
    parsing(recorder, tasks, read(args.reference, "unwrap_cases.json"))
    chat(recorder, read(args.reference, "chat_answers.json"))
    recorder.write()


if __name__ == "__main__":
    main()
