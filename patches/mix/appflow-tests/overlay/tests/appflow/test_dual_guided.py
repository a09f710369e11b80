# Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
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
"""Appflow's dual_text_and_image_guided_generation with shi-labs/versatile-diffusion, on a tiny seeded set of it; RUN_SLOW=1 adds the real weights."""

import os
import sys
import unittest

import paddle
from paddlemix.appflow import Appflow
from tests.testing_utils import slow

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from appflow_common import DrawingTests, TinyTestCase, picture  # noqa: E402


class DualGuidedTest(DrawingTests, TinyTestCase):
    app = "dual_text_and_image_guided_generation"
    model = "shi-labs/versatile-diffusion"
    models = [model]
    size = (32, 32)
    arguments = {"text_to_image_strength": 0.1}
    defaults = {"text_to_image_strength": 0.75}

    def inputs(self):
        return {"prompt": "a red ball", "image": picture(0, (128, 128))}


@slow
class DualGuidedSlowTest(unittest.TestCase):
    def test_real_weights(self):
        task = Appflow(app="dual_text_and_image_guided_generation", models=["shi-labs/versatile-diffusion"])

        def draw(prompt):
            paddle.seed(1024)
            return task(**{**{"image": picture(0, (512, 512))}, "prompt": prompt})["result"]

        TinyTestCase().assertDiffer(draw("a red ball on the grass"), draw("a dog on a sofa"), 5.0)


if __name__ == "__main__":
    unittest.main()
