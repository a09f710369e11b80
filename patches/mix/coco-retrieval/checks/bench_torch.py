"""Speed beside PyTorch `transformers`, on this machine's CPU. Not run by the harness: PyTorch is no part of the suite's environment.

Both sides have the same weights: `transformers` writes a model of random weights with `save_pretrained`, and the port's own converter reads
that directory. Each side is a process of its own with the same number of threads; they take turns. Before anything is timed the results are
compared. PyTorch's loss is written here from its modules, since `transformers` has none: the image encoder runs once a step on both sides.

    python bench_torch.py --out DIR --torch_python VENV/bin/python [--size published] [--rounds 9] [--threads 1]

Run it in a work tree with the change applied, by the suite's Python, with PYTHONPATH as the harness sets it.
"""

import argparse
import json
import os
import sys

import numpy as np

from proving import sides
from proving.tree import on_path

INFERENCE = "inference"  # the exported towers in Paddle Inference, without oneDNN
TASKS = ("image", "text", "match", "train step")
LENGTH = 35


def size_of(batch, image, queries, vision, qformer):
    """`vision`, `qformer`: width, feed-forward width (of vision) or vocabulary, heads, layers."""
    made = {"hidden_size": vision[0], "intermediate_size": vision[1], "num_attention_heads": vision[2]}
    made.update(num_hidden_layers=vision[3], image_size=image, patch_size=14, initializer_range=0.02)
    bert = {"hidden_size": qformer[0], "intermediate_size": 4 * qformer[0], "num_attention_heads": qformer[2]}
    bert.update(num_hidden_layers=qformer[3], vocab_size=qformer[1], encoder_hidden_size=vision[0], use_qformer_text_input=True)
    bert.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    config = {"vision_config": made, "qformer_config": bert, "num_query_tokens": queries, "image_text_hidden_size": 64}
    return {"batch": batch, "config": config}


# "published": the widths of ViT-g and BERT-base with two layers of each; "small": everything narrow
SIZES = {
    "small": size_of(4, 112, 16, (256, 1024, 8, 6), (192, 1000, 6, 6)),
    "published": size_of(2, 224, 32, (1408, 6144, 16, 2), (768, 30523, 12, 2)),
}


def inputs(size):
    draw, config = np.random.default_rng(76), size["config"]
    image, words = config["vision_config"]["image_size"], config["qformer_config"]["vocab_size"]
    return {
        "pixel_values": draw.standard_normal([size["batch"], 3, image, image]).astype("float32"),
        "input_ids": draw.integers(4, words, [size["batch"], LENGTH]),
        "attention_mask": (np.arange(LENGTH) < draw.integers(9, LENGTH, [size["batch"], 1])).astype("int64"),
    }


def torch_side(args):
    import torch
    from torch.nn import functional
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    size, path = SIZES[args.size], os.path.join(args.out, "hf_" + args.size)
    torch.set_num_threads(args.threads)
    if not os.path.isdir(path):
        torch.manual_seed(76)
        model = Blip2ForImageTextRetrieval(Blip2Config(**size["config"]))
        with torch.no_grad():
            for value in model.parameters():
                value.add_(0.02 * torch.randn_like(value))
        model.save_pretrained(path)
    model = Blip2ForImageTextRetrieval.from_pretrained(path).eval()
    given = {key: torch.from_numpy(value) for key, value in inputs(size).items()}
    pixels, ids, mask = given.values()
    optimizer, rows = torch.optim.SGD(model.parameters(), lr=0.0), size["batch"]
    queries, other = size["config"]["num_query_tokens"], (torch.arange(rows) + 1) % rows

    def seen():
        return model.vision_model(pixels).last_hidden_state

    def image(states):
        own = model.query_tokens.expand(len(states), -1, -1)
        made = model.qformer(query_embeds=own, encoder_hidden_states=states).last_hidden_state
        return functional.normalize(model.vision_projection(made), dim=-1)

    def text():
        states = model.qformer(query_embeds=model.embeddings(input_ids=ids), query_length=0, attention_mask=mask).last_hidden_state
        return functional.normalize(model.text_projection(states[:, 0]), dim=-1)

    def match(states, words, seen_words):
        own = model.query_tokens.expand(len(words), -1, -1)
        both = torch.cat([torch.ones(own.shape[:2], dtype=torch.int64), seen_words], 1)
        made = model.qformer(
            query_embeds=model.embeddings(input_ids=words, query_embeds=own),
            query_length=queries,
            attention_mask=both,
            encoder_hidden_states=states,
        ).last_hidden_state
        return model.itm_head(made[:, :queries]).mean(1)

    def step():
        states = seen()
        scores = (image(states) @ text().t()).amax(1) / 0.07
        targets = 0.9 * torch.eye(rows) + 0.1 / rows
        loss = sum(-(torch.log_softmax(one, 1) * targets).sum(1).mean() for one in (scores, scores.t())) / 2
        logits = match(
            torch.cat([states, states[other], states]), torch.cat([ids, ids, ids[other]]), torch.cat([mask, mask, mask[other]])
        )
        loss = loss + functional.cross_entropy(logits, torch.tensor([1] * rows + [0] * 2 * rows))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return np.array([float(loss)])

    def quiet(run):
        with torch.no_grad():
            return run().numpy()

    runs = (lambda: quiet(lambda: image(seen())), lambda: quiet(text), lambda: quiet(lambda: match(seen(), ids, mask)), step)
    return dict(zip(TASKS, runs)), f"torch {torch.__version__}"


def ported(args):
    from paddlemix.models.blip2.convert_retrieval import config_from_hf, convert_state, load_state, read_checkpoint
    from paddlemix.models.blip2.retrieval import Blip2ForImageTextRetrieval

    path = os.path.join(args.out, "hf_" + args.size)
    with open(os.path.join(path, "config.json")) as stream:
        model = Blip2ForImageTextRetrieval(config_from_hf(json.load(stream)))
    load_state(model, convert_state(read_checkpoint(path), model, "hf"))
    model.eval()
    return model


def paddle_side(args):
    import paddle

    size, model = SIZES[args.size], ported(args)
    given = {key: paddle.to_tensor(value) for key, value in inputs(size).items()}
    pixels, ids, mask = given.values()
    optimizer, rows = paddle.optimizer.SGD(0.0, parameters=model.parameters()), size["batch"]
    other = (paddle.arange(rows) + 1) % rows
    negatives = paddle.stack([other, other], axis=1)
    model.temp.stop_gradient = True  # PyTorch's side has a number there

    def step():
        loss = model(**given, negatives=negatives).loss
        loss.backward()
        optimizer.step()
        optimizer.clear_grad(set_to_zero=False)  # as PyTorch: given back, not kept as zeros to add to
        return np.array([float(loss)])

    def quiet(run):
        with paddle.no_grad():
            return run().numpy()

    runs = (
        lambda: quiet(lambda: model.image_features(model.image_embeds(pixels))),
        lambda: quiet(lambda: model.text_features(ids, mask)),
        lambda: quiet(lambda: model.match(model.image_embeds(pixels), ids, mask)),
        step,
    )
    return dict(zip(TASKS, runs)), f"paddle {paddle.__version__}"


def inference_side(args):
    import paddle

    from proving.exporting import predict, predictor, save_static

    on_path("paddlemix", "examples", "blip2")
    from export_retrieval import TOWERS

    model, given, runs = ported(args), inputs(SIZES[args.size]), {}
    for name, kind in TOWERS.items():
        part = kind(model)
        spec = part.input_spec(LENGTH)
        ready = predictor(save_static(part, spec, os.path.join(args.out, f"static_{args.size}_{name}")))
        arrays = {one.name: given[one.name] for one in spec}
        runs[name] = lambda ready=ready, arrays=arrays: predict(ready, arrays)[0]
    return runs, f"paddle {paddle.__version__} inference, without oneDNN"


BUILDS = {"torch": torch_side, "paddle": paddle_side, INFERENCE: inference_side}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sides.options(parser, tuple(BUILDS), rounds=9)
    parser.add_argument("--size", default="small", choices=sorted(SIZES))
    args = parser.parse_args()
    if sides.worker(BUILDS, args):
        return
    if not args.torch_python:
        parser.error("--torch_python VENV/bin/python is needed")
    pythons = {"torch": args.torch_python, "paddle": sys.executable, INFERENCE: sys.executable}  # torch writes the weights
    started = sides.start(args, pythons, extra=sides.TUNED)
    result = {"size": args.size, "batch": SIZES[args.size]["batch"], "environment": sides.TUNED}
    result.update(sides.compare(started, TASKS, [("paddle", "torch"), (INFERENCE, "torch")], args))
    sides.write(args, f"benchmark_torch_{args.size}.json", result)


if __name__ == "__main__":
    main()
