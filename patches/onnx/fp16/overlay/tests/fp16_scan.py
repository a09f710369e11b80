# Copyright (c) 2024 PaddlePaddle Authors. All Rights Reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Scan of the mappers: each operator in an FP16 program of its own.

run(name, opset) converts one and says what came out; the table of all is made by
python tests/fp16_scan.py FILE.
"""

import json
import os
import sys
import tempfile

import numpy as np
import onnx
import paddle
import paddle.nn.functional as F

from fp16_base import (LIMIT, casts, convert, errors, evaluate, run_onnx)

IMAGE, ROWS = (2, 4, 8, 8), (3, 6)


class Weights(object):
    """The parameters of the case that is being built or traced, in order."""
    layer, taken, names = None, 0, []


def weight(*shape):
    """The next parameter of the case."""
    state = Weights
    if state.taken == len(state.names):
        value = np.random.RandomState(3).randn(*shape) * 0.2
        parameter = paddle.create_parameter(
            list(shape),
            "float32",
            default_initializer=paddle.nn.initializer.Assign(
                value.astype(np.float32)))
        state.names.append("weight%d" % state.taken)
        state.layer.add_parameter(state.names[-1], parameter)
    state.taken += 1
    return getattr(state.layer, state.names[state.taken - 1])


def norm_params(width):
    return [
        weight(width),
        weight(width).abs() + 1,
        weight(width) + 1,
        weight(width)
    ]


def batch_norm(x, dtype=None):
    values = norm_params(4)
    if dtype and x.dtype != paddle.float32:
        values = [p.astype(dtype) for p in values]
    return F.batch_norm(x, *values)


def group_norm(x):
    scale, bias = weight(4), weight(4)
    if x.dtype == paddle.float32:
        return x  # only the parameters are made
    helper = paddle.base.layer_helper.LayerHelper("group_norm")
    out, mean, variance = [
        helper.create_variable_for_type_inference(x.dtype) for _ in "abc"
    ]
    helper.append_op(
        type="group_norm",
        inputs={"X": x,
                "Scale": scale,
                "Bias": bias},
        outputs={"Y": out,
                 "Mean": mean,
                 "Variance": variance},
        attrs={"epsilon": 1e-5,
               "groups": 2})
    return out


def unary(function):
    return function, [ROWS]


def positive(function):
    return lambda x: function(x.abs() + 0.5), [ROWS]


def inside(function):
    return lambda x: function(x * 0.2), [ROWS]


def index(*shape):
    return paddle.to_tensor(np.zeros(shape, np.int64))


# Paddle operator: (function, shapes of its FP16 inputs)
CASES = {
    "conv2d": (lambda x: F.conv2d(x, weight(6, 4, 3, 3), padding=1), [IMAGE]),
    "depthwise_conv2d":
    (lambda x: F.conv2d(x, weight(4, 1, 3, 3), groups=4), [IMAGE]),
    "conv2d_transpose":
    (lambda x: F.conv2d_transpose(x, weight(4, 6, 2, 2), stride=2), [IMAGE]),
    "conv3d": (lambda x: F.conv3d(x, weight(3, 2, 3, 3, 3)),
               [(1, 2, 5, 6, 6)]),
    "pool2d": (lambda x: F.avg_pool2d(x, 2), [IMAGE]),
    "pool2d max": (lambda x: F.max_pool2d(x, 2), [IMAGE]),
    "pool2d global": (lambda x: F.adaptive_avg_pool2d(x, 1), [IMAGE]),
    "pool2d adaptive": (lambda x: F.adaptive_avg_pool2d(x, 4), [IMAGE]),
    "pool3d": (lambda x: F.avg_pool3d(x, 2), [(1, 2, 4, 4, 4)]),
    "batch_norm": (batch_norm, [IMAGE]),
    "batch_norm fp32": (lambda x: batch_norm(x, "float32"), [IMAGE]),
    "layer_norm":
    (lambda x: F.layer_norm(x, [6], weight(6), weight(6)), [ROWS]),
    "layer_norm plain": (lambda x: F.layer_norm(x, [6]), [ROWS]),
    "layer_norm fp32": (lambda x: F.layer_norm(
        x, [6], weight(6).astype("float32"), weight(6).astype("float32")),
                        [ROWS]),
    "group_norm": (group_norm, [IMAGE]),
    "instance_norm": (lambda x: F.instance_norm(
        x, weight=weight(4), bias=weight(4), eps=1e-5), [IMAGE]),
    "p_norm": (lambda x: paddle.norm(x, p=2, axis=1), [ROWS]),
    "norm": (lambda x: F.normalize(x, axis=1), [ROWS]),
    "matmul_v2": (lambda x: paddle.matmul(x, weight(6, 5)), [ROWS]),
    "matmul_v2 transposed":
    (lambda x: paddle.matmul(x, weight(5, 6), transpose_y=True), [ROWS]),
    "bmm": (lambda x: paddle.bmm(x, weight(2, 4, 5)), [(2, 3, 4)]),
    "mv": (lambda x: paddle.mv(x, weight(6)), [ROWS]),
    "dot": (lambda x, y: paddle.dot(x, y), [ROWS, ROWS]),
    "elementwise_add": (lambda x, y: x + y, [ROWS, ROWS]),
    "elementwise_sub": (lambda x, y: x - y, [ROWS, ROWS]),
    "elementwise_mul": (lambda x, y: x * y, [ROWS, ROWS]),
    "elementwise_div": (lambda x, y: x / (y.abs() + 0.5), [ROWS, ROWS]),
    "elementwise_max": (lambda x, y: paddle.maximum(x, y), [ROWS, ROWS]),
    "elementwise_min": (lambda x, y: paddle.minimum(x, y), [ROWS, ROWS]),
    "elementwise_pow": (lambda x, y: (x.abs() + 0.5)**y, [ROWS, ROWS]),
    "scale": (lambda x: paddle.scale(x, 0.3, 0.7), [ROWS]),
    "scale bias first": (lambda x: paddle.scale(x, 0.3, 0.7, False), [ROWS]),
    "pow": (lambda x: paddle.pow(x.abs() + 0.5, 1.5), [ROWS]),
    "clip": (lambda x: paddle.clip(x, -0.5, 0.5), [ROWS]),
    "clip min": (lambda x: paddle.clip(x, min=0.1), [ROWS]),
    "sum": (lambda x, y: paddle.add_n([x, y]), [ROWS, ROWS]),
    "relu": unary(F.relu),
    "relu6": unary(F.relu6),
    "leaky_relu": unary(lambda x: F.leaky_relu(x, 0.1)),
    "prelu": (lambda x: F.prelu(x, weight(4)), [IMAGE]),
    "elu": unary(F.elu),
    "selu": unary(F.selu),
    "celu": unary(F.celu),
    "gelu": unary(F.gelu),
    "gelu tanh": unary(lambda x: F.gelu(x, approximate=True)),
    "sigmoid": unary(F.sigmoid),
    "hard_sigmoid": unary(F.hardsigmoid),
    "hard_swish": unary(F.hardswish),
    "hard_shrink": unary(F.hardshrink),
    "softshrink": unary(F.softshrink),
    "tanh_shrink": unary(F.tanhshrink),
    "thresholded_relu": unary(F.thresholded_relu),
    "swish": unary(F.swish),
    "silu": unary(F.silu),
    "mish": unary(F.mish),
    "softplus": unary(F.softplus),
    "softsign": unary(F.softsign),
    "logsigmoid": unary(F.log_sigmoid),
    "tanh": unary(paddle.tanh),
    "erf": unary(paddle.erf),
    "exp": unary(paddle.exp),
    "log": positive(paddle.log),
    "log1p": positive(paddle.log1p),
    "log2": positive(paddle.log2),
    "log10": positive(paddle.log10),
    "sqrt": positive(paddle.sqrt),
    "rsqrt": positive(paddle.rsqrt),
    "reciprocal": positive(paddle.reciprocal),
    "square": unary(paddle.square),
    "abs": unary(paddle.abs),
    "sign": unary(paddle.sign),
    "floor": unary(paddle.floor),
    "round": unary(paddle.round),
    "ceil": unary(paddle.ceil),
    "sin": unary(paddle.sin),
    "cos": unary(paddle.cos),
    "tan": inside(paddle.tan),
    "asin": inside(paddle.asin),
    "acos": inside(paddle.acos),
    "atan": unary(paddle.atan),
    "sinh": inside(paddle.sinh),
    "cosh": inside(paddle.cosh),
    "softmax": (lambda x: F.softmax(x, 1), [ROWS]),
    "log_softmax": (lambda x: F.log_softmax(x, 1), [ROWS]),
    "logsumexp": (lambda x: paddle.logsumexp(x, 1), [ROWS]),
    "reduce_mean": (lambda x: paddle.mean(x, 1), [ROWS]),
    "reduce_sum": (lambda x: paddle.sum(x, 1), [ROWS]),
    "reduce_max": (lambda x: paddle.max(x, 1), [ROWS]),
    "reduce_min": (lambda x: paddle.min(x, 1), [ROWS]),
    "reduce_prod": (lambda x: paddle.prod(x, 1), [ROWS]),
    "cumsum": (lambda x: paddle.cumsum(x, 1), [ROWS]),
    "nearest_interp_v2":
    (lambda x: F.interpolate(x, scale_factor=2, mode="nearest"), [IMAGE]),
    "bilinear_interp_v2":
    (lambda x: F.interpolate(x, size=[12, 12], mode="bilinear"), [IMAGE]),
    "bilinear_interp_v2 corners": (lambda x: F.interpolate(
        x, scale_factor=2, mode="bilinear", align_corners=True), [IMAGE]),
    "bicubic_interp_v2":
    (lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), [IMAGE]),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), [IMAGE]),
    "grid_sampler": (lambda x, y: F.grid_sample(x, F.tanh(y)),
                     [IMAGE, (2, 5, 5, 2)]),
    "cast": (lambda x: paddle.cast(x, "float32"), [ROWS]),
    "cast int": (lambda x: paddle.cast(paddle.cast(x, "int32"), x.dtype),
                 [ROWS]),
    "fill_constant": (lambda x: x + paddle.full([6], 0.3, x.dtype), [ROWS]),
    "fill_any_like": (lambda x: x + paddle.full_like(x, 0.3), [ROWS]),
    "fill_constant dynamic":
    (lambda x: x + paddle.full([paddle.shape(x)[0], 6], 0.3, x.dtype),
     [ROWS]),
    "assign": (lambda x: paddle.assign(x) + 1, [ROWS]),
    "where": (lambda x, y: paddle.where(x > 0, x, y), [ROWS, ROWS]),
    "greater_than": (lambda x, y: (x > y).astype(x.dtype), [ROWS, ROWS]),
    "equal": (lambda x, y: (x == y).astype(x.dtype), [ROWS, ROWS]),
    "isnan_v2": (lambda x: paddle.isnan(x).astype(x.dtype), [ROWS]),
    "arg_max": (lambda x: paddle.argmax(x, 1), [ROWS]),
    "arg_min": (lambda x: paddle.argmin(x, 1), [ROWS]),
    "argsort": (lambda x: paddle.argsort(x, 1), [ROWS]),
    "top_k_v2": (lambda x: paddle.topk(x, 2)[0], [ROWS]),
    "slice": (lambda x: x[:, 1:4], [ROWS]),
    "strided_slice": (lambda x: paddle.strided_slice(x, [1], [0], [6], [2]),
                      [ROWS]),
    "split": (lambda x: paddle.split(x, 2, 1)[1], [ROWS]),
    "concat": (lambda x, y: paddle.concat([x, y], 1), [ROWS, ROWS]),
    "stack": (lambda x, y: paddle.stack([x, y]), [ROWS, ROWS]),
    "unbind": (lambda x: paddle.unbind(x, 1)[2], [ROWS]),
    "unstack": (lambda x: paddle.unstack(x, 1)[2], [ROWS]),
    "gather": (lambda x: paddle.gather(x, index(2)), [ROWS]),
    "gather_nd": (lambda x: paddle.gather_nd(x, index(2, 1)), [ROWS]),
    "index_select": (lambda x: paddle.index_select(x, index(2), 1), [ROWS]),
    "take_along_axis":
    (lambda x: paddle.take_along_axis(x, index(3, 1), 1), [ROWS]),
    "lookup_table_v2":
    (lambda x: x + F.embedding(index(3), weight(5, 6)), [ROWS]),
    "reshape2": (lambda x: paddle.reshape(x, [-1, 3, 2]), [ROWS]),
    "transpose2": (lambda x: paddle.transpose(x, [1, 0]), [ROWS]),
    "flatten_contiguous_range": (lambda x: paddle.flatten(x, 1), [IMAGE]),
    "squeeze2": (lambda x: paddle.squeeze(x, 1), [(3, 1, 4)]),
    "unsqueeze2": (lambda x: paddle.unsqueeze(x, 1), [ROWS]),
    "expand_v2": (lambda x: paddle.expand(x, [2, 3, 6]), [ROWS]),
    "expand_as_v2": (lambda x, y: paddle.expand_as(x, y), [(1, 6), ROWS]),
    "tile": (lambda x: paddle.tile(x, [1, 2]), [ROWS]),
    "flip": (lambda x: paddle.flip(x, [1]), [ROWS]),
    "roll": (lambda x: paddle.roll(x, 1, 1), [ROWS]),
    "pad3d": (lambda x: F.pad(x, [1, 1, 1, 1], value=0.5), [IMAGE]),
    "pad3d reflect": (lambda x: F.pad(x, [1, 1, 1, 1], "reflect"), [IMAGE]),
    "tril_triu": (lambda x: paddle.tril(x), [ROWS]),
    "shape": (lambda x: paddle.shape(x), [ROWS]),
    "dropout": (lambda x: F.dropout(x, 0.3, training=False) + 1, [ROWS]),
    "unfold": (lambda x: F.unfold(x, 2), [IMAGE]),
    "scatter": (lambda x: paddle.scatter(
        x, paddle.to_tensor([1, 0]), weight(2, 6)), [ROWS]),
    "scatter_nd_add": (lambda x: paddle.scatter_nd_add(
        x, index(2, 1), weight(2, 6)), [ROWS]),
    "one_hot_v2": (lambda x: x + F.one_hot(
        paddle.to_tensor([1, 0, 2]), 6).astype(x.dtype), [ROWS]),
    "temporal_shift": (lambda x: F.temporal_shift(x, 2, 0.25), [IMAGE]),
    "affine_channel": (lambda x: x * weight(1, 4, 1, 1) + weight(1, 4, 1, 1),
                       [IMAGE]),
}


class Single(paddle.nn.Layer):
    """One operator. Tensors that the function makes itself become constants."""

    def __init__(self, function, count):
        super(Single, self).__init__()
        self.function, self.count = function, count

    def forward(self, x, y=None):
        Weights.taken = 0
        return self.function(x) if self.count == 1 else self.function(x, y)


def run(name, opset, directory):
    """One row of the table.

    Returns:
        dict: "operator", "opset" (used), "result" ("ok" or what failed), "max"
        (error against float32), "control" (of rounding alone), "casts" (in the
        graph) and "inserted" (by the restoration).
    """
    function, shapes = CASES[name]
    random = np.random.RandomState(1)
    inputs = [random.randn(*s).astype(np.float16) for s in shapes]
    path = os.path.join(directory, name.replace(" ", "_"))
    row = {"operator": name, "opset": opset}
    try:
        layer = Single(function, len(shapes))
        Weights.layer, Weights.names = layer, []
        with paddle.no_grad():  # in float32, to make the parameters
            layer(*[paddle.to_tensor(v.astype(np.float32)) for v in inputs])
        layer.to(dtype="float16")
        layer.eval()
        specs = [
            paddle.static.InputSpec(s, "float16", "x%d" % i)
            for i, s in enumerate(shapes)
        ]
        paddle.jit.save(layer, path, input_spec=specs)
    except Exception as error:
        row["result"] = "Paddle cannot save it: " + brief(error)
        return row
    try:
        model, report = convert(path, opset)
    except Exception as error:
        row["result"] = "not converted: " + brief(error)
        return row
    row.update(
        opset=report["opset"],
        casts=casts(model),
        inserted=len(report["casts"]))
    try:
        onnx.checker.check_model(model)
        row["full_check"] = fully_valid(model)
        got = run_onnx(model, inputs)[0]
    except Exception as error:
        row["result"] = "ONNX Runtime: " + brief(error)
        return row
    try:
        want = evaluate(path, inputs)[0]
        near = evaluate(path, inputs, rounded=True)[0]
    except Exception as error:
        row["result"] = "no reference: " + brief(error)
        return row
    if got.shape != want.shape:
        row["result"] = "wrong shape %s, Paddle has %s; the same in float32" % (
            got.shape, want.shape)
        return row
    kind = str(got.dtype)
    row["type"] = kind
    row["max"] = errors(got, want)["max"]
    row["control"] = errors(near, want)["max"]
    good = row["max"] <= max(LIMIT, 2 * row["control"])
    row["result"] = "ok" if good else "differs"
    return row


def fully_valid(model):
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception:  # of a rank that the mapper declares wrongly in float32 as well
        return False
    return True


def brief(error):
    lines = [l.strip() for l in str(error).splitlines() if l.strip()]
    picked = [l for l in lines if "Error" in l or "cannot" in l] or lines
    return (picked[-1] if picked else type(error).__name__)[:160]


def table(opsets, names=None):
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for name in names or CASES:
            for opset in opsets:
                rows.append(dict(run(name, opset, directory), asked=opset))
    return rows


if __name__ == "__main__":
    found = table([int(v) for v in sys.argv[2].split(",")], sys.argv[3:])
    with open(sys.argv[1], "w") as out:
        json.dump(found, out, indent=1)
