"""Many rows (one model each) through one script, each row in its own process; resumable after any kill."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from forklift.errors import Reason, UsageError
from forklift.model import FeatureBranch, SweepSpec
from forklift.running import losses
from forklift.running.losses import Failure, Run
from forklift.sweep import rows
from forklift.sweep.result import Gradient, RowResult, Summary
from forklift.sweep.rows import ModelRow
from forklift.sweep.verdict import judged, summarise
from forklift.sweep.workers import Workers
from forklift.system import shell
from forklift.system.files import write_whole
from forklift.system.paths import Project
from forklift.workspace import environment


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line chooses."""

    jobs: int = 1
    steps: int = 50
    failed_only: bool = False
    shard: str = "1/1"
    only: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    paddle: str = "2.6"
    ray: str = ""


def run(
    project: Project, branch: FeatureBranch, tree: Path, spec: SweepSpec, options: Options, tell: Callable[[RowResult], None]
) -> list[RowResult]:
    """Run what is not done yet; one result a row, sorted by id. A killed sweep loses at most the rows in flight."""
    todo = rows.chosen(branch, spec, options.shard, options.only)
    every = rows.read(branch.change.directory / spec.rows)
    python = environment.ensure(project, branch.base.suite, options.paddle)
    folder = project.cache / "sweep" / branch.change.id / f"{branch.base.kind}-{options.paddle}"

    # One thread, whatever the number of jobs: a process that has used several must not be forked, and rounding would differ.
    env = environment.variables(project, tree, branch.base.suite, branch.base.kind, options.paddle, 1)
    env["MALLOC_ARENA_MAX"] = "2"  # each program of SOT has its own threads; arenas would use up the bound on the address space
    if spec.packages:
        extra = environment.ensure_packages(project, python, branch.change.directory / spec.packages)
        env["PYTHONPATH"] += f"{os.pathsep}{extra}"
    words: list[str | Path] = [python, branch.change.directory / spec.script, "--worker"]

    def one(row: ModelRow, workers: Workers) -> RowResult:
        return Runner(branch, workers, folder / row.id, spec, options, row, rows.key(branch, row, every)).result()

    def told(row: ModelRow, workers: Workers) -> RowResult:
        result = one(row, workers)
        tell(result)
        return result

    def remote(row: ModelRow) -> RowResult:
        with Workers(words, tree, env, folder, spec.memory_gb) as workers:
            return one(row, workers)

    if options.ray:
        return sorted(_on_ray(options.ray, remote, todo, tell), key=lambda result: result.id)
    with Workers(words, tree, env, folder, spec.memory_gb) as workers:
        done = shell.in_threads(options.jobs, lambda row: told(row, workers), todo)
    return sorted(done, key=lambda result: result.id)


def _on_ray(
    address: str, one: Callable[[ModelRow], RowResult], todo: list[ModelRow], tell: Callable[[RowResult], None]
) -> list[RowResult]:
    """Rows on the machines of a ray cluster that share this directory; `local` starts one on this machine."""
    try:
        import ray
    except ImportError as missing:
        raise UsageError(
            "ray is not installed", [], ".cache/harness/bin/python -m pip install --require-hashes -r ci/locks/ray.txt"
        ) from missing
    ray.init(address=None if address == "local" else address, include_dashboard=False, log_to_driver=False)
    try:
        waiting = [ray.remote(one).remote(row) for row in todo]
        done: list[RowResult] = []
        while waiting:
            ready, waiting = ray.wait(waiting)
            for result in ray.get(ready):
                tell(result)
                done.append(result)
        return done
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class Runner:
    """One row: what runs it, and where its files are."""

    branch: FeatureBranch
    workers: Workers
    out: Path
    spec: SweepSpec
    options: Options
    row: ModelRow
    key: str

    def result(self) -> RowResult:
        """The stored result where nothing that it depends on has changed, else a new one."""
        self._drop_files_of_another_state()
        stored = self._stored()
        if stored is not None and self.options.failed_only and stored.outcome == "failed" and not stored.apart:
            _delete(self.out.rglob("*.json"))
        elif stored is not None and not self._lacks(stored):
            return stored
        result = self._skipped() if self.row.skip else self._measured()
        write_whole(self.out / "row.json", msgspec.json.encode(result))
        return result

    def _drop_files_of_another_state(self) -> None:
        mark, state = self.out / "key", f"{self.key} {self.options.steps}"
        if not mark.is_file() or mark.read_text() != state:
            shutil.rmtree(self.out, ignore_errors=True)
            self.out.mkdir(parents=True)
            write_whole(mark, state.encode())

    def _stored(self) -> RowResult | None:
        path = self.out / "row.json"
        return msgspec.json.decode(path.read_bytes(), type=RowResult) if path.is_file() else None

    def _lacks(self, stored: RowResult) -> set[str]:
        """The modes that are asked for now, and were not when the row ran; one that cannot run lacks none."""
        return set() if stored.problem else set(self._wanted()) - {"dygraph", *stored.modes}

    def _of(self, summary: Summary, dtype: str) -> RowResult:
        """The summary with what was run."""
        return RowResult(
            id=self.row.id,
            base=self.branch.base.kind,
            paddle=self.options.paddle,
            steps=self.options.steps,
            dtype=dtype,
            date=datetime.date.today().isoformat(),
            key=self.key,
            outcome=summary.outcome,
            problem=summary.problem,
            places=summary.places,
            losses=summary.losses,
            modes=summary.modes,
        )

    def _skipped(self) -> RowResult:
        return self._of(Summary(outcome="failed", problem=f"not run: {self.row.skip}", losses={}, modes={}), "")

    def _measured(self) -> RowResult:
        """The row in its own type. What is not equal in it is trained in float64 as well, and the gradients of its first step are
        compared there: whether two programs differ, or only the rounding, these two show, and on every machine alike."""
        own = self.row.dtype
        first = self._of(summarise(self._modes(own, self._wanted()), self.options.steps), own)
        modes = first.departed
        if not modes:
            return first
        if own != "float32":
            return judged(first, first, self._gradients(modes), modes)
        control = summarise(self._modes("float64", ["dygraph", *modes]), self.options.steps)
        result = judged(first, control, self._gradients(modes), modes)
        return result if control.problem else msgspec.structs.replace(result, dtype="float64")

    def _wanted(self) -> list[str]:
        """The modes that the command line asks for, and those that an earlier run has measured."""
        asked = ("dygraph", *self.options.modes) if self.options.modes else self.spec.modes
        return [mode for mode in self.spec.modes if mode in asked or (self.out / f"{mode}.json").is_file()]

    def _gradients(self, modes: Sequence[str]) -> dict[str, Gradient]:
        """By mode, how the gradients of the first step compare with dygraph's in float64."""
        out = self.out / "float64"
        out.mkdir(parents=True, exist_ok=True)
        known = _read_gradients(out)
        missing = [mode for mode in modes if mode not in known]
        if missing:
            ended = self._script(out, "float64", ["dygraph", *missing], "--gradients")
            found = {} if ended else _read_gradients(out)
            none = Gradient(error=ended.last if ended else "no result")
            known |= {mode: found.get(mode, none) for mode in missing}
            write_whole(out / _GRADIENTS, msgspec.json.encode(known))
        return known

    def _modes(self, dtype: str, modes: Sequence[str]) -> dict[str, Run | Failure]:
        """Train what has no result yet, all modes in one process of the script."""
        out = self.out if dtype == self.row.dtype else self.out / dtype
        out.mkdir(parents=True, exist_ok=True)
        hopeless = isinstance(losses.read(out, "dygraph"), Failure)  # nothing to compare with
        missing = [] if hopeless else [mode for mode in modes if losses.read(out, mode) is None]
        ended = self._script(out, dtype, missing) if missing else None
        none = ended or Failure("no result")
        return {mode: losses.read(out, mode) or none for mode in modes}

    def _script(self, out: Path, dtype: str, modes: Sequence[str], *more: str) -> Failure | None:
        """Run the change's script; how it failed as a whole, if it did."""
        words = ["--row", self.row.id, "--steps", str(self.options.steps), "--out", str(out), "--dtype", dtype, "--mode", *modes]
        log = out / "log"
        log.unlink(missing_ok=True)
        with self.workers.one() as worker:
            answer = worker.ask({"argv": [*words, *more], "log": str(log), "timeout_s": self.spec.timeout_s})
        if answer.get("timed_out"):
            return Failure(f"timed out after {self.spec.timeout_s} s", error=Reason.TIMEOUT.value)
        status = answer.get("status")
        if status == 0:
            return None
        text = log.read_text(errors="replace") if log.is_file() else ""
        reason = Reason.OUT_OF_MEMORY if "MemoryError" in text or status == -9 else Reason.SCRIPT_FAILED
        return Failure((text.strip().splitlines() or [f"status {status}"])[-1][:300], error=reason.value)


_GRADIENTS = "gradients.json"


def _read_gradients(out: Path) -> dict[str, Gradient]:
    path = out / _GRADIENTS
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Gradient]) if path.is_file() else {}


def _delete(files: Iterable[Path]) -> None:
    for file in list(files):
        file.unlink()
