"""Our SOLIDER against the stored runs of the reference: outputs, loss, gradients, five steps, static graph.

    python checks/align.py --out DIR --reference DIR [--sizes tiny small base] [--dtypes float32 float64] [--part trainings]

The part "outputs" takes every output and one training run of a size, the part "trainings" the training runs at the other image
sizes and semantic weights. Keys that end in .f64 are runs of our model in float64 against the reference in float64.
"""

import numpy as np
import paddle
import paddle.nn.functional as F
import reference_set
from ppcls.utils import convert_solider

from proving import seeding
from proving.record import Recorder, arguments
from proving.static_proof import prepare_environment

LEARNING_RATE = 0.01


def forward(recorder, one, dtype):
    """Record all outputs; returns {stem of the keys: {name: array}}."""
    golden, end = (one.golden, "") if dtype == "float32" else (one.float64, ".f64")
    runs = {}
    for key, value in reference_set.run_forward(one, dtype):
        stem, _, name = key.rpartition(".")
        runs.setdefault(stem, {})[name] = value
        if key not in golden:
            continue
        got, want = seeding.samples(golden, key, value)
        recorder.add("forward", "%s.%s%s" % (one.name, key, end), got, want)
        if not end and key + "__stats" in golden:
            got, want = seeding.stored_statistics(golden, key, value)
            recorder.add("forward", "%s.%s.statistics" % (one.name, key), got, want)
    return runs


def training_input(one, runs):
    """(image size, semantic weight) of the training run: a set does not name them, so those whose first loss is nearest."""
    gaps = []
    for size, weight, stem in reference_set.forward_keys(one):
        loss = sum(
            np.square(value - one.array("input:solider:target:" + name, value.shape)).mean(dtype=np.float64)
            for name, value in runs[stem].items()
            if name.startswith(("global", "out"))
        )
        gaps.append((abs(loss - float(one.golden["train.loss"][0])), size, weight))
    return min(gaps)[1:]


def targets(one, result):
    shapes = {"global": result["logits"].shape}
    shapes.update({"out%d" % i: stage.shape for i, stage in enumerate(result["stages"])})
    dtype = result["logits"].numpy().dtype
    return {
        name: paddle.to_tensor(one.array("input:solider:target:" + name, shape).astype(dtype)) for name, shape in shapes.items()
    }


def loss_of(result, wanted):
    loss = F.mse_loss(result["logits"], wanted["global"])
    for i, stage in enumerate(result["stages"]):
        loss = loss + F.mse_loss(stage, wanted["out%d" % i])
    return loss


def vectors(one, values):
    """(norms, dot products with the probes), in the layout and the order of the reference."""
    norms, dots = [], []
    for name in one.manifest["param_order"]:
        ours, layout = convert_solider.find_rule(name)
        value = values[ours]
        if value is None:
            norms.append(0.0)
            dots.append(0.0)
            continue
        value = reference_set.UNDO[layout](value).astype(np.float64)
        norms.append(np.sqrt(np.square(value).sum()))
        dots.append((value * one.array("probe:" + name, value.shape)).sum())
    return np.array(norms), np.array(dots)


def train(recorder, one, dtype, size, weight, golden, prefix):
    """Five steps at this image size and semantic weight, against `golden`, whose keys begin with `prefix`."""
    end = "" if dtype == "float32" else ".f64"
    tail = "" if dtype == "float32" else "__f64"
    model = one.model(size, dtype)
    x = paddle.to_tensor(one.image(size).astype(dtype))
    wanted = targets(one, model(x, weight))
    optimizer = paddle.optimizer.SGD(LEARNING_RATE, parameters=model.parameters())
    losses = []
    for step in range(5):
        loss = loss_of(model(x, weight), wanted)
        loss.backward()
        losses.append(float(loss))
        if step == 0:
            gradients = {name: None if p.grad is None else p.grad.numpy() for name, p in model.named_parameters()}
        optimizer.step()
        optimizer.clear_grad()

    def add(stage, key, got):
        want = golden[prefix + key + tail]
        recorder.add(stage, "%s.%s%s%s" % (one.name, prefix, key, end), np.asarray(got, want.dtype), want)

    add("loss", "train.loss", losses[:1])
    norms, dots = vectors(one, gradients)
    add("backward", "train.grad_l2", norms)
    add("backward", "train.grad_probe_dot", dots)
    # each norm by itself: a small gradient must not hide behind a large one
    want = golden[prefix + "train.grad_l2" + tail]
    floor = np.maximum(want, 1e-3 * want.max())
    key = "%s.%strain.grad_l2.each%s" % (one.name, prefix, end)
    recorder.add("backward", key, (norms / floor).astype(want.dtype), want / floor)
    if not end:
        exists = [gradients[convert_solider.find_rule(name)[0]] is not None for name in one.manifest["param_order"]]
        key = prefix + "train.grad_exists"
        recorder.add("backward", "%s.%s" % (one.name, key), np.array(exists, np.uint8), golden[key])
    add("optimizer", "sgd.loss_seq", losses)
    norms, dots = vectors(one, {name: p.numpy() for name, p in model.named_parameters()})
    add("optimizer", "sgd.param_l2", norms)
    add("optimizer", "sgd.param_probe_dot", dots)


def static(recorder, one):
    """The whole-graph static program on the largest image, with the semantic weight as an input of the program."""
    prepare_environment("ast")
    size, weight, stem = list(reference_set.forward_keys(one))[-1]
    spec = [paddle.static.InputSpec([None, 3] + list(size), "float32"), paddle.static.InputSpec([None], "float32")]
    model = one.model(size)
    paddle.jit.to_static(model, input_spec=spec, full_graph=True)
    with paddle.no_grad():
        result = model(paddle.to_tensor(one.image(size)), paddle.to_tensor(np.array([weight], "float32")))
    model.forward.rollback()
    for name, value in reference_set.outputs(result).items():
        got, want = seeding.samples(one.golden, "%s.%s" % (stem, name), value)
        recorder.add("static", "%s.static.%s.%s" % (one.name, stem, name), got, want)


def main():
    args = arguments(
        lambda parser: (
            parser.add_argument("--sizes", nargs="+", default=list(reference_set.SIZES), choices=reference_set.SIZES),
            parser.add_argument("--dtypes", nargs="+", default=["float32"], choices=["float32", "float64"]),
            parser.add_argument("--part", default="outputs", choices=["outputs", "trainings"]),
        )
    )
    recorder = Recorder(args.out)
    for one in reference_set.find(args.reference, args.sizes):
        if args.part == "trainings":
            for size, weight, stem in reference_set.forward_keys(one):
                if stem + ".train.loss" in one.training:
                    for dtype in args.dtypes:
                        train(recorder, one, dtype, size, weight, one.training, stem + ".")
        else:
            model = one.model(one.image_sizes()[0])
            index = model.layers[0].blocks[0].attn.relative_position_index
            recorder.add("forward", one.name + ".relative_position_index", index, one.golden["buffer.relative_position_index"])
            for dtype in args.dtypes:
                runs = forward(recorder, one, dtype)
                if "train.loss" in one.golden:
                    train(recorder, one, dtype, *training_input(one, runs), one.golden, "")
            if one.size == args.sizes[0] and "float32" in args.dtypes:
                static(recorder, one)
        one.forget()
    recorder.write()


if __name__ == "__main__":
    main()
