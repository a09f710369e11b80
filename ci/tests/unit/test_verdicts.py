"""What each kind of check makes of the figures a script measured."""

import math

import pytest
from toyproject import put

from forklift.checks.benchmark import ratio
from forklift.checks.metrics import Requirement, violation
from forklift.checks.unit_tests import verdict
from forklift.errors import ForkliftError
from forklift.running import losses as training
from forklift.running.junit import read_junit
from forklift.running.losses import Run, StaticProof, judge

STEPS = 50


def curve(factor=1.0):
    return [factor / (step + 1) for step in range(STEPS)]


def run(mode="dygraph", losses=None, **proof):
    static = None if mode == "dygraph" else StaticProof(**{"programs": 1, "operators": 12, "executions": STEPS, **proof})
    return Run(mode, curve() if losses is None else losses, static, [4.0 if mode == "dygraph" else 2.0] * STEPS)


def problem(static, dygraph=None, steps=STEPS, rtol=1e-5):
    return judge(dygraph or run(), static, steps, rtol).problem


def test_equal_curves_pass_with_gap_step_and_speed():
    losses = curve()
    losses[36] *= 1 + 4e-6
    found = judge(run(), run("ast", losses), STEPS, 1e-5)
    assert (found.problem, found.at_step, found.speed_ratio) == ("", 37, 0.5)
    assert math.isclose(found.max_gap, 4e-6, rel_tol=1e-6)


def test_one_step_outside_rtol_fails_and_is_named():
    losses = curve()
    losses[36] *= 1 + 2e-5
    assert problem(run("sot", losses)) == "sot: step 37 differs by 2.0e-05 > 1e-05"
    assert problem(run("sot", losses), rtol=1e-4) == ""


@pytest.mark.parametrize("short", ["static", "dygraph"])
def test_too_few_steps(short):
    few = run("ast" if short == "static" else "dygraph", curve()[:-1])
    said = problem(few) if short == "static" else problem(run("ast"), few)
    assert "want 50" in said


@pytest.mark.parametrize("hole", [math.nan, math.inf, None])
@pytest.mark.parametrize("side", ["static", "dygraph"])
def test_a_loss_that_is_not_finite(side, hole):
    """The runner writes null for a loss that JSON has no number for."""
    losses = [*curve()[:-1], hole]
    said = problem(run("ast", losses)) if side == "static" else problem(run("ast", losses), run(losses=losses))
    assert said == "ast: a loss is not finite"


def test_a_constant_loss_proves_nothing():
    flat = [0.25] * STEPS
    assert problem(run("ast", flat), run(losses=flat)) == "ast: the loss never moved, so it proves nothing"


@pytest.mark.parametrize("proof", [{"executions": 0}, {"executions": STEPS - 1}, {"operators": 0}])
def test_static_training_that_did_not_run(proof):
    assert "static training did not run" in problem(run("ast", **proof))


def test_a_mode_without_any_proof_did_not_run():
    silent = Run("sot", curve())
    assert "0 executions of a static program in 50 steps" in problem(silent)


def test_graph_breaks_are_a_problem_for_the_whole_graph_only():
    assert problem(run("ast", graph_breaks=2)) == "ast: 2 graph breaks, want a whole graph"
    assert problem(run("sot", graph_breaks=2)) == ""


def test_a_loss_of_zero_has_a_finite_gap():
    losses = [*curve()[:-1], 0.0]
    assert problem(run("ast", losses), run(losses=losses)) == ""


def test_without_step_times_there_is_no_ratio():
    assert judge(run(), Run("ast", curve(), run("ast").static), STEPS, 1e-5).speed_ratio is None


@pytest.mark.parametrize("text", ['{"mode": "ast"}', '{"mode": "ast", "losses": "none"}', "", "[1]"])
def test_output_that_is_not_a_run_is_the_scripts_fault(tmp_path, text):
    put(tmp_path / "ast.json", text)
    with pytest.raises(ForkliftError, match="output is not a run"):
        training.read(tmp_path, "ast")
    assert training.read(tmp_path, "sot") is None


def row(ours, against):
    return {"name": "forward", "ours": "us", "against": "them", "samples": {"us": ours, "them": against}}


def test_ratio_is_the_median_of_the_rounds_with_its_spread():
    found = ratio(row([2.0, 4.0, 9.0, 2.0, 1.0], [4.0, 4.0, 3.0, 8.0, 1.0]))
    assert (found["ratio"], found["low"], found["high"], found["rounds"]) == (1.0, 0.25, 3.0, 5)
    assert (found["ours_ms"], found["against_ms"]) == (2.0, 4.0)


@pytest.mark.parametrize(("ours", "against"), [([1.0, 1.0], [1.0, 1.0]), ([1.0] * 3, [1.0] * 4)])
def test_a_ratio_needs_three_rounds_of_both(ours, against):
    with pytest.raises(ForkliftError, match="at least 3 rounds"):
        ratio(row(ours, against))


@pytest.mark.parametrize(
    ("bounds", "value", "said"),
    [
        ({"min": 2.0}, 2.0, ""),
        ({"min": 2.0}, 1.999, "m 1.999 < 2"),
        ({"max": 2.0}, 2.0, ""),
        ({"max": 2.0}, 2.5, "m 2.5 > 2"),
        ({"min": 1, "max": 3}, 2, ""),
        ({"min": 0.0}, math.nan, "m was not measured (got nan)"),
        ({"max": 9.0}, -math.inf, "m was not measured (got -inf)"),
        ({"min": 0.0}, None, "m was not measured (got None)"),
        ({"min": 0.0}, True, "m was not measured (got True)"),
        ({"min": 0.0}, "3", "m was not measured (got '3')"),
    ],
)
def test_metrics_against_their_bounds(bounds, value, said):
    assert violation(Requirement(metric="m", **bounds), {"m": value}) == said


def test_a_metric_that_nobody_measured():
    assert violation(Requirement(metric="m", min=0.0), {"n": 1.0}) == "m was not measured (got None)"


@pytest.mark.parametrize(
    ("base", "branch", "word"),
    [
        (None, "passed", "new"),
        (None, "failed", "new"),
        ("passed", "passed", "same_pass"),
        ("passed", "failed", "regressed"),
        ("passed", "skipped", "regressed"),
        ("failed", "passed", "fixed"),
        ("failed", "failed", "same_fail"),
        ("failed", "skipped", "same_fail"),
        ("skipped", "passed", "new"),
        ("skipped", "failed", "new"),
        ("skipped", "skipped", "new"),
    ],
)
def test_a_test_on_base_and_branch(base, branch, word):
    """A test that the base skipped says nothing about the base: where the branch fails it, that is no old failure."""
    assert verdict(base, branch) == word


def test_junit_states(tmp_path):
    file = put(
        tmp_path / "j.xml",
        "<testsuites><testsuite>"
        '<testcase classname="t.A" name="good"/>'
        '<testcase classname="t.A" name="bad"><failure message="no"/></testcase>'
        '<testcase classname="t.A" name="broken"><error message="no"/></testcase>'
        '<testcase classname="t.A" name="left"><skipped message="later"/></testcase>'
        '<testcase classname="t.A" name="twice"><failure message="no"/></testcase>'
        '<testcase classname="t.A" name="twice"/>'
        '<testcase classname="t.A" name="noisy"><system-out>text</system-out></testcase>'
        "</testsuite></testsuites>",
    )
    assert read_junit(file) == {
        "t.A::good": "passed",
        "t.A::bad": "failed",
        "t.A::broken": "failed",
        "t.A::left": "skipped",
        "t.A::twice": "failed",
        "t.A::noisy": "passed",
    }


def test_half_a_junit_file_is_an_error_with_a_name(tmp_path):
    file = put(tmp_path / "j.xml", "<testsuites><testsuite><testca")
    with pytest.raises(ForkliftError, match="JUnit") as caught:
        read_junit(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("bounds", [{}, {"max": math.nan}, {"min": -math.inf}, {"max": math.inf}])
def test_a_bound_that_cannot_fail_is_no_bound(bounds):
    assert violation(Requirement(metric="m", **bounds), {"m": 1.0}) == "m has no finite bound"
