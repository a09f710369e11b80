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
Appflow's auto_label on tiny seeded sets: the caption of BLIP-2 and its nouns, boxes, labels and masks; RUN_SLOW=1 adds
the real weights.
"""

import os
import re
import shutil
import sys
import tempfile
import unittest
from unittest import mock

import nltk
import numpy as np
from paddlemix.appflow import Appflow
from tests.testing_utils import slow

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from appflow_common import TinyTestCase, picture, summary  # noqa: E402

CAPTION = "paddlemix/blip2-caption-opt2.7b"
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


class CaptionTest(TinyTestCase):
    """What BLIP-2 says of a picture is what Grounding DINO looks for."""

    models = [CAPTION] + MODELS

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.eyes = Appflow(app="image2text_generation", models=[CAPTION])
        cls.task = Appflow(app="auto_label", models=cls.models)

    def see(self, seed=0, prompt="describe the image"):
        return self.eyes(image=picture(seed), blip2_prompt=prompt)

    def test_caption_and_stored_text(self):
        seen = self.see()
        self.assertEqual(len(seen["result"].replace(".", " .").split()), 30)  # the task's own max_length
        self.assertStored("auto_label caption", [seen["result"], seen["prompt"]], 0)

    def test_tags_are_the_nouns_of_the_caption_each_once_in_its_order(self):
        words = self.see()["result"].replace(".", " .").split()
        nouns = {"dog": "dog", "cat": "cat", "bus": "bus", "ball": "ball", "house": "house", "photo": "photo"}
        nouns.update(
            {"dogs": "dog", "cats": "cat", "buses": "bus", "balls": "ball", "houses": "house", "photos": "photo"}
        )
        tags = list(dict.fromkeys(nouns[word] for word in words if word in nouns))
        self.assertGreater(len(tags), 1)
        self.assertEqual(self.see()["prompt"].split(","), tags)

    def test_picture_and_prompt_matter(self):
        first = self.see()["result"]
        self.assertEqual(first, self.see()["result"])
        self.assertNotEqual(first, self.see(seed=7)["result"])
        self.assertNotEqual(first, self.see(prompt="a photo of")["result"])

    def test_what_is_seen_is_labelled(self):
        tags = self.see()["prompt"]
        result = self.task(image=picture(), blip2_prompt="describe the image")
        given = Appflow(app="auto_label", models=MODELS)(image=picture(), prompt=tags)
        self.assertGreater(len(result["labels"]), 0)
        self.assertEqual(result["labels"], given["labels"])
        self.assertSame(result["boxes"], given["boxes"])
        self.assertSame(result["seg_masks"].numpy(), given["seg_masks"].numpy())
        said = " ".join(label.rpartition("(")[0] for label in result["labels"])
        self.assertLessEqual(set(re.findall(r"\w+", said)) - {"CLS", "SEP"}, set(tags.split(",")))

    def test_missing_inputs_are_named(self):
        for inputs, said in (({"blip2_prompt": "a"}, "image"), ({"image": picture()}, "blip2_prompt")):
            with self.assertRaisesRegex(AssertionError, f"The {said} is None"):
                self.task(**inputs)

    def test_missing_language_data_is_asked_for_by_the_names_of_old_and_new_nltk(self):
        split = [LookupError("punkt_tab"), ["the", "dogs"]]
        with mock.patch.object(nltk, "word_tokenize", side_effect=split), mock.patch.object(
            nltk, "download"
        ) as download:
            self.assertEqual(self.see()["prompt"], "dog")
        asked = download.call_args.args[0]
        self.assertLessEqual({"punkt", "punkt_tab", "averaged_perceptron_tagger_eng", "wordnet"}, set(asked))


class StaticModeTest(TinyTestCase):
    """With `static_mode` the two models are exported once and run by Paddle Inference, with the same results."""

    models = MODELS

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.home = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.home)
        for name in MODELS:  # the exported model is written beside the weights
            shutil.copytree(name, os.path.join(cls.home, "models", name))
        cls.task = Appflow(app="auto_label", models=MODELS, static_mode=True, home_path=cls.home)

    def test_the_same_as_without(self):
        dynamic = Appflow(app="auto_label", models=MODELS)
        for seed, prompt in ((0, "dog. cat"), (7, "red house")):  # another number of boxes and of words
            got, want = [task(image=picture(seed), prompt=prompt) for task in (self.task, dynamic)]
            self.assertEqual(got["labels"], want["labels"])
            self.assertSame(got["boxes"], want["boxes"])
            self.assertLess((got["seg_masks"].numpy() != want["seg_masks"].numpy()).mean(), 0.001)

    def test_exported_once(self):
        folder = os.path.join(self.home, "models", MODELS[1])
        before = os.path.getmtime(os.path.join(folder, "model_state.pdiparams"))
        again = Appflow(app="openset_det_sam", models=MODELS[1:], static_mode=True, home_path=self.home)
        masks = again(image=picture(), boxes=np.array([[4, 4, 40, 30]]))["seg_masks"]
        self.assertEqual(tuple(masks.shape), (1, 1, 48, 64))
        self.assertEqual(before, os.path.getmtime(os.path.join(folder, "model_state.pdiparams")))


@slow
class AutoLabelSlowTest(unittest.TestCase):
    def test_real_weights(self):
        task = Appflow(app="auto_label", models=[CAPTION] + MODELS)
        result = task(image=picture(0, (640, 480)), blip2_prompt="describe the image")
        self.assertEqual(len(result["labels"]), len(result["boxes"]))


if __name__ == "__main__":
    unittest.main()
