"""The sequence for one change, as a list of steps: base, branch, environment, work tree, checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from forklift import base as bases
from forklift import branch as branches
from forklift import cache, changes, environment, gpu, shell, workspace
from forklift.checks import KINDS
from forklift.errors import ForkliftError, Reason
from forklift.model import BaseKind, BaseTree, Change, CheckResult, CheckSpec, FeatureBranch, Outcome, Report, Workspace
from forklift.paths import House

Listener = Callable[[CheckResult], None]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line chooses."""

    base: BaseKind | None = None
    paddle: str = "2.6"
    jobs: int = 1
    use_cache: bool = True
    only: tuple[str, ...] = ()
    reference: Path | None = None


def build(house: House, change: Change, options: Options) -> tuple[FeatureBranch, CheckResult]:
    """Base and branch, with the line that says what they are."""
    started = time.monotonic()
    base = bases.resolve(house, change.suite, options.base)
    branch = branches.build(house, change, base)
    what = base.label
    if branch.absent:
        what += f"; {len(branch.absent)} edits absent at release base"
    seconds = round(time.monotonic() - started, 2)
    details = {"commits": list(branch.commits), "absent": list(branch.absent)}
    return branch, CheckResult(change.id, "base", "base", Outcome.PASSED, what, seconds, details=details)


def run(house: House, change: Change, options: Options, tell: Listener) -> tuple[Report, FeatureBranch | None]:
    """Build the branch and run its checks, longest first. A failure of one never stops the others."""
    stage = "base"
    try:
        branch, line = build(house, change, options)
        tell(line)
        stage = "setup"
        results = [line, *_checks(house, branch, options, tell)]
    except ForkliftError as problem:
        other = Reason.BASE_MISSING if stage == "base" else Reason.ENV_FAILED
        line = CheckResult(change.id, stage, stage, Outcome.ERROR, problem.what, 0.0, problem.reason or other,
            {"facts": dict(problem.facts), "next": problem.next_step},
        )  # fmt: skip
        tell(line)
        return Report(change.id, change.suite.name, options.base or "", "", "", options.paddle, (line,)), None
    base = branch.base
    report = Report(
        change.id, change.suite.name, base.label, base.commit, branch.head, options.paddle, tuple(results), branch.absent
    )
    return report, branch


def _checks(house: House, branch: FeatureBranch, options: Options, tell: Listener) -> list[CheckResult]:
    specs = sorted(_chosen(branch.change, options), key=lambda spec: -spec.cost_s)
    if not specs:
        return []
    place, left_out = _workspace(house, branch, options)
    lines = [_incomplete(branch, left_out)] if left_out else []
    for line in lines:
        tell(line)

    def one(spec: CheckSpec) -> CheckResult:
        result = _one(house, place, spec, options)
        tell(result)
        return result

    def alone(spec: CheckSpec) -> CheckResult:
        result = _one(house, msgspec.structs.replace(place, threads=shell.cores()), spec, options)
        tell(result)
        return result

    # a benchmark measures nothing while others run: it comes last, alone, with all cores
    side_by_side = [spec for spec in specs if spec.kind != "benchmark"]
    results = [*shell.in_threads(options.jobs, one, side_by_side), *map(alone, (s for s in specs if s.kind == "benchmark"))]
    done = {result.check: result for result in results}
    return lines + [done[spec.label] for spec in branch.change.file.checks if spec.label in done]


def _incomplete(branch: FeatureBranch, left_out: list[str]) -> CheckResult:
    few = ", ".join(left_out[:3]) + (", ..." if len(left_out) > 3 else "")
    text = f"{len(left_out)} files left out, this copy of the fork lacks their content: {few}"
    return CheckResult(branch.change.id, "work tree", "base", Outcome.PASSED, text, 0.0, details={"left_out": left_out})


def _chosen(change: Change, options: Options) -> Iterable[CheckSpec]:
    wanted = set(options.only)
    return [spec for spec in change.file.checks if not wanted or spec.label in wanted or spec.kind in wanted]


def _workspace(house: House, branch: FeatureBranch, options: Options) -> tuple[Workspace, list[str]]:
    python = environment.ensure(house, branch.base.suite, options.paddle)
    directory, left_out = workspace.lay_out(house, branch.base, branch.head, branch.tree, branch.change.id)
    compare = any(spec.compare_base for spec in branch.change.file.checks)
    place = Workspace(
        branch,
        directory,
        workspace.base_directory(house, branch) if compare else None,
        python,
        options.paddle,
        house.cache / "run" / branch.change.id / f"{branch.base.kind}-{options.paddle}",
        max(1, shell.cores() // max(1, options.jobs)),
        options.reference,
    )
    return place, left_out


def _one(house: House, place: Workspace, spec: CheckSpec, options: Options) -> CheckResult:
    name = place.branch.change.id
    skip = _skip(place.branch.base, spec, options.paddle)
    if skip is not None:
        reason, text = skip
        return CheckResult(name, spec.label, spec.kind, Outcome.SKIPPED, text, 0.0, reason)
    key = cache.key(house, place.branch, spec, options.paddle, options.reference)
    stored = cache.load(house, key) if options.use_cache else None
    if stored is not None:
        return stored
    try:
        result = KINDS[spec.kind](place, spec)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as odd:
        facts = {"because": repr(odd), "output": str(place.results / spec.label)}
        details = {"facts": facts, "next": "compare what the script wrote with docs/check-scripts.md"}
        text = "the script's output has not the form of its kind"
        return CheckResult(name, spec.label, spec.kind, Outcome.ERROR, text, 0.0, Reason.SCRIPT_FAILED, details)
    cache.store(house, key, result)
    return result


def _skip(base: BaseTree, spec: CheckSpec, paddle: str) -> tuple[Reason, str] | None:
    if spec.needs == "fork" and base.kind == "release":
        return Reason.PARTIAL_BASE, f"needs the fork: make fork-{base.suite.short}"
    if paddle == "gpu" and not gpu.present():
        return Reason.NEEDS_GPU, "no GPU on this machine"
    if paddle != "gpu" and paddle not in spec.paddle:
        return Reason.OTHER_PADDLE, f"not run on paddle {paddle}; change.toml names {', '.join(spec.paddle)}"
    return None


def all_changes(house: House, ids: list[str]) -> list[Change]:
    """The named changes, costliest first, so that the long ones do not come last."""
    rows = changes.select(house, ids)
    return sorted(rows, key=lambda change: -sum(spec.cost_s for spec in change.file.checks))
