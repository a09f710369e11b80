"""The proof that a static program ran can fail: switches silently off and graph breaks are seen."""

import json
import os

import numpy as np
import pytest

from proving import static_proof

static_proof.prepare_environment("dygraph")

import paddle  # noqa: E402

from proving import training  # noqa: E402

LEGACY = paddle.__version__.startswith("2.6")


class Net(paddle.nn.Layer):
    """A small net whose forward leaves the graph in the way `plant` says."""

    def __init__(self, plant=None):
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 4, 3, padding=1)
        self.norm = paddle.nn.BatchNorm2D(4)
        self.head = paddle.nn.Linear(4, 3)
        self.plant = plant

    def helper(self, x):
        if self.plant == "inner":
            x.numpy()
        return paddle.nn.functional.relu(x)

    def forward(self, x):
        x = self.helper(self.norm(self.conv(x)))
        if self.plant == "numpy":
            x = x * float(x.max().numpy() > 0)
        if self.plant == "print":
            print(x.shape[0], x)
        if self.plant == "branch":
            if x.mean() > 0:
                x = x * 2
        return self.head(paddle.nn.functional.dropout(x.mean([2, 3]), 0.3))


class ListNet(Net):
    def forward(self, x):
        return super().forward([x for _ in range(2)][1])


def make_task(plant=None, **options):
    training.seed_everything(1)
    net = ListNet() if plant == "list" else Net(plant)
    x, y = paddle.rand([4, 3, 8, 8]), paddle.to_tensor(np.arange(4) % 3)
    rate = paddle.optimizer.lr.StepDecay(0.1, step_size=2)
    optimizer = paddle.optimizer.Momentum(rate, parameters=net.parameters())
    return training.Task(
        net, lambda out, batch: paddle.nn.functional.cross_entropy(out, batch[1]), optimizer, lambda step: (x, y), **options
    )


def losses(mode, plant=None, steps=4):
    return training.train(make_task(plant), mode, steps)


@pytest.fixture(scope="module")
def dygraph():
    return losses("dygraph")


def test_dygraph_has_no_proof(dygraph):
    assert dygraph["static"] is None and len(dygraph["losses"]) == len(dygraph["ms_per_step"]) == 4
    assert len(set(dygraph["losses"])) == 4


@pytest.mark.parametrize("mode", ["ast", "sot"])
def test_static_program_is_counted(mode, dygraph):
    result = losses(mode)
    np.testing.assert_allclose(result["losses"], dygraph["losses"], rtol=1e-6)
    proof = result["static"]
    assert (proof["programs"], proof["executions"], proof["graph_breaks"], proof["graph_break_reasons"]) == (1, 4, 0, [])
    assert proof["operators"] >= 6


@pytest.mark.parametrize("mode", ["ast", "sot"])
def test_to_static_silently_off_is_seen(mode, dygraph):
    paddle.jit.enable_to_static(False)
    try:
        result = losses(mode)
    finally:
        paddle.jit.enable_to_static(True)
    assert result["losses"] == dygraph["losses"]  # the losses alone would pass
    assert (result["static"]["programs"], result["static"]["operators"], result["static"]["executions"]) == (0, 0, 0)


def test_switch_that_does_nothing_is_seen():
    result = training.train(make_task(apply_to_static=lambda model, mode: model), "ast", 2)
    assert result["static"]["executions"] == 0


@pytest.mark.parametrize(
    "plant, word",
    [
        ("numpy", "numpy" if not LEGACY else "break_graph_tensor_method"),
        ("print", "print"),
        ("branch", "tensor"),
        ("inner", "helper"),
    ],
)
def test_graph_break_is_counted_with_its_place(plant, word):
    proof = losses("sot", plant)["static"]
    assert proof["graph_breaks"] == len(proof["graph_break_reasons"]) >= 1
    assert proof["executions"] >= 4, "the parts around the break still run as programs"
    text = " ".join(proof["graph_break_reasons"])
    assert word in text and "test_proving_training.py:" in text
    assert " /" not in text and "0x7" not in text, "machine paths and addresses do not belong in a result"


def test_break_of_the_same_place_counts_once():
    once, often = losses("sot", "numpy", steps=1), losses("sot", "numpy", steps=6)
    assert once["static"]["graph_breaks"] == often["static"]["graph_breaks"]


@pytest.mark.skipif(not LEGACY, reason="paddle 3 translates comprehensions")
def test_frame_that_sot_skips_is_counted():
    assert "<listcomp>" in " ".join(losses("sot", "list")["static"]["graph_break_reasons"])


def test_whole_graph_keeps_a_branch_in_the_program():
    proof = losses("ast", "branch")["static"]
    assert (proof["programs"], proof["executions"], proof["graph_breaks"]) == (1, 4, 0)


def test_hooks_are_taken_away():
    layer = static_proof._module(static_proof.PROGRAM_MODULES[0]).PartialProgramLayer
    before = layer.__call__
    with static_proof.StaticProof():
        assert layer.__call__ is not before
    assert layer.__call__ is before


def test_result_file_and_scheduler(tmp_path):
    task = make_task()
    args = training.parser().parse_args(["--out", str(tmp_path / "new"), "--mode", "ast", "--steps", "3"])
    training.run(args, lambda _: task)
    result = json.loads((tmp_path / "new" / "ast.json").read_text())
    keys = ["cpu_ms_per_step", "dtype", "losses", "mode", "ms_per_step", "paddle", "seed", "static", "steps"]
    assert sorted(result) == keys and result["dtype"] == "float32"
    assert result["paddle"] == paddle.__version__ and result["steps"] == 3
    assert task.optimizer.get_lr() == pytest.approx(0.01)  # 3 steps of a decay every 2


def test_divergence_is_written_as_null(tmp_path):
    task = make_task()
    task.loss = lambda out, batch: out.sum() * float("nan")
    training.run(training.parser().parse_args(["--out", str(tmp_path), "--mode", "dygraph", "--steps", "2"]), lambda _: task)
    assert json.loads((tmp_path / "dygraph.json").read_text())["losses"] == [None, None]


def test_loss_must_be_scalar():
    task = make_task()
    task.loss = lambda out, batch: out
    with pytest.raises(ValueError, match="scalar"):
        training.train(task, "dygraph", 1)


def test_unknown_mode():
    with pytest.raises(ValueError, match="dygraph, ast or sot"):
        training.train(make_task(), "static", 1)


def test_several_modes_start_from_one_task(tmp_path):
    words = ["--out", str(tmp_path), "--steps", "4", "--mode", "dygraph", "ast", "sot"]
    training.run(training.parser().parse_args(words), lambda _: make_task())
    runs = {mode: json.loads((tmp_path / (mode + ".json")).read_text()) for mode in training.MODES}
    assert runs["dygraph"]["static"] is None and runs["ast"]["static"]["executions"] == runs["sot"]["static"]["executions"] == 4
    assert len({tuple(run["losses"]) for run in runs.values()}) == 1


def test_modes_take_turns(tmp_path):
    def after_step(model, step):
        with open(tmp_path / "order", "a") as order:
            order.write("%s%d " % (os.environ["ENABLE_FALL_BACK"][0], step))

    def build(_):
        task = make_task()
        task.after_step = after_step
        return task

    words = ["--out", str(tmp_path), "--steps", "3", "--mode", "ast", "sot"]
    training.run(training.parser().parse_args(words), build)
    assert (tmp_path / "order").read_text().split() == ["F0", "T0", "F1", "T1", "F2", "T2"]


def test_nothing_goes_on_without_dygraph(tmp_path):
    def build(_):
        task = make_task()
        task.loss = lambda out, batch: 1 / 0
        return task

    training.run(training.parser().parse_args(["--out", str(tmp_path), "--steps", "2", "--mode", "dygraph", "ast"]), build)
    assert "division" in json.loads((tmp_path / "dygraph.failed.json").read_text())["last"]
    assert not list(tmp_path.glob("ast*"))


def test_a_mode_that_fails_says_so_and_the_next_one_runs(tmp_path):
    def switch(model, mode):
        if mode == "ast":
            raise ValueError("no such operation")
        return paddle.jit.to_static(model, full_graph=False)

    words = ["--out", str(tmp_path), "--steps", "2", "--mode", "dygraph", "ast", "sot"]
    training.run(training.parser().parse_args(words), lambda _: make_task(apply_to_static=switch))
    assert json.loads((tmp_path / "ast.failed.json").read_text())["last"] == "ValueError: no such operation"
    assert (tmp_path / "sot.json").is_file() and not (tmp_path / "ast.json").exists()


def test_a_cast_keeps_indices():
    net = Net()
    net.register_buffer("index", paddle.to_tensor([0, 1]))
    training.cast(net, "float64")
    assert net.index.dtype == paddle.int64
    assert {value.dtype for value in net.parameters()} == {paddle.float64} and net.norm._mean.dtype == paddle.float64
