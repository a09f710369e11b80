"""Rules about edits/: one small diff for each upstream file."""

from __future__ import annotations

import re
from collections.abc import Iterator

import unidiff

from forklift.branch import build as branch
from forklift.model import Change
from forklift.system.paths import Project

_MODE_ONLY = re.compile(r"\Adiff --git [^\n]+\nold mode \d+\nnew mode \d+\n\Z")
_INDEX = re.compile(r"^index [0-9a-f]{40}\.\.[0-9a-f]{40}( \d{6})?$", re.M)


def form(project: Project, change: Change) -> Iterator[str]:
    """One file a patch, at its own path, with full blob ids."""
    for path in change.edit_files:
        text = _text(change, path)
        try:
            named = [file.path for file in unidiff.PatchSet(text)]
        except unidiff.UnidiffParseError as broken:
            yield f"edits/{path}.patch is no unified diff: {broken}"
            continue
        if named != [path]:
            yield f"edits/{path}.patch changes {', '.join(named) or 'nothing'}, want exactly {path}"
        if not _INDEX.search(text) and not _MODE_ONLY.search(text):
            yield f"edits/{path}.patch has no full index line (git diff --full-index)"


def context(project: Project, change: Change) -> Iterator[str]:
    """At most one context line on each side of a hunk (git diff -U1)."""
    for path in change.edit_files:
        for file in _parsed(change, path):
            for hunk in file:
                kinds = [line.line_type for line in hunk]
                lead = next((i for i, kind in enumerate(kinds) if kind != " "), len(kinds))
                trail = next((i for i, kind in enumerate(reversed(kinds)) if kind not in (" ", "\\")), len(kinds))
                if hunk.section_header:
                    yield f"edits/{path}.patch line {hunk.source_start}: upstream text behind the second @@ is not needed"
                if max(lead, trail) > 1:
                    yield f"edits/{path}.patch line {hunk.source_start}: {max(lead, trail)} context lines, want one (git diff -U1)"


def whitespace(project: Project, change: Change) -> Iterator[str]:
    """No hunk that only changes white space."""
    for path in change.edit_files:
        for file in _parsed(change, path):
            for hunk in file:
                removed = ["".join(line.value.split()) for line in hunk if line.is_removed]
                added = ["".join(line.value.split()) for line in hunk if line.is_added]
                if "".join(removed) == "".join(added):
                    yield f"edits/{path}.patch line {hunk.source_start}: the hunk changes white space only"


def _text(change: Change, path: str) -> str:
    return branch.patch_of(change, path).decode(errors="replace")


def _parsed(change: Change, path: str) -> unidiff.PatchSet:
    try:
        return unidiff.PatchSet(_text(change, path))
    except unidiff.UnidiffParseError:
        return unidiff.PatchSet("")  # `form` says so
