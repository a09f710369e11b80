"""Speed of PIDNet in Paddle against the PyTorch reference, on this machine's CPU. Not run by the harness: PyTorch is no part of
the suite's environment.

The method follows the reference's models/speed/pidnet_speed.py (inference network without the auxiliary heads, random input,
warm-up, then the latency) with four changes: CPU; the median instead of the mean; the logits are resized to the input on both
sides (the reference's script stops at 1/8); batch normalization stays in the eager sides (that script removes it by hand), while
Paddle Inference, ONNX Runtime and `torch.jit` fold it by themselves. Every side is a process of its own with the same number of
threads; they run one forward each in turn, so a load from outside meets all of them. Two clocks are read: time that passed, and
CPU time of the process; with one thread the second says what a free core would need.

    python bench_torch.py --out DIR --reference_code PIDNET_CHECKOUT --torch_python VENV/bin/python [--rounds 15]

Run it in a work tree with the change applied, by the suite's Python, with PYTHONPATH as the harness sets it.
"""

import argparse
import os
import sys

import numpy as np

from proving import sides
from proving.tree import on_path

SHAPE = (1, 3, 512, 1024)
CLASSES = 19
OURS = ("paddle inference", "paddle dygraph", "onnxruntime")
THEIRS = ("torch eager", "torch channels_last", "torch jit")


def image():
    return np.random.default_rng(68).standard_normal(SHAPE).astype(np.float32)


def torch_side(args):
    """The reference network as a function without arguments."""
    on_path(args.reference_code)
    import torch
    from models.pidnet import get_pred_model

    torch.set_num_threads(args.threads)

    class Resized(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = get_pred_model(args.size, CLASSES)

        def forward(self, x):
            return torch.nn.functional.interpolate(self.net(x), list(SHAPE[2:]), mode="bilinear", align_corners=True)

    torch.manual_seed(68)
    model, data = Resized().eval(), torch.from_numpy(image())
    if args.side == "torch channels_last":
        model, data = model.to(memory_format=torch.channels_last), data.to(memory_format=torch.channels_last)
    with torch.no_grad():
        if args.side == "torch jit":
            model = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, data)))

    def run():
        with torch.no_grad():
            return model(data).numpy()

    return {"forward": run}, torch.__version__


def paddle_side(args):
    import bench
    import paddle

    from proving.exporting import onnx_session, predict, predictor, save_static, to_onnx

    data = image()
    model = bench.builder(f"pidnet_{args.size}", args.out).model
    model.eval()
    if args.side == "paddle dygraph":
        tensor = paddle.to_tensor(data)

        def run():
            with paddle.no_grad():
                return model(tensor)[0].numpy()

        return {"forward": run}, paddle.__version__
    folder = os.path.join(args.out, args.side.replace(" ", "_") + args.size)
    path = save_static(model, [paddle.static.InputSpec([None, 3, None, None], "float32", "x")], folder)
    if args.side == "onnxruntime":
        import onnxruntime

        session = onnx_session(to_onnx(path))
        return {"forward": lambda: session.run(None, {session.get_inputs()[0].name: data})[0]}, onnxruntime.__version__
    ready = predictor(path, onednn=paddle.__version__.startswith("2."))
    return {"forward": lambda: predict(ready, [data])[0]}, paddle.__version__


BUILDS = {**dict.fromkeys(OURS, paddle_side), **dict.fromkeys(THEIRS, torch_side)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sides.options(parser, tuple(BUILDS), rounds=15, warmup=3)
    parser.add_argument("--reference_code", required=True, help="a checkout of XuJiacong/PIDNet")
    parser.add_argument("--sizes", nargs="+", choices=("s", "m", "l"), default=("s", "m", "l"))
    parser.add_argument("--size", choices=("s", "m", "l"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if sides.worker(BUILDS, args):
        return
    if not args.torch_python or not os.path.isfile(os.path.join(args.reference_code, "models", "pidnet.py")):
        parser.error("--torch_python VENV/bin/python and --reference_code CHECKOUT (with models/pidnet.py) are needed")
    pythons = {side: args.torch_python if side in THEIRS else sys.executable for side in BUILDS}
    pairs = [(ours, theirs) for ours in OURS for theirs in THEIRS]
    result = {"shape": list(SHAPE), "sizes": {}}
    for size in args.sizes:
        started = sides.start(args, pythons, ["--size", size])
        result["sizes"][size] = sides.compare(started, ["forward"], pairs, args, agree=False)  # both have random weights
    sides.write(args, "benchmark_torch.json", result)


if __name__ == "__main__":
    main()
