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
The text decoder of Kosmos-2: Magneto blocks (arXiv:2210.06423), with layer normalization inside of attention and feed-forward layers.

Behaviour measured on `transformers` 4.57.6 (`Kosmos2TextForCausalLM`, Apache 2.0); no code of it is used.
"""

import math

import numpy as np
import paddle
import paddle.nn as nn
import paddle.nn.functional as F
from paddle.distributed.fleet.utils import recompute
from paddlenlp.transformers.activations import ACT2FN

from ..common.sot import given
from .attention import Attention

# half of the lowest number of a type: the sum with a score stays finite
LOW, LOW_FLOAT16 = float(np.finfo("float32").min) / 2, float(np.finfo("float16").min) / 2


def sinusoids(number, width, padding):
    """
    Positions [number, width] of float32: sines, then cosines, of geometric frequencies from 1 to 1/10000; the row of padding is 0.

    Angles are products of float32 numbers, as in the original: their rounding is part of its values.
    """
    half = width // 2
    rates = np.exp(np.arange(half, dtype="float64") * -np.float32(math.log(10000) / (half - 1))).astype("float32")
    angles = (np.arange(number, dtype="float32")[:, None] * rates[None]).astype("float64")
    table = np.concatenate([np.sin(angles), np.cos(angles), np.zeros([number, width % 2])], axis=1).astype("float32")
    table[padding] = 0.0
    return table


def visible(mask, length):
    """Mask [N, P + L] of ones and zeros -> [N, 1, L, P + L], true where one of the last L tokens sees a token."""
    columns = paddle.cumsum(paddle.ones_like(mask[:1]), axis=-1)
    rows = columns[:, mask.shape[1] - length :]
    return (mask != 0).unsqueeze([1, 2]) & (columns.unsqueeze([0]) <= rows.unsqueeze(-1)).unsqueeze(1)


def _recomputed(layer, x, bias):
    """States of a block, whose values are computed once more in the backward pass."""
    # tensors alone: a tuple inside of a tuple ends Paddle 2.6 with a segmentation fault
    return recompute(lambda *inputs: layer(*inputs)[0], x, bias)


class TextFFN(nn.Layer):
    def __init__(self, config):
        super().__init__()
        self.activation_fn = ACT2FN[config.activation_function]
        self.activation_dropout, self.dropout = config.activation_dropout, config.dropout
        self.fc1 = nn.Linear(config.embed_dim, config.ffn_dim)
        self.fc2 = nn.Linear(config.ffn_dim, config.embed_dim)
        self.ffn_layernorm = nn.LayerNorm(config.ffn_dim, epsilon=config.layer_norm_eps)

    def forward(self, x):
        x = F.dropout(self.activation_fn(self.fc1(x)), self.activation_dropout, training=self.training)
        return F.dropout(self.fc2(self.ffn_layernorm(x)), self.dropout, training=self.training)


class TextBlock(nn.Layer):
    def __init__(self, config):
        super().__init__()
        width, eps = config.embed_dim, config.layer_norm_eps
        self.dropout = config.dropout
        self.self_attn = Attention(width, config.attention_heads, config.attention_dropout, norm_eps=eps)
        self.self_attn_layer_norm = nn.LayerNorm(width, epsilon=eps)
        self.ffn = TextFFN(config)
        self.final_layer_norm = nn.LayerNorm(width, epsilon=eps)

    def forward(self, x, bias, past=None):
        normalized = self.self_attn_layer_norm(x)
        states, _, cache = self.self_attn(normalized, normalized, bias, past)
        x = x + F.dropout(states, self.dropout, training=self.training)
        return x + self.ffn(self.final_layer_norm(x)), cache


class TextTransformer(nn.Layer):
    """Embeddings, positions and blocks; generation calls `embed` and `decode`."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.scale = math.sqrt(config.embed_dim) if config.scale_embedding else 1.0
        self.embed_tokens = nn.Embedding(config.vocab_size, config.embed_dim)
        table = sinusoids(config.max_position_embeddings + 2, config.embed_dim, config.pad_token_id)
        table = paddle.to_tensor(table).astype(paddle.get_default_dtype())
        self.register_buffer("positions", table, persistable=False)
        self.layers = nn.LayerList([TextBlock(config) for _ in range(config.layers)])
        self.layer_norm = nn.LayerNorm(config.embed_dim, epsilon=config.layer_norm_eps)
        self.enable_recompute = False

    def forward(self, embeds, positions, mask, cache=None):
        """
        Args:
            embeds (`Tensor`, [N, L, C]): embeddings, not scaled, with those of images at their places.
            positions (`Tensor`, [N, L]): rows of the table of positions.
            mask (`Tensor`, [N, P + L]): 0 at padding.
            cache: keys and values of each block for P tokens before; `None`: there are none.

        Returns:
            normalized states [N, L, C], and the cache for the next tokens.
        """
        dtype = self.embed_tokens.weight.dtype
        x = embeds * self.scale + F.embedding(positions, self.positions.astype(dtype))
        x = F.dropout(x, self.config.dropout, training=self.training)
        x = F.dropout(x, self.config.dropout, training=self.training)  # the original has both
        keep = visible(mask, embeds.shape[1]).astype(dtype)
        bias = (1.0 - keep) * (LOW_FLOAT16 if dtype == paddle.float16 else LOW)
        made = []
        for number, layer in enumerate(self.layers):
            if self.enable_recompute and self.training:
                x = _recomputed(layer, x, bias)
            else:
                x, kept = layer(x, bias, cache[number] if given(cache) else None)
                made.append(kept)
        return self.layer_norm(x), made


class TextForCausalLM(nn.Layer):
    """The decoder with the output matrix, which is that of the embeddings."""

    is_encoder_decoder = False

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.model = TextTransformer(config)

    def embed(self, ids):
        """Embeddings [N, L, C] of ids [N, L], not scaled."""
        return F.embedding(ids, self.model.embed_tokens.weight)

    def position_ids(self, real):
        """Positions [N, L] of tokens, of `real` [N, L] false at padding: they count from `pad_token_id` + 1."""
        real = real.astype("int64")
        return paddle.cumsum(real, axis=-1) * real + self.config.pad_token_id

    def logits(self, states):
        """Scores [..., vocab_size]."""
        return paddle.matmul(states, self.model.embed_tokens.weight, transpose_y=True)

    def decode(self, embeds, mask, cache=None, use_cache=False, last=False):
        """
        Scores for embeddings [N, L, C] behind a cache of P tokens; `mask` [N, P + L] is 0 at padding, on which positions do not count.

        Returns:
            logits [N, L, V], with `last` [N, 1, V]; the cache, or `None` without `use_cache`.
        """
        positions = self.position_ids(mask != 0)[:, mask.shape[1] - embeds.shape[1] :]
        states, cache = self.model(embeds, positions, mask, cache)
        return self.logits(states[:, -1:] if last else states), cache if use_cache else None
