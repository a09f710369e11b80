"""A wheel is tried in an environment of its own: what a script there says is what a user of the wheel would see."""

import sys

import pytest
from toyproject import put

import wheels.__main__ as smoke

GOOD = "from toylib.linear import forward\nfrom toylib.registry import ENTRIES\nassert 'linear' in ENTRIES and callable(forward)\n"


@pytest.fixture
def tried(toy, monkeypatch, capfd):
    toy.change()

    def run(script):
        if script:
            put(toy.root / "ci" / "smoke" / "toy.py", script)
        monkeypatch.setattr(sys, "argv", ["wheels", "toy"])
        from forklift.system import guard

        return guard.run(smoke.main), capfd.readouterr()

    return run


def test_the_wheel_holds_the_change(tried, toy):
    status, said = tried(GOOD)
    assert (status, said.err) == (0, "")
    assert "toy: toylib-1.0+forklift-py3-none-any.whl works in a fresh environment" in said.out
    assert not list((toy.cache / "site").glob("wheel-*")), "nothing is left"


def test_a_change_that_is_not_in_it_is_said(tried):
    status, said = tried("from toylib.linear import backward\n")
    assert (status, "cannot import name 'backward'" in said.err, "fails in a fresh" in said.out) == (1, True, True)


def test_the_project_is_not_on_its_path(tried):
    assert tried("import forklift\n")[0] == 1


def test_a_suite_without_a_script_is_refused(tried):
    status, said = tried("")
    assert (status, "no wheel of Toy is tried" in said.err) == (2, True)
