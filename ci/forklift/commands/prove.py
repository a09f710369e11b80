"""check, pr, test: run the checks of some changes through one queue, and bundle them."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import msgspec

from forklift import pipeline
from forklift.branch import changes, landed
from forklift.errors import ForkliftError, Reason, UsageError
from forklift.model import Change, CheckResult, FeatureBranch, Outcome, Report
from forklift.results import bundle, report, status
from forklift.results.console import Console
from forklift.system import guard
from forklift.system.paths import Project, current_project

ONLY_SKIPPED = 4


def run(
    ids: list[str], options: pipeline.Options, console: Console, record: bool, bundled: bool = True
) -> list[tuple[Report, Path | None]]:
    """Run the changes (all where `ids` is empty) through one queue; one that fails never stops the others."""
    project = current_project()
    chosen, options = _in_order(project, _wanted(project, ids, options), options)
    _refuse_unknown_checks(chosen, options)
    _refuse_unknown_paddle(chosen, options)
    bundles: dict[str, Path | None] = {}

    def finished(report: Report, built: FeatureBranch | None) -> Report:
        report, target = _bundled(project, built, report, console) if bundled and built else (report, None)
        if record and built:
            status.record(project, built, report)
        if target and built:
            name, repository = built.change.file.branch, project.short(built.base.git_dir)
            console.say(f"{report.change}: bundle in {project.short(target)}, branch {name} in {repository}")
        bundles[report.change] = target
        return report

    with contextlib.ExitStack() as stack:
        for change in chosen:
            stack.enter_context(guard.only_run(project, change.id))
        title = chosen[0].id if len(chosen) == 1 else f"{len(chosen)} changes"
        stack.enter_context(console.progress(title, sum(len(change.checks) + 1 for change in chosen)))
        reports = pipeline.run(project, chosen, options, console.result, finished)
    return [(report, bundles[report.change]) for report in reports]


def _wanted(project: Project, ids: list[str], options: pipeline.Options) -> list[Change]:
    chosen = changes.select(project, ids)
    return [changes.on_newest(change) for change in chosen] if options.newest else chosen


def exit_code(reports: list[Report]) -> int:
    """1 where a check failed; ONLY_SKIPPED where none failed, but none ran either."""
    if any(report.failed for report in reports):
        return 1
    checks = _checks(reports)
    return ONLY_SKIPPED if checks and all(result.outcome is Outcome.SKIPPED for result in checks) else 0


def everything(options: pipeline.Options, console: Console, record: bool) -> int:
    """Every change; report.json and junit.xml in out/, and a last line that counts."""
    reports = [report for report, _ in run([], options, console, record)]
    report.write(current_project().out, reports)
    checks = _checks(reports)
    counts = {kind: sum(result.outcome is kind for result in checks) for kind in Outcome}
    late = sum(result.reason is Reason.OUT_OF_TIME for result in checks)
    bad = counts[Outcome.FAILED] + counts[Outcome.ERROR]
    text = f"checks: {counts[Outcome.PASSED]} passed, {bad} failed, {counts[Outcome.SKIPPED]} skipped"
    console.say(text + (f", {late} of them out of time" if late else ""))
    return exit_code(reports) if checks else 1


def _checks(reports: list[Report]) -> list[CheckResult]:
    # that a branch was built is no check; that it was not is an error
    return [
        result for report in reports for result in report.results if result.kind != "base" or result.outcome is not Outcome.PASSED
    ]


def _in_order(project: Project, chosen: list[Change], options: pipeline.Options) -> tuple[list[Change], pipeline.Options]:
    """The costliest change first. With FORKLIFT_BUDGET_S, those that differ from the last landed state come before all others, and
    these follow in an order that turns with the commit, so that what did not fit this time comes first another time."""
    chosen = sorted(chosen, key=lambda change: -sum(spec.cost_s for spec in change.checks))
    budget = os.environ.get("FORKLIFT_BUDGET_S")
    if not budget:
        return chosen, options
    try:
        end = float(os.environ.get("FORKLIFT_STARTED") or time.time()) + float(budget)
    except ValueError as wrong:
        raise UsageError("FORKLIFT_BUDGET_S is not a number of seconds", [("have", budget)], "FORKLIFT_BUDGET_S=4200") from wrong
    first = landed.differing(project, [change.id for change in chosen])
    others = [change for change in chosen if change.id not in first]
    turn = landed.number(project) % max(1, len(others))
    options = msgspec.structs.replace(options, budget=pipeline.Budget(end, frozenset(first)))
    return [*(change for change in chosen if change.id in first), *others[turn:], *others[:turn]], options


def _bundled(project: Project, built: FeatureBranch, report: Report, console: Console) -> tuple[Report, Path | None]:
    try:
        return report, bundle.write(project, built, report)
    except ForkliftError as problem:
        details = {"facts": dict(problem.facts), "next": problem.next_step}
        reason = problem.reason or Reason.SCRIPT_FAILED
        line = CheckResult(report.change, "bundle", "bundle", Outcome.ERROR, problem.what, 0.0, reason, details)
        console.result(line)
        return msgspec.structs.replace(report, results=(*report.results, line)), None


def _refuse_unknown_checks(chosen: list[Change], options: pipeline.Options) -> None:
    known = {word for change in chosen for spec in change.checks for word in (spec.label, spec.kind)}
    for word in options.only:
        if word not in known:
            raise UsageError(f"no check {word!r}", [("have", " ".join(sorted(known)))], "--only NAME")


def _refuse_unknown_paddle(chosen: list[Change], options: pipeline.Options) -> None:
    known = list(dict.fromkeys(word for change in chosen for word in change.suite.locks))
    if chosen and options.paddle not in known:
        raise UsageError(f"no environment for PADDLE={options.paddle}", [("have", " ".join(known))], "--paddle NAME")
