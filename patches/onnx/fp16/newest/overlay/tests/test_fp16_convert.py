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
"""Programs that were saved in FP16, wholly or in part: the public call."""

import os
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fp16_base import (  # noqa: E402
    BF16, FP32, LIMIT, arguments, calibrate, cast_pairs, casts, change_dtypes,
    convert, dtypes, errors, evaluate, network, opset_of, read_params,
    read_program, run_nodes, run_onnx, save, saved_names, session, tensor_desc,
    write_params, write_program)
import paddle  # noqa: E402
import paddle2onnx  # noqa: E402


class SmallNet(paddle.nn.Layer):
    def __init__(self, tail=None):
        super(SmallNet, self).__init__()
        self.conv = paddle.nn.Conv2D(3, 8, 3, padding=1)
        self.norm = paddle.nn.BatchNorm2D(8)
        self.head = paddle.nn.Linear(8, 5)
        self.tail = tail

    def forward(self, x):
        x = paddle.nn.functional.relu(self.norm(self.conv(x)))
        x = paddle.nn.functional.max_pool2d(x, 2)
        x = paddle.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
        x = self.head(x)
        return self.tail(x) if self.tail else x


class Fp16Case(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        paddle.seed(11)
        self.random = np.random.RandomState(5)

    def path(self, name):
        return os.path.join(self.scratch.name, name, "model")

    def images(self, batch=2, dtype=np.float16):
        return [self.random.randn(batch, 3, 16, 16).astype(dtype)]

    def small(self, kind="fp16", tail=None):
        layer = SmallNet(tail)
        calibrate(layer, paddle.to_tensor(self.images(4, np.float32)[0]))
        return save(layer,
                    self.path(kind), [([None, 3, 16, 16], "float32")], kind)

    def save_plain(self, layer, name, specs):
        """Save a layer in the types that its tensors have."""
        layer.eval()
        path = self.path(name)
        os.makedirs(os.path.dirname(path))
        paddle.jit.save(
            layer,
            path,
            input_spec=[
                paddle.static.InputSpec(shape, dtype, "x%d" % index)
                for index, (shape, dtype) in enumerate(specs)
            ])
        return path

    def assert_close(self, got, want, limit=LIMIT):
        self.assertEqual(len(got), len(want))
        for one, other in zip(got, want):
            found = errors(one, other)
            self.assertLessEqual(found["max"], limit, found)

    def assert_valid(self, model, full=True):
        # Constant has no int64 before opset 9; mappers use it in float32 too
        onnx.checker.check_model(model, full_check=full)
        graph = onnx.shape_inference.infer_shapes(
            onnx.ModelProto.FromString(model),
            strict_mode=full,
            data_prop=True).graph
        for info in graph.output:
            self.assertTrue(info.type.tensor_type.elem_type)
        return graph


class PublicCallTest(Fp16Case):
    def test_every_opset_and_batch(self):
        path = self.small()
        three = self.images(3)
        want = evaluate(path, three)
        for opset in range(7, 20):
            model = convert(path, opset)
            graph = self.assert_valid(model, opset > 8)
            self.assertEqual(opset_of(model), opset)
            self.assertEqual(graph.input[0].type.tensor_type.elem_type,
                             TensorProto.FLOAT16)
            self.assertEqual(graph.output[0].type.tensor_type.elem_type,
                             TensorProto.FLOAT16)
            self.assertEqual(casts(model), 0)
            got = run_onnx(model, three)
            self.assertEqual(got[0].dtype, np.float16)
            self.assert_close(got, want)
            if opset > 8:  # onnx.reference has no older batch normalization
                self.assert_close(run_nodes(model, three), want, 2 * LIMIT)
            self.assertEqual(run_onnx(model, self.images(1))[0].shape, (1, 5))

    def test_weights_keep_their_bits(self):
        path = self.small()
        program = read_program(path + ".pdmodel")
        halves = read_params(path + ".pdiparams", saved_names(program))
        model = onnx.ModelProto.FromString(
            convert(
                path, enable_optimize=False))
        found = {
            node.output[0]: numpy_helper.to_array(node.attribute[0].t)
            for node in model.graph.node if node.op_type == "Constant"
        }
        self.assertGreaterEqual(len(halves), 8)
        for name, value in halves.items():
            self.assertEqual(found[name].dtype, np.float16, name)
            self.assertEqual(found[name].tobytes(), value.tobytes(), name)

    def test_fp16_export_of_a_mixed_model(self):
        path = self.small("mixed")
        model = convert(path, 15, export_fp16_model=True)
        graph = self.assert_valid(model)
        kinds = set(node.attribute[0].t.data_type for node in graph.node
                    if node.op_type == "Constant")
        self.assertNotIn(TensorProto.FLOAT, kinds)
        inputs = self.images()
        self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))

    def test_command_line(self):
        path = self.small()
        target = os.path.join(self.scratch.name, "new", "out.onnx")
        folder, name = os.path.split(path)
        done = subprocess.run(
            [
                sys.executable, "-m", "paddle2onnx.command", "--model_dir",
                folder, "--model_filename", name + ".pdmodel",
                "--params_filename", name + ".pdiparams", "--save_file",
                target, "--opset_version", "13", "--fp32_io", "True"
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout)
        with open(target, "rb") as file:
            model = file.read()
        inputs = session(model).get_inputs()
        self.assertEqual(inputs[0].type, "tensor(float)")


class Float32InputsTest(Fp16Case):
    def io_types(self, model):
        graph = onnx.ModelProto.FromString(model).graph
        return [
            info.type.tensor_type.elem_type
            for info in list(graph.input) + list(graph.output)
        ]

    def test_of_the_program(self):
        path = self.small("fp32_input")
        model = convert(path, 13)
        self.assert_valid(model)
        self.assertEqual(casts(model), 2)
        inputs = self.images(dtype=np.float32)
        got = run_onnx(model, inputs)
        self.assertEqual(got[0].dtype, np.float32)
        self.assert_close(got, evaluate(path, inputs))

    def test_by_option(self):
        path = self.small()
        model = convert(path, 13, fp32_io=True)
        self.assert_valid(model)
        self.assertEqual(casts(model), 2)
        inputs = self.images()
        got = run_onnx(model, inputs)
        self.assertEqual(got[0].dtype, np.float32)
        self.assert_close(got, evaluate(path, inputs))

    def rename(self, path, old, new):
        program = read_program(path + ".pdmodel")
        for block in program.blocks:
            for var in block.vars:
                var.name = new if var.name == old else var.name
            for op in block.ops:
                for entry in list(op.inputs) + list(op.outputs):
                    for at, name in enumerate(entry.arguments):
                        entry.arguments[at] = new if name == old else name
        write_program(program, path + ".pdmodel")

    def test_where_a_tensor_has_the_name_of_the_cast(self):
        path = self.small()
        outputs = [
            arguments(op.outputs)[0]
            for op in read_program(path + ".pdmodel").blocks[0].ops
            if op.type == "relu"
        ]
        self.rename(path, outputs[0], "x0.fp16")
        model = convert(path, 13, fp32_io=True, enable_optimize=False)
        self.assert_valid(model)
        inputs = self.images()
        self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))

    def fetch(self, path, name):
        """Let the program give a tensor as its last output."""
        program = read_program(path + ".pdmodel")
        block = program.blocks[0]
        fetches = [op for op in block.ops if op.type == "fetch"]
        more = block.ops.add()
        more.CopyFrom(fetches[-1])
        more.inputs[0].arguments[0] = name
        for attr in more.attrs:
            if attr.name == "col":
                attr.i = len(fetches)
        write_program(program, path + ".pdmodel")

    def test_where_an_input_is_an_output(self):
        path = self.small()
        self.fetch(path, "x0")
        model = convert(path, 13, fp32_io=True)
        self.assertEqual(self.io_types(model), [TensorProto.FLOAT] * 3)
        onnx.checker.check_model(model, full_check=True)
        inputs = self.images()
        self.assert_close(run_onnx(model, inputs)[:1],
                          evaluate(path, inputs)[:1])

    def test_of_a_loop(self):
        path = save(Loop(), self.path("loop"), [([None, 8], "float32")])
        inputs = [self.random.randn(2, 8).astype(np.float16)]
        want = evaluate(path, inputs)
        for io in (False, True):
            model = convert(path, 13, fp32_io=io)
            onnx.checker.check_model(model)
            self.assert_close(run_onnx(model, inputs), want)


class Loop(paddle.nn.Layer):
    def __init__(self, stray=False):
        super(Loop, self).__init__()
        self.linear = paddle.nn.Linear(8, 8)
        self.stray = stray

    def forward(self, x):
        step = paddle.zeros([1], "int64")
        y = self.linear(x)
        while step < 3:
            y = self.linear(y)
            step = step + 1
        return (y, x.astype("float16")) if self.stray else y


class Norms(paddle.nn.Layer):
    """FP16 data and FP32 factors of every norm, as AMP O2 leaves them."""

    def __init__(self):
        super(Norms, self).__init__()
        self.conv = paddle.nn.Conv2D(3, 4, 3, padding=1)
        self.batch = paddle.nn.BatchNorm2D(4)
        self.instance = paddle.nn.InstanceNorm2D(4)
        self.layer = paddle.nn.LayerNorm(8)
        self.alpha = paddle.nn.PReLU(4)

    def forward(self, x):
        return self.alpha(
            self.layer(self.instance(self.batch(self.conv(x)))))


class MixedTest(Fp16Case):
    def test_batch_norm_raises_the_opset(self):
        path = self.small("mixed")
        model = convert(path, 13)
        self.assertEqual((opset_of(model), casts(model)), (15, 0))
        self.assert_valid(model)
        norm = [
            n for n in onnx.ModelProto.FromString(model).graph.node
            if n.op_type == "BatchNormalization"
        ]
        self.assertEqual(len(norm), 1)
        inputs = self.images()
        self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))

    def test_batch_norm_where_the_opset_is_fixed(self):
        path = self.small("mixed")
        with self.assertRaisesRegex(RuntimeError, "opset"):
            convert(path, 13, auto_upgrade_opset=False)

    def test_norms_of_amp_o2(self):
        layer = Norms()
        for value in layer.parameters():
            value.set_value(value.astype("float16").astype("float32"))
        inputs = [self.random.randn(2, 3, 8, 8).astype(np.float16)]
        layer.conv.to(dtype="float16")
        path = self.save_plain(layer, "norms", [([None, 3, 8, 8], "float16")])
        want, near = evaluate(path, inputs), evaluate(path, inputs, True)
        control = errors(near[0], want[0])["max"]
        for opset in (13, 15, 17, 19):
            model = convert(path, opset)
            self.assert_valid(model)
            self.assert_close(
                run_onnx(model, inputs), want, max(LIMIT, 2 * control))
            self.assert_close(
                run_nodes(model, inputs), want, max(LIMIT, 2 * control))

    def test_network_that_was_never_float32(self):
        # made in FP16, not halved: Paddle keeps batch normalization in FP32
        paddle.set_default_dtype("float16")
        paddle.nn.initializer.set_global_initializer(
            paddle.nn.initializer.Constant(0.0))
        try:
            layer = SmallNet()
        finally:
            paddle.nn.initializer.set_global_initializer(None)
            paddle.set_default_dtype("float32")
        kinds = set()
        for value in layer.parameters():
            kinds.add(value.dtype)
            weight = np.abs(0.3 * self.random.randn(*value.shape))
            value.set_value(
                paddle.to_tensor(weight.astype(np.float32)).astype(
                    value.dtype))
        self.assertEqual(kinds, {paddle.float16, paddle.float32})
        path = self.save_plain(layer, "born",
                               [([None, 3, 16, 16], "float16")])
        model = convert(path, 13)
        self.assertEqual((opset_of(model), casts(model)), (15, 0))
        self.assert_valid(model)
        inputs = self.images()
        self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))

    def test_program_and_parameters_of_different_types(self):
        # convert_to_mixed_precision() can write an FP16 program with FP32
        # parameters (Paddle#57194)
        path = self.small("fp16")
        names = saved_names(read_program(path + ".pdmodel"))
        halves = read_params(path + ".pdiparams", names)
        want = convert(path, 13)
        values = {
            name: value.astype(np.float32) for name, value in halves.items()
        }
        write_params(values, path + ".pdiparams")
        self.assertEqual(convert(path, 13), want)
        values[names[0]] = values[names[0]] + np.float32(7e4)
        write_params(values, path + ".pdiparams")
        with self.assertRaisesRegex(RuntimeError, names[0] + ".*FP16"):
            convert(path, 13)

    def test_float32_program_with_half_parameters(self):
        path = self.small("fp16")
        program = read_program(path + ".pdmodel")
        changed = 0
        for var in program.blocks[0].vars:
            if var.persistable and var.name.startswith("linear"):
                tensor_desc(var).data_type = FP32
                changed += 1
        self.assertEqual(changed, 2)
        write_program(program, path + ".pdmodel")
        model = convert(path, 13)
        self.assert_valid(model)
        inputs = self.images()
        self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))


class LoopTest(Fp16Case):
    def test_float32_loop_beside_a_half(self):
        path = self.save_plain(Loop(True), "stray", [([None, 8], "float32")])
        inputs = [self.random.randn(2, 8).astype(np.float32)]
        model = convert(path, 13)
        got, want = run_onnx(model, inputs), evaluate(path, inputs)
        self.assertEqual(got[1].dtype, np.float16)
        self.assert_close(got[:1], want[:1], 1e-5)
        self.assert_close(got[1:], want[1:])

    def test_either_branch_of_a_condition(self):
        class Cond(paddle.nn.Layer):
            def forward(self, x):
                if x.sum() > 2:
                    y = paddle.log1p(x)  # in FP32, between two Casts
                else:
                    y = x - 1
                return y

        path = self.save_plain(
            paddle.jit.to_static(Cond()), "cond", [([None, 8], "float16")])
        for opset in (11, 17):
            model = convert(path, opset)
            graph = self.assert_valid(model)
            self.assertIn("If", [node.op_type for node in graph.node])
            for value, result in ((1, np.log(2)), (-1, -2)):
                inputs = [np.full([2, 8], value, np.float16)]
                want = [np.full([2, 8], result)]
                self.assert_close(evaluate(path, inputs), want)
                self.assert_close(run_onnx(model, inputs), want)
                self.assert_close(run_nodes(model, inputs), want)


class RangeTest(Fp16Case):
    """Constants of a mapper that FP16 cannot hold keep their meaning."""

    def test_layer_norm_with_small_epsilon_and_large_values(self):
        layer = paddle.nn.LayerNorm(6, epsilon=1e-12)
        path = save(layer, self.path("norm"), [([None, 6], "float32")])
        inputs = [(self.random.randn(3, 6) * 600).astype(np.float16)]
        want = evaluate(path, inputs)
        for opset in (11, 17):
            model = convert(path, opset)
            self.assert_close(run_onnx(model, inputs), want)
            self.assert_close(run_nodes(model, inputs), want)

    def test_factors_beyond_fp16(self):
        for factor, values in ((1e5, [0.1, 0.25, 0.5]),
                               (1e-5, [1000, 2000, 3000]),
                               (1e-6, [1000, 2000, 60000]),
                               (1e-7, [1e4, 3e4, 6e4]),
                               (2e-8, [3e4, 6e4, 6.5e4])):
            layer = Times(factor)
            path = self.save_plain(layer, "times%g" % factor,
                                   [([None, 3], "float16")])
            inputs = [np.array([values], np.float16)]
            want, near = evaluate(path, inputs), evaluate(path, inputs, True)
            control = errors(near[0], want[0])["max"]
            model = convert(path, 13)
            for got in (run_onnx(model, inputs), run_nodes(model, inputs)):
                self.assert_close(got, want, 1.01 * control + 1e-6)

    def test_log1p_of_small_values(self):
        class Log1p(paddle.nn.Layer):
            def forward(self, x):
                return paddle.log1p(x)

        path = self.save_plain(Log1p(), "log1p", [([None, 9], "float16")])
        values = np.array([[6e-8, 5e-7, -6e-6, 1e-4, -1e-4, 1e-3, -0.99, 3,
                            65504]], np.float16)
        want = np.log1p(values.astype(np.float64))
        model = convert(path, 13)
        for run in (run_onnx, run_nodes):
            got = run(model, [values])[0].astype(np.float64)
            # of each value; FP16 has spacing 6e-8 near 0
            gap = np.abs(got - want) - 3e-8
            self.assertLess((gap / np.abs(want)).max(), 5e-4)
            edges = run(model, [np.full([1, 9], -1, np.float16)])[0]
            self.assertTrue(np.isneginf(edges).all())
            edges = run(model, [np.full([1, 9], np.inf, np.float16)])[0]
            self.assertTrue(np.isposinf(edges).all())

    def test_logsigmoid_far_from_zero(self):
        layer = paddle.nn.LogSigmoid()
        path = self.save_plain(layer, "logsigmoid", [([None, 9], "float16")])
        values = np.array([[-65504, -300, -20, -9, -1, 0, 1, 5, 65504]],
                          np.float16)
        want = -np.logaddexp(0, -values.astype(np.float64))
        model = convert(path, 13)
        for run in (run_onnx, run_nodes):
            got = run(model, [values])[0].astype(np.float64)
            # of each value: Sigmoid(-300) is 0 in FP32 too, its logarithm -inf
            gap = np.abs(got - want) - 3e-8
            self.assertTrue((gap <= LIMIT * np.abs(want)).all(), got)

    def test_clip_without_bound(self):
        layer = SmallNet(lambda x: paddle.clip(x, min=-0.1))
        calibrate(layer, paddle.to_tensor(self.images(4, np.float32)[0]))
        path = save(layer, self.path("clip"), [([None, 3, 16, 16], "float32")])
        model = convert(path, 13)
        inputs = self.images()
        self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))


class Times(paddle.nn.Layer):
    def __init__(self, factor):
        super(Times, self).__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


class ErrorTest(Fp16Case):
    """A conversion that fails raises an exception that says why."""

    def assert_refused(self, path, *words, **options):
        with self.assertRaises(RuntimeError) as caught:
            convert(path, **options)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def change(self, path, function, kind=".pdmodel"):
        with open(path + kind, "rb") as file:
            data = file.read()
        with open(path + kind, "wb") as file:
            file.write(function(data))

    def test_operator_without_mapper(self):
        self.assert_refused(self.small(tail=paddle.lgamma), "'lgamma'")

    def test_float32_operator_without_mapper(self):
        path = self.save_plain(
            SmallNet(paddle.lgamma), "float32",
            [([None, 3, 16, 16], "float32")])
        self.assert_refused(path, "'lgamma'")

    def test_types_that_no_onnx_operator_takes(self):
        path = self.small(
            tail=lambda x: x * x.astype("int64").astype(x.dtype))
        program = read_program(path + ".pdmodel")
        types = dtypes(program)
        ops = program.blocks[0].ops
        integer = [
            name for op in ops for name in arguments(op.outputs)
            if op.type == "cast" and types[name] == 3
        ]
        for op in ops:
            for entry in op.inputs:
                if op.type == "elementwise_mul" and entry.parameter == "Y":
                    entry.arguments[0] = integer[0]
        for dtype in ("int64", "uint8"):
            write_program(program, path + ".pdmodel")
            self.assert_refused(path, "Mul", "tensor(%s)" % dtype)
            change_dtypes(program, 3, 20)

    def test_operator_that_its_mapper_refuses(self):
        path = self.small()
        program = read_program(path + ".pdmodel")
        for op in program.blocks[0].ops:
            if op.type == "batch_norm":
                keep = [a for a in op.attrs if a.name != "epsilon"]
                del op.attrs[:]
                op.attrs.extend(keep)
        write_program(program, path + ".pdmodel")
        self.assert_refused(path, "batch_norm", "epsilon")

    def test_bfloat16(self):
        class Inside(paddle.nn.Layer):
            def forward(self, x):
                return (x.astype("bfloat16") + 1).astype("float32")

        whole = paddle.nn.Sequential(
            paddle.nn.Linear(8, 8), paddle.nn.ReLU()).to(dtype="bfloat16")
        path = self.save_plain(whole, "whole", [([None, 8], "bfloat16")])
        self.assert_refused(path, "bfloat16")
        path = self.save_plain(Inside(), "inside", [([None, 8], "float32")])
        self.assert_refused(path, "'cast'", "bfloat16")
        # AMP O2: the norm keeps FP32 parameters
        mixed = paddle.nn.Sequential(
            paddle.nn.Linear(8, 8),
            paddle.nn.LayerNorm(8), paddle.nn.Linear(8, 4))
        for linear in (mixed[0], mixed[2]):
            linear.to(dtype="bfloat16")
        path = self.save_plain(mixed, "o2", [([None, 8], "bfloat16")])
        self.assert_refused(path, "bfloat16")
        # a variable that no operator touches does no harm
        path = self.small()
        program = read_program(path + ".pdmodel")
        var = program.blocks[0].vars.add()
        var.CopyFrom(
            [v for v in program.blocks[0].vars if v.name == "x0"][0])
        var.name = "unused"
        tensor_desc(var).data_type = BF16
        write_program(program, path + ".pdmodel")
        convert(path)

    def test_opset_out_of_range(self):
        path = self.small()
        for opset in (20, 21, 25):
            self.assert_refused(path, "opset version", "[7, 19]", opset=opset)
        self.assert_refused(
            path,
            "opset version",
            "[7, 19]",
            opset=6,
            auto_upgrade_opset=False)
        # a version below what the operators need is raised to that
        self.assertEqual(opset_of(convert(path, 6)), 7)

    def test_damaged_parameters(self):
        good = self.small()
        with open(good + ".pdiparams", "rb") as file:
            data = file.read()
        first = saved_names(read_program(good + ".pdmodel"))[0]
        unknown = bytearray(data)
        unknown[data.index(b"\x08\x04", 20) + 1] = 99
        lfs = b"version https://git-lfs.github.com/spec/v1\nsize 1\n"
        for changed, words in (
            (data[:-10], ("ends inside", )),
            (data[:12], ("ends inside", first)),
            (data[:24], (first, )),
            (b"", ("needs the parameter", "give the parameter file")),
            (np.random.RandomState(0).bytes(len(data)), (first, "damaged")),
            (data[:16] + struct.pack("<i", 10**6) + data[20:], (first, )),
            (data[:16] + struct.pack("<i", -5) + data[20:], (first, )),
            (bytes(unknown), (first, )),
            (data + b"\0" * 32, ("32 bytes after the last", )),
            (lfs, ("Git LFS", )), ):
            self.change(good, lambda _: changed, ".pdiparams")
            self.assert_refused(good, *words)
        self.change(good, lambda _: data, ".pdiparams")
        convert(good)

    def test_forgotten_parameters(self):
        path = self.small()
        with self.assertRaisesRegex(RuntimeError, "needs the parameter"):
            paddle2onnx.export(path + ".pdmodel", "", verbose=False)
        with self.assertRaisesRegex(RuntimeError, "Cannot read"):
            paddle2onnx.export(
                path + ".pdmodel", path + ".nothere", verbose=False)

    def test_damaged_program(self):
        path = self.small()
        with open(path + ".pdmodel", "rb") as file:
            data = file.read()
        target = os.path.join(self.scratch.name, "none.onnx")
        for changed, word in ((data[:len(data) // 2], "damaged"),
                              (b"", "empty"), (b"{\"base_code\": {}}",
                                               "FLAGS_enable_pir_api=0"),
                              (b"version https://git-lfs", "Git LFS")):
            self.change(path, lambda _: changed)
            self.assert_refused(path, word)
            with self.assertRaises(RuntimeError):
                paddle2onnx.export(
                    path + ".pdmodel",
                    path + ".pdiparams",
                    target,
                    verbose=False)
            self.assertFalse(os.path.exists(target))


class NetworkTest(Fp16Case):
    """Each within the limit of the same FP16 program evaluated in float32."""

    def check(self, name, kind="fp16", opset=13):
        path, inputs = network(name, self.path(name + kind), kind)
        model = convert(path, opset)
        self.assert_valid(model)
        self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))
        self.assertEqual(cast_pairs(model), 0)
        return model

    def test_resnet50(self):
        model = self.check("resnet50")
        self.assertEqual(casts(model), 0)
        self.assertLess(len(model), 52 * 2**20)

    def test_pp_lcnet_mixed(self):
        self.check("pp_lcnet", "mixed")

    def test_swin(self):
        self.check("swin", opset=17)

    def test_db_detector(self):
        self.check("db_detector")

    def test_svtr_lcnet(self):
        self.check("svtr_lcnet")

    def test_bert_mixed(self):
        self.check("bert", "mixed")

    def test_yolo_head(self):
        self.check("yolo_head", "fp32_input")


if __name__ == "__main__":
    unittest.main()
