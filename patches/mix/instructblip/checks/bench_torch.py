"""Speed and memory beside PyTorch `transformers`, on this machine's CPU. Not run by the harness: PyTorch is no part of the suite's
environment.

Both sides have the same weights: `transformers` writes a model of random weights with `save_pretrained`, and the port's own
`convert_weights.py` reads that directory. Every side is a process of its own with the same number of threads; they run one after
the other, turn by turn, so that a load from outside meets both. Before anything is timed, logits and generated ids are compared.

    python bench_torch.py --out DIR --torch_python VENV/bin/python [--size published] [--rounds 15] [--threads 1] [--tuned]
    python bench_torch.py --out DIR --torch_python VENV/bin/python [--size published] --memory

The second command reads the weights that the first one left, and measures memory, phase by phase.

Run it in a work tree with the change applied, by the suite's Python, with PYTHONPATH as the harness sets it.
"""

import argparse
import gc
import importlib
import json
import os
import subprocess
import sys
import time

import numpy as np

SIDES = ("paddle", "torch")
INFERENCE = "inference"  # the exported image part in Paddle Inference with oneDNN
TEXT = 24


def vision(width, ffn, heads, layers, image):
    sizes = {"hidden_size": width, "intermediate_size": ffn, "num_attention_heads": heads, "num_hidden_layers": layers}
    return {**sizes, "image_size": image, "patch_size": 14, "initializer_range": 0.02}


def qformer(width, heads, layers, image_width, vocab):
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": heads, "num_hidden_layers": layers}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return {**sizes, **dropout, "vocab_size": vocab, "encoder_hidden_size": image_width}


def opt(width, heads, layers, vocab, positions):
    sizes = {"hidden_size": width, "ffn_dim": 4 * width, "num_attention_heads": heads, "num_hidden_layers": layers}
    words = {"vocab_size": vocab, "word_embed_proj_dim": width, "max_position_embeddings": positions}
    return {"model_type": "opt", **sizes, **words, "dropout": 0.0}


def t5(width, head, ffn, heads, layers, vocab):
    sizes = {"d_model": width, "d_kv": head, "d_ff": ffn, "num_heads": heads, "num_layers": layers, "vocab_size": vocab}
    kind = {"model_type": "t5", "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "dropout_rate": 0.0}
    return {**kind, **sizes, "decoder_start_token_id": 0, "bos_token_id": 0}


class Size:
    def __init__(self, batch, image, queries, bert, spread, parts, texts):
        self.batch, self.image, self.queries, self.bert, self.spread = batch, image, queries, bert, spread
        self.parts, self.texts = parts, texts

    def config(self, kind):
        """The configuration in the words of transformers; the last id of the vocabulary is the image token."""
        shared = {"num_query_tokens": self.queries, "image_token_index": self.token(kind)}
        return {**self.parts, **shared, "text_config": self.texts[kind]}

    def token(self, kind):
        return self.texts[kind]["vocab_size"] - 1


# "published": the widths of ViT-g, BERT-base, OPT-2.7b and FlanT5-XL with two layers of each; "small": everything narrow.
# `spread` is added to the random weights, so that ids depend on the input.
SIZES = {
    "small": Size(
        *(4, 112, 16, 1000, 0.05),
        {"vision_config": vision(256, 1024, 8, 6, 112), "qformer_config": qformer(192, 6, 6, 256, 1000)},
        {"opt": opt(384, 8, 8, 4000, 256), "t5": t5(384, 48, 1024, 8, 6, 4000)},
    ),
    "published": Size(
        *(1, 224, 32, 30523, 0.01),
        {"vision_config": vision(1408, 6144, 16, 2, 224), "qformer_config": qformer(768, 12, 2, 1408, 30523)},
        {"opt": opt(2560, 32, 2, 50273, 2048), "t5": t5(2048, 64, 5120, 32, 2, 32129)},
    ),
}
KINDS = ("opt", "t5")
# How Paddle 2.6's CPU build is run at its own speed; both sides get it, and it changes nothing for PyTorch.
TUNED = {
    "MKL_DEBUG_CPU_TYPE": "5",  # its MKL of 2019 takes its slowest code on a processor that is not Intel's
    "FLAGS_use_stride_kernel": "0",  # transpose copies at once, not element by element before each product
    "MALLOC_MMAP_THRESHOLD_": "1073741824",  # memory of large tensors is kept, not given back and zeroed again
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "67108864",
}
MALLOC = {"as it is": {}, "gives back": {"MALLOC_MMAP_THRESHOLD_": "65536"}}
MODULES = {
    "torch": ("torch", "transformers.models.instructblip.modeling_instructblip"),
    "paddle": ("paddle", "paddlemix.models.instructblip.modeling"),
}
TASKS = ("forward", "image", "train step", "greedy", "beam 5")


def inputs(size, kind):
    draw = np.random.default_rng(75)
    image = np.full([size.batch, size.queries], size.token(kind))
    ids = np.concatenate([image, draw.integers(4, size.token(kind) - 100, [size.batch, TEXT])], axis=1)
    return {
        "pixel_values": draw.standard_normal([size.batch, 3, size.image, size.image]).astype("float32"),
        "qformer_input_ids": draw.integers(4, size.bert, [size.batch, TEXT]),
        "qformer_attention_mask": np.ones([size.batch, TEXT], "int64"),
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "labels": ids.copy(),
    }


def torch_side(kind, args):
    import torch
    from transformers import InstructBlipConfig, InstructBlipForConditionalGeneration

    size = SIZES[args.size]
    torch.set_num_threads(args.threads)
    path = os.path.join(args.out, "hf_" + kind)
    if not os.path.isdir(path):
        torch.manual_seed(75)
        model = InstructBlipForConditionalGeneration(InstructBlipConfig(**size.config(kind)))
        with torch.no_grad():
            for value in model.parameters():
                value.add_(size.spread * torch.randn_like(value))
        model.save_pretrained(path)
    model = InstructBlipForConditionalGeneration.from_pretrained(path).eval()
    model.generation_config.eos_token_id = None
    given = {key: torch.from_numpy(value) for key, value in inputs(SIZES[args.size], kind).items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    prompt = {key: value for key, value in given.items() if key != "labels"}
    start = 1 if kind == "t5" else given["input_ids"].shape[1]

    def generate(beams):
        ids = model.generate(**prompt, max_new_tokens=args.tokens, num_beams=beams, do_sample=False, pad_token_id=1)
        return ids[:, start:].numpy()

    def image():
        with torch.no_grad():
            seen = model.vision_model(given["pixel_values"]).last_hidden_state
            queries = model.query_tokens.expand(size.batch, -1, -1)
            mask = torch.cat([torch.ones(size.batch, size.queries, dtype=torch.int64), given["qformer_attention_mask"]], 1)
            out = model.qformer(
                input_ids=given["qformer_input_ids"],
                attention_mask=mask,
                query_embeds=queries,
                encoder_hidden_states=seen,
                encoder_attention_mask=torch.ones(seen.shape[:-1], dtype=torch.int64),
            )
            return model.language_projection(out.last_hidden_state[:, : size.queries]).numpy()

    def forward():
        with torch.no_grad():
            return model(**given).logits.numpy()

    def step():
        loss = model(**given).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return np.array([float(loss)])

    runs = dict(zip(TASKS, (forward, image, step, lambda: generate(1), lambda: generate(5))))
    return runs, f"torch {torch.__version__}"


def paddle_side(kind, args):
    import paddle

    sys.path.insert(0, os.path.join(os.getcwd(), "paddlemix", "examples", "instructblip"))
    import convert_weights
    from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration

    path = os.path.join(args.out, "pd_" + kind)
    if not os.path.isdir(path):
        convert_weights.main(["hf", os.path.join(args.out, "hf_" + kind), path])
    model = InstructBlipForConditionalGeneration.from_pretrained(path)
    model.eval()
    given = {key: paddle.to_tensor(value) for key, value in inputs(SIZES[args.size], kind).items()}
    optimizer = paddle.optimizer.SGD(0.0, parameters=model.parameters())
    prompt = {key: value for key, value in given.items() if key != "labels"}

    def generate(beams):
        return model.generate(**prompt, max_new_tokens=args.tokens, num_beams=beams, eos_token_id=-1)[0].numpy()

    def image():
        with paddle.no_grad():
            keys = ("pixel_values", "qformer_input_ids", "qformer_attention_mask")
            return model.image_features(*[given[key] for key in keys])[0].numpy()

    def forward():
        with paddle.no_grad():
            return model(**given).logits.numpy()

    def step():
        loss = model(**given).loss
        loss.backward()
        optimizer.step()
        optimizer.clear_grad(set_to_zero=False)  # as PyTorch: given back, not kept as zeros to add to
        return np.array([float(loss)])

    runs = dict(zip(TASKS, (forward, image, step, lambda: generate(1), lambda: generate(5))))
    return runs, f"paddle {paddle.__version__}"


def inference_side(kind, args):
    """The exported image encoder, Q-Former and projection."""
    import paddle
    from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration

    from proving.exporting import predict, predictor, save_static

    sys.path.insert(0, os.path.join(os.getcwd(), "paddlemix", "examples", "instructblip"))
    from export import ImageFeatures, input_spec

    model = InstructBlipForConditionalGeneration.from_pretrained(os.path.join(args.out, "pd_" + kind))
    path = save_static(ImageFeatures(model), input_spec(model.config), os.path.join(args.out, "static_" + kind))
    ready, given = predictor(path, onednn=True), inputs(SIZES[args.size], kind)
    arrays = {key: given[key] for key in ("pixel_values", "qformer_input_ids", "qformer_attention_mask")}
    return {"image": lambda: predict(ready, arrays)[0]}, f"paddle {paddle.__version__} inference, oneDNN"


def worker(args):
    """Builds one side; each line on stdin names a task, each answer is its milliseconds by the clock and of the CPU."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    side = {"torch": torch_side, "paddle": paddle_side, INFERENCE: inference_side}[args.worker]
    runs, version = side(args.kind, args)
    print(version, file=answers, flush=True)
    for line in sys.stdin:
        word, task = line.strip().split(" ", 1)
        if word == "save":
            np.save(os.path.join(args.out, f"{args.kind}_{args.worker}_{task.replace(' ', '_')}.npy"), runs[task]())
            print("saved", file=answers, flush=True)
        else:
            start, cpu = time.perf_counter(), time.process_time()
            runs[task]()
            print((time.perf_counter() - start) * 1e3, (time.process_time() - cpu) * 1e3, file=answers, flush=True)


def resident():
    """MB of this process: now, and the most since `forget`."""
    with open("/proc/self/status") as stream:
        lines = dict(line.split(":", 1) for line in stream)
    return [int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")]


def forget():
    with open("/proc/self/clear_refs", "w") as stream:
        stream.write("5")


def phases(args):
    """MB of one side: of its imports; above that the most while loading, what stays, and the most in each task's second run."""
    for module in MODULES[args.worker]:
        importlib.import_module(module)
    imports = resident()[0]
    forget()
    runs, _ = {"torch": torch_side, "paddle": paddle_side}[args.worker](args.kind, args)
    gc.collect()
    now, most = resident()
    made = {"imports": imports, "loading": most - imports, "loaded": now - imports}
    for task in args.tasks.split(","):
        runs[task]()
        forget()
        runs[task]()
        made[task] = resident()[1] - imports
    return made


def memory(args):
    """Every model on both sides, with malloc as it is and with malloc told to give large blocks back at once."""
    result = {"size": args.size, "batch": SIZES[args.size].batch, "new_tokens": args.tokens, "mb": {}}
    for kind in KINDS:
        for name, variables in MALLOC.items():
            row = result["mb"].setdefault(kind, {}).setdefault(name, {})
            for side in SIDES:
                words, environment = process(side, kind, args)
                environment.update(variables)
                words += ["--memory", "--tasks", args.tasks]
                done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
                if done.returncode:
                    raise SystemExit(f"{side} ended with {done.returncode}; next: run {' '.join(words)}")
                row[side] = {key: round(value) for key, value in json.loads(done.stdout.splitlines()[-1]).items()}
                print(kind, name, side, row[side], flush=True)
    return result


def process(side, kind, args):
    """Command and environment of one side."""
    python = args.torch_python if side == "torch" else sys.executable
    words = [python, os.path.abspath(__file__), "--out", args.out, "--worker", side, "--kind", kind]
    words += ["--threads", str(args.threads), "--tokens", str(args.tokens), "--size", args.size]
    environment = dict(os.environ, OMP_NUM_THREADS=str(args.threads), MKL_NUM_THREADS=str(args.threads))
    if side == "torch":
        environment.pop("PYTHONPATH", None)
    return words, environment


def measure(kind, args, sides=SIDES, tasks=TASKS):
    ours = sides[0]
    workers, versions = {}, {}
    for side in reversed(sides):  # torch writes the weights
        words, environment = process(side, kind, args)
        environment.update(TUNED if args.tuned else {})
        log = open(os.path.join(args.out, f"{kind}_{side}.log"), "w")
        workers[side] = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
        versions[side] = workers[side].stdout.readline().strip()
        if not versions[side]:
            raise SystemExit(f"{side} did not start; next: read {log.name}")

    def ask(side, words):
        print(words, file=workers[side].stdin, flush=True)
        return workers[side].stdout.readline().split()

    result = {"versions": versions, "agreement": {}, "tasks": {}}
    for task in tasks:
        made = {}
        for side in sides:
            ask(side, "save " + task)
            path = os.path.join(args.out, f"{kind}_{side}_{task.replace(' ', '_')}.npy")
            made[side] = np.load(path)
        gap = np.abs(made[ours].astype("float64") - made["torch"]).max() / max(np.abs(made["torch"]).max(), 1e-30)
        result["agreement"][task] = float(gap)
    for task in tasks:
        samples = {side: {"wall": [], "cpu": []} for side in sides}
        for number in range(args.warmup + args.rounds):
            for side in sides[number % 2 :] + sides[: number % 2]:
                spent = ask(side, "run " + task)
                if number >= args.warmup:
                    samples[side]["wall"].append(float(spent[0]))
                    samples[side]["cpu"].append(float(spent[1]))
        row = {}
        for clock in ("wall", "cpu"):
            each = np.array(samples[ours][clock]) / np.array(samples["torch"][clock])
            row[clock] = {
                f"{ours}_ms": float(np.median(samples[ours][clock])),
                "torch_ms": float(np.median(samples["torch"][clock])),
                "ratio_median_min_max": [float(value) for value in (np.median(each), each.min(), each.max())],
            }
        result["tasks"][task] = row
        print(kind, task, {c: [round(v, 2) for v in row[c]["ratio_median_min_max"]] for c in row}, flush=True)
    for started in workers.values():
        started.stdin.close()
        started.wait()
    print(kind, "agreement", result["agreement"], flush=True)
    return result


def write(args, name, result):
    with open(os.path.join(args.out, name), "w") as stream:
        json.dump(result, stream, indent=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--torch_python", help="a Python that has torch and transformers")
    parser.add_argument("--size", default="small", choices=sorted(SIZES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--tuned", action="store_true", help="with the environment variables of TUNED")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--only_inference", action="store_true", help="in a directory of an earlier run: the exported image part")
    parser.add_argument("--memory", action="store_true", help="in a directory of an earlier run: memory instead of time")
    parser.add_argument("--worker", choices=(*SIDES, INFERENCE))
    parser.add_argument("--kind", choices=KINDS)
    args = parser.parse_args()
    if args.worker:
        return print(json.dumps(phases(args))) if args.memory else worker(args)
    if not args.torch_python:
        parser.error("--torch_python VENV/bin/python is needed")
    os.makedirs(args.out, exist_ok=True)
    if args.memory:
        return write(args, "benchmark_torch_memory.json", memory(args))
    result = {
        "environment": TUNED if args.tuned else {},
        "size": args.size,
        "batch": SIZES[args.size].batch,
        "threads": args.threads,
        "rounds": args.rounds,
        "new_tokens": args.tokens,
        "models": {},
    }
    for kind in KINDS:
        if args.only_inference:
            result["models"][kind] = measure(kind, args, (INFERENCE, "torch"), ("image",))
        else:
            result["models"][kind] = measure(kind, args, tasks=args.tasks.split(","))
        name = "benchmark_torch_inference.json" if args.only_inference else "benchmark_torch.json"
        write(args, name, result)


if __name__ == "__main__":
    main()
