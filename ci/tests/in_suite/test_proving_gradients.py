"""The gradients of the first step: a right program, one that doubles a gradient, one that loses it, one that does not run."""

import argparse
import json

import paddle
import pytest

from proving import gradients, training


class Net(paddle.nn.Layer):
    def __init__(self, fault):
        super().__init__()
        self.first = paddle.nn.Linear(3, 4)
        self.second = paddle.nn.Linear(4, 1)
        self.fault = fault

    def forward(self, x):
        x = self.first(x)
        if not paddle.in_dynamic_mode():
            if self.fault == "doubled":
                x = 2 * x - x.detach()
            if self.fault == "lost":
                x = x.detach()
        return self.second(x)


def compared(fault, out, **options):
    paddle.set_default_dtype("float64")
    training.seed_everything(0)
    task = training.Task(
        model=Net(fault),
        loss=lambda outputs, batch: (outputs**2).mean(),
        optimizer=None,
        batches=lambda step: [paddle.ones([2, 3], "float64")],
        **options,
    )
    found = gradients.compare(argparse.Namespace(out=str(out), seed=0), task, ["dygraph", "ast"])
    paddle.set_default_dtype("float32")
    assert json.loads((out / gradients.FILE).read_text()) == found
    return found["ast"]


def test_a_right_program_has_the_gradients_of_dygraph(tmp_path):
    found = compared("", tmp_path)
    assert (found["gradient_gap"] < 1e-12, found["in_one_only"], found["gradient_norm"] > 0.1) == (True, [], True)
    assert [path.name for path in tmp_path.iterdir()] == [gradients.FILE]


def test_a_doubled_gradient_shows_at_an_equal_loss(tmp_path):
    found = compared("doubled", tmp_path)
    assert found["loss_gap"] < 1e-12
    assert found["gradient_gap"] == pytest.approx(0.668, abs=0.01)


def test_parameters_without_a_gradient_are_named(tmp_path):
    assert compared("lost", tmp_path)["in_one_only"] == ["first.bias", "first.weight"]


def test_a_mode_that_runs_no_static_program_is_no_proof(tmp_path):
    assert compared("", tmp_path, apply_to_static=lambda model, mode: model) == {"error": "no static program ran"}
