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
The image encoder of InstructBLIP: EVA ViT-g/14 without its last block.

Article: arXiv:2305.06500, section 3.1, and BLIP-2, arXiv:2301.12597. Its behaviour was measured on `transformers` 4.57.6
(`InstructBlipVisionModel`, Apache 2.0) and salesforce/LAVIS @ 506965b (BSD 3-Clause); no code of either is used.
"""

import paddle
import paddle.nn as nn
import paddle.nn.functional as F
from paddlenlp.transformers.activations import ACT2FN


class VisionEmbeddings(nn.Layer):
    """Patches, the class token, and positions. [N, 3, H, W] -> [N, 1 + H*W/patch^2, hidden_size]."""

    def __init__(self, config):
        super().__init__()
        self.patch_size = config.patch_size
        self.side = config.image_size // config.patch_size
        width = config.hidden_size
        self.class_embedding = self.create_parameter([1, 1, width])
        self.patch_embedding = nn.Conv2D(3, width, kernel_size=config.patch_size, stride=config.patch_size)
        self.position_embedding = self.create_parameter([1, self.side**2 + 1, width])

    def interpolate(self, rows, columns):
        """Positions for another grid of patches: bicubic, the class token's position stays."""
        grid = self.position_embedding[:, 1:].reshape([1, self.side, self.side, -1]).transpose([0, 3, 1, 2])
        grid = F.interpolate(grid, size=[rows, columns], mode="bicubic", align_corners=False)
        grid = grid.flatten(2).transpose([0, 2, 1])
        return paddle.concat([self.position_embedding[:, :1], grid], axis=1)

    def forward(self, pixel_values, interpolate_pos_encoding=False):
        patches = self.patch_embedding(pixel_values.astype(self.patch_embedding.weight.dtype))
        tokens = patches.flatten(2).transpose([0, 2, 1])
        # a sum with zeros broadcasts to the batch without asking for its size, which would break the graph for SOT
        first = self.class_embedding + paddle.zeros_like(tokens[:, :1])
        tokens = paddle.concat([first, tokens], axis=1)
        positions = self.position_embedding
        if interpolate_pos_encoding:
            positions = self.interpolate(patches.shape[2], patches.shape[3])
        return tokens + positions


class VisionAttention(nn.Layer):
    """Self-attention; one projection gives queries, keys and values."""

    def __init__(self, config):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.dropout = config.attention_dropout
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias_attr=None if config.qkv_bias else False)
        self.projection = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x):
        # [N, L, 3 * C] -> 3 of [N, heads, L, C / heads]
        qkv = self.qkv(x).reshape([0, 0, 3, self.num_heads, self.head_dim]).transpose([2, 0, 3, 1, 4])
        query, key, value = qkv[0], qkv[1], qkv[2]
        weights = F.softmax(paddle.matmul(query * self.head_dim**-0.5, key, transpose_y=True), axis=-1)
        if self.dropout:
            weights = F.dropout(weights, self.dropout, training=self.training)
        out = paddle.matmul(weights, value).transpose([0, 2, 1, 3]).flatten(2)
        return self.projection(out)


class VisionMLP(nn.Layer):
    def __init__(self, config):
        super().__init__()
        self.activation_fn = ACT2FN[config.hidden_act]
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x):
        return self.fc2(self.activation_fn(self.fc1(x)))


class VisionLayer(nn.Layer):
    """A block with normalization before attention and before the feed-forward layers."""

    def __init__(self, config):
        super().__init__()
        self.self_attn = VisionAttention(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps)
        self.mlp = VisionMLP(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps)

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class VisionEncoder(nn.Layer):
    def __init__(self, config):
        super().__init__()
        self.layers = nn.LayerList([VisionLayer(config) for _ in range(config.num_hidden_layers)])
        self.enable_recompute = False

    def forward(self, x):
        for layer in self.layers:
            if self.enable_recompute and self.training:
                x = paddle.distributed.fleet.utils.recompute(layer, x)
            else:
                x = layer(x)
        return x
