"""One module a kind of check, each with `run(workspace, spec) -> CheckResult`, independent of the others."""

from __future__ import annotations

from collections.abc import Callable

from forklift.checks import alignment, app, benchmark, loss_consistency, metrics, native, unit_tests
from forklift.model import CheckResult, CheckSpec, Workspace

KINDS: dict[str, Callable[[Workspace, CheckSpec], CheckResult]] = {
    "unit_tests": unit_tests.run,
    "alignment": alignment.run,
    "export_parity": alignment.run,
    "loss_consistency": loss_consistency.run,
    "benchmark": benchmark.run,
    "metrics": metrics.run,
    "native": native.run,
    "app": app.run,
}
