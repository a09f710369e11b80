"""alignment and export_parity: pairs of tensors that a script recorded, each judged on its maximum."""

from __future__ import annotations

from pathlib import Path

import msgspec
from safetensors import SafetensorError
from safetensors.numpy import load_file

from forklift.errors import ForkliftError
from forklift.model import CheckResult, CheckSpec, Workspace
from forklift.running.compare import Array, Comparison, compare
from forklift.running.runner import Stopwatch, fresh_directory, read_json, script


def run(workspace: Workspace, spec: CheckSpec) -> CheckResult:
    """Run the script, judge every pair it recorded; a stage without a pair is an error."""
    watch = Stopwatch(workspace, spec)
    out = fresh_directory(workspace, spec.label)
    extra: tuple[str | Path, ...] = ()
    if spec.kind == "alignment":
        extra = ("--reference", workspace.reference or workspace.branch.change.directory / "reference")
    try:
        script(workspace, spec, out, *extra)
        rows = judge(out, spec)
    except ForkliftError as problem:
        return watch.broken(problem)
    bad = [row for row in rows if row.problem]
    stages = _by_stage(rows)
    details = {"stages": stages, "pairs": [msgspec.to_builtins(row) for row in rows]}
    summary = "  ".join(f"{stage} {facts['max_rel']:.1e}" for stage, facts in stages.items())
    if bad:
        first = max(bad, key=lambda row: row.max_rel)
        summary = f"{len(bad)} of {len(rows)} pairs differ: {first.key}: {first.problem}"
    return watch.judged(not bad, summary, details)


def judge(out: Path, spec: CheckSpec) -> list[Comparison]:
    """All pairs in `out`, judged by the defaults and change.toml's tolerances."""
    index = read_json(out / "pairs.json")
    tensors = _load(out / "pairs.safetensors")
    silent = [stage for stage in spec.stages if stage not in {row["stage"] for row in index}]
    if silent or not index:
        raise ForkliftError(
            "the script recorded nothing for a stage",
            [("stages", ", ".join(silent) or "(none at all)"), ("file", out / "pairs.json")],
            "record a pair for it, or take the stage out of change.toml",
        )
    rows = []
    for row in index:
        sides = [tensors.get(f"{side}/{row['key']}") for side in ("got", "want")]
        if sides[0] is None or sides[1] is None:
            raise ForkliftError("a recorded pair has no tensors", [("key", row["key"]), ("file", out / "pairs.safetensors")])
        rows.append(compare(row["stage"], row["key"], sides[0], sides[1], spec.tolerance))
    return rows


def _load(path: Path) -> dict[str, Array]:
    try:
        return load_file(path)
    except (FileNotFoundError, SafetensorError) as broken:
        raise ForkliftError(
            "the script's tensors cannot be read", [("file", path), ("because", broken)], "read its log"
        ) from broken


def _by_stage(rows: list[Comparison]) -> dict[str, dict[str, float]]:
    """The worst of each stage. A tensor that is zero within its absolute tolerance has no scale to be relative to: it is counted
    as `zero`, and its error stands in the absolute figures alone (it is judged all the same)."""
    stages: dict[str, dict[str, float]] = {}
    for row in rows:
        blank = {"pairs": 0, "max_abs": 0.0, "mean_abs": 0.0, "max_rel": 0.0, "zero": 0, "failed": 0}
        facts = stages.setdefault(row.stage, blank)
        zero = not row.problem and 0.0 < row.scale <= row.atol
        facts["pairs"] += 1
        facts["zero"] += zero
        facts["failed"] += bool(row.problem)
        for name in ("max_abs", "mean_abs", *(() if zero else ("max_rel",))):
            facts[name] = max(facts[name], getattr(row, name))
    return stages
