"""Arguments to one pipeline call, and the exit code."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal, Optional

import msgspec
import typer

from forklift import lint, pipeline
from forklift.branch import base as bases
from forklift.branch import changes, fork, rebase, suites
from forklift.branch import edit as worktree
from forklift.commands import doctor, scaffold, session, wheel
from forklift.errors import Reason
from forklift.model import Outcome
from forklift.results import report, status
from forklift.results.console import Console
from forklift.sweep import run as sweeps
from forklift.system import guard, shell
from forklift.system.paths import current_project

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="Carries changes as pull requests."
)

Id = Annotated[str, typer.Argument(help="a change, for example seg-pidnet (forklift list)")]
SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="seg clas det ocr nlp mix 3d onnx")]
Base = Annotated[
    Optional[Literal["fork", "release"]], typer.Option("--base", help="force a base; default: the fork if it is there")
]
Paddle = Annotated[str, typer.Option("--paddle", envvar="PADDLE", help="2.6, 3.3 or gpu")]
Jobs = Annotated[int, typer.Option("-j", "--jobs", min=1, help="checks at once; each gets cores / jobs threads")]
JOBS = min(4, shell.cores())
Json = Annotated[bool, typer.Option("--json", help="one JSON object a line")]
NoCache = Annotated[bool, typer.Option("--no-cache", envvar="CI", help="run what ran before too")]
Only = Annotated[Optional[list[str]], typer.Option("--only", help="a check by name or kind; may be repeated")]
Reference = Annotated[Optional[Path], typer.Option("--reference", exists=True, file_okay=False, help="another reference set")]
Record = Annotated[bool, typer.Option("--record", help="keep the outcomes in evidence/status.json")]


@app.command("list")
def list_changes(markdown: Annotated[bool, typer.Option(help="the README's table")] = False, as_json: Json = False) -> None:
    """What there is, and where each change stands."""
    project = current_project()
    if markdown:
        print(status.markdown(project))
        return
    for row in status.rows(project):
        legs = "; ".join(f"{name}: {cell}" for name, cell in row.legs.items())
        print(msgspec.json.encode(row).decode() if as_json else f"{row.id:<24} {row.state:<10} {row.title}  {legs}")


@app.command("status")
def update_status() -> None:
    """Bring the READMEs' tables up to date."""
    for name in status.update_readmes(current_project()) or ["nothing"]:
        print(f"{name} updated" if name != "nothing" else "the tables are up to date")


@app.command("lint")
def run_lint(ids: Annotated[Optional[list[str]], typer.Argument(help="changes; default all")] = None, as_json: Json = False) -> int:
    """Rules that read files only."""
    project = current_project()
    found = lint.run(project, changes.select(project, ids), whole_project=not ids)
    for problem in found:
        print(msgspec.json.encode(problem).decode() if as_json else f"{problem.where}  {problem.rule}: {problem.what}")
    if not found and not as_json:
        print(f"lint: {len(changes.directories(project)) if not ids else len(ids)} changes, no problems")
    return 1 if found else 0


@app.command("doctor")
def run_doctor() -> int:
    """What this machine has, and what to type where something is missing."""
    findings = list(doctor.examine(current_project()))
    for row in findings:
        print(
            f"{'ok ' if row.good else 'BAD'}  {row.what:<8} {row.found}"
            + (f"\n       next  {row.next_step}" if not row.good else "")
        )
    return 0 if all(row.good for row in findings) else 1


@app.command("fork")
def set_up_fork(
    suite: SuiteName, source: Annotated[Optional[Path], typer.Option("--from", help="a local repository")] = None
) -> None:
    """Set up forks/<Suite>: shallow and blobless, or borrowed from a local repository."""
    project = current_project()
    row = suites.find(project.ci, suite)
    target = fork.borrow(project, row, source) if source else fork.fetch(project, row)
    print(f"{row.name} @ {row.pin[:10]} in {target.relative_to(project.root)}")


@app.command()
def build(change_id: Id, base: Base = None, as_json: Json = False) -> None:
    """Build the feature branch alone."""
    project = current_project()
    with guard.only_run(project, change_id):
        built, line = pipeline.build(project, changes.find(project, change_id), pipeline.Options(base=base))
    Console(as_json).result(line)
    if not as_json:
        print(f"{built.ref.removeprefix('refs/heads/')} {built.head} in {built.base.git_dir}")


@app.command()
def check(
    ids: Annotated[list[str], typer.Argument(help="changes")],
    only: Only = None,
    base: Base = None,
    paddle: Paddle = "2.6",
    jobs: Jobs = JOBS,
    reference: Reference = None,
    record: Record = False,
    no_cache: NoCache = False,
    as_json: Json = False,
) -> int:
    """Build and run checks, all or the chosen ones."""
    options = session.options(base, paddle, jobs, no_cache, only, reference)
    return 1 if any(row.failed for row, _ in session.run(ids, options, Console(as_json), record, bundled=False)) else 0


@app.command("pr")
def pull_request(
    change_id: Id,
    base: Base = None,
    paddle: Paddle = "2.6",
    jobs: Jobs = JOBS,
    record: Record = False,
    no_cache: NoCache = False,
    as_json: Json = False,
    open_it: Annotated[bool, typer.Option("--open", help="push the branch and open the PR with gh")] = False,
) -> int:
    """Branch, checks and bundle in out/<id>/; --open pushes, nothing else does."""
    console = Console(as_json)
    options = session.options(base, paddle, jobs, no_cache, None, None)
    [(row, bundled)] = session.run([change_id], options, console, record)
    if open_it and bundled and not row.failed:
        return session.open_pull_request(change_id, bundled, console)
    return 1 if row.failed else 0


@app.command("test")
def test_all(
    base: Base = None,
    paddle: Paddle = "2.6",
    jobs: Jobs = JOBS,
    record: Record = False,
    no_cache: NoCache = False,
    as_json: Json = False,
) -> int:
    """Every change's checks; closes with pytest's kind of line."""
    console = Console(as_json)
    found = session.run([], session.options(base, paddle, jobs, no_cache, None, None), console, record)
    report.write(current_project().out, [row for row, _ in found])
    # that a branch was built is no check; that it was not is an error
    rows = [row for report, _ in found for row in report.results if row.kind != "base" or row.outcome is not Outcome.PASSED]
    counts = {kind: sum(row.outcome is kind for row in rows) for kind in Outcome}
    bad = counts[Outcome.FAILED] + counts[Outcome.ERROR]
    late = sum(row.reason is Reason.OUT_OF_TIME for row in rows)
    console.say(
        f"checks: {counts[Outcome.PASSED]} passed, {bad} failed, {counts[Outcome.SKIPPED]} skipped"
        + (f", {late} of them out of time" if late else "")
    )
    return 1 if any(row.failed for row, _ in found) or not rows else 0


@app.command("self-test")
def self_test(paddle: Paddle = "2.6") -> int:
    """The helpers' own tests (ci/proving), inside a suite's environment."""
    project = current_project()
    return session.self_test(project, suites.load(project.ci).suite[0], paddle)


@app.command()
def edit(change_id: Id, base: Base = None) -> None:
    """Open the change as a git work tree."""
    project = current_project()
    built, _ = pipeline.build(project, changes.find(project, change_id), pipeline.Options(base=base))
    print(f"{worktree.open_branch(project, built)}\nnext: change it there, then forklift save {change_id}")


@app.command()
def save(
    change_id: Id,
    keep: Annotated[bool, typer.Option(help="leave the work tree open")] = False,
    discard: Annotated[bool, typer.Option(help="close it without saving")] = False,
) -> int:
    """Turn the opened work tree back into overlay/ and edits/."""
    project = current_project()
    change = changes.find(project, change_id)
    if discard:
        worktree.discard(project, change)
        return 0
    done = worktree.save(project, change)
    for word, paths in (("wrote", done.written), ("removed", done.removed), ("ignored by the suite's .gitignore", done.ignored)):
        for path in paths:
            print(f"{word}  {path}")
    for problem in done.problems:
        print(f"next: in change.toml, {problem}")
    if not keep:
        worktree.discard(project, change)
    return 1 if done.problems else 0


@app.command("rebase")
def rebase_change(change_id: Id, onto: Annotated[str, typer.Option(help="a commit of the fork")] = "", opened: bool = True) -> int:
    """3-way: does the change apply to another commit? Opens the result as a work tree for forklift save."""
    project = current_project()
    change = changes.find(project, change_id)
    base = bases.resolve(project, change.suite, "fork")
    done = rebase.rebase(change, base, onto or base.suite.pin)
    print(f"{change_id}: {done.verdict} onto {done.onto[:10]}")
    for path in done.paths:
        print(f"  {path}")
    if done.verdict == "applies" and opened:
        where = session.open_rebased(project, change, base, done)
        print(f"{where}\nnext: review it there, then forklift save {change_id}")
    return 1 if done.verdict == "conflicts" else 0


@app.command()
def stack(suite: SuiteName, base: Base = None) -> None:
    """Apply all changes of a suite in turn; fails where two collide."""
    project = current_project()
    row = suites.find(project.ci, suite)
    ground = bases.resolve(project, row, base)
    for built in rebase.stack(project, session.of_suite(row), ground):
        print(f"{built.change.id}  {built.head[:12]}  {len(built.commits)} commits on {ground.label}")


@app.command("wheel")
def make_wheel(suite: SuiteName, base: Base = None) -> None:
    """A pip-installable wheel of the suite with all its changes, version +forklift."""
    project = current_project()
    row = suites.find(project.ci, suite)
    ground = bases.resolve(project, row, base)
    stacked = rebase.stack(project, session.of_suite(row), ground)
    print(wheel.build(project, ground, stacked))


@app.command()
def new(
    suite: SuiteName,
    change: str,
    task: Annotated[int, typer.Option(help="number of the task")] = 0,
    title: Annotated[str, typer.Option()] = "",
) -> None:
    """Scaffold a change that lints and passes."""
    project = current_project()
    row = suites.find(project.ci, suite)
    target = scaffold.new(project, row, change, task, title)
    print(f"{target.relative_to(project.root)}\nnext: make pr-{row.short}-{change}")


@app.command()
def sweep(
    change_id: Id,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="rows at once, each with one thread")] = JOBS,
    failed: Annotated[bool, typer.Option("--failed", help="run the reds again; those whose losses depart, in float64")] = False,
    shard: Annotated[str, typer.Option(help="i/n")] = "1/1",
    rows: Annotated[Optional[list[str]], typer.Option("--row", help="only these")] = None,
    modes: Annotated[Optional[list[str]], typer.Option("--mode", help="dygraph and only these: ast, sot")] = None,
    steps: int = 50,
    ray: Annotated[str, typer.Option(metavar="ADDRESS", help="a ray cluster, or local")] = "",
    only_list: Annotated[bool, typer.Option("--list", help="only write the list of models from what is measured")] = False,
    base: Base = None,
    paddle: Paddle = "2.6",
    as_json: Json = False,
) -> int:
    """Every row of models.toml through the change's script; resumable; writes evidence/rows.jsonl and the list of models."""
    if only_list:
        return session.write_list(change_id, Console(as_json))
    only, chosen = tuple(rows or ()), tuple(modes or ())
    limits = sweeps.Limits(jobs=jobs, steps=steps, failed_only=failed, shard=shard, only=only, modes=chosen, paddle=paddle, ray=ray)
    return session.sweep(change_id, limits, base, Console(as_json))


@app.command()
def clean() -> None:
    """Remove .cache/ and out/."""
    for path in (current_project().cache, current_project().out):
        shutil.rmtree(path, ignore_errors=True)


def main() -> None:
    """Entry point of the `forklift` command."""
    sys.exit(guard.run(lambda: app(standalone_mode=False)))
