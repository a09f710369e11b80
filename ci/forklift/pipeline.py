"""The sequence for one change, as a list of steps: base, branch, environment, work tree, checks."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from forklift.branch import base as bases
from forklift.branch import build as branches
from forklift.errors import ForkliftError, Reason
from forklift.model import BaseKind, BaseTree, Change, CheckResult, CheckSpec, FeatureBranch, Outcome, Report, Workspace
from forklift.system import shell
from forklift.system.paths import Project
from forklift.workspace import cache, environment, gpu
from forklift.workspace import tree as trees

Listener = Callable[[CheckResult], None]
# what git says of a damaged object
_CORRUPT = re.compile(r"corrupt|inflate|bad object|loose object|unable to (read|unpack)|not a valid object|garbage at end")
Finisher = Callable[[Report, FeatureBranch | None], Report]


class Budget:
    """The time that a whole run may take (FORKLIFT_BUDGET_S).

    Changes in `first` always run. A check of any other change starts only if it is expected to end in time, judged by its cost in
    change.toml and by how much slower than that this machine has been so far.
    """

    def __init__(self, end: float, first: frozenset[str], clock: Callable[[], float] = time.time) -> None:
        self._end, self.first, self._clock = end, first, clock
        self._cost = self._taken = 0.0
        self._lock = threading.Lock()

    def allows(self, change_id: str, spec: CheckSpec) -> bool:
        slower = max(1.0, self._taken / self._cost) if self._cost else 1.0
        return change_id in self.first or self._clock() + spec.cost_s * slower < self._end

    def took(self, spec: CheckSpec, seconds: float) -> None:
        with self._lock:
            self._cost, self._taken = self._cost + spec.cost_s, self._taken + seconds


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line chooses."""

    base: BaseKind | None = None
    paddle: str = "2.6"
    jobs: int = 1
    use_cache: bool = True
    only: tuple[str, ...] = ()
    reference: Path | None = None
    sandbox: bool = False
    budget: Budget | None = None
    newest: bool = False


def build(project: Project, change: Change, options: Options) -> tuple[FeatureBranch, CheckResult]:
    """Base and branch, with the line that says what they are."""
    started = time.monotonic()
    try:
        branch = _built(project, change, options)
    except ForkliftError as problem:
        if problem.reason is not None or not _CORRUPT.search(str(problem)):
            raise
        bases.forget_release(project, change.suite)  # an object of ours is damaged: make the repository again
        branch = _built(project, change, options)
    base = branch.base
    what = base.label
    if branch.absent:
        what += f"; {len(branch.absent)} edits absent at release base"
    seconds = round(time.monotonic() - started, 2)
    details = {"commits": list(branch.commits), "absent": list(branch.absent)}
    return branch, CheckResult(change.id, "base", "base", Outcome.PASSED, what, seconds, details=details)


def _built(project: Project, change: Change, options: Options) -> FeatureBranch:
    return branches.build(project, change, bases.resolve(project, change.suite, "fork" if change.newest else options.base))


class _Run:
    """One change on its way through the queue: what is known of it, and which of its checks are not done."""

    def __init__(self, change: Change, options: Options) -> None:
        self.change = change
        self.specs = sorted(_chosen(change, options), key=lambda spec: -spec.cost_s)
        self.lines: list[CheckResult] = []
        self.results: dict[str, CheckResult] = {}
        self.branch: FeatureBranch | None = None
        self.workspace: Workspace | None = None
        self._lock = threading.Lock()

    def add(self, spec: CheckSpec, result: CheckResult) -> bool:
        """True for the result that was the last one missing."""
        with self._lock:
            self.results[spec.label] = result
            return len(self.results) == len(self.specs)

    def report(self, options: Options) -> Report:
        if self.branch is None:
            return Report(self.change.id, self.change.suite.name, options.base or "", "", "", options.paddle, tuple(self.lines))
        base, done = self.branch.base, self.results
        rows = (*self.lines, *(done[spec.label] for spec in self.change.checks if spec.label in done))
        return Report(
            self.change.id,
            self.change.suite.name,
            base.label,
            base.commit,
            self.branch.head,
            options.paddle,
            rows,
            self.branch.absent,
            environment.machine(),
        )


def run(project: Project, rows: list[Change], options: Options, tell: Listener, finished: Finisher) -> list[Report]:
    """One queue over all changes: while checks run, the next change gets its base, branch, environment and work tree.

    Within a change the longest check comes first. What measures time (`alone`) measures nothing while others run: it comes last,
    with all cores. `finished` gets each change as soon as its last result is there. A failure never stops what follows.
    """
    runs = [_Run(change, options) for change in rows]
    reports: dict[str, Report] = {}

    def close(run: _Run) -> None:
        reports[run.change.id] = finished(run.report(options), run.branch)

    def jobs() -> Iterator[tuple[_Run, CheckSpec]]:
        for run in runs:
            _prepare(project, run, options, tell)
            if not run.specs:
                close(run)
            yield from ((run, spec) for spec in run.specs if not spec.alone)

    def one(job: tuple[_Run, CheckSpec], threads: int = 0) -> None:
        run, spec = job
        assert run.workspace is not None
        workspace = msgspec.structs.replace(run.workspace, threads=threads) if threads else run.workspace
        result = _one(project, workspace, spec, options)
        tell(result)
        if run.add(spec, result):
            close(run)

    shell.in_threads(options.jobs, one, jobs())
    for run in runs:
        for spec in run.specs:
            if spec.alone:
                one((run, spec), shell.cores())
    return [reports[change.id] for change in rows]


def _prepare(project: Project, run: _Run, options: Options, tell: Listener) -> None:
    """Branch and work tree; what goes wrong is the change's one result, and it runs no check."""
    stage = "base"
    try:
        run.branch, line = build(project, run.change, options)
        run.lines.append(line)
        tell(line)
        stage = "setup"
        if run.specs:
            run.workspace, left_out = _workspace(project, run.branch, options)
            if left_out:
                run.lines.append(_incomplete(run.branch, left_out))
                tell(run.lines[-1])
    except ForkliftError as problem:
        other = Reason.BASE_MISSING if stage == "base" else Reason.ENV_FAILED
        details = {"facts": dict(problem.facts), "next": problem.next_step}
        line = CheckResult(run.change.id, stage, stage, Outcome.ERROR, problem.what, 0.0, problem.reason or other, details)
        tell(line)
        run.branch, run.specs, run.lines = None, [], [line]


def _incomplete(branch: FeatureBranch, left_out: list[str]) -> CheckResult:
    few = ", ".join(left_out[:3]) + (", ..." if len(left_out) > 3 else "")
    text = f"{len(left_out)} files left out, this copy of the fork lacks their content: {few}"
    return CheckResult(branch.change.id, "work tree", "base", Outcome.PASSED, text, 0.0, details={"left_out": left_out})


def _chosen(change: Change, options: Options) -> Iterable[CheckSpec]:
    wanted = set(options.only)
    return [spec for spec in change.checks if not wanted or spec.label in wanted or spec.kind in wanted]


def _workspace(project: Project, branch: FeatureBranch, options: Options) -> tuple[Workspace, list[str]]:
    python = environment.ensure(project, branch.base.suite, options.paddle)
    directory, left_out = trees.lay_out(project, branch.base, branch.head, branch.tree, branch.change.id)
    compare = any(getattr(spec, "compare_base", False) for spec in branch.change.checks)
    workspace = Workspace(
        branch,
        directory,
        trees.base_directory(project, branch) if compare else None,
        python,
        options.paddle,
        project.cache / "run" / branch.change.id / f"{branch.base.kind}-{options.paddle}",
        max(1, shell.cores() // max(1, options.jobs)),
        options.reference,
        options.sandbox,
    )
    return workspace, left_out


def _one(project: Project, workspace: Workspace, spec: CheckSpec, options: Options) -> CheckResult:
    name = workspace.branch.change.id
    skip = _skip(workspace.branch.base, spec, options.paddle)
    if skip is not None:
        reason, text = skip
        return CheckResult(name, spec.label, spec.kind, Outcome.SKIPPED, text, 0.0, reason)
    key = cache.key(project, workspace.branch, spec, options.paddle, options.reference)
    stored = cache.load(project, key) if options.use_cache else None
    if stored is not None:
        return stored
    budget = options.budget
    if budget is not None and not budget.allows(name, spec):
        return CheckResult(
            name, spec.label, spec.kind, Outcome.SKIPPED, "the run's time was up (FORKLIFT_BUDGET_S)", 0.0, Reason.OUT_OF_TIME
        )
    try:
        result = spec.run(workspace)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as odd:
        facts = {"because": repr(odd), "output": str(workspace.results / spec.label)}
        details = {"facts": facts, "next": "compare what the script wrote with docs/check-scripts.md"}
        text = "the script's output does not match its check kind"
        return CheckResult(name, spec.label, spec.kind, Outcome.ERROR, text, 0.0, Reason.SCRIPT_FAILED, details)
    if budget is not None:
        budget.took(spec, result.seconds)
    cache.store(project, key, result)
    return result


def _skip(base: BaseTree, spec: CheckSpec, paddle: str) -> tuple[Reason, str] | None:
    if spec.needs == "fork" and base.kind == "release":
        return Reason.PARTIAL_BASE, f"needs the fork: make fork-{base.suite.short}"
    if paddle == "gpu" and not gpu.present():
        return Reason.NEEDS_GPU, "no GPU on this machine"
    if paddle != "gpu" and paddle not in spec.paddle:
        return Reason.OTHER_PADDLE, f"not run on paddle {paddle}; change.toml names {', '.join(spec.paddle)}"
    return None
