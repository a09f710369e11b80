"""pr --open: push the branch to the contributor's fork and open the pull request with gh."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from pathlib import Path

from forklift.branch import base as bases
from forklift.branch import changes, suites
from forklift.errors import ForkliftError, UsageError
from forklift.model import BaseKind, Change
from forklift.results import bundle
from forklift.results.console import Console
from forklift.system import shell
from forklift.system.git import Git
from forklift.system.paths import Project

REMOTE = "contributor"


def refuse_release(project: Project, change_id: str, base: BaseKind | None) -> None:
    """A branch on a release has no common history with upstream, so it cannot become a pull request."""
    change = changes.find(project, change_id)
    if base == "release" or bases.fork_git_dir(project, change.suite) is None:
        raise UsageError(
            "a pull request is opened from the fork, not from the release base",
            [("change", change_id)],
            f"make fork-{change.suite.short}, then make pr-{change_id} ARGS=--open",
        )


def open_it(project: Project, change: Change, target: Path, console: Console) -> int:
    """Push the branch and its attachments to the contributor's fork, then `gh pr create`; without gh the command is printed."""
    if change.file.part:
        scripts = [target / "commands.sh", *(target / part.name / "commands.sh" for part in change.file.part)]
        raise UsageError(
            f"{change.id} is {len(scripts)} pull requests, each with commands of its own",
            [("have", "\n".join(str(script) for script in scripts))],
            f"{scripts[0]} CLONE REMOTE --push, and so for the others",
        )
    git_dir = bases.fork_git_dir(project, change.suite)
    assert git_dir is not None
    repository = Git(git_dir)
    url = _remote(project, repository, change)
    owner, name = owner_and_name(url)
    files = _attachments(project, repository, change, target)
    _push(repository, change, url, files, f"gh repo sync {owner}/{name}")
    final = target / "body.md"
    final.write_text(with_links((target / "PR.md").read_text(), f"https://github.com/{owner}/{name}", files))
    branch = change.file.branch
    command = ["gh", "pr", "create", "--repo", change.suite.repository, "--base", change.suite.branch]
    command += ["--head", f"{owner}:{branch}", "--title", change.file.title, "--body-file", str(final)]
    console.say(f"pushed {branch} and {branch}-files to {url}")
    if shutil.which("gh") is None:
        console.say("gh is not installed; to open the pull request:\n  " + shlex.join(command))
    else:
        console.say(shell.run(command, cwd=project.root).stdout.strip())
    return 0


def _push(repository: Git, change: Change, url: str, files: str, sync: str) -> None:
    # What the contributor's fork holds need not be sent; without knowing it, git would want blobs that a borrowed clone lacks.
    heads = f"+refs/heads/*:refs/remotes/{REMOTE}/*"
    fetched = repository.done("fetch", "-q", "--no-tags", "--filter=blob:none", url, heads, check=False)
    if fetched.status != 0:
        raise ForkliftError("the contributor's fork cannot be reached", [("url", url), ("git said", fetched.tail)], "check the url")
    branch = change.file.branch
    refs = [f"+refs/heads/{branch}:refs/heads/{branch}", f"+{files}:refs/heads/{branch}-files"]
    pushed = repository.done("push", "-q", url, *refs, check=False)
    if pushed.status != 0:
        pin = change.suite.pin[:10]
        facts = [("url", url), ("git said", pushed.tail)]
        raise ForkliftError("the branch cannot be pushed", facts, f"{sync}, so that your fork holds {pin}; then again")


def with_links(text: str, repository: str, commit: str) -> str:
    """PR.md with its attachments linked in the contributor's fork: a body cannot show files of the bundle."""
    text = re.sub(rf"(!\[[^\]]*\]\({bundle.ATTACHMENTS}/[^)]+)\)", r"\1?raw=true)", text)
    return text.replace(f"]({bundle.ATTACHMENTS}/", f"]({repository}/blob/{commit}/")


def owner_and_name(url: str) -> tuple[str, str]:
    """Of https://host/owner/name.git, git@host:owner/name.git, or a path that ends in owner/name.git."""
    parts = [part for part in re.split(r"[/:]", url.removesuffix("/").removesuffix(".git")) if part]
    if len(parts) < 2:
        raise UsageError(f"{url!r} names no owner", [("want", ".../OWNER/NAME.git")], "FORKLIFT_REMOTE=<url of your fork>")
    return parts[-2], parts[-1]


def _remote(project: Project, repository: Git, change: Change) -> str:
    """FORKLIFT_REMOTE, else the remote `contributor` of the fork's repository, else one that gh makes."""
    named = os.environ.get("FORKLIFT_REMOTE", "")
    found = named or repository.line("config", "--default", "", "--get", f"remote.{REMOTE}.url")
    if not found and shutil.which("gh"):
        shell.run(["gh", "repo", "fork", change.suite.repository, "--clone=false"], cwd=project.root)
        login = shell.run(["gh", "api", "user", "--jq", ".login"], cwd=project.root).stdout.strip()
        found = f"https://github.com/{login}/{change.suite.repository.split('/')[1]}.git"
        repository.call("config", f"remote.{REMOTE}.url", found)
    if not found:
        raise UsageError(
            "no fork of yours is known",
            [("change", change.id)],
            f"FORKLIFT_REMOTE=<url of your fork of {change.suite.repository}> {change.command}, with --open in ARGS",
        )
    if found.removesuffix("/").removesuffix(".git") == change.suite.url.removesuffix(".git"):
        raise UsageError("that is upstream itself, not a fork of it", [("url", found)], "FORKLIFT_REMOTE=<url of your fork>")
    return found


def _attachments(project: Project, repository: Git, change: Change, target: Path) -> str:
    """A commit without history that holds the bundle's pictures and tables."""
    with tempfile.TemporaryDirectory(prefix="forklift-attachments-") as scratch:
        folder = target / bundle.ATTACHMENTS
        if not any(folder.iterdir()):
            folder = Path(scratch)
            (folder / "README.md").write_text(f"{change.id} has no pictures and no tables.\n")
        with repository.with_work_tree(folder).index() as index:
            index.call("add", "-A", "-f", "--", ".")
            tree = index.line("write-tree")
    message = f"Pictures and tables of {change.id}\n"
    return repository.commit_tree(tree, None, message, suites.author(project.ci), change.suite.pin_date)
