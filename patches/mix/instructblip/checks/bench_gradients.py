"""Where a training step's time goes beside PyTorch: every operation of the step by itself, forward and backward, times its number.

    python checks/bench_gradients.py --out DIR --torch_python VENV/bin/python [--turns 15]

The operations are those of the small size of bench_torch.py, which also says how to start this. Each is timed alone, in a process of each side,
with the environment variables of `bench_torch.py --tuned`: CPU milliseconds, the median of the turns. None of this project's code runs: what
Paddle's operations need more than PyTorch's here is the framework's. gradients.json holds the sums by kind, and the dearest shapes of each.
"""

import argparse
import collections
import json
import os
import statistics
import subprocess
import sys
import time

import bench_torch

from proving import sides


def linear(rows, inside, outside, bias=True):
    """(kind, shape) of what a linear layer does."""
    return [("linear layer with a bias" if bias else "linear layer", (rows, inside, outside))]


def block(rows, keys, config, width, ffn, heads, bias, norm, act, norms, crossed=0):
    """A layer of a transformer: attention of `rows` over `keys` (each per picture), feed-forward, normalizations, sums."""
    batch = config["batch"]
    found = linear(batch * rows, width, width, bias) * 2 + linear(batch * keys, crossed or width, width, bias) * 2
    found += [("attention", (batch, heads, rows, keys, width // heads))]
    if ffn:
        found += linear(batch * rows, width, ffn, bias) + linear(batch * rows, ffn, width, bias)
        found += [(act, (batch * rows, ffn))]
        if act == "gated gelu":
            found += linear(batch * rows, width, ffn, bias)
    found += [(norm, (batch * rows, width))] * norms
    return found + [("sum", (batch * rows, width))] * (2 if ffn else 1)


def operations(kind):
    """All operations of one step: a list of (kind, shape)."""
    size = bench_torch.SIZES["small"]
    parts, text, given = size.parts, size.texts[kind], {"batch": size.batch}
    eye, q = parts["vision_config"], parts["qformer_config"]
    seen, queries, words = (eye["image_size"] // eye["patch_size"]) ** 2 + 1, size.queries, bench_torch.TEXT
    found = []
    for _ in range(eye["num_hidden_layers"]):
        found += block(
            *(seen, seen, given, eye["hidden_size"], eye["intermediate_size"], eye["num_attention_heads"]),
            *(True, "layer_norm", "gelu", 2),
        )
    width, ffn, heads = q["hidden_size"], q["intermediate_size"], q["num_attention_heads"]
    for number in range(q["num_hidden_layers"]):
        found += block(queries + words, queries + words, given, width, 0, heads, True, "layer_norm", "", 1)
        if number % 2 == 0:
            found += block(queries, seen, given, width, 0, heads, True, "layer_norm", "", 1, eye["hidden_size"])
        for rows in (queries, words):
            found += linear(size.batch * rows, width, ffn) + linear(size.batch * rows, ffn, width)
            shape = (size.batch * rows, width)
            found += [("gelu", (size.batch * rows, ffn)), ("layer_norm", shape), ("sum", shape)]
    tokens = queries + words
    if kind == "opt":
        width, vocabulary = text["hidden_size"], text["vocab_size"]
        for _ in range(text["num_hidden_layers"]):
            sizes = (width, text["ffn_dim"], text["num_attention_heads"])
            found += block(tokens, tokens, given, *sizes, True, "layer_norm", "relu", 2)
    else:
        width, vocabulary, heads = text["d_model"], text["vocab_size"], text["num_heads"]
        for _ in range(text["num_layers"]):
            found += block(tokens, tokens, given, width, text["d_ff"], heads, False, "rms_norm", "gated gelu", 2)
            found += block(tokens, tokens, given, width, 0, heads, False, "rms_norm", "", 1)
            found += block(tokens, tokens, given, width, text["d_ff"], heads, False, "rms_norm", "gated gelu", 2)
    found += linear(size.batch * queries, q["hidden_size"], width)
    found += linear(size.batch * tokens, width, vocabulary, False)
    return [*found, ("cross_entropy", (size.batch * tokens, vocabulary)), ("update", ())]


def weights(kind):
    """Shapes of the matrices of all linear layers: what an optimizer steps over."""
    return [shape[1:] for name, shape in operations(kind) if name.startswith("linear")]


class Paddle:
    def __init__(self):
        import paddle
        import paddle.nn.functional as F

        self.module, self.F, self.version = paddle, F, "paddle " + paddle.__version__

    def tensor(self, *shape):
        made = self.module.randn(shape)
        made.stop_gradient = False
        return made

    def labels(self, rows, number):
        return self.module.randint(0, number, [rows])

    def backward(self, out, grad, inputs):
        self.module.autograd.backward([out], [grad])
        for one in inputs:
            one.clear_gradient(False)

    def bias(self, x, w, b):
        return self.F.linear(x, w, b)

    def swapped(self, x):
        return self.module.transpose(x, [0, 1, 3, 2])

    def mean(self, x):
        return x.mean(-1, keepdim=True)

    def rows(self, x):
        return self.module.logsumexp(x, axis=-1)

    def picked(self, x, labels):
        return self.module.take_along_axis(x, labels.unsqueeze(1), 1).squeeze(1)

    def optimizer(self, values):
        made = self.module.optimizer.SGD(0.0, parameters=values)
        return made.step

    def parameter(self, shape):
        return self.module.create_parameter(list(shape), "float32")


class Torch:
    def __init__(self):
        import torch
        import torch.nn.functional as F

        torch.set_num_threads(1)
        self.module, self.F, self.version = torch, F, "torch " + torch.__version__

    def tensor(self, *shape):
        return self.module.randn(shape, requires_grad=True)

    def labels(self, rows, number):
        return self.module.randint(0, number, (rows,))

    def backward(self, out, grad, inputs):
        out.backward(grad)
        for one in inputs:
            one.grad = None

    def bias(self, x, w, b):
        return self.module.addmm(b, x, w)

    def swapped(self, x):
        return x.transpose(2, 3)

    def mean(self, x):
        return x.mean(-1, keepdim=True)

    def rows(self, x):
        return self.module.logsumexp(x, -1)

    def picked(self, x, labels):
        return self.module.gather(x, 1, labels.unsqueeze(1)).squeeze(1)

    def optimizer(self, values):
        made = self.module.optim.SGD(values, lr=0.0)
        return made.step

    def parameter(self, shape):
        return self.module.nn.Parameter(self.module.randn(*shape))


def prepared(side, kind, shape, model):
    """The operation ready to be timed: a function without arguments."""
    F = side.F
    if kind == "update":
        values = [side.parameter(one) for one in weights(model)]
        loss = sum((value * value).sum() for value in values)
        loss.backward()
        return side.optimizer(values)
    if kind.startswith("linear"):
        rows, inside, outside = shape
        inputs = [side.tensor(rows, inside), side.tensor(inside, outside), side.tensor(outside)]
        if kind == "linear layer":
            inputs.pop()
            call = lambda: inputs[0] @ inputs[1]  # noqa: E731
        else:
            call = lambda: side.bias(*inputs)  # noqa: E731
    elif kind == "attention":
        batch, heads, rows, keys, head = shape
        inputs = [side.tensor(batch, heads, length, head) for length in (rows, keys, keys)]

        def call():
            scores = (inputs[0] * head**-0.5) @ side.swapped(inputs[1])
            return F.softmax(scores, -1) @ inputs[2]
    elif kind == "layer_norm":
        inputs = [side.tensor(*shape), side.tensor(shape[1]), side.tensor(shape[1])]
        call = lambda: F.layer_norm(inputs[0], shape[1:], inputs[1], inputs[2])  # noqa: E731
    elif kind == "rms_norm":
        inputs = [side.tensor(*shape), side.tensor(shape[1])]

        def call():
            return inputs[1] * (inputs[0] * (side.mean(inputs[0] * inputs[0]) + 1e-6).rsqrt())
    elif kind == "sum":
        inputs = [side.tensor(*shape), side.tensor(*shape)]
        call = lambda: inputs[0] + inputs[1]  # noqa: E731
    elif kind == "gated gelu":
        inputs = [side.tensor(*shape), side.tensor(*shape)]
        call = lambda: F.gelu(inputs[0]) * inputs[1]  # noqa: E731
    elif kind == "cross_entropy":
        inputs, labels = [side.tensor(*shape)], side.labels(*shape)
        call = lambda: (side.rows(inputs[0]) - side.picked(inputs[0], labels)).mean()  # noqa: E731
    else:
        inputs = [side.tensor(*shape)]
        call = lambda: getattr(F, kind)(inputs[0])  # noqa: E731
    grad = call().detach() * 0 + 1

    def once():
        side.backward(call(), grad, inputs)

    return once


def timed(call, turns):
    """CPU milliseconds of one call: the median of `turns` turns, each of as many calls as fill 5 ms."""
    for _ in range(3):
        call()
    start = time.process_time()
    call()
    calls = max(1, int(0.005 / max(1e-6, time.process_time() - start)))
    found = []
    for _ in range(turns):
        start = time.process_time()
        for _ in range(calls):
            call()
        found.append(1000 * (time.process_time() - start) / calls)
    return statistics.median(found)


def one_side(name, turns):
    """Prints {model: [[kind, shape, number, ms], ...]}."""
    side, made = {"paddle": Paddle, "torch": Torch}[name](), {}
    for model in bench_torch.KINDS:
        counted = collections.Counter(operations(model))
        made[model] = [
            [kind, shape, number, timed(prepared(side, kind, shape, model), turns)] for (kind, shape), number in counted.items()
        ]
    print(json.dumps({"version": side.version, "models": made}))


def judged(both):
    """Sums by kind of the two sides, the shapes that cost Paddle the most more, and what all of it makes."""
    result = {"versions": [both[name]["version"] for name in ("paddle", "torch")], "models": {}}
    for model in bench_torch.KINDS:
        kinds, shapes = {}, []
        for (kind, shape, number, ours), (_, _, _, theirs) in zip(*(both[name]["models"][model] for name in ("paddle", "torch"))):
            sums = kinds.setdefault(kind, {"number": 0, "paddle_ms": 0.0, "torch_ms": 0.0})
            sums["number"] += number
            sums["paddle_ms"] += number * ours
            sums["torch_ms"] += number * theirs
            shapes.append((number * (ours - theirs), kind, shape, number, round(ours, 4), round(theirs, 4)))
        for sums in kinds.values():
            sums.update({key: round(value, 2) for key, value in sums.items() if key != "number"})
        total = {key: round(sum(sums[key] for sums in kinds.values()), 1) for key in ("paddle_ms", "torch_ms")}
        total["ratio"] = round(total["paddle_ms"] / total["torch_ms"], 3)
        dearest = [
            dict(zip(("more_ms", "kind", "shape", "number", "paddle_ms", "torch_ms"), row)) for row in sorted(shapes)[::-1][:8]
        ]
        for row in dearest:
            row["more_ms"] = round(row["more_ms"], 2)
        result["models"][model] = {"kinds": kinds, "total": total, "dearest_shapes": dearest}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--torch_python")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--side", choices=("paddle", "torch"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        return one_side(args.side, args.turns)
    if not args.torch_python:
        parser.error("--torch_python VENV/bin/python is needed")
    both = {}
    for name, python in (("paddle", sys.executable), ("torch", args.torch_python)):
        words = [python, os.path.abspath(__file__), "--out", args.out, "--side", name, "--turns", str(args.turns)]
        variables = {**os.environ, **sides.TUNED, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, env=variables, stdout=subprocess.PIPE, check=True)
        both[name] = json.loads(done.stdout.decode().strip().splitlines()[-1])
    os.makedirs(args.out, exist_ok=True)
    with open(os.path.join(args.out, "gradients.json"), "w") as stream:
        json.dump({"environment": sides.TUNED, **judged(both)}, stream, indent=1)


if __name__ == "__main__":
    main()
