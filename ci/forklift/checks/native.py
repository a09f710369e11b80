"""C++: configured and built with CMake, tested with ctest."""

from __future__ import annotations

import re
from pathlib import Path

from forklift.errors import ForkliftError, Reason
from forklift.model import CheckResult, CheckSpec, Workspace
from forklift.running.junit import read_junit
from forklift.running.runner import Stopwatch, fresh_directory
from forklift.system import shell


def run(workspace: Workspace, spec: CheckSpec) -> CheckResult:
    """Build `source` of the work tree out of tree and run its tests; `args` go to CMake's configure step."""
    watch = Stopwatch(workspace, spec)
    out = fresh_directory(workspace, spec.label)
    build, junit = out / "build", out / "ctest.xml"
    source = workspace.directory / spec.source
    try:
        _configure(source, build, spec, out / "configure.log")
        jobs = str(workspace.threads)
        shell.run(["cmake", "--build", build, "-j", jobs], log=out / "build.log", timeout=spec.timeout_s)
        words: list[str | Path] = ["ctest", "--test-dir", build, "--output-junit", junit, "--output-on-failure", "--no-tests=error"]
        shell.run(words, log=out / "ctest.log", timeout=spec.timeout_s, check=False)
        if not junit.is_file():
            raise ForkliftError("ctest wrote no report", [("want", junit)], f"read {out / 'ctest.log'}")
        states = read_junit(junit)
    except ForkliftError as problem:
        return watch.broken(problem)
    failed = [name for name, state in states.items() if state == "failed"]
    passed = list(states.values()).count("passed")
    summary = f"{passed} passed, {len(failed)} failed" + (f": {failed[0]}" if failed else "")
    return watch.judged(not failed and passed > 0, summary, {"tests": states}, (str(junit),))


def _configure(source: Path, build: Path, spec: CheckSpec, log: Path) -> None:
    """A library that is missing is the machine's fault, not the change's."""
    done = shell.run(["cmake", "-S", source, "-B", build, *spec.args], log=log, timeout=spec.timeout_s, check=False)
    if done.status != 0:
        missing = re.search(r"(?i)could not find|not found|is not installed", done.stdout)
        raise ForkliftError(
            "CMake cannot configure the project",
            [("log", log), ("output", done.tail)],
            "sudo ci/debian-packages.sh, then run the command again" if missing else f"read {log}",
            Reason.ENV_FAILED if missing else Reason.SCRIPT_FAILED,
        )
