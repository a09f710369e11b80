"""Processes: their status, their output, their end, and the end of everything they started."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from toyproject import alive, until

from forklift.errors import ForkliftError, Reason
from forklift.system import shell

# starts a grandchild that ignores every polite signal, tells its id, and waits
FAMILY = """
import os, signal, sys, time
child = os.fork()
if child == 0:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with open(sys.argv[1] + ".part", "w") as stream:
        stream.write(str(os.getpid()))
    os.rename(sys.argv[1] + ".part", sys.argv[1])
    time.sleep(600)
if sys.argv[2] == "leave":
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    sys.exit(0)
time.sleep(600)
"""


def python(code, *words, **options):
    return shell.run([sys.executable, "-S", "-c", code, *words], **options)


def test_status_output_and_time():
    done = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)", check=False)
    assert (done.status, done.stdout, done.stderr, done.tail) == (7, "out\n", "err\n", "err")
    assert done.seconds > 0


def test_a_bad_status_is_an_error_with_command_and_last_lines(tmp_path):
    with pytest.raises(ForkliftError, match="status 7") as caught:
        python("import sys; print(*range(100), sep='\\n'); sys.exit(7)", cwd=tmp_path)
    facts = dict(caught.value.facts)
    assert facts["output"].splitlines() == [str(number) for number in range(85, 100)]
    assert facts["where"] == str(tmp_path)
    assert sys.executable in facts["command"]


def test_a_log_takes_both_streams_as_they_come(tmp_path):
    log = tmp_path / "new" / "run.log"
    done = python("import sys; print('out', flush=True); print('err', file=sys.stderr)", log=log)
    assert log.read_text() == "out\nerr\n"
    assert done.tail == "out\nerr"


def test_bytes_that_are_no_text_do_not_break_the_run():
    assert "\ufffd" in python(r"import sys; sys.stdout.buffer.write(b'a\xff')").stdout


def test_stdin_is_given_or_empty():
    code = "import sys; print(repr(sys.stdin.read()))"
    assert python(code, stdin=b"abc").stdout == "'abc'\n"
    assert python(code).stdout == "''\n"


def test_a_missing_program_is_named():
    with pytest.raises(ForkliftError, match="program not found: no-such-program"):
        shell.run(["no-such-program", "-x"])


def test_a_timeout_ends_the_whole_group(tmp_path):
    note = tmp_path / "grandchild"
    with pytest.raises(ForkliftError, match="timed out after 2 s") as caught:
        python(FAMILY, str(note), "stay", timeout=2.0, log=tmp_path / "log")
    assert caught.value.reason is Reason.TIMEOUT
    until(lambda: not alive(int(note.read_text())))


def test_a_process_that_ends_well_leaves_no_child_behind(tmp_path):
    note = tmp_path / "grandchild"
    python(FAMILY, str(note), "leave", log=tmp_path / "log")
    until(lambda: not alive(int(note.read_text())))


def test_kill_all_ends_what_another_thread_runs(tmp_path):
    note, ended = tmp_path / "grandchild", []
    thread = threading.Thread(target=lambda: ended.append(python(FAMILY, str(note), "stay", check=False, log=tmp_path / "log")))
    thread.start()
    grandchild = int(until(lambda: note.exists() and note.read_text()))
    until(lambda: shell._running)
    shell.kill_all()
    thread.join(30)
    assert ended[0].status == -9
    until(lambda: not alive(grandchild))


def test_the_environment_is_the_given_one():
    done = shell.run([sys.executable, "-c", "import os; print(sorted(os.environ))"], env={"ONLY": "this"})
    assert "'ONLY'" in done.stdout
    assert "'HOME'" not in done.stdout


def test_threads_give_results_in_order():
    assert shell.in_threads(3, lambda number: number * number, range(20)) == [number * number for number in range(20)]


def test_an_interrupt_ends_threads_and_starts_nothing_more(tmp_path):
    started = []

    def one(number):
        started.append(number)
        if number == 0:
            return python(FAMILY, str(tmp_path / "grandchild"), "stay", check=False, log=tmp_path / "log")
        until((tmp_path / "grandchild").exists)
        os.kill(os.getpid(), signal.SIGINT)  # as ^C does: it reaches the main thread
        until(shell._stopping.is_set)
        return python("print('too late')")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            shell.in_threads(2, one, [0, 1, 2, 3, 4, 5])
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(started) == [0, 1]
    until(lambda: not alive(int((tmp_path / "grandchild").read_text())))
    assert python("print(1)").stdout == "1\n"


def test_exact_bytes():
    assert shell.run_bytes([sys.executable, "-c", r"import sys; sys.stdout.buffer.write(b'\xff\r\n')"]) == b"\xff\r\n"
    with pytest.raises(ForkliftError, match="command failed"):
        shell.run_bytes([sys.executable, "-c", "raise SystemExit(3)"])


def test_no_other_module_starts_a_process():
    """The rule that makes ^C and timeouts hold."""
    for module in Path(shell.__file__).parent.rglob("*.py"):
        text = module.read_text()
        if module.name != "shell.py":
            assert "import subprocess" not in text, module
            assert "os.system" not in text, module
    assert os.getpid() not in shell._running


def test_a_killed_harness_takes_what_it_started_with_it(tmp_path):
    """kill -9 lets nobody clean up; the guardian ends the whole group, children of the script included."""
    import subprocess

    from toyproject import CI, alive, until

    script = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'ids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(600)\n"
    )
    program = (
        "import pathlib, sys\nfrom forklift.system import shell\n"
        f"shell.run([sys.executable, '-S', '-c', {script!r}], log=pathlib.Path({str(tmp_path / 'log')!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], env={"PYTHONPATH": str(CI)})
    ids = until(lambda: (tmp_path / "ids").is_file() and len((tmp_path / "ids").read_text().split()) == 2)
    ids = [int(word) for word in (tmp_path / "ids").read_text().split()]
    assert all(map(alive, ids))
    process.kill()
    process.wait()
    until(lambda: not any(map(alive, ids)))
