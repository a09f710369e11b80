"""What upstream has of a change by now, and what stands in the change's way there. Nothing is written but objects."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from forklift.branch import build as branches
from forklift.branch import changes
from forklift.errors import ForkliftError
from forklift.model import BaseTree, Change
from forklift.system.git import Git
from forklift.system.paths import Project

Verdict = Literal["applies", "conflicts", "partly upstream", "already upstream"]
Kind = Literal["pull request", "file", "registered name", "imported name", "class", "flag", "key"]
_SOURCES = (".py", ".cc", ".cpp", ".h")
# a decorator that puts a class or function into a registry of the suite
_REGISTERS = re.compile(r"(^|[._])(add_component|register\w*|serializable)$")
_FLAG = re.compile(r"""add_argument\(\s*["'](--[\w-]+)["']|DEFINE_\w+\(\s*(\w+)\s*,""")
_KEY = re.compile(r"""\.get\(\s*["'](\w+)["']""")
_IMPORT = re.compile(r"^\s*from\s+\S+\s+import\s+\(?([\w\s,]+)", re.M)


class Found(msgspec.Struct, frozen=True):
    """One thing of the change that upstream has by now: where, and the commit that added it there."""

    kind: Kind
    name: str
    where: str
    commit: str


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a change stands against one commit of upstream.

    `conflicts` names file and hunk, `clashes` what would be there twice, `looked_for` how many things of the change (its files, and
    the names, flags and keys that the pin lacks) were looked for, `series` how the series for the newest commit builds.
    """

    change: str
    commit: str
    date: str
    verdict: Verdict
    by: str = ""
    conflicts: tuple[str, ...] = ()
    clashes: tuple[str, ...] = ()
    there: tuple[Found, ...] = ()
    looked_for: int = 0
    series: str = ""


class Name(msgspec.Struct, frozen=True):
    """A name that the change brings. `registry` is the decorator that registers it, `where` the file that does."""

    kind: Kind
    name: str
    where: str
    registry: str = ""


def stand(project: Project, change: Change, base: BaseTree, commit: str) -> Standing:
    """Look at one change on one commit."""
    repository, given = Git(base.git_dir), change
    pin, change = base.commit, changes.moved(change)
    there, history = repository.files(commit), _History(repository, pin, commit)
    every = brought(change)
    old = _present(repository, pin, every)
    names = [name for name in every if name not in old]
    places = _present(repository, commit, names)
    found = [Found("file", path, path, history.added(path)) for path in change.overlay_files if path in there]
    found += [Found(name.kind, name.name, where[0], history.brought(name, where[0])) for name, where in places.items()]
    found = list(dict.fromkeys([*history.merged(change), *found]))
    conflicts = [f"{row.name}: exists there" for row in found if row.kind == "file" and not _same(repository, change, there, row)]
    open_hunks, hunks_there = _edits(repository, change, commit)
    conflicts += open_hunks
    clashes = tuple(_clashes(repository, change, commit, places))
    verdict = _verdict(change, names, found, bool(conflicts or clashes), hunks_there)
    return Standing(
        change=change.id,
        commit=commit,
        date=repository.line("log", "-1", "--format=%cs", commit),
        verdict=verdict,
        by=_credit(found) if "upstream" in verdict else "",
        conflicts=tuple(conflicts),
        clashes=clashes,
        there=tuple(found),
        looked_for=len(change.overlay_files) + len(names),
        series=_series(project, given, base, commit),
    )


def newer(base: BaseTree) -> str:
    """A commit of upstream's branch that the fork's repository knows, newer than that of suites.toml; "" where there is none."""
    newest = base.suite.newest
    repository = Git(base.git_dir)
    if newest is None or not repository.exists(newest.commit):
        return ""
    branch = newest.branch or base.suite.branch
    tips = [repository.done("rev-parse", "-q", "--verify", f"refs/remotes/origin/{branch}", check=False).stdout.strip()]
    for line in repository.call("for-each-ref", "--format=%(objectname) %(refname)").splitlines() + _borrowed(base):
        tip, _, ref = line.partition(" ")
        tips += [tip] if ref == f"refs/heads/{branch}" else []
    after = [
        tip for tip in tips if tip and repository.done("merge-base", "--is-ancestor", newest.commit, tip, check=False).status == 0
    ]
    return next((tip for tip in after if tip != newest.commit), "")


def _borrowed(base: BaseTree) -> list[str]:
    """`<id> <ref>` of the repository whose objects the fork borrows."""
    alternates = base.git_dir / "objects" / "info" / "alternates"
    if not alternates.is_file():
        return []
    lender = Git(Path(alternates.read_text().strip()).parent)
    return lender.done("for-each-ref", "--format=%(objectname) %(refname)", check=False).stdout.splitlines()


# ---- what the change brings ------------------------------------------------------------------------


def brought(change: Change) -> list[Name]:
    """The classes, registered and imported names, flags and configuration keys of the change's own code, tests left out."""
    found: list[Name] = []
    for path in change.overlay_files:
        if path.endswith(".py") and not _is_test(path):
            found += _defined(change.overlay_file(path).read_text(errors="replace"), path)
    for path in change.edit_files:
        if path.endswith(_SOURCES) and not _is_test(path):
            found += _of_edit("\n".join(_added(change.edit_file(path).read_text(errors="replace"))), path)
    return list(dict.fromkeys(found))


def _is_test(path: str) -> bool:
    return "tests/" in f"{path.rpartition('/')[0]}/" or path.rpartition("/")[2].startswith("test_")


def _added(patch: str) -> Iterator[str]:
    return (line[1:] for line in patch.splitlines() if line.startswith("+") and not line.startswith("+++"))


def _defined(text: str, path: str) -> Iterator[Name]:
    """Public classes, and whatever a decorator registers."""
    for node, registry in _definitions(text):
        if registry:
            yield Name("registered name", node.name, path, registry)
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield Name("class", node.name, path)


def _definitions(text: str) -> Iterator[tuple[ast.ClassDef | ast.FunctionDef, str]]:
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return
    for node in body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            words = [ast.unparse(entry.func if isinstance(entry, ast.Call) else entry) for entry in node.decorator_list]
            yield node, next((word for word in words if _REGISTERS.search(word)), "")


def _of_edit(text: str, path: str) -> Iterator[Name]:
    for found in _FLAG.finditer(text):
        yield Name("flag", found[1] or found[2], path)
    for found in _KEY.finditer(text):
        yield Name("key", found[1], path)
    for found in _IMPORT.finditer(text):
        for word in found[1].replace("\n", " ").split(","):
            name = word.split()[-1] if word.split() else ""
            if name:
                yield Name("imported name", name, path)


# ---- what is there ---------------------------------------------------------------------------------


class _Index(msgspec.Struct, frozen=True):
    """Where a commit defines what: {name: files}, tests left out."""

    definitions: dict[str, list[str]]
    flags: dict[str, list[str]]
    words: dict[str, list[str]]


_DEFINED = re.compile(r"^ *(?:class|def|struct) +(\w+)", re.M)
_FLAGS = re.compile(r"""["'](--[\w-]+)["']|DEFINE_\w+\(\s*(\w+)\s*,""")
_WORDS = re.compile(r"""["'](\w+)["']""")
_HEAD = re.compile(r"^([0-9a-f]{40}) (?:blob \d+|missing)$", re.M)


@lru_cache(maxsize=4)
def _index(git_dir: Path, commit: str) -> _Index:
    repository = Git(git_dir)
    blobs: dict[str, list[str]] = {}
    for path, (_, blob) in repository.files(commit).items():
        if path.endswith(_SOURCES) and not _is_test(path):
            blobs.setdefault(blob, []).append(path)
    text = repository.call("cat-file", "--batch", stdin="\n".join(blobs).encode() + b"\n")
    _, *parts = _HEAD.split(text)
    index = _Index({}, {}, {})
    for blob, content in zip(parts[::2], parts[1::2], strict=True):
        for kind, pattern in ((index.definitions, _DEFINED), (index.flags, _FLAGS), (index.words, _WORDS)):
            for name in {found[found.lastindex or 0] for found in pattern.finditer(content)}:
                kind.setdefault(name, []).extend(blobs.get(blob, []))
    return index


def _present(repository: Git, commit: str, names: list[Name]) -> dict[Name, list[str]]:
    """{name: the files that define it} in a commit, the change's own path first; names that are nowhere are left out."""
    index = _index(repository.git_dir, commit)
    kinds = {"flag": index.flags, "key": index.words}
    found = {name: kinds.get(name.kind, index.definitions).get(name.name, []) for name in names}
    return {name: sorted(paths, key=lambda path: (path != name.where, path)) for name, paths in found.items() if paths}


class _History:
    """Which commit between the pin and `commit` brought something; each answer is `id date subject`."""

    def __init__(self, repository: Git, pin: str, commit: str) -> None:
        self._repository, self._span = repository, f"{pin}..{commit}"
        self._words = ("log", "--no-merges", "--reverse", "--format=%h %cs %s", "--abbrev=10")

    def added(self, path: str) -> str:
        return self._first("--diff-filter=A", "--no-renames", self._span, "--", path)

    def brought(self, name: Name, where: str) -> str:
        text = name.name if name.kind in ("flag", "key") else f" {name.name}"
        return self._first(f"-S{text}", self._span, "--", where)

    def merged(self, change: Change) -> Iterator[Found]:
        """The pull requests that change.toml says upstream merged for the same task (`merged_elsewhere`)."""
        for number in re.findall(rf"{change.suite.name}#(\d+)", change.file.upstream.merged_elsewhere):
            commit = self._first("--fixed-strings", f"--grep=(#{number})", self._span)
            if commit[0] in "0123456789abcdef" and f"(#{number})" in commit:
                yield Found("pull request", f"#{number}", "", commit)

    def _first(self, *words: str) -> str:
        lines = self._repository.done(*self._words, *words, check=False).stdout.splitlines()
        return lines[0] if lines else "a commit that this copy of the history does not hold"


def _same(repository: Git, change: Change, there: dict[str, tuple[str, str]], row: Found) -> bool:
    return repository.bytes_of(there[row.name][1]) == change.overlay_file(row.name).read_bytes()


def _edits(repository: Git, change: Change, commit: str) -> tuple[list[str], bool]:
    """The hunks that do not merge, as `path: hunk 2 of 3 (line 120)`, and whether every hunk is there already."""
    conflicts, all_there = [], True
    there = repository.files(commit)
    for path in change.edit_files:
        content = branches.patch_of(change, path)
        if path not in there and b"new file mode" not in content:
            conflicts.append(f"{path}: is not there any more")
            all_there = False
            continue
        heads = re.findall(rb"^@@ -(\d+)", content, flags=re.M)
        for number, line in enumerate(heads, 1):
            hunk = branches.some_hunks(content, frozenset([number]), frozenset())
            if _done(repository, commit, hunk):
                continue
            all_there = False
            if not _merges(repository, commit, hunk):
                conflicts.append(f"{path}: hunk {number} of {len(heads)} (line {line.decode()})")
        all_there = all_there and bool(heads)
    return conflicts, all_there


def _done(repository: Git, commit: str, hunk: bytes) -> bool:
    with repository.index(commit) as index:
        return index.done("apply", "--cached", "--reverse", "--check", "-", stdin=hunk, check=False).status == 0


def _merges(repository: Git, commit: str, hunk: bytes) -> bool:
    with repository.index(commit) as index:
        return branches.merge(index, hunk).status == 0


def _clashes(repository: Git, change: Change, commit: str, places: dict[Name, list[str]]) -> Iterator[str]:
    """What merges without a conflict and is there twice afterwards: a name in one registry, a flag of one program."""
    for name, paths in places.items():
        for path in paths:
            if (
                name.kind == "registered name"
                and path != name.where
                and name.registry in _registries(repository, commit, path, name)
            ):
                yield f"{name.name} would be registered twice with {name.registry}: in {path} and in {name.where}"
            elif name.kind == "flag" and path == name.where:
                yield f"{name.name} would be defined twice in {path}"


def _registries(repository: Git, commit: str, path: str, name: Name) -> list[str]:
    text = repository.call("show", f"{commit}:{path}")
    return [registry for node, registry in _definitions(text) if node.name == name.name]


def _verdict(change: Change, names: list[Name], found: list[Found], in_the_way: bool, hunks_there: bool) -> Verdict:
    files = [row for row in found if row.kind == "file"]
    if not in_the_way and len(files) == len(change.overlay_files) and (hunks_there or not change.edit_files):
        return "already upstream"
    # what a user of the change types: registered names, flags, keys; its classes and files alone say less
    typed = {(name.kind, name.name) for name in names if name.kind in ("registered name", "flag", "key", "imported name")}
    have = {(row.kind, row.name) for row in found}
    if typed and typed <= have:
        return "already upstream"
    # a class of that name in another file, which nothing registers, is worth naming and no more
    if typed & have or any(row.kind in ("pull request", "file") for row in found):
        return "partly upstream"
    return "conflicts" if in_the_way else "applies"


def _credit(found: list[Found]) -> str:
    """The commit of the pull request where it is known, else the one that added most."""
    named = [row.commit for row in found if row.kind == "pull request"]
    commits = named or [row.commit for row in found if row.kind != "class"]
    return max(commits, key=commits.count) if commits else ""


def _series(project: Project, change: Change, base: BaseTree, commit: str) -> str:
    """Whether the series for the newest commit builds; nothing where another commit is looked at."""
    if change.suite.newest is None or commit != change.suite.newest.commit:
        return ""
    try:
        onto = changes.on_newest(change)
        tree = Git(base.git_dir).line("rev-parse", f"{commit}^{{tree}}")
        ground = BaseTree("fork", onto.suite, base.git_dir, commit, tree, f"fork {onto.suite.name} @ {commit[:10]}")
        built = branches.build(project, onto, ground, write_ref=False)
    except ForkliftError as problem:
        where = "".join(f" ({value})" for label, value in problem.facts if label == "file")
        return f"does not build: {problem.what}{where}".replace(str(project.root) + "/", "")
    own = sum(path.is_file() for folder in ("overlay", "edits") for path in (onto.top / folder).rglob("*"))
    return f"builds, {len(built.commits)} commits" + (f", {own} files in newest/" if own else "")
