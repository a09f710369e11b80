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
"""SAM on a tiny seeded set: processor, model, masks; RUN_SLOW=1 adds the real weights."""

import os
import sys
import tempfile
import unittest

import numpy as np
import paddle
from paddlemix.models.sam.modeling import SamModel
from paddlemix.processors import SamImageProcessor, SamProcessor, SamPromptProcessor
from tests.testing_utils import slow

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "appflow"))
import tiny_models  # noqa: E402
from appflow_common import TinyTestCase, picture, summary  # noqa: E402

NAME = "Sam/SamVitH-1024"
BOXES = np.array([[5, 5, 40, 30], [30, 10, 60, 45]])


class SamTest(TinyTestCase):
    models = [NAME]

    def setUp(self):
        super().setUp()
        self.processor = SamProcessor.from_pretrained(NAME)

    def model(self, input_type="boxs"):
        return SamModel.from_pretrained(NAME, input_type=input_type)

    def masks(self, model, image, boxes):
        pixels, prompt = self.processor(image, input_type="boxs", box=boxes)
        low = model(img=pixels, prompt=prompt)
        return low.numpy(), self.processor.postprocess_masks(low).numpy()

    def test_pixels_are_normalized_and_padded(self):
        image = np.asarray(picture())
        pixels, prompt = self.processor(image, input_type="boxs", box=BOXES)
        mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
        self.assertEqual(pixels.shape, [1, 3, 64, 64])
        np.testing.assert_allclose(pixels.numpy()[0, :, :48].transpose(1, 2, 0), (image - mean) / std, atol=1e-5)
        self.assertEqual(np.abs(pixels.numpy()[0, :, 48:]).max(), 0)
        np.testing.assert_allclose(prompt.numpy()[0], BOXES)

    def test_boxes_are_scaled_with_the_picture(self):
        _, prompt = self.processor(np.asarray(picture(0, (128, 96))), input_type="boxs", box=BOXES)
        np.testing.assert_allclose(prompt.numpy()[0], BOXES / 2)

    def test_masks_and_stored_numbers(self):
        low, masks = self.masks(self.model(), picture(), BOXES)
        self.assertEqual((low.shape, masks.shape, masks.dtype), ((2, 1, 32, 32), (2, 1, 48, 64), np.dtype(bool)))
        self.assertTrue(np.isfinite(low).all())
        self.assertStored("sam low resolution", summary(low[0, 0]), 0.01 * low.std())
        self.assertStored("sam masks", summary(masks[1, 0]), 0.05)
        self.assertTrue(0 < masks.mean() < 1)

    def test_box_and_picture_matter(self):
        model = self.model()
        low, _ = self.masks(model, picture(), BOXES)
        self.assertDiffer(low, self.masks(model, picture(), BOXES + [0, 0, -20, -10])[0], 0.01 * low.std())
        self.assertDiffer(low, self.masks(model, picture(7), BOXES)[0], 0.1 * low.std())
        self.assertSame(low, self.masks(model, picture(), BOXES)[0])

    def test_masks_follow_their_boxes(self):
        model = self.model()
        low, masks = self.masks(model, picture(), BOXES)
        again, turned = self.masks(model, picture(), BOXES[::-1].copy())
        np.testing.assert_allclose(again[::-1], low, atol=1e-4 * np.abs(low).max())
        self.assertLess((turned[::-1] != masks).mean(), 0.001)
        self.assertDiffer(low[0], low[1], 0.01 * low.std())

    def test_channels_matter(self):
        model, image = self.model(), np.asarray(picture())
        low, _ = self.masks(model, image, BOXES)
        self.assertDiffer(low, self.masks(model, image[..., ::-1], BOXES)[0], 0.1 * low.std())

    def test_arguments_of_the_processors_act(self):
        """Given when the image processor is made or at a call, each changes the pixels in the same way."""
        image = np.asarray(picture())
        usual = {"size": 64, "image_mean": [120.0] * 3, "image_std": [60.0] * 3, "image_format": "RGB"}
        pixels = SamImageProcessor(**usual)(image)
        for name, value in {"image_mean": [100.0, 110.0, 130.0], "image_std": [50.0, 60.0, 80.0]}.items():
            with self.subTest(name):
                made = SamImageProcessor(**{**usual, name: value})(image)
                self.assertDiffer(pixels, made, 0.05)
                self.assertSame(made, SamImageProcessor(**usual)(image, **{name: value}))
        self.assertSame(SamImageProcessor(**usual)(image, image_format="BGR")[:, ::-1], pixels)
        self.assertEqual(SamImageProcessor(**{**usual, "size": 32})(image).shape, [1, 3, 32, 32])
        self.assertSame(SamPromptProcessor(size=32)((48, 64), box=BOXES)[0], BOXES / 2)

    def test_the_threshold_of_masks_acts(self):
        low, masks = self.masks(self.model(), picture(), BOXES)
        fewer = self.processor.postprocess_masks(low, mask_threshold=float(low.max()) / 2).numpy()
        self.assertTrue(fewer.any())
        self.assertLess(fewer.mean(), masks.mean())
        self.assertFalse((fewer & ~masks).any())

    def test_a_point_is_a_prompt(self):
        model = self.model("points")

        def mask(point):
            pixels, prompt = self.processor(picture(), input_type="points", point_coords=np.array([point]))
            return model(img=pixels, prompt=prompt).numpy()

        first = mask([8, 8])
        self.assertEqual(first.shape, (1, 1, 32, 32))
        self.assertSame(first, mask([8, 8]))
        self.assertDiffer(first, mask([50, 30]), 0.001 * first.std())

    def test_a_grid_of_points_sees_the_second_picture(self):
        model = self.model("points_grid")
        points = paddle.to_tensor([[[8.0, 8.0]], [[40.0, 30.0]]])
        one, other = (self.processor.image_processor(np.asarray(picture(seed))) for seed in (0, 7))
        first, scores = model(img=one, prompt=points)
        self.assertEqual((first.shape, scores.shape), ([2, 1, 32, 32], [2, 1]))
        self.assertDiffer(first, model(img=other, prompt=points)[0], 0.1 * float(first.std()))

    def test_unknown_prompts_are_refused(self):
        with self.assertRaisesRegex(NotImplementedError, "scribbles"):
            self.model("scribbles")(img=paddle.zeros([1, 3, 64, 64]), prompt=None)

    def test_the_set_is_the_same_whatever_came_before(self):
        state = paddle.load(os.path.join(NAME, "model_state.pdparams"))
        kaiming = paddle.nn.initializer.KaimingUniform()
        paddle.nn.initializer.set_global_initializer(kaiming, paddle.nn.initializer.Constant())
        try:
            with tempfile.TemporaryDirectory() as folder:
                tiny_models.make(folder, [NAME])
                again = paddle.load(os.path.join(folder, NAME, "model_state.pdparams"))
        finally:
            paddle.nn.initializer.set_global_initializer(None)
        self.assertEqual(set(again), set(state))
        for name, value in state.items():
            self.assertSame(again[name], value)

    def test_saved_and_read_back(self):
        model = self.model()
        model.save_pretrained("again")
        for name, parameter in SamModel.from_pretrained("again", input_type="boxs").named_parameters():
            self.assertSame(parameter, dict(model.named_parameters())[name])


@slow
class SamSlowTest(unittest.TestCase):
    def test_real_weights(self):
        processor = SamProcessor.from_pretrained(NAME)
        model = SamModel.from_pretrained(NAME, input_type="boxs")
        image = np.zeros((96, 128, 3), dtype="uint8")
        image[30:70, 40:90] = 255  # a white square on black: its mask is known
        pixels, prompt = processor(image, input_type="boxs", box=np.array([[38, 28, 92, 72]]))
        mask = processor.postprocess_masks(model(img=pixels, prompt=prompt)).numpy()[0, 0]
        want = image[..., 0] > 0
        self.assertGreater((mask & want).sum() / (mask | want).sum(), 0.9)


if __name__ == "__main__":
    unittest.main()
