"""50 training steps in dygraph and in each static mode, one process a mode, and the proof that a static program ran."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from forklift.errors import ForkliftError
from forklift.model import CheckResult, CheckSpec, Workspace
from forklift.results import plots
from forklift.running.runner import Stopwatch, fresh_directory, read_json, script


def run(workspace: Workspace, spec: CheckSpec) -> CheckResult:
    """Judge every static mode against dygraph, step by step; draw loss.png."""
    watch = Stopwatch(workspace, spec)
    out = fresh_directory(workspace, spec.label)
    runs: dict[str, Any] = {}
    try:
        modes = ("dygraph", *spec.modes)
        # A process that has used several threads must not be forked.
        for words, threads in [(modes, 1)] if spec.together else [((mode,), 0) for mode in modes]:
            script(workspace, spec, out, "--mode", *words, "--steps", str(spec.steps), name="-".join(words), threads=threads)
        for mode in modes:
            runs[mode] = _read(out, mode)
            runs[mode]["losses"] = _losses(runs[mode])
    except ForkliftError as problem:
        return watch.broken(problem)
    verdicts = {mode: judge(runs["dygraph"], runs[mode], spec.steps, spec.rtol) for mode in spec.modes}
    plots.losses(out / "loss.png", runs, workspace.branch.change.id)
    worst = max(verdicts.values(), key=lambda verdict: (bool(verdict["problem"]), verdict["max_gap"]))
    summary = f"{spec.steps} steps, max gap {worst['max_gap']:.1e} at step {worst['at_step']}"
    summary += "".join(f", {mode} {v['graph_breaks']} breaks" for mode, v in verdicts.items())
    summary = worst["problem"] or summary
    details = {"modes": verdicts, "runs": runs, "rtol": spec.rtol, "why": spec.why}
    return watch.judged(not worst["problem"], summary, details, (str(out / "loss.png"),))


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
