"""What a stranger's change may not hold: building, editing, saving and linting it must be safe before anybody has read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from forklift.model import ChangeFile, CheckSpec

_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


def problems(file: ChangeFile, directory: Path, checks: tuple[CheckSpec, ...], paths: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """One line for each. `paths` are the files of overlay/ and edits/."""
    expected = f"{directory.parent.name}-{directory.name}"
    if file.id != expected:
        yield f"id is {file.id!r}, its path says {expected!r}"
    if not _BRANCH.fullmatch(file.branch) or ".." in file.branch or file.branch.endswith(".lock"):
        yield f"branch {file.branch!r} is not a plain branch name"
    texts = {"title": file.title, **{f"[[commit]] {n}": commit.subject for n, commit in enumerate(file.commit, 1)}}
    for name, text in texts.items():
        if _CONTROL.search(text) or not text.strip():
            yield f"{name}: {text!r} is not one line of text"
    named = [path for check in checks for path in _paths_of(check)]
    if file.sweep:
        named += [file.sweep.script, file.sweep.rows, file.sweep.packages, *file.sweep.documents]
    for path in filter(None, named):
        if not _inside(path):
            yield f"{path!r} leads out of its directory"
    for folder, found in paths.items():
        yield from _files(directory / folder, found)


def _paths_of(check: CheckSpec) -> list[str]:
    single = [getattr(check, name, "") for name in ("script", "source", "name")]
    return [*single, *getattr(check, "paths", [])]


def _inside(path: str) -> bool:
    return not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts


def _files(folder: Path, found: tuple[str, ...]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for path in found:
        where = f"{folder.name}/{path}"
        if _CONTROL.search(path):
            yield f"{where!r} has a control character in its name"
        if any(part.lower() in (".git", "..") for part in PurePosixPath(path).parts):
            yield f"{where} is a file of git's own"
        if any((folder / part).is_symlink() for part in (path, *map(str, PurePosixPath(path).parents))):
            yield f"{where} is a symbolic link, or below one"
        other = seen.setdefault(path.casefold(), path)
        if other != path:
            yield f"{where} and {folder.name}/{other} are one file where case does not count"
