"""metrics: figures that a real run measured, held against the bounds in change.toml."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from forklift.errors import ForkliftError
from forklift.model import CheckResult, Manifest, Workspace
from forklift.running.runner import ScriptSpec, Stopwatch, fresh_directory, read_json, script


class Requirement(Manifest, frozen=True):
    """A bound on a metric."""

    metric: str
    min: float | None = None
    max: float | None = None


class Spec(ScriptSpec, frozen=True, kw_only=True, tag="metrics"):
    """The script writes metrics.json with `proving.record.write_metrics`."""

    require: list[Requirement] = []

    def problems(self, directory: Path) -> Iterator[str]:
        yield from super().problems(directory)
        if not self.require:
            yield "no [[check.require]], so it cannot fail"
        for bound in self.require:
            limits = [limit for limit in (bound.min, bound.max) if limit is not None]
            if not limits:
                yield f"{bound.metric} has neither min nor max"
            elif not all(map(math.isfinite, limits)):
                yield f"{bound.metric} has a bound that is not finite"

    def run(self, workspace: Workspace) -> CheckResult:
        """Run the script; every [[check.require]] must hold. A bound on a metric that was not measured fails."""
        watch = Stopwatch(workspace, self)
        out = fresh_directory(workspace, self.label)
        try:
            script(workspace, self, out)
            found = read_json(out / "metrics.json")
        except ForkliftError as problem:
            return watch.broken(problem)
        measured = found.get("metrics", {})
        broken = [text for text in (violation(bound, measured) for bound in self.require) if text]
        named = [bound.metric for bound in self.require]
        shown = "  ".join(f"{name} {_short(measured[name])}" for name in dict.fromkeys(named) if name in measured)
        pictures = tuple(str(out / name) for name in found.get("pictures", []))
        good = bool(self.require) and not broken
        return watch.judged(good, "; ".join(broken) or shown or "nothing measured", found, pictures)


def violation(bound: Requirement, measured: dict[str, Any]) -> str:
    """What is wrong with one metric, or an empty string."""
    value = measured.get(bound.metric)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return f"{bound.metric} was not measured (got {value!r})"
    limits = [limit for limit in (bound.min, bound.max) if limit is not None]
    if not limits or not all(map(math.isfinite, limits)):
        return f"{bound.metric} has no finite bound"
    if bound.min is not None and value < bound.min:
        return f"{bound.metric} {_short(value)} < {bound.min:g}"
    if bound.max is not None and value > bound.max:
        return f"{bound.metric} {_short(value)} > {bound.max:g}"
    return ""


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
