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
"""Attention as all three parts of Kosmos-2 have it."""

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from ..common.sot import given


class Attention(nn.Layer):
    """
    Attention with queries, keys, values and output as matrices of their own.

    Args:
        width (`int`): of inputs and output.
        heads (`int`): number of heads.
        dropout (`float`): of the attention weights.
        norm_eps (`float`, *optional*): sub-LN: a layer normalization before the output matrix, with this epsilon.
    """

    def __init__(self, width, heads, dropout=0.0, norm_eps=None):
        super().__init__()
        self.heads, self.head_dim, self.dropout = heads, width // heads, dropout
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.inner_attn_ln = None if norm_eps is None else nn.LayerNorm(width, epsilon=norm_eps)

    def _split(self, x):
        return x.reshape([0, 0, self.heads, self.head_dim]).transpose([0, 2, 1, 3])

    def forward(self, x, source, bias=None, past=None):
        """
        Args:
            x (`Tensor`, [N, L, C]): what asks.
            source (`Tensor`, [N, S, C]): what is seen.
            bias (`Tensor`, [N or 1, 1, L, P + S]): what is added to the scores.
            past: keys and values [N, heads, P, C / heads] that are seen before `source`.

        Returns:
            states [N, L, C], attention weights [N, heads, L, P + S], and (keys, values) with the past before them.
        """
        query = self._split(self.q_proj(x) * self.head_dim**-0.5)
        key, value = self._split(self.k_proj(source)), self._split(self.v_proj(source))
        if given(past):
            key, value = paddle.concat([past[0], key], axis=2), paddle.concat([past[1], value], axis=2)
        scores = paddle.matmul(query, key, transpose_y=True)
        weights = F.softmax(scores + bias if given(bias) else scores, axis=-1)
        seen = F.dropout(weights, self.dropout, training=self.training) if self.dropout else weights
        out = paddle.matmul(seen, value).transpose([0, 2, 1, 3]).flatten(2)
        if self.inner_attn_ln is not None:
            out = self.inner_attn_ln(out)
        return self.out_proj(out), weights, (key, value)
