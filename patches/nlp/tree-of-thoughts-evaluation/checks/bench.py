"""Ratios on SmolLM2-135M-Instruct, by CPU time of one thread, both sides in turn in one process.

    python checks/bench.py --out DIR [--prompts paper] [--states 8] [--rounds 5]

- Judgements of one level of the search: in one batch with the shared prefix kept, in one batch without, and one prompt at a time as
  the official code sends them. All three must give the same words.
- Decoding: one token after the other in dygraph, against the same step as a static graph. Both must give the same tokens.

How many calls batching and the known values save is no matter of time: checks/oracle.py counts them.
Strided views are off, as in real_model.py.
"""

import os
import time

os.environ["OMP_NUM_THREADS"] = "1"  # these before paddle is imported
os.environ.setdefault("FLAGS_use_stride_kernel", "0")

import numpy as np
import packages
from paddlenlp.experimental.agents.language_models import IncrementalModel, Request
from paddlenlp.experimental.agents.tree_of_thoughts import create_task

from proving.record import arguments
from proving.timing import interleave, write_benchmark

STATES = ("4 5 16", "6 9 10", "4 10 11", "6 10 20", "-1 6 10", "5 6 6", "2 4 10", "3 10")
KEPT = "one batch, prefix kept"


def measured(sides, rounds):
    """Samples of sides that must answer the same; the comparison is the warm-up."""
    answers = [side() for side in sides.values()]
    assert all(answer == answers[0] for answer in answers), "the sides do not do the same work: %s" % answers
    return interleave(sides, rounds=rounds, warmup=0, clock=time.process_time)


def batching(kept, args):
    task = create_task("game24", args.prompts, "lenient", packages.assets())
    prompts = [task.value_prompt("", "x (left: %s)\n" % numbers) for numbers in STATES[: args.states]]
    requests = [Request(prompt, 1, temperature=0, max_tokens=args.tokens) for prompt in prompts]
    models = {
        KEPT: kept,
        "one batch": IncrementalModel(kept.model, kept.tokenizer, reuse_prefix=False),
        "one at a time": IncrementalModel(kept.model, kept.tokenizer, reuse_prefix=False, max_rows=1),
    }

    def side(model):
        return lambda: [completion.texts for completion in model.complete(requests)]

    samples = measured({name: side(model) for name, model in models.items()}, args.rounds)
    lengths = [len(kept.tokenizer(prompt)["input_ids"]) for prompt in prompts]
    name = "%d judgements of %d tokens after %d" % (len(prompts), args.tokens, np.median(lengths))
    return [{"name": name, "ours": KEPT, "against": against, "samples": samples} for against in ("one batch", "one at a time")]


def decoding(model, args):
    prompt = "The capital of France is"

    def side(graph):
        def run():
            model.engine.graph = graph
            return model.complete([Request(prompt, args.batch, temperature=0, max_tokens=args.steps)])[0].texts

        return run

    sides = {graph: side(graph) for graph in ("static", "dygraph")}
    sides["static"]()
    if model.engine.graph != "static":
        print("this paddle cannot make the model a static graph; there is nothing to compare")
        return []
    samples = measured(sides, args.rounds)
    speed = {graph: args.batch * args.steps / np.median(ms) * 1e3 for graph, ms in samples.items()}
    name = "decoding %d x %d tokens (%.1f and %.1f tokens a CPU second)" % (
        args.batch, args.steps, speed["static"], speed["dygraph"],
    )  # fmt: skip
    return [{"name": name, "ours": "static", "against": "dygraph", "samples": samples}]


def options(parser):
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompts", choices=["en", "paper"], default="en", help="en is short")
    parser.add_argument("--states", type=int, default=2, help="prompts of the level, at most %d" % len(STATES))
    parser.add_argument("--tokens", type=int, default=2, help="tokens of a judgement")
    parser.add_argument("--batch", type=int, default=4, help="sequences decoded at once")
    parser.add_argument("--steps", type=int, default=6, help="tokens decoded of each")


def main():
    args = arguments(options)
    model = IncrementalModel.from_pretrained(packages.smollm2())
    rows = batching(model, args) + decoding(model, args)
    write_benchmark(args.out, rows)
    for row in rows:
        ratios = np.divide(row["samples"][row["ours"]], row["samples"][row["against"]])
        spread = "%.3f (%.3f to %.3f)" % (np.median(ratios), ratios.min(), ratios.max())
        print("%s, %s against %s: %s" % (row["name"], row["ours"], row["against"], spread))


if __name__ == "__main__":
    main()
