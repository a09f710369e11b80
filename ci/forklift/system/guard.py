"""What stands around every command: locks between runs, ^C, full disks, and our own mistakes."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import typer

from forklift.errors import ForkliftError, InterruptedByUserError, UsageError
from forklift.system import shell
from forklift.system.paths import Project, current_project

_FULL = ("no space left on the disk", "free space (make clean removes .cache/), then again")
_CLOSED = (
    "a file or directory cannot be written",
    "give yourself the right to write there, or set FORKLIFT_CACHE_DIR and FORKLIFT_OUT_DIR",
)
_MACHINE = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EACCES: _CLOSED, errno.EROFS: _CLOSED, errno.EPERM: _CLOSED}


@contextlib.contextmanager
def only_run(project: Project, change_id: str) -> Iterator[None]:
    """One run at a time for a change; the lock goes with the process, also when it is killed."""
    from filelock import FileLock, Timeout  # slow to import, and most commands need no lock

    lock = project.cache / "locks" / f"{change_id}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    note = lock.with_suffix(".pid")
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout as busy:
        pid = note.read_text().strip() if note.is_file() else "unknown"
        raise UsageError(
            f"another run is working on {change_id}",
            [("process", pid), ("lock", lock)],
            "wait until it ends (or end it), then run the command again",
        ) from busy
    try:
        note.write_text(str(os.getpid()))
        yield
    finally:
        held.release()


def run(program: Callable[[], int | None]) -> int:
    """The exit code: 0 good, 1 a check failed, 2 usage or manifest, 3 internal error, 4 every check was skipped, 130 ^C."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        status = program() or 0
        if status == InterruptedByUserError.exit_code:  # typer makes this of ^C, without a word
            raise KeyboardInterrupt
        return status
    except ForkliftError as problem:
        return _say(problem)
    except typer.Exit as done:
        return done.exit_code
    except typer.TyperException as wrong:
        return _say(UsageError(wrong.format_message().strip() or "no command is named", [], "./forklift --help"))
    except (KeyboardInterrupt, typer.Abort):
        shell.kill_all()
        return _say(
            InterruptedByUserError("interrupted: running checks were ended, nothing is half-written", [], "run the command again")
        )
    except OSError as problem:
        return _say(_of_machine(problem)) if problem.errno in _MACHINE else _crash()
    except Exception as problem:
        known = _of_git(problem)
        return _say(known) if known else _crash()
    finally:
        shell.kill_all()


def _of_git(problem: Exception) -> ForkliftError | None:
    """What git itself refuses; recognised by name, since importing its library takes longer than most commands."""
    if type(problem).__name__ != "GitCommandError":
        return None
    said = str(getattr(problem, "stderr", "")).strip()
    root = current_project().root
    owned = "dubious ownership" in said
    step = f"git config --global --add safe.directory {root}" if owned else "repair the repository, then run the command again"
    return ForkliftError("git refuses to work on this project", [("where", root), ("git said", said)], step)


def _of_machine(problem: OSError) -> ForkliftError:
    where = problem.filename or current_project().cache
    what, step = _MACHINE[problem.errno or 0]
    return ForkliftError(what, [("where", where)], step)


def _say(problem: ForkliftError) -> int:
    print(problem, file=sys.stderr, flush=True)
    return problem.exit_code


def _crash() -> int:
    text = traceback.format_exc()
    try:
        log = current_project().cache / "logs" / f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(text)
        at: Path | str = log
    except OSError:
        at = text
    last = text.strip().splitlines()[-1]
    print(ForkliftError(f"internal error: {last}", [("log", at)], "report it with that log"), file=sys.stderr)
    return 3


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
