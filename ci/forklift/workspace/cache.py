"""Results of checks that ran before, by everything that could change them. CI ignores this."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from forklift.model import CheckResult, CheckSpec, FeatureBranch, Outcome
from forklift.system.files import write_whole
from forklift.system.paths import Project
from forklift.workspace import environment


def key(project: Project, branch: FeatureBranch, spec: CheckSpec, paddle: str, reference: Path | None) -> str:
    """Hash of base tree, branch tree, scripts and references of the change and of those it comes after, lock, check and harness."""
    digest = hashlib.sha256()
    for part in (branch.base.tree, branch.tree, branch.base.kind, paddle):
        digest.update(part.encode())
    digest.update(environment.lock_file(project, branch.base.suite, paddle).read_bytes())
    digest.update(msgspec.json.encode([branch.change.id, branch.base.suite.python_path, spec, environment.cpu_settings()]))
    folders = [branch.change.directory / "checks", reference or branch.change.directory / "reference"]
    # a script may load those of a change that must land first
    short = branch.base.suite.short
    earlier = (branch.change.directory.parent / name.removeprefix(f"{short}-") for name in branch.change.file.after)
    folders += [directory / name for directory in earlier for name in ("checks", "reference")]
    if branch.change.file.sweep:  # its rows are checks, too
        for name in filter(None, (branch.change.file.sweep.rows, branch.change.file.sweep.packages)):
            digest.update((branch.change.directory / name).read_bytes())
    for folder in (*folders, project.ci / "forklift", project.ci / "proving"):
        digest.update(b"folder\0")
        _add_files(digest, folder)
    return digest.hexdigest()


def load(project: Project, name: str) -> CheckResult | None:
    """A stored result whose files are still there, marked as cached."""
    path = project.cache / "results" / f"{name}.json"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=CheckResult)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    if not all(Path(file).is_file() for file in found.files):
        return None
    return msgspec.structs.replace(found, cached=True)


def store(project: Project, name: str, result: CheckResult) -> None:
    """Keep a result that says something about the change; a skip or an error is tried again."""
    if result.outcome in (Outcome.PASSED, Outcome.FAILED):
        write_whole(project.cache / "results" / f"{name}.json", msgspec.json.encode(result))


def _add_files(digest: hashlib._Hash, folder: Path) -> None:
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
