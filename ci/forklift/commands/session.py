"""What several commands share: run changes and bundle them, open a pull request, open a rebased change."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock

from forklift import pipeline
from forklift.branch import changes, landed, suites
from forklift.branch import edit as worktree
from forklift.branch.rebase import Carried
from forklift.errors import ForkliftError, Reason, UsageError
from forklift.model import BaseKind, BaseTree, Change, CheckResult, FeatureBranch, Outcome, Report, Suite
from forklift.results import bundle, status
from forklift.results.console import Console
from forklift.sweep import listing as sweep_list
from forklift.sweep import run as sweeps
from forklift.system import guard, shell
from forklift.system.git import Git
from forklift.system.paths import Project, current_project
from forklift.workspace import environment
from forklift.workspace import tree as workspaces


def options(
    base: BaseKind | None, paddle: str, jobs: int, no_cache: bool, only: list[str] | None, reference: Path | None
) -> pipeline.Options:
    """The command line's choices in one value."""
    resolved = reference.resolve() if reference else None
    return pipeline.Options(base=base, paddle=paddle, jobs=jobs, use_cache=not no_cache, only=tuple(only or ()), reference=resolved)


def run(
    ids: list[str], chosen: pipeline.Options, console: Console, record: bool, bundled: bool = True
) -> list[tuple[Report, Path | None]]:
    """Run the changes (all where `ids` is empty) through one queue; one that fails never stops the others."""
    project = current_project()
    rows, chosen = _in_order(project, changes.select(project, ids), chosen)
    _refuse_unknown_checks(rows, chosen)
    _refuse_unknown_paddle(rows, chosen)
    bundles: dict[str, Path | None] = {}

    def finished(report: Report, built: FeatureBranch | None) -> Report:
        report, target = _bundled(project, built, report, console) if bundled and built else (report, None)
        if record and built:
            status.record(built.change, report, built.base.kind)
        if target and built:
            name, repository = built.change.file.branch, _short(project, built.base.git_dir)
            console.say(f"{report.change}: bundle in {_short(project, target)}, branch {name} in {repository}")
        bundles[report.change] = target
        return report

    with contextlib.ExitStack() as stack:
        for change in rows:
            stack.enter_context(guard.only_run(project, change.id))
        stack.enter_context(console.progress(_title(rows), sum(len(change.file.checks) + 1 for change in rows)))
        reports = pipeline.run(project, rows, chosen, console.result, finished)
    return [(report, bundles[report.change]) for report in reports]


def _title(rows: list[Change]) -> str:
    return rows[0].id if len(rows) == 1 else f"{len(rows)} changes"


def _in_order(project: Project, rows: list[Change], chosen: pipeline.Options) -> tuple[list[Change], pipeline.Options]:
    """The costliest change first. With FORKLIFT_BUDGET_S, those that differ from the last landed state come before all others, and
    these follow in an order that turns with the commit, so that what did not fit this time comes first another time."""
    rows = sorted(rows, key=lambda change: -sum(spec.cost_s for spec in change.file.checks))
    budget = os.environ.get("FORKLIFT_BUDGET_S")
    if not budget:
        return rows, chosen
    first = landed.differing(project, [change.id for change in rows])
    others = [change for change in rows if change.id not in first]
    turn = landed.number(project) % max(1, len(others))
    end = float(os.environ.get("FORKLIFT_STARTED") or time.time()) + float(budget)
    chosen = msgspec.structs.replace(chosen, budget=pipeline.Budget(end, frozenset(first)))
    return [*(change for change in rows if change.id in first), *others[turn:], *others[:turn]], chosen


def _bundled(project: Project, built: FeatureBranch, report: Report, console: Console) -> tuple[Report, Path | None]:
    try:
        return report, bundle.write(project, built, report)
    except ForkliftError as problem:
        details = {"facts": dict(problem.facts), "next": problem.next_step}
        reason = problem.reason or Reason.SCRIPT_FAILED
        line = CheckResult(report.change, "bundle", "bundle", Outcome.ERROR, problem.what, 0.0, reason, details)
        console.result(line)
        return msgspec.structs.replace(report, results=(*report.results, line)), None


def sweep(change_id: str, limits: sweeps.Limits, base: BaseKind | None, console: Console) -> int:
    """Run the rows that are not done, write evidence/rows.jsonl; 1 where a row failed."""
    project = current_project()
    change = changes.find(project, change_id)
    if change.file.sweep is None:
        raise UsageError(f"{change_id} has no [sweep]", [("file", change.directory / "change.toml")], "forklift list")
    with guard.only_run(project, f"{change_id}-sweep-{limits.shard.replace('/', 'of')}"):
        built, _ = pipeline.build(project, change, pipeline.Options(base=base))
        # a tree of its own: a check of a later state of the change drops the earlier trees of its name
        tree, _ = workspaces.lay_out(project, built.base, built.head, built.tree, f"{change_id}-sweep")
        target = change.directory / "evidence" / ("rows.jsonl" if limits.paddle == "2.6" else f"rows-paddle{limits.paddle}.jsonl")

        def tell(row: dict[str, Any]) -> None:
            console.row(row)
            with FileLock(project.cache / "locks" / f"{change_id}-evidence.lock"):  # another shard may write at the same moment
                sweeps.write_evidence(target, [row], project.root)

        with console.progress(change_id, len(sweeps.rows(built, change.file.sweep, limits))):
            found = sweeps.run(project, built, tree, change.file.sweep, limits, tell)
    counts = {word: sum(row["outcome"] == word for row in found) for word in ("equal", "close", "failed")}
    console.say(f"{change_id}: {len(found)} rows, " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    return 1 if counts["failed"] or not found else 0


def write_list(change_id: str, console: Console) -> int:
    """The list of models of a change from its evidence."""
    project = current_project()
    for target in sweep_list.write(changes.find(project, change_id), project.root):
        console.say(_short(project, target))
    return 0


def self_test(project: Project, suite: Suite, paddle: str) -> int:
    """pytest over ci/tests/in_suite in the environment that check scripts run in."""
    python = environment.ensure(project, suite, paddle)
    env = environment.variables(project, project.ci, suite, "release", paddle, shell.cores())
    words = ["-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", "-c"]
    log = project.cache / "logs" / f"self-test-{paddle}.log"
    done = shell.run(
        [python, *words, os.devnull, project.ci / "tests" / "in_suite"], cwd=project.ci, env=env, log=log, timeout=900, check=False
    )
    print(done.tail if done.status else done.tail.splitlines()[-1], flush=True)
    return 1 if done.status else 0


def _short(project: Project, path: Path) -> str:
    return str(path.relative_to(project.root)) if path.is_relative_to(project.root) else str(path)


def _refuse_unknown_checks(rows: list[Change], chosen: pipeline.Options) -> None:
    known = {word for change in rows for spec in change.file.checks for word in (spec.label, spec.kind)}
    for word in chosen.only:
        if word not in known:
            raise UsageError(f"no check {word!r}", [("have", " ".join(sorted(known)))], "--only NAME")


def _refuse_unknown_paddle(rows: list[Change], chosen: pipeline.Options) -> None:
    known = list(dict.fromkeys(word for change in rows for word in change.suite.locks))
    if rows and chosen.paddle not in known:
        raise UsageError(f"no environment for PADDLE={chosen.paddle}", [("have", " ".join(known))], "--paddle NAME")


def open_pull_request(change_id: str, target: Path, console: Console) -> int:
    """Run `git push` and `gh pr create` from the fork; where gh or the fork is missing, print the commands."""
    project = current_project()
    change = changes.find(project, change_id)
    words = bundle.open_words(change, target)
    fork = project.forks / change.suite.name
    if shutil.which("gh") is None or not (fork / ".git").exists():
        why = "gh is not project" if shutil.which("gh") is None else f"forks/{change.suite.name} is not set up"
        console.say(f"{why}: run these in your clone of {change.suite.name}, after {target}/commands.sh")
        for command in words:
            console.say("  " + " ".join(f"'{word}'" if " " in word else word for word in command))
        return 0
    for command in words:
        shell.run(command, cwd=fork)
    return 0


def of_suite(suite: Suite) -> list[Change]:
    """All changes of one suite."""
    return [change for change in changes.select(current_project()) if change.suite.name == suite.name]


def open_rebased(project: Project, change: Change, base: BaseTree, done: Carried) -> Path:
    """A work tree of the change on its new commit; `save` then writes it against that commit."""
    repository = Git(base.git_dir)
    identity = suites.load(project.ci).identity
    head = repository.commit_tree(done.tree, done.onto, f"{change.id} rebased\n", identity, change.suite.pin_date)
    onto = repository.line("rev-parse", f"{done.onto}^{{tree}}")
    return worktree.open_commit(project, change, worktree.Opened(str(base.git_dir), done.onto, onto, fresh=True), head)
