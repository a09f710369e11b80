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
"""
Appflow's auto_label from a given prompt on: boxes, labels and masks on tiny seeded sets; RUN_SLOW=1 adds the real
weights with the caption of BLIP-2 before.
"""

import os
import sys
import unittest

import numpy as np
from paddlemix.appflow import Appflow
from tests.testing_utils import slow

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from appflow_common import TinyTestCase, picture, summary  # noqa: E402

MODELS = ["GroundingDino/groundingdino-swint-ogc", "Sam/SamVitH-1024"]


class AutoLabelTest(TinyTestCase):
    models = MODELS

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.task = Appflow(app="auto_label", models=MODELS)

    def label(self, seed=0, prompt="dog. cat"):
        return self.task(image=picture(seed), prompt=prompt)

    def test_boxes_labels_masks_and_stored_results(self):
        result = self.label()
        boxes, labels, masks = result["boxes"], result["labels"], result["seg_masks"].numpy()
        self.assertGreater(len(boxes), 0)
        self.assertEqual(boxes.shape, (len(labels), 4))
        self.assertEqual((masks.shape, masks.dtype), ((len(boxes), 1, 48, 64), np.dtype(bool)))
        self.assertTrue((boxes[:, 2:] >= boxes[:, :2]).all())
        self.assertStored("auto_label boxes", boxes, 1)
        self.assertStored("auto_label labels", [label.rpartition("(")[0] for label in labels], 0)
        self.assertStored("auto_label masks", np.concatenate([summary(mask[0]) for mask in masks]), 0.06)

    def test_a_label_names_words_of_the_prompt_and_a_score(self):
        for label in self.label()["labels"]:
            words, _, score = label.rpartition("(")
            self.assertLessEqual(set(words.replace(".", " ").split()), {"[CLS]", "dog", "cat", "[SEP]"})
            self.assertTrue(0.3 <= float(score[:-1]) <= 1)

    def test_prompt_and_picture_matter(self):
        first = self.label()
        self.assertEqual(first["labels"], self.label()["labels"])
        for other in (self.label(prompt="red house"), self.label(seed=7)):
            self.assertNotEqual((first["labels"], first["boxes"].tolist()), (other["labels"], other["boxes"].tolist()))

    def test_threshold_is_used(self):
        strict = Appflow(app="auto_label", models=MODELS[:1], box_threshold=0.9)(image=picture(), prompt="dog. cat")
        self.assertTrue(all(float(label.rpartition("(")[2][:-1]) >= 0.89 for label in strict["labels"]))
        self.assertLess(len(strict["labels"]), len(self.label()["labels"]) + 1)

    def test_missing_inputs_are_named(self):
        for inputs, said in (({"prompt": "dog"}, "image"), ({"image": picture()}, "prompt")):
            with self.assertRaisesRegex(AssertionError, f"The {said} is None"):
                self.task(**inputs)

    def test_what_appflow_says_of_itself(self):
        self.assertIn("auto_label", Appflow.tasks())
        self.assertEqual(len(self.task.help()), 2)
        self.assertTrue(self.task.task_path()[1].endswith(MODELS[1]))


@slow
class AutoLabelSlowTest(unittest.TestCase):
    def test_real_weights(self):
        task = Appflow(app="auto_label", models=["paddlemix/blip2-caption-opt2.7b"] + MODELS)
        result = task(image=picture(0, (640, 480)), blip2_prompt="describe the image")
        self.assertEqual(len(result["labels"]), len(result["boxes"]))


if __name__ == "__main__":
    unittest.main()
