"""Which changes differ from the last landed state: with little time they run first, and must end."""

from __future__ import annotations

import os

import git as gitpython

from forklift.system.paths import Project

_DAY_S = 86_400


def differing(project: Project, ids: list[str]) -> set[str]:
    """The changes whose files differ from the last landed commit; all of them where there is no such commit.

    That commit is FORKLIFT_LANDED, else what the branch follows, else the newest one that is a day older than HEAD.
    """
    try:
        repository = gitpython.Repo(project.root)
        since = _landed(repository)
    except (gitpython.InvalidGitRepositoryError, gitpython.GitCommandError, ValueError):
        return set(ids)
    if not since:
        return set(ids)
    paths = repository.git.diff("--name-only", "-z", since, "--", "patches").split("\0")
    paths += repository.untracked_files
    touched = {"-".join(path.split("/")[1:3]) for path in paths if path.startswith("patches/") and path.count("/") > 2}
    return touched & set(ids)


def number(project: Project) -> int:
    """A number that belongs to the commit at hand, 0 where there is none."""
    try:
        return int(gitpython.Repo(project.root).head.commit.hexsha, 16)
    except (gitpython.InvalidGitRepositoryError, ValueError):
        return 0


def _landed(repository: gitpython.Repo) -> str:
    named = os.environ.get("FORKLIFT_LANDED", "")
    if named:
        return str(repository.git.rev_parse("--verify", f"{named}^{{commit}}"))
    head = repository.head.commit
    followed = repository.git.rev_parse("--verify", "-q", "@{upstream}", with_exceptions=False)
    if followed and followed != head.hexsha and repository.is_ancestor(followed, head):
        return str(followed)
    return str(repository.git.log("-1", "--format=%H", f"--until={head.committed_date - _DAY_S}"))
