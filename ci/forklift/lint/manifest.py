"""Rules about change.toml and what stands beside it."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator

from forklift.branch import changes
from forklift.errors import UsageError
from forklift.model import Change
from forklift.running.compare import DEFAULTS, OTHER_STAGE
from forklift.system.paths import Project

_SCRIPTED = ("alignment", "loss_consistency", "export_parity", "benchmark", "metrics")


def slug(project: Project, change: Change) -> Iterator[str]:
    """Path, id, suite and branch say the same."""
    expected = f"{change.directory.parent.name}-{change.directory.name}"
    if change.id != expected:
        yield f"id is {change.id!r}, its path says {expected!r}"
    if change.directory.parent.name != change.suite.short:
        yield f"suite {change.suite.name} has the short name {change.suite.short!r}, the path says {change.directory.parent.name!r}"
    if change.file.branch != f"feature/{change.directory.name}":
        yield f"branch is {change.file.branch!r}, want 'feature/{change.directory.name}'"


def commits(project: Project, change: Change) -> Iterator[str]:
    """Every overlay and edits file is in exactly one commit."""
    yield from changes.assignment_problems(change)


def checks(project: Project, change: Change) -> Iterator[str]:
    """Labels are unique, scripts exist, each kind has what it needs."""
    labels = [spec.label for spec in change.file.checks]
    yield from (f"two checks are called {label!r}" for label in sorted({x for x in labels if labels.count(x) > 1}))
    for spec in change.file.checks:
        if spec.kind in _SCRIPTED and not (change.directory / spec.script).is_file():
            yield f"check {spec.label}: no script {spec.script or '(none named)'}"
        if spec.kind in ("alignment", "export_parity") and not spec.stages:
            yield f"check {spec.label}: stages is empty, so it could pass on nothing"
        if spec.kind == "metrics" and not spec.require:
            yield f"check {spec.label}: no [[check.require]], so it cannot fail"
        if spec.kind == "app" and spec.script and not (change.directory / spec.script).is_file():
            yield f"check {spec.label}: no script {spec.script}"
        if spec.kind == "unit_tests" and not spec.paths or spec.kind == "app" and not spec.paths and not spec.script:
            yield f"check {spec.label}: no paths"
        for bound in spec.require:
            if bound.min is None and bound.max is None:
                yield f"check {spec.label}: {bound.metric} has neither min nor max"


def reasons(project: Project, change: Change) -> Iterator[str]:
    """A tolerance looser than the default has a reason of substance."""
    loosest = max(rtol for rtol, _ in [*DEFAULTS.values(), OTHER_STAGE])
    for spec in change.file.checks:
        if spec.kind == "loss_consistency" and spec.rtol > 1e-5 and len(spec.why) < 20:
            yield f"check {spec.label}: rtol {spec.rtol:g} is looser than 1e-5 without a why"
        for entry in spec.tolerance:
            if len(entry.why) < 20:
                yield f"check {spec.label}: tolerance for {entry.match!r} (default at most {loosest:g}) has no why"


def after(project: Project, change: Change) -> Iterator[str]:
    """`after` names changes of the same suite."""
    known = changes.directories(project)
    for before in change.file.after:
        if before not in known:
            yield f"after names {before!r}, which does not exist"
        elif known[before].parent != change.directory.parent:
            yield f"after names {before!r}, which is of another suite"
    if all(before in known for before in change.file.after):
        try:
            changes.before(project, change)
        except UsageError as circle:
            yield f"after: {circle.what} ({', '.join(text for _, text in circle.facts)})"


def texts(project: Project, change: Change) -> Iterator[str]:
    """pr.md is there and says what the work was made from."""
    path = change.directory / "pr.md"
    if not path.is_file() or len(path.read_text().split()) < 40:
        yield "pr.md is missing or says almost nothing"


def provenance(project: Project, change: Change) -> Iterator[str]:
    """Every file in reference/ is in provenance.toml with its sha256."""
    folder = change.directory / "reference"
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != "provenance.toml"}
    if not files:
        return
    listing = folder / "provenance.toml"
    if not listing.is_file():
        yield "reference/ has no provenance.toml"
        return
    try:
        listed = tomllib.loads(listing.read_text()).get("sha256", {})
    except ValueError as broken:
        yield f"reference/provenance.toml is not valid TOML: {broken}"
        return
    yield from (f"reference/{name} is not in provenance.toml [sha256]" for name in sorted(files - set(listed)))
    for name, digest in listed.items():
        if name not in files:
            yield f"provenance.toml names {name}, which is not there"
        elif hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            yield f"reference/{name} is not the file that provenance.toml describes (sha256 differs)"


def evidence(project: Project, change: Change) -> Iterator[str]:
    """evidence/README.md names every file in evidence/, so that each stands beside the command that made it."""
    folder = change.directory / "evidence"
    files = [p for p in folder.rglob("*") if p.is_file() and p.name not in ("README.md", "status.json")] if folder.is_dir() else []
    readme = folder / "README.md"
    text = readme.read_text() if readme.is_file() else ""
    for path in sorted(files):
        if path.name not in text:
            yield f"evidence/{path.relative_to(folder)} is not named in evidence/README.md with its command"
