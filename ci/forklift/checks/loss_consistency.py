"""loss_consistency: 50 training steps in dygraph and each static mode, one process per mode, and proof that static programs ran."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from forklift.errors import ForkliftError
from forklift.model import CheckResult, SweepSpec, Workspace
from forklift.running import losses, plots
from forklift.running.runner import ScriptSpec, Stopwatch, fresh_directory, script

STEPS = 50
RTOL = 1e-5
_SECTION = """
Dygraph against `to_static`, in {{ result.details.dtype }} from the first step on.

| mode | max relative gap | at step | programs | operators | executions | graph breaks | step time static / dygraph |
|---|---|---|---|---|---|---|---|
{% for mode, facts in result.details.modes.items() %}
| {{ [mode, facts.max_gap | number, facts.at_step, facts.programs, facts.operators, facts.executions, facts.graph_breaks,
      facts.speed_ratio | number] | join(" | ") }} |
{% endfor %}

{% for mode, run in result.details.runs.items() if run.losses %}
`{{ mode.ljust(8) }}` {{ run.losses[0] | number }} {{ run.losses | spark(40) }} {{ run.losses[-1] | number }}{{ "  " }}
{% endfor %}
"""


class Spec(ScriptSpec, frozen=True, kw_only=True, tag="loss_consistency"):
    """The script is `proving.training.main(build)`. It runs once and forks a single-threaded process per mode; without `together`
    runs once per mode, for a task that cannot be built before a fork."""

    section = _SECTION

    modes: tuple[Literal["ast", "sot"], ...] = ("ast", "sot")
    steps: int = STEPS
    rtol: float = RTOL
    why: str = ""
    together: bool = True

    def problems(self, directory: Path) -> Iterator[str]:
        yield from super().problems(directory)
        if not self.modes:
            yield "modes is empty, so it compares nothing"
        if self.steps < STEPS:
            yield f"steps is {self.steps}, want at least {STEPS}"
        if not (math.isfinite(self.rtol) and 0 <= self.rtol < 1):
            yield f"rtol {self.rtol:g} is no tolerance"
        if self.rtol > RTOL and len(self.why) < 20:
            yield f"rtol {self.rtol:g} is looser than {RTOL:g} without a why"

    def run(self, workspace: Workspace) -> CheckResult:
        """Judge every static mode against dygraph, step by step; draw loss.png."""
        watch = Stopwatch(workspace, self)
        out = fresh_directory(workspace, self.label)
        try:
            modes = ("dygraph", *self.modes)
            # A process that has used several threads must not be forked.
            for words, threads in [(modes, 1)] if self.together else [((mode,), 0) for mode in modes]:
                steps = ("--steps", str(self.steps))
                script(workspace, self, out, "--mode", *words, *steps, name="-".join(words), threads=threads)
            runs = {mode: _read(out, mode) for mode in modes}
        except ForkliftError as problem:
            return watch.broken(problem)
        verdicts = {mode: losses.judge(runs["dygraph"], runs[mode], self.steps, self.rtol) for mode in self.modes}
        dtype = runs["dygraph"].dtype or "the model's type"
        plots.losses(out / "loss.png", runs, workspace.branch.change.id, dtype)
        worst = max(verdicts.values(), key=lambda verdict: (bool(verdict.problem), verdict.max_gap))
        summary = f"{self.steps} steps ({dtype}), max gap {worst.max_gap:.1e} at step {worst.at_step}"
        summary += "".join(f", {mode} {verdict.graph_breaks} breaks" for mode, verdict in verdicts.items())
        details = {"modes": verdicts, "runs": runs, "rtol": self.rtol, "why": self.why, "dtype": dtype}
        good = bool(verdicts) and not worst.problem
        return watch.judged(good, worst.problem or summary, msgspec.to_builtins(details), (str(out / "loss.png"),))


def of_row(sweep: SweepSpec, name: str) -> Spec:
    """A row of a sweep as a check: the sample that each run trains, not only the sweep."""
    modes = tuple(mode for mode in sweep.modes if mode != "dygraph")
    args = ["--row", name]
    return Spec(name=f"row-{name}", script=sweep.script, args=args, modes=modes, together=True, timeout_s=sweep.timeout_s)


def _read(out: Path, mode: str) -> losses.Run:
    found = losses.read(out, mode)
    if found is None:
        raise ForkliftError("the script wrote no output", [("want", out / f"{mode}.json")], "read docs/check-scripts.md")
    if isinstance(found, losses.Failure):
        raise ForkliftError(f"{mode}: {found.last}", [("at", ", ".join(found.places))])
    return found
