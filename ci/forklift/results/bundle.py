"""out/<id>/: everything that opens the pull request. Written beside, then put in place whole."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from forklift.branch import build as branches
from forklift.errors import ForkliftError
from forklift.model import Change, CheckResult, FeatureBranch, Outcome, Report
from forklift.results import report as reports
from forklift.system.git import Git
from forklift.system.paths import Project


def write(project: Project, branch: FeatureBranch, report: Report) -> Path:
    """Patches, PR.md, loss.png, report.json, junit.xml, diff.txt, commands.sh."""
    change = branch.change
    target = project.out / change.id
    project.out.mkdir(parents=True, exist_ok=True)
    for scrap in project.out.glob(f".*.{change.id}.*"):  # of a run that was killed; the change's lock is ours
        shutil.rmtree(scrap, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=project.out, prefix=f".new.{change.id}.") as scratch:
        inside = Path(scratch) / "bundle"
        inside.mkdir()
        branches.series(branch, inside)
        pictures = _copy_pictures(inside, report)
        (inside / "diff.txt").write_text(_diff(branch))
        (inside / "PR.md").write_text(body(project, branch, report, pictures))
        (inside / "commands.sh").write_text(commands(project, branch))
        (inside / "commands.sh").chmod(0o755)
        reports.write(inside, [report])
        _replace(inside, target)
    return target


def body(project: Project, branch: FeatureBranch, report: Report, pictures: list[str]) -> str:
    """pr.md with the evidence appended. The title is not part of the body."""
    change = branch.change
    human = change.directory / "pr.md"
    if not human.is_file():
        raise ForkliftError("a change has no pr.md", [("want", human)], "write it in the suite's PR template")
    return reports.render(
        project.ci / "templates",
        "pr_evidence.md",
        human=human.read_text().rstrip(),
        change=change,
        branch=branch,
        report=report,
        rows=report.results,
        alignment=_pick(report, "alignment", "export_parity"),
        losses=_pick(report, "loss_consistency"),
        benchmarks=_pick(report, "benchmark"),
        pictures=pictures,
        unverified=[row for row in report.results if row.outcome is not Outcome.PASSED],
        Outcome=Outcome,
        tolerances=[(spec.label, entry) for spec in change.file.checks for entry in spec.tolerance],
    )


def commands(project: Project, branch: FeatureBranch) -> str:
    """A shell script for people: apply, test and open the PR; it pushes only when its reader takes the comment sign away."""
    return reports.render(project.ci / "templates", "commands.sh", branch=branch, change=branch.change)


def open_words(change: Change, bundle: Path) -> list[list[str]]:
    """The commands that open the PR from a clone of the contributor's own fork."""
    repository = change.suite.url.removeprefix("https://github.com/").removesuffix(".git")
    base = "dygraph" if change.suite.short == "ocr" else "develop"
    return [
        ["git", "push", "-u", "origin", change.file.branch],
        ["gh", "pr", "create", "--repo", repository, "--base", base, "--head", change.file.branch,
         "--title", change.file.title, "--body-file", str(bundle / "PR.md")],
    ]  # fmt: skip


def _pick(report: Report, *kinds: str) -> list[CheckResult]:
    # a check that ended in error or was skipped has no figures
    return [row for row in report.results if row.kind in kinds and row.outcome in (Outcome.PASSED, Outcome.FAILED)]


def _copy_pictures(inside: Path, report: Report) -> list[str]:
    names = []
    for row in report.results:
        for file in map(Path, row.files):
            if file.suffix == ".png" and file.is_file():
                name = file.name if file.name not in names else f"{row.check}-{file.name}"
                shutil.copyfile(file, inside / name)
                names.append(name)
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
