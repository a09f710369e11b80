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

import json
import os
import re
import shutil
import sys
import tempfile
import unittest
from unittest import mock

import nltk
import numpy as np
import paddle
from paddlemix.appflow import Appflow
from tests.testing_utils import slow

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from appflow_common import TinyTestCase, names_read, picture, summary  # noqa: E402

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

    def test_results_are_those_of_the_models(self):
        """Without the tasks: a box [cx, cy, w, h] of the picture in pixels, its words, its score, and its mask."""
        detect, segment = self.task.task_instances
        for seed, prompt in ((0, "dog. cat"), (7, "red house")):
            result = self.label(seed, prompt)
            pixels, mask, words = detect._processor(images=picture(seed), text=prompt)
            with paddle.no_grad():
                found = detect._model(pixels, mask, **words)
            scores = 1 / (1 + np.exp(-found["pred_logits"].numpy()[0].astype("float64")))
            tokens = detect._processor.tokenizer.convert_ids_to_tokens(words["input_ids"][0].tolist())
            kept = scores.max(axis=1) > 0.3
            center, size = np.split(found["pred_boxes"].numpy()[0][kept] * [64, 48, 64, 48], 2, axis=1)
            np.testing.assert_allclose(result["boxes"][:, :2], center - size / 2, atol=1)  # whole pixels, cut
            np.testing.assert_allclose(result["boxes"], np.trunc(np.hstack([center - size / 2, center + size / 2])))
            for label, row in zip(result["labels"], scores[kept]):
                said, _, score = label.rpartition("(")
                named = [token for token, high in zip(tokens, row > 0.25) if high]
                self.assertEqual(re.findall(r"\[?\w+\]?|\.", said), named)
                self.assertAlmostEqual(float(score[:-1]), row.max(), delta=0.011)
            pixels, boxes = segment._processor(picture(seed), input_type="boxs", box=result["boxes"])
            masks = segment._processor.postprocess_masks(segment._model(img=pixels, prompt=boxes))
            self.assertSame(result["seg_masks"].numpy(), masks.numpy())

    def test_threshold_is_used(self):
        strict = Appflow(app="auto_label", models=MODELS[:1], box_threshold=0.9)(image=picture(), prompt="dog. cat")
        self.assertTrue(all(float(label.rpartition("(")[2][:-1]) >= 0.89 for label in strict["labels"]))
        self.assertLess(len(strict["labels"]), len(self.label()["labels"]) + 1)

    def test_as_many_boxes_as_scores_above_the_threshold(self):
        detect = self.task.task_instances[0]
        inputs = {"image": picture(), "prompt": "dog. cat"}
        pixels, mask, words = detect._processor(images=inputs["image"], text=inputs["prompt"])
        with paddle.no_grad():
            logits = detect._model(pixels, mask, **words)["pred_logits"].numpy()[0].astype("float64")
        scores = np.sort((1 / (1 + np.exp(-logits))).max(axis=1))
        try:
            for number, (low, high) in enumerate(zip(scores, scores[1:])):
                if high - low > 1e-5:
                    detect.set_argument({"box_threshold": float(low + high) / 2})
                    self.assertEqual(len(detect(dict(inputs))["boxes"]), len(scores) - 1 - number)
        finally:
            detect.set_argument({"box_threshold": 0.3})

    def test_arguments_act_when_given_and_when_set(self):
        detect, segment = self.task.task_instances
        self.assertEqual(names_read(detect), {"box_threshold", "text_threshold"})
        self.assertEqual(names_read(segment), {"input_type"})
        self.assertEqual(names_read(detect, "inputs"), {"image", "prompt"})
        self.assertEqual(names_read(segment, "inputs"), {"image", "boxes", "points"})

        def words(result):
            return [label.rpartition("(")[0] for label in result["labels"]]

        first = self.label()
        self.assertTrue(any(words(first)))
        scores = sorted(float(label.rpartition("(")[2][:-1]) for label in first["labels"])
        few = {"box_threshold": (scores[-1] + scores[-2]) / 2 if len(scores) > 1 else 0.99}
        none = {"text_threshold": 0.999}
        for argument, check in ((few, lambda r: len(r["boxes"])), (none, lambda r: len("".join(words(r))))):
            given = Appflow(app="auto_label", models=MODELS[:1], **argument)(image=picture(), prompt="dog. cat")
            name = next(iter(argument))
            before = {name: getattr(detect, "_" + name)}
            detect.set_argument({**argument, "input": "nothing"})
            try:
                changed = detect({"image": picture(), "prompt": "dog. cat"})
            finally:
                detect.set_argument(before)
            self.assertLess(check(given), check(first), name)
            self.assertEqual(changed["labels"], given["labels"])
            self.assertFalse(hasattr(detect, "_input"))
        self.assertEqual(first["labels"], self.label()["labels"])

    def test_the_kind_of_prompt_of_sam_is_set(self):
        segment = self.task.task_instances[1]
        for kind, inputs, size in (
            ("points", {"points": [8, 8]}, 2),
            ("boxs", {"boxes": np.array([[4, 4, 40, 30]])}, 4),
        ):
            segment.set_argument({"input_type": kind})
            made = segment._preprocess({"image": picture(), **inputs})
            self.assertEqual(made["prompt"].reshape([-1]).shape[0], size)

    def test_a_point_is_segmented(self):
        task = Appflow(app="openset_det_sam", models=MODELS[1:], input_type="points")

        def mask(point):
            return task(image=picture(), points=point)["seg_masks"].numpy()

        first = mask([8, 8])
        self.assertEqual((first.shape, first.dtype), ((1, 1, 48, 64), np.dtype(bool)))
        self.assertSame(first, mask([8, 8]))
        self.assertDiffer(first, mask([60, 40]), 0)

    def test_each_box_has_its_own_mask(self):
        segment, boxes = self.task.task_instances[1], np.array([[2, 2, 20, 20], [30, 20, 60, 44], [4, 24, 24, 46]])

        def masks(which):
            return segment({"image": picture(), "boxes": boxes[which]})["seg_masks"].numpy()

        together = masks([0, 1, 2])
        for number in range(3):
            self.assertSame(together[number], masks([number])[0])
        self.assertSame(together[::-1], masks([2, 1, 0]))

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

    def test_caption_is_that_of_the_model(self):
        eyes = self.eyes.task_instances[0]
        words = {"return_tensors": "pd", "return_attention_mask": True, "mode": "test"}
        inputs = eyes._processor(images=picture(7), text="a photo of", **words)
        said = eyes._processor.batch_decode(eyes._model.generate(**inputs)[0], skip_special_tokens=True)[0]
        self.assertEqual(self.see(7, "a photo of")["result"], said.strip())

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

    def test_the_text_model_that_is_named_gives_the_words(self):
        usual = "facebook/opt-2.7b"
        self.assertEqual(names_read(self.eyes.task_instances[0]), {"blip2_text_model"})
        self.assertEqual(names_read(self.eyes.task_instances[0], "inputs"), {"image", "blip2_prompt"})
        shutil.copytree(usual, "other/opt", dirs_exist_ok=True)
        with open("other/opt/vocab.json", encoding="utf-8") as file:
            words = json.load(file)
        said = self.see()["result"]
        one, other = [word for word in words if word.strip("\u0120") in said.split()][:2]
        words[one], words[other] = words[other], words[one]
        with open("other/opt/vocab.json", "w", encoding="utf-8") as file:
            json.dump(words, file)
        eyes = Appflow(app="image2text_generation", models=[CAPTION], blip2_text_model="other/opt")
        self.assertNotEqual(said, eyes(image=picture(), blip2_prompt="describe the image")["result"])

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
