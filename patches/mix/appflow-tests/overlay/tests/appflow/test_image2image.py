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
"""Appflow's image2image_text_guided_generation with Linaqruf/anything-v3.0, on a tiny seeded set of it; RUN_SLOW=1 adds the real weights."""

import os
import sys
import unittest

import paddle
from paddlemix.appflow import Appflow
from tests.testing_utils import slow

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from appflow_common import DrawingTests, TinyTestCase, picture  # noqa: E402


class Image2ImageTest(DrawingTests, TinyTestCase):
    app = "image2image_text_guided_generation"
    model = "Linaqruf/anything-v3.0"
    models = [model]
    size = (32, 32)
    arguments = {"strength": 0.2, "guidance_scale": 1.5}
    defaults = {"strength": 0.75, "guidance_scale": 7.5}

    def inputs(self):
        return {"prompt": "a red ball", "negative_prompt": "a cat", "image": picture(0, (32, 32))}

    def test_negative_prompt_matters(self):
        self.assertDiffer(self.first(), self.draw(negative_prompt="the green bus on a house"))


@slow
class Image2ImageSlowTest(unittest.TestCase):
    def test_real_weights(self):
        task = Appflow(app="image2image_text_guided_generation", models=["Linaqruf/anything-v3.0"])

        def draw(prompt):
            paddle.seed(1024)
            return task(**{**{"negative_prompt": "low quality", "image": picture(0, (512, 512))}, "prompt": prompt})[
                "result"
            ]

        TinyTestCase().assertDiffer(draw("a red ball on the grass"), draw("a dog on a sofa"), 5.0)


if __name__ == "__main__":
    unittest.main()
