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
"""
The instruction-aware Q-Former of InstructBLIP.

Queries and instruction tokens share self-attention, so that the instruction decides what the queries take from the image. Only
the queries attend to the image, in the layers 0, n, 2n, ... Queries and text have feed-forward layers of their own.

Article: arXiv:2305.06500, section 3.2. Its behaviour was measured on `transformers` 4.57.6 (`InstructBlipQFormerModel`,
Apache 2.0) and salesforce/LAVIS @ 506965b (BSD 3-Clause); no code of either is used.
"""

import paddle
import paddle.nn as nn
import paddle.nn.functional as F
from paddle.distributed.fleet.utils import recompute
from paddlenlp.transformers.activations import ACT2FN

from ..common.sot import given


def additive_mask(mask, dtype):
    """A mask [N, L] of ones and zeros as what is added to the scores, [N, 1, 1, L]."""
    return (1.0 - mask.astype(dtype)).unsqueeze([1, 2]) * -10000.0


class QFormerEmbeddings(nn.Layer):
    """The queries, followed by the embeddings of the instruction where there is one; one normalization over both."""

    def __init__(self, config):
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.layernorm = nn.LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, query_embeds, input_ids=None):
        embeddings = query_embeds
        if given(input_ids):
            positions = paddle.arange(paddle.shape(input_ids)[1], dtype="int64").unsqueeze(0)
            text = self.word_embeddings(input_ids) + self.position_embeddings(positions)
            embeddings = paddle.concat([embeddings, text], axis=1)
        return self.dropout(self.layernorm(embeddings))


class QFormerSelfAttention(nn.Layer):
    """Attention of `hidden_states` to `context`, [N, Q, C] and [N, L, C'] -> [N, Q, C]."""

    def __init__(self, config, context_size):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(context_size, config.hidden_size)
        self.value = nn.Linear(context_size, config.hidden_size)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def _split(self, x):
        return x.reshape([0, 0, self.num_heads, self.head_dim]).transpose([0, 2, 1, 3])

    def forward(self, hidden_states, context, mask=None):
        query = self._split(self.query(hidden_states)) * self.head_dim**-0.5
        key, value = self._split(self.key(context)), self._split(self.value(context))
        scores = paddle.matmul(query, key, transpose_y=True)
        if given(mask):
            scores = scores + mask
        weights = self.dropout(F.softmax(scores, axis=-1))
        return paddle.matmul(weights, value).transpose([0, 2, 1, 3]).flatten(2)


class QFormerOutput(nn.Layer):
    """Linear, dropout, and normalization of the sum with what came in."""

    def __init__(self, config, in_size):
        super().__init__()
        self.dense = nn.Linear(in_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x, residual):
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class QFormerAttention(nn.Layer):
    def __init__(self, config, context_size):
        super().__init__()
        self.attention = QFormerSelfAttention(config, context_size)
        self.output = QFormerOutput(config, config.hidden_size)

    def forward(self, hidden_states, context, mask=None):
        return self.output(self.attention(hidden_states, context, mask), hidden_states)


class QFormerIntermediate(nn.Layer):
    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]

    def forward(self, x):
        return self.activation(self.dense(x))


class QFormerLayer(nn.Layer):
    def __init__(self, config, index):
        super().__init__()
        self.attention = QFormerAttention(config, config.hidden_size)
        self.has_cross_attention = index % config.cross_attention_frequency == 0
        if self.has_cross_attention:
            self.crossattention = QFormerAttention(config, config.encoder_hidden_size)
        self.intermediate = QFormerIntermediate(config)
        self.output = QFormerOutput(config, config.intermediate_size)
        self.intermediate_query = QFormerIntermediate(config)
        self.output_query = QFormerOutput(config, config.intermediate_size)

    def forward(self, x, mask, image, image_mask, query_length, has_text):
        x = self.attention(x, x, mask)
        query = x[:, :query_length]
        if self.has_cross_attention:
            query = self.crossattention(query, image, image_mask)
        out = self.output_query(self.intermediate_query(query), query)
        if has_text:
            text = x[:, query_length:]
            out = paddle.concat([out, self.output(self.intermediate(text), text)], axis=1)
        return out


class QFormerEncoder(nn.Layer):
    def __init__(self, config):
        super().__init__()
        self.layer = nn.LayerList([QFormerLayer(config, index) for index in range(config.num_hidden_layers)])
        self.enable_recompute = False

    def forward(self, x, mask, image, image_mask, query_length, has_text):
        for layer in self.layer:
            if self.enable_recompute and self.training and paddle.is_grad_enabled():
                x = recompute(layer, x, mask, image, image_mask, query_length, has_text)
            else:
                x = layer(x, mask, image, image_mask, query_length, has_text)
        return x
