"""Pictures for the PR: the loss curves and their difference; small sparklines for tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_BARS = "▁▂▃▄▅▆▇█"


def losses(target: Path, runs: dict[str, Any], title: str) -> None:
    """Loss of every mode over the steps, and below it the relative difference from dygraph (log scale)."""
    # imported here: it takes longer than most commands
    from matplotlib.figure import Figure

    # no pyplot: it keeps figures in one place for all threads
    figure = Figure(figsize=(7, 5.5))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    reference = runs["dygraph"]["losses"]
    for (mode, run), style in zip(runs.items(), ("-", "--", ":"), strict=False):
        steps = range(1, len(run["losses"]) + 1)
        above.plot(steps, run["losses"], style, label=mode, linewidth=1.6)
        if mode != "dygraph":
            gaps = [abs(a - b) / max(abs(b), 1e-12) for a, b in zip(run["losses"], reference, strict=False)]
            # a gap of exactly zero has no place on a log axis: draw it at the floor
            below.semilogy(
                steps[: len(gaps)], [max(gap, 1e-17) for gap in gaps], style, marker=".", label=f"{mode} against dygraph"
            )
    above.set(ylabel="loss", title=f"{title}: {len(reference)} training steps, paddle {runs['dygraph'].get('paddle', '?')}")
    below.set(xlabel="step", ylabel="relative difference")
    below.set_ylim(bottom=5e-18)
    for axis in (above, below):
        axis.legend(loc="best", fontsize=8)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(target, dpi=120)


def sparkline(values: Sequence[float | None], width: int = 16) -> str:
    """A curve in `width` characters."""
    if not values:
        return ""
    count = min(width, len(values))
    picked = [values[int(i * (len(values) - 1) / max(count - 1, 1))] for i in range(count)]
    finite = [value for value in picked if value is not None and math.isfinite(value)] or [0.0]
    low, span = min(finite), (max(finite) - min(finite)) or 1.0
    return "".join(_BARS[int((v - low) / span * (len(_BARS) - 1))] if v is not None and math.isfinite(v) else "?" for v in picked)
