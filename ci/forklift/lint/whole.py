"""Rules about the project as a whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cache

import git as gitpython

from forklift.branch import base, suites
from forklift.results import status
from forklift.system.paths import Project

# No path of somebody's machine, and no host of a package registry; hosts are kept as hashes, so that nothing here names them.
_MACHINE = re.compile(r"(?<![\w.])/(?:work|home/\w+|root)/\w+")
_HOST = re.compile(r"(?:[\w-]+\.)+(?:org|com|net|io)\b", re.I)
_REGISTRIES = frozenset({"a4aa2ac280bb8d1a", "8b5bb5eb9d758455", "0dc11026ac75c015", "e680c440a2e92079"})
_TEXT = (".py", ".toml", ".md", ".sh", ".yml", ".yaml", ".txt", ".in", ".cfg", ".json", ".cc", ".h", ".cpp", ".cmake")


def pins(project: Project) -> Iterator[str]:
    """suites.toml, the gitlinks and .gitmodules agree."""
    modules = (project.root / ".gitmodules").read_text() if (project.root / ".gitmodules").is_file() else ""
    for suite in suites.load(project.ci).suite:
        linked = base.gitlink(project, suite)
        if linked is not None and linked != suite.pin:
            yield f"{suite.name}: suites.toml pins {suite.pin[:10]}, the gitlink is {linked[:10]}"
        if f"path = forks/{suite.name}\n" not in modules or f"url = {suite.url}\n" not in modules:
            yield f"{suite.name}: .gitmodules has no entry forks/{suite.name} with {suite.url}"


def speaks_of_itself(project: Project) -> Iterator[str]:
    """No registry host and no path of a machine in a committed text."""
    try:
        listed = [path for path, _ in gitpython.Repo(project.root).index.entries]
    except gitpython.InvalidGitRepositoryError:
        return
    for name in sorted(map(str, listed)):
        path = project.root / name
        if not name.endswith(_TEXT) or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            machine = _MACHINE.search(line)
            named = [machine.group(0)] if machine else [host for host in _HOST.findall(line) if _is_registry(host)]
            if named:
                yield f"{name}:{number} names {named[0]}"


@cache
def _is_registry(host: str) -> bool:
    labels = host.lower().split(".")
    names = (".".join(labels[start:]) for start in range(len(labels) - 1))
    return any(hashlib.sha256(name.encode()).hexdigest()[:16] in _REGISTRIES for name in names)


def status_table(project: Project) -> Iterator[str]:
    """The tables in the READMEs are what `forklift list --markdown` prints."""
    for name, language in status.READMES.items():
        path = project.root / name
        if path.is_file() and status.markdown(project, language) not in path.read_text():
            yield f"{name} does not hold the present status table: run make status"
