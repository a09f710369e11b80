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
"""Appflow's text2image_generation with stabilityai/stable-diffusion-2, on a tiny seeded set of it; RUN_SLOW=1 adds the real weights."""

import os
import sys
import unittest

import paddle
from paddlemix.appflow import Appflow
from tests.testing_utils import slow

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from appflow_common import DrawingTests, TinyTestCase, picture  # noqa: E402


class Text2ImageTest(DrawingTests, TinyTestCase):
    app = "text2image_generation"
    model = "stabilityai/stable-diffusion-2"
    models = [model]
    size = (48, 32)
    options = {"height": 32, "width": 48}
    arguments = {"guidance_scale": 1.5, "height": 48, "width": 32}
    defaults = {"guidance_scale": 7.5}

    def inputs(self):
        return {"prompt": "a red ball"}

    def test_height_and_width_are_those_of_the_picture(self):
        task = Appflow(app=self.app, models=[self.model], height=48, width=32)
        self.first()
        self.assertPicture(self.briefly(task, prompt="a red ball")["result"], (32, 48))


@slow
class Text2ImageSlowTest(unittest.TestCase):
    def test_real_weights(self):
        task = Appflow(app="text2image_generation", models=["stabilityai/stable-diffusion-2"])

        def draw(prompt):
            paddle.seed(1024)
            return task(**{**{"prompt": None}, "prompt": prompt})["result"]

        TinyTestCase().assertDiffer(draw("a red ball on the grass"), draw("a dog on a sofa"), 5.0)


if __name__ == "__main__":
    unittest.main()
