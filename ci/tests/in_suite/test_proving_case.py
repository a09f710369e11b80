"""A small port against stored runs of its original (numpy): other batches and lengths, both layouts, sets that hold less."""

import json
import os
import shutil

import numpy as np
import paddle
import pytest
from safetensors.numpy import load_file

from proving import case, making, seeding, weights
from proving.record import Recorder
from proving.reference import ReferenceSet, read_source

ENTRIES = [
    {"name": "first.weight", "shape": [6, 4], "kind": "linear"},
    {"name": "first.bias", "shape": [6], "kind": "bias"},
    {"name": "last.weight", "shape": [3, 6], "kind": "linear"},
]
RATE = 0.1


def original(state, x, target, dtype):
    """(hidden, output, loss, gradients) of tanh(x W1 + b) W2 against target, by hand, in `dtype`."""
    w1, b1, w2 = (state[entry["name"]].astype(dtype) for entry in ENTRIES)
    x, target = x.astype(dtype), target.astype(dtype)
    hidden = np.tanh(x @ w1.T + b1)
    out = hidden @ w2.T
    loss = np.square(out - target).mean()
    d_out = 2 * (out - target) / out.size
    d_hidden = (d_out @ w2) * (1 - hidden**2)
    gradients = {"first.weight": d_hidden.T @ x, "first.bias": d_hidden.sum(0), "last.weight": d_out.T @ hidden}
    return hidden, out, loss, gradients


def write(folder, layout, dialect, batch, steps=4, without=()):
    """A set `toy` with a run of `batch` rows and `steps` steps of SGD."""
    listed, prefix = ("entries", "seed_prefix") if dialect == "entries" else ("parameters", "salt")
    shapes = [{"name": "x", "shape": [batch, 4]}, {"name": "target", "shape": [batch, 3]}]
    manifest = {listed: ENTRIES, prefix: "toy:", "inputs": shapes, "grad_order": [entry["name"] for entry in ENTRIES]}
    arrays, extra = {}, {}
    x, target = (seeding.seeded(entry["name"], entry["shape"], "input", "toy:") for entry in shapes)
    for dtype in ("float32", "float64"):
        double, state = dtype == "float64", {k: v.astype(dtype) for k, v in seeding.parameters(manifest)}
        hidden, out, loss, gradients = original(state, x, target, dtype)
        store = extra if double else arrays
        making.put(store, "hidden", hidden, most=5, double=double, statistics=True)
        making.put(store, "out", out, double=double)
        making.put(store, "loss", np.array([loss]), double=double)
        for name, value in gradients.items():
            making.put(store, "grad." + name, value, double=double)
        making.put(store, "grad_l2", np.array([case.norm(name, value) for name, value in gradients.items()]), double=double)
        losses = []
        for _ in range(steps):
            _, _, loss, gradients = original(state, x, target, dtype)
            losses.append(loss)
            state = {name: value - np.asarray(RATE * gradients[name], dtype) for name, value in state.items()}
        making.put(store, "sgd_losses", np.array(losses), double=double)
    arrays, extra = ({k: v for k, v in store.items() if not k.startswith(tuple(without) or "\0")} for store in (arrays, extra))
    making.write_set(str(folder), "toy", arrays, manifest, {"width": 6}, extra=extra)
    if layout == "nested":
        os.makedirs(str(folder / "toy"))
        for name, target_name in (("npz", "golden.npz"), ("extra.npz", "extra.npz"), ("manifest.json",) * 2, ("config.json",) * 2):
            shutil.move(str(folder / ("toy." + name)), str(folder / "toy" / target_name))


class Port(paddle.nn.Layer):
    def __init__(self, width):
        super().__init__()
        self.one, self.two = paddle.nn.Linear(4, width), paddle.nn.Linear(width, 3, bias_attr=False)

    def forward(self, x):
        hidden = paddle.tanh(self.one(x))
        return hidden, self.two(hidden)


def convert(state):
    names = {"first": "one", "last": "two"}
    return {names[n.split(".")[0]] + "." + n.split(".")[1]: v.T if v.ndim == 2 else v for n, v in state.items()}


class Toy(case.Case):
    def run(self):
        paddle.set_default_dtype(self.dtype)
        try:
            model = Port(self.reference.config["width"])
        finally:
            paddle.set_default_dtype("float32")
        state = convert(self.reference.weights())
        weights.assign(model, state)
        x, target = (
            paddle.to_tensor(self.reference.seeded(e["name"], e["shape"], e["kind"]).astype(self.dtype))
            for e in self.reference.inputs
        )
        hidden, out = model(x)
        loss = paddle.square(out - target).mean()
        self.compare("forward", "hidden", hidden)
        self.compare("forward", "out", out)
        self.compare("loss", "loss", loss)
        loss.backward()
        found = weights.Layout(self.reference.entries, convert).back(case.gradients(model))
        for name in self.reference.order:
            self.compare("backward", "grad." + name, found[name])
        self.vector("backward", "grad_l2", found, case.norm)
        model.clear_gradients()
        weights.assign(model, state)
        steps = self.length("sgd_losses")
        if steps:
            losses = case.descend(model, lambda: paddle.square(model(x)[1] - target).mean(), RATE, steps)
            self.series("optimizer", "sgd_losses", losses, each="sgd_losses.%d")
        self.close()


def run(folder):
    out = folder / "out"
    out.mkdir()
    recorder = Recorder(str(out))
    for dtype in ("float32", "float64"):
        Toy(recorder, ReferenceSet(str(folder), "toy"), dtype).run()
    recorder.write()
    rows = json.loads((out / "pairs.json").read_text())
    return rows, load_file(str(out / "pairs.safetensors")), json.loads((out / "skipped.json").read_text())


def worst(rows, tensors, end=""):
    gaps = {}
    for row in rows:
        if row["key"].endswith(end):
            got, want = (tensors[side + "/" + row["key"]] for side in ("got", "want"))
            gaps[row["key"]] = float(np.abs(got.astype("float64") - want).max() / max(np.abs(want).max(), 1e-3))
    return max(gaps.values())


@pytest.mark.parametrize("layout", ["flat", "nested"])
@pytest.mark.parametrize("dialect", ["entries", "parameters"])
@pytest.mark.parametrize(("batch", "steps"), [(1, 4), (2, 6)])
def test_a_port_against_sets_of_both_kinds(tmp_path, layout, dialect, batch, steps):
    write(tmp_path, layout, dialect, batch, steps)
    rows, tensors, skipped = run(tmp_path)
    assert {row["stage"] for row in rows} == {"forward", "loss", "backward", "optimizer"} and skipped == []
    assert sum(row["key"].startswith("toy.sgd_losses.") for row in rows) == 2 * steps
    assert worst(rows, tensors, ".f64") < 1e-12 and worst(rows, tensors) < 1e-5
    for row in rows:
        stored = read_source(str(tmp_path), row["source"]["file"], row["source"]["key"]).reshape(-1)
        keep = tensors.get("keep/" + row["key"])
        np.testing.assert_array_equal(stored if keep is None else stored[keep], tensors["want/" + row["key"]].reshape(-1))


def test_a_set_that_holds_less_is_compared_as_far_as_it_goes(tmp_path):
    write(tmp_path, "flat", "entries", 2, without=("grad", "sgd"))
    rows, tensors, skipped = run(tmp_path)
    assert {row["stage"] for row in rows} == {"forward", "loss"}
    lacking = ["grad.first.bias", "grad.first.weight", "grad.last.weight", "grad_l2"]
    assert skipped == sorted("toy.%s%s" % (name, end) for name in lacking for end in ("", ".f64"))


def test_a_wrong_weight_shows_in_every_stage(tmp_path, monkeypatch):
    """The fault is one turned matrix of equal shape; what is compared must say so."""
    write(tmp_path, "flat", "entries", 2)
    right = convert

    def wrong(state):
        return {name: value[::-1] if name == "two.weight" else value for name, value in right(state).items()}

    monkeypatch.setitem(globals(), "convert", wrong)
    rows, tensors, _ = run(tmp_path)
    for stage in ("loss", "optimizer"):
        assert worst([row for row in rows if row["stage"] == stage], tensors) > 1e-3


class Tied(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.embed = paddle.nn.Linear(3, 3, bias_attr=False)
        self.head = self.embed
        self.extra = paddle.nn.Linear(2, 2)


def test_assign_keeps_the_rule():
    model, value = Tied(), np.arange(9.0).reshape(3, 3)
    with pytest.raises(ValueError, match="missing: extra.bias; missing: extra.weight"):
        weights.assign(model, {"embed.weight": value})
    weights.assign(model, {"embed.weight": value}, without=("extra.",))
    np.testing.assert_array_equal(model.head.weight.numpy(), value)
    model.head(paddle.ones([1, 3])).sum().backward()
    found = case.gradients(model)
    assert found["extra.weight"] is None
    np.testing.assert_array_equal(found["head.weight"], found["embed.weight"])
    full = {"embed.weight": value, "extra.weight": np.ones((2, 2)), "extra.bias": np.ones(2)}
    assert weights.not_refused(lambda state: weights.assign(model, state), full) == []


def test_the_first_step_may_be_given():
    paddle.seed(1)
    model = paddle.nn.Linear(3, 1)
    start = {name: value.numpy() for name, value in model.named_parameters()}
    x = paddle.to_tensor(np.eye(3, dtype="float32"))

    def loss():
        return paddle.square(model(x)).mean()

    seen = {}
    whole = case.descend(model, loss, 0.1, 4, first=lambda: seen.update(case.gradients(model)))
    assert sorted(seen) == ["bias", "weight"] and all(np.abs(value).max() > 0 for value in seen.values())
    weights.assign(model, start)
    first = loss()
    first.backward()
    gradients = {name: value.grad.clone() for name, value in model.named_parameters()}
    weights.assign(model, start)
    model.clear_gradients()
    assert case.descend(model, loss, 0.1, 4, start=(first, gradients)) == whole
