"""What a row of a sweep shows: equal, close or failed, mode by mode, and where the losses part."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from forklift.running.losses import Failure, Run, judge
from forklift.sweep.result import Control, Gradient, ModeResult, Outcome, RowResult, Summary

EQUAL, CLOSE = 1e-5, 1e-3
SAME_GRADIENT = 1e-6  # in float64; Dropout2D's factor, which a static program keeps in float32, makes up to 3e-7
NOT_RUN = Failure("", error="not run")


def summarise(runs: Mapping[str, Run | Failure], steps: int) -> Summary:
    """equal (<= 1e-5), close (<= 1e-3) or failed, from the best static mode; every mode with its own verdict."""
    reference = runs.get("dygraph", NOT_RUN)
    losses = {mode: [_short(loss) for loss in run.losses] if isinstance(run, Run) else [] for mode, run in runs.items()}
    if isinstance(reference, Failure):
        return Summary(outcome="failed", problem=str(reference), losses=losses, modes={}, places=reference.places)
    modes = {mode: _mode(reference, found, steps) for mode, found in runs.items() if mode != "dygraph"}
    return Summary(outcome=_best(modes), problem="", losses=losses, modes=modes)


def _mode(reference: Run, found: Run | Failure, steps: int) -> ModeResult:
    if isinstance(found, Failure):
        return ModeResult(outcome="failed", problem=str(found), places=found.places)
    verdict = judge(reference, found, steps, CLOSE)
    outcome: Outcome = "failed" if verdict.problem else "equal" if verdict.max_gap <= EQUAL else "close"
    breaks = found.proof.graph_break_reasons
    return ModeResult(outcome=outcome, departs_at=_departs(reference, found), breaks=breaks, **msgspec.structs.asdict(verdict))


def judged(first: RowResult, control: Summary, gradients: Mapping[str, Gradient], modes: list[str]) -> RowResult:
    """The row with a verdict on `modes`, which are not equal in its own type; `judge` says what decided.

    Losses in float64 decide where they are equal, and the gradients of the first step where rounding grows too fast even there. A
    gradient that is another one fails a mode whatever its losses do. Where neither could be had, the mode is not proven.
    """
    found = {mode: _verdict(first.modes[mode], control.modes.get(mode), gradients[mode]) for mode in modes}
    rest = {mode: msgspec.structs.replace(facts, dtype="float32") for mode, facts in first.modes.items()}
    all_modes = {mode: found.get(mode, rest[mode]) for mode in first.modes}
    took = {mode for mode in modes if found[mode].dtype == "float64" and control is not first}
    losses = {mode: control.losses.get(mode, values) if mode in took else values for mode, values in first.losses.items()}
    if took:
        losses["dygraph"] = control.losses["dygraph"]
    gaps = {mode: facts.gap for mode, facts in first.modes.items()}
    failed = Control(control.problem, control.places) if control.problem else None
    changes = {"modes": all_modes, "losses": losses, "outcome": _best(all_modes), "float32": gaps, "float64": failed}
    return msgspec.structs.replace(first, **changes)


def _verdict(own: ModeResult, control: ModeResult | None, gradient: Gradient) -> ModeResult:
    in_float64 = control is not None and control.ran
    facts = control if control is not None and in_float64 else own

    def decided(by: str, outcome: Outcome, problem: str) -> ModeResult:
        dtype = "float64" if in_float64 else "float32"
        return msgspec.structs.replace(facts, dtype=dtype, gradient=gradient, judge=by, outcome=outcome, problem=problem)

    gap, one_only = gradient.gradient_gap, len(gradient.in_one_only)
    if gap is not None and (not gap <= SAME_GRADIENT or one_only):  # nan is no proof
        one = f", and {one_only} parameters have one in one mode only" if one_only else ""
        return decided("gradient", "failed", f"the gradient of the first step differs by {gap:.0e}{one}")
    if in_float64 and (facts.outcome == "equal" or not facts.departs_at):
        return decided("float64", facts.outcome, facts.problem)
    if gap is not None:
        return decided("gradient", "close", "")
    return decided("none", "failed", f"not proven: {gradient.error or 'no control'}")


def _best(modes: Mapping[str, ModeResult]) -> Outcome:
    order: list[Outcome] = ["equal", "close", "failed"]
    return min((facts.outcome for facts in modes.values()), key=order.index, default="failed")


def _departs(reference: Run, found: Run) -> int:
    """The first step, from 1, whose losses are not equal; 0 where all are."""
    pairs = zip(found.losses, reference.losses, strict=False)
    apart = (a is None or b is None or abs(a - b) > EQUAL * abs(b) for a, b in pairs)
    return next((step for step, differs in enumerate(apart, 1) if differs), 0)


def _short(loss: float | None) -> float | None:
    """Nine digits: a float32 to its last bit."""
    return None if loss is None else float(f"{loss:.9g}")
