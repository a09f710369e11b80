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
"""Appflow's audio2caption: Whisper and ChatGLM on tiny seeded sets; RUN_SLOW=1 adds the real weights."""

import os
import sys
import tempfile
import unittest

from paddlemix.appflow import Appflow
from tests.testing_utils import slow

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from appflow_common import names_read, what_the_model_gets  # noqa: E402
from audio_common import SoundTestCase, recording  # noqa: E402

MODELS = ["whisper", "THUDM/chatglm-6b"]


class AudioCaptionTest(SoundTestCase):
    sounds = MODELS

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ears = Appflow(app="audio2caption", models=MODELS[:1])
        cls.task = cls.say_little(Appflow(app="audio2caption", models=MODELS))

    def heard(self, audio, prompt="{}"):
        return self.ears(audio=audio, prompt=prompt)["prompt"]

    def test_what_is_heard_and_stored_text(self):
        text = self.heard(self.low)
        self.assertTrue(text.isprintable() and 5 <= len(text) <= 12, text)
        self.assertStored("audio2caption heard", text, 0)
        self.assertStored("audio2caption heard of the higher tone", self.heard(self.high), 0)

    def test_another_recording_is_heard_otherwise(self):
        self.assertEqual(self.heard(self.low), self.heard(self.low))
        self.assertNotEqual(self.heard(self.low), self.heard(self.high))

    def test_texts_are_those_of_the_models(self):
        ears, (_, chat) = self.ears.task_instances[0], self.task.task_instances
        for audio in (self.low, self.high):
            text = ears._model(audio_file=audio)["text"]
            self.assertEqual(self.heard(audio, "So {} it is"), f"So {text} it is")
            lines = chat._model(f"the {text}")["result"][0].split("\n")
            result = self.task(audio=audio, prompt="the {}")
            said = [lines[0].split(":")[-1].strip(), lines[-1].split(":")[-1].strip()]
            self.assertEqual([result["prompt"], result["inpaint_prompt"]], said)

    def test_every_input_reaches_whisper(self):
        ears, inputs = self.ears.task_instances[0], {"audio": self.low, "prompt": "{}"}
        told = {"model": "m", "task": "translate", "sample_rate": 8000, "config": "c", "ckpt_path": "p"}
        usual = {"model": "whisper", "task": "transcribe", "sample_rate": 16000, "config": None, "ckpt_path": None}
        self.assertEqual(names_read(ears, "inputs"), {*inputs, *told})
        self.assertEqual(what_the_model_gets(ears, {**inputs, **told}), ((), {"audio_file": self.low, **told}))
        self.assertEqual(what_the_model_gets(ears, inputs), ((), {"audio_file": self.low, **usual}))

    def test_what_was_heard_reaches_chatglm(self):
        _, chat = self.task.task_instances
        self.assertEqual((names_read(chat, "inputs"), names_read(chat)), ({"prompt"}, set()))
        self.assertEqual(what_the_model_gets(chat, {"prompt": "the end"}), (("the end",), {}))

    def test_the_prompt_holds_what_was_heard(self):
        self.assertEqual(self.heard(self.low, "say: {}!"), f"say: {self.heard(self.low)}!")

    def test_caption_and_stored_text(self):
        result = self.task(audio=self.low, prompt="the {}")
        self.assertEqual(set(result), {"audio", "prompt", "inpaint_prompt"})
        self.assertGreater(len(result["prompt"]), 3)
        self.assertStored("audio2caption caption", [result["prompt"], result["inpaint_prompt"]], 0)

    def test_recording_and_prompt_matter(self):
        first = self.task(audio=self.low, prompt="the {}")["prompt"]
        self.assertEqual(first, self.task(audio=self.low, prompt="the {}")["prompt"])
        self.assertNotEqual(first, self.task(audio=self.high, prompt="the {}")["prompt"])
        self.assertNotEqual(first, self.task(audio=self.low, prompt="a blue house {}")["prompt"])

    def test_missing_inputs_are_named(self):
        for inputs, said in (({"prompt": "{}"}, "audio"), ({"audio": self.low}, "prompt")):
            with self.assertRaisesRegex(AssertionError, f"The {said} is None"):
                self.task(**inputs)

    def test_first_and_last_line_are_the_answer(self):
        answer = "main_object: a dog\nand\nother prompt: on grass"
        parts = self.task.task_instances[1]._postprocess({"result": answer})
        self.assertEqual((parts["prompt"], parts["inpaint_prompt"]), ("a dog", "on grass"))


@slow
class AudioCaptionSlowTest(unittest.TestCase):
    def test_real_weights(self):
        with tempfile.TemporaryDirectory() as folder:
            audio = recording(os.path.join(folder, "tone.wav"), 440)
            result = Appflow(app="audio2caption", models=MODELS)(audio=audio, prompt="describe: {}.")
        self.assertGreater(len(result["prompt"]), 0)


if __name__ == "__main__":
    unittest.main()
