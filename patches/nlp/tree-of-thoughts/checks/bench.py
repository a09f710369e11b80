"""Ratios on SmolLM2-135M-Instruct, both sides measured in one run.

- A batch of judgements as a level of the search makes them (each prompt is a long shared prefix and a few numbers): in one batch
  with the prefix kept, in one batch without, and one prompt at a time as the official code sends them.
- Tokens per second of decoding: one step after the other in dygraph against the same step as a static graph.

Strided views are off, as in real_model.py.
"""

import os

os.environ.setdefault("FLAGS_use_stride_kernel", "0")  # before paddle is imported

import numpy as np
import packages
from paddlenlp.experimental.agents.language_models import PaddleNLPModel, Request
from paddlenlp.experimental.agents.tree_of_thoughts import create_task

from alignment.record import arguments
from alignment.timing import interleave, write_benchmark

STATES = ("4 5 16", "6 9 10", "4 10 11", "6 10 20", "-1 6 10", "5 6 6", "2 4 10", "3 10")


def level(task, states, choices, tokens):
    prompts = [task.value_prompt("", "x (left: %s)\n" % numbers) for numbers in STATES[:states]]
    return [Request(prompt, choices, temperature=0.7, max_tokens=tokens) for prompt in prompts]


def batching(folder, args):
    task = create_task("game24", "paper", "lenient", packages.assets())
    kept = PaddleNLPModel.from_pretrained(folder)
    plain = PaddleNLPModel(kept.model, kept.tokenizer, reuse_prefix=False)
    single = PaddleNLPModel(kept.model, kept.tokenizer, reuse_prefix=False, max_rows=1)
    requests = level(task, args.states, args.choices, args.tokens)
    sides = {
        "one batch, prefix kept": lambda: kept.complete(requests),
        "one batch": lambda: plain.complete(requests),
        "one at a time": lambda: single.complete(requests),
    }
    samples = interleave(sides, rounds=args.rounds, warmup=1)
    name = "%d judgements x%d, %d tokens" % (len(requests), args.choices, args.tokens)
    ours = "one batch, prefix kept"
    return kept, [
        {"name": name, "ours": ours, "against": against, "samples": samples} for against in ("one batch", "one at a time")
    ]


def decoding(model, args):
    """The same greedy tokens by both kinds of graph, `args.steps` after the prompt."""
    ids = model.tokenizer("The capital of France is")["input_ids"]
    rows = []
    for batch in args.batches:

        def run(graph, batch=batch):
            model.engine.graph = graph
            (completion,) = model.complete([Request("The capital of France is", batch, temperature=0, max_tokens=args.steps)])
            return completion

        texts = run("static").texts
        if model.engine.graph != "static":
            print("this paddle cannot make the model a static graph; there is nothing to compare")
            return rows
        assert texts == run("dygraph").texts, "static and dygraph decode differently"
        samples = interleave({g: (lambda g=g: run(g)) for g in ("static", "dygraph")}, rounds=args.rounds, warmup=1)
        speed = {g: batch * args.steps / np.median(ms) * 1e3 for g, ms in samples.items()}
        name = "decode %d x %d tokens after %d (%.1f against %.1f tokens/s)" % (
            batch, args.steps, len(ids), speed["static"], speed["dygraph"],
        )  # fmt: skip
        rows.append({"name": name, "ours": "static", "against": "dygraph", "samples": samples})
    return rows


def options(parser):
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--states", type=int, default=3, help="prompts of a level, at most %d" % len(STATES))
    parser.add_argument("--choices", type=int, default=1, help="answers to each prompt")
    parser.add_argument("--tokens", type=int, default=2, help="tokens of an answer")
    parser.add_argument("--steps", type=int, default=8, help="tokens decoded")
    parser.add_argument("--batches", type=int, nargs="*", default=[4])


def main():
    args = arguments(options)
    model, rows = batching(packages.smollm2(), args)
    write_benchmark(args.out, rows + decoding(model, args))


if __name__ == "__main__":
    main()
