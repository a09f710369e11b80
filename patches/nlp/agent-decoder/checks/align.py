"""Parity of the language model that the change can carry over.

- gguf: a file whose bytes are written here (float32, float16, Q8_0, Q4_1) through the reader and the converter.
- tokens: SmolLM2's tokenizer against HuggingFace tokenizers.
- forward, next_token: SmolLM2-135M-Instruct as PaddleNLP's LLaMA against a plain numpy model that reads the same GGUF file in
  its own layout (neighbours are rotated), in float64.
"""

import json
import os
import tempfile

import gguf_file
import numpy as np
import packages
from paddlenlp.experimental.agents.language_models import IncrementalModel, Request

from proving.published import read_gguf
from proving.record import Recorder, arguments

PROMPTS = (
    "The capital of France is",
    "<|im_start|>user\nWhat is gravity?<|im_end|>\n<|im_start|>assistant\nGravity is a",
    "Input: 2 8 8 14\nPossible next steps:\n2 + 8 = 10 (left: 8 10 14)\n8 / 2 = 4 (left: 4 8 14)\nInput: 4 5 6 10\n",
)


class Plain:
    """LLaMA in numpy, float64, from the tensors and fields of a GGUF file."""

    def __init__(self, tensors, fields):
        self.tensors, self.field = tensors, fields.get

    def __getitem__(self, name):
        return self.tensors[name].astype(np.float64)

    def __call__(self, sequences):
        """Logits of each sequence of ids; a weight is read once for all of them."""
        heads, kv = self.field("llama.attention.head_count"), self.field("llama.attention.head_count_kv")
        size = self.field("llama.embedding_length") // heads
        epsilon, base = self.field("llama.attention.layer_norm_rms_epsilon"), self.field("llama.rope.freq_base")
        embedding = self["token_embd.weight"]
        states = [embedding[ids] for ids in sequences]

        def norm(x, weight):
            return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * weight

        def rotate(x):
            angle = np.arange(len(x))[:, None] * base ** (-np.arange(0, size, 2) / size)[None]
            turn = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angle)[:, None]
            return np.stack([turn.real, turn.imag], axis=-1).reshape(x.shape)

        for i in range(self.field("llama.block_count")):
            w = {name: self["blk.%d.%s.weight" % (i, name)] for name in LAYER}
            for k, x in enumerate(states):
                h, n = norm(x, w["attn_norm"]), len(x)
                q = rotate((h @ w["attn_q"].T).reshape(n, heads, size))
                keys = rotate((h @ w["attn_k"].T).reshape(n, kv, size)).repeat(heads // kv, axis=1)
                values = (h @ w["attn_v"].T).reshape(n, kv, size).repeat(heads // kv, axis=1)
                scores = np.einsum("qhd,khd->hqk", q, keys) / np.sqrt(size)
                scores = np.where(np.tril(np.ones((n, n), bool)), scores, -np.inf)
                chance = np.exp(scores - scores.max(-1, keepdims=True))
                chance /= chance.sum(-1, keepdims=True)
                x = x + np.einsum("hqk,khd->qhd", chance, values).reshape(n, -1) @ w["attn_output"].T
                h = norm(x, w["ffn_norm"])
                gate = h @ w["ffn_gate"].T
                states[k] = x + (gate / (1 + np.exp(-gate)) * (h @ w["ffn_up"].T)) @ w["ffn_down"].T
        last = self["output_norm.weight"]
        return [norm(x, last) @ embedding.T for x in states]


LAYER = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")


def language_model(recorder, stored):
    import paddle

    folder = packages.smollm2()
    model = IncrementalModel.from_pretrained(folder)
    for i, case in enumerate(stored):
        # an empty text has no ids: their number comes first, so that the pair proves something
        ids = model.tokenizer(case["text"])["input_ids"]
        recorder.add("tokens", "text%d" % i, np.array([len(ids), *ids]), np.array([len(case["ids"]), *case["ids"]]))
    sequences = [model.tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    plain = Plain(*read_gguf(packages.gguf_file()))
    wanted = plain(sequences)
    for i, (ids, want) in enumerate(zip(sequences, wanted)):
        with paddle.no_grad():
            got = model.model(input_ids=paddle.to_tensor([ids]), return_dict=True).logits[0].numpy()
        recorder.add("forward", "prompt%d.logits" % i, got, want.astype(np.float32))
        recorder.add("next_token", "prompt%d.argmax" % i, got.argmax(-1), want.argmax(-1))
    # Greedy answers through the engine (batch, padding, kept keys and values) against the plain model, token by token.
    answers = [c.texts[0] for c in model.complete([Request(prompt, temperature=0, max_tokens=4) for prompt in PROMPTS])]
    running = [list(ids) for ids in sequences]
    for _ in range(4):
        for ids, logits in zip(running, plain(running)):
            ids.append(int(logits[-1].argmax()))
    texts = [model._text(ids, whole[len(ids) :]) for ids, whole in zip(sequences, running)]
    for i, (answer, text) in enumerate(zip(answers, texts)):
        recorder.add("next_token", "prompt%d.answer" % i, letters(answer), letters(text))
    recorder.add("next_token", "capital_of_france", letters(answers[0][:7]), letters(" Paris."))


def letters(text):
    """A text as numbers that can be compared."""
    return np.array([len(text), *map(ord, text)])


def main():
    args = arguments()
    recorder = Recorder(args.out)
    packages.gguf_file()  # puts its reader on the path
    with tempfile.TemporaryDirectory() as folder:
        gguf_file.compare(recorder, Plain, folder)
    with open(os.path.join(args.reference, "smollm2_tokens.json"), encoding="utf-8") as stream:
        language_model(recorder, json.load(stream))
    recorder.write()


if __name__ == "__main__":
    main()
