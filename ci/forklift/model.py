"""Frozen types that the stages hand to each other. Unknown keys in a manifest are refused."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any, Literal

import msgspec

from forklift.errors import Reason

CheckKind = Literal["unit_tests", "alignment", "loss_consistency", "export_parity", "benchmark", "metrics", "native", "app"]
BaseKind = Literal["fork", "release"]


class Outcome(enum.Enum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    ERROR = "error"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of everything that is read from TOML."""


class Release(Manifest, frozen=True):
    """The suite's release on PyPI: one wheel, by hash. `root` is the directory in the wheel that is the repository's root."""

    distribution: str
    version: str
    sha256: str
    root: str = ""


class Formatter(Manifest, frozen=True):
    """How the suite formats Python: the commands that check and that rewrite, each called with file names."""

    check: list[list[str]]
    style_file: str = ""


class Suite(Manifest, frozen=True):
    """One row of ci/suites.toml."""

    name: str
    short: str
    url: str
    pin: str
    pin_date: str
    pin_why: str
    locks: dict[str, str]
    formatter: Formatter
    package: str
    release: Release | None = None
    sparse: list[str] = []
    python_path: list[str] = []
    copyright: str = ""


class Identity(Manifest, frozen=True):
    """Author of the commits that Forklift builds."""

    name: str
    email: str


class SuitesFile(Manifest, frozen=True):
    """ci/suites.toml."""

    identity: Identity
    suite: list[Suite]


class Upstream(Manifest, frozen=True):
    """Where the change stands upstream, and where it comes from."""

    status: Literal["draft", "ready", "submitted", "accepted", "rejected", "inappropriate"]
    origin: str
    licence: str
    merged_elsewhere: str = ""
    pull_request: str = ""


class Commit(Manifest, frozen=True):
    """One commit of the series."""

    subject: str
    overlay: list[str] = []
    edits: list[str] = []
    needs: BaseKind = "release"


class Tolerance(Manifest, frozen=True):
    """A looser (or stricter) tolerance for keys that match, with the measured reason."""

    match: str
    why: str
    rtol: float | None = None
    atol: float | None = None


class Requirement(Manifest, frozen=True):
    """A bound on a metric."""

    metric: str
    min: float | None = None
    max: float | None = None


class CheckSpec(Manifest, frozen=True):
    """One [[check]] of change.toml."""

    kind: CheckKind
    name: str = ""
    script: str = ""
    args: list[str] = []
    paths: list[str] = []
    compare_base: bool = False
    source: str = ""
    stages: list[str] = []
    modes: tuple[Literal["ast", "sot"], ...] = ("ast", "sot")
    steps: int = 50
    rtol: float = 1e-5
    why: str = ""
    together: bool = False
    needs: BaseKind = "release"
    cost_s: int = 30
    timeout_s: int = 900
    paddle: tuple[str, ...] = ("2.6", "3.3")
    tolerance: list[Tolerance] = []
    require: list[Requirement] = []

    @property
    def label(self) -> str:
        return self.name or self.kind


class SweepSpec(Manifest, frozen=True):
    """[sweep] of change.toml: the script that runs one row, the limits of a row, the rows that are checks as well,
    a hashed lock of packages that the suite's environment lacks, and the documents of the change that hold the list of models."""

    script: str
    rows: str = "models.toml"
    modes: tuple[Literal["dygraph", "ast", "sot"], ...] = ("dygraph", "ast", "sot")
    timeout_s: int = 300
    memory_gb: float = 8.0
    ci_rows: list[str] = []
    packages: str = ""
    documents: list[str] = []


class ChangeFile(Manifest, frozen=True):
    """change.toml as it is written."""

    schema: Literal[1]
    id: str
    suite: str
    task: int
    title: str
    branch: str
    upstream: Upstream
    commit: list[Commit]
    after: list[str] = []
    check: list[CheckSpec] = []
    sweep: SweepSpec | None = None

    @property
    def checks(self) -> list[CheckSpec]:
        """Every [[check]], then the sample of the sweep's rows that each run trains, not only the sweep."""
        return [*self.check, *(self._row(self.sweep, name) for name in self.sweep.ci_rows)] if self.sweep else self.check

    @staticmethod
    def _row(sweep: SweepSpec, name: str) -> CheckSpec:
        modes = tuple(mode for mode in sweep.modes if mode != "dygraph")
        kind: CheckKind = "loss_consistency"
        return CheckSpec(
            kind=kind,
            name=f"row-{name}",
            script=sweep.script,
            args=["--row", name],
            modes=modes,
            together=True,
            timeout_s=sweep.timeout_s,
        )


class Change(msgspec.Struct, frozen=True):
    """A change: its manifest, its suite and its directory."""

    file: ChangeFile
    suite: Suite
    directory: Path

    @property
    def id(self) -> str:
        return self.file.id

    @property
    def overlay(self) -> Path:
        return self.directory / "overlay"

    @property
    def edits(self) -> Path:
        return self.directory / "edits"


class BaseTree(msgspec.Struct, frozen=True):
    """A commit to build on, in a git directory."""

    kind: BaseKind
    suite: Suite
    git_dir: Path
    commit: str
    tree: str
    label: str


class FeatureBranch(msgspec.Struct, frozen=True):
    """The change built on a base: one commit object for each [[commit]]."""

    change: Change
    base: BaseTree
    ref: str
    commits: tuple[str, ...]
    tree: str
    absent: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        return self.commits[-1] if self.commits else self.base.commit


class Workspace(msgspec.Struct, frozen=True):
    """A branch laid out as files, with the environment that runs it."""

    branch: FeatureBranch
    directory: Path
    base_directory: Path | None
    python: Path
    paddle: str
    results: Path
    threads: int
    reference: Path | None = None


class CheckResult(msgspec.Struct, frozen=True):
    """How one check ended: one line for people (`summary`), everything for machines (`details`)."""

    change: str
    check: str
    kind: str
    outcome: Outcome
    summary: str
    seconds: float
    reason: Reason | None = None
    details: dict[str, Any] = {}
    files: tuple[str, ...] = ()
    cached: bool = False


class Report(msgspec.Struct, frozen=True):
    """All results of one change on one base and paddle."""

    change: str
    suite: str
    base: str
    base_commit: str
    head: str
    paddle: str
    results: tuple[CheckResult, ...]
    absent: tuple[str, ...] = ()
    machine: str = ""

    @property
    def failed(self) -> bool:
        return any(r.outcome in (Outcome.FAILED, Outcome.ERROR) for r in self.results)
