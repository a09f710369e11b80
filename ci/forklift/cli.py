"""Arguments to one call. Each command imports what it needs when it runs, so that `--help` and `list` answer at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer

from forklift.system import guard
from forklift.system.paths import current_project

if TYPE_CHECKING:
    from forklift import pipeline
    from forklift.model import Change

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Carries changes as pull requests.",
)

Id = Annotated[str, typer.Argument(help="a change, for example seg-pidnet (./forklift list)")]
SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="seg clas det ocr nlp mix 3d onnx")]
Base = Annotated[
    Optional[Literal["fork", "release"]], typer.Option("--base", help="force a base; default: the fork if it is checked out")
]
Paddle = Annotated[str, typer.Option("--paddle", envvar="PADDLE", help="2.6, 3.3 or gpu")]
Jobs = Annotated[int, typer.Option("-j", "--jobs", min=1, help="checks at once; each gets cores / jobs threads")]
JOBS = min(4, os.cpu_count() or 1)
Json = Annotated[bool, typer.Option("--json", help="one JSON object per line")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="rerun what ran before, too (always so where CI is set)")]
Only = Annotated[Optional[list[str]], typer.Option("--only", help="a check by name or kind; may be repeated")]
Reference = Annotated[Optional[Path], typer.Option("--reference", exists=True, file_okay=False, help="another reference set")]
Sandbox = Annotated[bool, typer.Option("--sandbox", help="scripts get no network and no home (bubblewrap); nothing is downloaded")]
Onto = Annotated[Optional[Literal["newest"]], typer.Option("--onto", help="the series for upstream's newest commit (newest/)")]
Record = Annotated[bool, typer.Option("--record", help="keep the outcomes in evidence/status.json")]


def _options(
    base: Optional[Literal["fork", "release"]],
    paddle: str,
    jobs: int,
    no_cache: bool,
    only: list[str] | None = None,
    reference: Path | None = None,
    sandbox: bool = False,
    onto: str | None = None,
) -> pipeline.Options:
    from forklift import pipeline

    # CI systems set CI to "true", but also to their own name
    fresh = no_cache or os.environ.get("CI", "").lower() not in ("", "0", "false", "no")
    resolved = reference.resolve() if reference else None
    return pipeline.Options(
        base=base,
        paddle=paddle,
        jobs=jobs,
        use_cache=not fresh,
        only=tuple(only or ()),
        reference=resolved,
        sandbox=sandbox,
        newest=onto == "newest",
    )


def _find(change_id: str, onto: str | None) -> Change:
    from forklift.branch import changes

    found = changes.find(current_project(), change_id)
    return changes.on_newest(found) if onto else found


@app.command("list")
def list_changes(markdown: Annotated[bool, typer.Option(help="the README's table")] = False, as_json: Json = False) -> None:
    """What there is, and where each change stands."""
    import msgspec

    from forklift.results import status

    if markdown:
        print(status.markdown(current_project()))
        return
    for row in status.rows(current_project()):
        legs = "; ".join(f"{name}: {cell}" for name, cell in row.legs.items())
        print(msgspec.json.encode(row).decode() if as_json else f"{row.id:<24} {row.state:<10} {row.title}  {legs}")


@app.command("status")
def update_status() -> None:
    """Bring the READMEs' tables up to date."""
    from forklift.results import status

    changed = status.update_readmes(current_project())
    print("\n".join(f"{name} updated" for name in changed) or "the tables are up to date")


@app.command("lint")
def run_lint(ids: Annotated[Optional[list[str]], typer.Argument(help="changes; default all")] = None, as_json: Json = False) -> int:
    """Rules that read files only."""
    import msgspec

    from forklift import lint
    from forklift.branch import changes

    project = current_project()
    chosen = changes.select(project, ids)
    found = lint.run(project, chosen, whole_project=not ids)
    for problem in found:
        print(msgspec.json.encode(problem).decode() if as_json else f"{problem.where}  {problem.rule}: {problem.what}")
    if not as_json:
        for note in lint.notes(project, chosen):
            print(f"note: {note}")
    if not found and not as_json:
        print(f"lint: {len(chosen)} change{'s' if len(chosen) != 1 else ''}, no problems")
    return 1 if found else 0


@app.command("doctor")
def run_doctor() -> int:
    """What this machine has, and what to type where something is missing."""
    from forklift.commands import doctor

    return doctor.run(current_project())


@app.command("fork")
def set_up_fork(
    suite: SuiteName, source: Annotated[Optional[Path], typer.Option("--from", help="a local repository")] = None
) -> None:
    """Set up forks/<Suite>: shallow and blobless, or borrowed from a local repository."""
    from forklift.branch import fork, suites

    project = current_project()
    found = suites.find(project.ci, suite)
    target = fork.borrow(project, found, source) if source else fork.fetch(project, found)
    print(f"{found.name} @ {found.pin[:10]} in {project.short(target)}")


@app.command()
def build(change_id: Id, base: Base = None, onto: Onto = None, as_json: Json = False) -> None:
    """Build the feature branch alone."""
    from forklift import pipeline
    from forklift.results.console import Console

    project = current_project()
    with guard.only_run(project, change_id):
        built, line = pipeline.build(project, _find(change_id, onto), pipeline.Options(base=base))
    Console(as_json).result(line)
    if not as_json:
        print(f"{built.ref.removeprefix('refs/heads/')} {built.head} in {built.base.git_dir}")


@app.command()
def check(
    ids: Annotated[list[str], typer.Argument(help="changes")],
    only: Only = None,
    base: Base = None,
    onto: Onto = None,
    paddle: Paddle = "2.6",
    jobs: Jobs = JOBS,
    reference: Reference = None,
    record: Record = False,
    sandbox: Sandbox = False,
    no_cache: NoCache = False,
    as_json: Json = False,
) -> int:
    """Build and run checks, all or the chosen ones."""
    from forklift.commands import prove
    from forklift.results.console import Console

    options = _options(base, paddle, jobs, no_cache, only, reference, sandbox, onto)
    return prove.exit_code([report for report, _ in prove.run(ids, options, Console(as_json), record, bundled=False)])


@app.command("pr")
def pull_request(
    change_id: Id,
    base: Base = None,
    onto: Onto = None,
    paddle: Paddle = "2.6",
    jobs: Jobs = JOBS,
    record: Record = False,
    sandbox: Sandbox = False,
    no_cache: NoCache = False,
    as_json: Json = False,
    open_it: Annotated[bool, typer.Option("--open", help="push the branch and open the PR with gh")] = False,
) -> int:
    """Branch, checks and bundle in out/<id>/; --open pushes, nothing else does."""
    from forklift.commands import prove
    from forklift.commands import pull_request as pull_requests
    from forklift.results.console import Console

    console = Console(as_json)
    if open_it:
        pull_requests.refuse_release(current_project(), change_id, base)
    options = _options(base, paddle, jobs, no_cache, sandbox=sandbox, onto=onto)
    [(report, bundled)] = prove.run([change_id], options, console, record)
    if open_it and bundled and not report.failed:
        return pull_requests.open_it(current_project(), _find(change_id, onto), bundled, console)
    return prove.exit_code([report])


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
    from forklift.commands import prove
    from forklift.results.console import Console

    return prove.everything(_options(base, paddle, jobs, no_cache), Console(as_json), record)


@app.command("self-test")
def self_test(paddle: Paddle = "2.6") -> int:
    """The helpers' own tests (ci/proving), inside a suite's environment."""
    from forklift.commands import self_test

    return self_test.run(paddle)


@app.command()
def edit(change_id: Id, base: Base = None, onto: Onto = None) -> None:
    """Open the change as a git work tree; onto the newest commit with conflict marks where an edit does not apply."""
    from forklift import pipeline
    from forklift.branch import edit
    from forklift.commands import upstream

    project, change = current_project(), _find(change_id, onto)
    if change.newest:
        print(f"{upstream.open_newest(project, change)}\nnext: change it there, then ./forklift save {change_id} --onto newest")
        return
    built, _ = pipeline.build(project, change, pipeline.Options(base=base))
    print(f"{edit.open_branch(project, built)}\nnext: change it there, then make save-{change_id}")


@app.command()
def save(
    change_id: Id,
    onto: Onto = None,
    keep: Annotated[bool, typer.Option(help="leave the work tree open")] = False,
    discard: Annotated[bool, typer.Option(help="close it without saving")] = False,
) -> int:
    """Turn the opened work tree back into overlay/ and edits/."""
    from forklift.branch import edit

    project, change = current_project(), _find(change_id, onto)
    if discard:
        edit.discard(project, change)
        return 0
    done = edit.save(project, change)
    for word, paths in (("wrote", done.written), ("removed", done.removed), ("ignored by the suite's .gitignore", done.ignored)):
        for path in paths:
            print(f"{word}  {path}")
    for problem in done.problems:
        print(f"next: in {'newest/series.toml' if change.newest else 'change.toml'}, {problem}")
    if not keep:
        edit.discard(project, change)
    return 1 if done.problems else 0


@app.command("rebase")
def rebase_change(change_id: Id, onto: Annotated[str, typer.Option(help="a commit of the fork")] = "", opened: bool = True) -> int:
    """3-way: does the change apply to another commit? Opens the result as a work tree for forklift save."""
    from forklift.branch import base as bases
    from forklift.branch import changes, rebase
    from forklift.commands import pin

    project = current_project()
    change = changes.find(project, change_id)
    base = bases.resolve(project, change.suite, "fork")
    done = rebase.rebase(change, base, onto or base.suite.pin)
    print(f"{change_id}: {done.verdict} onto {done.onto[:10]}")
    for path in done.paths:
        print(f"  {path}")
    if done.verdict != "already upstream" and opened:
        resolve = "resolve the conflict marks" if done.verdict == "conflicts" else "review it"
        print(f"{pin.open_carried(project, change, base, done)}\nnext: {resolve} there, then make save-{change_id}")
    return 1 if done.verdict == "conflicts" else 0


@app.command("upstream")
def look_upstream(
    what: Annotated[Optional[str], typer.Argument(metavar="[SUITE|ID]", help="a suite or a change; default all")] = None,
    record: Annotated[bool, typer.Option("--record", help="keep it in evidence/upstream.json, for the status table")] = False,
    as_json: Json = False,
) -> int:
    """What upstream's newest commit has of each change by now, and what of it conflicts there."""
    from forklift.commands import upstream
    from forklift.results.console import Console

    return upstream.run(current_project(), what, record, Console(as_json))


@app.command("pin")
def move_pin(
    suite: SuiteName,
    commit: Annotated[str, typer.Argument(help="a commit of the fork")],
    why: Annotated[str, typer.Option(help="one line for ci/suites.toml")] = "",
) -> int:
    """Move a suite to another upstream commit, and every change of it along; one line per change."""
    from forklift.branch import suites
    from forklift.commands import pin

    project = current_project()
    found = suites.find(project.ci, suite)
    new, moved = pin.move(project, found, commit, why)
    print(f"{found.name}: {found.pin[:10]} -> {new[:10]} in ci/suites.toml, .gitmodules and the index")
    for one in moved:
        rest = f", resolve the marks in {one.opened}, then make save-{one.change}" if one.opened else ""
        print(f"{one.change}: {one.verdict}{rest}")
        for path in one.paths:
            print(f"  {path}")
    return 1 if any(one.verdict == "conflicts" for one in moved) else 0


@app.command()
def stack(suite: SuiteName, base: Base = None) -> None:
    """Apply all changes of a suite in turn; fails where two collide."""
    from forklift.branch import base as bases
    from forklift.branch import changes, rebase, suites

    project = current_project()
    found = suites.find(project.ci, suite)
    ground = bases.resolve(project, found, base)
    for built in rebase.stack(project, changes.of_suite(project, found), ground):
        print(f"{built.change.id}  {built.head[:12]}  {len(built.commits)} commits on {ground.label}")


@app.command("wheel")
def make_wheel(suite: SuiteName, base: Base = None) -> None:
    """A pip-installable wheel of the suite with all its changes, version +forklift."""
    from forklift.branch import base as bases
    from forklift.branch import changes, rebase, suites
    from forklift.commands import wheel

    project = current_project()
    found = suites.find(project.ci, suite)
    ground = bases.resolve(project, found, base)
    stacked = rebase.stack(project, changes.of_suite(project, found), ground)
    print(wheel.build(project, ground, stacked))


@app.command()
def new(
    suite: SuiteName,
    change: str,
    task: Annotated[int, typer.Option(help="number of the task")] = 0,
    title: Annotated[str, typer.Option()] = "",
) -> None:
    """Scaffold a change whose test passes; lint asks for its pr.md."""
    from forklift.branch import suites
    from forklift.commands import scaffold

    project = current_project()
    found = suites.find(project.ci, suite)
    target = scaffold.new(project, found, change, task, title)
    print(f"{project.short(target)}\nnext: make pr-{found.short}-{change}")


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
    from forklift.commands import measure
    from forklift.results.console import Console
    from forklift.sweep import run

    console = Console(as_json)
    if only_list:
        return measure.write_list(change_id, console)
    only, chosen = tuple(rows or ()), tuple(modes or ())
    options = run.Options(jobs=jobs, steps=steps, failed_only=failed, shard=shard, only=only, modes=chosen, paddle=paddle, ray=ray)
    return measure.sweep(change_id, options, base, console)


@app.command()
def clean() -> None:
    """Remove what Forklift made in .cache/ and out/; opened work trees stay."""
    from forklift.commands import clean

    clean.run(current_project())


def main() -> None:
    """Entry point of the `forklift` command."""
    sys.exit(guard.run(lambda: app(standalone_mode=False)))
