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
"""The tiny model sets by themselves: the pipelines of ppdiffusers load them and draw; PaddleMIX is not needed."""

import os
import runpy
import sys
import tempfile
import unittest
from unittest import mock

import numpy as np
import paddle
import ppdiffusers

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tiny_models  # noqa: E402
from appflow_common import TinyTestCase, picture, summary  # noqa: E402


class TinyPipelinesTest(TinyTestCase):
    models = [
        "stabilityai/stable-diffusion-2",
        "stabilityai/stable-diffusion-2-inpainting",
        "Linaqruf/anything-v3.0",
        "stabilityai/stable-diffusion-x4-upscaler",
        "damo-vilab/text-to-video-ms-1.7b",
    ]

    def check(self, name, pipeline, **inputs):
        """Same seed, same output; another seed or prompt, another output; stored numbers. Returns the output."""
        pipeline = getattr(ppdiffusers, pipeline).from_pretrained(name)
        pipeline.set_progress_bar_config(disable=True)

        def draw(prompt="a red ball", seed=1):
            paddle.seed(seed)
            output = pipeline(prompt=prompt, num_inference_steps=2, output_type="np", **inputs)
            return output.images[0] if "images" in output else np.asarray(output.frames) / 255.0

        first = draw()
        self.assertTrue(np.isfinite(first).all())
        self.assertGreater(first.std(), 0.01)
        self.assertSame(first, draw())
        self.assertDiffer(first, draw(prompt="the blue house on a dog"), 1e-4)
        self.assertDiffer(first, draw(seed=2), 1e-3)
        self.assertStored(f"tiny {name}", summary(first.mean(0) if first.ndim == 4 else first), 0.02)
        return first

    def test_text_to_image(self):
        drawn = self.check("stabilityai/stable-diffusion-2", "StableDiffusionPipeline", height=32, width=48)
        self.assertEqual(drawn.shape, (32, 48, 3))

    def test_inpainting(self):
        image, mask = picture(0, (32, 32)), picture(1, (32, 32)).convert("L").point(lambda v: 255 * (v > 127))
        name = "stabilityai/stable-diffusion-2-inpainting"
        drawn = self.check(name, "StableDiffusionInpaintPipeline", image=image, mask_image=mask, height=32, width=32)
        self.assertEqual(drawn.shape, (32, 32, 3))

    def test_image_to_image(self):
        name = "Linaqruf/anything-v3.0"
        drawn = self.check(name, "StableDiffusionImg2ImgPipeline", image=picture(0, (32, 32)), strength=0.9)
        self.assertEqual(drawn.shape, (32, 32, 3))

    def test_upscaling(self):
        name = "stabilityai/stable-diffusion-x4-upscaler"
        drawn = self.check(name, "StableDiffusionUpscalePipeline", image=picture(0, (16, 16)))
        self.assertEqual(drawn.shape, (64, 64, 3))

    def test_text_to_video(self):
        name = "damo-vilab/text-to-video-ms-1.7b"
        frames = self.check(name, "TextToVideoSDPipeline", num_frames=4)
        self.assertEqual(frames.shape, (4, 16, 16, 3))

    def test_every_set_is_a_few_megabytes(self):
        for name in self.models:
            files = [os.path.join(folder, file) for folder, _, names in os.walk(name) for file in names]
            self.assertLess(sum(map(os.path.getsize, files)), 5 * 2**20, name)


class TinyModelsCommandTest(unittest.TestCase):
    def test_unknown_name_is_refused(self):
        with self.assertRaisesRegex(KeyError, "no tiny model set for nothing; there is: .*Sam/SamVitH-1024"):
            tiny_models.make(tempfile.gettempdir(), ["nothing"])

    def test_parameters_follow_from_name_and_seed(self):
        layers = [tiny_models.seed_parameters(paddle.nn.Linear(3, 4), seed) for seed in (0, 0, 1)]
        weights = [layer.weight.numpy() for layer in layers]
        np.testing.assert_array_equal(weights[0], weights[1])
        self.assertGreater(np.abs(weights[0] - weights[2]).max(), 0.1)

    def test_command(self):
        with tempfile.TemporaryDirectory() as folder:
            words = [tiny_models.__file__, "--out", folder, "Linaqruf/anything-v3.0"]
            with mock.patch.object(sys, "argv", words):
                runpy.run_path(tiny_models.__file__, run_name="__main__")
            self.assertTrue(os.path.isfile(os.path.join(folder, "Linaqruf/anything-v3.0/model_index.json")))


if __name__ == "__main__":
    unittest.main()
