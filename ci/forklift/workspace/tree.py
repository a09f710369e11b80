"""A branch laid out as files under .cache/worktrees, once per tree, for checks to run in."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from filelock import FileLock

from forklift.model import BaseTree, FeatureBranch
from forklift.system.git import Git
from forklift.system.paths import Project


def missing_blobs(repository: Git, commit: str) -> frozenset[str]:
    """Blobs of `commit` that this copy lacks and cannot fetch. A blobless clone fetches them, so it lacks none."""
    if repository.done("config", "--get-regexp", r"^remote\..*\.promisor$", check=False).stdout.strip():
        return frozenset()
    words = ["--objects", "--missing=print", "--no-object-names", "--no-walk", commit]
    listing = repository.done("rev-list", *words, check=False).stdout
    return frozenset(line[1:] for line in listing.splitlines() if line.startswith("?"))


def lay_out(project: Project, base: BaseTree, commit: str, tree: str, change_id: str) -> tuple[Path, list[str]]:
    """Directory with the files of `commit`, and the paths that were left out because their content is not here."""
    target = project.cache / "worktrees" / f"{change_id}-{base.kind}-{tree[:12]}"
    target.parent.mkdir(parents=True, exist_ok=True)
    repository = Git(base.git_dir)
    missing = missing_blobs(repository, commit)
    files = {p: blob for p, (_, blob) in repository.files(commit).items() if _wanted(p, base)}
    left_out = sorted(path for path, blob in files.items() if blob in missing)
    with FileLock(f"{target}.lock"):
        if not target.is_dir():
            _drop_older(target, change_id, base.kind)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as scratch:
                inside = Path(scratch) / "tree"
                inside.mkdir()
                paths = "\0".join(path for path, blob in files.items() if blob not in missing)
                with repository.with_work_tree(inside).index(commit) as index:
                    index.call("checkout-index", "-q", "-z", "--stdin", stdin=paths.encode())
                inside.rename(target)
    return target, left_out


def base_directory(project: Project, branch: FeatureBranch) -> Path:
    """The base itself, laid out beside the branch (for tests that run on both)."""
    base = branch.base
    directory, _ = lay_out(project, base, base.commit, base.tree, f"{branch.change.id}-base")
    return directory


def _wanted(path: str, base: BaseTree) -> bool:
    sparse = base.suite.sparse
    return base.kind == "release" or not sparse or "/" not in path or any(path.startswith(top) for top in sparse)


def _drop_older(target: Path, change_id: str, kind: str) -> None:
    """Trees of earlier states of the same change are of no further use."""
    for old in target.parent.glob(f"{change_id}-{kind}-*"):
        if old.is_dir() and old != target:
            shutil.rmtree(old, ignore_errors=True)
