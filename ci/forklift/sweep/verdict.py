"""What a row of a sweep shows: equal, close or failed, mode by mode, and where the losses part."""

from __future__ import annotations

from typing import Any

from forklift.checks.loss_consistency import judge

EQUAL, CLOSE = 1e-5, 1e-3
SAME_GRADIENT = 1e-6  # in float64; Dropout2D's factor, which a static program keeps in float32, makes up to 3e-7


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


def departed(result: dict[str, Any]) -> list[str]:
    """The modes that ran, but not every loss of which is equal."""
    return [mode for mode, facts in result["modes"].items() if facts.get("departs_at") and facts["outcome"] != "equal"]


def judged(first: dict[str, Any], control: dict[str, Any], gradients: dict[str, Any], modes: list[str]) -> dict[str, Any]:
    """The row with a verdict on `modes`, which are not equal in its own type; `judge` says what decided.

    Losses in float64 decide where they are equal, and the gradients of the first step where rounding grows too fast even there. A
    gradient that is another one fails a mode whatever its losses do. Where neither could be had, the mode is not proven.
    """
    found = {mode: _verdict(first["modes"][mode], control, gradients.get(mode, {}), mode) for mode in modes}
    rest = {mode: {**facts, "dtype": "float32"} for mode, facts in first["modes"].items() if mode not in found}
    all_modes = {mode: found.get(mode) or rest[mode] for mode in first["modes"]}
    took = {mode for mode in modes if found[mode]["dtype"] == "float64" and control is not first}
    losses = {mode: control["losses"].get(mode, values) if mode in took else values for mode, values in first["losses"].items()}
    if took:
        losses["dygraph"] = control["losses"]["dygraph"]
    problem = {"float64": {name: control[name] for name in ("problem", "places") if name in control}} if control["problem"] else {}
    return {**first, "modes": all_modes, "losses": losses, "outcome": _best(all_modes), "float32": gaps(first), **problem}


def _verdict(own: dict[str, Any], control: dict[str, Any], gradient: dict[str, Any], mode: str) -> dict[str, Any]:
    facts = control["modes"].get(mode, {})
    ran = bool(facts) and "max_gap" in facts
    result = {**(facts if ran else own), "dtype": "float64" if ran else "float32", "gradient": gradient}
    compared = "gradient_gap" in gradient
    same = compared and gradient["gradient_gap"] <= SAME_GRADIENT and not gradient["in_one_only"]
    if compared and not same:
        one = f", and {len(gradient['in_one_only'])} parameters have one in one mode only" if gradient["in_one_only"] else ""
        gap = f"the gradient of the first step differs by {gradient['gradient_gap']:.0e}{one}"
        return {**result, "outcome": "failed", "judge": "gradient", "problem": gap}
    if ran and (facts["outcome"] == "equal" or not facts["departs_at"]):
        return {**result, "judge": "float64"}
    if same:
        return {**result, "outcome": "close", "judge": "gradient", "problem": ""}
    return {**result, "outcome": "failed", "judge": "none", "problem": f"not proven: {gradient.get('error', 'no control')}"}


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
