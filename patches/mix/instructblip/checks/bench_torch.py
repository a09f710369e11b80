"""Speed and memory beside PyTorch `transformers`, on this machine's CPU. Not run by the harness: PyTorch is no part of the suite's
environment.

Both sides have the same weights: `transformers` writes a model of random weights with `save_pretrained`, and the port's own
converter (`paddlemix.models.instructblip.convert`) reads that directory. Every side is a process of its own with the same number of threads; they run one after
the other, turn by turn, so that a load from outside meets both. Before anything is timed, logits and generated ids are compared.

    python bench_torch.py --out DIR --torch_python VENV/bin/python [--size published] [--rounds 15] [--threads 1] [--tuned]
    python bench_torch.py --out DIR --torch_python VENV/bin/python [--size published] --memory

The second command reads the weights that the first one left, and measures memory, phase by phase.

Run it in a work tree with the change applied, by the suite's Python, with PYTHONPATH as the harness sets it.
"""

import argparse
import os
import sys

import numpy as np

from proving import sides
from proving.tree import on_path

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


def written(args):
    """The directory of random weights that both sides read; made once."""
    import torch
    from transformers import InstructBlipConfig, InstructBlipForConditionalGeneration

    size, path = SIZES[args.size], os.path.join(args.out, "hf_" + args.kind)
    if not os.path.isdir(path):
        torch.manual_seed(75)
        model = InstructBlipForConditionalGeneration(InstructBlipConfig(**size.config(args.kind)))
        with torch.no_grad():
            for value in model.parameters():
                value.add_(size.spread * torch.randn_like(value))
        model.save_pretrained(path)
    return path


def torch_image(model, given, size):
    """Features for the language model: image encoder, Q-Former and projection."""
    import torch

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


def torch_side(args):
    import torch
    from transformers import InstructBlipForConditionalGeneration

    size = SIZES[args.size]
    torch.set_num_threads(args.threads)
    model = InstructBlipForConditionalGeneration.from_pretrained(written(args)).eval()
    model.generation_config.eos_token_id = None
    given = {key: torch.from_numpy(value) for key, value in inputs(SIZES[args.size], args.kind).items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    prompt = {key: value for key, value in given.items() if key != "labels"}
    start = 1 if args.kind == "t5" else given["input_ids"].shape[1]

    def generate(beams):
        ids = model.generate(**prompt, max_new_tokens=args.tokens, num_beams=beams, do_sample=False, pad_token_id=1)
        return ids[:, start:].numpy()

    def forward():
        with torch.no_grad():
            return model(**given).logits.numpy()

    def step():
        loss = model(**given).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return np.array([float(loss)])

    runs = dict(zip(TASKS, (forward, lambda: torch_image(model, given, size), step, lambda: generate(1), lambda: generate(5))))
    return runs, f"torch {torch.__version__}"


def paddle_side(args):
    import paddle
    from paddlemix.models.instructblip import convert
    from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration

    path, published = (os.path.join(args.out, name + args.kind) for name in ("pd_", "hf_"))
    if not os.path.isdir(path):  # the converter itself asks for tokenizers, which a directory of random weights has not
        model = InstructBlipForConditionalGeneration(convert.config_from_hf(convert.read_config(published)))
        convert.load_state(model, convert.convert_state(convert.read_checkpoint(published), model, "hf"))
        model.save_pretrained(path)
    model = InstructBlipForConditionalGeneration.from_pretrained(path)
    model.eval()
    given = {key: paddle.to_tensor(value) for key, value in inputs(SIZES[args.size], args.kind).items()}
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


def inference_side(args):
    """The exported image encoder, Q-Former and projection."""
    import paddle
    from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration

    from proving.exporting import predict, predictor, save_static

    on_path("paddlemix", "examples", "instructblip")
    from export import ImageFeatures, input_spec

    model = InstructBlipForConditionalGeneration.from_pretrained(os.path.join(args.out, "pd_" + args.kind))
    path = save_static(ImageFeatures(model), input_spec(model.config), os.path.join(args.out, "static_" + args.kind))
    ready, given = predictor(path, onednn=True), inputs(SIZES[args.size], args.kind)
    arrays = {key: given[key] for key in ("pixel_values", "qformer_input_ids", "qformer_attention_mask")}
    return {"image": lambda: predict(ready, arrays)[0]}, f"paddle {paddle.__version__} inference, oneDNN"


BUILDS = {"paddle": paddle_side, "torch": torch_side, INFERENCE: inference_side}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sides.options(parser, tuple(BUILDS), rounds=9)
    parser.add_argument("--size", default="small", choices=sorted(SIZES))
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--tuned", action="store_true", help="with the environment variables of proving.sides.TUNED")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--only_inference", action="store_true", help="in a directory of an earlier run: the exported image part")
    parser.add_argument("--memory", action="store_true", help="in a directory of an earlier run: memory instead of time")
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if sides.worker(BUILDS, args, MODULES):
        return
    if not args.torch_python:
        parser.error("--torch_python VENV/bin/python is needed")
    pythons, tasks = {"torch": args.torch_python, "paddle": sys.executable}, args.tasks.split(",")  # torch writes the weights
    name = "memory" if args.memory else "inference" if args.only_inference else ""
    if args.only_inference:
        pythons, tasks = {"torch": args.torch_python, INFERENCE: sys.executable}, ["image"]
    result = {"size": args.size, "batch": SIZES[args.size].batch, "new_tokens": args.tokens, "models": {}}
    result["environment"] = sides.TUNED if args.tuned else {}
    for kind in KINDS:
        if args.memory:
            result["models"][kind] = sides.memory(args, pythons, tasks, ["--kind", kind])
        else:
            started = sides.start(args, pythons, ["--kind", kind], result["environment"])
            result["models"][kind] = sides.compare(started, tasks, [(list(pythons)[1], "torch")], args)
    sides.write(args, "benchmark_torch%s.json" % ("_" + name if name else ""), result)


if __name__ == "__main__":
    main()
