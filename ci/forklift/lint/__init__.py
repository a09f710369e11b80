"""Rules that read files and nothing else; one function a rule, each gives the problems it found."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from forklift.branch import changes
from forklift.errors import UsageError
from forklift.lint import edits, manifest, overlay, whole
from forklift.model import Change
from forklift.results import newest, status
from forklift.system import shell
from forklift.system.paths import Project


class Problem(msgspec.Struct, frozen=True):
    """What one rule found."""

    rule: str
    where: str
    what: str


CHANGE_RULES: dict[str, Callable[[Project, Change], Iterable[str]]] = {
    "slug": manifest.slug,
    "commits": manifest.commits,
    "checks": manifest.checks,
    "after": manifest.after,
    "texts": manifest.texts,
    "provenance": manifest.provenance,
    "evidence": manifest.evidence,
    "recorded": manifest.recorded,
    "edit-form": edits.form,
    "edit-context": edits.context,
    "edit-whitespace": edits.whitespace,
    "overlay-imports": overlay.imports,
    "overlay-copyright": overlay.copyright_header,
    "overlay-format": overlay.formatted,
    "overlay-not-upstream": overlay.not_a_patch,
    "large-files": overlay.large_files,
}

# what newest/ can break beside the change's own files
_SERIES_RULES = (
    "commits",
    "edit-form",
    "edit-context",
    "edit-whitespace",
    "overlay-imports",
    "overlay-copyright",
    "overlay-format",
)

PROJECT_RULES: dict[str, Callable[[Project], Iterable[str]]] = {
    "pins": whole.pins,
    "speaks-of-itself": whole.speaks_of_itself,
    "status-table": whole.status_table,
}


def run(project: Project, rows: list[Change], whole_project: bool = True) -> list[Problem]:
    """All rules over the given changes, and the project's own."""

    def of_change(change: Change) -> list[Problem]:
        found = [Problem(rule, change.id, text) for rule, function in CHANGE_RULES.items() for text in function(project, change)]
        return [*found, *_of_series(project, change)]

    # side by side: the formatters are processes of their own
    found = [problem for problems in shell.in_threads(shell.cores(), of_change, rows) for problem in problems]
    if whole_project:
        found += [Problem(rule, "project", text) for rule, function in PROJECT_RULES.items() for text in function(project)]
    return found


def _of_series(project: Project, change: Change) -> list[Problem]:
    """The rules about files over newest/: its own overlay, its own edits, and that the commits name all of them."""
    if not (change.directory / "newest").is_dir():
        return []
    try:
        series = changes.on_newest(change)
    except UsageError as refused:
        return [Problem("newest", change.id, f"{refused.what}: {dict(refused.facts).get('all', '')}")]
    rules = {name: CHANGE_RULES[name] for name in _SERIES_RULES}
    known = {(rule, text) for rule, function in rules.items() for text in function(project, change)}
    found = [(rule, text) for rule, function in rules.items() for text in function(project, series)]
    return [Problem(rule, series.id, text) for rule, text in found if (rule, text) not in known]


def notes(project: Project, chosen: list[Change]) -> list[str]:
    """What is worth knowing and no problem: results that were recorded of an earlier state."""
    found = []
    for change in chosen:
        old = [f"{len(labels)} on {leg}" for leg, labels in status.stale(project, change).items()]
        if old:
            found.append(f"{change.id}: stale results ({', '.join(old)}); make pr-{change.id} ARGS=--record renews them")
        if newest.stale(change):
            found.append(f"{change.id}: changed since ./forklift upstream {change.id} --record looked at it")
    return found
