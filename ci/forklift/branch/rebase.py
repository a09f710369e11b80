"""The only 3-way merge: carry a change to another commit; and stack all changes of a suite."""

from __future__ import annotations

from typing import Literal

import msgspec

from forklift.branch import build as branches
from forklift.branch import changes
from forklift.errors import ForkliftError, UsageError
from forklift.model import BaseTree, Change, FeatureBranch
from forklift.system.git import Git
from forklift.system.paths import Project

Verdict = Literal["applies", "conflicts", "already upstream"]


class Carried(msgspec.Struct, frozen=True):
    """How a rebase ended, and for each path that matters why. `tree` holds what applied; `unmerged` are the edits that did not."""

    verdict: Verdict
    onto: str
    paths: tuple[str, ...]
    tree: str = ""
    unmerged: tuple[str, ...] = ()


def commit_of(base: BaseTree, revision: str) -> str:
    """The full id of a commit that the fork's repository holds."""
    repository = Git(base.git_dir)
    if not repository.exists(revision):
        raise UsageError(
            f"no commit {revision} in the fork",
            [("where", base.git_dir)],
            f"git --git-dir={base.git_dir} fetch {base.suite.url} {revision}",
        )
    return repository.line("rev-parse", f"{revision}^{{commit}}")


def rebase(change: Change, base: BaseTree, onto: str) -> Carried:
    """Apply the change to `onto` with 3-way merge, in memory: nothing is written but objects."""
    repository = Git(base.git_dir)
    commit = commit_of(base, onto)
    there = repository.files(commit)
    upstream = [path for path in change.overlay_files if path in there]
    upstream += [path for path in change.edit_files if _reverse_applies(repository, change, commit, path)]
    total = len(change.overlay_files) + len(change.edit_files)
    if upstream and len(upstream) == total:
        return Carried("already upstream", commit, tuple(f"{p} ({_added_by(repository, change, commit, p)})" for p in upstream))
    clash = [path for path in upstream if path in change.overlay_files]
    conflicts: list[str] = []
    tried: set[str] = set()  # a file whose hunks are in several commits is tried once, whole
    with repository.index(commit) as index:
        for step in change.file.commit:
            branches.add_overlay(index, change, step)
            for path in [path for path, _ in map(changes.edit_of, step.edits) if path not in tried and path in change.edit_files]:
                tried.add(path)
                if path not in upstream and not _three_way(index, change, path):
                    conflicts.append(path)
        for path in conflicts:  # as it is there: the work tree gets the merge with its marks
            mode, blob = there.get(path, ("100644", ""))
            if blob:
                index.call("update-index", "--index-info", stdin=f"{mode} {blob} 0\t{path}\n".encode())
        tree = index.line("write-tree", "--missing-ok")
    if conflicts or clash:
        overlaid = [f"{p} (exists there: {_added_by(repository, change, commit, p)})" for p in clash]
        return Carried("conflicts", commit, (*conflicts, *overlaid), tree, tuple(conflicts))
    return Carried("applies", commit, tuple(upstream), tree)


def stack(project: Project, rows: list[Change], base: BaseTree) -> list[FeatureBranch]:
    """Build all changes of a suite on top of each other; the error names the two that collide."""
    built: list[FeatureBranch] = []
    touched: dict[str, str] = {}
    for change in changes.in_order(project, rows):
        mine = (*change.overlay_files, *change.edit_files)
        try:
            branch = branches.build(project, changes.alone(change), base, write_ref=False, strict=not built)
        except ForkliftError as failed:
            rivals = sorted({touched[path] for path in mine if path in touched})
            if not rivals:
                raise
            both = [path for path in mine if path in touched]
            raise ForkliftError(
                f"{change.id} collides with {', '.join(rivals)}",
                [("files", ", ".join(both)), *failed.facts],
                f'name it in `after = ["{rivals[0]}"]` of {change.id}, then ./forklift rebase {change.id}',
            ) from failed
        built.append(branch)
        touched.update({path: change.id for path in mine})
        base = branches.on_top(branch)
    return built


def _three_way(index: Git, change: Change, path: str) -> bool:
    return branches.merge(index, branches.patch_of(change, path)).status == 0


def _reverse_applies(repository: Git, change: Change, commit: str, path: str) -> bool:
    content = branches.patch_of(change, path)
    with repository.index(commit) as index:
        return index.done("apply", "--cached", "--reverse", "--check", "-", stdin=content, check=False).status == 0


def _added_by(repository: Git, change: Change, commit: str, path: str) -> str:
    """The commit that brought a file, or the lines of an edit; not the last one that touched it. A shallow history may lack it."""
    words = ["--diff-filter=A"]
    if path in change.edit_files:
        added = [line[1:] for line in branches.patch_of(change, path).decode("utf-8", "replace").splitlines() if line[:1] == "+"]
        words = ["-S" + max((line for line in added if not line.startswith("++")), key=len, default="")]
    found = repository.call("log", "--reverse", "--format=%h %s", "--no-renames", *words, commit, "--", path, check=False)
    return found.partition("\n")[0] or commit[:10]
