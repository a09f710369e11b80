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
"""Appflow's inpainting with stabilityai/stable-diffusion-2-inpainting, on a tiny seeded set of it; RUN_SLOW=1 adds the real weights."""

import os
import sys
import unittest

import numpy as np
import paddle
from paddlemix.appflow import Appflow
from PIL import Image
from tests.testing_utils import slow

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from appflow_common import DrawingTests, TinyTestCase, picture  # noqa: E402


class InpaintingTest(DrawingTests, TinyTestCase):
    app = "inpainting"
    model = "stabilityai/stable-diffusion-2-inpainting"
    models = [model]
    size = (64, 48)
    prompt = "inpaint_prompt"
    options = {"inpainting_resize": (32, 32)}
    arguments = {"inpainting_resize": (48, 48)}

    def mask(self, left=32):
        return Image.fromarray((255 * (np.arange(64)[None] >= left) * np.ones((48, 1))).astype("uint8"))

    def inputs(self):
        return {"inpaint_prompt": "a red ball", "image": picture(0), "seg_masks": self.mask()}

    def drawn_by(self, pipeline):
        small = self.options["inpainting_resize"]
        inputs = {"image": picture(0).resize(small), "mask_image": self.mask().resize(small)}
        return pipeline("a red ball", **inputs).images[0].resize(self.size)

    def test_the_masked_half_is_painted(self):
        half = {"seg_masks": self.mask(0)}
        self.assertDiffer(self.first(), self.draw(**half))

    def test_boolean_masks_of_sam_are_joined(self):
        masks = paddle.to_tensor(np.stack([np.asarray(self.mask(32)) > 0, np.asarray(self.mask(48)) > 0])[:, None])
        self.assertSame(self.first(), self.draw(seg_masks=masks))

    def test_masks_beyond_the_first_are_painted(self):
        """SAM gives a mask for each box; all are painted, whatever their order, and none of them alone is all."""
        left, right = np.asarray(self.mask(0)) > 0, np.asarray(self.mask(48)) > 0
        left[:, 16:] = False

        def masks(*parts):
            return paddle.to_tensor(np.stack(parts)[:, None])

        both = self.draw(seg_masks=Image.fromarray((255 * (left | right)).astype("uint8")))
        for order in ((left, right), (right, left)):
            self.assertSame(both, self.draw(seg_masks=masks(*order)))
        for part in (left, right):
            self.assertDiffer(both, self.draw(seg_masks=masks(part)))


@slow
class InpaintingSlowTest(unittest.TestCase):
    def test_real_weights(self):
        task = Appflow(app="inpainting", models=["stabilityai/stable-diffusion-2-inpainting"])

        def draw(prompt):
            paddle.seed(1024)
            return task(
                **{
                    **{"image": picture(0, (512, 512)), "seg_masks": picture(1, (512, 512)).convert("L")},
                    "inpaint_prompt": prompt,
                }
            )["result"]

        TinyTestCase().assertDiffer(draw("a red ball on the grass"), draw("a dog on a sofa"), 5.0)


if __name__ == "__main__":
    unittest.main()
