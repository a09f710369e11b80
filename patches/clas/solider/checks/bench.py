"""What the semantic layers and the padded windows cost against the suite's plain Swin Transformer, as ratios.

    python checks/bench.py --out DIR [--arch tiny] [--rounds 9]

A number of images a second would say something about this machine; the ratio of two models run in turn does not. What is counted
is CPU time of one thread: on a shared machine the wall clock counts the work of others, and threads that wait for each other
count as busy.
"""

import os
import time

os.environ["OMP_NUM_THREADS"] = "1"  # before paddle is imported

import numpy as np
import paddle
from ppcls.arch import backbone

from proving import exporting, seeding
from proving.record import arguments
from proving.timing import interleave, write_benchmark

NAMES = {"plain": "SwinTransformer_%s_patch4_window7_224", "solider": "SwinTransformer_%s_patch4_window7_224_SOLIDER"}


def build(size, **kwargs):
    model = getattr(backbone, NAMES["solider" if kwargs else "plain"] % size)(class_num=100, **kwargs)
    model.eval()
    return model


def forward(model, x):
    def run():
        with paddle.no_grad():
            model(x).numpy()

    return run


def training_step(model, x):
    """In eval mode, without drop path: the work is the same each time."""
    optimizer = paddle.optimizer.SGD(1e-4, parameters=model.parameters())

    def run():
        model(x).mean().backward()
        optimizer.step()
        optimizer.clear_grad()

    return run


def predicted(model, x, directory):
    os.makedirs(directory)
    path = exporting.save_static(model, [paddle.static.InputSpec([None] + list(x.shape[1:]), "float32", name="x")], directory)
    ready = exporting.predictor(path)
    array = x.numpy()
    return lambda: exporting.predict(ready, [array])


def main():
    args = arguments(
        lambda parser: (
            parser.add_argument("--arch", default="tiny", choices=["tiny", "small", "base"]),
            parser.add_argument("--rounds", type=int, default=9),
        )
    )
    paddle.seed(0)
    x = paddle.to_tensor(seeding.seeded("bench:x", (1, 3, 224, 224), "input"))
    models = {
        "plain Swin": build(args.arch),
        "SOLIDER without semantic layers": build(args.arch, semantic_weight=None),
        "SOLIDER": build(args.arch, semantic_weight=0.2),
    }
    ways = {
        "dygraph forward 1x3x224x224": lambda model, name: forward(model, x),
        "dygraph training step 1x3x224x224": lambda model, name: training_step(model, x),
        "Paddle Inference 1x3x224x224": lambda model, name: predicted(model, x, os.path.join(args.out, name.replace(" ", "_"))),
    }
    rows = []
    for way, prepare in ways.items():
        sides = {name: prepare(model, name) for name, model in models.items()}
        samples = interleave(sides, args.rounds, clock=time.process_time)
        for against in ("SOLIDER without semantic layers", "plain Swin"):
            rows.append({"name": "%s, %s" % (way, args.arch), "ours": "SOLIDER", "against": against, "samples": samples})
    write_benchmark(args.out, rows)
    for row in rows:
        ratios = np.divide(row["samples"][row["ours"]], row["samples"][row["against"]])
        print("%s against %s: %.3f (%.3f to %.3f)" % (row["name"], row["against"], *np.quantile(ratios, [0.5, 0, 1])))


if __name__ == "__main__":
    main()
