"""app: a page, driven in headless Chromium by a pytest file; the pictures it takes are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from forklift.errors import ForkliftError
from forklift.model import CheckResult, CheckSpec, Workspace
from forklift.running.junit import collect
from forklift.running.runner import Stopwatch, fresh_directory


class Spec(CheckSpec, frozen=True, kw_only=True, tag="app"):
    """`paths` are test files in the work tree, `script` a pytest file of the change: at least one of them."""

    script: str = ""
    paths: list[str] = []

    def problems(self, directory: Path) -> Iterator[str]:
        if not self.paths and not self.script:
            yield "no paths and no script"
        if self.script and not (directory / self.script).is_file():
            yield f"no script {self.script}"

    def run(self, workspace: Workspace) -> CheckResult:
        """All tests pass, none is skipped, and at least one screenshot was taken into --out."""
        watch = Stopwatch(workspace, self)
        out = fresh_directory(workspace, self.label)
        scripts = [workspace.branch.change.directory / self.script] if self.script else []
        files = [*(workspace.directory / path for path in self.paths), *scripts]
        try:
            states = collect(workspace, files, [*self.args, f"--out={out}"], self.timeout_s, out / "app.xml", workspace.directory)
        except ForkliftError as problem:
            return watch.broken(problem)
        pictures = tuple(str(path) for path in sorted(out.glob("**/*.png")))
        bad = [name for name, state in states.items() if state != "passed"]
        summary = f"{len(states) - len(bad)} passed, {len(pictures)} pictures" + (f": {bad[0]}" if bad else "")
        return watch.judged(not bad and bool(states) and bool(pictures), summary, {"tests": states}, pictures)
