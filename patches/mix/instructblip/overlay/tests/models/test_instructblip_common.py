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
from paddlemix import InstructBlipForConditionalGeneration, InstructBlipProcessor
from paddlemix.models.instructblip import InstructBlipQFormerConfig, InstructBlipVisionConfig
from paddlemix.models.instructblip.modeling import InstructBlipQFormerModel, InstructBlipVisionModel
from tests.models.test_configuration_common import ConfigTester
from tests.models.test_modeling_common import ModelTesterMixin, floats_tensor, ids_tensor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import instructblip_testing as tiny  # noqa: E402


class InstructBlipVisionModelTester:
    batch_size, seq_length, hidden_size, num_hidden_layers, num_attention_heads = 2, 5, 24, 2, 4
    is_training = True

    def prepare_config_and_inputs_for_common(self):
        return tiny.config().vision_config, {"pixel_values": floats_tensor([self.batch_size, 3, tiny.SIZE, tiny.SIZE])}


class InstructBlipVisionModelTest(ModelTesterMixin, unittest.TestCase):
    all_model_classes = (InstructBlipVisionModel,)
    test_resize_embeddings = False
    use_test_model_name_list = False
    use_test_inputs_embeds = False

    def setUp(self):
        self.model_tester = InstructBlipVisionModelTester()
        self.config_tester = ConfigTester(
            self, config_class=InstructBlipVisionConfig, has_text_modality=False, hidden_size=32
        )

    def test_config(self):
        self.config_tester.run_common_tests()

    def test_forward_signature(self):
        for model_class in self.all_model_classes:
            names = list(inspect.signature(model_class.forward).parameters)
            self.assertEqual(names[1], "pixel_values")


class InstructBlipQFormerModelTester:
    batch_size, seq_length, hidden_size, num_hidden_layers, num_attention_heads = 2, 4, 16, 3, 4
    is_training = True

    def prepare_config_and_inputs_for_common(self):
        config = tiny.config().qformer_config
        return config, {
            "query_embeds": floats_tensor([self.batch_size, self.seq_length, self.hidden_size]),
            "input_ids": ids_tensor([self.batch_size, 6], 80, dtype="int64"),
            "encoder_hidden_states": floats_tensor([self.batch_size, 5, config.encoder_hidden_size]),
        }


class InstructBlipQFormerModelTest(ModelTesterMixin, unittest.TestCase):
    all_model_classes = (InstructBlipQFormerModel,)
    test_resize_embeddings = False
    use_test_model_name_list = False
    use_test_inputs_embeds = False

    def setUp(self):
        self.model_tester = InstructBlipQFormerModelTester()
        self.config_tester = ConfigTester(
            self,
            config_class=InstructBlipQFormerConfig,
            has_text_modality=False,
            hidden_size=32,
            num_attention_heads=4,
        )

    def test_config(self):
        self.config_tester.run_common_tests()

    def test_forward_signature(self):
        for model_class in self.all_model_classes:
            names = list(inspect.signature(model_class.forward).parameters)
            self.assertEqual(names[1:3], ["query_embeds", "input_ids"])


class RegistrationTest(unittest.TestCase):
    def test_names(self):
        for name in ("InstructBlipConfig", "InstructBlipForConditionalGeneration", "InstructBlipProcessor"):
            self.assertTrue(hasattr(paddlemix, name), name)
        self.assertIs(paddlemix.models.InstructBlipForConditionalGeneration, InstructBlipForConditionalGeneration)
        self.assertIs(paddlemix.processors.InstructBlipProcessor, InstructBlipProcessor)

    def test_generate(self):
        model = tiny.model()
        ids, scores = model.generate(**tiny.inputs(), max_new_tokens=3, eos_token_id=-1)
        self.assertEqual((ids.shape, scores.shape), ([2, 3], [2]))
        self.assertTrue(paddle.isfinite(scores).all())


if __name__ == "__main__":
    unittest.main()
