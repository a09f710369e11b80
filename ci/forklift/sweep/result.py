"""What a sweep found out about a row, and the file of all rows that is committed as evidence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from forklift.errors import UsageError
from forklift.system.files import write_whole

Outcome = Literal["equal", "close", "failed"]


class Gap(msgspec.Struct, frozen=True):
    """The largest relative gap of a loss (null: not a number), and the first step, from 1, that is not equal (0: none)."""

    departs_at: int | None = None
    max_gap: float | None = None


class Gradient(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first step's gradients in float64 beside dygraph's (proving.gradients), or why they could not be compared."""

    gradient_gap: float | None = None
    gradient_norm: float | None = None
    loss_gap: float | None = None
    in_one_only: list[str] = []
    error: str = ""


class ModeResult(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One static mode. Only a mode that ran has a gap; `judge` says what decided where float32 was not equal."""

    outcome: Outcome
    problem: str = ""
    places: list[str] = []
    mode: str = ""
    max_gap: float | None | UnsetType = UNSET
    at_step: int = 0
    departs_at: int = 0
    programs: int = 0
    operators: int = 0
    executions: int = 0
    graph_breaks: int = 0
    breaks: list[str] = []
    speed_ratio: float | None = None
    dtype: str = ""
    judge: Literal["", "float64", "gradient", "none"] = ""
    gradient: Gradient | None = None

    @property
    def ran(self) -> bool:
        return self.max_gap is not UNSET

    @property
    def gap(self) -> Gap:
        return Gap() if self.max_gap is UNSET else Gap(self.departs_at, self.max_gap)


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Every mode of a row in one type, and the best of them."""

    outcome: Outcome
    problem: str
    losses: dict[str, list[float | None]]
    modes: dict[str, ModeResult]
    places: list[str] = []

    @property
    def departed(self) -> list[str]:
        """The modes that ran, but not every loss of which is equal."""
        return [mode for mode, facts in self.modes.items() if facts.departs_at and facts.outcome != "equal"]

    @property
    def apart(self) -> list[str]:
        """The modes that ran, but whose losses are not those of dygraph."""
        return [mode for mode, facts in self.modes.items() if facts.departs_at and facts.outcome == "failed"]


class Control(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why the run in float64 failed."""

    problem: str = ""
    places: list[str] = []


class RowResult(Summary, frozen=True, kw_only=True, omit_defaults=True):
    """One line of rows.jsonl: what was run (`key`: of which code, sweep.rows.key), and what it showed."""

    id: str
    base: str
    paddle: str
    steps: int
    dtype: str
    date: str
    key: str
    float32: dict[str, Gap] = {}
    float64: Control | None = None


def read(path: Path) -> dict[str, RowResult]:
    """The lines of rows.jsonl by id; none where there is no file yet."""
    lines = path.read_bytes().splitlines() if path.is_file() else []
    try:
        found = [msgspec.json.decode(line, type=RowResult) for line in lines]
    except msgspec.DecodeError as broken:
        raise UsageError(
            "the evidence of a sweep cannot be read", [("file", path), ("at", broken)], "git checkout -- it"
        ) from broken
    return {row.id: row for row in found}


class _Line(msgspec.Struct):
    id: str


def write(target: Path, results: list[RowResult], root: Path) -> None:
    """rows.jsonl: one sorted line a row; rows of other shards and earlier runs stay as they are. `root` is the project's."""
    lines = target.read_bytes().splitlines() if target.is_file() else []
    known = {msgspec.json.decode(line, type=_Line).id: line.decode() for line in lines}
    known.update({row.id: _without_machine(msgspec.json.encode(row, order="sorted").decode(), root) for row in results})
    write_whole(target, "".join(f"{known[name]}\n" for name in sorted(known)).encode())


def _without_machine(text: str, root: Path) -> str:
    """`text` with paths from the work tree, from site-packages, or from the project; a message may name any file."""
    text = re.sub(r"/[^\s\"':,]*/(?:worktrees/[^/\s\"]+|site-packages)/", "", text)
    return text.replace(f"{root}/", "")
