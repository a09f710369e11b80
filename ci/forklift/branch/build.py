"""A change and its feature branch: built by plumbing, deterministic; and an edited tree turned back into a change."""

from __future__ import annotations

import datetime
import os
import re
from pathlib import Path

import msgspec
import unidiff

from forklift.branch import changes, suites
from forklift.errors import ForkliftError, Reason
from forklift.model import BaseTree, Change, Commit, FeatureBranch
from forklift.system import shell
from forklift.system.git import Git
from forklift.system.paths import Project

_INDEX_LINE = re.compile(r"^index ([0-9a-f]{7,40})\.\.([0-9a-f]{7,40})", re.M)


def build(
    project: Project, change: Change, base: BaseTree, *, write_ref: bool = True, strict: bool = True, whole: bool = True
) -> FeatureBranch:
    """Commit the series on `base`. Building twice gives the same ids.

    `strict` demands that an edit's pre-image is the base's own blob (fork base only); `stack` turns it off, since a
    change that went before may have touched the same file. Not `whole` is a part of a change, which leaves files to the others.
    """
    if whole:
        _refuse_unassigned(change)
    identity = suites.author(project.ci)
    ground = _after(project, change, base)
    _refuse_existing(change, ground)
    absent = _absent_edits(change, ground)
    commits: list[str] = []
    parent, tree = ground.commit, ground.tree
    repository = Git(ground.git_dir)
    with repository.index(ground.tree) as index:
        done: dict[str, frozenset[int]] = {}
        for number, commit in enumerate(change.file.commit):
            add_overlay(index, change, commit)
            _apply_edits(index, change, commit, ground, absent, done, strict and not change.file.after)
            new_tree = index.line("write-tree", "--missing-ok")
            if new_tree == tree:
                continue  # every edit of this commit is absent at this base
            tree = new_tree
            parent = repository.commit_tree(tree, parent, f"{commit.subject}\n", identity, _date(change.suite.pin_date, number))
            commits.append(parent)
    ref = f"refs/heads/{change.file.branch}"
    if write_ref:
        _write_ref(repository, change.file.branch, parent)
    return FeatureBranch(change, ground, ref, tuple(commits), tree, tuple(absent))


def parts(project: Project, branch: FeatureBranch) -> dict[str, FeatureBranch]:
    """{name: branch} of each pull request of the change, "" the first: each stands on the base alone, so none waits for another."""
    file, built = branch.change.file, {}
    for name, title in [("", file.title), *((part.name, part.title) for part in file.part)]:
        own = [commit for commit in file.commit if commit.part == name]
        short = f"{file.branch}-{name}" if name else file.branch
        alone = msgspec.structs.replace(file, commit=own, title=title, branch=short)
        change = msgspec.structs.replace(branch.change, file=alone)
        built[name] = build(project, change, branch.base, write_ref=False, whole=False)
    return built


def series(branch: FeatureBranch, target: Path) -> list[Path]:
    """Write the commits as patch files for `git am --keep --keep-cr` (some upstream files end their lines in CR LF)."""
    words = ["--no-signature", "--zero-commit", "--full-index", "--no-stat", "-N", "--keep-subject", "--binary"]
    Git(branch.base.git_dir).call("format-patch", "-q", *words, "-o", str(target), f"{branch.base.commit}..{branch.head}")
    return sorted(target.glob("[0-9]*.patch"))


def _after(project: Project, change: Change, base: BaseTree) -> BaseTree:
    first = True
    for before in changes.before(project, change):
        base = on_top(build(project, changes.alone(before), base, write_ref=False, strict=first))
        first = False
    return base


def on_top(branch: FeatureBranch) -> BaseTree:
    """The branch as a base for the next change."""
    base = branch.base
    return BaseTree(base.kind, base.suite, base.git_dir, branch.head, branch.tree, f"{base.label} + {branch.change.id}")


def _refuse_unassigned(change: Change) -> None:
    problems = changes.assignment_problems(change)
    if problems:
        facts = [("file", change.directory / "change.toml"), ("all", "\n".join(problems))]
        raise ForkliftError("the commits do not name the change's files", facts, f"correct them, then ./forklift lint {change.id}")


def _refuse_existing(change: Change, base: BaseTree) -> None:
    there = Git(base.git_dir).files(base.commit)
    clash = [path for path in change.overlay_files if path in there]
    if clash:
        raise ForkliftError(
            "an overlay file exists at the base",
            [("file", change.overlay_file(clash[0])), ("base", base.label), ("all", ", ".join(clash))],
            f"make it an edit: ./forklift edit {change.id}, change the file, ./forklift save {change.id}",
            Reason.BASE_DRIFT,
        )


def _absent_edits(change: Change, base: BaseTree) -> list[str]:
    repository = Git(base.git_dir)
    edits = change.edit_files
    # Code that the release does not have yet may stand in a file that it has.
    later = [commit for commit in change.file.commit if commit.needs == "fork" and base.kind == "release"]
    newer = {changes.edit_of(entry)[0] for commit in later for entry in commit.edits}
    absent = [path for path in edits if path in newer or repository.blob_at(base.commit, path) is None]
    new = {path for path in absent if b"new file mode" in change.edit_file(path).read_bytes()}
    absent = [path for path in absent if path not in new]
    if absent and base.kind == "fork":
        raise ForkliftError(
            "an edit names a file that the base does not have",
            [("file", change.edit_file(absent[0])), ("base", base.label)],
            f"./forklift rebase {change.id} --onto COMMIT, or remove the edit",
            Reason.BASE_DRIFT,
        )
    return absent


def patch_of(change: Change, path: str) -> bytes:
    """The diff of an upstream file, under the name that the file has by now."""
    content, old = change.edit_file(path).read_bytes(), change.before_move(path)
    if old == path or f"--- a/{path}\n".encode() in content:
        return content
    head, mark, rest = content.partition(b"\n@@ ")
    return head.replace(f"/{old}".encode(), f"/{path}".encode()) + mark + rest


def add_overlay(index: Git, change: Change, commit: Commit) -> None:
    paths = changes.overlay_of(commit, change.overlay_files)
    if not paths:
        return
    real = [change.overlay_file(path) for path in paths]
    blobs = index.call("hash-object", "-w", "--no-filters", "--stdin-paths", stdin="\n".join(map(str, real)).encode()).split()
    rows = []
    for path, file, blob in zip(paths, real, blobs, strict=True):
        mode = "100755" if os.access(file, os.X_OK) else "100644"
        rows.append(f"{mode} {blob}\t{path}")
    index.call("update-index", "--add", "--index-info", stdin="\n".join(rows).encode() + b"\n")


def _apply_edits(
    index: Git, change: Change, commit: Commit, base: BaseTree, absent: list[str], done: dict[str, frozenset[int]], strict: bool
) -> None:
    """`done` remembers which hunks of a file earlier commits have applied."""
    for path, hunks in map(changes.edit_of, commit.edits):
        if path in absent:
            continue
        patch = change.edit_file(path)
        # a merge compares with the pin's own file, in which no hunk has moved a line
        before = done.get(path, frozenset()) if change.exact(path) else frozenset()
        whole = patch_of(change, path)
        content = some_hunks(whole, hunks, before) if hunks else whole
        done[path] = before | hunks
        ran = _apply(index, change, base, path, content, strict, not before)
        if ran.status != 0:
            raise ForkliftError(
                "an edit does not apply",
                [("file", patch), ("base", base.label), ("git said", ran.tail)],
                _mend(change, base),
                Reason.BASE_DRIFT,
            )


def _apply(index: Git, change: Change, base: BaseTree, path: str, content: bytes, strict: bool, first: bool) -> shell.Done:
    if not change.exact(path):  # made on the pin; upstream has moved since
        return merge(index, content)
    if strict and base.kind == "fork" and first:
        _check_preimage(index, change, base, path, content)
    else:
        _refuse_doubtful(index, change, base, path, content)
    ran = index.done("apply", "--cached", "--whitespace=nowarn", "-", stdin=content, check=False)
    # where not strict, another change may have done a part of it already
    return ran if ran.status == 0 or strict else merge(index, content)


def merge(index: Git, content: bytes) -> shell.Done:
    """Apply a diff to the index by a 3-way merge."""
    return index.done("apply", "--cached", "--3way", "--whitespace=nowarn", "-", stdin=content, check=False)


def some_hunks(content: bytes, wanted: frozenset[int], before: frozenset[int]) -> bytes:
    """The diff with these of its hunks alone, for a file that has those of `before` already: lines move with them."""
    head, *hunks = re.split(rb"^(?=@@ -)", content, flags=re.M)
    old_shift = new_shift = 0
    taken = [head]
    for number, hunk in enumerate(hunks, 1):
        found = re.match(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", hunk)
        if found is None:
            raise ForkliftError("a hunk has no head", [("have", hunk[:80].decode("utf-8", "replace"))], "./forklift save ID")
        start, count, _, length = (int(value) if value is not None else 1 for value in found.groups())
        if number in wanted:
            place = b"@@ -%d,%d +%d,%d @@" % (start + old_shift, count, start + old_shift + new_shift, length)
            taken.append(place + hunk[found.end() :])
            new_shift += length - count
        elif number in before:
            old_shift += length - count
    return b"".join(taken)


def _refuse_doubtful(index: Git, change: Change, base: BaseTree, path: str, content: bytes) -> None:
    """git takes any place where a hunk's lines stand; in a file that differs from the pin's, several places mean a guess."""
    listed = index.line("ls-files", "--stage", "--", path)
    have = index.bytes_of(listed.split()[1]).decode("utf-8", "replace").split("\n") if listed else []
    for hunk in _hunks(content):
        want = [line.value.rstrip("\n") for line in hunk if line.line_type in (" ", "-")]
        places = [at for at in range(len(have) - len(want) + 1) if have[at : at + len(want)] == want]
        if want and len(places) > 1 and hunk.source_start - 1 not in places:
            raise ForkliftError(
                "an edit fits in several places",
                [
                    ("file", change.edit_file(path)),
                    ("base", base.label),
                    ("want", f"line {hunk.source_start} of the pin; its lines stand at {', '.join(str(at + 1) for at in places)}"),
                ],
                _mend(change, base),
                Reason.BASE_DRIFT,
            )


def _mend(change: Change, base: BaseTree) -> str:
    if change.newest:
        name = change.id.removesuffix("@newest")
        return f"./forklift edit {name} --onto newest, resolve the marks, ./forklift save {name} --onto newest"
    if base.kind == "release":
        return "put the hook where the pin and the release agree (docs/decisions/0002-two-bases.md), then ./forklift save"
    return f"./forklift rebase {change.id}        (3-way; then review and ./forklift save {change.id})"


def _check_preimage(index: Git, change: Change, base: BaseTree, path: str, content: bytes) -> None:
    found = _INDEX_LINE.search(content.decode("utf-8", "replace"))
    if found is None and b"\nnew mode " in content:
        return  # the mode alone changes: git apply compares it
    have = index.blob_at(base.commit, path) or "0" * 40
    want = found.group(1) if found else "(no index line)"
    if not have.startswith(want):
        raise ForkliftError(
            "edit does not match its base",
            [
                ("file", change.edit_file(path)),
                ("want", f"blob {want[:10]}, forks/{base.suite.name} has {have[:10]}{_changed_lines(content)}"),
            ],
            _mend(change, base),
            Reason.BASE_DRIFT,
        )


def _hunks(content: bytes) -> list[unidiff.Hunk]:
    try:
        return [hunk for file in unidiff.PatchSet(content.decode("utf-8", "replace")) for hunk in file]
    except unidiff.UnidiffParseError:
        return []  # git says what is wrong with it


def _changed_lines(content: bytes) -> str:
    spans = [f"{hunk.source_start}-{hunk.source_start + max(hunk.source_length - 1, 0)}" for hunk in _hunks(content)]
    return f" (the edit is at lines {', '.join(spans)})" if spans else ""


def _date(start: str, number: int) -> str:
    moment = datetime.datetime.fromisoformat(start) + datetime.timedelta(minutes=number + 1)
    return moment.isoformat()


def _write_ref(repository: Git, name: str, head: str) -> None:
    """Move the branch, but never over somebody's own commits: refs/forklift/ remembers what was built last."""
    ref, mark = f"refs/heads/{name}", f"refs/forklift/{name}"
    old, built = (repository.done("rev-parse", "--verify", "-q", r, check=False).stdout.strip() for r in (ref, mark))
    if old and old not in (head, built):
        raise ForkliftError(
            f"branch {name} holds a commit that Forklift did not build",
            [("commit", repository.line("log", "-1", "--format=%h %an: %s", old)), ("where", repository.git_dir)],
            "rename that branch (git branch -m), then run the command again",
        )
    repository.call("update-ref", mark, head)
    repository.call("update-ref", ref, head)
