"""Rules about change.toml and what stands beside it."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator

from forklift.branch import changes
from forklift.errors import UsageError
from forklift.model import Change
from forklift.results import status
from forklift.system.paths import Project

# what the scaffold's pr.md says where its author has to write (ci/templates/new_pr.md)
PLACEHOLDER = "Say here"
# one screen of a pull request
MOST_WORDS = 900


def slug(project: Project, change: Change) -> Iterator[str]:
    """Path, suite and branch say the same (that the id does is a condition for loading it)."""
    if change.directory.parent.name != change.suite.short:
        yield f"suite {change.suite.name} has the short name {change.suite.short!r}, the path says {change.directory.parent.name!r}"
    if change.file.branch != f"feature/{change.directory.name}":
        yield f"branch is {change.file.branch!r}, want 'feature/{change.directory.name}'"


def commits(project: Project, change: Change) -> Iterator[str]:
    """Every overlay and edits file is in exactly one commit."""
    yield from changes.assignment_problems(change)
    named, known = {commit.part for commit in change.file.commit}, {part.name for part in change.file.part}
    yield from (f"a [[commit]] names the part {name!r}, which is no [[part]]" for name in sorted(named - known - {""}))
    yield from (f"no [[commit]] is of the part {name!r}" for name in sorted(known - named))
    yield from (f"pr-{name}.md is missing" for name in sorted(known) if not (change.directory / f"pr-{name}.md").is_file())


def checks(project: Project, change: Change) -> Iterator[str]:
    """There are checks, their labels are unique, and each has what its kind needs to be able to fail."""
    if not change.checks:
        yield "no [[check]], so nothing is proven"
    labels = [spec.label for spec in change.checks]
    yield from (f"two checks are called {label!r}" for label in sorted({x for x in labels if labels.count(x) > 1}))
    for spec in change.checks:
        yield from (f"check {spec.label}: {problem}" for problem in spec.problems(change.directory))


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
    text = path.read_text() if path.is_file() else ""
    if len(text.split()) < 40:
        yield "pr.md is missing or says almost nothing"
    if len(text.split()) > MOST_WORDS:
        yield f"pr.md has {len(text.split())} words, at most {MOST_WORDS}: the rest belongs in evidence/"
    if PLACEHOLDER in text:
        yield f"pr.md still holds the scaffold's words: {PLACEHOLDER}"


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
    files = (
        [p for p in folder.rglob("*") if p.is_file() and p.name not in ("README.md", "status.json", "upstream.json")]
        if folder.is_dir()
        else []
    )
    readme = folder / "README.md"
    text = readme.read_text() if readme.is_file() else ""
    for path in sorted(files):
        if path.name not in text:
            yield f"evidence/{path.relative_to(folder)} is not named in evidence/README.md with its command"


def recorded(project: Project, change: Change) -> Iterator[str]:
    """evidence/status.json was written by `--record`, and by nothing else."""
    for name, leg in status.recorded(change).items():
        if leg.seal != status.seal(leg):
            yield f"evidence/status.json, {name}: not as a run recorded it; run make pr-{change.id} ARGS=--record"
