"""Frozen types that the stages hand to each other. Unknown keys in a manifest are refused."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from forklift.errors import Reason

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


class Newest(Manifest, frozen=True):
    """The newest commit of upstream that the changes are held against, its branch where that is another one by now, the directories
    that upstream has moved since the pin (old to new, each with its last slash), and the locks that it needs instead."""

    commit: str
    date: str
    branch: str = ""
    moved: dict[str, str] = {}
    locks: dict[str, str] = {}


class Formatter(Manifest, frozen=True):
    """How the suite formats Python: the commands that check and that rewrite, each called with file names."""

    check: list[list[str]]


class Suite(Manifest, frozen=True):
    """One suite of ci/suites.toml."""

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
    newest: Newest | None = None
    sparse: list[str] = []
    python_path: list[str] = []
    copyright: str = ""
    branch: str = "develop"
    # what the suite's pull request template asks first, and its three headings
    pr_first: str = ""
    pr_headings: tuple[str, str, str] = ("PR types", "PR changes", "Description")

    @property
    def repository(self) -> str:
        """`owner/name`, as GitHub calls it."""
        return "/".join(self.url.removesuffix(".git").split("/")[-2:])


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
    part: str = ""


class Series(Manifest, frozen=True):
    """newest/series.toml: what the series for upstream's newest commit has otherwise than the change beside it."""

    why: str
    title: str = ""
    without: list[str] = []
    subjects: dict[str, str] = {}
    first: list[Commit] = []
    commit: list[Commit] = []
    checks: list[str] = []
    after: list[str] | None = None


class Part(Manifest, frozen=True):
    """A pull request of its own within a change: the commits that name it, with the text `pr-<name>.md`."""

    name: str
    title: str


class Tolerance(Manifest, frozen=True):
    """A looser (or stricter) tolerance for keys that match, with the measured reason."""

    match: str
    why: str
    rtol: float | None = None
    atol: float | None = None


class CheckSpec(Manifest, frozen=True, tag_field="kind"):
    """What every [[check]] of change.toml has. Each kind is a subclass in checks/<kind>.py with its own keys, rule and run."""

    # a kind that measures time runs after everything else, alone, with all cores
    alone: ClassVar[bool] = False
    # what the kind adds to PR.md: a Jinja template that gets the `result`; empty for a line in the table only
    section: ClassVar[str] = ""

    name: str = ""
    args: list[str] = []
    needs: BaseKind = "release"
    cost_s: int = 30
    timeout_s: int = 900
    paddle: tuple[str, ...] = ("2.6", "3.3")

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)

    @property
    def label(self) -> str:
        return self.name or self.kind

    def problems(self, directory: Path) -> Iterator[str]:
        """What `forklift lint` has to say about this check; `directory` is the change's."""
        yield from ()

    def run(self, workspace: Workspace) -> CheckResult:
        """Run the check on a branch that is laid out, and judge it."""
        raise NotImplementedError


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
    part: list[Part] = []
    after: list[str] = []
    check: list[Any] = []
    sweep: SweepSpec | None = None


class Change(msgspec.Struct, frozen=True):
    """A change: its manifest, its suite, its directory, and what was found there when it was loaded.

    `checks` holds every [[check]] and the sweep's rows that run as checks; `overlay_files` are paths relative to the suite's root,
    `edit_files` upstream paths, both sorted. With `newest` it is the series for upstream's newest commit: what stands in newest/
    takes the place of what stands beside it.
    """

    file: ChangeFile
    suite: Suite
    directory: Path
    checks: tuple[CheckSpec, ...] = ()
    overlay_files: tuple[str, ...] = ()
    edit_files: tuple[str, ...] = ()
    newest: bool = False
    moved: dict[str, str] = {}

    @property
    def id(self) -> str:
        return self.file.id

    @property
    def command(self) -> str:
        """What makes its pull request."""
        return f'make pr-{self.id.removesuffix("@newest")} ARGS="--onto newest"' if self.newest else f"make pr-{self.id}"

    @property
    def overlay(self) -> Path:
        return self.directory / "overlay"

    @property
    def edits(self) -> Path:
        return self.directory / "edits"

    @property
    def top(self) -> Path:
        """Where overlay/ and edits/ are written."""
        return self.directory / "newest" if self.newest else self.directory

    def place(self, name: str) -> Path:
        """A file of the change: that of newest/ where this is the series for the newest commit and has one of its own."""
        own = self.top / name
        return own if own.exists() or own.is_symlink() else self.directory / name

    def overlay_file(self, path: str) -> Path:
        return self._file("overlay", path, "")

    def edit_file(self, path: str) -> Path:
        return self._file("edits", path, ".patch")

    def _file(self, folder: str, path: str, ending: str) -> Path:
        own = self.place(f"{folder}/{path}{ending}")
        return own if own.exists() or own.is_symlink() else self.directory / folder / f"{self.before_move(path)}{ending}"

    def before_move(self, path: str) -> str:
        """The path as the pin has it, for one in a directory that upstream has moved."""
        for old, new in self.moved.items():
            if path.startswith(new):
                return old + path.removeprefix(new)
        return path

    def exact(self, path: str) -> bool:
        """Whether the edit was made on the very commit that the change is built on."""
        return not self.newest or self.edit_file(path).is_relative_to(self.top)


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
    sandbox: bool = False


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
