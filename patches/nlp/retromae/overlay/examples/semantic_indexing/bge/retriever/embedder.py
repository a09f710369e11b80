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
"""Vectors of many texts: tokenised once, sorted by length, so that a batch holds little padding, in few lengths."""

import json
import os

import numpy as np
import paddle

from .data import pad_ids
from .tokens import TextEncoder

# Paddle Inference keeps kernels and buffers of every length that it meets: few lengths, less memory.
LENGTH_STEP = 8


class DygraphEncoder:
    """Calls an `EmbeddingModel`."""

    def __init__(self, model):
        self.model = model
        self.positions = model.config.max_position_embeddings

    def __call__(self, ids, mask):
        """[batch, length] int64 twice -> [batch, size] float32."""
        was_training = self.model.training
        self.model.eval()
        with paddle.no_grad():
            vectors = self.model(paddle.to_tensor(ids), paddle.to_tensor(mask)).astype("float32").numpy()
        if was_training:
            self.model.train()
        return vectors


class InferenceEncoder:
    """Runs a program of `export_model.py` with Paddle Inference.

    Args:
        folder (str): with model.pdmodel (or model.json) and model.pdiparams.
        device (str): "cpu" or "gpu". Default: "cpu".
        threads (int, optional): of the CPU. Default: OMP_NUM_THREADS, or 1.
        onednn (bool, optional): oneDNN on the CPU. Default: on with Paddle 2, off with Paddle 3, whose oneDNN
            kernels were seen to give wrong results without an error.
    """

    def __init__(self, folder, device="cpu", threads=None, onednn=None):
        program = [os.path.join(folder, "model" + end) for end in (".json", ".pdmodel")]
        program = [path for path in program if os.path.isfile(path)]
        if not program:
            raise FileNotFoundError("no model.pdmodel and no model.json in %s; export_model.py makes it" % folder)
        config = paddle.inference.Config(program[0], os.path.join(folder, "model.pdiparams"))
        config.disable_glog_info()
        if device == "gpu":
            config.enable_use_gpu(256, 0)
        else:
            config.disable_gpu()
            config.set_cpu_math_library_num_threads(threads or int(os.environ.get("OMP_NUM_THREADS", "1")))
            if onednn is None:
                onednn = not paddle.__version__.startswith("3.")
            if onednn:
                config.enable_mkldnn()
            elif hasattr(config, "disable_mkldnn"):
                config.disable_mkldnn()
        self.predictor = paddle.inference.create_predictor(config)
        self.positions = None
        about = os.path.join(folder, "embedding.json")
        if os.path.isfile(about):
            with open(about, encoding="utf-8") as stream:
                self.positions = json.load(stream).get("positions")

    def __call__(self, ids, mask):
        """[batch, length] int64 twice -> [batch, size] float32."""
        for name, value in (("input_ids", ids), ("attention_mask", mask)):
            self.predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(value))
        self.predictor.run()
        return self.predictor.get_output_handle(self.predictor.get_output_names()[0]).copy_to_cpu()


class Embedder:
    """Texts to vectors.

    Args:
        encoder: `DygraphEncoder` or `InferenceEncoder`.
        tokenizer (PretrainedTokenizer)
        max_length (int, optional): tokens a text, with the special ones; the end of a longer text is cut off. Default: 512, or the
            positions of the model if they are fewer.
        batch_size (int)
        query_instruction, passage_instruction (str): put before the text. BGE v1.5 for English: "Represent this sentence for
            searching relevant passages: ", for Chinese: "为这个句子生成表示以用于检索相关文章：", for passages none.
        size (int, optional): vectors are cut to so many numbers and have length one again, for a model trained with Matryoshka
            dimensions. Default: whole vectors.

    Raises:
        ValueError: `max_length` is above the positions of the model.
    """

    def __init__(
        self,
        encoder,
        tokenizer,
        max_length=None,
        batch_size=64,
        query_instruction="",
        passage_instruction="",
        size=None,
    ):
        positions = getattr(encoder, "positions", None)
        if max_length is None:
            max_length = min(512, positions or 512)
        if positions is not None and max_length > positions:
            raise ValueError("max_length is %d; the model has %d positions" % (max_length, positions))
        self.encoder, self.tokenizer, self.size = encoder, tokenizer, size
        self._ids = TextEncoder(tokenizer, max_length)
        self.max_length, self.batch_size = max_length, batch_size
        self.query_instruction, self.passage_instruction = query_instruction, passage_instruction

    def queries(self, texts, prompts=None):
        """[len(texts), size] float32, in the order of `texts`.

        Args:
            texts (list[str])
            prompts (list, optional): for each text what takes the place of the query instruction, None for that one.
        """
        texts = checked_texts(texts)
        prompts = [None] * len(texts) if prompts is None else prompts
        if len(prompts) != len(texts):
            raise ValueError("%d prompts for %d texts" % (len(prompts), len(texts)))
        return self.encode([(self.query_instruction if p is None else p) + text for p, text in zip(prompts, texts)])

    def passages(self, texts):
        """[len(texts), size] float32, in the order of `texts`."""
        return self.encode([self.passage_instruction + text for text in checked_texts(texts)])

    def encode(self, texts):
        """[len(texts), size] float32, in the order of `texts`, without an instruction.

        Raises:
            ValueError: `texts` is one text, is empty, or holds something that is no text.
        """
        rows = [self._ids(text) for text in checked_texts(texts)]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        vectors = None
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            length = -(-len(rows[batch[-1]]) // LENGTH_STEP) * LENGTH_STEP
            chosen = [rows[index] for index in batch]
            got = self.encoder(*pad_ids(chosen, self.tokenizer.pad_token_id, min(length, self.max_length)))
            if vectors is None:
                vectors = np.empty([len(rows), got.shape[1]], dtype="float32")
            vectors[batch] = got
        if self.size is not None:
            if not 1 <= self.size <= vectors.shape[1]:
                raise ValueError("size is %d; a vector has %d numbers" % (self.size, vectors.shape[1]))
            vectors = vectors[:, : self.size]
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors


def checked_texts(texts):
    """The texts as a list."""
    if isinstance(texts, str):
        raise ValueError("a list of texts is needed, not one text: [%r]" % texts)
    texts = list(texts)
    if not texts:
        raise ValueError("there is no text to encode")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError("text %d is %r, not a text" % (place, text))
    return texts


def export(model, folder):
    """The program of an `EmbeddingModel` for Paddle Inference, any batch and length; returns its path without ending."""
    was_training = model.training
    model.eval()
    path = os.path.join(folder, "model")
    static = paddle.jit.to_static(model, input_spec=model.input_spec(), full_graph=True)
    paddle.jit.save(static, path)
    model.forward.rollback()
    with open(os.path.join(folder, "embedding.json"), "w", encoding="utf-8") as stream:
        about = {"pooling": model.pooling, "normalize": model.normalize, "size": model.config.hidden_size}
        json.dump(dict(about, positions=model.config.max_position_embeddings), stream)
    if was_training:
        model.train()
    return path
