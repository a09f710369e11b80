"""The summary of a stage: a tensor that is zero within its tolerance has no relative error, and is judged all the same."""

import numpy as np
import pytest

from forklift.running.compare import compare
from forklift.running.pairs import by_stage


@pytest.mark.parametrize("noise, failed", [(3e-9, 0), (3e-3, 1)])
def test_a_gradient_that_vanishes_is_no_relative_error(noise, failed):
    plain = compare("backward", "weight", np.array([1.0, 2.00001]), np.array([1.0, 2.0]))
    vanishing = compare("backward", "key.bias", np.array([noise, 0.0]), np.array([1e-9, 0.0]))
    stage = by_stage([plain, vanishing])["backward"]
    assert stage["failed"] == failed
    assert stage["zero"] == 1 - failed
    assert (stage["max_rel"] < 1e-5) == (failed == 0)
