"""Many rows (one model each) through one script, each row and mode in its own process; resumable after any kill."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from forklift import environment, shell, suites
from forklift.checks.loss_consistency import judge
from forklift.errors import ForkliftError, Reason, UsageError, nearest
from forklift.files import write_whole
from forklift.model import FeatureBranch, SweepSpec
from forklift.paths import House

EQUAL, CLOSE = 1e-5, 1e-3


class ModelRow(msgspec.Struct, frozen=True):
    """One row of models.toml; `options` are the script's own."""

    id: str
    options: dict[str, Any] = {}


class RowsFile(msgspec.Struct, frozen=True):
    """models.toml."""

    row: list[ModelRow]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line chooses."""

    jobs: int = 1
    steps: int = 50
    failed_only: bool = False
    shard: str = "1/1"
    only: tuple[str, ...] = ()
    paddle: str = "2.6"
    ray: str = ""


def rows(branch: FeatureBranch, spec: SweepSpec, limits: Limits) -> list[ModelRow]:
    """The rows of this shard. A row's shard depends on its id alone, so that shards of different runs agree."""
    found = suites.decode(branch.change.directory / spec.rows, RowsFile).row
    match = re.fullmatch(r"(\d+)/(\d+)", limits.shard)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {limits.shard!r} is not i/n", [("want", "1/4 ... 4/4")], "--shard 1/4")
    for name in limits.only:
        if name not in (known := [row.id for row in found]):
            raise UsageError(
                f"no row {name!r}", [("file", branch.change.directory / spec.rows)], nearest(name, known) or "--row ID"
            )
    mine = [row for row in found if zlib.crc32(row.id.encode()) % int(match[2]) == int(match[1]) - 1]
    return [row for row in mine if not limits.only or row.id in limits.only]


def run(
    house: House, branch: FeatureBranch, tree: Path, spec: SweepSpec, limits: Limits, tell: Callable[[dict[str, Any]], None]
) -> list[dict[str, Any]]:
    """Run what is not done yet; one result a row, sorted by id. A killed sweep loses at most the modes in flight."""
    todo = rows(branch, spec, limits)
    python = environment.ensure(house, branch.base.suite, limits.paddle)
    place = house.cache / "sweep" / branch.change.id / f"{branch.base.kind}-{limits.paddle}"

    def one(row: ModelRow) -> dict[str, Any]:
        return _row(house, branch, tree, python, place / row.id, spec, limits, row)

    if limits.ray:
        return sorted(_on_ray(limits.ray, one, todo, tell), key=lambda result: result["id"])
    done = shell.in_threads(limits.jobs, lambda row: _told(one(row), tell), todo)
    return sorted(done, key=lambda result: result["id"])


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


def _row(
    house: House, branch: FeatureBranch, tree: Path, python: Path, out: Path, spec: SweepSpec, limits: Limits, row: ModelRow
) -> dict[str, Any]:
    verdict = out / "row.json"
    if verdict.is_file():
        stored = msgspec.json.decode(verdict.read_bytes())
        if stored["steps"] == limits.steps and not (limits.failed_only and stored["outcome"] not in ("equal", "close")):
            return stored
        for mode in spec.modes:
            (out / f"{mode}.json").unlink(missing_ok=True)
    runs: dict[str, Any] = {}
    for mode in spec.modes:
        runs[mode] = _mode(house, branch, tree, python, out, spec, limits, row, mode)
        if "error" in runs[mode] and mode == spec.modes[0]:
            break  # nothing to compare with
    result = summarise(row.id, runs, limits.steps, branch.base.kind, limits.paddle)
    write_whole(verdict, msgspec.json.encode(result))
    return result


def _mode(
    house: House,
    branch: FeatureBranch,
    tree: Path,
    python: Path,
    out: Path,
    spec: SweepSpec,
    limits: Limits,
    row: ModelRow,
    mode: str,
) -> dict[str, Any]:
    done = out / f"{mode}.json"
    if not done.is_file() or len(msgspec.json.decode(done.read_bytes())["losses"]) != limits.steps:
        done.unlink(missing_ok=True)
        threads = max(1, shell.cores() // max(1, limits.jobs))
        env = environment.variables(house, tree, branch.base.suite, branch.base.kind, limits.paddle, threads)
        script = branch.change.directory / spec.script
        words: list[str | Path] = [python, script, "--row", row.id, "--mode", mode, "--steps", str(limits.steps), "--out", out]
        out.mkdir(parents=True, exist_ok=True)
        log = out / f"{mode}.log"
        try:
            ended = shell.run(words, cwd=tree, env=env, timeout=spec.timeout_s, log=log, check=False, memory_gb=spec.memory_gb)
        except ForkliftError as problem:
            return {"error": (problem.reason or Reason.SCRIPT_FAILED).value, "last": problem.what}
        if ended.status != 0 or not done.is_file():
            reason = Reason.OUT_OF_MEMORY if "MemoryError" in ended.stdout or ended.status == -9 else Reason.SCRIPT_FAILED
            return {"error": reason.value, "last": (ended.tail.splitlines() or [f"status {ended.status}"])[-1][:300]}
    return msgspec.json.decode(done.read_bytes())


def summarise(row_id: str, runs: dict[str, Any], steps: int, base: str, paddle: str) -> dict[str, Any]:
    """equal (<= 1e-5), close (<= 1e-3) or failed, from the best static mode; every mode with its own verdict."""
    reference = runs.get("dygraph", {"error": "not run"})
    modes: dict[str, Any] = {}
    for mode, found in runs.items():
        if mode == "dygraph" or "error" in reference:
            continue
        if "error" in found:
            modes[mode] = {"outcome": "failed", "problem": f"{found['error']}: {found['last']}"}
            continue
        verdict = judge(reference, found, steps, CLOSE)
        outcome = "failed" if verdict["problem"] else "equal" if verdict["max_gap"] <= EQUAL else "close"
        modes[mode] = {"outcome": outcome, **verdict}
    order = ["equal", "close", "failed"]
    best = min((facts["outcome"] for facts in modes.values()), key=order.index, default="failed")
    return {
        "id": row_id,
        "base": base,
        "paddle": paddle,
        "steps": steps,
        "outcome": best,
        "problem": f"{reference['error']}: {reference.get('last', '')}" if "error" in reference else "",
        "losses": {mode: found.get("losses", []) for mode, found in runs.items()},
        "modes": modes,
    }


def write_evidence(target: Path, results: list[dict[str, Any]]) -> None:
    """rows.jsonl: one sorted line a row; rows of other shards and earlier runs stay."""
    known = {}
    if target.is_file():
        known = {row["id"]: row for row in map(msgspec.json.decode, target.read_text().splitlines())}
    known.update({row["id"]: row for row in results})
    lines = [msgspec.json.encode(known[name], order="sorted").decode() for name in sorted(known)]
    write_whole(target, ("\n".join(lines) + "\n").encode())
