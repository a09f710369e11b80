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
"""Appflow's image2image_text_guided_upscaling with stabilityai/stable-diffusion-x4-upscaler, on a tiny seeded set of it; RUN_SLOW=1 adds the real weights."""

import os
import sys
import unittest

import paddle
from paddlemix.appflow import Appflow
from tests.testing_utils import slow

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from appflow_common import DrawingTests, TinyTestCase, picture  # noqa: E402


class UpscalingTest(DrawingTests, TinyTestCase):
    app = "image2image_text_guided_upscaling"
    model = "stabilityai/stable-diffusion-x4-upscaler"
    models = [model]
    size = (64, 64)

    def inputs(self):
        return {"prompt": "a red ball", "image": picture(0, (16, 16))}

    def test_four_times_the_size(self):
        self.assertEqual(self.draw(image=picture(0, (16, 8))).size, (64, 32))


@slow
class UpscalingSlowTest(unittest.TestCase):
    def test_real_weights(self):
        task = Appflow(app="image2image_text_guided_upscaling", models=["stabilityai/stable-diffusion-x4-upscaler"])

        def draw(prompt):
            paddle.seed(1024)
            return task(**{**{"image": picture(0, (128, 128))}, "prompt": prompt})["result"]

        TinyTestCase().assertDiffer(draw("a red ball on the grass"), draw("a dog on a sofa"), 5.0)


if __name__ == "__main__":
    unittest.main()
