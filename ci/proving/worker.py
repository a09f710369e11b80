"""A script that stays: it imports once what every job needs, and runs each job in a process forked from it.

It reads one JSON object a line, {"argv": [...], "log": path, "timeout_s": seconds}, and answers each with one line,
{"status": exit status, "timed_out": bool}. It ends with its standard input.
"""

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from typing import Any, Callable, Dict, List

PR_SET_PDEATHSIG = 1
POLL_S = 0.05


def fork_bound() -> int:
    """`os.fork`, but the child ends when its parent does (Linux)."""
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return child


def serve(job: Callable[[List[str]], Any]) -> None:
    """Answer requests until standard input ends; `job` gets the words of one."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what imports and models print is no answer
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line), job)), file=answers, flush=True)


def _answer(request: Dict[str, Any], job: Callable[[List[str]], Any]) -> Dict[str, Any]:
    child = fork_bound()
    if child == 0:
        os._exit(_run(request, job))
    end = time.monotonic() + request["timeout_s"]
    timed_out = False
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            return {"status": code, "timed_out": timed_out}
        if not timed_out and time.monotonic() > end:
            timed_out = True
            os.kill(child, signal.SIGKILL)
        time.sleep(POLL_S)


def _run(request: Dict[str, Any], job: Callable[[List[str]], Any]) -> int:
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    try:
        job(request["argv"])
        return 0
    except SystemExit as leaving:
        if not isinstance(leaving.code, int):
            print(leaving.code, file=sys.stderr)
        return leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
