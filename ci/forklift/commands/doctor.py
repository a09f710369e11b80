"""What this machine has, line by line, and what to type where something is missing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from forklift.branch import base, suites
from forklift.errors import ForkliftError
from forklift.model import Suite
from forklift.system import shell
from forklift.system.paths import Project
from forklift.workspace import environment, gpu

_NEED_GB = 12


class Finding(msgspec.Struct, frozen=True):
    """One line of the doctor."""

    what: str
    good: bool
    found: str
    next_step: str = ""


def run(project: Project) -> int:
    """Print every finding; 1 where one is bad."""
    findings = list(examine(project))
    for finding in findings:
        print(f"{'ok ' if finding.good else 'BAD'}  {finding.what:<8} {finding.found}")
        if not finding.good:
            print(f"       next  {finding.next_step}")
    return 0 if all(finding.good for finding in findings) else 1


def examine(project: Project) -> Iterator[Finding]:
    """Programs, disk, package index, locks, environments, forks."""
    for program, need in (("git", True), ("make", True), ("gcc", True), ("cmake", False), ("gh", False)):
        where = shutil.which(program)
        note = "needed" if need else "only for C++ changes" if program == "cmake" else "only to open pull requests"
        yield Finding(program, bool(where) or not need, where or f"not here ({note})", "" if where else f"install {program}")
    yield Finding("python", sys.version_info >= (3, 11), sys.version.split()[0], "install Python 3.11")
    free = shutil.disk_usage(project.root).free / 2**30
    yield Finding("disk", free > _NEED_GB, f"{free:.0f} GB free, want {_NEED_GB}", "free space, or set FORKLIFT_CACHE_DIR")
    yield _index()
    for suite in suites.load(project.ci).suite:
        yield _suite(project, suite)
    yield Finding("gpu", True, "present" if gpu.present() else "none: PADDLE=gpu checks end skipped(needs_gpu)")
    yield Finding("cores", True, f"{os.cpu_count()}")


def _index() -> Finding:
    try:
        good = shell.run([sys.executable, "-m", "pip", "index", "versions", "six"], check=False, timeout=60).status == 0
    except ForkliftError:  # no answer within the minute
        good = False
    return Finding("index", good, "package index answers" if good else "package index does not answer", "check pip's configuration")


def _suite(project: Project, suite: Suite) -> Finding:
    fork = base.fork_git_dir(project, suite)
    linked = base.gitlink(project, suite)
    parts = ["fork present" if fork else "no fork (release base)"]
    for paddle in suite.locks:
        lock = environment.lock_file(project, suite, paddle)
        made = Path(project.cache / "envs" / f"{lock.stem}-{environment.key_of(lock)}" / "forklift-complete").is_file()
        parts.append(f"paddle {paddle} {'ready' if made else 'not made yet'}")
    good = linked in (None, suite.pin)
    return Finding(
        suite.short, good, ", ".join(parts), "" if good else f"git checkout the pin {suite.pin[:10]} in forks/{suite.name}"
    )
