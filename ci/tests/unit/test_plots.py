"""The loss plot is a picture, whatever the curves are; sparklines show the whole curve."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forklift.running import plots
from forklift.running.losses import Run

BARS = "▁▂▃▄▅▆▇█"


def runs(static):
    return {"dygraph": Run("dygraph", [3.0, 2.0, 1.0], paddle="2.6.2"), "ast": Run("ast", static)}


@pytest.mark.parametrize("static", [[3.0, 2.1, 1.0], [3.0, 2.0, 1.0], [3.0, None, 1.0], [None] * 3, [3.0, 2.0], []])
def test_loss_plot_is_a_png(tmp_path, static):
    plots.losses(tmp_path / "loss.png", runs(static), "toy-linear", "float32")
    content = (tmp_path / "loss.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(content) > 5000


def test_a_falling_curve_falls():
    assert plots.sparkline([4, 3, 2, 1], 4) == "█▆▃▁"
    assert plots.sparkline([1.0, 1.0, 1.0]) == "▁▁▁"
    assert plots.sparkline([]) == ""


def test_a_hole_in_the_curve_is_seen():
    assert plots.sparkline([0.0, None, 7.0, math.nan, math.inf], 5) == "▁ █  "


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60), st.integers(1, 40))
def test_every_value_is_part_of_the_drawing(values, width):
    line = plots.sparkline(values, width)
    assert len(line) == min(width, len(values))
    low, span = min(values), max(values) - min(values)
    if width >= len(values) > 1 and span > 1e-6:
        assert list(line) == [BARS[round((value - low) / span * 7)] for value in values]
    assert set(line) <= set(BARS)


def test_the_last_value_counts_in_any_width():
    losses = [1.0] * 49 + [1e9]
    assert [plots.sparkline(losses, width)[-1] for width in (2, 10, 40, 50)] == ["█"] * 4
