"""Many rows (one model each) through one script, each row in its own process; resumable after any kill."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import re
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from forklift.branch import suites
from forklift.errors import Reason, UsageError, nearest
from forklift.model import FeatureBranch, SweepSpec
from forklift.sweep.verdict import apart, departed, judged, summarise
from forklift.system import shell
from forklift.system.files import write_whole
from forklift.system.paths import Project
from forklift.workspace import environment

# keys of a row that no run depends on
_PROSE = ("class", "file", "group", "why")


class ModelRow(msgspec.Struct, frozen=True):
    """One row of models.toml. `skip` says why it is not run, `edits` which edits of the change are there for it alone;
    the other keys are the script's own."""

    id: str
    skip: str = ""
    edits: tuple[str, ...] = ()
    keys: dict[str, Any] = {}


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


def read_rows(path: Path) -> list[ModelRow]:
    """Every row of models.toml."""
    found = suites.decode(path, dict[str, list[dict[str, Any]]])["row"]
    for keys in found:
        if not keys.get("id"):
            raise UsageError("a row without an id", [("file", path), ("row", keys)], "give it one")
    reasons = [keys.get("untrainable") or keys.get("pending") or "" for keys in found]
    return [ModelRow(keys["id"], reason, tuple(keys.get("edits", ())), keys) for keys, reason in zip(found, reasons, strict=True)]


def key(branch: FeatureBranch, row: ModelRow, every: list[ModelRow]) -> str:
    """What a stored result of `row` depends on: its base, its keys, and the edits, save those that are there for other rows."""
    others = {path for other in every for path in other.edits} - set(row.edits)
    edits = branch.change.directory / "edits"
    patches = [
        path for path in sorted(edits.rglob("*.patch")) if path.relative_to(edits).as_posix()[: -len(".patch")] not in others
    ]
    keys = {name: value for name, value in row.keys.items() if name not in _PROSE}
    parts = [branch.base.tree.encode(), msgspec.json.encode(keys, order="sorted"), *(path.read_bytes() for path in patches)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def rows(branch: FeatureBranch, spec: SweepSpec, options: Options) -> list[ModelRow]:
    """The rows of this shard. A row's shard depends on its id alone, so that shards of different runs agree."""
    found = read_rows(branch.change.directory / spec.rows)
    match = re.fullmatch(r"(\d+)/(\d+)", options.shard)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {options.shard!r} is not i/n", [("want", "1/4 ... 4/4")], "--shard 1/4")
    for name in options.only:
        if name not in (known := [row.id for row in found]):
            raise UsageError(
                f"no row {name!r}", [("file", branch.change.directory / spec.rows)], nearest(name, known) or "--row ID"
            )
    mine = [row for row in found if zlib.crc32(row.id.encode()) % int(match[2]) == int(match[1]) - 1]
    return [row for row in mine if not options.only or row.id in options.only]


def run(
    project: Project, branch: FeatureBranch, tree: Path, spec: SweepSpec, options: Options, tell: Callable[[dict[str, Any]], None]
) -> list[dict[str, Any]]:
    """Run what is not done yet; one result a row, sorted by id. A killed sweep loses at most the rows in flight."""
    todo = rows(branch, spec, options)
    every = read_rows(branch.change.directory / spec.rows)
    python = environment.ensure(project, branch.base.suite, options.paddle)
    folder = project.cache / "sweep" / branch.change.id / f"{branch.base.kind}-{options.paddle}"

    # One thread, whatever the number of jobs: a process that has used several must not be forked, and rounding would differ.
    env = environment.variables(project, tree, branch.base.suite, branch.base.kind, options.paddle, 1)
    env["MALLOC_ARENA_MAX"] = "2"  # each program of SOT has its own threads; arenas would use up the bound on the address space
    if spec.packages:
        extra = environment.ensure_packages(project, python, branch.change.directory / spec.packages)
        env["PYTHONPATH"] += f"{os.pathsep}{extra}"
    words: list[str | Path] = [python, branch.change.directory / spec.script, "--worker"]

    def one(row: ModelRow, workers: Workers) -> dict[str, Any]:
        return Runner(branch, workers, folder / row.id, spec, options, row, key(branch, row, every)).result()

    def remote(row: ModelRow) -> dict[str, Any]:
        with Workers(words, tree, env, folder, spec.memory_gb) as workers:
            return one(row, workers)

    if options.ray:
        return sorted(_on_ray(options.ray, remote, todo, tell), key=lambda result: result["id"])
    with Workers(words, tree, env, folder, spec.memory_gb) as workers:
        done = shell.in_threads(options.jobs, lambda row: _told(one(row, workers), tell), todo)
    return sorted(done, key=lambda result: result["id"])


class Workers:
    """Processes that have imported the suite and fork one process a row; as many as there are rows at the same time."""

    def __init__(self, words: list[str | Path], cwd: Path, env: dict[str, str], folder: Path, memory_gb: float) -> None:
        self._words, self._cwd, self._env, self._folder, self._memory_gb = words, cwd, env, folder, memory_gb
        self._idle: list[shell.Worker] = []
        self._all: list[shell.Worker] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._all:
            worker.close()

    def _start(self) -> shell.Worker:
        log = self._folder / f"worker-{os.getpid()}-{len(self._all)}.log"
        self._all.append(shell.Worker(self._words, self._cwd, self._env, log, self._memory_gb))
        return self._all[-1]

    @contextlib.contextmanager
    def one(self) -> Iterator[shell.Worker]:
        """A worker for one request; one that has ended is not used again."""
        with self._lock:
            worker = self._idle.pop() if self._idle else self._start()
        yield worker
        if worker.alive():
            with self._lock:
                self._idle.append(worker)


def _told(result: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    tell(result)
    return result


def _on_ray(
    address: str, one: Callable[[ModelRow], dict[str, Any]], todo: list[ModelRow], tell: Callable[..., None]
) -> list[dict[str, Any]]:
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
        done = []
        while waiting:
            ready, waiting = ray.wait(waiting)
            done += [_told(ray.get(reference), tell) for reference in ready]
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

    def result(self) -> dict[str, Any]:
        """The stored result where nothing that it depends on has changed, else a new one."""
        verdict, mark = self.out / "row.json", self.out / "key"
        if not mark.is_file() or mark.read_text() != f"{self.key} {self.options.steps}":
            shutil.rmtree(self.out, ignore_errors=True)
            self.out.mkdir(parents=True)
            write_whole(mark, f"{self.key} {self.options.steps}".encode())
        if not verdict.is_file():
            result = self._skipped() if self.row.skip else self._measured()
        else:
            stored: dict[str, Any] = msgspec.json.decode(verdict.read_bytes())
            missing = not stored["problem"] and set(self._wanted()) - {"dygraph", *stored["modes"]}
            again = self.options.failed_only and stored["outcome"] == "failed" and not apart(stored)
            if not missing and not again:
                return stored
            if again:
                for file in self.out.rglob("*.json"):
                    file.unlink()
            result = self._skipped() if self.row.skip else self._measured()
        write_whole(verdict, msgspec.json.encode(result))
        return result

    def _facts(self, dtype: str) -> dict[str, Any]:
        facts = {"id": self.row.id, "base": self.branch.base.kind, "paddle": self.options.paddle, "steps": self.options.steps}
        return {**facts, "dtype": dtype, "date": datetime.date.today().isoformat(), "key": self.key}

    def _skipped(self) -> dict[str, Any]:
        return {**self._facts(""), "outcome": "failed", "problem": f"not run: {self.row.skip}", "losses": {}, "modes": {}}

    def _measured(self) -> dict[str, Any]:
        """The row in its own type. What is not equal in it is trained in float64 as well, and the gradients of its first step are
        compared there: whether two programs differ, or only the rounding, these two show, and on every machine alike."""
        dtype = str(self.row.keys.get("dtype", "float32"))
        first = {**self._facts(dtype), **summarise(self._modes(dtype, self._wanted()), self.options.steps)}
        modes = departed(first)
        if not modes:
            return first
        own = dtype != "float32"
        control = first if own else summarise(self._modes("float64", ["dygraph", *modes]), self.options.steps)
        result = judged(first, control, self._gradients(modes), modes)
        return result if own or control["problem"] else {**result, **self._facts("float64")}

    def _wanted(self) -> list[str]:
        """The modes that the command line asks for, and those that an earlier run has measured."""
        asked = ("dygraph", *self.options.modes) if self.options.modes else self.spec.modes
        return [mode for mode in self.spec.modes if mode in asked or (self.out / f"{mode}.json").is_file()]

    def _gradients(self, modes: Sequence[str]) -> dict[str, Any]:
        """{mode: how the gradients of the first step compare with dygraph's in float64}, or why they could not be compared."""
        out = self.out / "float64"
        out.mkdir(parents=True, exist_ok=True)
        stored = out / "gradients.json"
        known: dict[str, Any] = msgspec.json.decode(stored.read_bytes()) if stored.is_file() else {}
        missing = [mode for mode in modes if mode not in known]
        if missing:
            ended = self._script(out, "float64", ["dygraph", *missing], "--gradients")
            found: dict[str, Any] = msgspec.json.decode(stored.read_bytes()) if stored.is_file() and not ended else {}
            known.update({mode: found.get(mode, {"error": ended.get("last", "no result")}) for mode in missing})
            write_whole(stored, msgspec.json.encode(known))
        return known

    def _modes(self, dtype: str, modes: Sequence[str]) -> dict[str, Any]:
        """Train what has no result yet, all modes in one process of the script."""
        out = self.out if dtype == self.row.keys.get("dtype", "float32") else self.out / dtype
        out.mkdir(parents=True, exist_ok=True)
        hopeless = "error" in _read(out, "dygraph")  # nothing to compare with
        missing = [mode for mode in modes if not hopeless and not _read(out, mode)]
        ended = self._script(out, dtype, missing) if missing else {}
        runs = {mode: _read(out, mode) or ended for mode in modes}
        return {mode: found or {"error": Reason.SCRIPT_FAILED.value, "last": "no result"} for mode, found in runs.items()}

    def _script(self, out: Path, dtype: str, modes: Sequence[str], *more: str) -> dict[str, Any]:
        words = ["--row", self.row.id, "--steps", str(self.options.steps), "--out", str(out), "--dtype", dtype, "--mode", *modes]
        words += more
        log = out / "log"
        log.unlink(missing_ok=True)
        with self.workers.one() as worker:
            answer = worker.ask({"argv": words, "log": str(log), "timeout_s": self.spec.timeout_s})
        if answer.get("timed_out"):
            return {"error": Reason.TIMEOUT.value, "last": f"timed out after {self.spec.timeout_s} s"}
        if answer.get("status") == 0:
            return {}
        text = log.read_text(errors="replace") if log.is_file() else ""
        reason = Reason.OUT_OF_MEMORY if "MemoryError" in text or answer.get("status") == -9 else Reason.SCRIPT_FAILED
        return {"error": reason.value, "last": (text.strip().splitlines() or [f"status {answer.get('status')}"])[-1][:300]}


def _read(out: Path, mode: str) -> dict[str, Any]:
    """What the script wrote about a mode: its run, or how it failed; nothing where it did neither."""
    done, failed = out / f"{mode}.json", out / f"{mode}.failed.json"
    if done.is_file():
        run: dict[str, Any] = msgspec.json.decode(done.read_bytes())
        return run
    if failed.is_file():
        return {"error": Reason.SCRIPT_FAILED.value, **msgspec.json.decode(failed.read_bytes())}
    return {}


def write_evidence(target: Path, results: list[dict[str, Any]], root: Path) -> None:
    """rows.jsonl: one sorted line a row; rows of other shards and earlier runs stay. `root` is the project's."""
    known = {}
    if target.is_file():
        known = {row["id"]: row for row in map(msgspec.json.decode, target.read_text().splitlines())}
    known.update({row["id"]: row for row in results})
    lines = [without_machine(msgspec.json.encode(known[name], order="sorted").decode(), root) for name in sorted(known)]
    write_whole(target, ("\n".join(lines) + "\n").encode())


def without_machine(text: str, root: Path) -> str:
    """`text` with paths from the work tree, from site-packages, or from the project; a message may name any file."""
    text = re.sub(r"/[^\s\"':,]*/(?:worktrees/[^/\s\"]+|site-packages)/", "", text)
    return text.replace(f"{root}/", "")
