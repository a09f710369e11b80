"""What the search alone is worth: the Game of 24, puzzles 900 to 999, with oracles instead of a language model.

- A faultless oracle bounds the search from above, one that judges by chance from below.
- An oracle of fixed, modest skill answers without a search (IO, CoT) and with one (b = 1, b = 5). Its `step` and `write` were
  chosen on puzzles 800 to 899 so that IO and CoT come near the paper's 7.3 % and 4.0 %; `answers` and `chains` follow from the
  means that it reaches so and the paper's best of 100 (33 % and 49 %): log(1 - 0.33) / log(1 - 0.073) = 5, log(1 - 0.49) / log(1 - 0.052) =
  12. The other skills are round numbers. They are assumptions, so the figures say how the methods order, not how good any model is.
- Two orders, as in the paper: by the mean of all samples IO is above CoT; by the best of all outputs ("any", which is how the paper
  counts ToT) IO is below CoT.
- The accuracy of its judgements is varied, to see how far the order depends on it.
- Calls: what b = 5 asks of a model that is called with one prompt at a time and remembers nothing, against what is sent, and in
  how many batches.

`--seeds N` (default 2) repeats everything with other random numbers; evidence/oracle.json has 5.
"""

import dataclasses
import json
import os

import packages
from paddlenlp.experimental.agents.tree_of_thoughts import Game24Oracle, Skill, create_task, drive_all, search
from paddlenlp.experimental.agents.tree_of_thoughts.evaluation import preset

from proving.record import arguments, write_metrics

PUZZLES = range(900, 1000)
SKILL = Skill(step=0.3, write=0.75, insight=0.8, proposals=8, judge=0.75, answers=5, chains=12)
METHODS = {
    "io": preset("game24", "io"),
    "cot": preset("game24", "cot"),
    "b1": preset("game24", "tot", n_select=1),
    "b5": preset("game24", "tot"),
}
JUDGES = (0.0, 0.25, 0.5, 0.75, 1.0)


def solved(task, skill, config, seed):
    """(per cent of all outputs that are right, per cent of puzzles with a right output, prompts sent a puzzle)."""
    model, values = Game24Oracle(task.prompts, skill, seed), {}
    dialogues = ((i, search(task, task.input(i), config, str(i), values)) for i in PUZZLES)
    means, best, sent = 0.0, 0, 0
    for index, result in drive_all(dialogues, model, in_flight=len(PUZZLES)):
        rewards = [int(task.correct(task.input(index), y)) for y in result.outputs] or [0]
        means += sum(rewards) / len(rewards)
        best += max(rewards)
        sent += result.usage.sent
    return 100 * means / len(PUZZLES), 100 * best / len(PUZZLES), sent / len(PUZZLES)


def paper(name, run):
    """What the paper states of a method: the mean of all samples (IO, CoT), whether one of the b outputs is right (ToT)."""
    return run[0] if name in ("io", "cot") else run[1]


class Counted(Game24Oracle):
    """Counts the batches it is given, and the requests in them."""

    batches = requests = 0

    def complete(self, requests):
        self.batches += 1
        self.requests += len(requests)
        return super().complete(requests)


def calls(task):
    """Calls a puzzle of the search with b = 5."""

    def run(in_flight, merge, **changes):
        model, values = Counted(task.prompts, SKILL), {}
        config = preset("game24", "tot", **changes)
        dialogues = ((i, search(task, task.input(i), config, str(i), values)) for i in PUZZLES)
        for _ in drive_all(dialogues, model, in_flight, merge):
            pass
        return model.requests / len(PUZZLES), model.batches / len(PUZZLES)

    apart, _ = run(1, False, share_values=False)
    sent, batches = run(1, True)
    _, together = run(10, True)
    return {
        "calls_one_at_a_time": apart,
        "calls_sent": sent,
        "calls_saved_ratio": apart / sent,
        "batches_one_puzzle": batches,
        "batches_ten_puzzles_at_once": together,
        "calls_per_batch_ratio": apart / batches,
    }


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def draw(path, curves, noisy):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for name, label in (("b5", "ToT, b = 5"), ("b1", "ToT, b = 1")):
        axes.plot(JUDGES, curves[name], marker="o", label=label)
    for name, label in (("io", "IO (mean of 100)"), ("cot", "CoT (mean of 100)")):
        axes.axhline(noisy[name], linestyle="--", linewidth=1, color="gray" if name == "io" else "black", label=label)
    axes.set_xlabel("share of judgements that are right (the others: a word by chance)")
    axes.set_ylabel("puzzles solved, %")
    axes.set_ylim(0, 100)
    axes.legend(fontsize=8, loc="upper left")
    axes.grid(alpha=0.3)
    figure.savefig(path)


def main():
    args = arguments(lambda p: p.add_argument("--seeds", type=int, default=2))
    task = create_task("game24", "paper", assets=packages.assets())
    metrics, rows = {}, {}
    for name, config in METHODS.items():
        metrics["faultless_" + name] = paper(name, solved(task, Skill(), config, 0))
        runs = [solved(task, SKILL, config, seed) for seed in range(args.seeds)]
        rows[name] = [paper(name, run) for run in runs]
        metrics["noisy_" + name] = mean(rows[name])
        metrics["any_" + name] = mean(any_ for _, any_, _ in runs)
        metrics["sent_" + name] = mean(sent for _, _, sent in runs)
    curves = {
        name: [
            mean(
                rows[name][seed] if judge == SKILL.judge else solved(task, dataclasses.replace(SKILL, judge=judge), METHODS[name], seed)[1]
                for seed in range(args.seeds)
            )
            for judge in JUDGES
        ]
        for name in ("b1", "b5")
    }  # fmt: skip
    best = max(metrics["noisy_io"], metrics["noisy_cot"])
    metrics["noisy_io_over_cot"] = metrics["noisy_io"] - metrics["noisy_cot"]
    metrics["noisy_b1_over_best_baseline"] = metrics["noisy_b1"] - best
    metrics["noisy_b5_over_b1"] = metrics["noisy_b5"] - metrics["noisy_b1"]
    # IO < CoT < ToT (b=1) < ToT (b=5), each by its best output.
    ladder = [metrics["any_" + name] for name in METHODS]
    metrics["any_least_step"] = min(above - below for below, above in zip(ladder, ladder[1:]))
    # The order in the worst run, and for the worst judge.
    metrics["worst_seed_b5_over_b1"] = min(b5 - b1 for b5, b1 in zip(rows["b5"], rows["b1"]))
    metrics["blind_judge_b5"] = curves["b5"][0]
    metrics["any_seeing_judge_b5_over_b1"] = min(b5 - b1 for b5, b1 in zip(curves["b5"][1:], curves["b1"][1:]))
    metrics.update(calls(task))
    draw(os.path.join(args.out, "oracle.png"), curves, {name: metrics["noisy_" + name] for name in METHODS})
    curves = {"judge_" + name: values for name, values in curves.items()}
    write_metrics(args.out, metrics, curves=dict(curves, judge=list(JUDGES)), pictures=["oracle.png"])
    print(json.dumps(dict(metrics, **curves), indent=1))


if __name__ == "__main__":
    main()
