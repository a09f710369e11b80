"""Processes that have imported a suite and fork one process a row."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from forklift.system import shell


class Workers:
    """As many as there are rows at the same time; all end with the `with` block."""

    def __init__(self, words: Sequence[str | Path], cwd: Path, env: Mapping[str, str], folder: Path, memory_gb: float) -> None:
        self._words, self._cwd, self._env, self._folder, self._memory_gb = words, cwd, env, folder, memory_gb
        self._idle: list[shell.Worker] = []
        self._all: list[shell.Worker] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
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
