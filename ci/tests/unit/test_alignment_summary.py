"""The summary of a stage, and its line. A tensor that is zero within its tolerance has no relative error, and is judged."""

import numpy as np
import pytest

from forklift.running.compare import compare
from forklift.running.pairs import by_stage, headline


@pytest.mark.parametrize("noise, failed", [(3e-9, 0), (3e-3, 1)])
def test_a_gradient_that_vanishes_is_no_relative_error(noise, failed):
    plain = compare("backward", "weight", np.array([1.0, 2.00001]), np.array([1.0, 2.0]))
    vanishing = compare("backward", "key.bias", np.array([noise, 0.0]), np.array([1e-9, 0.0]))
    stage = by_stage([plain, vanishing])["backward"]
    assert stage["failed"] == failed
    assert stage["zero"] == 1 - failed
    assert (stage["max_rel"] < 1e-5) == (failed == 0)


@pytest.mark.parametrize(
    "keys, said", [(["w"], "1.0e-03"), (["w", "w.f64"], "1.0e-03 (float64 1.0e-03)"), (["w.f64"], "float64 1.0e-03")]
)
def test_the_line_names_the_types_that_were_compared(keys, said):
    pairs = [compare("optimizer", key, np.array([1.001]), np.array([1.0])) for key in keys]
    assert headline(by_stage(pairs)["optimizer"]) == said
