"""`edit` opens a change as a git work tree; `save` turns what is there back into overlay/ and edits/."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from forklift.branch import build as branches
from forklift.branch import changes
from forklift.errors import UsageError
from forklift.model import Change, FeatureBranch
from forklift.system.files import write_whole
from forklift.system.git import Git
from forklift.system.paths import Project
from forklift.workspace.tree import missing_blobs


class Opened(msgspec.Struct, frozen=True):
    """What `edit` remembers for `save`: the base, and the tree to compare with.

    `fresh` (after a rebase): the change is written anew from the difference, and what is not in it goes.
    """

    git_dir: str
    base_commit: str
    tree: str
    fresh: bool = False


class Saved(msgspec.Struct, frozen=True):
    """What `save` did, by path."""

    written: tuple[str, ...]
    removed: tuple[str, ...]
    problems: tuple[str, ...]
    ignored: tuple[str, ...]


def place(project: Project, change: Change) -> Path:
    return project.cache / "edit" / change.id


def open_branch(project: Project, built: FeatureBranch) -> Path:
    """A work tree of the built branch under .cache/edit/<id>."""
    return open_commit(project, built.change, Opened(str(built.base.git_dir), built.base.commit, built.tree), built.head)


def open_commit(project: Project, change: Change, opened: Opened, head: str) -> Path:
    """A work tree of `head`; files whose content this copy of the repository lacks are left out."""
    target = place(project, change)
    refuse_opened(project, change)
    repository = Git(Path(opened.git_dir))
    target.parent.mkdir(parents=True, exist_ok=True)
    repository.call("worktree", "prune")
    repository.call("worktree", "add", "-q", "--no-checkout", "--detach", str(target), head)
    inside = Git(target / ".git", work_tree=target)
    inside.call("read-tree", "HEAD")
    missing = missing_blobs(repository, head)
    hidden = [path for path, (_, blob) in repository.files(head).items() if blob in missing]
    if hidden:
        inside.call("update-index", "--skip-worktree", "--stdin", stdin="\n".join(hidden).encode() + b"\n")
    inside.call("checkout-index", "-a", "-q")
    inside.call("update-index", "-q", "--refresh", check=False)
    write_whole(target.with_suffix(".json"), msgspec.json.encode(opened))
    return target


def refuse_opened(project: Project, change: Change) -> None:
    """Somebody's work may be in an opened tree."""
    target = place(project, change)
    if target.exists():
        raise UsageError(
            f"{change.id} is already open",
            [("where", target)],
            f"./forklift save {change.id}, or ./forklift save {change.id} --discard",
        )


def merge_rest(change: Change, target: Path, paths: Sequence[str]) -> None:
    """Merge edits that do not apply cleanly into an opened tree, with conflict marks for a person to resolve."""
    inside = Git(target / ".git", work_tree=target)
    for path in paths:
        content = branches.patch_of(change, path)
        done = inside.done("apply", "--3way", "--whitespace=nowarn", "-", stdin=content, check=False)
        if done.status != 0 and not _marked(target / path):  # not even a merge: what it meant stands beside the file
            write_whole(target / f"{path}.rej", content)


def _marked(path: Path) -> bool:
    return path.is_file() and b"\n<<<<<<< " in b"\n" + path.read_bytes()


def discard(project: Project, change: Change) -> None:
    """Close the work tree and forget what is in it."""
    target = place(project, change)
    note = target.with_suffix(".json")
    if note.is_file():
        opened = msgspec.json.decode(note.read_bytes(), type=Opened)
        Git(Path(opened.git_dir)).call("worktree", "remove", "--force", str(target), check=False)
    shutil.rmtree(target, ignore_errors=True)
    note.unlink(missing_ok=True)


def save(project: Project, change: Change) -> Saved:
    """Write every path that differs from the opened branch; the rest of overlay/ and edits/ stays byte for byte."""
    target = place(project, change)
    note = target.with_suffix(".json")
    if not note.is_file():
        raise UsageError(f"{change.id} is not open", [("where", target)], f"./forklift edit {change.id}")
    opened = msgspec.json.decode(note.read_bytes(), type=Opened)
    unresolved = [path for path in change.edit_files if _marked(target / path) or (target / f"{path}.rej").exists()]
    if unresolved:
        raise UsageError(
            "conflicts are not resolved yet",
            [("where", target), ("files", ", ".join(unresolved))],
            f"resolve the marks (and remove *.rej), then ./forklift save {change.id}",
        )
    repository = Git(Path(opened.git_dir))
    tree, ignored = _tree_of(target, opened.tree)
    written, removed = [], []
    for path in repository.call("diff-tree", "-r", "-z", "--no-renames", "--name-only", opened.tree, tree).split("\0"):
        if path and _store(change, repository, opened.base_commit, tree, path):
            written.append(path)
        elif path:
            removed.append(path)
    if opened.fresh:
        removed += _drop_others(change, set(written))
    # with --keep, the next save has to see what is taken back again
    write_whole(note, msgspec.json.encode(Opened(opened.git_dir, opened.base_commit, tree)))
    again = changes.load(project, change.directory)
    problems = changes.assignment_problems(changes.on_newest(again) if change.newest else again)
    kept = [path for path in removed if change.newest and (change.overlay_file(path).exists() or change.edit_file(path).exists())]
    problems += [f"without = [{path!r}, ...] is missing: the series for the newest commit leaves it out" for path in kept]
    return Saved(tuple(written), tuple(removed), tuple(problems), tuple(ignored))


def _tree_of(target: Path, start: str) -> tuple[str, list[str]]:
    inside = Git(target / ".git", work_tree=target)
    with inside.index(start) as index:
        tracked = {path for path in index.call("ls-files", "-z").split("\0") if path}
        hidden = [p for p in inside.call("ls-files", "-t", "-z").split("\0") if p.startswith("S ") and p[2:] in tracked]
        if hidden:
            index.call("update-index", "--skip-worktree", "--stdin", stdin="\n".join(p[2:] for p in hidden).encode() + b"\n")
        index.call("add", "-A", "--", ".")
        tree = index.line("write-tree", "--missing-ok")
        status = index.call("ls-files", "-z", "--others", "--ignored", "--exclude-standard")
    ignored = [path for path in status.split("\0") if path and "__pycache__" not in path]
    return tree, ignored


def _store(change: Change, repository: Git, base: str, tree: str, path: str) -> bool:
    """Bring overlay/ or edits/ in step with one path; False where nothing of the change is left there."""
    at_base, now = repository.blob_at(base, path), repository.files(tree).get(path)
    patch = change.top / "edits" / f"{path}.patch"
    if at_base is None:
        if now is None:
            (change.top / "overlay" / path).unlink(missing_ok=True)
            return False
        write_whole(change.top / "overlay" / path, repository.bytes_of(now[1]), 0o755 if now[0] == "100755" else 0o644)
        return True
    text = repository.exactly("diff", "-U1", "--full-index", "--no-renames", "--no-color", "--binary", base, tree, "--", path)
    if not text:
        patch.unlink(missing_ok=True)
        return False
    # the text behind a hunk's second @@ is a line of upstream's that nothing needs
    write_whole(patch, re.sub(rb"^(@@ [^@]+ @@).*$", rb"\1", text, flags=re.M))
    return True


def _drop_others(change: Change, kept: set[str]) -> list[str]:
    """Overlay files and edits that the new base has already."""
    gone = [path for path in change.overlay_files if path not in kept]
    for path in gone:
        (change.overlay / path).unlink()
    stale = [path for path in change.edit_files if path not in kept]
    for path in stale:
        change.edit_file(path).unlink()
    return gone + stale
