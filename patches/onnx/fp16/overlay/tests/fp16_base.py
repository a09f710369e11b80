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
"""What the FP16 tests share: FP16 programs, two references, and the error measure.

Paddle has no FP16 kernels on a CPU, but it can save an FP16 program there. Two
evaluations of such a program run everywhere:
- float32: every FP16 tensor widened, the FP16 weights unchanged in value;
- rounded: the same, and the FP16 results of every operator rounded to FP16. This is
  what FP16 kernels that compute in float32 give, and thus what FP16 itself costs.
"""

import glob
import importlib.machinery
import importlib.util
import os
import sys
import types
import unittest

# Paddle 3 writes the .pdmodel that the core reads without its new IR only
os.environ.setdefault("FLAGS_enable_pir_api", "0")

import numpy as np
import onnx
import paddle
from onnxruntime import InferenceSession, SessionOptions


def core_is_built():
    """Whether the source tree holds its core.

    If not, the core of the release that is installed beside it is used. The
    variable PADDLE2ONNX_CORE names the file of another one.
    """
    folders = [os.path.join(p or ".", "paddle2onnx") for p in sys.path]
    folders = [f for f in folders if os.path.isfile(f + "/__init__.py")]
    cores = [glob.glob(f + "/paddle2onnx_cpp2py_export*") for f in folders]
    given = os.environ.get("PADDLE2ONNX_CORE", "")
    if not given and (not any(cores) or cores[0]):
        return True  # without any, the import says what is missing
    version = types.ModuleType("paddle2onnx.version")
    version.version = "source"
    sys.modules.setdefault(version.__name__, version)
    use_core(given or next(found[0] for found in cores if found))
    return False


def use_core(path):
    """Let the package take the core in the file `path`."""
    name = "paddle2onnx.paddle2onnx_cpp2py_export"
    loader = importlib.machinery.ExtensionFileLoader(name, path)
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    sys.modules[name] = module


BUILT = core_is_built()

from paddle2onnx import fp16  # noqa: E402
from paddle2onnx.fp16 import program as programs  # noqa: E402

paddle.disable_signal_handler()

LIMIT = 1e-3  # of the largest value of an output
# results that carry no value on to the next operator; some are never written
AUXILIARY = ("XShape", "Mask", "ReserveSpace", "SavedMean", "SavedVariance",
             "MeanOut", "VarianceOut", "Mean", "Variance")

# ONNX Runtime folds batch normalization and factors into FP16 weights and rounds the
# products to FP16 once more. The graph that it was given does not ask for that.
REROUNDING = [
    "ConvBNFusion", "ConvMulFusion", "ConvAddFusion", "MatMulBNFusion"
]


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
    """Give batch normalization the statistics of `inputs`, as training would."""
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
    """FP16 as AMP leaves it: convolution and matrix weights FP16, normalization FP32."""
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
    program = programs.read_program(path + ".pdmodel")
    names = programs.saved_names(program)
    data = b""
    if names:
        with open(path + ".pdiparams", "rb") as file:
            data = file.read()
    wide = set()
    for op in program.blocks[0].ops:
        if op.type == "batch_norm":
            wide.update(
                programs.arguments(
                    [v for v in op.inputs if v.parameter != "X"]))
    out, at = [], 0
    for name in names:
        size = int(np.frombuffer(data, "<i4", 1, at + 16)[0])
        desc = programs.TensorDesc.FromString(data[at + 20:at + 20 + size])
        count = int(np.prod(desc.dims, dtype=np.int64))
        width = programs._ITEM_SIZE[desc.data_type]
        raw = data[at + 20 + size:at + 20 + size + count * width]
        at += 20 + size + count * width
        if desc.data_type == programs.FP32 and name not in wide:
            desc.data_type = programs.FP16
            raw = np.frombuffer(raw, np.float32).astype(np.float16).tobytes()
        head = desc.SerializeToString()
        out.append(b"\0" * 16 + np.int32(len(head)).tobytes() + head + raw)
    for block in program.blocks:
        for var in block.vars:
            desc = programs.tensor_desc(var)
            if desc is None or var.name in wide:
                continue
            if desc.data_type == programs.FP32:
                desc.data_type = programs.FP16
        for op in block.ops:
            for attr in op.attrs:
                if attr.name in programs.DTYPE_ATTRS and attr.i == programs.FP32:
                    attr.i = programs.FP16
    with open(target + ".pdmodel", "wb") as file:
        file.write(program.SerializeToString())
    if names:
        with open(target + ".pdiparams", "wb") as file:
            file.write(b"".join(out))
    return target


def _add_op(block, kind, inputs, output, **attrs):
    """One operator with FP32 or boolean attributes only."""
    op = block.ops.add(type=kind)
    for parameter, name in inputs.items():
        op.inputs.add(parameter=parameter, arguments=[name])
    op.outputs.add(parameter="Out", arguments=[output])
    for name, value in attrs.items():
        attr = op.attrs.add(name=name)
        if isinstance(value, bool):  # AttrType.BOOLEAN
            attr.type, attr.b = 6, value
        elif isinstance(value, float):  # AttrType.FLOAT
            attr.type, attr.f = 1, value
        else:
            attr.type, attr.i = programs.INT, value


def _round_results(program, lowered):
    """Round every FP16 result of every operator to FP16, to nearest.

    Paddle's own cast on a CPU cuts digits off. x * 8193 - (x * 8193 - x) in float32
    is x to 11 digits, rounded to nearest (Veltkamp); the cast is then exact.
    """
    types = programs.dtypes(program)
    block = lowered.blocks[0]
    ops = list(block.ops)
    variables = {var.name: var for var in block.vars}
    rounded = type(block)()
    for op in ops:
        rounded.ops.add().CopyFrom(op)
        if op.type in ("feed", "fetch"):
            continue
        for name in programs.arguments(
            [o for o in op.outputs if o.parameter not in AUXILIARY]):
            if types.get(name) != programs.FP16 or name not in variables:
                continue
            made = [name + end for end in ("@wide", "@rest", "@near", "@half")]
            for index, new in enumerate(made):
                if new in variables:
                    continue
                var = block.vars.add()
                var.CopyFrom(variables[name])
                var.name, var.persistable = new, False
                if index == 3:
                    programs.tensor_desc(var).data_type = programs.FP16
                variables[new] = var
            wide, rest, near, half = made
            _add_op(
                rounded,
                "scale", {"X": name},
                wide,
                scale=8193.0,
                bias=0.0,
                bias_after_scale=True)
            _add_op(
                rounded,
                "elementwise_sub", {"X": wide,
                                    "Y": name},
                rest,
                axis=-1)
            _add_op(
                rounded,
                "elementwise_sub", {"X": wide,
                                    "Y": rest},
                near,
                axis=-1)
            _add_op(
                rounded, "cast", {"X": near}, half, in_dtype=5, out_dtype=4)
            _add_op(
                rounded, "cast", {"X": half}, name, in_dtype=4, out_dtype=5)
    del block.ops[:]
    block.ops.extend(rounded.ops)
    return lowered


def evaluate(path, inputs, rounded=False):
    """Outputs of the FP16 program `path` in Paddle: float32, or rounded."""
    program = programs.read_program(path + ".pdmodel")
    lowered = programs.lower(program)
    if rounded:
        lowered = _round_results(program, lowered)
    params = b""
    if os.path.isfile(path + ".pdiparams"):
        with open(path + ".pdiparams", "rb") as file:
            params, _ = programs.lower_params(file.read(),
                                              programs.saved_names(program))
    target = path + (".rounded" if rounded else ".float32")
    with open(target + ".pdmodel", "wb") as file:
        file.write(lowered.SerializeToString())
    if params:
        with open(target + ".pdiparams", "wb") as file:
            file.write(params)
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
    """(bytes, report) of the FP16 model."""
    report = {}
    params = path + ".pdiparams"
    model = fp16.export(
        path + ".pdmodel",
        params if os.path.isfile(params) else "",
        opset_version=opset,
        verbose=False,
        report=report,
        **options)
    return model, report


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
