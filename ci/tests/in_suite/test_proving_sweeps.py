"""What sweeps share: batches in turn, learning rates for small batches, nudged weights, the gradients of a first step."""

import json

import numpy as np
import paddle

from proving import seeding, sweeps, training


def test_batches_are_made_once_and_used_in_turn():
    made = []
    batches = sweeps.in_turn(lambda index: made.append(index) or index)
    assert [batches(step) for step in range(6)] == [0, 1, 2, 3, 0, 1] and made == [0, 1, 2, 3]


def test_rates_follow_the_batch():
    row = {"batch": 2, "lr_factor": 0.5}
    assert sweeps.rate_factor(row, 4) == 2 / 16 * 0.5 and sweeps.rate_factor({"batch": 8}, 4, devices=8) == 0.25
    schedule = {"learning_rate": "0.8", "values": [0.4, 0.2], "warmup_start_lr": 0, "power": 0.9}
    sweeps.scale_rates(schedule, 0.5)
    assert schedule == {"learning_rate": 0.4, "values": [0.2, 0.1], "warmup_start_lr": 0, "power": 0.9}
    sweeps.scale_rates(schedule, 0.5, ["power"])
    assert schedule["power"] == 0.45 and schedule["learning_rate"] == 0.4


def test_nudged_weights_are_near_and_repeat():
    models = [paddle.nn.Linear(3, 2) for _ in range(2)]
    for model in models:
        model.weight.set_value(np.full((3, 2), 2.0, "float32"))
        sweeps.nudge(model, 0)
        assert model.weight.numpy().tolist() == np.full((3, 2), 2.0).tolist()
        sweeps.nudge(model, 1e-3)
    value = models[0].weight.numpy()
    np.testing.assert_array_equal(value, models[1].weight.numpy())
    assert 0 < np.abs(value / 2 - 1).max() < 1e-2


class Net(paddle.nn.Layer):
    """Gives another gradient in a static program than in dygraph where `wrong`."""

    def __init__(self, wrong):
        super().__init__()
        self.wrong, self.one = wrong, paddle.nn.Linear(4, 4)

    def forward(self, x):
        scale = 1.01 if self.wrong and not paddle.in_dynamic_mode() else 1.0
        return self.one(x) * scale


def task(wrong):
    def build(args):
        paddle.seed(3)
        batches = sweeps.in_turn(lambda index: [paddle.to_tensor(seeding.seeded("x%d" % index, (2, 4), "input"))])
        model = Net(wrong)
        optimizer = paddle.optimizer.SGD(0.1, parameters=model.parameters())
        return training.Task(model=model, loss=lambda out, batch: paddle.square(out).mean(), optimizer=optimizer, batches=batches)

    return build


def gaps(tmp_path, wrong):
    sweeps.compare_first_gradients(task(wrong), ["--out", str(tmp_path), "--mode", "ast", "--row", "toy", "--change", "1e-3"])
    return json.loads((tmp_path / "gradients.json").read_text())


def test_gradients_of_the_first_step(tmp_path):
    found = gaps(tmp_path, wrong=False)
    assert found["ast"]["gradient_gap"] < 1e-6 and found["ast"]["in_one_only"] == []
    assert 1e-4 < found["changed"]["gradient_gap"] < 1e-2


def test_a_wrong_gradient_shows(tmp_path):
    assert gaps(tmp_path, wrong=True)["ast"]["gradient_gap"] > 1e-2
