"""The only place where a process starts: an argv list, never a shell line; its whole group ends with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from forklift.errors import ForkliftError, Reason

_TAIL_LINES = 15
# the limit is there before the program is: set from outside it would come after the first allocations
_BOUNDED = ("/bin/sh", "-c", 'ulimit -v "$0" && exec "$@"')
# Ends every process group that is still registered when this process is gone, however it went: kill -9 lets nobody clean up.
_GUARDIAN = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""
_running: set[int] = set()
_guardian: list[subprocess.Popen[bytes]] = []
_guardian_lock = threading.Lock()
_stopping = threading.Event()
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Done:
    """A process that ended: its exit status and what it printed (bytes decoded, errors replaced)."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def tail(self) -> str:
        lines = (self.stderr or self.stdout).strip().splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


def kill_all() -> None:
    """End every process group that is still running (on ^C and on our own death)."""
    for group in list(_running):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def in_threads(jobs: int, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Results in the order of `items`. On ^C nothing more starts, and what runs is ended before the exception goes on."""
    pool = ThreadPoolExecutor(max_workers=max(1, jobs))
    futures: list[Future[R]] = []
    try:
        for item in items:
            futures.append(pool.submit(function, item))
        # awake now and then: a thread that waits without end may miss a signal
        while running := [future for future in futures if not future.done()]:
            wait(running, timeout=0.5)
        return [future.result() for future in futures]
    except BaseException:
        _stopping.set()
        pool.shutdown(wait=False, cancel_futures=True)
        while running := [future for future in futures if not future.done()]:
            kill_all()
            wait(running, timeout=0.05)
        raise
    finally:
        pool.shutdown()
        _stopping.clear()


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    log: Path | None = None,
    stdin: bytes | None = None,
    check: bool = True,
) -> Done:
    """Run to the end. With `check`, a non-zero status raises; a timeout always raises with reason `timeout`.

    `log` receives stdout and stderr as they come.
    """
    words = tuple(str(word) for word in argv)
    started = time.monotonic()
    _refuse_when_stopping()
    with contextlib.ExitStack() as stack:
        out: int | object = subprocess.PIPE
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            out = stack.enter_context(log.open("wb"))
        try:
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env=dict(os.environ if env is None else env),
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=out,  # type: ignore[arg-type]
                stderr=subprocess.STDOUT if log is not None else subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as missing:
            raise ForkliftError(
                f"program not found: {words[0]}", [("command", " ".join(words))], "install it, then run the command again"
            ) from missing
        # what writes a log may run for minutes
        with _registered(process, guarded=log is not None):
            try:
                stdout, stderr = process.communicate(stdin, timeout)
            except subprocess.TimeoutExpired as expired:
                raise ForkliftError(
                    f"timed out after {timeout:.0f} s",
                    [("command", " ".join(words)), ("log", log or "-")],
                    "raise timeout_s in change.toml, or make the check smaller",
                    Reason.TIMEOUT,
                ) from expired
    _refuse_when_stopping()
    text_out = _decode(stdout) if log is None else _read_tail(log)
    done = Done(words, process.returncode, text_out, _decode(stderr), time.monotonic() - started)
    if check and done.status != 0:
        full = "No space left on device" in done.stdout + done.stderr
        raise ForkliftError(
            "no space left on the disk" if full else f"command failed with status {done.status}",
            [("command", " ".join(words)), ("where", cwd or Path.cwd()), ("output", done.tail or "(nothing printed)")],
            "free space (make clean removes .cache/), then again" if full else f"read {log}" if log else "",
        )
    return done


class Worker:
    """A process that stays and answers requests, one JSON object a line (ci/proving/worker.py)."""

    def __init__(self, argv: Sequence[str | Path], cwd: Path, env: Mapping[str, str], log: Path, memory_gb: float) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [*_BOUNDED, str(int(memory_gb * 2**20)), *map(str, argv)],
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        _running.add(self._process.pid)
        _tell_guardian(f"+{self._process.pid}")

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer; {} where the worker itself has ended."""
        _refuse_when_stopping()
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        _refuse_when_stopping()
        return json.loads(line) if line else {}

    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End it and whatever it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close() if stream else None
        self._process.wait()
        _running.discard(self._process.pid)
        _tell_guardian(f"-{self._process.pid}")


def run_bytes(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> bytes:
    """stdout of a short command, exactly; a non-zero status raises."""
    done = subprocess.run([str(word) for word in argv], env=env, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ForkliftError("command failed", [("command", " ".join(map(str, argv))), ("output", _decode(done.stderr))])
    return done.stdout


@contextlib.contextmanager
def _registered(process: subprocess.Popen[bytes], guarded: bool) -> Iterator[None]:
    _running.add(process.pid)
    if guarded:
        _tell_guardian(f"+{process.pid}")
    try:
        yield
    finally:
        # the leader may have left children behind: end the whole group, whatever happened
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _running.discard(process.pid)
        if guarded:
            _tell_guardian(f"-{process.pid}")


def _tell_guardian(line: str) -> None:
    with _guardian_lock:
        if not _guardian:
            # a session of its own: ^C and a killed group do not reach it
            argv = [sys.executable, "-S", "-c", _GUARDIAN]
            _guardian.append(subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True))
        stream = _guardian[0].stdin
        assert stream is not None
        with contextlib.suppress(BrokenPipeError):
            stream.write(line.encode() + b"\n")
            stream.flush()


def _refuse_when_stopping() -> None:
    # in a thread of `in_threads` after ^C: what was killed must not be taken for a result
    if _stopping.is_set():
        raise KeyboardInterrupt


def _decode(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "replace")


def _read_tail(log: Path, size: int = 20_000) -> str:
    with log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - size))
        return _decode(handle.read())


def cores() -> int:
    """Cores of this machine."""
    return os.cpu_count() or 1
