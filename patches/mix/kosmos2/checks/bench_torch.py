"""Speed and memory beside PyTorch `transformers`, on this machine's CPU. Not run by the harness: PyTorch is no part of the suite's
environment.

Both sides have the same weights: `transformers` writes a model of random weights with `save_pretrained`, and the port's own converter
reads that directory. Every side is a process of its own with the same number of threads; they take turns. Before anything is timed,
logits, features and generated ids are compared.

    python bench_torch.py --out DIR --torch_python VENV/bin/python [--size published] [--rounds 15] [--threads 1] [--tuned]
    python bench_torch.py --out DIR --torch_python VENV/bin/python [--size published] --memory

The second command reads the weights that the first one left, and measures memory, phase by phase. Run it in a work tree with the change
applied, by the suite's Python, with PYTHONPATH as the harness sets it.
"""

import argparse
import os
import sys

import numpy as np

from proving import sides

TEXT, BATCH = 24, {"small": 4, "published": 1}


def config(size):
    """The configuration in the words of transformers: "small" is narrow, "published" has the published widths with two layers of each."""
    if size == "small":
        text = {"vocab_size": 4000, "embed_dim": 256, "ffn_dim": 1024, "layers": 6, "attention_heads": 8}
        vision = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 6, "image_size": 112}
    else:
        text = {"vocab_size": 65037, "embed_dim": 2048, "ffn_dim": 8192, "layers": 2, "attention_heads": 32}
        vision = {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 2,
            "num_attention_heads": 16,
            "image_size": 224,
        }
    text.update(dropout=0.0, attention_dropout=0.0, max_position_embeddings=256)
    return {"text_config": text, "vision_config": {**vision, "patch_size": 14}, "latent_query_num": 64 if size != "small" else 16}


def inputs(size):
    draw, made = np.random.default_rng(77), config(size)
    places, batch, side = made["latent_query_num"], BATCH[size], made["vision_config"]["image_size"]
    ids = draw.integers(4, made["text_config"]["vocab_size"], [batch, places + 3 + TEXT])
    mask = np.zeros_like(ids)
    mask[:, 2 : 2 + places] = 1
    pixels = draw.standard_normal([batch, 3, side, side]).astype("float32")
    given = {"pixel_values": pixels, "input_ids": ids, "attention_mask": np.ones_like(ids), "image_embeds_position_mask": mask}
    return {**given, "labels": np.where(mask == 1, -100, ids)}


def torch_model(args):
    """Random weights in the layout of Hugging Face, written once and read by both sides."""
    import torch
    from transformers import Kosmos2Config, Kosmos2ForConditionalGeneration

    path = os.path.join(args.out, "hf")
    if not os.path.isdir(path):
        torch.manual_seed(77)
        model = Kosmos2ForConditionalGeneration(Kosmos2Config(**config(args.size)))
        with torch.no_grad():
            for value in model.parameters():
                value.add_(0.02 * torch.randn_like(value))
        model.save_pretrained(path)
    model = Kosmos2ForConditionalGeneration.from_pretrained(path).eval()
    # transformers 4.57.6 takes this attention without a mask for a causal one, unless it is told to be eager
    model.image_to_text_projection.x_attn.is_causal = False
    model.generation_config.eos_token_id = None
    return model


def torch_side(args):
    import torch

    torch.set_num_threads(args.threads)
    model = torch_model(args)
    given = {key: torch.from_numpy(value) for key, value in inputs(args.size).items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    prompt = {key: value for key, value in given.items() if key != "labels"}

    def generate(tokens):
        ids = model.generate(**prompt, max_new_tokens=tokens, do_sample=False, pad_token_id=1)
        return ids[:, given["input_ids"].shape[1] :].numpy()

    def forward():
        with torch.no_grad():
            return model(**given).logits.numpy()

    def image():
        with torch.no_grad():
            seen = model.vision_model.model.post_layernorm(model.vision_model(given["pixel_values"]).last_hidden_state)
            return model.image_to_text_projection(torch.nn.functional.normalize(seen, dim=-1))[0].numpy()

    def step():
        loss = model(**given).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return np.array([float(loss)])

    runs = dict(zip(TASKS, (forward, image, step, lambda: generate(1), lambda: generate(args.tokens))))
    return runs, f"torch {torch.__version__}"


def paddle_side(args):
    import paddle
    from paddlemix.models.common.checkpoints import read_checkpoint, read_config
    from paddlemix.models.kosmos2.convert import config_from_hf, convert_state, load_state
    from paddlemix.models.kosmos2.modeling import Kosmos2ForConditionalGeneration

    theirs, ours = os.path.join(args.out, "hf"), os.path.join(args.out, "pd")
    if not os.path.isdir(ours):
        model = Kosmos2ForConditionalGeneration(config_from_hf(read_config(theirs)))
        load_state(model, convert_state(read_checkpoint(theirs), model))
        model.save_pretrained(ours, save_function=paddle.save)
        del model
    model = Kosmos2ForConditionalGeneration.from_pretrained(ours)
    model.eval()
    given = {key: paddle.to_tensor(value) for key, value in inputs(args.size).items()}
    optimizer = paddle.optimizer.SGD(0.0, parameters=model.parameters())
    prompt = {key: value for key, value in given.items() if key != "labels"}

    def generate(tokens):
        return model.generate(**prompt, max_new_tokens=tokens, eos_token_id=-1)[0].numpy()

    def forward():
        with paddle.no_grad():
            return model(**given).logits.numpy()

    def image():
        with paddle.no_grad():
            return model.image_features(given["pixel_values"])[0].numpy()

    def step():
        loss = model(**given).loss
        loss.backward()
        optimizer.step()
        optimizer.clear_grad(set_to_zero=False)  # as PyTorch: given back, not kept as zeros to add to
        return np.array([float(loss)])

    runs = dict(zip(TASKS, (forward, image, step, lambda: generate(1), lambda: generate(args.tokens))))
    return runs, f"paddle {paddle.__version__}"


BUILDS = {"paddle": paddle_side, "torch": torch_side}
MODULES = {
    "torch": ("torch", "transformers.models.kosmos2.modeling_kosmos2"),
    "paddle": ("paddle", "paddlemix.models.kosmos2.modeling"),
}
TASKS = ("forward", "image", "train step", "prompt", "greedy")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sides.options(parser, tuple(BUILDS), rounds=9)
    parser.add_argument("--size", default="small", choices=sorted(BATCH))
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--tuned", action="store_true", help="with the environment variables of proving.sides.TUNED")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--memory", action="store_true", help="in a directory of an earlier run: memory instead of time")
    args = parser.parse_args()
    if sides.worker(BUILDS, args, MODULES):
        return
    if not args.torch_python:
        parser.error("--torch_python VENV/bin/python is needed")
    pythons, tasks = {"torch": args.torch_python, "paddle": sys.executable}, args.tasks.split(",")  # torch writes the weights
    result = {
        "size": args.size,
        "batch": BATCH[args.size],
        "new_tokens": args.tokens,
        "environment": sides.TUNED if args.tuned else {},
    }
    if args.memory:
        result["kosmos2"] = sides.memory(args, pythons, tasks, [])
    else:
        started = sides.start(args, pythons, [], result["environment"])
        result["kosmos2"] = sides.compare(started, tasks, [("paddle", "torch")], args)
    sides.write(args, "benchmark_torch%s.json" % ("_memory" if args.memory else ""), result)


if __name__ == "__main__":
    main()
