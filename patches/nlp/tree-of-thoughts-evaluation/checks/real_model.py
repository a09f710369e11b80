"""A real open model that anybody can have: SmolLM2-135M-Instruct (Apache-2.0), converted to PaddleNLP's LLaMA, on the Game of 24.

The score is what it is; a model of 135 million parameters is not expected to play the game. What must hold is that the whole way
works on a real model: its proposals are read, its judgements are read, runs repeat, and batching and kept prefixes save work.

`--budget short` (CI) takes one puzzle and short answers, `--budget long` (evidence/smollm2.json) five puzzles with more
answers. The answers allowed are shorter than the paper's 1000 tokens, and long enough for the form that is asked for.

Strided views are off: with them Paddle 2.6.2 takes 57 ms instead of 27 ms of CPU for one layer's attention of a single step here
(two matmuls of views, 8 rows, 495 tokens), because a transposed view is first copied element by element.
"""

import json
import os
import re
import time
from fractions import Fraction

os.environ.setdefault("FLAGS_use_stride_kernel", "0")  # before paddle is imported

import packages
from paddlenlp.experimental.agents.language_models import IncrementalModel
from paddlenlp.experimental.agents.tree_of_thoughts import create_task
from paddlenlp.experimental.agents.tree_of_thoughts.evaluation import evaluate, preset, read_log, summarize
from paddlenlp.experimental.agents.tree_of_thoughts.report import draw_tree, success_table

from proving.record import arguments, write_metrics

# The prompts are examples to be continued, so the model continues them (plain) and is stopped at the next example.
MODEL = dict(prompt_format="plain", stop=("\nInput:",))
BUDGETS = {
    "short": dict(puzzles=range(900, 901), samples=3, evaluations=1, b=1, tokens={"io": 24, "cot": 32, "tot": 48}),
    "long": dict(puzzles=range(900, 905), samples=4, evaluations=1, b=1, tokens={"io": 24, "cot": 64, "tot": 40}),
}
MOVE = re.compile(r"^(\S+) ([-+*/]) +(\S+) = (\S+) \(left: ([^()]+)\)$")


class Watched(IncrementalModel):
    """Keeps every request with its answers, and the seconds spent."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen, self.seconds = [], 0.0

    def complete(self, requests):
        start = time.perf_counter()
        completions = super().complete(requests)
        self.seconds += time.perf_counter() - start
        self.seen += [(request, text) for request, completion in zip(requests, completions) for text in completion.texts]
        return completions


def legal(line, before):
    """Whether a move takes two of the numbers, computes right, and says rightly what is left."""
    match = MOVE.match(line)
    try:
        a, sign, b, c, left = match.groups()
        a, b, c = Fraction(a), Fraction(b), Fraction(c)
        rest = sorted(Fraction(n) for n in before.split())
        rest.remove(a)
        rest.remove(b)
        value = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else None}[sign]
        return value == c and sorted(rest + [c]) == sorted(Fraction(n) for n in left.split())
    except (AttributeError, ValueError, ZeroDivisionError):
        return False


def quality(task, records, model):
    """How well proposals and judgements of the searches are formed."""
    from paddlenlp.experimental.agents.tree_of_thoughts.tasks.game24 import current_numbers

    read = right = judged = understood = 0
    for record in records:
        for _number, step in enumerate(record["steps"][:3]):
            for parent, candidate in zip(step["parents"], step["candidates"]):
                before = step["frontier"][parent]
                read += 1
                right += legal(candidate[len(before) :].strip(), current_numbers(before or record["input"]))
    for request, text in model.seen:
        if request.shared:
            judged += 1
            understood += bool(task._word(text))
    return {"moves_read": read, "moves_right": right, "judgements": judged, "judgements_read_share": understood / max(1, judged)}


def main():
    args = arguments(lambda p: p.add_argument("--budget", choices=sorted(BUDGETS), default="short"))
    budget = BUDGETS[args.budget]
    task = create_task("game24", "paper", "lenient", packages.assets())
    model = Watched.from_pretrained(packages.smollm2(), **MODEL)
    metrics, logs = {}, []
    for method in ("io", "cot", "tot"):
        changes = dict(max_tokens=budget["tokens"][method])
        if method == "tot":
            changes.update(n_evaluate=budget["evaluations"], n_select=budget["b"])
        else:
            changes.update(n_generate=budget["samples"])
        log = os.path.join(args.out, method + ".jsonl")
        before = (model.seconds, model.engine.computed_tokens, model.engine.reused_tokens)
        records = evaluate(task, model, preset("game24", method, **changes), budget["puzzles"], log, in_flight=5, progress=False)
        summary = summarize(records)
        logs.append(log)
        seconds = model.seconds - before[0]
        metrics.update({"%s_%s" % (method, name): 100 * summary[name] for name in ("mean", "any")})
        metrics[method + "_prompts_a_puzzle"] = summary["sent"]
        metrics[method + "_tokens"] = summary["completion_tokens"]
        metrics[method + "_tokens_per_second"] = summary["completion_tokens"] / seconds
        metrics[method + "_tokens_computed"] = model.engine.computed_tokens - before[1]
        metrics[method + "_tokens_reused"] = model.engine.reused_tokens - before[2]
        if method == "io":
            said = [text for record in records for text in record["outputs"]]
            metrics["io_with_an_answer_share"] = sum("answer:" in text.lower() for text in said) / len(said)
            # The same requests again, alone: nothing may depend on what else was in the batch.
            request, text = model.seen[0]
            metrics["repeats"] = float(model.complete([request.with_n(1)])[0].texts[0] == text)
        if method == "tot":
            metrics.update(quality(task, records, model))
            draw_tree(records[0], os.path.join(args.out, "tree.png"))
    reused, computed = metrics["tot_tokens_reused"], metrics["tot_tokens_computed"]
    metrics["tot_work_saved_by_prefixes"] = (reused + computed) / computed
    write_metrics(args.out, metrics, pictures=["tree.png"])
    print(json.dumps(metrics, indent=1))
    print(success_table(logs))
    assert all(read_log(log)[1] for log in logs)


if __name__ == "__main__":
    main()
