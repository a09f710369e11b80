"""Ratios of two things that one run measured in turn: median and spread. Time never passes or fails."""

from __future__ import annotations

import statistics
from typing import Any

from forklift.errors import ForkliftError
from forklift.model import CheckResult, CheckSpec, Workspace
from forklift.running.runner import Stopwatch, fresh_directory, read_json, script


def run(workspace: Workspace, spec: CheckSpec) -> CheckResult:
    """Run the script and work out the ratio of every row."""
    watch = Stopwatch(workspace, spec)
    out = fresh_directory(workspace, spec.label)
    try:
        script(workspace, spec, out)
        rows = [ratio(row) for row in read_json(out / "benchmark.json")]
    except ForkliftError as problem:
        return watch.broken(problem)
    if not rows:
        return watch.broken(ForkliftError("the benchmark measured nothing", [("file", out / "benchmark.json")]))
    head = "; ".join(f"{row['name']} {row['ours']}/{row['against']} {row['ratio']:.2f}" for row in rows[:2])
    return watch.judged(True, head + (f"; {len(rows) - 2} more" if len(rows) > 2 else ""), {"rows": rows})


def ratio(row: dict[str, Any]) -> dict[str, Any]:
    """Median of the per-round ratios ours / against, with the smallest and the largest."""
    ours, against = row["samples"][row["ours"]], row["samples"][row["against"]]
    if len(ours) != len(against) or len(ours) < 3:
        raise ForkliftError("a benchmark row needs at least 3 rounds of both sides", [("row", row["name"])])
    ratios = [a / b for a, b in zip(ours, against, strict=True)]
    return {
        "name": row["name"],
        "ours": row["ours"],
        "against": row["against"],
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "rounds": len(ratios),
        "ours_ms": statistics.median(ours),
        "against_ms": statistics.median(against),
    }
