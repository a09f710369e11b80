"""What paddle 2.6.2 does to the gradient of a static program that returns a tensor and another that is made from it.

    python evidence/two_outputs.py [--sot]

For each function f: the program returns x and f(x), the loss reads both, and the gradient of the layer before x is compared with
dygraph's, as a norm relative to that one's. SOT makes such a program wherever it ends a graph between f(x) and a later use of x, as
in `x = x + attention(norm(x))` where `attention` leaves the graph.
"""

import argparse

import numpy as np
import paddle

FUNCTIONS = {
    "tanh(x)": lambda layer, x: paddle.tanh(x),
    "relu(x)": lambda layer, x: paddle.nn.functional.relu(x),
    "2 * x": lambda layer, x: x * 2,
    "reshape(x)": lambda layer, x: x.reshape([4, 3]),
    "LayerNorm(x)": lambda layer, x: layer.norm(x),
    "tanh(2 * x)": lambda layer, x: paddle.tanh(x * 2),
    "Linear(x), two operations": lambda layer, x: layer.linear(x),
}


class Pair(paddle.nn.Layer):
    """Returns x and f(x), where x is what a linear layer gives."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.first = paddle.nn.Linear(4, 4)
        self.linear = paddle.nn.Linear(4, 4)
        self.norm = paddle.nn.LayerNorm(4)

    def forward(self, x):
        x = self.first(x)
        return x, self.function(self, x)


def gradients(layer, call, x):
    one, other = call(x)
    ((one**2).sum() + (other**3).sum()).backward()
    found = {name: value.grad.numpy() for name, value in layer.named_parameters() if value.grad is not None}
    layer.clear_gradients()
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sot", action="store_true", help="SOT instead of a whole graph")
    full_graph = not parser.parse_args().sot
    paddle.set_device("cpu")
    paddle.set_default_dtype("float64")
    x = paddle.to_tensor(np.random.RandomState(0).randn(3, 4))
    print("paddle", paddle.__version__, "whole graph" if full_graph else "SOT")
    for name, function in FUNCTIONS.items():
        paddle.seed(0)
        layer = Pair(function)
        wanted = gradients(layer, layer, x)["first.weight"]
        found = gradients(layer, paddle.jit.to_static(layer, full_graph=full_graph), x)["first.weight"]
        print(f"{name:27} {np.linalg.norm(found - wanted) / np.linalg.norm(wanted):.2g}")


if __name__ == "__main__":
    main()
