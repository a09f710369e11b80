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
"""What the FP16 tests share: programs, two references, the error measure.

Paddle has no FP16 kernels on a CPU, but it can save an FP16 program there. Two
evaluations of such a program run everywhere:
- float32: every FP16 tensor widened, the FP16 weights unchanged in value;
- rounded: the same, and the FP16 results of every operator rounded to FP16.
  FP16 kernels that compute in float32 give this: it is what FP16 itself costs.
"""

import os
import struct
import unittest

# Paddle 3 writes the .pdmodel that the core reads without its new IR only
os.environ.setdefault("FLAGS_enable_pir_api", "0")

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
import paddle
import paddle2onnx
from onnxruntime import InferenceSession, SessionOptions
try:
    from paddle.base.proto import framework_pb2
except ImportError:  # before Paddle 2.6
    from paddle.fluid.proto import framework_pb2

paddle.disable_signal_handler()

FP16, FP32, BF16 = 4, 5, 22
DTYPE_NAMES = {
    0: "bool",
    1: "int16",
    2: "int32",
    3: "int64",
    4: "float16",
    5: "float32",
    6: "float64",
    20: "uint8",
    21: "int8",
    22: "bfloat16"
}
ITEM_SIZE = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2}
# integer attributes that hold a data type
DTYPE_ATTRS = ("dtype", "in_dtype", "out_dtype")
# variables that hold no tensor: FEED_MINIBATCH, FETCH_LIST, READER, RAW
NOT_SAVED = (9, 10, 15, 17)

LIMIT = 1e-3  # of the largest value of an output
# results that carry no value on to the next operator; some are never written
AUXILIARY = ("XShape", "Mask", "ReserveSpace", "SavedMean", "SavedVariance",
             "MeanOut", "VarianceOut", "Mean", "Variance")

# ONNX Runtime folds batch normalization and factors into FP16 weights and
# rounds the products once more. The graph that it has does not ask for that.
REROUNDING = [
    "ConvBNFusion", "ConvMulFusion", "ConvAddFusion", "MatMulBNFusion"
]


def read_program(path):
    with open(path, "rb") as file:
        return framework_pb2.ProgramDesc.FromString(file.read())


def write_program(program, path):
    with open(path, "wb") as file:
        file.write(program.SerializeToString())


def tensor_desc(var):
    """TensorDesc of a variable, or None where it holds no tensor."""
    if var.type.type in NOT_SAVED:
        return None
    for field in ("lod_tensor", "tensor_array"):
        if var.type.HasField(field):
            return getattr(var.type, field).tensor
    return None


def dtypes(program):
    """{variable name: Paddle data type number} of all blocks."""
    found = {}
    for block in program.blocks:
        for var in block.vars:
            if tensor_desc(var) is not None:
                found[var.name] = tensor_desc(var).data_type
    return found


def arguments(entries):
    return [name for entry in entries for name in entry.arguments]


def saved_names(program):
    """Names of the parameters in the order of the parameter file."""
    return sorted(var.name for block in program.blocks for var in block.vars
                  if var.persistable and var.type.type not in NOT_SAVED)


def read_params(path, names):
    """{name: array} of a combined parameter file; {} where there is none."""
    values, at = {}, 0
    if not os.path.isfile(path):
        return values
    with open(path, "rb") as file:
        data = file.read()
    kinds = {0: "?", 1: "i2", 2: "i4", 3: "i8", 4: "f2", 5: "f4", 6: "f8"}
    kinds.update({20: "u1", 21: "i1"})
    for name in names:
        size = struct.unpack_from("<IQIi", data, at)[3]
        desc = framework_pb2.VarType.TensorDesc.FromString(
            data[at + 20:at + 20 + size])
        at += 20 + size
        count = int(np.prod(desc.dims, dtype=np.int64))
        end = at + count * ITEM_SIZE[desc.data_type]
        values[name] = np.frombuffer(
            data[at:end], kinds[desc.data_type]).reshape(tuple(desc.dims))
        at = end
    assert at == len(data), path
    return values


def write_params(values, path):
    """Write a combined parameter file of {name: array}."""
    numbers = {name: number for number, name in DTYPE_NAMES.items()}
    with open(path, "wb") as file:
        for name in sorted(values):
            value = np.asarray(values[name])
            desc = framework_pb2.VarType.TensorDesc(
                data_type=numbers[str(value.dtype)], dims=list(value.shape))
            head = desc.SerializeToString()
            file.write(struct.pack("<IQIi", 0, 0, 0, len(head)))
            file.write(head + value.tobytes())


def params_file(path):
    return path + ".pdiparams" if os.path.isfile(path + ".pdiparams") else ""


def change_dtypes(program, old, new, keep=()):
    """Change a data type of all variables but those in `keep`, in place."""
    for block in program.blocks:
        for var in block.vars:
            desc = tensor_desc(var)
            if desc is not None and desc.data_type == old:
                if var.name not in keep:
                    desc.data_type = new
        for op in block.ops:
            for attr in op.attrs:
                if attr.name in DTYPE_ATTRS and attr.HasField("i"):
                    attr.i = new if attr.i == old else attr.i
    return program


def copy_program(program):
    copied = framework_pb2.ProgramDesc()
    copied.CopyFrom(program)
    return copied


def session(model, exact=True):
    """ONNX Runtime on the CPU for the bytes of a model.

    Args:
        exact (bool): leave out the optimizations that change FP16 weights.
    """
    options = SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return InferenceSession(
        model,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=REROUNDING if exact else [])


def calibrate(layer, *inputs):
    """Give batch normalization the statistics of `inputs`, as training does."""
    layer.eval()
    norms = [m for m in layer.sublayers() if hasattr(m, "_variance")]
    before = [m._momentum for m in norms]
    for norm in norms:
        norm.train()
        norm._momentum = 0.0
    with paddle.no_grad():
        layer(*inputs)
    for norm, momentum in zip(norms, before):
        norm._momentum = momentum
    layer.eval()
    return layer


def to_mixed(layer):
    """FP16 as AMP leaves it: weights of convolutions and matrices alone."""
    halves = (paddle.nn.Conv2D, paddle.nn.Conv2DTranspose, paddle.nn.Linear,
              paddle.nn.Embedding)
    for sub in layer.sublayers(include_self=True):
        if isinstance(sub, halves):
            sub.to(dtype="float16")
        elif isinstance(sub, paddle.nn.LayerNorm):
            sub.register_forward_pre_hook(
                lambda _, x: tuple(v.astype("float32") for v in x))
            sub.register_forward_post_hook(lambda _, x, y: y.astype("float16"))
        elif not hasattr(sub, "_variance"):
            for name, value in list(sub._parameters.items()):
                if value is not None and value.dtype == paddle.float32:
                    half = sub.create_parameter(
                        value.shape, value.name + "_half", dtype="float16")
                    half.set_value(value.astype("float16"))
                    sub._parameters[name] = half
    return layer


class Float32Inside(paddle.nn.Layer):
    """FP16 weights behind FP32 inputs and outputs."""

    def __init__(self, layer):
        super(Float32Inside, self).__init__()
        self.layer = layer

    def forward(self, x):
        out = self.layer(x.astype("float16"))
        if isinstance(out, (list, tuple)):
            return [o.astype("float32") for o in out]
        return out.astype("float32")


def save(layer, path, specs, kind="fp16"):
    """Save a layer as an FP16 program.

    Args:
        layer: in float32; it is changed.
        path (str): prefix of the files.
        specs (list): (shape, data type) of the inputs; float32 stands for the
            network's own float type.
        kind (str): "fp16", "mixed", or "fp32_input".
    """
    layer.eval()
    dtype = "float16"
    if kind == "mixed":
        to_mixed(layer)
    else:
        # to() would make floats of index tables as well
        tables = [(owner, key, table.clone())
                  for owner in layer.sublayers(include_self=True)
                  for key, table in owner._buffers.items()
                  if table is not None and not table.is_floating_point()]
        layer.to(dtype="float16")
        for owner, key, table in tables:
            owner._buffers[key] = table
    if kind == "fp32_input":
        layer, dtype = Float32Inside(layer), "float32"
        layer.eval()
    inputs = [
        paddle.static.InputSpec(shape, dtype if given == "float32" else given,
                                "x%d" % index)
        for index, (shape, given) in enumerate(specs)
    ]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        paddle.jit.save(layer, path, input_spec=inputs)
    except TypeError as error:
        if "but got Variable" in str(error):
            raise unittest.SkipTest(
                "Paddle %s cannot trace it without its new IR" %
                paddle.__version__)
        raise
    return path


def halve(path, target):
    """Write an FP16 copy of a saved float32 program and its parameters.

    Statistics and factors of batch normalization stay FP32, as AMP leaves them:
    the variances of trained networks leave the range of FP16.
    """
    program = read_program(path + ".pdmodel")
    values = read_params(path + ".pdiparams", saved_names(program))
    wide = set()
    for op in program.blocks[0].ops:
        if op.type == "batch_norm":
            wide.update(arguments([v for v in op.inputs if v.parameter != "X"]))
    for name, value in values.items():
        if value.dtype == np.float32 and name not in wide:
            values[name] = value.astype(np.float16)
    write_program(
        change_dtypes(program, FP32, FP16, wide), target + ".pdmodel")
    if values:
        write_params(values, target + ".pdiparams")
    return target


def add_op(block, kind, inputs, output, **attrs):
    """One operator with FP32 or boolean attributes only."""
    op = block.ops.add(type=kind)
    for parameter, name in inputs.items():
        op.inputs.add(parameter=parameter, arguments=[name])
    op.outputs.add(parameter="Out", arguments=[output])
    for name, value in attrs.items():
        kinds = framework_pb2.AttrType
        if isinstance(value, bool):
            op.attrs.add(name=name, type=kinds.Value("BOOLEAN"), b=value)
        elif isinstance(value, float):
            op.attrs.add(name=name, type=kinds.Value("FLOAT"), f=value)
        else:
            op.attrs.add(name=name, type=kinds.Value("INT"), i=value)


def _round_results(program, lowered):
    """Round every FP16 result of every operator to FP16, to nearest.

    Paddle's own cast on a CPU cuts digits off. x * 8193 - (x * 8193 - x) in
    float32 is x to 11 digits, rounded to nearest (Veltkamp); the cast is then
    exact.
    """
    types = dtypes(program)
    block = lowered.blocks[0]
    ops = list(block.ops)
    variables = {var.name: var for var in block.vars}
    rounded = type(block)()
    for op in ops:
        rounded.ops.add().CopyFrom(op)
        if op.type in ("feed", "fetch"):
            continue
        for name in arguments(
            [o for o in op.outputs if o.parameter not in AUXILIARY]):
            if types.get(name) != FP16 or name not in variables:
                continue
            made = [name + end for end in ("@wide", "@rest", "@near", "@half")]
            for index, new in enumerate(made):
                if new in variables:
                    continue
                var = block.vars.add()
                var.CopyFrom(variables[name])
                var.name, var.persistable = new, False
                if index == 3:
                    tensor_desc(var).data_type = FP16
                variables[new] = var
            wide, rest, near, half = made
            add_op(
                rounded,
                "scale", {"X": name},
                wide,
                scale=8193.0,
                bias=0.0,
                bias_after_scale=True)
            add_op(
                rounded,
                "elementwise_sub", {"X": wide,
                                    "Y": name},
                rest,
                axis=-1)
            add_op(
                rounded,
                "elementwise_sub", {"X": wide,
                                    "Y": rest},
                near,
                axis=-1)
            add_op(
                rounded, "cast", {"X": near}, half, in_dtype=5, out_dtype=4)
            add_op(
                rounded, "cast", {"X": half}, name, in_dtype=4, out_dtype=5)
    del block.ops[:]
    block.ops.extend(rounded.ops)
    return lowered


def lower(path, rounded=False):
    """Write the FP16 program `path` in float32, or rounded; the new prefix."""
    program = read_program(path + ".pdmodel")
    lowered = change_dtypes(copy_program(program), FP16, FP32)
    if rounded:
        lowered = _round_results(program, lowered)
    target = path + (".rounded" if rounded else ".float32")
    write_program(lowered, target + ".pdmodel")
    values = read_params(path + ".pdiparams", saved_names(program))
    if values:
        write_params({
            name: value.astype(np.float32)
            if value.dtype == np.float16 else value
            for name, value in values.items()
        }, target + ".pdiparams")
    return target


def evaluate(path, inputs, rounded=False):
    """Outputs of the FP16 program `path` in Paddle: float32, or rounded."""
    target = lower(path, rounded)
    if rounded:
        inputs = [
            x.astype(np.float32) if x.dtype == np.float16 else x
            for x in inputs
        ]
    paddle.enable_static()
    try:
        scope = paddle.static.Scope()
        with paddle.static.scope_guard(scope):
            executor = paddle.static.Executor(paddle.CPUPlace())
            loaded, feeds, fetches = paddle.static.load_inference_model(
                target, executor)
            feed = {
                name: x.astype(np.float32) if x.dtype == np.float16 else x
                for name, x in zip(feeds, inputs)
            }
            return executor.run(loaded, feed=feed, fetch_list=fetches)
    finally:
        paddle.disable_static()


def run_onnx(model, inputs, exact=True):
    """Outputs of an ONNX model; float inputs get the type that it asks for."""
    running = session(model, exact)
    kinds = {"tensor(float16)": np.float16, "tensor(float)": np.float32}
    feed = {}
    for entry, value in zip(running.get_inputs(), inputs):
        if value.dtype in (np.float16, np.float32):
            value = value.astype(kinds[entry.type])
        feed[entry.name] = value
    return running.run(None, feed)


class BatchNormalization(OpRun):
    """Inference; onnx.reference mixes in the batch's own below opset 14."""

    def _run(self, x, scale, bias, mean, var, epsilon=None, **_):
        shape = (-1, ) + (1, ) * (x.ndim - 2)
        scale, bias, mean, var = [
            np.asarray(v, np.float32).reshape(shape)
            for v in (scale, bias, mean, var)
        ]
        y = (x.astype(np.float32) - mean) / np.sqrt(var + epsilon)
        return ((y * scale + bias).astype(x.dtype), )


class LayerNormalization(OpRun):
    """Statistics in FP32 (stash_type 1), which onnx.reference leaves out."""

    def _run(self, x, scale, bias=None, axis=None, epsilon=None, **_):
        wide = x.astype(np.float32)
        axes = tuple(range(axis % x.ndim, x.ndim))
        wide = wide - wide.mean(axes, keepdims=True)
        wide /= np.sqrt((wide * wide).mean(axes, keepdims=True) + epsilon)
        wide = wide * scale + (0 if bias is None else bias)
        return (wide.astype(x.dtype), )


def run_nodes(model, inputs):
    """Outputs of an ONNX model that is computed node by node, in its types.

    ONNX Runtime computes FP16 nodes in float32 on a CPU and rounds between some
    of them only; this rounds every result, as a GPU does.
    """
    graph = onnx.ModelProto.FromString(model)
    kinds = {1: np.float32, 10: np.float16}
    feed = {}
    for entry, value in zip(graph.graph.input, inputs):
        if value.dtype in (np.float16, np.float32):
            value = value.astype(kinds[entry.type.tensor_type.elem_type])
        feed[entry.name] = value
    with np.errstate(all="ignore"):
        ops = [BatchNormalization, LayerNormalization]
        return ReferenceEvaluator(graph, new_ops=ops).run(None, feed)


def errors(got, want):
    """{max, mean, cosine}: absolute errors over the largest |want|."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, (got.shape, want.shape)
    assert np.isfinite(got).all(), "the result is not finite"
    scale = np.abs(want).max() or 1.0
    gap = np.abs(got - want) / scale
    norms = np.linalg.norm(got) * np.linalg.norm(want)
    cosine = float((got * want).sum() / norms) if norms else 1.0
    return {
        "max": float(gap.max()),
        "mean": float(gap.mean()),
        "cosine": cosine
    }


def casts(model):
    """Number of Cast nodes in the bytes of a model."""
    graph = onnx.ModelProto.FromString(model).graph
    return sum(node.op_type == "Cast" for node in graph.node)


def cast_pairs(model):
    """Number of Casts to FP16 of a Cast to FP32: together they change nothing.

    The other order rounds: a tensor that is FP16 in the program, between two
    operators that compute in float32.
    """
    to = {}
    nodes = onnx.ModelProto.FromString(model).graph.node
    nodes = [node for node in nodes if node.op_type == "Cast"]
    for node in nodes:
        to[node.output[0]] = node.attribute[0].i
    return sum(node.attribute[0].i == onnx.TensorProto.FLOAT16 and to.get(
        node.input[0]) == onnx.TensorProto.FLOAT for node in nodes)


def convert(path, opset=13, **options):
    """Bytes of the ONNX model, by the public call."""
    return paddle2onnx.export(
        path + ".pdmodel",
        params_file(path),
        opset_version=opset,
        verbose=False,
        **options)


def opset_of(model):
    return onnx.ModelProto.FromString(model).opset_import[0].version


def network(name, path, kind="fp16"):
    """Save a network of fp16_models with seeded weights; (path, inputs)."""
    from fp16_models import NETWORKS
    paddle.seed(7)
    random = np.random.RandomState(0)
    make, (specs, shapes) = NETWORKS[name]
    inputs = []
    for shape, dtype in shapes:
        if dtype == "float32":
            # smooth pictures: pooled features differ between the pictures
            coarse = random.randn(*(list(shape[:2]) + [4, 4]))
            fine = np.kron(coarse, np.ones([shape[2] // 4, shape[3] // 4]))
            value = (fine + 0.1 * random.randn(*shape)).astype(np.float16)
        else:
            value = random.randint(0, 2, shape)
            if not inputs:
                value = value * random.randint(1, 400, shape)
        inputs.append(value)
    layer = make()
    for block in layer.sublayers():
        if hasattr(block,
                   "bn3"):  # residual branches of a trained network are small
            block.bn3.weight.set_value(0.25 * block.bn3.weight)
    calibrate(layer, *[
        paddle.to_tensor(v.astype(np.float32) if v.dtype == np.float16 else v)
        for v in inputs
    ])
    save(layer, path, specs, kind)
    if kind == "fp32_input":
        inputs = [v.astype(np.float32) for v in inputs]
    return path, inputs
