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
"""BGE-M3 (arXiv:2402.03216): one XLM-RoBERTa that gives a dense vector, a weight for each word, and a vector for each token."""

import json
import os
import shutil

import numpy as np
import paddle
import paddle.nn as nn
import paddle.nn.functional as F
from paddlenlp.transformers import RobertaConfig, RobertaModel
from paddlenlp.transformers.roberta.modeling import RobertaPretrainedModel

from .convert import KEYS, ConversionError, _layers_of, _read_torch, name_table, read_state, transposed_state
from .data import pad_ids
from .embedder import checked_texts
from .losses import cross_entropy
from .tokens import TextEncoder

HEADS = ("colbert_linear", "sparse_linear")
TOKENIZER = "sentencepiece.bpe.model"


class M3Model(RobertaPretrainedModel):
    """The three kinds of vectors of BGE-M3. The pooler takes no part and is frozen; it keeps its weights for a round trip.

    Behaviour measured on FlagEmbedding 1.2.11, `BGE_M3/modeling.py` (MIT).
    """

    def __init__(self, config):
        super().__init__(config)
        self.roberta = RobertaModel(config)
        self.colbert_linear = nn.Linear(config.hidden_size, config.hidden_size)
        self.sparse_linear = nn.Linear(config.hidden_size, 1)
        for parameter in self.roberta.pooler.parameters():
            parameter.stop_gradient = True

    def forward(self, input_ids, attention_mask):
        """
        Args:
            input_ids (Tensor): [batch, length], int64.
            attention_mask (Tensor): [batch, length], int64, 1 for text and 0 for padding.

        Returns:
            tuple: dense [batch, size], of length one; weights [batch, length], not negative, 0 at padding; multi [batch, length - 1, size]:
            a vector of length one for each token after [CLS], 0 at padding.
        """
        visible = attention_mask.astype(paddle.get_default_dtype())
        hidden = self.roberta(input_ids, attention_mask=attention_mask)[0]
        dense = F.normalize(hidden[:, 0], axis=-1)
        weights = F.relu(self.sparse_linear(hidden)).squeeze(-1) * visible
        multi = F.normalize(self.colbert_linear(hidden[:, 1:]) * visible[:, 1:].unsqueeze(-1), axis=-1)
        return dense, weights, multi


def sparse_vectors(weights, input_ids, size, special=(0, 1, 2, 3)):
    """A vector over the vocabulary for each text: the largest weight of each word.

    Args:
        weights (Tensor): [batch, length], of `M3Model`.
        input_ids (Tensor): [batch, length], int64.
        size (int): of the vocabulary.
        special (tuple[int]): ids without a weight: <s>, <pad>, </s>, <unk>.

    Returns:
        Tensor: [batch, size].
    """
    length = input_ids.shape[1]
    same = (input_ids.unsqueeze(2) == input_ids.unsqueeze(1)).astype(weights.dtype)
    with paddle.no_grad():  # a word's weight stands at the first place where it is largest
        best = (same * weights.unsqueeze(1)).max(axis=2)
        largest = (weights >= best).astype(weights.dtype)
        earlier = (same * largest.unsqueeze(1) * paddle.tril(paddle.ones([length, length], weights.dtype), -1)).sum(
            axis=2
        )
        kept = largest * (earlier == 0).astype(weights.dtype)
        for token in special:
            kept = kept * (input_ids != token).astype(weights.dtype)
    rows = paddle.arange(input_ids.shape[0], dtype="int64").unsqueeze(1).expand_as(input_ids)
    places = paddle.stack([rows, input_ids], axis=-1).reshape([-1, 2])
    return paddle.scatter_nd(places, (weights * kept).reshape([-1]), [input_ids.shape[0], size])


def multi_scores(queries, passages, mask):
    """The score of each query for each passage: over the query's tokens, the mean of the best product with a token of the passage.

    Args:
        queries (Tensor): [n, length, size], of `M3Model`.
        passages (Tensor): [m, other length, size].
        mask (Tensor): [n, length], 1 at the queries' tokens (without [CLS]).

    Returns:
        Tensor: [n, m].
    """
    best = paddle.stack([paddle.matmul(queries, text, transpose_y=True).max(axis=-1) for text in passages], axis=1)
    weight = mask.astype(best.dtype)
    return (best * weight.unsqueeze(1)).sum(axis=-1) / weight.sum(axis=-1).unsqueeze(1)


def m3_scores(model, queries, passages):
    """The three scores of each query for each passage.

    Args:
        model (M3Model)
        queries, passages (tuple): input_ids and attention_mask of each, [n, length] and [m, length] int64.

    Returns:
        dict: "dense", "sparse" and "multi", [n, m] each.
    """
    size = model.config.vocab_size
    (dense, weights, multi), (others, other_weights, other_multi) = model(*queries), model(*passages)
    return {
        "dense": paddle.matmul(dense, others, transpose_y=True),
        "sparse": paddle.matmul(
            sparse_vectors(weights, queries[0], size),
            sparse_vectors(other_weights, passages[0], size),
            transpose_y=True,
        ),
        "multi": multi_scores(multi, other_multi, queries[1][:, 1:]),
    }


def m3_loss(scores, temperature=0.02):
    """The loss of the unified fine-tuning, without self-distillation; the passages of query i are the columns i * group and on.

    Args:
        scores (dict): of `m3_scores`, for n queries and n * group passages, the positive first.
        temperature (float): the scores are divided by it. Default: 0.02.

    Returns:
        Tensor: a scalar: (dense + joint + 0.1 sparse + multi) / 4, of the cross entropies; the joint score is dense + 0.3 sparse + multi.
    """
    count, columns = scores["dense"].shape
    if columns % count:
        raise ValueError("%d passages are not the same number for each of %d queries" % (columns, count))
    targets = paddle.arange(count, dtype="int64") * (columns // count)
    parts = {name: cross_entropy(value / temperature, targets).mean() for name, value in scores.items()}
    joint = (scores["dense"] + 0.3 * scores["sparse"] + scores["multi"]) / temperature
    return (parts["dense"] + cross_entropy(joint, targets).mean() + 0.1 * parts["sparse"] + parts["multi"]) / 4


def m3_table(layers):
    """(name there, name here, transposed) of every tensor; there is `transformers.XLMRobertaModel` and the two linear layers."""
    table = [(there, "roberta" + here[len("bert") :], turned) for there, here, turned in name_table(layers)]
    for head in HEADS:
        table += [(head + ".weight", head + ".weight", True), (head + ".bias", head + ".bias", False)]
    return table


def m3_to_paddle(state):
    """Tensors there to tensors here. Raises ConversionError for tensors that are unknown or missing."""
    state = {name: value for name, value in state.items() if not name.endswith(".position_ids")}
    return transposed_state(state, m3_table(_layers_of(state, "encoder.layer.")))


def convert_m3(source, target):
    """A folder of BAAI/bge-m3 to one of PaddleNLP: XLM-RoBERTa, colbert_linear.pt, sparse_linear.pt and the SentencePiece model.

    Args:
        source, target (str): folders.

    Returns:
        str: target.

    Raises:
        ConversionError, FileNotFoundError: another model, tensors that are unknown, missing or of another shape, a file is missing.
    """
    with open(os.path.join(source, "config.json"), encoding="utf-8") as stream:
        settings = json.load(stream)
    wanted = {
        "model_type": "xlm-roberta",
        "position_embedding_type": "absolute",
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
    }
    for key, only in wanted.items():
        if settings.get(key, only if key != "model_type" else None) != only:
            raise ConversionError("%s is %r; only %r is known here" % (key, settings.get(key), only))
    state = read_state(source)
    for head in HEADS:
        path = os.path.join(source, head + ".pt")
        if not os.path.isfile(path):
            raise FileNotFoundError("no %s.pt in %s" % (head, source))
        state.update({"%s.%s" % (head, name): value for name, value in _read_torch(path).items()})
    config = RobertaConfig(**{key: settings[key] for key in KEYS if key in settings}, cls_token_id=0)
    config.architectures = ["M3Model"]
    tensors = m3_to_paddle(state)
    shapes = {name: list(value.shape) for name, value in M3Model(config).state_dict().items()}
    for name, shape in shapes.items():
        if name not in tensors or list(tensors[name].shape) != shape:
            raise ConversionError("%s does not have the shape %s that config.json says" % (name, shape))
    os.makedirs(target, exist_ok=True)
    config.save_pretrained(target)
    paddle.save({n: paddle.to_tensor(v) for n, v in tensors.items()}, os.path.join(target, "model_state.pdparams"))
    if os.path.isfile(os.path.join(source, TOKENIZER)):
        shutil.copyfile(os.path.join(source, TOKENIZER), os.path.join(target, TOKENIZER))
    return target


class M3Embedder:
    """Texts to the three kinds of vectors.

    Args:
        model (M3Model)
        tokenizer (XLMRobertaTokenizer)
        max_length (int): tokens a text, with the special ones; the end of a longer text is cut off. Default: 512.
        batch_size (int): Default: 16.
    """

    def __init__(self, model, tokenizer, max_length=512, batch_size=16):
        positions = model.config.max_position_embeddings - model.config.pad_token_id - 1
        if max_length > positions:
            raise ValueError("max_length is %d; the model has %d positions" % (max_length, positions))
        self.model, self.tokenizer, self.batch_size = model, tokenizer, batch_size
        self._ids = TextEncoder(tokenizer, max_length)

    def encode(self, texts):
        """
        Args:
            texts (list[str])

        Returns:
            dict: "dense" [n, size] float32; "lexical", a dict of weights by token id for each text; "multi", a [tokens, size] float32 for each.
        """
        rows = [self._ids(text) for text in checked_texts(texts)]
        special = (self.tokenizer.cls_token_id, self.tokenizer.pad_token_id, self.tokenizer.sep_token_id)
        special += (self.tokenizer.unk_token_id,)
        result = {"dense": [], "lexical": [], "multi": []}
        self.model.eval()
        for start in range(0, len(rows), self.batch_size):
            part = rows[start : start + self.batch_size]
            ids, mask = pad_ids(part, self.tokenizer.pad_token_id)
            with paddle.no_grad():
                dense, weights, multi = (v.numpy() for v in self.model(paddle.to_tensor(ids), paddle.to_tensor(mask)))
            result["dense"].append(dense)
            for row, row_weights, vectors in zip(part, weights.tolist(), multi):
                found = {}
                for token, weight in zip(row, row_weights):
                    if weight > 0 and token not in special:
                        found[token] = max(weight, found.get(token, 0.0))
                result["lexical"].append(found)
                result["multi"].append(vectors[: len(row) - 1])
        return dict(result, dense=np.concatenate(result["dense"]))

    @staticmethod
    def scores(queries, passages, weights=(0.4, 0.2, 0.4)):
        """The weighted sum of the three scores, [n, m] float32.

        Args:
            queries, passages (dict): of `encode`.
            weights (tuple): of dense, lexical and multi. Default: 0.4, 0.2, 0.4, those of the model's authors for reranking.
        """
        lexical = [
            [sum(w * there.get(token, 0.0) for token, w in here.items()) for there in passages["lexical"]]
            for here in queries["lexical"]
        ]
        multi = [[(a @ b.T).max(axis=1).mean() for b in passages["multi"]] for a in queries["multi"]]
        parts = (queries["dense"] @ passages["dense"].T, np.array(lexical), np.array(multi))
        return sum(w * part for w, part in zip(weights, parts)).astype("float32")
