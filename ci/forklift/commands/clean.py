"""clean: remove what Forklift made, and nothing else."""

from __future__ import annotations

import shutil

from forklift.errors import UsageError
from forklift.system.paths import Project

# FORKLIFT_CACHE_DIR and FORKLIFT_OUT_DIR may name directories that hold other people's files, too
_MADE = ("bytecode", "downloads", "envs", "formatted", "locks", "logs", "release", "results", "run", "site", "sweep", "worktrees")


def run(project: Project) -> None:
    """Remove stored results, environments, work trees and bundles. Refused where an opened work tree may hold unsaved work."""
    opened = sorted(path.stem for path in (project.cache / "edit").glob("*.json"))
    if opened:
        raise UsageError(
            "work trees are open and may hold unsaved work",
            [("open", " ".join(opened)), ("where", project.cache / "edit")],
            f"make save-{opened[0]}, or ./forklift save {opened[0]} --discard",
        )
    for name in _MADE:
        shutil.rmtree(project.cache / name, ignore_errors=True)
    for report in project.out.glob("*/report.json"):
        shutil.rmtree(report.parent)
    shutil.rmtree(project.out / "wheels", ignore_errors=True)
    for name in ("report.json", "junit.xml"):
        (project.out / name).unlink(missing_ok=True)
