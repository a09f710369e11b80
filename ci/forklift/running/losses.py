"""The losses of one training in dygraph and as static programs, and whether the second shows what the first does."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from forklift.errors import ForkliftError


class StaticProof(msgspec.Struct, frozen=True):
    """What shows that static programs ran (proving.static_proof)."""

    programs: int = 0
    operators: int = 0
    executions: int = 0
    graph_breaks: int = 0
    graph_break_reasons: list[str] = []


class Run(msgspec.Struct, frozen=True):
    """What proving.training writes about one mode. JSON has no nan: such a loss is null."""

    mode: str
    losses: list[float | None]
    static: StaticProof | None = None
    ms_per_step: list[float] = []
    cpu_ms_per_step: list[float] = []
    dtype: str = ""
    paddle: str = "?"

    @property
    def numbers(self) -> list[float]:
        return [math.nan if loss is None else loss for loss in self.losses]

    @property
    def proof(self) -> StaticProof:
        return self.static or StaticProof()


class Failure(msgspec.Struct, frozen=True):
    """How a mode failed: the error's last line, and where in the suite."""

    last: str
    places: list[str] = []
    error: str = "script_failed"

    def __str__(self) -> str:
        return f"{self.error}: {self.last}"


class Verdict(msgspec.Struct, frozen=True):
    """A static mode against dygraph: the largest relative gap of a loss, its step (from 1), and the first thing that is wrong."""

    mode: str
    programs: int
    operators: int
    executions: int
    graph_breaks: int
    speed_ratio: float | None
    problem: str = ""
    max_gap: float = math.inf
    at_step: int = 0


def read(directory: Path, mode: str) -> Run | Failure | None:
    """What a script wrote about `mode`: its run, or how it failed; None where it did neither."""
    done, failed = directory / f"{mode}.json", directory / f"{mode}.failed.json"
    try:
        if done.is_file():
            return msgspec.json.decode(done.read_bytes(), type=Run)
        return msgspec.json.decode(failed.read_bytes(), type=Failure) if failed.is_file() else None
    except msgspec.DecodeError as broken:
        raise ForkliftError(
            "a script's output is not a run", [("file", done), ("at", broken)], "read docs/check-scripts.md"
        ) from broken


def judge(dygraph: Run, static: Run, steps: int, rtol: float) -> Verdict:
    """Gap of every step relative to dygraph, and the first thing that is wrong."""
    ours, theirs, proof, name = static.numbers, dygraph.numbers, static.proof, static.mode
    counts = (proof.programs, proof.operators, proof.executions, proof.graph_breaks)
    verdict = Verdict(name, *counts, _ratio(static, dygraph))

    def wrong(text: str) -> Verdict:
        return msgspec.structs.replace(verdict, problem=f"{name}: {text}")

    if len(ours) != steps or len(theirs) != steps:
        return wrong(f"{len(ours)} steps against {len(theirs)}, want {steps}")
    if not all(map(math.isfinite, [*ours, *theirs])):
        return wrong("a loss is not finite")
    gaps = [abs(a - b) / max(abs(b), 1e-12) for a, b in zip(ours, theirs, strict=True)]
    verdict = msgspec.structs.replace(verdict, max_gap=max(gaps), at_step=gaps.index(max(gaps)) + 1)
    if max(theirs) - min(theirs) <= 1e-9 * max(map(abs, theirs)):
        return wrong("the loss never moved, so it proves nothing")
    if proof.executions < steps or proof.operators == 0:
        return wrong(f"static training did not run ({proof.executions} executions of a static program in {steps} steps)")
    if verdict.max_gap > rtol:
        return wrong(f"step {verdict.at_step} differs by {verdict.max_gap:.1e} > {rtol:.0e}")
    if name == "ast" and proof.graph_breaks:
        return wrong(f"{proof.graph_breaks} graph breaks, want a whole graph")
    return verdict


def _ratio(static: Run, dygraph: Run) -> float | None:
    """Median step time static / dygraph, of CPU time (other work on the machine does not count); the first steps compile."""
    sides = [sorted((run.cpu_ms_per_step or run.ms_per_step)[5:]) for run in (static, dygraph)]
    if not all(sides):
        return None
    return round(sides[0][len(sides[0]) // 2] / sides[1][len(sides[1]) // 2], 3)
