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
"""Appflow's audio_chat: Whisper, ChatGLM and a spoken answer on tiny seeded sets; RUN_SLOW=1 adds the real weights."""

import os
import sys
import tempfile
import unittest

import numpy as np
import paddle
import soundfile
from paddlemix.appflow import Appflow
from tests.testing_utils import slow

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from appflow_common import names_read, summary, what_the_model_gets  # noqa: E402
from audio_common import SoundTestCase, recording  # noqa: E402
from tiny_audio_models import speech_inputs  # noqa: E402

MODELS = ["whisper", "THUDM/chatglm-6b", "speech"]


class AudioChatTest(SoundTestCase):
    sounds = MODELS

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mouth = Appflow(app="audio_chat", models=MODELS[2:])
        cls.task = cls.say_little(Appflow(app="audio_chat", models=MODELS))
        cls.say("a dog")  # the executor makes its models when it first speaks, which takes from the random numbers
        cls.first = cls.say("a red dog")

    @classmethod
    def say(cls, prompt, seed=1, **inputs):
        paddle.seed(seed)
        result = cls.mouth(prompt=prompt, output="said.wav", **speech_inputs("speech"), **inputs)
        samples, rate = soundfile.read(result["audio"])
        assert rate == 16000
        return samples

    def chat(self, audio, prompt="the {}"):
        paddle.seed(1)
        result = self.task(audio=audio, prompt=prompt, output="answer.wav", **speech_inputs("speech"))
        return result, soundfile.read(result["audio"])[0]

    def test_speech_and_stored_numbers(self):
        self.assertEqual(self.first.ndim, 1)
        self.assertEqual(len(self.first) % 4, 0)
        self.assertTrue(np.isfinite(self.first).all() and np.abs(self.first).max() <= 1)
        self.assertGreater(self.first.std(), 0.01)
        self.assertStored("audio_chat samples", [len(self.first)], 0)
        self.assertStored("audio_chat said", summary(self.first), 0.02)
        self.assertStored("audio_chat loudness", summary(np.abs(self.first)), 0.02)

    def test_more_words_take_longer(self):
        self.assertGreater(len(self.say("a red dog the blue house")), 1.5 * len(self.first))

    def test_speech_is_that_of_the_executor(self):
        paddle.seed(1)
        self.mouth.task_instances[0]._model(text="a red dog", output="direct.wav", **speech_inputs("speech"))
        samples, rate = soundfile.read("direct.wav")
        self.assertEqual(rate, 16000)
        self.assertSame(self.first, samples)

    def test_every_input_reaches_the_speech(self):
        mouth = self.mouth.task_instances[0]
        names = names_read(mouth, "inputs") - {"prompt"}
        usual = {**dict.fromkeys(names), "output": "tmp.wav", "spk_id": 0, "lang": "zh"}
        usual.update(am="fastspeech2_csmsc", voc="pwgan_csmsc")
        self.assertEqual(what_the_model_gets(mouth, {"prompt": "a dog"}), ((), {"text": "a dog", **usual}))
        told = {name: f"the {name}" for name in names}
        self.assertLessEqual({*speech_inputs("speech"), "output", "spk_id", "tones_dict", "speaker_dict"}, names)
        self.assertEqual(what_the_model_gets(mouth, {"prompt": "a dog", **told}), ((), {"text": "a dog", **told}))

    def test_text_and_seed_matter(self):
        self.assertSame(self.first, self.say("a red dog"))
        self.assertDiffer(self.first, self.say("a red dog", seed=2), 0.001)
        other = self.say("the blue house")
        size = min(len(other), len(self.first))
        self.assertDiffer(self.first[:size], other[:size], 0.001)

    def test_the_file_is_the_one_that_was_asked_for(self):
        for name in ("one.wav", "other.wav"):
            result = self.mouth(prompt="a dog", output=name, **speech_inputs("speech"))
            self.assertEqual(os.path.basename(result["audio"]), name)
            self.assertGreater(len(soundfile.read(name)[0]), 0)

    def test_answer_to_a_recording(self):
        self.chat(self.low)
        result, samples = self.chat(self.low)
        self.assertEqual(os.path.basename(result["audio"]), "answer.wav")
        self.assertStored("audio_chat answer", result["prompt"], 0)
        self.assertGreater(len(samples), 0)
        self.assertSame(samples, self.chat(self.low)[1])
        self.assertNotEqual(samples.tolist(), self.chat(self.high)[1].tolist())
        self.assertNotEqual(samples.tolist(), self.chat(self.low, "a blue house {}")[1].tolist())

    def test_what_was_heard_reaches_chatglm(self):
        ears, chat, _ = self.task.task_instances
        said = f"So {ears._model(audio_file=self.low)['text']}!"
        inputs = {"audio": self.low, "prompt": "So {}!"}
        self.assertEqual(what_the_model_gets(chat, inputs, lambda given: self.task(**given)), ((said,), {}))

    def test_missing_inputs_are_named(self):
        for inputs, said in (({"prompt": "{}"}, "audio"), ({"audio": self.low}, "prompt")):
            with self.assertRaisesRegex(AssertionError, f"The {said} is None"):
                self.task(**inputs)
        with self.assertRaisesRegex(AssertionError, "The prompt is None"):
            self.mouth(output="said.wav")


@slow
class AudioChatSlowTest(unittest.TestCase):
    def test_real_weights(self):
        with tempfile.TemporaryDirectory() as folder:
            audio = recording(os.path.join(folder, "tone.wav"), 440)
            output = os.path.join(folder, "answer.wav")
            result = Appflow(app="audio_chat", models=MODELS)(audio=audio, prompt="answer: {}.", output=output)
            self.assertGreater(len(soundfile.read(result["audio"])[0]), 2400)


if __name__ == "__main__":
    unittest.main()
