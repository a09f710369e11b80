"""The commit that a change is built on: the pinned fork, or the suite's release committed to a bare repository."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import git as gitpython
from filelock import FileLock

from forklift.errors import ForkliftError, Reason, UsageError
from forklift.model import BaseKind, BaseTree, Identity, Release, Suite
from forklift.system import shell
from forklift.system.git import Git
from forklift.system.paths import Project

_RELEASE_DATE = "2023-01-01T00:00:00+00:00"
_RELEASE_AUTHOR = Identity(name="Forklift release base", email="release@forklift.invalid")


def resolve(project: Project, suite: Suite, kind: BaseKind | None = None) -> BaseTree:
    """The fork where it is there, else the release; `kind` forces one."""
    if kind == "fork" or (kind is None and fork_git_dir(project, suite) is not None):
        return _fork(project, suite)
    return _release(project, suite)


def fork_git_dir(project: Project, suite: Suite) -> Path | None:
    """The git directory of forks/<Suite>, or None where the submodule is not set up."""
    pointer = project.forks / suite.name / ".git"
    if pointer.is_dir():
        return pointer
    if not pointer.is_file():
        return None
    target = Path(pointer.read_text().partition("gitdir:")[2].strip())
    found = (pointer.parent / target).resolve()
    if not (found / "HEAD").is_file():
        raise UsageError(
            f"the fork of {suite.name} is not where its .git file says",
            [("file", pointer), ("says", found)],
            f"rm {pointer}, then make fork-{suite.short} (was the project moved?)",
            Reason.BASE_MISSING,
        )
    return found


def gitlink(project: Project, suite: Suite) -> str | None:
    """The commit that the index pins at forks/<Suite>, or None where this is no git checkout."""
    try:
        repository = gitpython.Repo(project.root)
    except gitpython.InvalidGitRepositoryError:
        return None
    for (path, _), entry in repository.index.entries.items():
        if path == f"forks/{suite.name}":
            return entry.hexsha
    return None


def set_gitlink(project: Project, suite: Suite, commit: str) -> None:
    """Pin forks/<Suite> in the project's index; nothing where this is no git checkout."""
    if gitlink(project, suite) is not None:
        gitpython.Repo(project.root).git.update_index("--cacheinfo", f"160000,{commit},forks/{suite.name}")


def _fork(project: Project, suite: Suite) -> BaseTree:
    git_dir = fork_git_dir(project, suite)
    if git_dir is None:
        raise UsageError(
            f"the fork of {suite.name} is not checked out",
            [("where", project.forks / suite.name)],
            f"make fork-{suite.short}    (or FROM=<local repository>), or use --base release",
            Reason.BASE_MISSING,
        )
    repository = Git(git_dir)
    if not repository.exists(suite.pin):
        raise UsageError(
            f"the fork of {suite.name} lacks the pinned commit",
            [("where", git_dir), ("want", suite.pin)],
            f"make fork-{suite.short}",
            Reason.BASE_MISSING,
        )
    tree = repository.line("rev-parse", f"{suite.pin}^{{tree}}")
    return BaseTree("fork", suite, git_dir, suite.pin, tree, f"fork {suite.name} @ {suite.pin[:10]}")


def _release(project: Project, suite: Suite) -> BaseTree:
    release = suite.release
    git_dir = _release_dir(project, suite)
    git_dir.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{git_dir}.lock"):
        # the ref is written last: a directory without it was left half-made by a killed run
        if not (git_dir.is_dir() and Git(git_dir).exists("refs/heads/release")):
            shutil.rmtree(git_dir, ignore_errors=True)
            shell.run(["git", "init", "-q", "--bare", git_dir], env=_plain_git_env())
            wheel = download(project, release) if release else None
            _commit_release(Git(git_dir), suite, wheel)
    repository = Git(git_dir)
    commit = repository.line("rev-parse", "refs/heads/release")
    tree = repository.line("rev-parse", f"{commit}^{{tree}}")
    label = f"release {release.distribution} {release.version}" if release else f"no release of {suite.name}: empty tree"
    return BaseTree("release", suite, git_dir, commit, tree, label + _lacking(repository, commit, release))


def forget_release(project: Project, suite: Suite) -> None:
    """Drop the repository that the release was committed to; the next run makes it again."""
    with FileLock(f"{_release_dir(project, suite)}.lock"):
        shutil.rmtree(_release_dir(project, suite), ignore_errors=True)


def _release_dir(project: Project, suite: Suite) -> Path:
    tag = f"{suite.release.distribution}-{suite.release.version}" if suite.release else f"{suite.short}-empty"
    return project.cache / "release" / f"{tag}.git"


def _lacking(repository: Git, commit: str, release: Release | None) -> str:
    if release is None:
        return ""
    top = {path.split("/", 1)[0] for path in repository.files(commit)}
    lacking = [f"{name}/" for name in ("tools", "configs", "tests") if name not in top]
    return f" (partial: no {', '.join(lacking)})" if lacking else ""


def _plain_git_env() -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return {**env, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def _commit_release(repository: Git, suite: Suite, wheel: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="forklift-release-") as scratch:
        top = Path(scratch)
        if wheel is not None and suite.release is not None:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(top)
            top = top / suite.release.root
        with repository.with_work_tree(top).index() as index:
            # an empty directory has nothing to add, and `git add .` calls that an error
            keep = [f":!{path.name}" for path in top.glob("*.dist-info")]
            if any(top.iterdir()):
                index.call("add", "-A", "-f", "--", ".", *keep)
            tree = index.line("write-tree")
    label = f"{suite.release.distribution} {suite.release.version}" if suite.release else "empty tree"
    commit = repository.commit_tree(tree, None, f"{label}\n", _RELEASE_AUTHOR, _RELEASE_DATE)
    repository.call("update-ref", "refs/heads/release", commit)


def download(project: Project, release: Release) -> Path:
    """The release's wheel, downloaded by pip with its hash required."""
    target = project.cache / "downloads" / f"{release.distribution}-{release.version}"
    for stored in sorted(target.glob("*.whl")):
        if hashlib.sha256(stored.read_bytes()).hexdigest() == release.sha256:
            return stored
    shutil.rmtree(target, ignore_errors=True)  # of another hash: damaged, or suites.toml names another file now
    target.parent.mkdir(parents=True, exist_ok=True)
    for scrap in target.parent.glob(f".new-{release.distribution}-*"):  # of a run that was killed
        shutil.rmtree(scrap, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".new-{release.distribution}-") as scratch:
        wanted = Path(scratch) / "requirements.txt"
        wanted.write_text(f"{release.distribution}=={release.version} --hash=sha256:{release.sha256}\n")
        words = ["-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        done = shell.run([sys.executable, *words, "-r", wanted, "-d", f"{scratch}/w"], check=False, timeout=600)
        if done.status != 0:
            mismatch = "DO NOT MATCH THE HASHES" in done.stderr
            raise ForkliftError(
                f"cannot download {release.distribution}=={release.version}" + (": its hash differs" if mismatch else ""),
                [("pip said", done.tail)],
                "compare sha256 in ci/suites.toml with the package index"
                if mismatch
                else "check the network and pip's index configuration, then run the command again",
                None if mismatch else Reason.NETWORK_NEEDED,
            )
        Path(scratch, "w").rename(target)
    return next(iter(target.glob("*.whl")))
