"""unit_tests: the suite-style tests of a change, by pytest in the suite's environment; optionally on the base too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from forklift.errors import ForkliftError
from forklift.model import CheckResult, CheckSpec, Workspace
from forklift.running.junit import collect
from forklift.running.runner import Stopwatch, fresh_directory


class Spec(CheckSpec, frozen=True, kw_only=True, tag="unit_tests"):
    """`paths` are test files in the work tree. With `compare_base` they run on the base, too."""

    paths: list[str]
    compare_base: bool = False

    def problems(self, directory: Path) -> Iterator[str]:
        if not self.paths:
            yield "no paths"

    def run(self, workspace: Workspace) -> CheckResult:
        """All tests pass on the branch. With `compare_base`, each is also named regressed, fixed, same_pass or same_fail."""
        watch = Stopwatch(workspace, self)
        out = fresh_directory(workspace, self.label)
        files = [workspace.directory / path for path in self.paths]
        theirs: dict[str, str] = {}
        try:
            ours = collect(workspace, files, self.args, self.timeout_s, out / "branch.xml", workspace.directory)
            if self.compare_base and workspace.base_directory is not None:
                theirs = collect(workspace, files, self.args, self.timeout_s, out / "base.xml", workspace.base_directory)
        except ForkliftError as problem:
            return watch.broken(problem)
        counts = {word: list(ours.values()).count(word) for word in ("passed", "failed", "skipped")}
        verdicts = {name: verdict(theirs.get(name), state) for name, state in ours.items()} if theirs else {}
        regressed = [name for name, word in verdicts.items() if word == "regressed"]
        bad = [name for name, state in ours.items() if state == "failed" and verdicts.get(name) != "same_fail"]
        summary = ", ".join(f"{count} {word}" for word, count in counts.items() if count or word == "passed")
        if theirs:
            summary += f"; base: {len(theirs)} ran, {len(regressed)} regressed"
        if bad:
            summary += f": {bad[0]}"
        good = not bad and not regressed and counts["passed"] > 0
        return watch.judged(good, summary, {"counts": counts, "tests": ours, "verdicts": verdicts}, (str(out / "branch.xml"),))


def verdict(base: str | None, branch: str) -> str:
    """Compares one test's states on base and branch."""
    if base in (None, "skipped"):  # the base says nothing about it, so a failure on the branch is the branch's own
        return "new"
    if base == "passed":
        return "same_pass" if branch == "passed" else "regressed"
    return "fixed" if branch == "passed" else "same_fail"
