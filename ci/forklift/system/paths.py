"""Where things are: found once from the project's root, so that no other module builds a path from its own location."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Project:
    """The project's directories. `root` holds ci/, patches/ and forks/."""

    root: Path

    @property
    def ci(self) -> Path:
        return self.root / "ci"

    @property
    def patches(self) -> Path:
        return self.root / "patches"

    @property
    def forks(self) -> Path:
        return self.root / "forks"

    @property
    def locks(self) -> Path:
        return self.ci / "locks"

    @property
    def cache(self) -> Path:
        return Path(os.environ.get("FORKLIFT_CACHE_DIR") or self.root / ".cache")

    @property
    def bytecode(self) -> Path:
        """Where every Python process keeps what it compiled (PYTHONPYCACHEPREFIX)."""
        return self.cache / "bytecode"

    @property
    def out(self) -> Path:
        return Path(os.environ.get("FORKLIFT_OUT_DIR") or self.root / "out")

    def short(self, path: Path) -> str:
        """`path` relative to the root where it is below it."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def current_project() -> Project:
    """The project this package stands in; FORKLIFT_ROOT names another (tests build their own)."""
    named = os.environ.get("FORKLIFT_ROOT")
    return Project(Path(named).resolve() if named else Path(__file__).resolve().parents[3])
