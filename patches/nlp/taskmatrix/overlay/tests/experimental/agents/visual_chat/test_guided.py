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

import paddle
from paddlenlp.experimental.agents.language_models import LanguageModelError, Request
from paddlenlp.experimental.agents.visual_chat import Answer, TextFormat
from paddlenlp.experimental.agents.visual_chat.grammar import Grammar, call_grammar
from paddlenlp.experimental.agents.visual_chat.guided import GuidedModel, GuidedRequest
from paddlenlp.transformers import LlamaConfig, LlamaForCausalLM

from .common import AgentCase, faked


class ByteTokenizer:
    """Bytes as tokens 0 to 255, then the end of text."""

    pad_token_id, eos_token_id, all_special_ids = 256, 256, [256]
    byte_decoder = {chr(256 + n): n for n in range(256)}

    def __len__(self):
        return 257

    def __call__(self, text):
        return {"input_ids": list(text.encode("utf-8"))}

    def convert_ids_to_tokens(self, ids):
        return [chr(256 + n) if n < 256 else "</s>" for n in ids]

    def decode(self, ids, **options):
        return bytes(n for n in ids if n < 256).decode("utf-8", "replace")


class GuidedTest(AgentCase):
    @classmethod
    def setUpClass(cls):
        paddle.seed(3)
        config = LlamaConfig(
            vocab_size=257,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=512,
            bos_token_id=256,
            eos_token_id=256,
            pad_token_id=256,
        )
        cls.model = GuidedModel(LlamaForCausalLM(config), ByteTokenizer(), max_rows=4)

    def test_random_weights_write_calls_that_can_be_run(self):
        gallery, tools, format = self.shown(self.session()).gallery, faked(), TextFormat()
        grammar = call_grammar(format, tools, gallery.names())
        requests = [
            GuidedRequest("request %d" % n, temperature=temperature, max_tokens=120, grammar=grammar)
            for temperature in (0.0, 1.5)
            for n in range(6)
        ]
        chosen = set()
        for completion in self.model.complete(requests):
            parsed = format.parse(completion.texts[0])
            if not isinstance(parsed, Answer):
                tool = format.find(tools, parsed.tool)
                tool.read(tool.split(parsed.raw), gallery)
                chosen.add(tool.name)
        self.assertGreater(len(chosen), 1)

    def test_a_row_does_not_depend_on_its_batch_and_other_requests_are_free(self):
        grammar = Grammar([b"{", *[call for call in [b"a"]], b"}"])
        guided = GuidedRequest("x", max_tokens=8, grammar=grammar)
        plain = Request("tell me", max_tokens=8, temperature=0.0)
        alone = [self.model.complete([request])[0].texts for request in (guided, plain)]
        self.assertEqual([c.texts for c in self.model.complete([guided, plain])], alone)
        self.assertEqual(alone[0], ["{a}"])
        self.assertNotEqual(alone[1], ["{a}"])

    def test_a_grammar_is_part_of_what_makes_answers_equal(self):
        one, two = (GuidedRequest("x", grammar=Grammar([text])) for text in (b"a", b"b"))
        self.assertNotEqual(one.key(), two.key())
        self.assertNotEqual(one.seed(0, 0), two.seed(0, 0))

    def test_no_room_is_said(self):
        with self.assertRaisesRegex(LanguageModelError, "too few"):
            self.model.complete([GuidedRequest("x", max_tokens=2, grammar=Grammar([b"abcdef"]))])
