"""export_parity: the exported program against the model that was exported."""

from __future__ import annotations

from forklift.model import CheckResult, Workspace
from forklift.running.pairs import PairsSpec


class Spec(PairsSpec, frozen=True, kw_only=True, tag="export_parity"):
    """Pairs of what an exported program gives and what the model gives."""

    def run(self, workspace: Workspace) -> CheckResult:
        return self.judged(workspace)
