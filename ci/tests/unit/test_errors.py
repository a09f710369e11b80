"""Errors say what, where and what to type next."""

import pytest

from forklift.errors import ForkliftError, InterruptedByUserError, UsageError, nearest


def test_facts_and_next_step_stand_in_columns():
    problem = ForkliftError("it broke", [("file", "a.toml"), ("expected", 3)], "./forklift list")
    assert str(problem).splitlines() == ["error: it broke", "  file      a.toml", "  expected  3", "  next      ./forklift list"]


def test_further_lines_of_a_fact_are_indented_under_its_first():
    lines = str(ForkliftError("it broke", [("output", "one\ntwo")], "again")).splitlines()
    assert lines[1:3] == ["  output  one", "          two"]


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_fact_keeps_its_label(text):
    assert "  output  " in str(ForkliftError("it broke", [("output", text)]))


def test_without_facts_there_is_one_line():
    assert str(ForkliftError("it broke")) == "error: it broke"


def test_exit_codes():
    assert [kind.exit_code for kind in (ForkliftError, UsageError, InterruptedByUserError)] == [1, 2, 130]


@pytest.mark.parametrize(
    ("word", "said"), [("seg-pidnett", "did you mean seg-pidnet?"), ("ocr-doctr", "did you mean ocr-doctr-plus?"), ("zzz", "")]
)
def test_nearest(word, said):
    assert nearest(word, ["seg-pidnet", "ocr-doctr-plus", "nlp-retromae"]) == said
