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

table(opsets) converts them and says what came out:
python tests/fp16_scan.py FILE 13,17 [operator ...]
"""

import json
import os
import sys
import tempfile

import numpy as np
import onnx

from fp16_base import (AUXILIARY, DTYPE_NAMES, FP16, FP32, LIMIT, add_op,
                       arguments, casts, convert, dtypes, errors,
                       evaluate, halve, opset_of, read_params,
                       read_program, run_nodes, run_onnx, saved_names,
                       tensor_desc, write_params, write_program)
import paddle
import paddle.nn.functional as F

IMAGE, ROWS = (2, 4, 8, 8), (3, 6)
# of the largest result, node by node: three roundings of FP16
NODE_LIMIT = 1.5e-3


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


def operator(kind, inputs, attrs=None, out="Out", more=(), dtype=None):
    """Append an operator that no public function of Paddle makes.

    Args:
        inputs (dict): {parameter: tensor or tensors}, the data first.
        out (str): parameter of the result.
        more (tuple): parameters of the outputs that nothing reads.
    """
    first = list(inputs.values())[0]
    first = first[0] if isinstance(first, list) else first
    if first.dtype == paddle.float32:
        return first  # only the parameters are made
    helper = paddle.base.layer_helper.LayerHelper(kind)
    dtype = dtype or first.dtype
    made = {
        name: helper.create_variable_for_type_inference(
            "int64" if name == "Indices" else dtype)
        for name in (out, ) + tuple(more)
    }
    helper.append_op(
        type=kind, inputs=inputs, outputs=made, attrs=attrs or {})
    return made[out]


def group_norm(x):
    return operator(
        "group_norm", {"X": x,
                       "Scale": weight(4),
                       "Bias": weight(4)}, {"epsilon": 1e-5,
                                            "groups": 2}, "Y",
        ("Mean", "Variance"))


def data_norm(x):
    values = {"X": x}
    for name, offset in (("BatchSize", 4), ("BatchSum", 1), ("BatchSquareSum",
                                                             6)):
        values[name] = weight(6).abs() + offset
    return operator("data_norm", values, {"epsilon": 1e-4}, "Y",
                    ("Means", "Scales"))


def resize(kind):
    attrs = {
        "out_h": 12,
        "out_w": 12,
        "scale": 0.0,
        "interp_method": kind.split("_")[0],
        "align_corners": False,
        "align_mode": 1,
        "data_layout": "NCHW"
    }
    return lambda x: operator(kind, {"X": x}, attrs)


def set_value(x):
    y = x + 1
    y[:, 1:3] = 0.5
    return y


def assign_value(x):
    dtype = "float32" if x.dtype == paddle.float32 else "float16"
    return x + paddle.assign((np.arange(6) / 8).astype(dtype))


def lstm(x):
    layer = Weights.layer
    if not hasattr(layer, "lstm"):
        layer.lstm = paddle.nn.LSTM(6, 4)
    return layer.lstm(x)[0]


def yolo_box(x):
    size = paddle.to_tensor(np.full((1, 2), 64, np.int32))
    attrs = {
        "anchors": [10, 13, 16, 30],
        "class_num": 2,
        "conf_thresh": 0.01,
        "downsample_ratio": 16,
        "clip_bbox": True,
        "scale_x_y": 1.0
    }
    return operator("yolo_box", {"X": x,
                                 "ImgSize": size}, attrs, "Boxes",
                    ("Scores", ))


def roi_align(x):
    boxes = np.array([[0, 0, 4, 4], [1, 1, 7, 6]], np.float32)
    count = paddle.to_tensor(np.array([1, 1], np.int32))
    attrs = {
        "pooled_height": 2,
        "pooled_width": 2,
        "spatial_scale": 1.0,
        "sampling_ratio": 2,
        "aligned": False
    }
    return operator("roi_align", {
        "X": x,
        "ROIs": paddle.to_tensor(boxes).astype(x.dtype),
        "RoisNum": count
    }, attrs)


def deform_conv(x, offset):
    attrs = {
        "strides": [1, 1],
        "paddings": [1, 1],
        "dilations": [1, 1],
        "groups": 1,
        "deformable_groups": 1,
        "im2col_step": 1
    }
    return operator("deformable_conv", {
        "Input": x,
        "Offset": offset * 0.1,
        "Mask": F.sigmoid(offset[:, :9]),
        "Filter": weight(6, 4, 3, 3)
    }, attrs, "Output")


def cross_entropy(x):
    label = paddle.to_tensor(np.array([[1], [0], [2]]))
    return F.softmax_with_cross_entropy(x, label)


def nms(boxes, scores):
    corner, size = boxes[:, :, :2].abs(), boxes[:, :, 2:].abs() + 0.5
    boxes = paddle.concat([corner, corner + size], 2)
    attrs = {
        "score_threshold": 0.1,
        "nms_top_k": 4,
        "keep_top_k": 4,
        "nms_threshold": 0.5,
        "normalized": True,
        "nms_eta": 1.0,
        "background_label": -1
    }
    return operator("multiclass_nms3",
                    {"BBoxes": boxes,
                     "Scores": scores.abs()}, attrs, "Out",
                    ("Index", "NmsRoisNum"))


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
    "norm": (lambda x: operator("norm", {"X": x}, {
        "axis": 1,
        "epsilon": 1e-10,
        "is_test": True
    }, "Out", ("Norm", )), [ROWS]),
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
    "affine_channel": (lambda x: operator("affine_channel", {
        "X": x,
        "Scale": weight(4),
        "Bias": weight(4)
    }, {"data_layout": "NCHW"}), [IMAGE]),
    "matmul": (lambda x: operator("matmul", {
        "X": x,
        "Y": weight(5, 6)
    }, {"transpose_Y": True,
        "alpha": 0.5}), [ROWS]),
    "mul": (lambda x: operator("mul", {
        "X": x,
        "Y": weight(6, 5)
    }, {"x_num_col_dims": 1,
        "y_num_col_dims": 1}), [ROWS]),
    "mean": (lambda x: operator("mean", {"X": x}), [ROWS]),
    "data_norm": (data_norm, [ROWS]),
    "dist": (lambda x, y: paddle.dist(x, y, 2), [ROWS, ROWS]),
    "softmax_with_cross_entropy": (cross_entropy, [ROWS]),
    "rnn": (lstm, [(2, 5, 6)]),
    "deformable_conv": (deform_conv, [IMAGE, (2, 18, 8, 8)]),
    "depthwise_conv2d_transpose": (lambda x: F.conv2d_transpose(
        x, weight(4, 1, 2, 2), stride=2, groups=4), [IMAGE]),
    "max_pool2d_with_index":
    (lambda x: F.max_pool2d(x, 2, return_mask=True)[0], [IMAGE]),
    "max_pool3d_with_index":
    (lambda x: F.max_pool3d(x, 2, return_mask=True)[0], [(1, 2, 4, 4, 4)]),
    "linear_interp_v2": (lambda x: F.interpolate(
        x, size=[12], mode="linear", data_format="NCW"), [(2, 3, 6)]),
    "trilinear_interp_v2": (lambda x: F.interpolate(
        x, size=[6, 6, 6], mode="trilinear", data_format="NCDHW"),
                            [(1, 2, 3, 3, 3)]),
    "bilinear_interp": (resize("bilinear_interp"), [IMAGE]),
    "nearest_interp": (resize("nearest_interp"), [IMAGE]),
    "roi_align": (roi_align, [IMAGE]),
    "yolo_box": (yolo_box, [(1, 14, 4, 4)]),
    "multiclass_nms3": (nms, [(1, 5, 4), (1, 2, 5)]),
    "elementwise_floordiv": (lambda x, y: x // (y.abs() + 0.5), [ROWS, ROWS]),
    "elementwise_mod": (lambda x, y: x % (y.abs() + 0.5), [ROWS, ROWS]),
    "elementwise_mod fp32":
    (lambda x, y: paddle.mod(x, (y.abs() + 0.5).astype("float32")),
     [ROWS, ROWS]),
    "elementwise_add fp32": (lambda x, y: paddle.add(x, y.astype("float32")),
                             [ROWS, ROWS]),
    "matmul_v2 fp32":
    (lambda x: paddle.matmul(x, weight(6, 5).astype("float32")), [ROWS]),
    "atan2": (lambda x, y: paddle.atan2(x, y), [ROWS, ROWS]),
    "brelu": (lambda x: operator("brelu", {"X": x}, {"t_min": -0.5,
                                                     "t_max": 0.5}), [ROWS]),
    "greater_equal": (lambda x, y: (x >= y).astype(x.dtype), [ROWS, ROWS]),
    "less_than": (lambda x, y: (x < y).astype(x.dtype), [ROWS, ROWS]),
    "less_equal": (lambda x, y: (x <= y).astype(x.dtype), [ROWS, ROWS]),
    "not_equal": (lambda x, y: (x != y).astype(x.dtype), [ROWS, ROWS]),
    "logical_and": (lambda x, y: paddle.logical_and(x > 0, y > 0).astype(
        x.dtype), [ROWS, ROWS]),
    "logical_or": (lambda x, y: paddle.logical_or(x > 0, y > 0).astype(
        x.dtype), [ROWS, ROWS]),
    "logical_xor": (lambda x, y: paddle.logical_xor(x > 0, y > 0).astype(
        x.dtype), [ROWS, ROWS]),
    "logical_not": (lambda x: paddle.logical_not(x > 0).astype(x.dtype),
                    [ROWS]),
    "bitwise_and": (lambda x, y: paddle.bitwise_and(x > 0, y > 0).astype(
        x.dtype), [ROWS, ROWS]),
    "bitwise_or": (lambda x, y: paddle.bitwise_or(
        (x * 8).astype("int32"), (y * 8).astype("int32")).astype(x.dtype),
                   [ROWS, ROWS]),
    "bitwise_xor": (lambda x, y: paddle.bitwise_xor(
        (x * 8).astype("int32"), (y * 8).astype("int32")).astype(x.dtype),
                    [ROWS, ROWS]),
    "bitwise_not": (lambda x: paddle.bitwise_not(
        (x * 8).astype("int32")).astype(x.dtype), [ROWS]),
    "einsum": (lambda x, y: paddle.einsum("bij,bjk->bik", x, y),
               [(2, 3, 4), (2, 4, 5)]),
    "repeat_interleave": (lambda x: paddle.repeat_interleave(x, 3, 1),
                          [(2, 3, 4)]),
    "reduce_all": (lambda x: paddle.all(x > -1, 1).astype(x.dtype), [ROWS]),
    "reduce_any": (lambda x: paddle.any(x > 1, 1).astype(x.dtype), [ROWS]),
    "fill_zeros_like":
    (lambda x: x + operator("fill_zeros_like", {"X": x}), [ROWS]),
    "fill_constant_batch_size_like":
    (lambda x: x + operator("fill_constant_batch_size_like", {"Input": x}, {
        "shape": [1, 6],
        "value": 0.3,
        "dtype": 4,
        "input_dim_idx": 0,
        "output_dim_idx": 0
    }), [ROWS]),
    "gaussian_random": (lambda x: x + paddle.randn([3, 6], x.dtype) * 0,
                        [ROWS]),
    "empty": (lambda x: paddle.shape(paddle.empty([3, 6], x.dtype) + x),
              [ROWS]),
    "eye": (lambda x: x + paddle.eye(3, 6, dtype=x.dtype), [ROWS]),
    "range": (lambda x: x + paddle.arange(0, 6, 1, x.dtype), [ROWS]),
    "linspace": (lambda x: operator("linspace", {
        "Start": x[0],
        "Stop": x[1],
        "Num": paddle.to_tensor(np.array([5], np.int32))
    }, {"dtype": 4}), [(2, 1)]),
    "assign_value": (assign_value, [ROWS]),
    "set_value": (set_value, [ROWS]),
    "top_k": (lambda x: operator("top_k", {"X": x}, {"k": 2}, "Out",
                                 ("Indices", )), [ROWS]),
    "partial_concat":
    (lambda x, y: operator("partial_concat", {"X": [x, y]}, {
        "start_index": 1,
        "length": 3
    }), [ROWS, ROWS]),
    "partial_sum": (lambda x, y: operator("partial_sum", {"X": [x, y]}, {
        "start_index": 1,
        "length": 3
    }), [ROWS, ROWS]),
    "index_sample": (lambda x: paddle.index_sample(x, index(3, 2)), [ROWS]),
    "lookup_table": (lambda x: paddle.concat([
        x, operator("lookup_table", {"W": weight(5, 6),
                                     "Ids": index(3, 1)})
    ]), [ROWS]),
    "expand": (lambda x: operator("expand", {"X": x}, {"expand_times": [1, 2]}
                                  ), [ROWS]),
    "flatten2": (lambda x: operator("flatten2", {"X": x}, {"axis": 1}, "Out",
                                    ("XShape", )), [IMAGE]),
    "pad": (lambda x: F.pad(x, [1, 1, 0, 2], value=0.5), [ROWS]),
    "meshgrid": (lambda x, y: paddle.meshgrid(x[0], y[0])[0], [ROWS, ROWS]),
    "share_data": (lambda x: operator("share_data", {"X": x}) + 1, [ROWS]),
    "size": (lambda x: paddle.numel(x), [ROWS]),
    "unique": (lambda x: paddle.unique(x), [ROWS]),
    "where_index": (lambda x: paddle.nonzero(x > 0), [ROWS]),
}

# where a form of several nodes cancels, overflows or underflows in FP16
CASES.update({
    "log1p small": (lambda x: paddle.log1p(x.abs() * 1e-3), [ROWS]),
    "logsigmoid tail": (lambda x: F.log_sigmoid(x.abs() * -8 - 4), [ROWS]),
    "logsigmoid far": (lambda x: F.log_sigmoid(x * 300), [ROWS]),
    "softplus tail": (lambda x: F.softplus(x.abs() * -2 - 4), [ROWS]),
    "softplus large": (lambda x: F.softplus(x * 30), [ROWS]),
    "mish tail": (lambda x: F.mish(x.abs() * -2 - 3), [ROWS]),
    "mish large": (lambda x: F.mish(x * 20), [ROWS]),
    "gelu tail": (lambda x: F.gelu(x.abs() * -0.3 - 2), [ROWS]),
    "gelu tanh tail":
    (lambda x: F.gelu(x.abs() * -0.3 - 2, approximate=True), [ROWS]),
    "gelu large": (lambda x: F.gelu(x * 100, approximate=True), [ROWS]),
    "silu large": (lambda x: F.silu(x * 30), [ROWS]),
    "swish tail": (lambda x: F.swish(x.abs() * -2 - 4), [ROWS]),
    "tanh_shrink small": (lambda x: F.tanhshrink(x * 0.0625), [ROWS]),
    "elu small": (lambda x: F.elu(x * 1e-3), [ROWS]),
    "selu small": (lambda x: F.selu(x * 1e-3), [ROWS]),
    "logsumexp large": (lambda x: paddle.logsumexp(x * 200, 1), [ROWS]),
    "log_softmax large": (lambda x: F.log_softmax(x * 200, 1), [ROWS]),
    "softmax large": (lambda x: F.softmax(x * 200, 1), [ROWS]),
    "p_norm large": (lambda x: paddle.norm(x * 500, p=2, axis=1), [ROWS]),
    "p_norm small": (lambda x: paddle.norm(x * 1e-3, p=2, axis=1), [ROWS]),
    "layer_norm large":
    (lambda x: F.layer_norm(x * 500, [6], weight(6), weight(6)), [ROWS]),
    "instance_norm large": (lambda x: F.instance_norm(
        x * 500, weight=weight(4), bias=weight(4), eps=1e-5), [IMAGE]),
    "group_norm large": (lambda x: group_norm(x * 500), [IMAGE]),
    "reduce_mean large": (lambda x: paddle.mean(x * 10000, 1), [ROWS]),
    "scale large": (lambda x: paddle.scale(x * 1e-3, 1e5), [ROWS]),
    "scale small": (lambda x: paddle.scale(x * 1e4, 1e-6), [ROWS]),
    "scale bias small":
    (lambda x: paddle.scale(x * 1e-5, 1.0, 1e-6, False), [ROWS]),
    "pow small": (lambda x: paddle.pow(x.abs() + 0.5, 1e-5), [ROWS]),
    "layer_norm bias": (lambda x: F.layer_norm(x, [6], None, weight(6)),
                        [ROWS]),
    "layer_norm scale": (lambda x: F.layer_norm(x, [6], weight(6), None),
                         [ROWS]),
})

# mappers that no FP16 program has
WITHOUT_FP16 = {
    "quantize_linear": "INT8 models: their float type is FP32",
    "dequantize_linear": "INT8 models: their float type is FP32",
    "sel": "no operator of Paddle has this name",
}


class Single(paddle.nn.Layer):
    """One operator. Tensors that the function makes itself become constants."""

    def __init__(self, function, count):
        super(Single, self).__init__()
        self.function, self.count = function, count

    def forward(self, x, y=None):
        Weights.taken = 0
        return self.function(x) if self.count == 1 else self.function(x, y)


class Case(object):
    """The program of one operator with inputs and references.

    Paddle refuses to trace some operators in FP16 on a CPU. Those are saved in
    float32 and halved (fp16_base.halve): the program is the same.
    """

    def __init__(self, name, directory, run=True):
        self.name = name
        function, shapes = CASES[name]
        random = np.random.RandomState(1)
        self.inputs = [random.randn(*s).astype(np.float16) for s in shapes]
        self.path = os.path.join(directory, name.replace(" ", "_"))
        try:
            self._save(function, shapes, "float16", self.path)
            self.halved = False
        except Exception:
            self._save(function, shapes, "float32", self.path + ".whole")
            halve(self.path + ".whole", self.path)
            self.halved = True
        if run:
            self.want = evaluate(self.path, self.inputs)[0]
            self.near = evaluate(self.path, self.inputs, rounded=True)[0]

    def _save(self, function, shapes, dtype, path):
        layer = Single(function, len(shapes))
        Weights.layer, Weights.names = layer, []
        with paddle.no_grad():  # in float32, to make the parameters
            layer(*[
                paddle.to_tensor(v.astype(np.float32)) for v in self.inputs
            ])
        if dtype == "float16":
            layer.to(dtype=dtype)
        layer.eval()
        specs = [
            paddle.static.InputSpec(s, dtype, "x%d" % i)
            for i, s in enumerate(shapes)
        ]
        paddle.jit.save(layer, path, input_spec=specs)

    def control(self):
        return errors(self.near, self.want)["max"]

    def operators(self):
        """Names of the operators that the program holds."""
        ops = read_program(self.path + ".pdmodel").blocks[0].ops
        return sorted(set(op.type for op in ops) - {"feed", "fetch"})

    def result_type(self):
        """Type that the program gives its result."""
        program = read_program(self.path + ".pdmodel")
        fetch = [op for op in program.blocks[0].ops if op.type == "fetch"][0]
        name = arguments(fetch.inputs)[0]
        return DTYPE_NAMES[dtypes(program)[name]]


class Mixed(Case):
    """A case whose operator reads FP16 and FP32 tensors.

    Its first float input is FP16 and every other one FP32 as AMP leaves them,
    or, with `first`, the other way round. The result has the type of the first.
    """

    def __init__(self, case, first=False):
        self.name = case.name + (", first FP32" if first else ", others FP32")
        self.inputs, self.halved = case.inputs, case.halved
        self.path = case.path + (".first" if first else ".others")
        program = read_program(case.path + ".pdmodel")
        block = program.blocks[0]
        values = read_params(case.path + ".pdiparams", saved_names(program))
        variables = {var.name: var for var in block.vars}
        types = dtypes(program)
        changed = type(block)()
        for op in block.ops:
            after = []
            floats = float_inputs(op, types)
            if op.type == case.name.split()[0] and len(floats) > 1:
                wide = floats[:1] if first else floats[1:]
                for name in set(wide) - set(floats[:1] if not first else ()):
                    if name in values:  # the parameter itself is FP32
                        values[name] = values[name].astype(np.float32)
                        tensor_desc(variables[name]).data_type = FP32
                        continue
                    made = self._variable(block, variables, name)
                    add_op(
                        changed,
                        "cast", {"X": name},
                        made,
                        in_dtype=FP16,
                        out_dtype=FP32)
                    self._replace(op.inputs, name, made)
                if first:
                    for name in arguments(
                        [o for o in op.outputs if o.parameter not in AUXILIARY
                         ]):
                        if types.get(name) != FP16:
                            continue
                        made = self._variable(block, variables, name)
                        after.append((made, name))
                        self._replace(op.outputs, name, made)
            changed.ops.add().CopyFrom(op)
            for made, name in after:
                add_op(
                    changed,
                    "cast", {"X": made},
                    name,
                    in_dtype=FP32,
                    out_dtype=FP16)
        del block.ops[:]
        block.ops.extend(changed.ops)
        write_program(program, self.path + ".pdmodel")
        if values:
            write_params(values, self.path + ".pdiparams")
        self.want = evaluate(self.path, self.inputs)[0]
        self.near = evaluate(self.path, self.inputs, rounded=True)[0]

    def _variable(self, block, variables, name):
        made = name + "@mixed"
        if made not in variables:
            var = block.vars.add()
            var.CopyFrom(variables[name])
            var.name, var.persistable = made, False
            tensor_desc(var).data_type = FP32
            variables[made] = var
        return made

    def _replace(self, entries, old, new):
        for entry in entries:
            for position, name in enumerate(entry.arguments):
                if name == old:
                    entry.arguments[position] = new


def float_inputs(op, types):
    """Names of the FP16 tensors that an operator reads, the data first."""
    data = ("X", "Input", "BBoxes", "W")
    entries = sorted(op.inputs, key=lambda entry: entry.parameter not in data)
    names = []
    for name in arguments(entries):
        if types.get(name) == FP16 and name not in names:
            names.append(name)
    return names


def mixes(case):
    """Both mixes of a case whose operator has several float inputs."""
    program = read_program(case.path + ".pdmodel")
    types = dtypes(program)
    kind = case.name.split()[0]
    if kind == "batch_norm":  # updates its inputs in place; has its own row
        return []
    if any(op.type == kind and len(float_inputs(op, types)) > 1
           for op in program.blocks[0].ops):
        return [Mixed(case), Mixed(case, first=True)]
    return []


def judge(model, case, dtype=None, limit=LIMIT):
    """("ok" or what is wrong with the bytes of a model, error, detail)."""
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        return "not valid", None, brief(error)
    try:
        got = run_onnx(model, case.inputs)[0]
    except Exception as error:
        return "does not run", None, brief(error)
    if got.shape != case.want.shape:
        return "wrong shape", None, "%s, Paddle has %s" % (got.shape,
                                                           case.want.shape)
    if dtype and str(got.dtype) != dtype:
        return "wrong type", None, "%s, Paddle has %s" % (got.dtype, dtype)
    if not np.isfinite(got.astype(np.float64)).all():
        return "not finite", None, ""
    gap = errors(got, case.want)["max"]
    return "ok" if gap <= limit else "differs", gap, ""


def float32(case, opset):
    """What the core makes of the same program in float32.

    Returns:
        tuple: (a word of judge(), whether it passes the full check).
    """
    try:
        model = convert(case.path + ".float32", opset)
    except Exception:
        return "not converted", False
    return judge(model, case)[0], fully_valid(model)


# nodes that move or describe data
MOVES = ("Constant", "Identity", "Cast", "Shape", "Reshape", "Transpose",
         "Squeeze", "Unsqueeze", "Slice", "Gather", "Concat", "Split",
         "Expand", "Flatten", "ConstantOfShape", "Tile")


def nodes(model, case):
    """Error of the model computed node by node; None where that says nothing.

    A graph of one node rounds once, whatever onnx.reference does inside.
    """
    graph = onnx.ModelProto.FromString(model).graph
    if sum(node.op_type not in MOVES for node in graph.node) < 2:
        return None
    try:
        got = run_nodes(model, case.inputs)[0]
    except Exception:  # an operator that onnx.reference does not have
        return None
    if np.shape(got) != case.want.shape:
        return None
    if not np.isfinite(np.asarray(got, np.float64)).all():
        return float("inf")
    return errors(got, case.want)["max"]


def run(case, opset):
    """One row of the table.

    Returns:
        dict: "operator", "holds" (operators of the program), "opset" (used),
        "result" ("ok" or what is wrong), "max" (error of ONNX Runtime against
        float32), "nodes" (error node by node), "control" (of rounding alone),
        "casts" (in the graph), "full_check"; where one of both is not good,
        "float32" and "float32_full": the same program in float32.
    """
    row = {
        "operator": case.name,
        "asked": opset,
        "halved": case.halved,
        "holds": case.operators(),
        "control": case.control()
    }
    try:
        model = convert(case.path, opset)
    except Exception as error:
        row.update(
            result="not converted",
            detail=brief(error),
            opset=opset,
            full_check=False)
    else:
        row.update(
            opset=opset_of(model),
            casts=casts(model),
            full_check=fully_valid(model),
            nodes=nodes(model, case))
        limit = max(LIMIT, 2 * row["control"])
        result, gap, detail = judge(model, case, case.result_type(), limit)
        if result == "ok" and row["nodes"] is not None:
            if row["nodes"] > max(NODE_LIMIT, 2 * row["control"]):
                result = "differs node by node"
        row.update(result=result)
        if gap is not None:
            row["max"] = gap
        if detail:
            row["detail"] = detail
    if row["result"] != "ok" or not row["full_check"]:
        row["float32"], row["float32_full"] = float32(case, opset)
    return row


def fully_valid(model):
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception:  # of a rank that is wrong in float32 as well
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
            try:
                case = Case(name, directory)
                cases = [case] + mixes(case)
            except Exception as error:
                rows.append({
                    "operator": name,
                    "result": "not saved",
                    "detail": brief(error)
                })
                continue
            rows.extend(run(one, opset) for one in cases for opset in opsets)
    return rows


if __name__ == "__main__":
    found = table([int(v) for v in sys.argv[2].split(",")], sys.argv[3:])
    with open(sys.argv[1], "w") as out:
        json.dump(found, out, indent=1)
