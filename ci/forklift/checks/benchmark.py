"""benchmark: ratios of two things that one run measured in turn. Time never passes or fails."""

from __future__ import annotations

import statistics
from typing import Any

from forklift.errors import ForkliftError
from forklift.model import CheckResult, Workspace
from forklift.running.runner import ScriptSpec, Stopwatch, fresh_directory, read_json, script

# the slowest round may take this many times the fastest one's ratio; beyond it the median says nothing
_NOISY = 2.0
_SECTION = """
Both sides of a line ran in turn in one process. The ratio is ours / against: the median of the rounds, with the smallest and the
largest. "noisy" is printed instead where the largest is more than twice the smallest.

| measured | ours | against | ratio | spread | rounds | ours ms | against ms |
|---|---|---|---|---|---|---|---|
{% for r in result.details.rows %}
| {{ [r.name, r.ours, r.against, r.shown, "%.2f to %.2f" | format(r.low, r.high), r.rounds, "%.1f" | format(r.ours_ms),
      "%.1f" | format(r.against_ms)] | join(" | ") }} |
{% endfor %}
"""


class Spec(ScriptSpec, frozen=True, kw_only=True, tag="benchmark"):
    """The script writes benchmark.json with `proving.timing.write_benchmark`."""

    alone = True
    section = _SECTION

    def run(self, workspace: Workspace) -> CheckResult:
        """Run the script and work out the ratio of every line."""
        watch = Stopwatch(workspace, self)
        out = fresh_directory(workspace, self.label)
        try:
            script(workspace, self, out)
            lines = [ratio(line) for line in read_json(out / "benchmark.json")]
        except ForkliftError as problem:
            return watch.broken(problem)
        if not lines:
            return watch.broken(ForkliftError("the benchmark measured nothing", [("file", out / "benchmark.json")]))
        head = "; ".join(f"{line['name']} {line['ours']}/{line['against']} {line['shown']}" for line in lines[:2])
        return watch.judged(True, head + (f"; {len(lines) - 2} more" if len(lines) > 2 else ""), {"rows": lines})


def ratio(comparison: dict[str, Any]) -> dict[str, Any]:
    """Median of the per-round ratios ours / against, with the smallest and the largest."""
    ours, against = comparison["samples"][comparison["ours"]], comparison["samples"][comparison["against"]]
    if len(ours) != len(against) or len(ours) < 3:
        raise ForkliftError("a comparison needs at least 3 rounds of both sides", [("comparison", comparison["name"])])
    ratios = [a / b for a, b in zip(ours, against, strict=True)]
    middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
    return {
        "name": comparison["name"],
        "ours": comparison["ours"],
        "against": comparison["against"],
        "ratio": middle,
        "shown": "noisy" if high > _NOISY * low else f"{middle:.2f}",
        "low": low,
        "high": high,
        "rounds": len(ratios),
        "ours_ms": statistics.median(ours),
        "against_ms": statistics.median(against),
    }
