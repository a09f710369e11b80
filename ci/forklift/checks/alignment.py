"""alignment: the change against values of the original implementation."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forklift.model import CheckResult, Manifest, Workspace
from forklift.running.pairs import PairsSpec
from forklift.running.runner import reference

if TYPE_CHECKING:
    from forklift.running.compare import Array


class Computed(Manifest, frozen=True):
    """Pairs whose `want` is no stored value of the original, and why that proves something all the same."""

    match: str
    why: str


class Spec(PairsSpec, frozen=True, kw_only=True, tag="alignment"):
    """Pairs of what the branch computes and what the reference set holds.

    The judge reads the reference itself: a pair that does not name its place there must match an entry of `computed`.
    """

    computed: list[Computed] = []

    def problems(self, directory: Path) -> Iterator[str]:
        yield from super().problems(directory)
        yield from (f"computed {entry.match!r} has no why" for entry in self.computed if len(entry.why) < 20)

    def origin(self, pair: dict[str, Any], want: Array, kept: Array | None, reference: Path) -> str:
        if "source" in pair or any(fnmatch.fnmatchcase(pair["key"], entry.match) for entry in self.computed):
            return super().origin(pair, want, kept, reference)
        return "want names no place in the reference set, and no [[check.computed]] says why"

    def run(self, workspace: Workspace) -> CheckResult:
        return self.judged(workspace, "--reference", reference(workspace))
