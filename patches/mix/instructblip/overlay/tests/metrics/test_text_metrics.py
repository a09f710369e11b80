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
import shutil
import unittest

import numpy as np
from paddlemix.metrics.caption_metrics import caption_scores
from paddlemix.metrics.ranking_metrics import mean_reciprocal_rank, ranking_accuracy, roc_auc
from paddlemix.metrics.vqa_metrics import exact_match, ivqa_accuracy, normalize_answer, vqa_accuracy


class VqaTest(unittest.TestCase):
    def test_accuracy(self):
        ten = ["yes"] * 8 + ["no"] * 2
        self.assertEqual(vqa_accuracy("Yes.", ten), 1.0)
        self.assertAlmostEqual(vqa_accuracy("no", ten), (8 * 2 + 2 * 1) / 30)
        self.assertEqual(normalize_answer("The two men, dont run!"), "2 men don't run")

    def test_rules_differ(self):
        self.assertEqual(vqa_accuracy("a dog", ["dog"] * 10), 0.0)
        self.assertEqual(vqa_accuracy("a dog", ["dog"] * 10, "lavis"), 1.0)
        self.assertEqual(vqa_accuracy("Dog", ["dog"] * 10), 0.0)
        self.assertEqual(vqa_accuracy("Dog", ["dog"] * 10, "minigpt4"), 1.0)

    def test_refusals(self):
        with self.assertRaisesRegex(ValueError, "official, lavis, minigpt4"):
            vqa_accuracy("yes", ["yes"] * 10, "mine")
        for answers in ("yes", []):
            with self.assertRaisesRegex(ValueError, "list of the annotators"):
                vqa_accuracy("yes", answers)
            with self.assertRaisesRegex(ValueError, "list of the annotators"):
                ivqa_accuracy("yes", answers)

    def test_others(self):
        self.assertEqual(ivqa_accuracy("cat", ["cat", "dog", "car", "a", "b"]), 0.5)
        self.assertEqual(exact_match("A cat.", ["cat"]), 1.0)
        self.assertEqual(exact_match("cat", "a cat"), 1.0)


class RankingTest(unittest.TestCase):
    def test_ranks(self):
        losses = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
        self.assertEqual(ranking_accuracy(losses, [0, 0]), 0.5)
        self.assertAlmostEqual(mean_reciprocal_rank(losses, [1, 0]), (1 / 2 + 1 / 3) / 2)

    def test_roc_auc(self):
        self.assertEqual(roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), 0.75)
        draw = np.random.default_rng(0)
        scores, labels = draw.integers(0, 9, 60), draw.integers(0, 2, 60)
        pairs = [(one > two) + 0.5 * (one == two) for one in scores[labels == 1] for two in scores[labels == 0]]
        self.assertAlmostEqual(roc_auc(scores, labels), np.mean(pairs))
        with self.assertRaisesRegex(ValueError, "both labels"):
            roc_auc([0.1, 0.2], [1, 1])

    def test_nan(self):
        for measure, values in ((ranking_accuracy, [[1.0, np.nan]]), (mean_reciprocal_rank, [[np.nan, 1.0]])):
            with self.assertRaisesRegex(ValueError, "NaN"):
                measure(values, [0])
        with self.assertRaisesRegex(ValueError, "NaN"):
            roc_auc([0.1, np.nan], [0, 1])


class CaptionTest(unittest.TestCase):
    references = {"1": ["a red cat on a car", "the cat is red"], "2": ["a blue dog", "one blue dog in a car"]}

    def test_own_caption_is_best(self):
        best = caption_scores(self.references, {"1": "the cat is red", "2": "one blue dog in a car"}, tokenize=False)
        other = caption_scores(self.references, {"1": "a blue dog", "2": "the cat is red"}, tokenize=False)
        self.assertAlmostEqual(best["BLEU-4"], 1.0, places=6)
        for key in ("BLEU-1", "ROUGE-L", "CIDEr"):
            self.assertGreater(best[key], other[key])

    def test_scores_of_the_images(self):
        captions = {"2": "a blue dog", "1": "a blue dog"}
        figures, images = caption_scores(self.references, captions, tokenize=False, per_image=True)
        self.assertEqual(figures, caption_scores(self.references, captions, tokenize=False))
        for name, values in images.items():
            self.assertGreater(values["2"], values["1"])
            self.assertAlmostEqual(figures[name], np.mean(list(values.values())))

    def test_refusals(self):
        with self.assertRaisesRegex(ValueError, "2 and 1 images.*'2'"):
            caption_scores(self.references, {"1": "a cat"}, tokenize=False)
        with self.assertRaisesRegex(ValueError, "0 and 0"):
            caption_scores({}, {}, tokenize=False)
        with self.assertRaisesRegex(ValueError, "list of references"):
            caption_scores({"1": "a cat"}, {"1": "a cat"}, tokenize=False)

    @unittest.skipUnless(shutil.which("java"), "the PTB tokenizer needs Java")
    def test_tokenizer(self):
        captions = {"1": "The cat is RED.", "2": "One blue dog, in a car!"}
        self.assertAlmostEqual(caption_scores(self.references, captions)["BLEU-4"], 1.0, places=6)

    @unittest.skipIf(shutil.which("java"), "Java is here")
    def test_no_java(self):
        with self.assertRaisesRegex(RuntimeError, "need Java"):
            caption_scores(self.references, {"1": "a", "2": "b"})


if __name__ == "__main__":
    unittest.main()
