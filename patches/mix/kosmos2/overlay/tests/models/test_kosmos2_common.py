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

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
import inspect
import unittest

import paddle
import paddlemix
from paddlemix import Kosmos2ForConditionalGeneration, Kosmos2Processor
from paddlemix.models.kosmos2 import Kosmos2VisionConfig, Kosmos2VisionModel
from tests.models.test_configuration_common import ConfigTester
from tests.models.test_modeling_common import ModelTesterMixin, floats_tensor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kosmos2_testing as tiny  # noqa: E402


class Kosmos2VisionModelTester:
    batch_size, seq_length, hidden_size, num_hidden_layers, num_attention_heads = 2, 5, 24, 2, 4
    is_training = True

    def prepare_config_and_inputs_for_common(self):
        return tiny.config().vision_config, {"pixel_values": floats_tensor([self.batch_size, 3, tiny.SIZE, tiny.SIZE])}


class Kosmos2VisionModelTest(ModelTesterMixin, unittest.TestCase):
    all_model_classes = (Kosmos2VisionModel,)
    test_resize_embeddings = False
    use_test_model_name_list = False
    use_test_inputs_embeds = False

    def setUp(self):
        self.model_tester = Kosmos2VisionModelTester()
        self.config_tester = ConfigTester(
            self, config_class=Kosmos2VisionConfig, has_text_modality=False, hidden_size=32, num_attention_heads=4
        )

    def test_config(self):
        self.config_tester.run_common_tests()

    def test_forward_signature(self):
        for model_class in self.all_model_classes:
            names = list(inspect.signature(model_class.forward).parameters)
            self.assertEqual(names[1], "pixel_values")


class RegistrationTest(unittest.TestCase):
    def test_names(self):
        for name in ("Kosmos2Config", "Kosmos2ForConditionalGeneration", "Kosmos2Processor", "Kosmos2Tokenizer"):
            self.assertTrue(hasattr(paddlemix, name), name)
        self.assertIs(paddlemix.models.Kosmos2ForConditionalGeneration, Kosmos2ForConditionalGeneration)
        self.assertIs(paddlemix.processors.Kosmos2Processor, Kosmos2Processor)

    def test_generate(self):
        ids, scores = tiny.model().generate(**tiny.inputs(), max_new_tokens=3, eos_token_id=-1)
        self.assertEqual((ids.shape, scores.shape), ([2, 3], [2]))
        self.assertTrue(paddle.isfinite(scores).all())


if __name__ == "__main__":
    unittest.main()
