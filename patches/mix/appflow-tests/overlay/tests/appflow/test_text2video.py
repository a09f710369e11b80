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
"""Appflow's text_to_video_generation on a tiny seeded set; RUN_SLOW=1 adds the real weights."""

import os
import sys
import unittest

import numpy as np
import paddle
from paddlemix.appflow import Appflow
from tests.testing_utils import slow

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from appflow_common import TinyTestCase, names_read, summary, what_the_model_gets  # noqa: E402

NAME = "damo-vilab/text-to-video-ms-1.7b"


class TextToVideoTest(TinyTestCase):
    models = [NAME]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.task = Appflow(app="text_to_video_generation", models=[NAME])
        cls.first = cls.draw()

    @classmethod
    def draw(cls, prompt="a red ball", seed=1, steps=2):
        paddle.seed(seed)
        return np.asarray(cls.task(prompt=prompt, num_inference_steps=steps)["result"])

    def test_frames_and_stored_numbers(self):
        self.assertEqual((self.first.shape, self.first.dtype), ((16, 16, 16, 3), np.dtype("uint8")))
        self.assertStored("text_to_video", summary(self.first.mean(0)), 4.0)
        self.assertStored("text_to_video first frame", summary(self.first[0]), 6.0)

    def test_frames_follow_each_other(self):
        self.assertGreater(np.abs(np.diff(self.first.astype(int), axis=0)).mean(), 0.1)

    def test_frames_are_those_of_the_pipeline_in_its_order(self):
        pipeline = self.task.task_instances[0]._model
        paddle.seed(1)
        frames = pipeline(prompt="a red ball", num_inference_steps=2).frames
        self.assertEqual(len(self.first), len(frames))
        for number, frame in enumerate(frames):
            with self.subTest(number):
                self.assertSame(self.first[number], frame)
        # no two of them are alike, so that an exchange would show
        self.assertEqual(len({frame.tobytes() for frame in self.first}), len(frames))

    def test_same_seed_draws_the_same(self):
        self.assertSame(self.first, self.draw())

    def test_seed_prompt_and_steps_matter(self):
        for changed in (self.draw(seed=2), self.draw(prompt="the blue house"), self.draw(steps=3)):
            self.assertDiffer(self.first, changed)

    def test_every_input_reaches_the_pipeline(self):
        task = self.task.task_instances[0]
        self.assertEqual(names_read(task, "inputs"), {"prompt", "num_inference_steps"})
        self.assertEqual(names_read(task), set())
        for inputs in ({"prompt": "a cat", "num_inference_steps": 7}, {"prompt": "a cat"}):
            self.assertEqual(what_the_model_gets(task, inputs), ((), {"num_inference_steps": 25, **inputs}))

    def test_missing_prompt_is_named(self):
        with self.assertRaisesRegex(AssertionError, "The prompt is None"):
            self.task(num_inference_steps=2)


@slow
class TextToVideoSlowTest(unittest.TestCase):
    def test_real_weights(self):
        frames = np.asarray(Appflow(app="text_to_video_generation", models=[NAME])(prompt="a dog")["result"])
        self.assertEqual(frames.shape, (16, 256, 256, 3))


if __name__ == "__main__":
    unittest.main()
