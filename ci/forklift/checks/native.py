"""native: C++, configured and built with CMake, tested with ctest."""

from __future__ import annotations

import re
from pathlib import Path

from forklift.errors import ForkliftError, Reason
from forklift.model import CheckResult, CheckSpec, Workspace
from forklift.running.junit import read_junit
from forklift.running.runner import Stopwatch, fresh_directory
from forklift.system import shell


class Spec(CheckSpec, frozen=True, kw_only=True, tag="native"):
    """`source` is a CMake project in the work tree; `args` go to CMake's configure step."""

    source: str

    def run(self, workspace: Workspace) -> CheckResult:
        """Build `source` out of tree and run its tests."""
        watch = Stopwatch(workspace, self)
        out = fresh_directory(workspace, self.label)
        build, junit = out / "build", out / "ctest.xml"
        try:
            _configure(workspace.directory / self.source, build, self, out / "configure.log")
            jobs = str(workspace.threads)
            shell.run(["cmake", "--build", build, "-j", jobs], log=out / "build.log", timeout=self.timeout_s)
            words: list[str | Path] = ["ctest", "--test-dir", build, "--output-junit", junit]
            words += ["--output-on-failure", "--no-tests=error"]
            shell.run(words, log=out / "ctest.log", timeout=self.timeout_s, check=False)
            if not junit.is_file():
                raise ForkliftError("ctest wrote no report", [("want", junit)], f"read {out / 'ctest.log'}")
            states = read_junit(junit)
        except ForkliftError as problem:
            return watch.broken(problem)
        failed = [name for name, state in states.items() if state == "failed"]
        passed = list(states.values()).count("passed")
        summary = f"{passed} passed, {len(failed)} failed" + (f": {failed[0]}" if failed else "")
        return watch.judged(not failed and passed > 0, summary, {"tests": states}, (str(junit),))


def _configure(source: Path, build: Path, spec: Spec, log: Path) -> None:
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
