"""Loss curves of a sweep, drawn from its evidence: one small picture a row, dygraph and the static modes over each other."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from forklift.model import Change
from forklift.results.page import Language

_WIDTH, _HEIGHT, _MOST = 150, 60, 24
_HEAD = {"en": "Loss curves", "zh": "损失曲线"}
_SAID = {
    "en": "The first {shown} of {all} rows of `evidence/{file}`, 50 steps each: dygraph (thick, grey), whole graph (blue), "
    "SOT (orange, dashed).",
    "zh": "`evidence/{file}` 的 {all} 行中的前 {shown} 行，每行 50 步：动态图（灰色粗线）、整图（蓝色）、SOT（橙色虚线）。",
}


def of_sweep(change: Change, language: Language = "en") -> str:
    """Markdown with the pictures, or nothing where the change has no sweep."""
    path = change.directory / "evidence" / "rows.jsonl"
    if change.file.sweep is None or not path.is_file():
        return ""
    rows = [row for row in map(json.loads, path.read_text().splitlines()) if len(row.get("losses", {}).get("dygraph") or ()) > 1]
    shown = rows[:_MOST]
    if not shown:
        return ""
    said = _SAID[language].format(shown=len(shown), all=len(rows), file=path.name)
    pictures = "".join(_picture(row) for row in shown)
    return f'## {_HEAD[language]}\n\n{said}\n\n<div class="curves">{pictures}</div>'


def _picture(row: dict[str, Any]) -> str:
    losses: dict[str, list[float]] = {mode: [x for x in values or () if x is not None] for mode, values in row["losses"].items()}
    every = [value for values in losses.values() for value in values]
    low, high = min(every), max(every)
    lines = "".join(
        f'<polyline class="{mode}" points="{_points(losses[mode], low, high)}"/>'
        for mode in ("dygraph", "ast", "sot")
        if losses.get(mode)
    )
    name = escape(row["id"])
    end = f"{losses['dygraph'][0]:.3g} to {losses['dygraph'][-1]:.3g}"
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}: loss from {end}">{lines}</svg>'
        f"<figcaption>{name}<br>{end}</figcaption></figure>"
    )


def _points(values: list[float], low: float, high: float) -> str:
    scale = (high - low) or 1.0
    step = _WIDTH / max(len(values) - 1, 1)
    return " ".join(f"{number * step:.1f},{(_HEIGHT - 4) * (high - value) / scale + 2:.1f}" for number, value in enumerate(values))
