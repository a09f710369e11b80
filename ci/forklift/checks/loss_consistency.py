"""loss_consistency: 50 training steps in dygraph and each static mode, one process per mode, and proof that static programs ran."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from forklift.errors import ForkliftError
from forklift.model import CheckResult, SweepSpec, Workspace
from forklift.running import plots
from forklift.running.runner import ScriptSpec, Stopwatch, fresh_directory, read_json, script

STEPS = 50
RTOL = 1e-5
_SECTION = """
Dygraph against `to_static`, in {{ row.details.dtype }} from the first step on.

| mode | max relative gap | at step | programs | operators | executions | graph breaks | step time static / dygraph |
|---|---|---|---|---|---|---|---|
{% for mode, facts in row.details.modes.items() %}
| {{ [mode, facts.max_gap | number, facts.at_step, facts.programs, facts.operators, facts.executions, facts.graph_breaks,
      facts.speed_ratio | number] | join(" | ") }} |
{% endfor %}

{% for mode, run in row.details.runs.items() if run.losses %}
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
        runs: dict[str, Any] = {}
        try:
            modes = ("dygraph", *self.modes)
            # A process that has used several threads must not be forked.
            for words, threads in [(modes, 1)] if self.together else [((mode,), 0) for mode in modes]:
                steps = ("--steps", str(self.steps))
                script(workspace, self, out, "--mode", *words, *steps, name="-".join(words), threads=threads)
            for mode in modes:
                runs[mode] = _read(out, mode)
                runs[mode]["losses"] = _losses(runs[mode])
        except ForkliftError as problem:
            return watch.broken(problem)
        verdicts = {mode: judge(runs["dygraph"], runs[mode], self.steps, self.rtol) for mode in self.modes}
        dtype = runs["dygraph"].get("dtype") or "the model's type"
        plots.losses(out / "loss.png", runs, workspace.branch.change.id, dtype)
        worst = max(verdicts.values(), key=lambda verdict: (bool(verdict["problem"]), verdict["max_gap"]))
        summary = f"{self.steps} steps ({dtype}), max gap {worst['max_gap']:.1e} at step {worst['at_step']}"
        summary += "".join(f", {mode} {v['graph_breaks']} breaks" for mode, v in verdicts.items())
        summary = worst["problem"] or summary
        details = {"modes": verdicts, "runs": runs, "rtol": self.rtol, "why": self.why, "dtype": dtype}
        good = bool(verdicts) and not worst["problem"]
        return watch.judged(good, summary, details, (str(out / "loss.png"),))


def of_row(sweep: SweepSpec, name: str) -> Spec:
    """A row of a sweep as a check: the sample that each run trains, not only the sweep."""
    modes = tuple(mode for mode in sweep.modes if mode != "dygraph")
    args = ["--row", name]
    return Spec(name=f"row-{name}", script=sweep.script, args=args, modes=modes, together=True, timeout_s=sweep.timeout_s)


def _read(out: Path, mode: str) -> dict[str, Any]:
    failed = out / f"{mode}.failed.json"
    if failed.is_file():
        problem = read_json(failed)
        raise ForkliftError(f"{mode}: {problem['last']}", [("at", ", ".join(problem["places"]))])
    run: dict[str, Any] = read_json(out / f"{mode}.json")
    return run


def judge(dygraph: dict[str, Any], static: dict[str, Any], steps: int, rtol: float) -> dict[str, Any]:
    """Gap of every step relative to dygraph, and the first thing that is wrong."""
    ours, theirs = _losses(static), _losses(dygraph)
    proof = static.get("static") or {}
    verdict = {
        "mode": static["mode"],
        "max_gap": math.inf,
        "at_step": 0,
        "programs": proof.get("programs", 0),
        "operators": proof.get("operators", 0),
        "executions": proof.get("executions", 0),
        "graph_breaks": proof.get("graph_breaks", 0),
        "speed_ratio": _ratio(static, dygraph),
        "problem": "",
    }
    name = static["mode"]
    if len(ours) != steps or len(theirs) != steps:
        return {**verdict, "problem": f"{name}: {len(ours)} steps against {len(theirs)}, want {steps}"}
    if not all(map(math.isfinite, [*ours, *theirs])):
        return {**verdict, "problem": f"{name}: a loss is not finite"}
    gaps = [abs(a - b) / max(abs(b), 1e-12) for a, b in zip(ours, theirs, strict=True)]
    verdict["max_gap"], verdict["at_step"] = max(gaps), gaps.index(max(gaps)) + 1
    if max(theirs) - min(theirs) <= 1e-9 * max(map(abs, theirs)):
        return {**verdict, "problem": f"{name}: the loss never moved, so it proves nothing"}
    if verdict["executions"] < steps or verdict["operators"] == 0:
        what = f"{verdict['executions']} executions of a static program in {steps} steps"
        return {**verdict, "problem": f"{name}: static training did not run ({what})"}
    if verdict["max_gap"] > rtol:
        return {**verdict, "problem": f"{name}: step {verdict['at_step']} differs by {verdict['max_gap']:.1e} > {rtol:.0e}"}
    if name == "ast" and verdict["graph_breaks"]:
        return {**verdict, "problem": f"ast: {verdict['graph_breaks']} graph breaks, want a whole graph"}
    return verdict


def _losses(run: dict[str, Any]) -> list[float]:
    """JSON has no nan: the runner writes null."""
    return [math.nan if value is None else value for value in run["losses"]]


def _ratio(static: dict[str, Any], dygraph: dict[str, Any]) -> float:
    """Median step time static / dygraph, of CPU time (other work on the machine does not count); the first steps compile."""
    sides = [sorted((run.get("cpu_ms_per_step") or run.get("ms_per_step", []))[5:]) for run in (static, dygraph)]
    if not all(sides):
        return math.nan
    return round(sides[0][len(sides[0]) // 2] / sides[1][len(sides[1]) // 2], 3)
