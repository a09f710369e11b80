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

import unittest

import numpy as np
import paddle
from paddlenlp.experimental.agents.language_models import PaddleNLPModel, Request
from paddlenlp.transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY = 64
EOS, PAD = 2, 0


def tiny_llama():
    paddle.seed(11)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    return sharpen(LlamaForCausalLM(config))


def sharpen(model):
    """Weights drawn large enough that the next token depends on the ones before, with clear winners."""
    random = np.random.RandomState(3)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            parameter.set_value(paddle.to_tensor(0.35 * random.randn(*parameter.shape).astype("float32")))
    model.eval()
    return model


class Letters:
    """A tokenizer of single characters, with the part of a PaddleNLP tokenizer's interface that is used."""

    pad_token_id, eos_token_id, padding_side = PAD, EOS, "right"

    def __call__(self, text):
        return {"input_ids": [ord(c) % 60 + 3 for c in text]}

    def decode(self, ids, **_):
        return "".join(chr(int(i) + 62) for i in ids)


class PaddleNLPModelTest(unittest.TestCase):
    def setUp(self):
        self.model = tiny_llama()

    def build(self, **options):
        return PaddleNLPModel(self.model, Letters(), **options)

    def test_answers_end_before_a_stop_string(self):
        whole = self.build().ask("hello", temperature=0, max_tokens=20)[0]
        self.assertEqual(len(whole), 20)
        stop = whole[6:8]
        for options, request in (({}, {"stop": stop}), ({"stop": [stop]}, {})):
            (text,) = self.build(**options).ask("hello", temperature=0, max_tokens=20, **request)
            self.assertEqual(text, whole.split(stop)[0])

    def test_tokens_are_counted(self):
        (completion,) = self.build(max_tokens=5).complete([Request("hello", 3, temperature=1.0)])
        self.assertEqual(
            (completion.prompt_tokens, completion.completion_tokens), (5, sum(map(len, completion.texts)))
        )
        self.assertEqual(len(completion.texts), 3)
        self.assertGreater(len(set(completion.texts)), 1)

    def test_asking_again_gives_the_same(self):
        request = Request("hello", 4, temperature=1.0, max_tokens=8)
        first = self.build().complete([request])[0].texts
        self.assertEqual(self.build().complete([Request("other"), request])[1].texts, first)
        self.assertNotEqual(self.build(seed=1).complete([request])[0].texts, first)

    def test_format(self):
        plain = self.build().ask("<hello>", temperature=0, max_tokens=8)
        self.assertEqual(self.build(prompt_format="<{prompt}>").ask("hello", temperature=0, max_tokens=8), plain)
        with self.assertRaisesRegex(ValueError, "neither one of"):
            self.build(prompt_format="nonsense")

    def test_an_answer_does_not_depend_on_the_batch(self):
        requests = [
            Request(text, 2, temperature=heat, max_tokens=8)
            for text in ("hello", "a longer one", "x")
            for heat in (0, 1.5)
        ]
        together = [completion.texts for completion in self.build(max_rows=3).complete(requests)]
        self.assertEqual([self.build(max_rows=3).complete([request])[0].texts for request in requests], together)
        self.assertEqual(together[0][0], together[0][1])

    def test_greedy_equals_decoding_one_by_one(self):
        (text,) = self.build().ask("hello", temperature=0, max_tokens=12)
        ids, tokens = Letters()("hello")["input_ids"], []
        while len(tokens) < 12:
            with paddle.no_grad():
                token = int(
                    self.model(input_ids=paddle.to_tensor([ids + tokens]), return_dict=True).logits[0, -1].argmax()
                )
            if token == EOS:
                break
            tokens.append(token)
        self.assertEqual(text, Letters().decode(tokens))

    def test_a_prompt_that_leaves_no_room_is_refused(self):
        long, empty, good = self.build().complete([Request("x" * 128), Request(""), Request("x" * 120, max_tokens=50)])
        self.assertRegex(long.refused, "128 tokens, the model takes 128")
        self.assertRegex(empty.refused, "empty prompt")
        self.assertTrue(not good.refused and len(good.texts[0]) <= 8)
        with self.assertRaisesRegex(ValueError, "must be a list"):
            self.build(stop="x")


if __name__ == "__main__":
    unittest.main()
