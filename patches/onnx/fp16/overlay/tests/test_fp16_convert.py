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
"""Programs that were saved in FP16, through the public call and the core that is there."""

import os
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fp16_base import (BUILT, LIMIT, calibrate, cast_pairs, casts, convert,
                       errors, evaluate, network, run_onnx, save,
                       session)  # noqa: E402
import paddle  # noqa: E402
import paddle2onnx  # noqa: E402
from paddle2onnx import fp16  # noqa: E402
from paddle2onnx.fp16 import program as programs  # noqa: E402


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

    def assert_close(self, got, want, limit=LIMIT):
        self.assertEqual(len(got), len(want))
        for one, other in zip(got, want):
            found = errors(one, other)
            self.assertLessEqual(found["max"], limit, found)

    def assert_valid(self, model):
        onnx.checker.check_model(model, full_check=True)
        graph = onnx.shape_inference.infer_shapes(
            onnx.ModelProto.FromString(model),
            strict_mode=True,
            data_prop=True).graph
        for info in graph.output:
            self.assertTrue(info.type.tensor_type.elem_type)
        return graph


class PublicCallTest(Fp16Case):
    def test_every_opset_and_batch(self):
        path = self.small()
        three = self.images(3)
        want = evaluate(path, three)
        for opset in range(11, 20):
            model = paddle2onnx.export(
                path + ".pdmodel",
                path + ".pdiparams",
                opset_version=opset,
                verbose=False)
            graph = self.assert_valid(model)
            self.assertEqual(
                onnx.ModelProto.FromString(model).opset_import[0].version,
                opset)
            self.assertEqual(graph.input[0].type.tensor_type.elem_type,
                             TensorProto.FLOAT16)
            self.assertEqual(graph.output[0].type.tensor_type.elem_type,
                             TensorProto.FLOAT16)
            self.assertEqual(casts(model), 0)
            got = run_onnx(model, three)
            self.assertEqual(got[0].dtype, np.float16)
            self.assert_close(got, want)
            self.assertEqual(run_onnx(model, self.images(1))[0].shape, (1, 5))

    def test_weights_keep_their_bits(self):
        path = self.small()
        program = programs.read_program(path + ".pdmodel")
        with open(path + ".pdiparams", "rb") as file:
            _, halves = programs.lower_params(file.read(),
                                              programs.saved_names(program))
        model = onnx.ModelProto.FromString(
            convert(
                path, enable_optimize=False)[0])
        found = {
            node.output[0]: numpy_helper.to_array(node.attribute[0].t)
            for node in model.graph.node if node.op_type == "Constant"
        }
        self.assertGreaterEqual(len(halves), 8)
        for name, value in halves.items():
            self.assertEqual(found[name].dtype, np.float16, name)
            self.assertEqual(found[name].tobytes(), value.tobytes(), name)

    def test_float32_program_is_left_to_the_core(self):
        import paddle2onnx.paddle2onnx_cpp2py_export as core
        layer = SmallNet()
        layer.eval()
        path = self.path("float32")
        paddle.jit.save(layer, path, [
            paddle.static.InputSpec([None, 3, 16, 16], "float32", "x0")
        ])
        names = (path + ".pdmodel", path + ".pdiparams")
        self.assertFalse(fp16.is_fp16(names[0]))
        want = core.export(names[0], names[1], 13, True, False, True, True,
                           True, {}, "onnxruntime", "", "", False)
        self.assertEqual(
            paddle2onnx.export(*names, opset_version=13, verbose=False), want)

    @unittest.skipUnless(BUILT, "the command line needs the package as built")
    def test_command_line(self):
        path = self.small()
        target = os.path.join(self.scratch.name, "out.onnx")
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


class MixedTest(Fp16Case):
    def test_batch_norm_raises_the_opset(self):
        path = self.small("mixed")
        model, report = convert(path, 13)
        self.assertEqual(report["opset"], 15)
        self.assertEqual(report["casts"], [])
        self.assert_valid(model)
        norm = [
            n for n in onnx.ModelProto.FromString(model).graph.node
            if n.op_type == "BatchNormalization"
        ]
        self.assertEqual(len(norm), 1)
        inputs = self.images()
        self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))

    def test_batch_norm_is_cast_where_the_opset_is_fixed(self):
        path = self.small("mixed")
        if fp16.native():  # a core says that it needs opset 15
            with self.assertRaises(fp16.ConvertError):
                convert(path, 13, auto_upgrade_opset=False)
        model, report = convert(
            path, 13, auto_upgrade_opset=False, restore=True)
        self.assertEqual(report["opset"], 13)
        self.assertEqual([c[0] for c in report["casts"]],
                         ["batch_norm", "batch_norm"])
        self.assert_valid(model)
        inputs = self.images()
        self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))

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
        layer.eval()
        path = self.path("born")
        os.makedirs(os.path.dirname(path))
        paddle.jit.save(
            layer,
            path,
            input_spec=[
                paddle.static.InputSpec([None, 3, 16, 16], "float16", "x0")
            ])
        model, report = convert(path, 13)
        self.assertEqual((report["opset"], report["casts"]), (15, []))
        self.assert_valid(model)
        inputs = self.images()
        self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))

    def test_float32_inputs_of_the_program(self):
        path = self.small("fp32_input")
        model, _ = convert(path, 13)
        self.assert_valid(model)
        self.assertEqual(casts(model), 2)
        inputs = self.images(dtype=np.float32)
        got = run_onnx(model, inputs)
        self.assertEqual(got[0].dtype, np.float32)
        self.assert_close(got, evaluate(path, inputs))

    def test_float32_inputs_by_option(self):
        path = self.small()
        model, _ = convert(path, 13, fp32_io=True)
        self.assert_valid(model)
        self.assertEqual(casts(model), 2)
        inputs = self.images()
        got = run_onnx(model, inputs)
        self.assertEqual(got[0].dtype, np.float32)
        self.assert_close(got, evaluate(path, inputs))


class RangeTest(Fp16Case):
    """Constants of a mapper that FP16 cannot hold keep their meaning."""

    def test_layer_norm_with_small_epsilon_and_large_values(self):
        layer = paddle.nn.LayerNorm(6, epsilon=1e-12)
        path = save(layer, self.path("norm"), [([None, 6], "float32")])
        inputs = [(self.random.randn(3, 6) * 600).astype(np.float16)]
        for opset in (11, 17):
            model, report = convert(path, opset, restore=True)
            self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))
            operators = set(cast[0] for cast in report["casts"])
            self.assertEqual(operators, {"layer_norm"}
                             if opset < 17 else set())
        # ONNX Runtime hides it on a CPU: in FP16 this constant would be 0
        graph = onnx.ModelProto.FromString(
            convert(
                path, 11, restore=True)[0]).graph
        values = [
            numpy_helper.to_array(node.attribute[0].t) for node in graph.node
            if node.op_type == "Constant"
        ]
        self.assertTrue(any(np.all(v == np.float32(1e-12)) for v in values))

    def test_clip_without_bound(self):
        layer = SmallNet(lambda x: paddle.clip(x, min=-0.1))
        calibrate(layer, paddle.to_tensor(self.images(4, np.float32)[0]))
        path = save(layer, self.path("clip"), [([None, 3, 16, 16], "float32")])
        model, _ = convert(path, 13)
        inputs = self.images()
        self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))


class ErrorTest(Fp16Case):
    """The core aborts; the Python process gets an exception that says why."""

    def assert_named(self, path, operator, dtype):
        with self.assertRaises(fp16.ConvertError) as caught:
            convert(path, 13)
        self.assertEqual(caught.exception.operator, operator)
        self.assertIn("'%s'" % operator, str(caught.exception))
        self.assertIn(dtype, str(caught.exception))
        return str(caught.exception)

    def test_operator_without_mapper(self):
        path = self.small(tail=paddle.lgamma)
        self.assert_named(path, "lgamma", "X: float16")

    def test_abort_that_names_no_operator(self):
        path = self.small()
        program = programs.read_program(path + ".pdmodel")
        for op in program.blocks[0].ops:
            if op.type == "batch_norm":  # the core asserts that it is there
                keep = [a for a in op.attrs if a.name != "epsilon"]
                del op.attrs[:]
                op.attrs.extend(keep)
        with open(path + ".pdmodel", "wb") as file:
            file.write(program.SerializeToString())
        text = self.assert_named(path, "batch_norm", "X: float16")
        self.assertIn("SIGABRT", text)

    def test_bfloat16(self):
        path = self.small()
        program = programs.read_program(path + ".pdmodel")
        for var in program.blocks[0].vars:
            desc = programs.tensor_desc(var)
            if desc is not None and var.name.startswith("relu"):
                desc.data_type = programs.BF16
        with open(path + ".pdmodel", "wb") as file:
            file.write(program.SerializeToString())
        self.assert_named(path, "relu", "Out: bfloat16")

    def test_parameters_of_another_program(self):
        path = self.small()
        with open(path + ".pdiparams", "rb") as file:
            data = file.read()
        with open(path + ".pdiparams", "wb") as file:
            file.write(data[:-10])
        with self.assertRaisesRegex(ValueError, "ends inside"):
            convert(path)


class NetworkTest(Fp16Case):
    """Each within the limit of the same FP16 program evaluated in float32."""

    def check(self, name, kind="fp16", opset=13):
        path, inputs = network(name, self.path(name + kind), kind)
        model, report = convert(path, opset)
        self.assert_valid(model)
        self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))
        self.assertEqual(cast_pairs(model), 0)
        return model, report

    def test_resnet50(self):
        model, report = self.check("resnet50")
        self.assertEqual((casts(model), report["casts"]), (0, []))
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
