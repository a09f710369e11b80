"""What of a training step's time is the framework's: gradients of the operations that a profile of the step shows, by themselves.

    python checks/bench_gradients.py paddle      # in the suite's environment
    python checks/bench_gradients.py torch       # in one with PyTorch

CPU milliseconds (median of 9 turns of 20) of forward and backward: a linear layer without its bias, what the bias adds, layer normalization,
softmax. Shapes are those of the small size of bench_torch.py: 4 pictures of 257 places, width 256.
"""

import json
import statistics
import sys
import time

SHAPES = ((1028, 256, 768), (1028, 256, 1024), (1028, 1024, 256))


def timed(call, *inputs):
    for _ in range(5):
        call(*inputs)
    turns = []
    for _ in range(9):
        start = time.process_time()
        for _ in range(20):
            call(*inputs)
        turns.append(1000 * (time.process_time() - start) / 20)
    return statistics.median(turns)


def with_paddle():
    import paddle
    import paddle.nn.functional as F

    def tensor(*shape):
        made = paddle.randn(shape)
        made.stop_gradient = False
        return made

    def gradient(function, *inputs):
        function(*inputs).sum().backward()
        for one in inputs:
            one.clear_gradient(False)

    return (
        paddle.__version__,
        tensor,
        gradient,
        {
            "linear": lambda x, w: paddle.matmul(x, w),
            "linear and bias": lambda x, w, b: F.linear(x, w, b),
            "layer_norm": lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b),
            "softmax": lambda x: F.softmax(x, axis=-1) * x,
        },
    )


def with_torch():
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)

    def tensor(*shape):
        return torch.randn(shape, requires_grad=True)

    def gradient(function, *inputs):
        function(*inputs).sum().backward()
        for one in inputs:
            one.grad = None

    return (
        torch.__version__,
        tensor,
        gradient,
        {
            "linear": lambda x, w: x @ w,
            "linear and bias": lambda x, w, b: torch.addmm(b, x, w),
            "layer_norm": lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b),
            "softmax": lambda x: F.softmax(x, dim=-1) * x,
        },
    )


def main():
    version, tensor, gradient, functions = {"paddle": with_paddle, "torch": with_torch}[sys.argv[1]]()
    made = {}
    for rows, inside, outside in SHAPES:
        x, w, b = tensor(rows, inside), tensor(inside, outside), tensor(outside)
        plain = timed(gradient, functions["linear"], x, w)
        both = timed(gradient, functions["linear and bias"], x, w, b)
        made["linear %dx%dx%d" % (rows, inside, outside)] = round(plain, 3)
        made["its bias"] = round(made.get("its bias", 0.0) + both - plain, 3)
    x, w, b = tensor(1028, 256), tensor(256), tensor(256)
    made["layer_norm 1028x256"] = round(timed(gradient, functions["layer_norm"], x, w, b), 3)
    x = tensor(64, 257, 257)
    made["softmax 64x257x257"] = round(timed(gradient, functions["softmax"], x), 3)
    print(json.dumps({"version": version, "cpu_ms": made}, indent=1))


if __name__ == "__main__":
    main()
