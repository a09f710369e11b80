"""Pairs of tensors that a script recorded, each judged on its maximum."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from forklift.errors import ForkliftError
from forklift.model import CheckResult, Tolerance, Workspace
from forklift.running.runner import ScriptSpec, Stopwatch, fresh_directory, read_json, reference, script

if TYPE_CHECKING:
    from forklift.running.compare import Array, Comparison

# the section of PR.md: totals here, every pair in the bundle's tables
SECTION = """
Errors are maxima over all elements; `max rel` is relative to the tensor's largest magnitude, `float64` the same for the pairs that
were computed in float64 on both sides. `zero` counts tensors whose reference is zero within the absolute tolerance (gradients that
vanish mathematically): they are judged by it, and have no relative error.

| stage | pairs | max abs | mean abs (worst pair) | max rel | float64 | zero | failed |
|---|---|---|---|---|---|---|---|
{% for stage, facts in result.details.stages.items() %}
| {{ [stage, facts.pairs, facts.max_abs | number, facts.mean_abs | number, facts.max_rel | number,
      facts.float64 | number, facts.zero, facts.failed] | join(" | ") }} |
{% endfor %}
"""


class PairsSpec(ScriptSpec, frozen=True, kw_only=True):
    """A check whose script records pairs (got, want) with `proving.record.Recorder`."""

    section = SECTION

    stages: list[str] = []
    tolerance: list[Tolerance] = []

    def problems(self, directory: Path) -> Iterator[str]:
        yield from super().problems(directory)
        if not self.stages:
            yield "stages is empty, so it could pass on nothing"
        for entry in self.tolerance:
            if len(entry.why) < 20:
                yield f"tolerance for {entry.match!r} has no why"
            for name in ("rtol", "atol"):
                value = getattr(entry, name)
                if value is not None and not (math.isfinite(value) and value >= 0):
                    yield f"tolerance for {entry.match!r}: {name} is {value}, want a finite number that is not negative"
            if entry.rtol is not None and entry.rtol >= 1:
                yield f"tolerance for {entry.match!r}: rtol {entry.rtol:g} accepts anything"

    def origin(self, pair: dict[str, Any], want: Array, kept: Array | None, reference: Path) -> str:
        """What is wrong with where `want` comes from."""
        from forklift.running.compare import is_single

        if "source" in pair:
            return from_reference(pair, want, kept, reference)
        # a stored value may be float32 where the original computes it so, a loss in transformers for instance
        return f"want is {want.dtype} under a key that ends in .f64" if pair["key"].endswith(".f64") and is_single(want) else ""

    def judged(self, workspace: Workspace, *extra: str | Path) -> CheckResult:
        """Run the script and judge every pair; a stage without a pair is an error."""
        watch = Stopwatch(workspace, self)
        out = fresh_directory(workspace, self.label)
        try:
            script(workspace, self, out, *extra)
            pairs = judge(out, self, reference(workspace))
        except ForkliftError as problem:
            return watch.broken(problem)
        bad = [pair for pair in pairs if pair.problem]
        stages = by_stage(pairs)
        details = {"stages": stages, "pairs": [msgspec.to_builtins(pair) for pair in pairs]}
        summary = "  ".join(f"{stage} {headline(facts)}" for stage, facts in stages.items())
        if bad:
            first = max(bad, key=lambda pair: pair.max_rel)
            summary = f"{len(bad)} of {len(pairs)} pairs differ: {first.key}: {first.problem}"
        return watch.judged(not bad, summary, details)


def from_reference(pair: dict[str, Any], want: Array, kept: Array | None, reference: Path) -> str:
    """What is wrong where `want` is not what the reference set holds at the place that the recorder named."""
    import numpy as np

    source = pair["source"]
    path = (reference / source["file"]).resolve()
    if not path.is_relative_to(reference.resolve()) or not path.is_file():
        return f"its reference {source['file']} is not in {reference.name}/"
    try:
        stored = _stored(path, source["key"])
    except (KeyError, IndexError, ValueError, TypeError):
        return f"{source['file']} holds no {source['key']}"
    flat: Array = np.asarray(stored).reshape(-1)
    if kept is not None:
        flat = np.where(kept, flat, np.asarray(source["fill"], flat.dtype)) if "fill" in source else flat[kept]
    same = flat.size == want.size and np.array_equal(flat.astype(want.dtype), want.reshape(-1), equal_nan=want.dtype.kind == "f")
    return "" if same else f"want is not what {source['file']} holds at {source['key']}"


def _stored(path: Path, key: str) -> Any:
    """An array of an .npz, or a value of a .json by the path `a.0.b`."""
    import numpy as np

    if path.suffix == ".npz":
        with np.load(path) as stored:
            return stored[key]
    value = json.loads(path.read_text())
    for word in key.split("."):
        value = value[int(word)] if isinstance(value, list) else value[word]
    return value


def headline(facts: dict[str, Any]) -> str:
    """The float64 figure is the one that tells a right port from a wrong one."""
    single = f"{facts['max_rel']:.1e}"
    if facts["float64"] is None:
        return single
    double = f"float64 {facts['float64']:.1e}"
    return f"{single} ({double})" if facts["max_rel"] else double  # a stage may be compared in float64 alone


def judge(out: Path, spec: PairsSpec, reference: Path) -> list[Comparison]:
    """All pairs in `out`, judged by the defaults and change.toml's tolerances."""
    from forklift.running.compare import compare

    index = read_json(out / "pairs.json")
    tensors = _load(out / "pairs.safetensors")
    silent = [stage for stage in spec.stages if stage not in {pair["stage"] for pair in index}]
    if silent or not index:
        raise ForkliftError(
            "the script recorded nothing for a stage",
            [("stages", ", ".join(silent) or "(none at all)"), ("file", out / "pairs.json")],
            "record a pair for it, or take the stage out of change.toml",
        )
    compared = []
    for pair in index:
        got, want, kept = (tensors.get(f"{side}/{pair['key']}") for side in ("got", "want", "keep"))
        if got is None or want is None:
            raise ForkliftError("a recorded pair has no tensors", [("key", pair["key"]), ("file", out / "pairs.safetensors")])
        result = compare(pair["stage"], pair["key"], got, want, spec.tolerance)
        if not result.problem:
            result = msgspec.structs.replace(result, problem=spec.origin(pair, want, kept, reference))
        compared.append(result)
    return compared


def _load(path: Path) -> dict[str, Array]:
    # imported here: numpy takes longer than most commands
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (FileNotFoundError, SafetensorError) as broken:
        raise ForkliftError(
            "the script's tensors cannot be read", [("file", path), ("because", broken)], "read its log"
        ) from broken


def by_stage(pairs: list[Comparison]) -> dict[str, dict[str, Any]]:
    """The worst of each stage; `float64` is None where no pair was computed in float64.

    A tensor that is zero within its absolute tolerance has no scale to be relative to: it counts as `zero`, and its error is part
    of the absolute figures alone. It is judged like any other.
    """
    stages: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        blank = {"pairs": 0, "max_abs": 0.0, "mean_abs": 0.0, "max_rel": 0.0, "float64": None, "zero": 0, "failed": 0}
        facts = stages.setdefault(pair.stage, blank)
        zero = not pair.problem and 0.0 < pair.scale <= pair.atol
        facts["pairs"] += 1
        facts["zero"] += zero
        facts["failed"] += bool(pair.problem)
        for name in ("max_abs", "mean_abs"):
            facts[name] = max(facts[name], getattr(pair, name))
        if not zero:
            name = "float64" if pair.key.endswith(".f64") else "max_rel"
            facts[name] = max(facts[name] or 0.0, pair.max_rel)
    return stages
