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
"""What the tests of the applications share: tiny model sets, pictures, stored outputs, and no network."""

import atexit
import functools
import inspect
import json
import os
import re
import shutil
import socket
import tempfile
import unittest
from unittest import mock

import nltk
import numpy as np
import paddle
import tiny_models
from PIL import Image

EXPECTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "expected.json")
_root = None


def tiny_root(names, models=tiny_models.MODELS):
    """Folder of this process that holds the tiny sets `names` of `models`; what is missing is made."""
    global _root
    if _root is None:
        _root = tempfile.mkdtemp(prefix="tiny_models_")
        atexit.register(shutil.rmtree, _root, ignore_errors=True)
    missing = [name for name in names if not os.path.isdir(os.path.join(_root, name))]
    tiny_models.make(_root, missing, models)
    return _root


def picture(seed=0, size=(64, 48)):
    """An RGB picture of smooth random patches, `size` = (width, height)."""
    patches = np.random.RandomState(seed).randint(0, 256, (6, 8, 3)).astype("uint8")
    return Image.fromarray(patches).resize(size, Image.BICUBIC)


def summary(array, cells=4):
    """
    `array` [H, W, ...] as means over `cells` x `cells` blocks (a 1-D array over cells**2 pieces), a flat float64 array:
    small enough to store, and a shift, a swapped channel or another prompt changes it.
    """
    array = np.asarray(array, dtype="float64")
    if array.ndim == 1:
        return np.array([piece.mean() for piece in np.array_split(array, cells**2)])
    rows = [np.array_split(row, cells, axis=1) for row in np.array_split(array, cells, axis=0)]
    return np.array([[block.mean(axis=(0, 1)) for block in row] for row in rows]).reshape(-1)


def _refuse(self, address):
    raise OSError(f"a test of the applications wanted to connect to {address}")


class TinyTestCase(unittest.TestCase):
    """
    `models` are made before the first test; the tests run in the folder above them, where every `from_pretrained` finds
    its model by name and NLTK its data, and any connection is an error.
    """

    models = []

    @classmethod
    def setUpClass(cls):
        cls.root = tiny_root(cls.models)
        cls._before = os.getcwd()
        cls._connect = socket.socket.connect
        os.chdir(cls.root)
        nltk.data.path.insert(0, os.path.join(cls.root, "nltk_data"))
        socket.socket.connect = _refuse

    @classmethod
    def tearDownClass(cls):
        socket.socket.connect = cls._connect
        nltk.data.path.remove(os.path.join(cls.root, "nltk_data"))
        os.chdir(cls._before)

    def setUp(self):
        paddle.seed(1024)

    def assertPicture(self, image, size):
        """`image` is an RGB picture of `size` = (width, height) that is not of one colour."""
        self.assertIsInstance(image, Image.Image)
        self.assertEqual((image.mode, image.size), ("RGB", size))
        self.assertGreater(np.asarray(image).std(), 1.0)

    def assertDiffer(self, one, other, least=0.5):
        """The mean difference of two arrays or pictures of one shape is above `least`."""
        one, other = np.asarray(one, dtype="float64"), np.asarray(other, dtype="float64")
        self.assertEqual(one.shape, other.shape)
        self.assertGreater(np.abs(one - other).mean(), least)

    def assertSame(self, one, other):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))

    def assertStored(self, key, got, atol):
        """
        `got` equals what expected.json holds under `key`: numbers within `atol`, text exactly.

        With UPDATE_EXPECTED=1 in the environment it is written there instead.
        """
        got = got if isinstance(got, (str, list)) else np.round(np.asarray(got, dtype="float64"), 4).tolist()
        stored = {}
        if os.path.exists(EXPECTED):
            with open(EXPECTED, encoding="utf-8") as file:
                stored = json.load(file)
        if os.environ.get("UPDATE_EXPECTED") == "1":
            stored[key] = got
            with open(EXPECTED, "w", encoding="utf-8") as file:
                lines = [f"  {json.dumps(name)}: {json.dumps(stored[name])}" for name in sorted(stored)]
                file.write("{\n" + ",\n".join(lines) + "\n}\n")
            return
        self.assertIn(key, stored, "not in expected.json: run with UPDATE_EXPECTED=1")
        if isinstance(got, list) and got and not isinstance(got[0], str):
            np.testing.assert_allclose(got, stored[key], rtol=0, atol=atol)
        else:
            self.assertEqual(got, stored[key])


def names_read(task, source="kwargs"):
    """
    Names that the class of `task` reads from `kwargs` (the arguments of Appflow) or `inputs` (those of a call), without
    the switch to static mode. A test compares them with its own list: what is read and never changed is a failure.
    """
    return set(re.findall(source + r'\.get\(\s*"(\w+)"', inspect.getsource(type(task)))) - {"static_mode"}


class _Reached(Exception):
    pass


def what_the_model_gets(task, inputs, call=None):
    """
    Positional and named arguments with which `task` calls its model for `inputs` (a dict); the model is not run. `call`
    takes the inputs where the task is one of several.
    """

    def stop(*given, **named):
        raise _Reached(given, named)

    with mock.patch.object(task, "_model", stop):
        try:
            (call or task)(dict(inputs))
        except _Reached as reached:
            return reached.args
    raise AssertionError(f"{type(task).__name__} did not call its model")


class DrawingTests:
    """
    What holds for each application that draws a picture. A test case names `app`, `model`, `options` of Appflow, the
    `size` of the result and its `inputs()`; `prompt` is the input that says what to draw, `arguments` has another value
    for each argument that the task takes, `defaults` the value that each has without (under the pipeline's name).
    """

    prompt = "prompt"
    steps = 8  # the tasks leave the pipelines at 50 or 75: the same code, many times as long
    options = {}
    arguments = {}
    defaults = {}

    def inputs(self):
        raise NotImplementedError

    def briefly(self, call, **inputs):
        """`call(**inputs)` while the pipeline of the application takes `steps` unless told otherwise."""
        pipeline = type(self.task.task_instances[0]._model)
        few = functools.partialmethod(pipeline.__call__, num_inference_steps=self.steps)
        with mock.patch.object(pipeline, "__call__", few):
            return call(**inputs)

    def drawn_by(self, pipeline):
        """The same picture, drawn without the task."""
        return pipeline(**self.inputs(), **{**self.defaults, **self.options}).images[0]

    def draw(self, seed=1, **changes):
        from paddlemix.appflow import Appflow

        cls = type(self)
        if "task" not in cls.__dict__:
            cls.task = Appflow(app=self.app, models=[self.model], **self.options)
            cls.task.task_instances[0]._model.set_progress_bar_config(disable=True)
        paddle.seed(seed)
        return self.briefly(self.task, **{**self.inputs(), **changes})["result"]

    def first(self):
        cls = type(self)
        if "_first" not in cls.__dict__:
            cls._first = self.draw()
        return cls._first

    def test_picture_and_stored_numbers(self):
        self.assertPicture(self.first(), self.size)
        self.assertStored(f"{self.app} {self.model}", summary(self.first()), 0.5)

    def test_same_seed_draws_the_same(self):
        self.assertSame(self.first(), self.draw())

    def test_another_seed_draws_another(self):
        self.assertDiffer(self.first(), self.draw(seed=2))

    def test_another_prompt_draws_another(self):
        self.assertDiffer(self.first(), self.draw(**{self.prompt: "the blue house"}))

    def test_another_picture_draws_another(self):
        if "image" in self.inputs():
            self.assertDiffer(self.first(), self.draw(image=picture(7, self.inputs()["image"].size)))

    def test_picture_is_that_of_the_pipeline(self):
        self.first()
        paddle.seed(1)
        self.assertSame(self.first(), self.briefly(self.drawn_by, pipeline=self.task.task_instances[0]._model))

    def test_every_argument_acts(self):
        from paddlemix.appflow import Appflow

        first = np.asarray(self.first())
        self.assertEqual(names_read(self.task.task_instances[0]), set(self.arguments))
        for name, value in self.arguments.items():
            task = Appflow(app=self.app, models=[self.model], **{**self.options, name: value})
            task.task_instances[0]._model.set_progress_bar_config(disable=True)
            paddle.seed(1)
            other = np.asarray(self.briefly(task, **self.inputs())["result"])
            with self.subTest(name):
                if other.shape == first.shape:  # the same seed: what is not read would change no pixel
                    self.assertDiffer(first, other, 0.01)

    def test_missing_inputs_are_named(self):
        self.first()
        self.assertEqual(names_read(self.task.task_instances[0], "inputs"), set(self.inputs()))
        for name in self.inputs():
            with self.assertRaisesRegex(AssertionError, f"(?i)The {name.replace('_', '[_ ]')} is None"):
                self.draw(**{name: None})
