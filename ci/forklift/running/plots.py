"""Pictures for the PR: the loss curves and their difference; small sparklines for tables."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

from forklift.running.losses import Run

_BARS = "▁▂▃▄▅▆▇█"


def losses(target: Path, runs: dict[str, Run], title: str, dtype: str) -> None:
    """Loss of every mode over the steps, and below it the relative difference from dygraph (log scale)."""
    # imported here: it takes longer than most commands
    from matplotlib.figure import Figure

    # no pyplot: it keeps figures in one place for all threads
    figure = Figure(figsize=(7, 5.5))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    reference = runs["dygraph"].numbers
    for (mode, run), style in zip(runs.items(), ("-", "--", ":"), strict=False):
        above.plot(range(1, len(run.losses) + 1), run.numbers, style, label=mode, linewidth=1.6)
        if mode != "dygraph":
            gaps = [abs(a - b) / max(abs(b), 1e-12) for a, b in zip(run.numbers, reference, strict=False)]
            # a log axis has no place for zero: such steps are left out, and counted in the legend
            apart = [(step, gap) for step, gap in enumerate(gaps, 1) if gap > 0]
            label = f"{mode} against dygraph ({len(gaps) - len(apart)} of {len(gaps)} steps equal)"
            below.plot([step for step, _ in apart], [gap for _, gap in apart], style, marker=".", label=label)
    above.set(ylabel="loss", title=f"{title}: {len(reference)} training steps in {dtype}, paddle {runs['dygraph'].paddle}")
    below.set(xlabel="step", ylabel="relative difference")
    if any(len(line.get_xdata()) for line in below.lines):
        below.set_yscale("log")
    below.set_xlim(above.get_xlim())
    for axis in (above, below):
        axis.legend(loc="best", fontsize=8)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(target, dpi=120)


def sparkline(values: Sequence[float | None], width: int = 10) -> str:
    """Means of at most `width` equal parts as bars of eight heights; a part with a value that is not finite is a gap."""
    count = min(width, len(values))
    ends = [round(number * len(values) / max(1, count)) for number in range(count + 1)]
    parts = [[math.nan if value is None else value for value in values[a:b]] for a, b in itertools.pairwise(ends)]
    means = [sum(part) / len(part) for part in parts]
    known = [mean for mean in means if math.isfinite(mean)]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known) or 1.0
    return "".join(_BARS[round((mean - low) / span * 7)] if math.isfinite(mean) else " " for mean in means)
