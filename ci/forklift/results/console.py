"""What a command prints: one line a check, name first; a progress bar on a terminal; JSON for machines."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

import msgspec
from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from forklift.model import CheckResult, Outcome
from forklift.results.report import reason_of

_COLOURS = {Outcome.PASSED: "green", Outcome.FAILED: "red", Outcome.ERROR: "red", Outcome.SKIPPED: "yellow"}


class Console:
    """Prints results as they come; safe to call from several threads."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self._rich = RichConsole(highlight=False, soft_wrap=True)
        self._lock = threading.Lock()
        self._progress: Progress | None = None

    @contextlib.contextmanager
    def progress(self, title: str, total: int) -> Iterator[None]:
        """A bar that advances with each result; only where a person watches."""
        if self.as_json or not self._rich.is_terminal:
            yield
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._rich, transient=True, speed_estimate_period=86400) as bar:  # a row may take minutes
            bar.add_task(title, total=total)
            self._progress = bar
            try:
                yield
            finally:
                self._progress = None

    def result(self, result: CheckResult) -> None:
        """`seg-pidnet  alignment  forward 3.1e-07 …  21.4s  passed`"""
        with self._lock:
            if self.as_json:
                print(msgspec.json.encode(result).decode(), flush=True)
                return
            time = "cached" if result.cached else f"{result.seconds:.1f}s"
            head = f"{result.change:<12} {result.check:<16} {reason_of(result)}{result.summary}"
            colour = _COLOURS[result.outcome]
            self._rich.print(f"{head:<88} {time:>7}  ", end="", markup=False)
            self._rich.print(f"[{colour}]{result.outcome.value}[/]")
            if result.outcome is Outcome.ERROR:
                for label, text in [*result.details.get("facts", {}).items(), ("next", result.details.get("next", ""))]:
                    if text:
                        self._rich.print(f"    {label}  {text}", markup=False)
            if self._progress is not None:
                self._progress.advance(self._progress.task_ids[0])
            sys.stdout.flush()

    def row(self, row: msgspec.Struct, line: str) -> None:
        """One row of a sweep."""
        with self._lock:
            if self.as_json:
                print(msgspec.json.encode(row).decode(), flush=True)
            else:
                self._rich.print(line, markup=False)
            if self._progress is not None:
                self._progress.advance(self._progress.task_ids[0])

    def say(self, text: str) -> None:
        """A line for people; nothing where machines read."""
        if not self.as_json:
            self._rich.print(text, markup=False)
