"""The judge of tensor pairs: on the maximum, with exact bounds."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from forklift.model import Tolerance
from forklift.running.compare import DEFAULTS, FLOAT64, OTHER_STAGE, compare, limits

MODERATE = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda v: v == 0 or abs(v) > 1e-6)
TENSORS = hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=MODERATE)


def tolerance(match="*", rtol=None, atol=None, why="because a float64 control measured it"):
    return Tolerance(match=match, why=why, rtol=rtol, atol=atol)


def f32(*values):
    return np.array(values, np.float32)


@given(TENSORS)
def test_equal_tensors_pass(tensor):
    row = compare("forward", "x", tensor, tensor.copy())
    assert (row.problem, row.max_abs, row.max_rel) == ("", 0.0, 0.0)


@given(TENSORS, st.data())
def test_one_element_outside_the_bound_fails_and_is_named(tensor, data):
    where = tuple(data.draw(st.integers(0, side - 1)) for side in tensor.shape)
    scale = np.abs(tensor).max()
    bound = 1e-6 + 1e-5 * scale
    moved = tensor.copy()
    moved[where] += 2 * bound
    row = compare("forward", "x", moved, tensor)
    assert row.worst == list(where)
    assert row.problem.startswith("max abs")
    assert str(list(where)) in row.problem


@given(TENSORS, st.data())
def test_one_element_inside_the_bound_passes(tensor, data):
    where = tuple(data.draw(st.integers(0, side - 1)) for side in tensor.shape)
    moved = tensor.copy()
    moved[where] += 0.5 * (1e-6 + 1e-5 * np.abs(tensor).max())
    assert compare("forward", "x", moved, tensor).problem == ""


@given(TENSORS, st.sampled_from([-1.0, 2.0**-6, 2.0**8]))
def test_the_relative_error_does_not_depend_on_sign_or_scale(tensor, factor):
    assume(np.abs(tensor).max() > 1e-3)
    moved = tensor + np.abs(tensor).max() * 1e-4
    plain = compare("loss", "x", moved, tensor)
    scaled = compare("loss", "x", moved * factor, tensor * factor)
    assert math.isclose(plain.max_rel, scaled.max_rel, rel_tol=1e-9)
    assert bool(plain.problem) == bool(scaled.problem) is True


@given(hnp.arrays(np.float64, (2, 5), elements=MODERATE))
def test_the_gap_is_symmetric(pair):
    one, two = pair
    assert compare("x", "x", one, two).max_abs == compare("x", "x", two, one).max_abs


def test_the_bound_itself_passes_and_the_next_number_fails():
    rule = [tolerance(rtol=0.0, atol=0.25)]
    assert compare("forward", "x", np.array([1.25]), np.array([1.0]), rule).problem == ""
    assert compare("forward", "x", np.array([np.nextafter(1.25, 2)]), np.array([1.0]), rule).problem


def test_the_scale_is_the_largest_magnitude_of_the_reference():
    want = np.array([0.0, 100.0])
    assert compare("loss", "x", np.array([0.0009, 100.0]), want).problem == ""
    assert compare("loss", "x", np.array([0.0011, 100.0]), want).problem


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (np.array([1, 2, 4]), np.array([1, 2, 3])),
        (np.array([2**53 + 1]), np.array([2**53])),
        (np.array([True, False]), np.array([True, True])),
        (np.array([2**63 + 1], np.uint64), np.array([2**63], np.uint64)),
    ],
)
def test_integers_are_exact_whatever_the_tolerance(got, want):
    row = compare("forward", "x", got, want, [tolerance(rtol=10.0, atol=1e30)])
    assert row.problem
    assert compare("forward", "x", want, want).problem == ""


@pytest.mark.parametrize(
    ("got", "want", "said"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), "shape (2, 3), want (3, 2)"),
        (np.zeros((1, 3)), np.zeros(3), "shape (1, 3), want (3,)"),
        (np.zeros(3), np.zeros(3, np.int64), "dtype float64, want int64"),
        (f32(0, math.nan), f32(0, 0), "not finite at [1]"),
        (f32(0, 0, math.inf), f32(0, 0, math.inf), "the reference itself is not finite"),
        (f32(math.nan), f32(math.nan), "the reference itself is not finite"),
    ],
)
def test_what_cannot_be_compared(got, want, said):
    row = compare("forward", "x", got, want)
    assert row.problem == said
    assert row.max_rel == math.inf


def test_float32_against_float64_is_the_same_kind():
    assert compare("forward", "x", f32(1, 2), np.array([1.0, 2.0])).problem == ""


def test_against_a_reference_of_zeros_the_absolute_bound_holds():
    assert compare("forward", "x", np.array([9e-7]), np.zeros(1)).problem == ""
    row = compare("forward", "x", np.array([2e-6]), np.zeros(1))
    assert row.problem
    assert row.max_rel == math.inf


def test_empty_and_scalar_tensors():
    assert compare("forward", "x", np.zeros((0, 3)), np.zeros((0, 3))).problem == "the pair has no elements"
    row = compare("loss", "x", np.array(1.1), np.array(1.0))
    assert (row.worst, bool(row.problem)) == ([], True)


@pytest.mark.parametrize("stage", [*DEFAULTS, "onnx", "static"])
def test_defaults_by_stage_and_for_float64(stage):
    assert limits(stage, "s.out", []) == (*DEFAULTS.get(stage, OTHER_STAGE), "")
    assert limits(stage, "s.out.f64", []) == (*FLOAT64, "")


def test_the_last_matching_tolerance_wins_and_leaves_what_it_does_not_name():
    rules = [tolerance("s.*", rtol=1e-3, why="first"), tolerance("s.grad*", atol=1e-2, why="second"), tolerance("m.*", rtol=9.0)]
    assert limits("backward", "s.out", rules) == (1e-3, 1e-6, "first")
    assert limits("backward", "s.grad_l2", rules) == (1e-3, 1e-2, "second")
    assert limits("backward", "S.out", rules) == (1e-4, 1e-6, "")
    assert limits("backward", "s.out", list(reversed(rules))) == (1e-3, 1e-6, "first")


def test_a_tolerance_of_zero_is_a_tolerance():
    assert limits("backward", "x", [tolerance(rtol=0.0, atol=0.0)])[:2] == (0.0, 0.0)


@pytest.mark.parametrize("bound", [{"rtol": float("inf")}, {"rtol": float("nan")}, {"atol": float("inf")}, {"atol": float("nan")}])
def test_a_tolerance_that_is_not_finite_proves_nothing(bound):
    rules = [tolerance("x", why="as wide as you like", **bound)]
    assert "must be finite" in compare("forward", "x", np.ones(3), np.ones(3), rules).problem


def test_a_float32_tensor_under_a_float64_key_is_refused():
    single = np.ones(3, np.float32)
    assert "float32 under a key" in compare("forward", "x.f64", single, np.ones(3)).problem
    assert compare("forward", "x.f64", np.ones(3), np.ones(3)).problem == ""
    assert compare("forward", "ids.f64", np.ones(3, np.int64), np.ones(3, np.int64)).problem == ""
