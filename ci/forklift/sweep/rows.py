"""The rows of models.toml: one model each, and what a stored result of one depends on."""

from __future__ import annotations

import hashlib
import re
import zlib
from pathlib import Path
from typing import Any

import msgspec

from forklift.branch import suites
from forklift.errors import UsageError, nearest
from forklift.model import FeatureBranch, SweepSpec

# keys of a row that no run depends on
_PROSE = ("class", "file", "group", "why")


class ModelRow(msgspec.Struct, frozen=True):
    """One row of models.toml. `skip` says why it is not run, `edits` which edits of the change are there for it alone;
    the other keys are the script's own."""

    id: str
    skip: str = ""
    edits: tuple[str, ...] = ()
    keys: dict[str, Any] = {}

    @property
    def dtype(self) -> str:
        return str(self.keys.get("dtype", "float32"))


def read(path: Path) -> list[ModelRow]:
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


def chosen(branch: FeatureBranch, spec: SweepSpec, shard: str = "1/1", only: tuple[str, ...] = ()) -> list[ModelRow]:
    """The rows of a shard, or of it those named. A row's shard depends on its id alone, so that shards of different runs agree."""
    path = branch.change.directory / spec.rows
    found = read(path)
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {shard!r} is not i/n", [("want", "1/4 ... 4/4")], "--shard 1/4")
    known = [row.id for row in found]
    for name in only:
        if name not in known:
            raise UsageError(f"no row {name!r}", [("file", path)], nearest(name, known) or "--row ID")
    mine = [row for row in found if zlib.crc32(row.id.encode()) % int(match[2]) == int(match[1]) - 1]
    return [row for row in mine if not only or row.id in only]
