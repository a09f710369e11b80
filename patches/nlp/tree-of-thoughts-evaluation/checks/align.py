"""Logic parity with princeton-nlp/tree-of-thought-llm, and parity of the language model that the change can carry over.

- search: nine recorded runs of the official solve() and naive_solve() with a deterministic language model are replayed. The
  prompts (by sha256), their order, their numbers of answers, the states, values and selections of every level must be the
  official ones. Each run is also replayed with equal prompts merged, where the calls are fewer and everything else the same.
- verdict: what is right in the Game of 24, on the stored cases of the official test_output and on seeded random expressions
  against sympy.simplify, which the official code uses.
- parse: how answers become values, votes, comparisons and numbers, and the sha256 of prompts.
- chat: what --parse lenient reads of 200 answers in the manner of ten chat models.
- tokens: SmolLM2's tokenizer against HuggingFace tokenizers.
- forward, next_token: SmolLM2-135M-Instruct as PaddleNLP's LLaMA against a plain numpy model that reads the same GGUF file in
  its own layout (neighbours are rotated), in float64.
"""

import json
import os
import random

import numpy as np
import packages
from paddlenlp.experimental.agents.language_models import IncrementalModel, Request
from paddlenlp.experimental.agents.tree_of_thoughts import SearchConfig, create_task, drive, search
from replay import Replay, digest

from proving.record import Recorder, arguments

RANDOM_EXPRESSIONS = 400
PROMPTS = (
    "The capital of France is",
    "<|im_start|>user\nWhat is gravity?<|im_end|>\n<|im_start|>assistant\nGravity is a",
    "Input: 2 8 8 14\nPossible next steps:\n2 + 8 = 10 (left: 8 10 14)\n8 / 2 = 4 (left: 4 8 14)\nInput: 4 5 6 10\n",
)


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
    game, text = tasks["game24"], tasks["text"]
    add = recorder.add
    values = [game.value("", case["y"], case["outputs"]) for case in stored["value"]]
    add("parse", "value", np.array(values, float), np.array([case["value"] for case in stored["value"]], float))
    for i, case in enumerate(stored["vote"]):
        add("parse", "vote%d" % i, np.array(text.votes(case["outputs"], case["n"])), np.array(case["votes"]))
    compared = [text.compared(case["output"]) for case in stored["compare"]]
    add("parse", "compare", np.array(compared, float), np.array([case["value"] for case in stored["compare"]], float))
    from paddlenlp.experimental.agents.tree_of_thoughts.tasks.game24 import current_numbers

    cases = stored["current_numbers"]
    add("parse", "numbers", code([current_numbers(case["y"]) for case in cases]), code([case["numbers"] for case in cases]))
    prompts = {
        "propose": [game.propose_prompt(case["x"], case["y"]) for case in stored["propose_prompt"]],
        "value": [game.value_prompt(case["x"], case["y"]) for case in stored["value_prompt"]],
        "standard": [game.sample_prompt("standard", case["x"], case["y"]) for case in stored["standard_prompt"]],
        "cot": [game.sample_prompt("cot", case["x"], "") for case in stored["cot_prompt"]],
        "vote": [text.vote_prompt(case["x"], case["ys"]) for case in stored["vote_prompt"]],
    }
    for name, made in prompts.items():
        add("parse", "prompt." + name, code(made), raw([case["sha256"] for case in stored[name + "_prompt"]]))


def chat(recorder, cases):
    """Whether each answer in the manner of a chat model is read as it must be."""
    from paddlenlp.experimental.agents.tree_of_thoughts import reading

    words = create_task("crosswords", "en", "lenient", puzzles=[])

    def read(kind, given, text):
        if kind == "moves":
            return reading.moves(text, reading.numbers_of(given))
        if kind == "expression":
            return (reading.expression(text, given.split()) or "").replace(" ", "")
        if kind == "words":
            return [word for word, _ in words._listed(text)]
        return getattr(reading, kind)(text)

    for manner in sorted({case[0] for case in cases}):
        got, own = [], [case[1:] for case in cases if case[0] == manner]
        for kind, given, text, want in own:
            want = (want or "").replace(" ", "") if kind == "expression" else want
            got.append(read(kind, given, text) == want)
            if not got[-1]:
                print("%s, %s: %r is read as %r" % (manner, kind, text, read(kind, given, text)))
        recorder.add("chat", manner, np.array(got), np.ones(len(own), bool))


# ---------------------------------------------------------------------- the language model


class Plain:
    """LLaMA in numpy, float64, straight from a GGUF file."""

    def __init__(self, path):
        import gguf

        reader = gguf.GGUFReader(path)
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.field = lambda name: reader.fields[name].contents()
        self.dequantize = gguf.quants.dequantize

    def __getitem__(self, name):
        tensor = self.tensors[name]
        return self.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)

    def __call__(self, sequences):
        """Logits of each sequence of ids; a weight is read once for all of them."""
        heads, kv = self.field("llama.attention.head_count"), self.field("llama.attention.head_count_kv")
        size = self.field("llama.embedding_length") // heads
        epsilon, base = self.field("llama.attention.layer_norm_rms_epsilon"), self.field("llama.rope.freq_base")
        embedding = self["token_embd.weight"]
        states = [embedding[ids] for ids in sequences]

        def norm(x, weight):
            return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * weight

        def rotate(x):
            angle = np.arange(len(x))[:, None] * base ** (-np.arange(0, size, 2) / size)[None]
            turn = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angle)[:, None]
            return np.stack([turn.real, turn.imag], axis=-1).reshape(x.shape)

        for i in range(self.field("llama.block_count")):
            w = {name: self["blk.%d.%s.weight" % (i, name)] for name in LAYER}
            for k, x in enumerate(states):
                h, n = norm(x, w["attn_norm"]), len(x)
                q = rotate((h @ w["attn_q"].T).reshape(n, heads, size))
                keys = rotate((h @ w["attn_k"].T).reshape(n, kv, size)).repeat(heads // kv, axis=1)
                values = (h @ w["attn_v"].T).reshape(n, kv, size).repeat(heads // kv, axis=1)
                scores = np.einsum("qhd,khd->hqk", q, keys) / np.sqrt(size)
                scores = np.where(np.tril(np.ones((n, n), bool)), scores, -np.inf)
                chance = np.exp(scores - scores.max(-1, keepdims=True))
                chance /= chance.sum(-1, keepdims=True)
                x = x + np.einsum("hqk,khd->qhd", chance, values).reshape(n, -1) @ w["attn_output"].T
                h = norm(x, w["ffn_norm"])
                gate = h @ w["ffn_gate"].T
                states[k] = x + (gate / (1 + np.exp(-gate)) * (h @ w["ffn_up"].T)) @ w["ffn_down"].T
        last = self["output_norm.weight"]
        return [norm(x, last) @ embedding.T for x in states]


LAYER = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")


def language_model(recorder, stored):
    import paddle

    folder = packages.smollm2()
    model = IncrementalModel.from_pretrained(folder)
    for i, case in enumerate(stored):
        # an empty text has no ids: their number comes first, so that the pair proves something
        ids = model.tokenizer(case["text"])["input_ids"]
        recorder.add("tokens", "text%d" % i, np.array([len(ids), *ids]), np.array([len(case["ids"]), *case["ids"]]))
    sequences = [model.tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    plain = Plain(packages.gguf_file())
    wanted = plain(sequences)
    for i, (ids, want) in enumerate(zip(sequences, wanted)):
        with paddle.no_grad():
            got = model.model(input_ids=paddle.to_tensor([ids]), return_dict=True).logits[0].numpy()
        recorder.add("forward", "prompt%d.logits" % i, got, want.astype(np.float32))
        recorder.add("next_token", "prompt%d.argmax" % i, got.argmax(-1), want.argmax(-1))
    # Greedy answers through the engine (batch, padding, kept keys and values) against the plain model, token by token.
    answers = [c.texts[0] for c in model.complete([Request(prompt, temperature=0, max_tokens=4) for prompt in PROMPTS])]
    running = [list(ids) for ids in sequences]
    for _ in range(4):
        for ids, logits in zip(running, plain(running)):
            ids.append(int(logits[-1].argmax()))
    texts = [model._text(ids, whole[len(ids) :]) for ids, whole in zip(sequences, running)]
    recorder.add("next_token", "answers", code(answers), code(texts))
    recorder.add("next_token", "capital_of_france", code(answers[0][:7]), code(" Paris."))


def main():
    args = arguments()
    recorder = Recorder(args.out)
    folder = packages.assets()
    tasks = {name: create_task(name, "paper", assets=folder) for name in ("game24", "text")}
    replay_runs(recorder, tasks, read(args.reference, "bfs_transcripts.json")["runs"])
    verdicts(recorder, tasks["game24"], read(args.reference, "game24_test_output.json")["cases"])
    parsing(recorder, tasks, read(args.reference, "unwrap_cases.json"))
    chat(recorder, read(args.reference, "chat_answers.json"))
    language_model(recorder, read(args.reference, "smollm2_tokens.json"))
    recorder.write()


if __name__ == "__main__":
    main()
