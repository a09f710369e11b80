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

import os
import sys
import tempfile
import unittest

from paddlemix.appflow import Appflow

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "models"))
import kosmos2_testing as tiny  # noqa: E402


class Kosmos2AppTest(unittest.TestCase):
    def test_answers(self):
        with tempfile.TemporaryDirectory() as folder:
            path, model, processor = tiny.saved(folder)
            task = Appflow(app="image_grounding", models=["microsoft/kosmos-2"], task_path=path)
            options, words = {"num_beams": 2, "max_new_tokens": 6}, "<grounding><phrase> It</phrase>"
            made = task(image=tiny.picture(), prompt=words, bboxes=[(0.1, 0.2, 0.6, 0.9)], generate_kwargs=options)
            self.assertEqual([phrase for phrase, _, _ in made["result"]["entities"]][0], "It")
            inputs = processor(images=tiny.picture(), text=words, bboxes=[(0.1, 0.2, 0.6, 0.9)])
            ids, _ = model.generate(**inputs, **options)
            self.assertEqual(made["result"]["markup"], processor.batch_decode(ids, inputs["input_ids"])[0])
            both = task(image=[tiny.picture(0), tiny.picture(1)], prompt=["a red", "<grounding> left"])
            self.assertEqual(len(both["result"]), 2)

    def test_no_weights(self):
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaisesRegex(FileNotFoundError, "convert_weights.py"):
                Appflow(app="image_grounding", models=["microsoft/kosmos-2"], task_path=folder)


if __name__ == "__main__":
    unittest.main()
