"""out/<id>/: everything that opens the pull request. Written beside, then put in place whole."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from forklift.branch import build as branches
from forklift.errors import ForkliftError
from forklift.model import Change, FeatureBranch, Outcome, Report
from forklift.results import page
from forklift.results import report as reports
from forklift.system.git import Git
from forklift.system.paths import Project

# GitHub refuses a body of more than 65,536 characters
LIMIT = 60_000
# pictures and long tables: PR.md links to them here, and they are pushed to a branch of their own when the pull request is opened
ATTACHMENTS = "attachments"


def write(project: Project, branch: FeatureBranch, report: Report) -> Path:
    """Patches, PR.md with its attachments, report.json, junit.xml, diff.txt, commands.sh, and the page for a browser."""
    change = branch.change
    target = project.out / change.id
    project.out.mkdir(parents=True, exist_ok=True)
    for scrap in project.out.glob(f".*.{change.id}.*"):  # of a run that was killed; the change's lock is ours
        shutil.rmtree(scrap, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=project.out, prefix=f".new.{change.id}.") as scratch:
        inside = Path(scratch) / "bundle"
        (inside / ATTACHMENTS).mkdir(parents=True)
        for name, part in branches.parts(project, branch).items() if change.file.part else [("", branch)]:
            if name:
                _write_part(project, part, name, inside / name)
            else:
                branches.series(part, inside)
        pictures = _copy_pictures(inside / ATTACHMENTS, report)
        tables = _pair_tables(project, inside / ATTACHMENTS, report)
        (inside / "diff.txt").write_text(_diff(branch))
        (inside / "PR.md").write_text(body(project, branch, report, pictures, tables))
        (inside / "commands.sh").write_text(commands(project, branch))
        (inside / "commands.sh").chmod(0o755)
        (inside / "index.html").write_text(page.html(project, change, report, pictures, ATTACHMENTS))
        if (change.directory / "evidence").is_dir():  # what the page links to
            shutil.copytree(change.directory / "evidence", inside / "evidence")
        reports.write(inside, [report])
        _replace(inside, target)
    return target


def _write_part(project: Project, part: FeatureBranch, name: str, target: Path) -> None:
    """A pull request of its own: its series, its text, its commands. The evidence is that of the whole change."""
    human = part.change.place(f"pr-{name}.md")
    if not human.is_file():
        raise ForkliftError("a part of a change has no text", [("want", human)], "write it in the suite's PR template")
    target.mkdir()
    branches.series(part, target)
    (target / "PR.md").write_text(human.read_text())
    (target / ATTACHMENTS).mkdir()
    (target / "commands.sh").write_text(commands(project, part))
    (target / "commands.sh").chmod(0o755)


def body(project: Project, branch: FeatureBranch, report: Report, pictures: list[str], tables: list[str]) -> str:
    """pr.md with the evidence appended. The title is not part of the body."""
    change = branch.change
    human = change.place("pr.md")
    if not human.is_file():
        raise ForkliftError("a change has no pr.md", [("want", human)], "write it in the suite's PR template")
    text = reports.render(
        project.ci / "templates",
        "pr_evidence.md",
        human=human.read_text().rstrip(),
        change=change,
        branch=branch,
        report=report,
        results=report.results,
        sections=_sections(change, report),
        pictures=pictures,
        tables=tables,
        attachments=ATTACHMENTS,
        unverified=[result for result in report.results if result.outcome is not Outcome.PASSED],
        Outcome=Outcome,
        tolerances=[(spec.label, entry) for spec in change.checks for entry in getattr(spec, "tolerance", [])],
    )
    if len(text) > LIMIT:
        facts = [("characters", f"{len(text):,}, at most {LIMIT:,}"), ("file", human)]
        raise ForkliftError("the pull request's text is too long", facts, "shorten pr.md; long tables belong in evidence/")
    return text


def commands(project: Project, branch: FeatureBranch) -> str:
    """A shell script for people: it applies the series, and pushes only with --push."""
    change = branch.change
    return reports.render(project.ci / "templates", "commands.sh", branch=branch, change=change, attachments=ATTACHMENTS)


def _sections(change: Change, report: Report) -> list[tuple[str, str]]:
    """(check, what its kind says in PR.md). A check that ended in error or was skipped has no figures."""
    templates = {spec.label: spec.section for spec in change.checks if spec.section}
    good = (Outcome.PASSED, Outcome.FAILED)
    judged = [result for result in report.results if result.check in templates and result.outcome in good]
    return [(result.check, reports.render_text(templates[result.check], result=result)) for result in judged]


def _copy_pictures(inside: Path, report: Report) -> list[str]:
    names = []
    for result in report.results:
        for file in map(Path, result.files):
            if file.suffix == ".png" and file.is_file():
                name = file.name if file.name not in names else f"{result.check}-{file.name}"
                shutil.copyfile(file, inside / name)
                names.append(name)
    return names


def _pair_tables(project: Project, inside: Path, report: Report) -> list[str]:
    """Every pair of tensors of a check, in a file of its own."""
    names = []
    for result in report.results:
        if result.details.get("pairs"):
            names.append(f"{result.check}-pairs.md")
            text = reports.render(project.ci / "templates", "pairs.md", result=result)
            (inside / names[-1]).write_text(text)
    return names


def _diff(branch: FeatureBranch) -> str:
    words = ["diff", "--stat=120", "--patch", "--no-color", "--no-renames", branch.base.commit, branch.head]
    return Git(branch.base.git_dir).call(*words)


def _replace(new: Path, target: Path) -> None:
    """Swap directories; a kill between the two renames leaves the old bundle under its spare name, never half a one."""
    spare = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".old.{target.name}."))
    if target.exists():
        target.rename(spare / "bundle")
    new.rename(target)
    shutil.rmtree(spare, ignore_errors=True)
