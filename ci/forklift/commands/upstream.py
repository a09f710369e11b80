"""upstream: each change on the newest commit of upstream that its fork's repository knows."""

from __future__ import annotations

from pathlib import Path

import msgspec

from forklift.branch import base as bases
from forklift.branch import changes, edit, rebase, suites, upstream
from forklift.errors import UsageError
from forklift.model import Change
from forklift.results import newest
from forklift.results.console import Console
from forklift.system.git import Git
from forklift.system.paths import Project


def run(project: Project, what: str | None, record: bool, console: Console) -> int:
    """Look at the changes of a suite, at one change, or at all; 1 where one conflicts and no series for that commit builds."""
    chosen = _chosen(project, what)
    bad = 0
    for change in chosen:
        found = look(project, change)
        if record:
            newest.write(change, found)
        if console.as_json:
            print(msgspec.json.encode(found).decode(), flush=True)
        _say(console, found)
        bad += found.verdict == "conflicts" and not found.series.startswith("builds")
    for suite in {change.suite.name: change.suite for change in chosen}.values():
        tip = upstream.newer(bases.resolve(project, suite, "fork"))
        if tip:
            console.say(f"{suite.name}: the repository knows a newer commit {tip}; name it in [suite.newest] of ci/suites.toml")
    return 1 if bad else 0


def look(project: Project, change: Change) -> upstream.Standing:
    """One change on the newest commit."""
    if change.suite.newest is None:
        raise UsageError(f"no newest commit of {change.suite.name} is named", [], "add [suite.newest] to ci/suites.toml")
    base = bases.resolve(project, change.suite, "fork")
    return upstream.stand(project, change, base, rebase.commit_of(base, change.suite.newest.commit))


def open_newest(project: Project, change: Change) -> Path:
    """A work tree of the series for the newest commit, with conflict marks where an edit does not merge; `save` writes newest/."""
    base = bases.resolve(project, change.suite, "fork")
    done = rebase.rebase(change, base, base.commit)
    repository = Git(base.git_dir)
    identity = suites.load(project.ci).identity
    tree = done.tree or base.tree
    head = repository.commit_tree(tree, base.commit, f"{change.id}\n", identity, change.suite.pin_date)
    place = edit.open_commit(project, change, edit.Opened(str(base.git_dir), base.commit, tree), head)
    edit.merge_rest(change, place, done.unmerged)
    return place


def _chosen(project: Project, what: str | None) -> list[Change]:
    if what is None:
        return changes.select(project)
    if what in changes.directories(project):
        return [changes.find(project, what)]
    if what in {word for suite in suites.load(project.ci).suite for word in (suite.short, suite.name)}:
        return changes.of_suite(project, suites.find(project.ci, what))
    return [changes.find(project, what)]


def _say(console: Console, found: upstream.Standing) -> None:
    console.say(f"{found.change}: {found.verdict}{' in ' + found.by if found.by else ''}, on {found.commit[:10]} ({found.date})")
    for label, rows in (("conflict", found.conflicts), ("clash", found.clashes)):
        for row in rows:
            console.say(f"  {label}  {row}")
    for thing in found.there:
        place = f" in {thing.where}" if thing.where not in ("", thing.name) else ""
        console.say(f"  there  {thing.kind} {thing.name}{place}: {thing.commit}")
    if found.series:
        console.say(f"  series for this commit: {found.series}")
