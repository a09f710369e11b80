"""The real MiniLM encoder in Paddle against PyTorch transformers, the same weights and batches. Not run by the harness: PyTorch is no
part of the suite's environment.

Two tasks: embedding (sentences a second, attention mask, mean pooling, L2) and one contrastive train step (forward of queries and
passages, loss, backward, AdamW). Each side is a process of its own with the same number of threads; they run one round each in turn,
so that a load from outside meets all of them. Two clocks are read: time that passed, and CPU time of the process. The
vectors and the losses of all sides are compared first.

    python bench_torch.py --out DIR --torch_python VENV/bin/python [--rounds 9] [--threads 1]

Run it in a work tree with the change applied, by the suite's Python, with PYTHONPATH as the harness sets it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

SIDES = ("paddle inference", "paddle dygraph", "onnxruntime", "torch eager", "torch sdpa")
TRAIN = ("paddle train", "paddle train static", "torch train")


def torch_side(side, weights, data, threads):
    import torch
    from transformers import AutoModel

    torch.set_num_threads(threads)
    kind = "eager" if side == "torch eager" else "sdpa"
    model = AutoModel.from_pretrained(weights, attn_implementation=kind)
    tensors = [[torch.from_numpy(array) for array in batch] for batch in data]

    def encode(ids, mask):
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        return torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1)

    model.eval()
    if side == "torch train":
        optimizer = torch.optim.AdamW([p for n, p in model.named_parameters() if "pooler" not in n], lr=1e-6)

        def step():
            ids, mask = tensors[0]
            queries, passages = encode(ids[:, :16], mask[:, :16]), encode(ids, mask)
            loss = torch.nn.functional.cross_entropy(queries @ passages.T / 0.02, torch.arange(len(ids)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return np.array([loss.item()])

        return step

    def run():
        with torch.no_grad():
            return np.concatenate([encode(*batch).numpy() for batch in tensors])

    return run


def paddle_side(side, weights, data, threads):
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import tempfile

    import paddle
    import port

    port.use_overlay()
    from retriever import DygraphEncoder, EmbeddingModel, InferenceEncoder, contrastive_loss
    from retriever.embedder import export

    model = EmbeddingModel.from_pretrained(weights)
    model.eval()
    if side.startswith("paddle train"):
        trained = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
        optimizer = paddle.optimizer.AdamW(1e-6, parameters=trained, weight_decay=0.01)
        ids, mask = (paddle.to_tensor(array) for array in data[0])
        encoder = model
        if side.endswith("static"):
            encoder = paddle.jit.to_static(model, full_graph=True)

        def step():
            queries, passages = encoder(ids[:, :16], mask[:, :16]), encoder(ids, mask)
            loss = contrastive_loss(queries, passages, 0.02)[0]
            loss.backward()
            optimizer.step()
            optimizer.clear_grad()
            return np.array([float(loss)])

        return step
    if side == "paddle dygraph":
        encoder = DygraphEncoder(model)
    else:
        folder = tempfile.mkdtemp()
        path = export(model, folder)
        if side == "onnxruntime":
            from export_model import to_onnx

            from proving.exporting import onnx_session

            session = onnx_session(to_onnx(path))
            encoder = lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})[0]  # noqa: E731
        else:
            encoder = InferenceEncoder(folder, threads=threads)
    return lambda: np.concatenate([encoder(*batch) for batch in data])


def worker(args):
    """Answers each line on stdin with the times of one round; the first answer comes with the result, in a file."""
    stored = np.load(args.data)
    data = [(stored["ids%d" % i], stored["mask%d" % i]) for i in range(len(stored.files) // 2)]
    build = torch_side if args.side.startswith("torch") else paddle_side
    run = build(args.side, args.weights, data, args.threads)
    np.save(args.result, run())
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        run()
        print("round %.6f %.6f" % (time.perf_counter() - start, time.process_time() - cpu), flush=True)


def answer(process, kind):
    for line in process.stdout:
        if line.startswith(kind):
            return [float(value) for value in line.split()[1:]]
    raise SystemExit("error: a side ended early; its output is above")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--torch_python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=4)
    for name in ("side", "data", "weights", "result"):
        parser.add_argument("--" + name, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        worker(args)
        return
    os.makedirs(args.out, exist_ok=True)
    import assets
    import bench
    import port
    from paddlenlp.transformers import BertTokenizer

    port.use_overlay()
    here, there = assets.minilm_here(), assets.minilm_there()
    data = bench.batches(BertTokenizer.from_pretrained(here), args.batches, args.batch)
    path = os.path.join(args.out, "batches.npz")
    np.savez(path, **{"%s%d" % (n, i): a for i, pair in enumerate(data) for n, a in zip(("ids", "mask"), pair)})
    processes, results = {}, {}
    for side in SIDES + TRAIN:
        python, weights = (args.torch_python, there) if side.startswith("torch") else (sys.executable, here)
        results[side] = os.path.join(args.out, side.replace(" ", "_") + ".npy")
        command = [python, os.path.abspath(__file__), "--out", args.out, "--side", side, "--data", path]
        command += ["--weights", weights, "--result", results[side], "--threads", str(args.threads)]
        env = dict(os.environ, OMP_NUM_THREADS=str(args.threads), MKL_NUM_THREADS=str(args.threads))
        processes[side] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True)
        answer(processes[side], "ready")
    times = {side: [] for side in processes}
    for turn in range(args.rounds):
        order = list(processes)
        for side in order[turn % len(order) :] + order[: turn % len(order)]:
            processes[side].stdin.write("go\n")
            processes[side].stdin.flush()
            times[side].append(answer(processes[side], "round"))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    report = {"threads": args.threads, "rounds": args.rounds, "batch": args.batch, "batches": args.batches, "rows": []}
    for ours_sides, base_side in ((SIDES, "torch sdpa"), (TRAIN, "torch train")):
        want = np.load(results[base_side])
        for side in ours_sides:
            row = {"side": side, "against": base_side, "largest_difference": float(np.abs(np.load(results[side]) - want).max())}
            for clock, name in enumerate(("wall", "cpu")):
                ratios = [mine[clock] / base[clock] for mine, base in zip(times[side], times[base_side])]
                row[name + "_ms"] = round(statistics.median(t[clock] for t in times[side]) * 1e3, 1)
                row[name + "_ratio"] = round(statistics.median(ratios), 3)
                row[name + "_ratio_range"] = [round(min(ratios), 3), round(max(ratios), 3)]
            report["rows"].append(row)
            print(row)
    for file in list(results.values()) + [path]:
        os.remove(file)
    with open(os.path.join(args.out, "bench_torch.json"), "w", encoding="utf-8") as stream:
        json.dump(report, stream, indent=1, sort_keys=True)
        stream.write("\n")


if __name__ == "__main__":
    main()
