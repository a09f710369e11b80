"""Set up forks/<Suite>: from upstream, shallow and blobless, or without network from a local repository by git alternates."""

from __future__ import annotations

import os
from pathlib import Path

import git as gitpython

from forklift.branch import base as bases
from forklift.errors import ForkliftError, Reason, UsageError
from forklift.model import Suite
from forklift.system import shell
from forklift.system.git import Git
from forklift.system.paths import Project


def fetch(project: Project, suite: Suite) -> Path:
    """`git submodule update` of one suite: depth 1, no blobs until they are needed."""
    path = f"forks/{suite.name}"
    words = ["submodule", "update", "--init", "--depth", "1", "--filter=blob:none", "--", path]
    done = shell.run(["git", "-C", project.root, *words], check=False, timeout=1800)
    if done.status != 0:
        raise ForkliftError(
            f"the fork of {suite.name} cannot be fetched",
            [("url", suite.url), ("git said", done.tail)],
            f"check the network, or make fork-{suite.short} FROM=<local repository that holds {suite.pin[:10]}>",
            Reason.NETWORK_NEEDED,
        )
    return project.root / path


def borrow(project: Project, suite: Suite, source: Path) -> Path:
    """Point the submodule at a local repository's objects. The copy may lack blobs; it must hold the pinned commit."""
    objects = _objects(source)
    if bases.fork_git_dir(project, suite) is not None:
        raise UsageError(
            f"the fork of {suite.name} is already set up",
            [("where", project.forks / suite.name)],
            f"git submodule deinit -f forks/{suite.name}, then run the command again, to set it up anew",
        )
    try:
        common = Path(gitpython.Repo(project.root).git.rev_parse("--path-format=absolute", "--git-common-dir"))
    except gitpython.InvalidGitRepositoryError as none:
        raise UsageError(
            "this project is no git repository, so it has no place for a fork", [("where", project.root)], "git clone it"
        ) from none
    module, target = common / "modules" / "forks" / suite.name, project.forks / suite.name
    target.mkdir(parents=True, exist_ok=True)
    if not (module / "HEAD").is_file():
        shell.run(["git", "init", "-q", "--bare", module])
    (module / "objects" / "info" / "alternates").write_text(f"{objects}\n")
    repository = Git(module)
    if not repository.exists(suite.pin):
        (module / "objects" / "info" / "alternates").unlink()
        raise UsageError(
            f"{source} does not hold the pinned commit of {suite.name}",
            [("want", suite.pin)],
            "name a clone of upstream, or of a fork of it, that has this commit",
        )
    repository.call("config", "core.bare", "false")
    # relative, so that a project that is moved still finds it
    repository.call("config", "core.worktree", os.path.relpath(target, module))
    repository.call("config", "remote.origin.url", suite.url)
    repository.call("config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    repository.call("update-ref", "--no-deref", "HEAD", suite.pin)
    repository.call("read-tree", "HEAD")
    # the pointer comes last: until it is there, the fork counts as not set up
    (target / ".git").write_text(f"gitdir: {os.path.relpath(module, target)}\n")
    return target


def _objects(source: Path) -> Path:
    for candidate in (source / "objects", source / ".git" / "objects", source / "repo" / "objects"):
        if candidate.is_dir():
            return candidate.resolve()
    raise UsageError(f"{source} is no git repository", [], "FROM=<directory of a clone, bare or not>")
