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
The image encoder of Kosmos-2: CLIP ViT-L/14, without its last projection.

Article: arXiv:2306.14824, section 3. Its behaviour was measured on `transformers` 4.57.6 (`Kosmos2VisionModel`, Apache 2.0); no code of
it is used.
"""

import paddle
import paddle.nn as nn
import paddle.nn.functional as F
from paddle.distributed.fleet.utils import recompute
from paddlenlp.transformers.activations import ACT2FN

from .attention import Attention


class VisionEmbeddings(nn.Layer):
    """Patches, the class token, and positions. [N, C, H, W] -> [N, 1 + H*W/patch^2, hidden_size]."""

    def __init__(self, config):
        super().__init__()
        self.side = config.image_size // config.patch_size
        width, patch = config.hidden_size, config.patch_size
        self.class_embedding = self.create_parameter([width])
        self.patch_embedding = nn.Conv2D(config.num_channels, width, patch, stride=patch, bias_attr=False)
        self.position_embedding = nn.Embedding(self.side**2 + 1, width)

    def interpolate(self, rows, columns):
        """Positions for another grid of patches: bicubic, the class token's position stays."""
        grid = self.position_embedding.weight[1:].reshape([1, self.side, self.side, -1]).transpose([0, 3, 1, 2])
        grid = F.interpolate(grid, size=[rows, columns], mode="bicubic", align_corners=False)
        return paddle.concat([self.position_embedding.weight[:1], grid.flatten(2).transpose([0, 2, 1])[0]], axis=0)

    def forward(self, pixel_values, interpolate_pos_encoding=False):
        patches = self.patch_embedding(pixel_values.astype(self.patch_embedding.weight.dtype))
        tokens = patches.flatten(2).transpose([0, 2, 1])
        # a sum with zeros broadcasts to the batch without asking for its size, which would break the graph for SOT
        tokens = paddle.concat([self.class_embedding + paddle.zeros_like(tokens[:, :1]), tokens], axis=1)
        positions = self.position_embedding.weight
        if interpolate_pos_encoding:
            positions = self.interpolate(patches.shape[2], patches.shape[3])
        return tokens + positions


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
        self.self_attn = Attention(config.hidden_size, config.num_attention_heads, config.attention_dropout)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps)
        self.mlp = VisionMLP(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps)

    def forward(self, x):
        normalized = self.layer_norm1(x)
        x = x + self.self_attn(normalized, normalized)[0]
        return x + self.mlp(self.layer_norm2(x))


class VisionEncoder(nn.Layer):
    def __init__(self, config):
        super().__init__()
        self.layers = nn.LayerList([VisionLayer(config) for _ in range(config.num_hidden_layers)])
        self.enable_recompute = False

    def forward(self, x):
        for layer in self.layers:
            x = recompute(layer, x) if self.enable_recompute and self.training else layer(x)
        return x


class VisionTransformer(nn.Layer):
    """The encoder; `post_layernorm` is applied by what reads its states."""

    def __init__(self, config):
        super().__init__()
        self.embeddings = VisionEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps)  # named so in checkpoints
        self.encoder = VisionEncoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps)

    def forward(self, pixel_values, interpolate_pos_encoding=False):
        return self.encoder(self.pre_layrnorm(self.embeddings(pixel_values, interpolate_pos_encoding)))
