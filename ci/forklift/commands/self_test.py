"""self-test: the helpers' own tests (ci/proving), inside a suite's environment."""

from __future__ import annotations

import os
from pathlib import Path

from forklift.branch import suites
from forklift.system import shell
from forklift.system.paths import current_project
from forklift.workspace import environment


def run(paddle: str) -> int:
    """pytest over ci/tests/in_suite in the environment that check scripts run in."""
    project = current_project()
    suite = suites.load(project.ci).suite[0]
    python = environment.ensure(project, suite, paddle)
    env = environment.variables(project, project.ci, suite, "release", paddle, shell.cores())
    words: list[str | Path] = ["-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", "-c", os.devnull]
    log = project.cache / "logs" / f"self-test-{paddle}.log"
    words += [project.ci / "tests" / "in_suite"]
    done = shell.run([python, *words], cwd=project.ci, env=env, log=log, timeout=900, check=False)
    print(done.tail if done.status else done.tail.splitlines()[-1], flush=True)
    return 1 if done.status else 0
