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
"""Grounding DINO on a tiny seeded set: processor and model; RUN_SLOW=1 adds the real weights."""

import os
import sys
import unittest

import numpy as np
import paddle
from paddlemix.models.groundingdino.modeling import GroundingDinoModel
from paddlemix.processors import GroudingDinoImageProcessor, GroudingDinoProcessor, GroudingDinoTextProcessor
from PIL import Image
from tests.testing_utils import slow

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "appflow"))
from appflow_common import TinyTestCase, picture, summary  # noqa: E402

NAME = "GroundingDino/groundingdino-swint-ogc"


def detect(model, processor, image, text):
    pixels, mask, words = processor(images=image, text=text)
    with paddle.no_grad():
        result = model(pixels, mask, **words)
    return result["pred_logits"].numpy()[0], result["pred_boxes"].numpy()[0]


class GroundingDinoTest(TinyTestCase):
    models = [NAME]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.processor = GroudingDinoProcessor.from_pretrained(NAME)
        cls.model = GroundingDinoModel.from_pretrained(NAME)
        cls.model.eval()

    def detect(self, image=None, text="dog. cat"):
        return detect(self.model, self.processor, image or picture(), text)

    def test_pixels_are_resized_and_normalized(self):
        pixels, mask, _ = self.processor(images=picture(0, (128, 96)), text="dog")
        self.assertEqual((pixels.shape, mask.shape), ([1, 3, 64, 85], [1, 64, 85]))
        self.assertFalse(mask.any())
        same = np.asarray(picture(0, (85, 64)), dtype="float32").transpose(2, 0, 1) / 255
        pixels, _, _ = self.processor(images=picture(0, (85, 64)), text="dog")
        np.testing.assert_allclose(pixels.numpy()[0], (same - 0.5) / 0.5, atol=1e-5)

    def test_words_see_their_own_phrase_only(self):
        _, _, words = self.processor(images=picture(), text="dog. red cat")
        tokens = self.processor.tokenizer.convert_ids_to_tokens(words["input_ids"][0].tolist())
        self.assertEqual(tokens, ["[CLS]", "dog", ".", "red", "cat", ".", "[SEP]"])
        self.assertEqual(words["position_ids"][0].tolist(), [0, 0, 1, 0, 1, 2, 0])
        sees = words["text_self_attention_masks"][0].astype("int64").tolist()
        self.assertEqual(sees[1], [0, 1, 1, 0, 0, 0, 0])
        self.assertEqual(sees[4], [0, 0, 0, 1, 1, 1, 0])

    def test_boxes_logits_and_stored_numbers(self):
        logits, boxes = self.detect()
        self.assertEqual((logits.shape, boxes.shape), ((12, 256), (12, 4)))
        self.assertTrue(((boxes >= 0) & (boxes <= 1)).all())
        self.assertTrue(np.isfinite(logits[:, :6]).all())
        self.assertLess(logits[:, 6:].max(), -1e4)  # what is no token is never found
        self.assertStored("groundingdino boxes", boxes.reshape(-1), 0.005)
        self.assertStored("groundingdino logits", summary(logits[:, :6], 3), 0.02)

    def test_text_picture_and_channels_matter(self):
        logits, boxes = self.detect()
        for other in (self.detect(text="the red house"), self.detect(picture(7))):
            self.assertDiffer(boxes, other[1], 1e-3)
        red, green, blue = picture().split()
        self.assertDiffer(boxes, self.detect(Image.merge("RGB", (blue, green, red)))[1], 1e-3)
        again = self.detect()
        self.assertSame(logits, again[0])
        self.assertSame(boxes, again[1])

    def test_arguments_of_the_processors_act(self):
        """Given when an image processor is made or at a call, each changes the pixels in the same way."""
        usual = {"size": 64, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_normalize": True}
        changes = {"size": 32, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.2, 0.4, 0.8], "do_normalize": False}
        pixels, _ = GroudingDinoImageProcessor(**usual)(picture())
        for name, value in changes.items():
            with self.subTest(name):
                made, mask = GroudingDinoImageProcessor(**{**usual, name: value})(picture())
                given, _ = GroudingDinoImageProcessor(**usual)(picture(), **{name: value})
                self.assertSame(made, given)
                self.assertEqual(mask.shape, [1, *made.shape[2:]])
                if name == "size":
                    self.assertEqual(made.shape, [1, 3, 32, 42])
                else:
                    self.assertDiffer(pixels, made, 0.1)

    def test_words_beyond_the_longest_text_are_cut(self):
        tokenizer = self.processor.tokenizer
        specials = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", ".", "?"])
        ids = tokenizer(["dog. red cat."]).input_ids
        words = GroudingDinoTextProcessor(max_words=4)(ids, specials)
        self.assertEqual(words["input_ids"][0].tolist(), ids[0][:4])
        self.assertEqual(words["attention_mask"].shape, [1, 4])
        self.assertEqual(words["position_ids"].shape, [1, 4])
        self.assertEqual(words["text_self_attention_masks"].shape, [1, 4, 4])

    def test_one_missing_input_is_refused(self):
        with self.assertRaisesRegex(ValueError, "images and text"):
            self.processor(images=picture(), text=None)


@slow
class GroundingDinoSlowTest(unittest.TestCase):
    def test_real_weights(self):
        processor, model = GroudingDinoProcessor.from_pretrained(NAME), GroundingDinoModel.from_pretrained(NAME)
        model.eval()
        logits, boxes = detect(model, processor, picture(0, (640, 480)), "dog")
        self.assertEqual((logits.shape, boxes.shape), ((900, 256), (900, 4)))
        self.assertTrue(((boxes >= 0) & (boxes <= 1)).all())


if __name__ == "__main__":
    unittest.main()
