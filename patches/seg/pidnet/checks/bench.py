"""Speed of PIDNet on this machine's CPU, every row measured in one process, the sides of a row in turn.

Rows:
- forward 1x3x256x512 of PIDNet-S, -M and -L and of PP-LiteSeg (STDC1): dygraph, the static program in Python (AST), Paddle
  Inference (oneDNN on paddle 2.6; off on 3.3, where it fails), ONNX Runtime;
- PIDNet-S against PP-LiteSeg, both in Paddle Inference;
- a training step of 2x3x128x256 (forward, losses, backward, SGD) of PIDNet-S, dygraph against static, and with --full PP-LiteSeg likewise
  (on paddle 2.6 alone: this base's OhemCrossEntropyLoss does not run on 3.3).

All weights are random, 19 classes, the logits are resized to the input. Threads: OMP_NUM_THREADS.

    python bench.py --out DIR --quick      # half a minute on two free cores: without M, L and the rival's training
    python bench.py --out DIR --full       # the figures of evidence/benchmark_full.json
"""

import argparse
import os

import numpy as np
import train_streets

from proving.exporting import onnx_session, predict, predictor, save_static, to_onnx
from proving.record import arguments
from proving.static_proof import prepare_environment
from proving.timing import interleave, write_benchmark

SHAPE = (1, 3, 256, 512)
STEP = dict(crop=(128, 256), batch=2, iters=100, optimizer="sgd")
CLASSES = 19
MODES = ("dygraph", "static")
NAMES = {"pidnet_s": "PIDNet-S", "pidnet_m": "PIDNet-M", "pidnet_l": "PIDNet-L", "pp_liteseg": "PP-LiteSeg STDC1"}


def paddle_version():
    import paddle

    return paddle.__version__


def builder(which, out):
    """PaddleSeg's SegBuilder for a network: pidnet sizes by their shipped configuration."""
    from paddleseg.cvlibs import Config, SegBuilder

    path = train_streets.configuration(which, "unused", CLASSES, STEP, 0.01, out)
    return SegBuilder(Config(path))


def forward_sides(which, out, all_sides):
    """The ways to run one network, each a function without arguments."""
    import paddle

    image = np.random.default_rng(68).standard_normal(SHAPE).astype(np.float32)
    tensor = paddle.to_tensor(image)
    paddle.seed(68)
    eager = builder(which, out).model
    eager.eval()
    spec = [paddle.static.InputSpec([None, 3, None, None], "float32", "x")]
    path = save_static(eager, spec, os.path.join(out, which))
    ready = predictor(path, onednn=paddle_version().startswith("2."))
    sides = {"inference": lambda: predict(ready, [image])}

    def in_dygraph(model):
        with paddle.no_grad():
            return model(tensor)[0].numpy()

    sides["dygraph"] = lambda: in_dygraph(eager)
    if all_sides:
        paddle.seed(68)
        static = builder(which, out).model
        static.eval()
        static = paddle.jit.to_static(static, full_graph=True)
        sides["static"] = lambda: in_dygraph(static)
        session = onnx_session(to_onnx(path))
        sides["onnxruntime"] = lambda: session.run(None, {session.get_inputs()[0].name: image})
    answers = {name: np.asarray(run()).reshape(-1) for name, run in sides.items()}
    for name, answer in answers.items():  # the sides compute the same thing, or their times say nothing
        gap = np.abs(answer - answers["dygraph"]).max() / np.abs(answers["dygraph"]).max()
        if not gap < 1e-3:
            raise SystemExit(
                f"bench: {name} of {NAMES[which]} differs from dygraph by {gap:.1e} of its largest logit; "
                "next: run the export parity check"
            )
    return sides


def step_side(which, out, static):
    """One training step on fixed data as a function without arguments."""
    import paddle
    from paddleseg.core.train import loss_computation

    height, width = STEP["crop"]
    generator = np.random.default_rng(68)
    image = paddle.to_tensor(generator.standard_normal((STEP["batch"], 3, height, width)).astype(np.float32))
    label = np.kron(generator.integers(0, CLASSES, (STEP["batch"], height // 16, width // 16)), np.ones((16, 16), np.int64))
    edge = (np.diff(label, axis=2, prepend=label[:, :, :1]) != 0).astype(np.int64)
    data = {"label": paddle.to_tensor(label), "edge": paddle.to_tensor(edge)}
    paddle.seed(68)
    built = builder(which, out)
    model, losses, optimizer = built.model, built.loss, built.optimizer
    model.train()
    if static:
        model = paddle.jit.to_static(model, full_graph=True)

    def step():
        logits = model(image)
        if hasattr(model, "loss_computation"):
            parts = model.loss_computation(logits, losses, data)
        else:
            parts = loss_computation(logits, data["label"], None, losses)
        loss = sum(parts)
        loss.backward()
        optimizer.step()
        model.clear_gradients()
        return float(loss)

    return step


def training_rows(args, rounds, warmup):
    """A training step, dygraph against static; with --full of PP-LiteSeg too, and one network against the other."""
    # the losses of PP-LiteSeg add float32 and int64 at this base, which paddle 3 refuses
    trained = ("pidnet_s", "pp_liteseg") if args.full and paddle_version().startswith("2.") else ("pidnet_s",)
    steps = {f"{NAMES[which]} {mode}": step_side(which, args.out, mode == "static") for which in trained for mode in MODES}
    samples = interleave(steps, rounds, warmup)
    shape = "x".join(map(str, (STEP["batch"], 3) + STEP["crop"]))
    pairs = [(f"{NAMES[which]} static", f"{NAMES[which]} dygraph") for which in trained]
    pairs += [(f"{NAMES['pidnet_s']} {mode}", f"{NAMES['pp_liteseg']} {mode}") for mode in MODES if len(trained) == 2]
    name = f"training step {shape}"
    return [{"name": name, "ours": ours, "against": against, "samples": samples} for ours, against in pairs]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="the default")
    length.add_argument("--full", action="store_true")
    args = arguments(parser=parser)
    prepare_environment("ast")
    rounds, warmup = (15, 3) if args.full else (4, 1)
    shape = "x".join(map(str, SHAPE))
    rows = []

    for which in NAMES if args.full else ("pidnet_s", "pp_liteseg"):
        # PP-LiteSeg's adaptive pooling becomes ONNX with fixed sizes only: it has no ONNX side
        everything = which != "pp_liteseg" if args.full else which == "pidnet_s"
        samples = interleave(forward_sides(which, args.out, everything), rounds, warmup)
        pairs = [("inference", "dygraph"), ("static", "dygraph"), ("inference", "onnxruntime")]
        rows += [
            {"name": f"forward {shape} {NAMES[which]}", "ours": ours, "against": against, "samples": samples}
            for ours, against in pairs
            if ours in samples and against in samples
        ]

    sides = {NAMES[which]: forward_sides(which, args.out, False)["inference"] for which in ("pidnet_s", "pp_liteseg")}
    rows.append(
        {
            "name": f"forward {shape} in Paddle Inference",
            "ours": NAMES["pidnet_s"],
            "against": NAMES["pp_liteseg"],
            "samples": interleave(sides, rounds, warmup),
        }
    )

    rows += training_rows(args, rounds, warmup)
    write_benchmark(args.out, rows)
    for row in rows:
        ours, against = (np.median(row["samples"][row[side]]) for side in ("ours", "against"))
        print(f"{row['name']}: {row['ours']} {ours:.1f} ms, {row['against']} {against:.1f} ms")


if __name__ == "__main__":
    main()
