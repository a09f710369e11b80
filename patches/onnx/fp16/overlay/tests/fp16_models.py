# Copyright (c) 2024 PaddlePaddle Authors. All Rights Reserved.
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
"""Networks for the FP16 tests, written with Paddle alone, at reduced sizes.

Each entry of NETWORKS builds one in float32: (layer, input specifications,
shapes of one set of inputs). They hold the operators of the network that they
are named after.
"""

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.vision import models


def conv_bn(inner, outer, size, stride=1, groups=1, act=nn.Hardswish):
    layers = [
        nn.Conv2D(
            inner,
            outer,
            size,
            stride,
            size // 2,
            groups=groups,
            bias_attr=False),
        nn.BatchNorm2D(outer)
    ]
    return nn.Sequential(*(layers + ([act()] if act else [])))


class Excite(nn.Layer):
    def __init__(self, width):
        super(Excite, self).__init__()
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.down = nn.Conv2D(width, width // 4, 1)
        self.up = nn.Conv2D(width // 4, width, 1)

    def forward(self, x):
        gate = F.relu(self.down(self.pool(x)))
        return x * F.hardsigmoid(self.up(gate))


class LCNet(nn.Layer):
    """Backbone of PP-LCNet: depthwise convolutions, Hardswish, excitation."""

    def __init__(self, classes=10, features=False):
        super(LCNet, self).__init__()
        self.features = features
        self.stem = conv_bn(3, 8, 3, 2)
        stages, width = [], 8
        for outer, stride, size in ((16, 1, 3), (32, 2, 3), (32, 1, 5), (64, 2,
                                                                         5)):
            stages.append(
                nn.Sequential(
                    conv_bn(width, width, size, stride, width),
                    Excite(width) if size == 5 else nn.Identity(),
                    conv_bn(width, outer, 1)))
            width = outer
        self.stages = nn.LayerList(stages)
        self.last = nn.Conv2D(width, 128, 1)
        self.head = nn.Linear(128, classes)

    def forward(self, x):
        x, kept = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            kept.append(x)
        if self.features:
            return kept
        x = F.hardswish(self.last(F.adaptive_avg_pool2d(x, 1)))
        return self.head(F.dropout(x.flatten(1), 0.2, training=self.training))


class DBDetector(nn.Layer):
    """Text detector: pyramid, nearest upsampling, transposed convolutions."""

    def __init__(self):
        super(DBDetector, self).__init__()
        self.backbone = LCNet(features=True)
        self.inner = nn.LayerList(
            [nn.Conv2D(c, 32, 1, bias_attr=False) for c in (16, 32, 64)])
        self.outer = nn.LayerList(
            [nn.Conv2D(32, 8, 3, padding=1, bias_attr=False) for _ in "abc"])
        self.head = nn.Sequential(
            conv_bn(24, 8, 3, act=nn.ReLU),
            nn.Conv2DTranspose(8, 8, 2, 2),
            nn.BatchNorm2D(8),
            nn.ReLU(), nn.Conv2DTranspose(8, 1, 2, 2), nn.Sigmoid())

    def forward(self, x):
        f2, f3, _, f4 = self.backbone(x)[:4]
        p2, p3, p4 = [c(f) for c, f in zip(self.inner, (f2, f3, f4))]
        p3 = p3 + F.interpolate(p4, scale_factor=2, mode="nearest")
        p2 = p2 + F.interpolate(p3, scale_factor=2, mode="nearest")
        out = [c(p) for c, p in zip(self.outer, (p2, p3, p4))]
        out[1] = F.interpolate(out[1], scale_factor=2, mode="nearest")
        out[2] = F.interpolate(out[2], scale_factor=4, mode="nearest")
        return self.head(paddle.concat(out, 1))


class Attention(nn.Layer):
    def __init__(self, width, heads):
        super(Attention, self).__init__()
        self.heads, self.width = heads, width
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x, bias=None, mask=None):
        n, each = x.shape[1], self.width // self.heads
        qkv = self.qkv(x).reshape([-1, n, 3, self.heads, each])
        q, k, v = qkv.transpose([2, 0, 3, 1, 4]).unbind(0)
        score = paddle.matmul(q * each**-0.5, k, transpose_y=True)
        if bias is not None:
            score = score + bias
        if mask is not None:
            score = score + mask
        x = paddle.matmul(F.softmax(score), v).transpose([0, 2, 1, 3])
        return self.out(x.reshape([-1, n, self.width]))


class Block(nn.Layer):
    def __init__(self, width, heads, act=F.gelu, eps=1e-6):
        super(Block, self).__init__()
        self.norm1 = nn.LayerNorm(width, epsilon=eps)
        self.norm2 = nn.LayerNorm(width, epsilon=eps)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(
            2 * width, width)
        self.act = act

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(self.act(self.up(self.norm2(x))))


class SVTRLCNet(nn.Layer):
    """Text recognizer: convolutions, attention over the width, CTC head."""

    def __init__(self, classes=97):
        super(SVTRLCNet, self).__init__()
        self.backbone = LCNet(features=True)
        self.squeeze = conv_bn(64, 32, 1, act=nn.Swish)
        self.blocks = nn.LayerList([Block(32, 4, F.swish) for _ in "ab"])
        self.norm = nn.LayerNorm(32, epsilon=1e-6)
        self.head = nn.Linear(32, classes)

    def forward(self, x):
        x = F.avg_pool2d(self.backbone(x)[-1], [4, 1])
        x = self.squeeze(x)
        x = x.squeeze(2).transpose([0, 2, 1])
        for block in self.blocks:
            x = block(x)
        return F.softmax(self.head(self.norm(x)), 2)


class WindowBlock(nn.Layer):
    """Block of Swin: shifted windows, relative position bias, mask of -100."""

    def __init__(self, width, heads, side, window, shift):
        super(WindowBlock, self).__init__()
        self.side, self.window, self.shift = side, window, shift
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(
            4 * width, width)
        tokens = window * window
        self.table = self.create_parameter(
            [(2 * window - 1)**2, heads],
            default_initializer=nn.initializer.Normal(std=0.2))
        grid = paddle.stack(
            paddle.meshgrid(paddle.arange(window), paddle.arange(
                window))).flatten(1)
        gap = (grid[:, :, None] - grid[:, None, :]) + window - 1
        # not a buffer: Layer.to(dtype) makes integers FP16 as well
        self.index = (gap[0] * (2 * window - 1) + gap[1]).flatten().numpy()
        marks = paddle.zeros([side, side])
        for number, rows in enumerate((slice(0, side - window), slice(
                side - window, side - shift), slice(side - shift, side))):
            marks[rows] += 3.0 * number
            marks[:, rows] += 1.0 * number
        marks = self.split(marks.reshape([1, side, side, 1])).squeeze(-1)
        apart = marks.unsqueeze(1) - marks.unsqueeze(2)
        mask = paddle.where(apart != 0,
                            paddle.full_like(apart, -100.0),
                            paddle.zeros_like(apart))
        self.register_buffer("mask", mask.reshape([1, -1, 1, tokens, tokens]))

    def split(self, x):
        w, s, c = self.window, self.side, x.shape[-1]
        x = x.reshape([-1, s // w, w, s // w, w, c])
        return x.transpose([0, 1, 3, 2, 4, 5]).reshape([-1, w * w, c])

    def join(self, x):
        w, s, c = self.window, self.side, x.shape[-1]
        x = x.reshape([-1, s // w, s // w, w, w, c])
        return x.transpose([0, 1, 3, 2, 4, 5]).reshape([-1, s * s, c])

    def forward(self, x):
        s, c = self.side, x.shape[-1]
        y = self.norm1(x).reshape([-1, s, s, c])
        if self.shift:
            y = paddle.roll(y, [-self.shift, -self.shift], [1, 2])
        tokens = self.window**2
        bias = paddle.index_select(
            self.table, paddle.to_tensor(self.index)).reshape(
                [tokens, tokens, -1]).transpose([2, 0, 1]).unsqueeze(0)
        y = self.join(self.attend(self.split(y), bias)).reshape([-1, s, s, c])
        if self.shift:
            y = paddle.roll(y, [self.shift, self.shift], [1, 2])
        x = x + y.reshape([-1, s * s, c])
        return x + self.down(F.gelu(self.up(self.norm2(x))))

    def attend(self, windows, bias):
        if not self.shift:
            return self.attention(windows, bias)
        part = self.attention
        n, each = windows.shape[1], part.width // part.heads
        qkv = part.qkv(windows).reshape([-1, n, 3, part.heads, each])
        q, k, v = qkv.transpose([2, 0, 3, 1, 4]).unbind(0)
        score = paddle.matmul(q * each**-0.5, k, transpose_y=True) + bias
        score = score.reshape([-1, self.mask.shape[1], part.heads, n, n
                               ]) + self.mask
        score = F.softmax(score.reshape([-1, part.heads, n, n]))
        y = paddle.matmul(score, v).transpose([0, 2, 1, 3])
        return part.out(y.reshape([-1, n, part.width]))


class Swin(nn.Layer):
    """Two stages of a Swin transformer with merging of patches between them."""

    def __init__(self, width=24, classes=10):
        super(Swin, self).__init__()
        self.patch = nn.Conv2D(3, width, 4, 4)
        self.norm = nn.LayerNorm(width)
        self.first = nn.LayerList(
            [WindowBlock(width, 3, 8, 4, shift) for shift in (0, 2)])
        self.merge_norm = nn.LayerNorm(4 * width)
        self.merge = nn.Linear(4 * width, 2 * width, bias_attr=False)
        self.second = WindowBlock(2 * width, 6, 4, 4, 0)
        self.last = nn.LayerNorm(2 * width)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x):
        x = self.norm(self.patch(x).flatten(2).transpose([0, 2, 1]))
        for block in self.first:
            x = block(x)
        x = x.reshape([-1, 8, 8, x.shape[-1]])
        parts = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        x = paddle.concat(parts, -1).reshape([-1, 16, 4 * x.shape[-1]])
        x = self.last(self.second(self.merge(self.merge_norm(x))))
        return self.head(x.mean(1))


class Bert(nn.Layer):
    """BERT encoder: embeddings, padding mask, pooler of the first token."""

    def __init__(self, width=64, layers=3, words=500):
        super(Bert, self).__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Embedding(32, width)
        self.kinds = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, epsilon=1e-12)
        self.blocks = nn.LayerList(
            [Attention(width, 4) for _ in range(layers)])
        self.norms = nn.LayerList(
            [nn.LayerNorm(width, epsilon=1e-12) for _ in range(2 * layers)])
        self.ups = nn.LayerList(
            [nn.Linear(width, 4 * width) for _ in range(layers)])
        self.downs = nn.LayerList(
            [nn.Linear(4 * width, width) for _ in range(layers)])
        self.pooler = nn.Linear(width, width)

    def forward(self, tokens, kinds):
        places = paddle.arange(tokens.shape[1], dtype="int64").unsqueeze(0)
        x = self.words(tokens) + self.places(places) + self.kinds(kinds)
        mask = (tokens == 0).astype(x.dtype).unsqueeze([1, 2]) * -1e4
        x = self.norm(x)
        for i, attention in enumerate(self.blocks):
            x = self.norms[2 * i](x + attention(x, mask=mask))
            x = self.norms[2 * i +
                           1](x + self.downs[i](F.gelu(self.ups[i](x))))
        return x, F.tanh(self.pooler(x[:, 0]))


class YoloHead(nn.Layer):
    """Anchor-free head: distribution over distances, decoded boxes, scores."""

    def __init__(self, classes=5, bins=8):
        super(YoloHead, self).__init__()
        self.bins, self.classes = bins, classes
        self.backbone = LCNet(features=True)
        self.gates = nn.LayerList([nn.Conv2D(c, c, 1) for c in (32, 64)])
        self.score = nn.LayerList(
            [nn.Conv2D(c, classes, 3, padding=1) for c in (32, 64)])
        self.box = nn.LayerList(
            [nn.Conv2D(c, 4 * bins, 3, padding=1) for c in (32, 64)])
        self.register_buffer("steps",
                             paddle.arange(bins).astype("float32").reshape(
                                 [1, bins, 1, 1]))

    def forward(self, x):
        kept = self.backbone(x)
        scores, boxes = [], []
        for i, f in enumerate((kept[2], kept[3])):
            pooled = F.adaptive_avg_pool2d(f, 1)
            f = f * F.sigmoid(self.gates[i](pooled))
            score = F.sigmoid(self.score[i](f)).flatten(2)
            box = self.box[i](f).reshape(
                [0, 4, self.bins,
                 f.shape[2] * f.shape[3]]).transpose([0, 2, 1, 3])
            box = (F.softmax(box, 1) * self.steps).sum(1)
            scores.append(score)
            boxes.append(box * (8.0 * 2**i))
        return paddle.concat(scores, -1), paddle.concat(boxes, -1)


def image(*shape):
    return [([None] + list(shape[1:]), "float32")], [(shape, "float32")]


def tokens(batch, length):
    spec = [([None, length], "int64")] * 2
    return spec, [((batch, length), "int64")] * 2


NETWORKS = {
    "resnet50": (models.resnet50, image(2, 3, 64, 64)),
    "mobilenet_v3": (lambda: models.mobilenet_v3_small(num_classes=10), image(
        2, 3, 64, 64)),
    "swin": (Swin, image(2, 3, 32, 32)),
    "pp_lcnet": (LCNet, image(2, 3, 64, 64)),
    "db_detector": (DBDetector, image(2, 3, 64, 64)),
    "svtr_lcnet": (SVTRLCNet, image(2, 3, 32, 64)),
    "bert": (Bert, tokens(2, 16)),
    "yolo_head": (YoloHead, image(2, 3, 64, 64)),
}
