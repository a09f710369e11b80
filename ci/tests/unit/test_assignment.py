"""Every overlay and edits file is in exactly one commit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forklift.branch import changes
from forklift.model import Commit

PATHS = ["a.py", "configs/pidnet/s.yml", "configs/pidnet/deep/er.yml", "configs/pidnetx/s.yml", "docs/a.md"]


@pytest.mark.parametrize(
    ("glob", "taken"),
    [
        ("a.py", ["a.py"]),
        ("configs/pidnet/**", ["configs/pidnet/s.yml", "configs/pidnet/deep/er.yml"]),
        ("configs/pidnet/*.yml", ["configs/pidnet/s.yml", "configs/pidnet/deep/er.yml"]),
        ("docs/?.md", ["docs/a.md"]),
        ("A.py", []),
        ("configs/pidnet", []),
    ],
)
def test_globs(glob, taken):
    assert changes.overlay_of(Commit(subject="s", overlay=[glob]), PATHS) == taken


NAMES = st.text("abc", min_size=1, max_size=3)


@given(st.lists(NAMES, min_size=1, max_size=3), NAMES)
def test_two_stars_take_everything_below_and_nothing_beside(parts, name):
    top = "/".join(parts)
    assert changes.matches(f"{top}/{name}", f"{top}/**")
    assert changes.matches(f"{top}/{name}/{name}", f"{top}/**")
    assert not changes.matches(f"{top}{name}", f"{top}/**")
    assert not changes.matches(top, f"{top}/**")


def problems(toy, commits):
    toy.change(overlay={"toylib/linear.py": "A = 1\n", "configs/a.yml": "b: 1\n"}, commits=commits)
    return changes.assignment_problems(toy.load())


def test_everything_once_is_good(toy):
    rows = [
        {"subject": "one", "overlay": ["toylib/*"]},
        {"subject": "two", "overlay": ["configs/**"], "edits": ["toylib/registry.py"]},
    ]
    assert problems(toy, rows) == []


def test_a_file_in_no_commit_and_a_file_in_two(toy):
    rows = [{"subject": "one", "overlay": ["toylib/linear.py"]}, {"subject": "two", "overlay": ["toylib/*"]}]
    assert problems(toy, rows) == [
        "overlay/configs/a.yml is in 0 commits, want exactly one [[commit]]",
        "overlay/toylib/linear.py is in 2 commits, want exactly one [[commit]]",
        "edits/toylib/registry.py is in 0 commits, want exactly one [[commit]]",
    ]


def test_an_entry_that_matches_nothing(toy):
    rows = [{"subject": "one", "overlay": ["*", "none.py", "nowhere/**"], "edits": ["toylib/registry.py", "toylib/gone.py"]}]
    assert problems(toy, rows) == [
        "[[commit]] 1 names 'none.py', which matches no file",
        "[[commit]] 1 names 'nowhere/**', which matches no file",
        "[[commit]] 1 names 'toylib/gone.py', which matches no file",
    ]


def test_byte_code_is_no_overlay(toy):
    directory = toy.change()
    (directory / "overlay" / "toylib" / "__pycache__").mkdir()
    (directory / "overlay" / "toylib" / "__pycache__" / "linear.cpython-311.pyc").write_bytes(b"x")
    assert toy.load().overlay_files == ("toylib/linear.py",)
