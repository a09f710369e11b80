"""pin: move a suite to another commit of its upstream, and every change of the suite with it."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import msgspec

from forklift.branch import base as bases
from forklift.branch import changes, edit, rebase, suites
from forklift.errors import UsageError
from forklift.model import BaseTree, Change, Suite
from forklift.system.files import write_whole
from forklift.system.git import Git
from forklift.system.paths import Project


class Moved(msgspec.Struct, frozen=True):
    """How one change came along: `saved` (written against the new pin), `conflicts` (a work tree is open), `already upstream`."""

    change: str
    verdict: str
    paths: tuple[str, ...]
    opened: str = ""


def move(project: Project, suite: Suite, revision: str, why: str) -> tuple[str, list[Moved]]:
    """The new pin, and one entry for each change. Refused where an opened work tree would be lost."""
    base = bases.resolve(project, suite, "fork")
    repository = Git(base.git_dir)
    commit = rebase.commit_of(base, revision)
    own = changes.of_suite(project, suite)
    for change in own:
        edit.refuse_opened(project, change)
    carried = [(change, rebase.rebase(change, base, commit)) for change in own]
    date = repository.line("log", "-1", "--format=%cI", commit)
    subject = repository.line("log", "-1", "--format=%s", commit)
    _write(project, suite, commit, date, why or f"at: {subject[:60]}")
    if not any(path.name != ".git" for path in (project.forks / suite.name).iterdir()):  # borrowed: no files to keep in step
        repository.call("update-ref", "--no-deref", "HEAD", commit)
        repository.call("read-tree", "HEAD")
    new = msgspec.structs.replace(suite, pin=commit, pin_date=date)
    return commit, [_bring_along(project, change, base, new, done) for change, done in carried]


def _bring_along(project: Project, change: Change, base: BaseTree, suite: Suite, done: rebase.Carried) -> Moved:
    change = msgspec.structs.replace(change, suite=suite)
    if done.verdict == "already upstream":
        return Moved(change.id, done.verdict, done.paths)
    place = open_carried(project, change, base, done)
    if done.verdict == "conflicts":
        return Moved(change.id, done.verdict, done.paths, project.short(place))
    saved = edit.save(project, change)
    edit.discard(project, change)
    return Moved(change.id, "saved", (*saved.written, *saved.removed, *saved.problems))


def open_carried(project: Project, change: Change, base: BaseTree, done: rebase.Carried) -> Path:
    """A work tree of the change on its new commit; `save` then writes it against that commit."""
    repository = Git(base.git_dir)
    identity = suites.load(project.ci).identity
    head = repository.commit_tree(done.tree, done.onto, f"{change.id} rebased\n", identity, change.suite.pin_date)
    onto = repository.line("rev-parse", f"{done.onto}^{{tree}}")
    place = edit.open_commit(project, change, edit.Opened(str(base.git_dir), done.onto, onto, fresh=True), head)
    edit.merge_rest(change, place, done.unmerged)
    return place


def _write(project: Project, suite: Suite, commit: str, date: str, why: str) -> None:
    """suites.toml, the comment in .gitmodules, and the gitlink."""
    path = project.ci / "suites.toml"
    text = path.read_text()
    start = text.index(f'name = "{suite.name}"')
    end = text.find("[[suite]]", start) if "[[suite]]" in text[start:] else len(text)
    part = text[start:end]
    for key, value in (("pin", commit), ("pin_date", date), ("pin_why", why)):
        # a function, since a replacement text would read backslashes
        part, count = re.subn(rf"^{key} = .*$", partial(_entry, key, value), part, flags=re.M)
        if count != 1:
            raise UsageError(f"{suite.name} has no {key}", [("file", path)], "add it, then run the command again")
    write_whole(path, (text[:start] + part + text[end:]).encode())
    modules = project.root / ".gitmodules"
    old = modules.read_text()
    line = f"# {commit[:10]} ({date[:10]}): {why}\n"
    header = f'[submodule "forks/{suite.name}"]\n'
    new = re.sub(rf"(?:^#[^\n]*\n)?{re.escape(header)}", lambda _: line + header, old, count=1, flags=re.M)
    write_whole(modules, new.encode())
    bases.set_gitlink(project, suite, commit)
    suites.load.cache_clear()


def _entry(key: str, value: str, found: re.Match[str]) -> str:
    return f"{key} = {msgspec.json.encode(value).decode()}"
