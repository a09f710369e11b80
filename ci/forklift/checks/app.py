"""A page, driven in headless Chromium by the change's own pytest file; the pictures it takes are kept."""

from __future__ import annotations

import msgspec

from forklift.errors import ForkliftError
from forklift.model import CheckResult, CheckSpec, Workspace
from forklift.running.junit import collect
from forklift.running.runner import Stopwatch, fresh_directory


def run(workspace: Workspace, spec: CheckSpec) -> CheckResult:
    """All tests pass, none is skipped, and at least one screenshot was taken into --out."""
    watch = Stopwatch(workspace, spec)
    out = fresh_directory(workspace, spec.label)
    try:
        with_out = msgspec.structs.replace(spec, args=[*spec.args, f"--out={out}"])
        states = collect(workspace, with_out, out / "app.xml", workspace.directory)
    except ForkliftError as problem:
        return watch.broken(problem)
    pictures = tuple(str(path) for path in sorted(out.glob("**/*.png")))
    bad = [name for name, state in states.items() if state != "passed"]
    summary = f"{len(states) - len(bad)} passed, {len(pictures)} pictures" + (f": {bad[0]}" if bad else "")
    return watch.judged(not bad and bool(states) and bool(pictures), summary, {"tests": states}, pictures)
