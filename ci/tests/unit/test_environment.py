"""The variables that a check script runs with, and which environment a lock names."""

import os

import pytest
from toyproject import put

from forklift.branch import suites
from forklift.errors import UsageError
from forklift.workspace import environment


@pytest.fixture
def suite(toy):
    return suites.find(toy.root / "ci", "toy")


def test_a_script_sees_the_work_tree_first_and_the_helpers(toy, suite, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONSTARTUP", "mine.py")
    monkeypatch.setenv("FLAGS_use_mkldnn", "1")
    monkeypatch.setenv("VIRTUAL_ENV", "/mine")
    env = environment.variables(toy.project, tmp_path, suite, "release", "3.3", 2)
    assert env["PYTHONPATH"].split(os.pathsep) == [str(tmp_path), str(toy.root / "ci")]
    assert {env[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} == {"2"}
    assert (env["FORKLIFT_BASE"], env["FORKLIFT_PADDLE"]) == ("release", "3.3")
    assert not {"PYTHONSTARTUP", "FLAGS_use_mkldnn", "VIRTUAL_ENV"} & set(env)
    assert env["CUDA_VISIBLE_DEVICES"] == ""
    assert environment.variables(toy.project, tmp_path, suite, "fork", "gpu", 2)["CUDA_VISIBLE_DEVICES"] == "0"


def test_another_lock_is_another_environment(toy):
    lock = toy.root / "ci" / "locks" / "toy.txt"
    before = environment.key_of(lock)
    put(lock, "# more\n")
    assert environment.key_of(lock) != before


def test_a_paddle_that_the_suite_has_no_lock_for(toy):
    with pytest.raises(UsageError, match="PADDLE=3.3"):
        environment.lock_file(toy.project, suites.find(toy.root / "ci", "bare"), "3.3")


@pytest.mark.parametrize("command", ["check", "pr"])
def test_a_paddle_that_does_not_exist_is_a_wrong_command(toy, command):
    toy.change()
    ran = toy.cli(command, "toy-linear", "--paddle", "9.9")
    assert ran.status == 2
    assert "9.9" in ran.err
    assert "2.6 3.3 gpu" in ran.err
