"""The judge of pairs of tensors: on the maximum, never on a mean; no broadcasting, no transposing, no silent cast."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from forklift.model import Tolerance

Array = np.ndarray[Any, np.dtype[Any]]

# (rtol, atol) by stage; a key that ends in .f64 is a float64 run against a float64 reference
DEFAULTS: dict[str, tuple[float, float]] = {
    "forward": (1e-5, 1e-6),
    "loss": (1e-5, 0.0),
    "backward": (1e-4, 1e-6),
    "optimizer": (1e-4, 0.0),
}
OTHER_STAGE = (1e-5, 1e-5)
FLOAT64 = (1e-6, 1e-9)


class Comparison(msgspec.Struct, frozen=True):
    """One pair, judged. `problem` is empty where it passed."""

    stage: str
    key: str
    shape: list[int]
    dtype: str
    max_abs: float
    mean_abs: float
    max_rel: float
    scale: float
    rtol: float
    atol: float
    worst: list[int]
    problem: str = ""
    why: str = ""


def compare(stage: str, key: str, got: Array, want: Array, tolerances: Sequence[Tolerance] = ()) -> Comparison:
    """Passes where shape and kind of dtype agree, all is finite, and max|got - want| <= atol + rtol * max|want|."""
    rtol, atol, why = limits(stage, key, tolerances)
    blank = Comparison(stage, key, list(got.shape), str(got.dtype), math.inf, math.inf, math.inf, 0.0, rtol, atol, [], "", why)
    problem, where = _unfit(got, want)
    problem = problem or _unproven(key, got, rtol, atol)
    if problem:
        return msgspec.structs.replace(blank, problem=problem, worst=where)
    gap = np.abs(got.astype(np.float64) - want.astype(np.float64))
    if _kind(want) == "i":
        gap = np.where(got == want, 0.0, np.maximum(gap, 1.0))  # float64 cannot tell integers above 2**53 apart
    scale = float(np.abs(want.astype(np.float64)).max())
    max_abs, worst = float(gap.max()), [int(i) for i in np.unravel_index(int(gap.argmax()), gap.shape)]
    # relative to the tensor's scale: an element near zero carries the rounding of its neighbours
    max_rel = max_abs / scale if scale else (0.0 if max_abs == 0 else math.inf)
    bound = 0.0 if _kind(want) == "i" else atol + rtol * scale
    problem = "" if max_abs <= bound else f"max abs {max_abs:.3g} > {bound:.3g} at {worst}"
    return msgspec.structs.replace(
        blank, max_abs=max_abs, mean_abs=float(gap.mean()), max_rel=max_rel, scale=scale, worst=worst, problem=problem
    )


def _unfit(got: Array, want: Array) -> tuple[str, list[int]]:
    """Why two tensors cannot be compared at all, and where."""
    if got.shape != want.shape:
        return f"shape {got.shape}, want {want.shape}", []
    if _kind(got) != _kind(want):
        return f"dtype {got.dtype}, want {want.dtype}", []
    if not np.isfinite(want.astype(np.float64)).all():
        return "the reference itself is not finite", []
    holes = np.argwhere(~np.isfinite(got.astype(np.float64)))
    return (f"not finite at {holes[0].tolist()}", holes[0].tolist()) if len(holes) else ("", [])


def _unproven(key: str, got: Array, rtol: float, atol: float) -> str:
    """Why a comparison would prove nothing."""
    if got.size == 0:
        return "the pair has no elements"
    if not (math.isfinite(rtol) and math.isfinite(atol)):
        return f"rtol {rtol:g}, atol {atol:g}: a tolerance must be finite"
    return f"{got.dtype} under a key that ends in .f64" if key.endswith(".f64") and is_single(got) else ""


def is_single(array: Array) -> bool:
    """Whether it holds floats of less than 8 bytes."""
    return array.dtype.kind == "f" and array.dtype.itemsize < 8


def limits(stage: str, key: str, tolerances: Sequence[Tolerance]) -> tuple[float, float, str]:
    """(rtol, atol, why) for a key: the last matching entry of change.toml over the stage's default."""
    rtol, atol = FLOAT64 if key.endswith(".f64") else DEFAULTS.get(stage, OTHER_STAGE)
    why = ""
    for entry in tolerances:
        if fnmatch.fnmatchcase(key, entry.match):
            rtol = entry.rtol if entry.rtol is not None else rtol
            atol = entry.atol if entry.atol is not None else atol
            why = entry.why
    return rtol, atol, why


def _kind(array: Array) -> str:
    return "i" if array.dtype.kind in "iub" else "f" if array.dtype.kind == "f" else array.dtype.kind
