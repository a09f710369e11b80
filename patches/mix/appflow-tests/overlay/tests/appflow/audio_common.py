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
"""What the tests of the applications of sound share: their tiny model sets, recordings, and the homes that they read."""

import os
import sys

import numpy as np
import soundfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tiny_audio_models  # noqa: E402
from appflow_common import TinyTestCase, tiny_root  # noqa: E402


def recording(path, tone):
    """A second of a tone of `tone` Hz in a little noise, 16 kHz, as the wave file `path`; returns the path."""
    time = np.arange(16000) / 16000
    noise = np.random.RandomState(0).standard_normal(16000)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * tone * time) + 0.01 * noise, 16000)
    return path


class SoundTestCase(TinyTestCase):
    """The tiny sets `sounds` are made beside `models`; PaddleSpeech and NLTK read what it has there and nothing else."""

    sounds = []

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tiny_root(cls.sounds, tiny_audio_models.MODELS)
        if "whisper" in cls.sounds:
            home = tiny_audio_models.speech_home(os.path.join(cls.root, "whisper"))
            home.__enter__()
            cls.addClassCleanup(home.__exit__, None, None, None)
        cls.low, cls.high = recording("low.wav", 440), recording("high.wav", 1200)

    @staticmethod
    def say_little(task, tokens=24):
        """ChatGLM, which the tiny set never lets end by itself, stops after `tokens` tokens."""
        for instance in task.task_instances:
            if type(instance).__name__ == "ChatGlmTask":
                instance._model.set_argument({"tgt_length": tokens})
        return task
