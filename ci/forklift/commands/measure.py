"""sweep: every row of models.toml, and the list of models."""

from __future__ import annotations

from filelock import FileLock

from forklift import pipeline
from forklift.branch import changes
from forklift.errors import UsageError
from forklift.model import BaseKind
from forklift.results.console import Console
from forklift.sweep import listing, result, rows, run
from forklift.system import guard
from forklift.system.paths import current_project
from forklift.workspace import tree as trees


def sweep(change_id: str, options: run.Options, base: BaseKind | None, console: Console) -> int:
    """Run the rows that are not done, write evidence/rows.jsonl; 1 where a row failed."""
    project = current_project()
    change = changes.find(project, change_id)
    if change.file.sweep is None:
        raise UsageError(f"{change_id} has no [sweep]", [("file", change.directory / "change.toml")], "./forklift list")
    with guard.only_run(project, f"{change_id}-sweep-{options.shard.replace('/', 'of')}"):
        built, _ = pipeline.build(project, change, pipeline.Options(base=base))
        # a tree of its own: a check of a later state of the change drops the earlier trees of its name
        tree, _ = trees.lay_out(project, built.base, built.head, built.tree, f"{change_id}-sweep")
        name = "rows.jsonl" if options.paddle == "2.6" else f"rows-paddle{options.paddle}.jsonl"
        target = change.directory / "evidence" / name

        def tell(row: result.RowResult) -> None:
            modes = "  ".join(f"{mode} {facts.outcome}" for mode, facts in row.modes.items())
            console.row(row, f"{row.id:<48} {row.outcome:<7} {modes} {row.problem}")
            with FileLock(project.cache / "locks" / f"{change_id}-evidence.lock"):  # another shard may write at the same moment
                result.write(target, [row], project.root)

        with console.progress(change_id, len(rows.chosen(built, change.file.sweep, options.shard, options.only))):
            found = run.run(project, built, tree, change.file.sweep, options, tell)
    counts = {word: sum(row.outcome == word for row in found) for word in ("equal", "close", "failed")}
    console.say(f"{change_id}: {len(found)} rows, " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    return 1 if counts["failed"] or not found else 0


def write_list(change_id: str, console: Console) -> int:
    """The list of models of a change from its evidence."""
    project = current_project()
    for target in listing.write(changes.find(project, change_id), project.root):
        console.say(project.short(target))
    return 0
