"""What every kind needs: run a change's script in the suite's environment, and word the result."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from forklift.errors import ForkliftError, Reason
from forklift.model import CheckResult, CheckSpec, Outcome, Workspace
from forklift.running import sandbox
from forklift.system import shell
from forklift.system.paths import current_project
from forklift.workspace import environment

_MEMORY_WORDS = ("MemoryError", "Cannot allocate memory", "bad_alloc", "ResourceExhausted", "Killed")


class ScriptSpec(CheckSpec, frozen=True, kw_only=True):
    """A check that runs a script of the change (docs/check-scripts.md)."""

    script: str

    def problems(self, directory: Path) -> Iterator[str]:
        if not (directory / self.script).is_file():
            yield f"no script {self.script}"


class Stopwatch:
    """Seconds since it was made, and results that carry them."""

    def __init__(self, workspace: Workspace, spec: CheckSpec) -> None:
        self._workspace, self._spec, self._start = workspace, spec, time.monotonic()

    def result(
        self,
        outcome: Outcome,
        summary: str,
        details: dict[str, Any] | None = None,
        reason: Reason | None = None,
        files: tuple[str, ...] = (),
    ) -> CheckResult:
        change = self._workspace.branch.change.id
        seconds = round(time.monotonic() - self._start, 2)
        return CheckResult(change, self._spec.label, self._spec.kind, outcome, summary, seconds, reason, details or {}, files)

    def judged(self, good: bool, summary: str, details: dict[str, Any], files: tuple[str, ...] = ()) -> CheckResult:
        return self.result(Outcome.PASSED if good else Outcome.FAILED, summary, details, None, files)

    def broken(self, problem: ForkliftError) -> CheckResult:
        facts = dict(problem.facts)
        reason = problem.reason or (Reason.OUT_OF_MEMORY if _ran_out(str(problem)) else Reason.SCRIPT_FAILED)
        return self.result(Outcome.ERROR, problem.what, {"facts": facts, "next": problem.next_step}, reason)


def _ran_out(text: str) -> bool:
    return any(word in text for word in _MEMORY_WORDS)


def fresh_directory(workspace: Workspace, name: str) -> Path:
    """An empty directory for one check's output, with a name that no run had before.

    So a stored result never points at the files of another run, and a process that outlived a killed run writes where nobody looks.
    """
    target = workspace.results / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=target, prefix="run-"))


def reference(workspace: Workspace) -> Path:
    """The reference set to compare with: the user's, else the change's own."""
    return workspace.reference or workspace.branch.change.directory / "reference"


def python(
    workspace: Workspace, *words: str | Path, cwd: Path, log: Path, timeout: float, check: bool = True, threads: int = 0
) -> shell.Done:
    """Run the suite environment's Python with the variables that check scripts expect; `threads` overrides the run's number."""
    base, project = workspace.branch.base, current_project()
    env = environment.variables(project, cwd, base.suite, base.kind, workspace.paddle, threads or workspace.threads)
    inside = sandbox.words(project, workspace, cwd) if workspace.sandbox else []
    argv = [*inside, workspace.python, *words]
    return shell.run(argv, cwd=cwd, env=env, timeout=timeout, log=log, check=check)


def script(workspace: Workspace, spec: ScriptSpec, out: Path, *extra: str | Path, name: str = "script", threads: int = 0) -> None:
    """Run the check's script with `--out`, `--reference` and its arguments; its log is written next to its output."""
    path = workspace.branch.change.directory / spec.script
    if not path.is_file():
        raise ForkliftError(
            "a check's script is missing", [("file", path), ("check", spec.label)], "write it, or correct `script` in change.toml"
        )
    words: list[str | Path] = [path, "--out", out, *spec.args, *extra]
    if workspace.reference is not None and "--reference" not in words:
        words += ["--reference", workspace.reference]
    log = out / f"{name}.log"
    python(workspace, *words, cwd=workspace.directory, log=log, timeout=spec.timeout_s, threads=threads)


def read_json(path: Path) -> Any:
    """A script's output; the error says which script forgot it."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as missing:
        raise ForkliftError("the script wrote no output", [("want", path)], "read docs/check-scripts.md") from missing
    except json.JSONDecodeError as broken:
        raise ForkliftError(
            "the script's output is not JSON", [("file", path), ("at", broken)], "read the script's log"
        ) from broken
