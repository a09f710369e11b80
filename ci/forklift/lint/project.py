"""Rules about the project as a whole."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import git as gitpython

from forklift.branch import base, suites
from forklift.results import status
from forklift.system.paths import Project

# the project speaks of itself alone: no package index's host, no path of somebody's machine
_FOREIGN = re.compile(
    r"\b(?:pypi\.org|pythonhosted\.org|registry\.npmjs\.org|deb\.debian\.org)\b|(?<![\w.])/(?:work|home/\w+|root)/\w+"
)
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


def known_failures(project: Project) -> Iterator[str]:
    """Every known failure has a reason and a date."""
    path = project.ci / "known_failures.toml"
    for row in tomllib.loads(path.read_text()).get("failure", []) if path.is_file() else []:
        for key in ("id", "reason", "date", "upstream"):
            if not str(row.get(key, "")).strip():
                yield f"known_failures.toml: {row.get('id', '(no id)')} has no {key}"


def speaks_of_itself(project: Project) -> Iterator[str]:
    """No registry host and no path of a machine in a committed text."""
    try:
        listed = [path for path, _ in gitpython.Repo(project.root).index.entries]
    except gitpython.InvalidGitRepositoryError:
        return
    for name in sorted(map(str, listed)):
        path = project.root / name
        if not name.endswith(_TEXT) or not path.is_file() or path.name == "project.py":
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            found = _FOREIGN.search(line)
            if found:
                yield f"{name}:{number} names {found.group(0)}"


def status_table(project: Project) -> Iterator[str]:
    """The tables in the READMEs are what `forklift list --markdown` prints."""
    table = status.markdown(project)
    for name in ("README.md", "README_CN.md"):
        path = project.root / name
        if path.is_file() and table not in path.read_text():
            yield f"{name} does not hold the present status table: run make status"
