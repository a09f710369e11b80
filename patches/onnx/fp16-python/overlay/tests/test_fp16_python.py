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
"""FP16 programs by a released core: what paddle2onnx.fp16 does itself.

The tests of the branch feature/fp16 run here as well, where a released core can
pass them; those that it cannot are named with the reason.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import conftest  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import paddle  # noqa: E402
import test_fp16_convert as branch  # noqa: E402
from fp16_base import (  # noqa: E402
    add_op, convert, evaluate, params_file, read_program, run_onnx, save,
    write_program)
from paddle2onnx import fp16  # noqa: E402


def restored(path, opset=13, **options):
    """(bytes, report) by paddle2onnx.fp16."""
    report = {}
    model = fp16.export(
        path + ".pdmodel",
        params_file(path),
        opset_version=opset,
        verbose=False,
        report=report,
        **options)
    return model, report


def without(case, reason, *names):
    """A copy of a test case of the branch that skips some of its tests."""
    skip = unittest.skip(reason)
    changed = {name: skip(getattr(case, name)) for name in names}
    return type(case.__name__, (case, ), changed)


BUILT = "the command line needs the package as built"
PublicCallTest = without(branch.PublicCallTest, BUILT, *(
    [] if conftest.BUILT else ["test_command_line"]))
MixedTest = without(branch.MixedTest, "Casts are put in instead",
                    "test_batch_norm_where_the_opset_is_fixed",
                    "test_program_and_parameters_of_different_types")
LoopTest = branch.LoopTest
NetworkTest = branch.NetworkTest
Float32InputsTest = without(branch.Float32InputsTest,
                            "control flow is refused", "test_of_a_loop")
ErrorTest = without(branch.ErrorTest,
                    "a released core ends the process of a float32 program",
                    "test_float32_operator_without_mapper")
RangeTest = without(branch.RangeTest, "a released core takes log(1 + x)",
                    "test_log1p_of_small_values")


class RestoredTest(branch.Fp16Case):
    """What the restoration alone does."""

    def test_batch_norm_is_cast_where_the_opset_is_fixed(self):
        path = self.small("mixed")
        model, report = restored(path, 13, auto_upgrade_opset=False)
        self.assertEqual(report["opset"], 13)
        self.assertEqual([c[0] for c in report["casts"]],
                         ["batch_norm", "batch_norm"])
        self.assert_valid(model)
        inputs = self.images()
        self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))

    def test_layer_norm_keeps_its_epsilon(self):
        layer = paddle.nn.LayerNorm(6, epsilon=1e-12)
        path = save(layer, self.path("norm"), [([None, 6], "float32")])
        model, report = restored(path, 11)
        self.assertEqual(
            set(cast[0] for cast in report["casts"]), {"layer_norm"})
        values = [
            onnx.numpy_helper.to_array(node.attribute[0].t)
            for node in onnx.ModelProto.FromString(model).graph.node
            if node.op_type == "Constant"
        ]
        self.assertTrue(any(np.all(v == np.float32(1e-12)) for v in values))

    def test_abort_names_the_operator(self):
        path = self.small(tail=paddle.lgamma)
        with self.assertRaises(fp16.ConvertError) as caught:
            convert(path)
        self.assertEqual(caught.exception.operator, "lgamma")
        self.assertIn("X: float16", str(caught.exception))

    def test_names_that_the_casts_would_have(self):
        """Variables called as the Casts around layer_norm would be."""
        path = save(
            paddle.nn.LayerNorm(6), self.path("names"),
            [([None, 6], "float32")])
        program = read_program(path + ".pdmodel")
        block = program.blocks[0]
        ops = list(block.ops)
        kept = type(block)()
        variables = {var.name: var for var in block.vars}
        for op in ops:
            if op.type == "layer_norm":
                for source, made in (("x0", "x0.fp32"),
                                     ("x0.fp32", "x0.before_cast")):
                    var = block.vars.add()
                    var.CopyFrom(variables["x0"])
                    var.name = made
                    add_op(
                        kept,
                        "scale", {"X": source},
                        made,
                        scale=0.5,
                        bias=0.0,
                        bias_after_scale=True)
                op.inputs[[e.parameter for e in op.inputs
                           ].index("X")].arguments[0] = "x0.before_cast"
            kept.ops.add().CopyFrom(op)
        del block.ops[:]
        block.ops.extend(kept.ops)
        write_program(program, path + ".pdmodel")
        inputs = [self.random.randn(3, 6).astype(np.float16)]
        model, _ = restored(path, 13)
        onnx.checker.check_model(model, full_check=True)
        self.assert_close(run_onnx(model, inputs), evaluate(path, inputs))

    def test_parameters_beyond_the_limit(self):
        path = self.small()
        limit = fp16.MAX_BYTES
        fp16.MAX_BYTES = 1000
        try:
            with self.assertRaisesRegex(fp16.ConvertError, "2 GB"):
                convert(path)
        finally:
            fp16.MAX_BYTES = limit


if __name__ == "__main__":
    unittest.main()
