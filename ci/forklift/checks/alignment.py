"""alignment: the change against values of the original implementation."""

from __future__ import annotations

from forklift.model import CheckResult, Workspace
from forklift.running.pairs import PairsSpec
from forklift.running.runner import reference


class Spec(PairsSpec, frozen=True, kw_only=True, tag="alignment"):
    """Pairs of what the branch computes and what the reference set holds."""

    def run(self, workspace: Workspace) -> CheckResult:
        return self.judged(workspace, "--reference", reference(workspace))
