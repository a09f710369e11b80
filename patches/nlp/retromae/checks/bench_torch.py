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
import os
import sys
import tempfile

import numpy as np

from proving import sides

OURS = ("paddle inference", "paddle dygraph", "onnxruntime", "paddle train", "paddle train static")
THEIRS = ("torch eager", "torch sdpa", "torch train")
PAIRS = [(side, "torch sdpa") for side in (*OURS[:3], "torch eager")] + [(side, "torch train") for side in OURS[3:]]


def stored(args):
    """The batches of token ids and masks, the same for every side."""
    with np.load(args.data) as arrays:
        return [(arrays["ids%d" % i], arrays["mask%d" % i]) for i in range(len(arrays.files) // 2)]


def torch_side(args):
    side, weights, data, threads = args.side, args.there, stored(args), args.threads
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

        return {"train": step}, torch.__version__

    def run():
        with torch.no_grad():
            return np.concatenate([encode(*batch).numpy() for batch in tensors])

    return {"embed": run}, torch.__version__


def encoder_of(side, model, threads):
    """The encoder in dygraph, in Paddle Inference or in ONNX Runtime."""
    from export_model import to_onnx
    from retriever import DygraphEncoder, InferenceEncoder
    from retriever.embedder import export

    from proving.exporting import onnx_session

    if side == "paddle dygraph":
        return DygraphEncoder(model)
    folder = tempfile.mkdtemp()
    path = export(model, folder)
    if side == "paddle inference":
        return InferenceEncoder(folder, threads=threads)
    session = onnx_session(to_onnx(path))
    return lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def paddle_side(args):
    side, weights, data, threads = args.side, args.here, stored(args), args.threads
    import paddle
    import port

    port.use_overlay()
    from retriever import EmbeddingModel, contrastive_loss

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

        return {"train": step}, paddle.__version__
    encoder = encoder_of(side, model, threads)
    return {"embed": lambda: np.concatenate([encoder(*batch) for batch in data])}, paddle.__version__


BUILDS = {**dict.fromkeys(OURS, paddle_side), **dict.fromkeys(THEIRS, torch_side)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sides.options(parser, tuple(BUILDS), rounds=9)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=4)
    for name in ("data", "here", "there"):
        parser.add_argument("--" + name, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if sides.worker(BUILDS, args):
        return
    if not args.torch_python:
        parser.error("--torch_python VENV/bin/python is needed")
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
    pythons = {side: args.torch_python if side in THEIRS else sys.executable for side in BUILDS}
    started = sides.start(args, pythons, ["--data", path, "--here", here, "--there", there])
    result = {"batch": args.batch, "batches": args.batches, **sides.compare(started, ["embed", "train"], PAIRS, args)}
    os.remove(path)
    sides.write(args, "bench_torch.json", result)


if __name__ == "__main__":
    main()
