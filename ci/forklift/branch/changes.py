"""Load and select changes: patches/<suite>/<change>/change.toml."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import Path

import msgspec

from forklift.branch import suites
from forklift.branch.unsafe import problems
from forklift.checks import AnySpec, loss_consistency
from forklift.errors import UsageError, nearest
from forklift.model import Change, ChangeFile, CheckSpec, Commit, Series, Suite
from forklift.system.paths import Project


class _File(ChangeFile, frozen=True):
    """change.toml with the kinds of checks that there are."""

    check: list[AnySpec] = []


def load(project: Project, directory: Path) -> Change:
    """One change from its directory."""
    file = suites.decode(directory / "change.toml", _File)
    rows = [loss_consistency.of_row(file.sweep, name) for name in file.sweep.ci_rows] if file.sweep else []
    overlay, edits = _files(directory / "overlay"), _files(directory / "edits")
    checks = (*file.check, *rows)
    unsafe = list(problems(file, directory, checks, {"overlay": overlay, "edits": edits}))
    if unsafe:
        facts = [("file", directory / "change.toml"), ("all", "\n".join(unsafe))]
        raise UsageError("a change is refused", facts, "correct it; docs/change-toml.md says what each entry may be")
    names = tuple(path.removesuffix(".patch") for path in edits if path.endswith(".patch"))
    return Change(file, suites.find(project.ci, file.suite), directory, checks, overlay, names)


def directories(project: Project) -> dict[str, Path]:
    """{id: directory} of every change, by the path alone: a broken manifest does not hide the others."""
    found = {}
    for manifest in sorted(project.patches.glob("*/*/change.toml")):
        found[f"{manifest.parent.parent.name}-{manifest.parent.name}"] = manifest.parent
    return found


def find(project: Project, change_id: str) -> Change:
    """A change by its id; the error names the nearest."""
    known = directories(project)
    if change_id not in known:
        raise UsageError(
            f"no change {change_id!r}", [("have", " ".join(known) or "none yet")], nearest(change_id, known) or "./forklift list"
        )
    return load(project, known[change_id])


def select(project: Project, ids: list[str] | None = None) -> list[Change]:
    """The named changes, or all."""
    return [find(project, change_id) for change_id in (ids or directories(project))]


def of_suite(project: Project, suite: Suite) -> list[Change]:
    """All changes of one suite."""
    return [load(project, path) for path in directories(project).values() if path.parent.name == suite.short]


def before(project: Project, change: Change) -> list[Change]:
    """All changes that must land first, each once, in their order."""
    order: dict[str, Change] = {}

    def visit(one: Change, way: tuple[str, ...]) -> None:
        for name in one.file.after:
            if name in way:
                raise UsageError("circular `after`", [("after", ", ".join(way))], "remove one `after` entry")
            if name not in order:
                found = on_newest(find(project, name)) if change.newest else find(project, name)
                visit(found, (*way, name))
                order[name] = found

    visit(change, (change.id,))
    return list(order.values())


def in_order(project: Project, chosen: list[Change]) -> list[Change]:
    """Changes by id, but each behind what it names in `after`."""
    order: dict[str, Change] = {}
    for change in sorted(chosen, key=lambda change: change.id):
        order.update({earlier.id: earlier for earlier in before(project, change) if earlier.id not in order})
        order.setdefault(change.id, change)
    ids = {change.id for change in chosen}
    return [change for change in order.values() if change.id in ids]


def moved(change: Change) -> Change:
    """The change with its paths in the directories where upstream has them by now."""
    table = change.suite.newest.moved if change.suite.newest else {}
    if not table or change.moved:
        return change

    def to(path: str) -> str:
        return next((new + path.removeprefix(old) for old, new in table.items() if path.startswith(old)), path)

    commits = [
        msgspec.structs.replace(commit, overlay=[*map(to, commit.overlay)], edits=[*map(to, commit.edits)])
        for commit in change.file.commit
    ]
    overlay, edits = (tuple(sorted(map(to, paths))) for paths in (change.overlay_files, change.edit_files))
    file = msgspec.structs.replace(change.file, commit=commits)
    return msgspec.structs.replace(change, file=file, overlay_files=overlay, edit_files=edits, moved=table)


def on_newest(change: Change) -> Change:
    """The change as a series for upstream's newest commit (docs/decisions/0012-onto-the-newest.md)."""
    if change.newest:
        return change
    change = moved(change)
    newest, top = change.suite.newest, change.directory / "newest"
    if newest is None:
        raise UsageError(f"no newest commit of {change.suite.name} is named", [], "add [suite.newest] to ci/suites.toml")
    path = top / "series.toml"
    series = suites.decode(path, Series) if path.is_file() else Series(why="")
    own = {folder: _files(top / folder) for folder in ("overlay", "edits")}
    unsafe = list(problems(change.file, change.directory, (), {f"newest/{name}": files for name, files in own.items()}))
    known = {spec.label for spec in change.checks}
    unsafe += [f"checks names {label!r}, which the change has not" for label in series.checks if label not in known]
    without = set(series.without)  # a file of the change's that upstream has by now may be edited there
    names = {*change.edit_files} - without | {path.removesuffix(".patch") for path in own["edits"]}
    overlay = {*change.overlay_files} - without | {*own["overlay"]}
    given = {commit.subject for commit in change.file.commit}
    unsafe += [f"subjects names {text!r}, which no commit has" for text in series.subjects if text not in given]
    unsafe += [f"without names {path!r}, which the change has not" for path in _strangers(change, series)]
    if unsafe:
        raise UsageError("a series for the newest commit is refused", [("file", path), ("all", "\n".join(unsafe))], "correct it")
    file = msgspec.structs.replace(
        change.file,
        id=f"{change.id}@newest",
        branch=f"{change.file.branch}-newest",
        title=series.title or change.file.title,
        after=change.file.after if series.after is None else series.after,
        commit=[*series.first, *(series.commit or _remaining(change.file.commit, series.subjects, overlay, names))],
    )
    suite = msgspec.structs.replace(
        change.suite,
        pin=newest.commit,
        pin_date=newest.date,
        branch=newest.branch or change.suite.branch,
        locks={**change.suite.locks, **newest.locks},
        release=None,
    )
    gone = without - set(overlay)
    checks = tuple(_still_there(spec, gone) for spec in change.checks if not series.checks or spec.label in series.checks)
    return Change(file, suite, change.directory, checks, tuple(sorted(overlay)), tuple(sorted(names)), True, change.moved)


def _strangers(change: Change, series: Series) -> list[str]:
    return [path for path in series.without if path not in (*change.overlay_files, *change.edit_files)]


def _still_there(spec: CheckSpec, gone: set[str]) -> CheckSpec:
    """The check without test files that this series leaves out."""
    paths: list[str] = getattr(spec, "paths", [])
    left = [path for path in paths if path not in gone]
    return msgspec.structs.replace(spec, paths=left) if left != paths else spec


def _remaining(commits: list[Commit], subjects: dict[str, str], overlay: set[str], edits: set[str]) -> list[Commit]:
    """The commits without what is not there, some under another subject; one that has nothing left is dropped."""
    found = []
    for commit in commits:
        globs = [glob for glob in commit.overlay if any(matches(path, glob) for path in overlay)]
        names = [entry for entry in commit.edits if edit_of(entry)[0] in edits]
        if globs or names:
            found.append(
                msgspec.structs.replace(commit, subject=subjects.get(commit.subject, commit.subject), overlay=globs, edits=names)
            )
    return found


def alone(change: Change) -> Change:
    """The change without its `after`, for a base that has those already."""
    return msgspec.structs.replace(change, file=msgspec.structs.replace(change.file, after=[]))


def _files(top: Path) -> tuple[str, ...]:
    found = (path for path in top.rglob("*") if path.is_file() or path.is_symlink())
    return tuple(sorted(path.relative_to(top).as_posix() for path in found if "__pycache__" not in path.parts))


def overlay_of(commit: Commit, paths: Iterable[str]) -> list[str]:
    """The overlay files that a commit's globs take; `dir/**` takes everything below."""
    return [path for path in paths if any(matches(path, glob) for glob in commit.overlay)]


def matches(path: str, glob: str) -> bool:
    if glob.endswith("/**"):
        return path.startswith(glob[:-2])
    return fnmatch.fnmatchcase(path, glob)


def edit_of(entry: str) -> tuple[str, frozenset[int]]:
    """The upstream path that an entry of `edits` names, and which hunks of its diff: `path#1,3-5`. None named means all of them."""
    path, mark, numbers = entry.partition("#")
    hunks: set[int] = set()
    for span in numbers.split(",") if mark else []:
        first, _, last = span.partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            raise UsageError(f"{entry!r} names no hunks", [("want", f"{path}#1 or {path}#1,3-5")], "correct it in change.toml")
        hunks.update(range(int(first), int(last or first) + 1))
    return path, frozenset(hunks)


def assignment_problems(change: Change) -> list[str]:
    """Files that are in no commit or in several, and entries that name nothing."""
    overlay, edits = change.overlay_files, change.edit_files
    problems = []
    for path in overlay:
        count = sum(any(matches(path, glob) for glob in commit.overlay) for commit in change.file.commit)
        if count != 1:
            problems.append(f"overlay/{path} is in {count} commits, want exactly one [[commit]]")
    for path in edits:
        named = [hunks for commit in change.file.commit for name, hunks in map(edit_of, commit.edits) if name == path]
        if len(named) != 1 and not all(named) or not named:
            problems.append(f"edits/{path} is in {len(named)} commits, want exactly one [[commit]]")
        elif all(named):
            have = change.edit_file(path).read_bytes().count(b"\n@@ -")
            if sorted(number for hunks in named for number in hunks) != list(range(1, have + 1)):
                problems.append(f"edits/{path} has {have} hunks, and the commits do not name each of them once")
    for number, commit in enumerate(change.file.commit, 1):
        empty = [glob for glob in commit.overlay if not any(matches(path, glob) for path in overlay)]
        empty += [entry for entry in commit.edits if edit_of(entry)[0] not in edits]
        problems += [f"[[commit]] {number} names {entry!r}, which matches no file" for entry in empty]
    return problems
