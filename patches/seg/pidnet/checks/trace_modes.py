"""How far two trainings of PIDNet-S part, step by step, and what makes them: the program, rounding, or a jump of a loss.

    python checks/trace_modes.py --out DIR [--steps 8]

One batch of four drawn streets, random weights, momentum SGD with the learning rate 0.01, no step before the comparison. Against
dygraph: the whole-graph program, and dygraph itself with every weight changed by one unit in its last place. In float32 and
float64, with the losses of the configuration and with every pixel kept (no threshold: nothing can jump). modes.md holds the table.
"""

import multiprocessing
import os

import loss_consistency  # beside this file
import numpy as np
import paddle
from paddleseg.models import PIDNet, losses
from paddleseg.models.backbones import PIDNetBackbone

from proving.record import arguments
from proving.static_proof import prepare_environment

COEF = [1, 0.4, 20, 1]


def criteria(jumps):
    ohem = {"thresh": 0.9, "min_kept": 20000} if jumps else {"thresh": 2.0}
    sure = {} if jumps else {"boundary_thresh": -1.0}
    types = [
        losses.PIDNetOhemLoss(**ohem),
        losses.PIDNetAuxLoss(),
        losses.PIDNetBoundaryLoss(),
        losses.PIDNetBoundaryAwareLoss(**ohem, **sure),
    ]
    return {"types": types, "coef": COEF}


def change_last_place(model):
    rng = np.random.RandomState(1)
    for parameter in model.parameters():
        value = parameter.numpy()
        away = np.where(rng.rand(*value.shape) < 0.5, -np.inf, np.inf).astype(value.dtype)
        parameter.set_value(np.nextafter(value, away))


def train(way, dtype, jumps, steps, answer):
    prepare_environment("ast" if way == "whole graph" else "dygraph")
    paddle.set_default_dtype(dtype)
    paddle.seed(0)
    model = PIDNet(loss_consistency.CLASSES, PIDNetBackbone(base_channels=32))
    model.train()
    if way == "changed":
        change_last_place(model)
    if way == "whole graph":
        model = paddle.jit.to_static(model, full_graph=True)
    wanted = criteria(jumps)
    data = loss_consistency.batch(0, dtype, size=4)
    optimizer = paddle.optimizer.Momentum(0.01, 0.9, parameters=model.parameters(), weight_decay=5e-4)
    values, first = [], None
    for step in range(steps):
        loss = sum(model.loss_computation(list(model(data[0])), wanted, {"label": data[1], "edge": data[2]}))
        loss.backward()
        values.append(float(loss))
        if step == 0:
            first = [p.grad.numpy() for p in model.parameters() if p.grad is not None]
        optimizer.step()
        optimizer.clear_grad()
    answer.send((np.array(values), first))


def run(*words):
    context = multiprocessing.get_context("fork")  # each kind of run in a process of its own; this one has computed nothing
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=train, args=(*words, theirs))
    child.start()
    theirs.close()
    found = ours.recv()
    child.join()
    return found


def gap(ours, theirs):
    over = np.sqrt(sum(np.square(a.astype(np.float64) - b).sum() for a, b in zip(ours, theirs)))
    return over / np.sqrt(sum(np.square(b.astype(np.float64)).sum() for b in theirs))


def main():
    args = arguments(lambda parser: parser.add_argument("--steps", type=int, default=8))
    head = ["losses", "type", "against dygraph", "gradient, step 1"] + ["loss, step %d" % (i + 1) for i in range(args.steps)]
    lines = ["| %s |" % " | ".join(head), "|%s" % ("---|" * len(head))]
    for jumps in (True, False):
        for dtype in ("float32", "float64"):
            values, gradients = run("dygraph", dtype, jumps, args.steps)
            for way in ("whole graph", "changed"):
                other, theirs = run(way, dtype, jumps, args.steps)
                cells = ["%.1e" % g for g in [gap(theirs, gradients), *np.abs(other - values) / np.abs(values)]]
                name = "one unit in the last place" if way == "changed" else way
                lines.append(
                    "| %s | %s | %s | %s |"
                    % ("of the configuration" if jumps else "every pixel kept", dtype, name, " | ".join(cells))
                )
                print(lines[-1], flush=True)
    with open(os.path.join(args.out, "modes.md"), "w") as stream:
        stream.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
