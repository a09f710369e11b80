"""What a row of a sweep shows: equal, close or failed, mode by mode, and where the losses part."""

from __future__ import annotations

from typing import Any

from forklift.checks.loss_consistency import judge

EQUAL, CLOSE = 1e-5, 1e-3


def summarise(runs: dict[str, Any], steps: int) -> dict[str, Any]:
    """equal (<= 1e-5), close (<= 1e-3) or failed, from the best static mode; every mode with its own verdict."""
    reference = runs.get("dygraph", {"error": "not run", "last": ""})
    modes: dict[str, Any] = {}
    for mode, found in runs.items():
        if mode == "dygraph" or "error" in reference:
            continue
        if "error" in found:
            modes[mode] = {"outcome": "failed", "problem": f"{found['error']}: {found['last']}", "places": found.get("places", [])}
            continue
        verdict = judge(reference, found, steps, CLOSE)
        outcome = "failed" if verdict["problem"] else "equal" if verdict["max_gap"] <= EQUAL else "close"
        breaks = (found.get("static") or {}).get("graph_break_reasons", [])
        modes[mode] = {"outcome": outcome, "departs_at": _departs(reference, found), "breaks": breaks, **verdict}
    problem = f"{reference['error']}: {reference['last']}" if "error" in reference else ""
    return {
        "outcome": _best(modes),
        "problem": problem,
        **({"places": reference["places"]} if reference.get("places") else {}),
        "losses": {mode: [_short(loss) for loss in found.get("losses", [])] for mode, found in runs.items()},
        "modes": modes,
    }


def with_rest(control: dict[str, Any], first: dict[str, Any]) -> dict[str, Any]:
    """The float64 run of some modes, and what float32 showed of the others; of each mode, its type."""
    modes = {
        mode: {**control["modes"][mode], "dtype": "float64"} if mode in control["modes"] else {**facts, "dtype": "float32"}
        for mode, facts in first["modes"].items()
    }
    losses = {mode: control["losses"].get(mode, found) for mode, found in first["losses"].items()}
    return {**control, "modes": modes, "losses": losses, "outcome": _best(modes)}


def _best(modes: dict[str, Any]) -> str:
    order = ["equal", "close", "failed"]
    return min((facts["outcome"] for facts in modes.values()), key=order.index, default="failed")


def gaps(result: dict[str, Any]) -> dict[str, Any]:
    """Of every mode: the largest gap, and the step from which the losses are not equal."""
    return {mode: {name: facts.get(name) for name in ("departs_at", "max_gap")} for mode, facts in result["modes"].items()}


def _departs(reference: dict[str, Any], found: dict[str, Any]) -> int:
    """The first step, from 1, whose losses are not equal; 0 where all are."""
    pairs = zip(found["losses"], reference["losses"], strict=False)
    apart = (a is None or b is None or abs(a - b) > EQUAL * abs(b) for a, b in pairs)
    return next((step for step, differs in enumerate(apart, 1) if differs), 0)


def _short(loss: float | None) -> float | None:
    """Nine digits: a float32 to its last bit."""
    return None if loss is None else float(f"{loss:.9g}")


def apart(result: dict[str, Any]) -> list[str]:
    """The modes that ran, but whose losses are not those of dygraph."""
    return [mode for mode, facts in result["modes"].items() if facts["outcome"] == "failed" and facts.get("departs_at")]
