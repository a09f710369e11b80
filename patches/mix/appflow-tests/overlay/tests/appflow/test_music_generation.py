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
"""Appflow's music_generation: AudioLDM, alone and after a recording, on tiny seeded sets; RUN_SLOW=1 adds the real weights."""

import os
import sys
import unittest

import numpy as np
import paddle
from paddlemix.appflow import Appflow
from tests.testing_utils import slow

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from appflow_common import TinyTestCase, names_read, picture, summary, what_the_model_gets  # noqa: E402
from audio_common import SoundTestCase  # noqa: E402

EYES = "miniGPT4/MiniGPT4-7B"
NAME = "cvssp/audioldm"
PROMPT = (
    "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I provide it to you. "
    "Please answer my questions.###Human: <Img><ImageHere></Img> <TextHere>###Assistant:"
)
CHAIN = ["whisper", "THUDM/chatglm-6b", NAME]


class PictureToTextTest(TinyTestCase):
    """MiniGPT-4, with which music to a picture begins."""

    models = [EYES]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.task = Appflow(app="music_generation", models=[EYES], task_path=os.path.join(cls.root, EYES))

    def answer(self, seed=0, text="describe the image", **changes):
        limits = {**self.task.task_instances[0]._generate_kwargs, "max_length": 24}
        inputs = {"image": picture(seed), "minigpt4_text": text, "generate_kwargs": limits, **changes}
        return self.task(**inputs)["result"]

    def test_answer_and_stored_text(self):
        self.assertStored("music_generation answer", self.answer(), 0)

    def test_answer_is_that_of_the_model(self):
        eyes = self.task.task_instances[0]
        inputs = eyes._processor([picture(7)], "a red dog", PROMPT)
        ids = eyes._model.generate(**inputs, **{**eyes._generate_kwargs, "max_length": 24})[0]
        self.assertEqual(self.answer(7, "a red dog"), eyes._processor.batch_decode(ids)[0])

    def test_options_of_the_answer_act(self):
        options = {**self.task.task_instances[0]._generate_kwargs, "max_length": 8}
        self.assertLess(len(self.answer(generate_kwargs=options)), len(self.answer()))
        self.assertTrue(self.answer().startswith(self.answer(generate_kwargs=options)))

    def test_picture_and_question_matter(self):
        first = self.answer()
        self.assertEqual(first, self.answer())
        self.assertNotEqual(first, self.answer(seed=7))
        self.assertNotEqual(first, self.answer(text="a red dog"))

    def test_missing_inputs_are_named(self):
        task = self.task.task_instances[0]
        self.assertEqual(names_read(task, "inputs"), {"image", "minigpt4_text", "generate_kwargs"})
        self.assertEqual(names_read(task), set())
        for name in ("image", "minigpt4_text"):
            with self.assertRaisesRegex(AssertionError, f"The {name} is None"):
                self.answer(**{name: None})


class MusicGenerationTest(SoundTestCase):
    sounds = CHAIN

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.task = Appflow(app="music_generation", models=[NAME])
        cls.task.task_instances[0]._model.set_progress_bar_config(disable=True)
        cls.first = cls.play()

    @classmethod
    def play(cls, prompt="a red ball", seed=1, steps=2, seconds=0.064):
        paddle.seed(seed)
        inputs = {"prompt": prompt, "num_inference_steps": steps, "audio_length_in_s": seconds}
        return np.asarray(cls.task(**inputs)["result"])

    def test_sound_and_stored_numbers(self):
        self.assertEqual((self.first.shape, self.first.dtype), ((1024,), np.dtype("float32")))
        self.assertTrue(np.isfinite(self.first).all() and np.abs(self.first).max() <= 1)
        self.assertGreater(self.first.std(), 0.001)
        self.assertStored("music_generation", summary(self.first), 0.003)
        self.assertStored("music_generation loudness", summary(np.abs(self.first)), 0.003)

    def test_same_seed_plays_the_same(self):
        self.assertSame(self.first, self.play())

    def test_seed_prompt_and_steps_matter(self):
        for changed in (self.play(seed=2), self.play("the blue house on a bus"), self.play(steps=3)):
            self.assertDiffer(self.first, changed, 1e-4)

    def test_sound_is_that_of_the_pipeline(self):
        paddle.seed(1)
        pipeline = self.task.task_instances[0]._model
        sound = pipeline("a red ball", num_inference_steps=2, audio_length_in_s=0.064).audios[0]
        self.assertSame(self.first, sound)

    def test_every_input_reaches_the_pipeline(self):
        task = self.task.task_instances[0]
        self.assertEqual(names_read(task, "inputs"), {"prompt", "num_inference_steps", "audio_length_in_s"})
        self.assertEqual(names_read(task), set())
        for changes in ({"num_inference_steps": 7, "audio_length_in_s": 1.5}, {}):
            want = {"prompt": "a cat", "num_inference_steps": 10, "audio_length_in_s": 5.0, **changes}
            self.assertEqual(what_the_model_gets(task, {"prompt": "a cat", **changes}), ((), want))

    def test_half_the_time_is_half_the_samples(self):
        self.assertEqual(self.play(seconds=0.032).shape, (512,))

    def test_music_to_a_recording(self):
        task = self.say_little(Appflow(app="music_generation", models=CHAIN))

        def play(audio):
            paddle.seed(1)
            result = task(audio=audio, prompt="{}", num_inference_steps=2, audio_length_in_s=0.064)
            return np.asarray(result["result"])

        play(self.low)  # Whisper's executor makes its model when it first hears, which takes from the random numbers
        first = play(self.low)
        self.assertEqual(first.shape, (1024,))
        self.assertSame(first, play(self.low))
        self.assertDiffer(first, play(self.high), 1e-5)

    def test_missing_prompt_is_named(self):
        with self.assertRaisesRegex(AssertionError, "The prompt is None"):
            self.task(num_inference_steps=2)


@slow
class MusicGenerationSlowTest(unittest.TestCase):
    def test_real_weights(self):
        task = Appflow(app="music_generation", models=[NAME])
        sound = np.asarray(task(prompt="a classical guitar", audio_length_in_s=2.0)["result"])
        self.assertEqual(sound.shape, (32000,))
        self.assertGreater(sound.std(), 0.001)


if __name__ == "__main__":
    unittest.main()
