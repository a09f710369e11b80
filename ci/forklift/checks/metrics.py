"""Figures that a real run measured, held against the bounds in change.toml."""

from __future__ import annotations

import math
from typing import Any

from forklift.errors import ForkliftError
from forklift.model import CheckResult, CheckSpec, Requirement, Workspace
from forklift.running.runner import Stopwatch, fresh_directory, read_json, script


def run(workspace: Workspace, spec: CheckSpec) -> CheckResult:
    """Run the script; every [[check.require]] must hold. A bound on a metric that was not measured fails."""
    watch = Stopwatch(workspace, spec)
    out = fresh_directory(workspace, spec.label)
    try:
        script(workspace, spec, out)
        found = read_json(out / "metrics.json")
    except ForkliftError as problem:
        return watch.broken(problem)
    measured = found.get("metrics", {})
    broken = [text for text in (violation(bound, measured) for bound in spec.require) if text]
    named = [bound.metric for bound in spec.require] or list(measured)
    shown = "  ".join(f"{name} {_short(measured[name])}" for name in dict.fromkeys(named) if name in measured)
    pictures = tuple(str(out / name) for name in found.get("pictures", []))
    return watch.judged(not broken, "; ".join(broken) or shown or "nothing measured", found, pictures)


def violation(bound: Requirement, measured: dict[str, Any]) -> str:
    """What is wrong with one metric, or an empty string."""
    value = measured.get(bound.metric)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return f"{bound.metric} was not measured (got {value!r})"
    if bound.min is not None and value < bound.min:
        return f"{bound.metric} {_short(value)} < {bound.min:g}"
    if bound.max is not None and value > bound.max:
        return f"{bound.metric} {_short(value)} > {bound.max:g}"
    return ""


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
