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
import tempfile
import unittest

import numpy as np
import paddle
from paddlenlp.experimental.agents.language_models import LanguageModelError
from paddlenlp.experimental.agents.language_models.gguf_llama import (
    _save_tokenizer,
    llama_config,
    llama_state,
    load_tokenizer,
)
from paddlenlp.experimental.agents.language_models.local import _context
from paddlenlp.transformers import LlamaForCausalLM

LAYERS, HIDDEN, HEADS, KV_HEADS, INNER, VOCABULARY = 2, 32, 4, 2, 40, 50
FIELDS = {
    "general.architecture": "llama",
    "llama.block_count": LAYERS,
    "llama.context_length": 64,
    "llama.embedding_length": HIDDEN,
    "llama.feed_forward_length": INNER,
    "llama.attention.head_count": HEADS,
    "llama.attention.head_count_kv": KV_HEADS,
    "llama.rope.freq_base": 50000.0,
    "llama.rope.dimension_count": HIDDEN // HEADS,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "tokenizer.ggml.tokens": ["t{}".format(i) for i in range(VOCABULARY)],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
}


def tensors(seed=0):
    """Weights under the names and in the layout of a GGUF file."""
    random = np.random.RandomState(seed)
    kv = HIDDEN // HEADS * KV_HEADS

    def matrix(*shape):
        return (random.randn(*shape) / np.sqrt(shape[-1])).astype("float32")

    made = {"token_embd.weight": matrix(VOCABULARY, HIDDEN), "output_norm.weight": 1 + 0.1 * matrix(HIDDEN)}
    for i in range(LAYERS):
        for name, shape in (
            ("attn_q", (HIDDEN, HIDDEN)),
            ("attn_k", (kv, HIDDEN)),
            ("attn_v", (kv, HIDDEN)),
            ("attn_output", (HIDDEN, HIDDEN)),
            ("ffn_gate", (INNER, HIDDEN)),
            ("ffn_up", (INNER, HIDDEN)),
            ("ffn_down", (HIDDEN, INNER)),
        ):
            made["blk.{}.{}.weight".format(i, name)] = matrix(*shape)
        made["blk.{}.attn_norm.weight".format(i)] = 1 + 0.1 * matrix(HIDDEN)
        made["blk.{}.ffn_norm.weight".format(i)] = 1 + 0.1 * matrix(HIDDEN)
    return made


def gguf_forward(w, ids, base=50000.0, epsilon=1e-5):
    """Logits [S, V] straight from the file's layout, in float64: rotation of neighbouring rows."""
    w = {name: value.astype("float64") for name, value in w.items()}
    size = HIDDEN // HEADS

    def norm(x, weight):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * weight

    def rotate(x):  # [S, heads, size]
        angle = np.arange(len(ids))[:, None] * base ** (-np.arange(0, size, 2) / size)[None]
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        out = np.empty_like(x)
        out[..., 0::2] = x[..., 0::2] * cos - x[..., 1::2] * sin
        out[..., 1::2] = x[..., 0::2] * sin + x[..., 1::2] * cos
        return out

    x = w["token_embd.weight"][ids]
    for i in range(LAYERS):
        b = "blk.{}.".format(i)
        h = norm(x, w[b + "attn_norm.weight"])
        q = rotate((h @ w[b + "attn_q.weight"].T).reshape(len(ids), HEADS, size))
        k = rotate((h @ w[b + "attn_k.weight"].T).reshape(len(ids), KV_HEADS, size))
        v = (h @ w[b + "attn_v.weight"].T).reshape(len(ids), KV_HEADS, size)
        k, v = (np.repeat(t, HEADS // KV_HEADS, axis=1) for t in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(size)
        scores = np.where(np.tril(np.ones(scores.shape[1:], bool)), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", weights, v).reshape(len(ids), HIDDEN)
        x = x + mixed @ w[b + "attn_output.weight"].T
        h = norm(x, w[b + "ffn_norm.weight"])
        gate = h @ w[b + "ffn_gate.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w[b + "ffn_up.weight"].T)) @ w[b + "ffn_down.weight"].T
    return norm(x, w["output_norm.weight"]) @ w.get("output.weight", w["token_embd.weight"]).T


class WeightsTest(unittest.TestCase):
    ids = [3, 44, 7, 7, 21, 49, 0, 12]

    def logits(self, weights):
        config = llama_config(FIELDS)
        model = LlamaForCausalLM(config)
        model.eval()
        state = llama_state(weights, config)
        self.assertEqual(set(state), set(model.state_dict()))
        model.set_state_dict({name: paddle.to_tensor(value) for name, value in state.items()})
        with paddle.no_grad():
            outputs = model(input_ids=paddle.to_tensor([self.ids]), return_dict=True)
        return outputs.logits[0].numpy()

    def test_same_logits_as_the_files_own_layout(self):
        weights = tensors()
        np.testing.assert_allclose(self.logits(weights), gguf_forward(weights, self.ids), rtol=1e-4, atol=1e-4)

    def test_the_rotary_layout_and_base_matter(self):
        """The comparison above is not blind: it sees unchanged rows of q and k, and another base."""
        weights = tensors()
        want = gguf_forward(weights, self.ids)
        swapped = dict(weights)
        for name in weights:
            if ".attn_q." in name or ".attn_k." in name:
                rows = weights[name].reshape(-1, HIDDEN // HEADS // 2, 2, HIDDEN)
                swapped[name] = rows.swapaxes(1, 2).reshape(weights[name].shape)
        self.assertGreater(np.abs(self.logits(swapped) - want).max(), 1e-2)
        self.assertGreater(np.abs(gguf_forward(weights, self.ids, base=10000.0) - want).max(), 1e-3)

    def test_the_context_is_the_files(self):
        """The scaling that stands for the rotary base must neither widen the context nor the tables of the rotation."""
        config = llama_config(FIELDS)
        rows = LlamaForCausalLM(config).llama.layers[0].self_attn.rotary_emb.cos_cached.shape[1]
        self.assertLessEqual(_context(config), FIELDS["llama.context_length"])
        for length in (_context(config), rows):
            self.assertAlmostEqual(length, FIELDS["llama.context_length"], delta=config.rope_scaling_factor)

    def test_an_untied_head(self):
        weights = tensors()
        weights["output.weight"] = tensors(1)["token_embd.weight"]
        np.testing.assert_allclose(self.logits(weights), gguf_forward(weights, self.ids), rtol=1e-4, atol=1e-4)

    def test_names_must_fit(self):
        config = llama_config(FIELDS)
        weights = tensors()
        weights["blk.0.attn_q.bias"] = weights.pop("blk.0.attn_q.weight")
        with self.assertRaisesRegex(LanguageModelError, r"missing: \['blk.0.attn_q.weight'\].*attn_q.bias"):
            llama_state(weights, config)

    def test_other_architectures_are_refused(self):
        with self.assertRaisesRegex(LanguageModelError, "'qwen2'"):
            llama_config({**FIELDS, "general.architecture": "qwen2"})


class TokenizerTest(unittest.TestCase):
    def build(self, pre):
        letters = ["<|end|>", "<|user|>", "<|pad|>"] + [chr(c) for c in range(33, 127)] + ["Ġ", "Ċ"]
        words = ["12", "he", "hel", "lo", "hello", "Ġhe"]
        tokens = letters + words
        fields = {
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [3, 3, 3] + [1] * (len(tokens) - 3),
            "tokenizer.ggml.merges": ["1 2", "h e", "he l", "l o", "hel lo", "Ġ he"],
            "tokenizer.ggml.pre": pre,
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 0,
            "tokenizer.ggml.padding_token_id": 2,
            "tokenizer.ggml.unknown_token_id": 0,
        }
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        _save_tokenizer(fields, folder.name)
        return load_tokenizer(folder.name), tokens

    def test_digits_special_tokens_and_blanks(self):
        for pre, digits in (("smollm", ["1", "2"]), ("gpt-2", ["12"])):
            tokenizer, tokens = self.build(pre)
            text = "hello 12\n<|user|>\nhe <|end|>"
            pieces = [tokens[i] for i in tokenizer(text)["input_ids"]]
            want = ["hello", "Ġ"] + digits + ["Ċ", "<|user|>", "Ċ", "he", "Ġ", "<|end|>"]
            self.assertEqual(pieces, want)
            ids = tokenizer(text)["input_ids"]
            plain = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            self.assertEqual(plain, "hello 12\n\nhe ")
            self.assertEqual((tokenizer.eos_token_id, tokenizer.pad_token_id), (0, 2))

    def test_a_folder_without_it(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertIsNone(load_tokenizer(folder))
            with open(os.path.join(folder, "tokenizer_config.json"), "w") as stream:
                stream.write('{"tokenizer_class": "LlamaTokenizer"}')
            self.assertIsNone(load_tokenizer(folder))


if __name__ == "__main__":
    unittest.main()
