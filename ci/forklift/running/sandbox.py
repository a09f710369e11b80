"""--sandbox: check scripts of a change that nobody has read yet, without network and without the user's home (bubblewrap)."""

from __future__ import annotations

import shutil
from pathlib import Path

from forklift.errors import UsageError
from forklift.model import Workspace
from forklift.system.paths import Project


def words(project: Project, workspace: Workspace, directory: Path) -> list[str | Path]:
    """What goes before a command: everything is read-only but the check's results, its work tree, and caches of the project."""
    if shutil.which("bwrap") is None:
        raise UsageError("--sandbox needs bubblewrap", [("want", "bwrap on PATH")], "sudo apt-get install bubblewrap")
    found: list[str | Path] = ["bwrap", "--die-with-parent", "--unshare-net", "--unshare-pid", "--ro-bind", "/", "/"]
    found += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", Path.home()]
    found += ["--ro-bind", project.root, project.root]  # it may lie below what was just hidden
    temporary = workspace.results / "tmp"
    writable = [workspace.results, temporary, directory, project.bytecode, project.cache / "downloads"]
    for path in (project.cache / "envs").resolve(), *writable:
        path.mkdir(parents=True, exist_ok=True)
        found += ["--bind" if path in writable else "--ro-bind", path, path]
    return [*found, "--setenv", "TMPDIR", temporary, "--chdir", directory, "--"]
