"""Results as JSON, JUnit and Markdown."""

import json
import math
import xml.etree.ElementTree as ElementTree

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toyproject import put

from forklift.errors import Reason
from forklift.model import CheckResult, Outcome, Report
from forklift.results import report


def result(check, outcome, summary="", reason=None, **more):
    return CheckResult("toy-linear", check, "metrics", outcome, summary, 1.5, reason, **more)


ROWS = (
    result("base", Outcome.PASSED, "fork"),
    result("a", Outcome.FAILED, "x 3 > 2"),
    result("b", Outcome.ERROR, "timed out", Reason.TIMEOUT),
    result("c", Outcome.ERROR, "no script", Reason.SCRIPT_FAILED),
    result("d", Outcome.SKIPPED, "needs the fork", Reason.PARTIAL_BASE),
)


def made(rows=ROWS):
    return Report("toy-linear", "Toy", "fork Toy", "a" * 40, "b" * 40, "2.6", tuple(rows))


def test_junit_counts_and_names():
    [suite] = ElementTree.fromstring(report.junit([made()]))
    assert {key: suite.get(key) for key in ("name", "tests", "failures", "errors", "skipped")} == {
        "name": "toy-linear", "tests": "5", "failures": "1", "errors": "2", "skipped": "1",
    }  # fmt: skip
    tags = {case.get("name"): [child.tag for child in case] for case in suite}
    assert tags == {"base": [], "a": ["failure"], "b": ["error"], "c": ["error"], "d": ["skipped"]}
    messages = {case.get("name"): child.get("message") for case in suite for child in case}
    assert messages["b"] == "timeout: timed out"
    assert messages["a"] == "x 3 > 2"


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_junit_can_be_read_whatever_a_check_said(text):
    top = ElementTree.fromstring(report.junit([made([result("a", Outcome.FAILED, text)])]))
    assert len(top.findall(".//failure")) == 1


@pytest.mark.parametrize(
    ("rows", "failed"), [([], False), (ROWS, True), (ROWS[:1], False), (ROWS[4:], False), (ROWS[1:2], True), (ROWS[2:3], True)]
)
def test_a_report_fails_by_failures_and_errors_only(rows, failed):
    assert made(rows).failed is failed


def test_report_json_is_written_whole(tmp_path):
    report.write(tmp_path, [made()])
    [found] = json.loads((tmp_path / "report.json").read_text())
    assert [row["outcome"] for row in found["results"]] == ["passed", "failed", "error", "error", "skipped"]
    assert found["results"][2]["reason"] == "timeout"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junit.xml", "report.json"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.5, "0.5"),
        (1.25e-7, "1.25e-07"),
        (0.0012345, "0.001234"),
        (123456.0, "1.23e+05"),
        (3, "3"),
        ("x", "x"),
        (None, "-"),
        (math.inf, "-"),
        (math.nan, "-"),
    ],
)
def test_figures_for_a_table(value, text):
    assert report.number(value) == text


def test_a_template_that_names_nothing_is_an_error(tmp_path):
    put(tmp_path / "t.md", "{{ known }} {{ unknown }}\n")
    with pytest.raises(jinja2.UndefinedError, match="unknown"):
        report.render(tmp_path, "t.md", known=1)


def test_templates_keep_their_last_newline_and_filters(tmp_path):
    put(tmp_path / "t.md", "{{ gap | number }} {{ curve | spark(3) }}\n")
    assert report.render(tmp_path, "t.md", gap=1e-9, curve=[3.0, 2.0, 1.0]) == "1.00e-09 █▅▁\n"
