"""Exit codes, and what stands around every command."""

import errno
import signal

import pytest
import typer

from forklift.errors import ForkliftError, UsageError
from forklift.system import guard


@pytest.fixture(autouse=True)
def _handler(toy):
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def raises(problem):
    def program():
        raise problem

    return program


@pytest.mark.parametrize(
    ("program", "status"),
    [
        (lambda: None, 0),
        (lambda: 0, 0),
        (lambda: 1, 1),
        (raises(ForkliftError("red")), 1),
        (raises(UsageError("typed wrong")), 2),
        (raises(typer.BadParameter("no such choice")), 2),
        (raises(typer.Exit(5)), 5),
        (raises(typer.Abort()), 130),
        (raises(KeyboardInterrupt()), 130),
        (raises(ZeroDivisionError("ours")), 3),
        (raises(OSError(errno.EIO, "Input/output error")), 3),
        (raises(OSError(errno.EPERM, "not permitted")), 1),
        (raises(OSError(errno.EROFS, "Read-only file system")), 1),
        (raises(OSError(errno.ENOSPC, "No space left on device")), 1),
        (raises(OSError(errno.EDQUOT, "Quota exceeded")), 1),
    ],
)
def test_exit_codes(program, status, capsys):
    assert guard.run(program) == status
    assert capsys.readouterr().out == ""


def test_our_own_mistake_names_a_log_that_holds_the_traceback(toy, capsys):
    assert guard.run(raises(ZeroDivisionError("ours"))) == 3
    said = capsys.readouterr().err
    [log] = (toy.cache / "logs").glob("crash-*.log")
    assert "internal error: ZeroDivisionError: ours" in said
    assert str(log) in said
    assert "Traceback" in log.read_text()


def test_a_full_disk_is_named_with_the_next_step(capsys):
    assert guard.run(raises(OSError(errno.ENOSPC, "No space left on device", "/somewhere/file"))) == 1
    said = capsys.readouterr().err
    assert "error: no space left on the disk" in said
    assert "/somewhere/file" in said
    assert "make clean" in said


def test_when_even_the_log_cannot_be_written_the_traceback_is_printed(toy, capsys, monkeypatch):
    monkeypatch.setenv("FORKLIFT_CACHE_DIR", "/proc/nowhere")
    assert guard.run(raises(ZeroDivisionError("ours"))) == 3
    assert "Traceback" in capsys.readouterr().err


def test_the_second_run_on_a_change_is_refused_and_told_who_holds_it(toy, capsys):
    with guard.only_run(toy.project, "toy-linear"):
        with (
            pytest.raises(UsageError, match="another run is working on toy-linear") as caught,
            guard.only_run(toy.project, "toy-linear"),
        ):
            raise AssertionError("two runs at once")
        assert dict(caught.value.facts)["process"].isdigit()
        with guard.only_run(toy.project, "toy-other"):
            pass
    with guard.only_run(toy.project, "toy-linear"):
        pass


def test_the_lock_goes_with_a_run_that_fails(toy):
    with pytest.raises(ZeroDivisionError), guard.only_run(toy.project, "toy-linear"):
        raise ZeroDivisionError
    with guard.only_run(toy.project, "toy-linear"):
        pass


@pytest.mark.parametrize(
    "words",
    [[], ["buld"], ["check"], ["list", "--nope"], ["check", "toy-linear", "--jobs", "0"], ["check", "x", "--base", "other"]],
)
def test_a_command_line_that_is_wrong(toy, words):
    ran = toy.cli(*words)
    assert ran.status == 2
    assert ran.err.startswith("error: ")
    assert "./forklift --help" in ran.err


def test_help_is_no_error(toy):
    ran = toy.cli("--help")
    assert (ran.status, ran.err) == (0, "")
    assert "pr" in ran.out
