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
import json
import os
import subprocess
import sys
import time

import numpy as np

SHAPE = (1, 3, 512, 1024)
CLASSES = 19
SIDES = ("paddle inference", "paddle dygraph", "onnxruntime", "torch eager", "torch channels_last", "torch jit")


def image():
    return np.random.default_rng(68).standard_normal(SHAPE).astype(np.float32)


def torch_side(side, size, args):
    """The reference network as a function without arguments."""
    sys.path.insert(0, args.reference_code)
    import torch
    from models.pidnet import get_pred_model

    torch.set_num_threads(args.threads)

    class Resized(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = get_pred_model(size, CLASSES)

        def forward(self, x):
            return torch.nn.functional.interpolate(self.net(x), list(SHAPE[2:]), mode="bilinear", align_corners=True)

    torch.manual_seed(68)
    model, data = Resized().eval(), torch.from_numpy(image())
    if side == "torch channels_last":
        model, data = model.to(memory_format=torch.channels_last), data.to(memory_format=torch.channels_last)
    with torch.no_grad():
        if side == "torch jit":
            model = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, data)))

    def run():
        with torch.no_grad():
            return model(data).sum().item()

    return run, torch.__version__


def paddle_side(side, size, args):
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    import bench
    import paddle

    from proving.exporting import onnx_session, predict, predictor, save_static, to_onnx

    data = image()
    model = bench.builder(f"pidnet_{size}", args.out).model
    model.eval()
    if side == "paddle dygraph":
        tensor = paddle.to_tensor(data)

        def run():
            with paddle.no_grad():
                return model(tensor)[0].numpy()

        return run, paddle.__version__
    folder = os.path.join(args.out, side.replace(" ", "_") + size)
    path = save_static(model, [paddle.static.InputSpec([None, 3, None, None], "float32", "x")], folder)
    if side == "onnxruntime":
        import onnxruntime

        session = onnx_session(to_onnx(path))
        return lambda: session.run(None, {session.get_inputs()[0].name: data}), onnxruntime.__version__
    ready = predictor(path, onednn=paddle.__version__.startswith("2."))
    return lambda: predict(ready, [data]), paddle.__version__


def worker(args):
    """Builds one side, then answers every line on stdin with the milliseconds of one forward: by the clock, and of the CPU."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the frameworks print must not mix with the answers
    run, version = (torch_side if args.worker.startswith("torch") else paddle_side)(args.worker, args.size, args)
    print(version, file=answers, flush=True)
    for _ in sys.stdin:
        start, start_cpu = time.perf_counter(), time.process_time()
        run()
        print((time.perf_counter() - start) * 1e3, (time.process_time() - start_cpu) * 1e3, file=answers, flush=True)


def measure(size, args):
    """{clock: {side: [milliseconds]}} of one size, and the version of every side."""
    workers, versions, log = {}, {}, open(os.path.join(args.out, f"workers_{size}.log"), "w")
    environment = dict(os.environ, OMP_NUM_THREADS=str(args.threads))
    for side in SIDES:
        python = args.torch_python if side.startswith("torch") else sys.executable
        command = [python, os.path.abspath(__file__), "--out", args.out, "--worker", side, "--size", size]
        command += ["--reference_code", args.reference_code, "--threads", str(args.threads)]
        workers[side] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
        versions[side] = workers[side].stdout.readline().strip()
        if not versions[side]:
            raise SystemExit(f"bench_torch: {side} did not start; next: read {log.name}")
    samples = {clock: {side: [] for side in SIDES} for clock in ("wall", "cpu")}
    for number in range(args.warmup + args.rounds):
        shift = number % len(SIDES)
        for side in SIDES[shift:] + SIDES[:shift]:
            print("run", file=workers[side].stdin, flush=True)
            for clock, spent in zip(("wall", "cpu"), workers[side].stdout.readline().split()):
                if number >= args.warmup:
                    samples[clock][side].append(float(spent))
    for process in workers.values():
        process.stdin.close()
        process.wait()
    return samples, versions


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--reference_code", required=True, help="a checkout of XuJiacong/PIDNet")
    parser.add_argument("--torch_python", help="a Python that has torch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", choices=("s", "m", "l"), default=("s", "m", "l"))
    parser.add_argument("--worker", choices=SIDES)
    parser.add_argument("--size", choices=("s", "m", "l"))
    args = parser.parse_args()
    if args.worker:
        return worker(args)
    if not args.torch_python or not os.path.isfile(os.path.join(args.reference_code, "models", "pidnet.py")):
        parser.error("--torch_python VENV/bin/python and --reference_code CHECKOUT (with models/pidnet.py) are needed")
    result = {"shape": list(SHAPE), "threads": args.threads, "rounds": args.rounds, "sizes": {}}
    for size in args.sizes:
        samples, result["versions"] = measure(size, args)
        result["sizes"][size] = {}
        for clock, sides in samples.items():
            medians = {side: float(np.median(values)) for side, values in sides.items()}
            ratios = {}
            for ours in SIDES[:3]:
                for theirs in SIDES[3:]:
                    each = np.array(sides[ours]) / np.array(sides[theirs])
                    ratios[f"{ours} / {theirs}"] = [float(v) for v in (np.median(each), each.min(), each.max())]
            result["sizes"][size][clock] = {"median_ms": medians, "ratio_median_min_max": ratios, "samples_ms": sides}
            print(size, clock, {side: round(value, 1) for side, value in medians.items()}, flush=True)
            print(size, clock, {name: [round(v, 2) for v in value] for name, value in ratios.items()}, flush=True)
    with open(os.path.join(args.out, "benchmark_torch.json"), "w") as stream:
        json.dump(result, stream, indent=1)


if __name__ == "__main__":
    main()
