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
"""One test an operator: its FP16 program converts and runs as Paddle does."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fp16_scan import CASES, Case, mixes, run  # noqa: E402

OPSET = 13


class OperatorTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)

    def check(self, name):
        case = Case(name, self.scratch.name)
        for one in [case] + mixes(case):
            row = run(one, OPSET)
            if row["result"] != "ok" and row["float32"] != "ok":
                self.skipTest("%s, in float32 as well (%s)" % (
                    row["result"], row["float32"]))
            self.assertEqual(row["result"], "ok", row)
            if not row["full_check"]:
                self.assertFalse(row["float32_full"], row)


class ComparisonTest(unittest.TestCase):
    """ONNX compares floats for equality since opset 11."""

    def test_opsets_below_11(self):
        with tempfile.TemporaryDirectory() as scratch:
            for name in ("equal", "not_equal", "greater_than",
                         "greater_equal", "less_than", "less_equal",
                         "logical_and", "logical_or", "logical_xor",
                         "logical_not"):
                case = Case(name, scratch)
                for one in [case] + mixes(case):
                    for opset in (7, 8, 9, 10):
                        row = run(one, opset)
                        self.assertEqual(row["result"], "ok", row)


def add(name):
    def test(self):
        self.check(name)

    setattr(OperatorTest, "test_" + name.replace(" ", "_"), test)


for case in CASES:
    add(case)

if __name__ == "__main__":
    unittest.main()
