# Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#    http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddleseg.cvlibs import manager, param_init
from paddleseg.models import layers
from paddleseg.utils import utils

__all__ = ["PIDNetBackbone"]


@manager.BACKBONES.add_component
class PIDNetBackbone(nn.Layer):
    """
    The three branches of PIDNet, up to the fused feature, implemented based on
    PaddlePaddle.

    The original article refers to
    Jiacong Xu, Zixiang Xiong, Shankar P. Bhattacharyya. "PIDNet: A Real-time
    Semantic Segmentation Network Inspired by PID Controllers"
    (https://arxiv.org/abs/2206.02066)

    The branches of figure 4 carry their letters here: `i_*` is the integral
    (context) branch, which goes down to 1/64, `p_*` the proportional (detail)
    branch and `d_*` the derivative (boundary) branch, which both stay at 1/8.
    The behaviour was measured on the authors' code (XuJiacong/PIDNet @ 4c158cf,
    MIT). Two things differ from it: the 1/8 resolution is taken from the
    features, so that the input size need not be a multiple of 8, and the
    biases of the two first convolutions start from zero.

    |                 | PIDNet-S | PIDNet-M | PIDNet-L |
    |-----------------|----------|----------|----------|
    | base_channels   | 32       | 64       | 64       |
    | block_layers    | [2, 3]   | [2, 3]   | [3, 4]   |
    | context_channels| 96       | 96       | 112      |
    | lightweight     | True     | True     | False    |

    Args:
        in_channels (int, optional): The channels of the input image.
            Default: 3.
        base_channels (int, optional): The channels of the stem, C below.
            Default: 32.
        block_layers (list|tuple, optional): The number of residual blocks in
            each of the shallow stages (1/4 and 1/8, and the detail branch) and
            in each of the deep ones (1/16 and 1/32). Default: [2, 3].
        context_channels (int, optional): The channels of one scale in the
            context module. Default: 96.
        lightweight (bool, optional): True takes PAPPM, the light fusion and the
            narrow boundary branch (PIDNet-S and PIDNet-M), False takes DAPPM,
            the 3x3 fusion and the wide boundary branch (PIDNet-L).
            Default: True.
        pretrained (str, optional): The path or url of pretrained model.
            Default: None.
    """

    def __init__(self,
                 in_channels=3,
                 base_channels=32,
                 block_layers=(2, 3),
                 context_channels=96,
                 lightweight=True,
                 pretrained=None):
        super().__init__()
        if len(block_layers) != 2 or min(block_layers) < 1:
            raise ValueError(
                "`block_layers` should be two positive numbers, the blocks of "
                "a shallow and of a deep stage, but got {}.".format(
                    block_layers))
        c = base_channels
        shallow, deep = block_layers

        self.stem = nn.Sequential(
            layers.ConvBNReLU(in_channels, c, 3, stride=2, padding=1),
            layers.ConvBNReLU(c, c, 3, stride=2, padding=1))

        self.i_stage1 = make_stage(BasicBlock, c, c, shallow)
        self.i_stage2 = make_stage(BasicBlock, c, c * 2, shallow, stride=2)
        self.i_stage3 = make_stage(BasicBlock, c * 2, c * 4, deep, stride=2)
        self.i_stage4 = make_stage(BasicBlock, c * 4, c * 8, deep, stride=2)
        self.i_stage5 = make_stage(BottleneckBlock, c * 8, c * 16, 2, stride=2)

        self.p_stage3 = make_stage(BasicBlock, c * 2, c * 2, shallow)
        self.p_stage4 = make_stage(BasicBlock, c * 2, c * 2, shallow)
        self.p_stage5 = make_stage(BottleneckBlock, c * 2, c * 4, 1)
        self.p_lateral3 = conv1x1_bn(c * 4, c * 2)
        self.p_lateral4 = conv1x1_bn(c * 8, c * 2)
        self.p_guide3 = PixelAttentionGuide(c * 2, c)
        self.p_guide4 = PixelAttentionGuide(c * 2, c)

        if lightweight:
            d_channels = c
            self.d_stage4 = make_stage(BottleneckBlock, c, c * 2, 1)
            self.i_context = PAPPM(c * 16, context_channels, c * 4)
            self.fusion = LightBoundaryFusion(c * 4, c * 4)
        else:
            d_channels = c * 2
            self.d_stage4 = make_stage(BasicBlock, c * 2, c * 2, 1)
            self.i_context = DAPPM(c * 16, context_channels, c * 4)
            self.fusion = BoundaryFusion(c * 4, c * 4)
        self.d_stage3 = make_stage(BasicBlock, c * 2, d_channels, 1)
        self.d_stage5 = make_stage(BottleneckBlock, c * 2, c * 4, 1)
        self.d_lateral3 = layers.ConvBN(
            c * 4, d_channels, 3, padding=1, bias_attr=False)
        self.d_lateral4 = layers.ConvBN(
            c * 8, c * 2, 3, padding=1, bias_attr=False)

        # The fused feature, the detail feature after stage 3 and the boundary
        # feature after stage 4, all at 1/8 of the input.
        self.feat_channels = [c * 4, c * 2, c * 2]

        self.pretrained = pretrained
        self.init_weight()

    def forward(self, x):
        """
        Args:
            x (Tensor): The image, (N, in_channels, H, W). H and W are free.

        Returns:
            list[Tensor]: The fused feature (N, 4C, h, w) and the inputs of the
                two auxiliary heads (N, 2C, h, w), where h and w are a eighth
                of H and W, rounded up.
        """
        x = self.i_stage1(self.stem(x))
        x = F.relu(self.i_stage2(F.relu(x)))
        p = self.p_stage3(x)
        d = self.d_stage3(x)
        hw = paddle.shape(p)[2:]

        # The auxiliary heads see the activated sums: the reference activates
        # them in place after it has kept them.
        x = F.relu(self.i_stage3(x))
        p_feat = F.relu(self.p_guide3(p, self.p_lateral3(x), hw))
        d = F.relu(d + resize(self.d_lateral3(x), hw))

        x = F.relu(self.i_stage4(x))
        p = self.p_stage4(p_feat)
        d = self.d_stage4(d)
        p = F.relu(self.p_guide4(p, self.p_lateral4(x), hw))
        d_feat = F.relu(d + resize(self.d_lateral4(x), hw))

        p = self.p_stage5(p)
        d = self.d_stage5(d_feat)
        i = resize(self.i_context(self.i_stage5(x)), hw)
        return [self.fusion(p, i, d), p_feat, d_feat]

    def init_weight(self):
        init_conv_bn(self)
        if self.pretrained is not None:
            utils.load_pretrained_model(self, self.pretrained)


def init_conv_bn(model):
    """
    Kaiming normal initialization over the outgoing connections for the weights
    of convolutions, ones and zeros for batch normalization.

    Args:
        model (nn.Layer): The layer whose sublayers are initialized.
    """
    for layer in model.sublayers():
        if isinstance(layer, nn.Conv2D):
            fan_out = layer.weight.shape[0] * layer.weight.shape[
                2] * layer.weight.shape[3]
            param_init.kaiming_normal_init(layer.weight, fan_in=fan_out)
        elif isinstance(layer, (nn.BatchNorm2D, nn.SyncBatchNorm)):
            param_init.constant_init(layer.weight, value=1.0)
            param_init.constant_init(layer.bias, value=0.0)


def resize(x, hw):
    return F.interpolate(x, hw, mode='bilinear', align_corners=False)


def conv1x1_bn(in_channels, out_channels, stride=1):
    return layers.ConvBN(
        in_channels, out_channels, 1, stride=stride, padding=0, bias_attr=False)


def make_stage(block, in_channels, out_channels, num_blocks, stride=1):
    """
    Build a chain of residual blocks. The first one changes the channels and the
    resolution, and the sum of the last one is not activated.
    """
    stage = []
    for i in range(num_blocks):
        stage.append(
            block(
                in_channels if i == 0 else out_channels,
                out_channels,
                stride=stride if i == 0 else 1,
                activate=i < num_blocks - 1))
    return nn.Sequential(*stage)


class BasicBlock(nn.Layer):
    """
    Two 3x3 convolutions and a shortcut.

    Args:
        in_channels (int): The channels of the input.
        out_channels (int): The channels of the output.
        stride (int, optional): The stride of the first convolution. Default: 1.
        activate (bool, optional): Whether to activate the sum. Default: True.
    """

    def __init__(self, in_channels, out_channels, stride=1, activate=True):
        super().__init__()
        self.conv1 = layers.ConvBNReLU(
            in_channels,
            out_channels,
            3,
            stride=stride,
            padding=1,
            bias_attr=False)
        self.conv2 = layers.ConvBN(
            out_channels, out_channels, 3, padding=1, bias_attr=False)
        self.shortcut = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = conv1x1_bn(in_channels, out_channels, stride)
        self.activate = activate

    def forward(self, x):
        out = self.conv2(self.conv1(x))
        out = out + (x if self.shortcut is None else self.shortcut(x))
        return F.relu(out) if self.activate else out


class BottleneckBlock(nn.Layer):
    """
    A 1x1, a 3x3 and a 1x1 convolution and a shortcut. The inner width is half
    of the output, and the sum is never activated.

    Args:
        in_channels (int): The channels of the input.
        out_channels (int): The channels of the output, an even number.
        stride (int, optional): The stride of the 3x3 convolution. Default: 1.
        activate (bool, optional): Not used, to be called as BasicBlock is.
            Default: False.
    """

    def __init__(self, in_channels, out_channels, stride=1, activate=False):
        super().__init__()
        mid_channels = out_channels // 2
        self.conv1 = layers.ConvBNReLU(
            in_channels, mid_channels, 1, padding=0, bias_attr=False)
        self.conv2 = layers.ConvBNReLU(
            mid_channels,
            mid_channels,
            3,
            stride=stride,
            padding=1,
            bias_attr=False)
        self.conv3 = conv1x1_bn(mid_channels, out_channels)
        self.shortcut = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = conv1x1_bn(in_channels, out_channels, stride)

    def forward(self, x):
        out = self.conv3(self.conv2(self.conv1(x)))
        return out + (x if self.shortcut is None else self.shortcut(x))


class BNReLUConv(nn.Layer):
    """
    Batch normalization, ReLU and a convolution that keeps the resolution, in
    this order.

    Args:
        in_channels (int): The channels of the input.
        out_channels (int): The channels of the output.
        kernel_size (int): The size of the kernel, an odd number.
        groups (int, optional): The groups of the convolution. Default: 1.
        bias (bool, optional): Whether the convolution has a bias.
            Default: False.
    """

    def __init__(self,
                 in_channels,
                 out_channels,
                 kernel_size,
                 groups=1,
                 bias=False):
        super().__init__()
        self._batch_norm = layers.SyncBatchNorm(in_channels)
        self._relu = layers.Activation("relu")
        self._conv = nn.Conv2D(
            in_channels,
            out_channels,
            kernel_size,
            padding=kernel_size // 2,
            groups=groups,
            bias_attr=None if bias else False)

    def forward(self, x):
        return self._conv(self._relu(self._batch_norm(x)))


class PixelAttentionGuide(nn.Layer):
    """
    The pixel-attention-guided fusion (Pag, section 3.2 of the article): each
    pixel of the detail feature takes in as much of the context feature as the
    two embeddings agree there.

    Args:
        in_channels (int): The channels of both features.
        embed_channels (int): The channels of the embeddings.
    """

    def __init__(self, in_channels, embed_channels):
        super().__init__()
        self.embed_p = conv1x1_bn(in_channels, embed_channels)
        self.embed_i = conv1x1_bn(in_channels, embed_channels)

    def forward(self, p, i, hw):
        """
        Args:
            p (Tensor): The detail feature, (N, C, h, w).
            i (Tensor): The context feature, of any lower resolution.
            hw (Tensor): The resolution of the detail feature.
        """
        similarity = self.embed_p(p) * resize(self.embed_i(i), hw)
        gate = F.sigmoid(paddle.sum(similarity, axis=1, keepdim=True))
        return gate * resize(i, hw) + (1 - gate) * p


class ContextModule(nn.Layer):
    """
    What PAPPM and DAPPM share: the pooled scales, their compression and the
    shortcut around them.

    Args:
        in_channels (int): The channels of the input.
        mid_channels (int): The channels of one scale.
        out_channels (int): The channels of the output.
    """

    def __init__(self, in_channels, mid_channels, out_channels):
        super().__init__()
        # The mean of a window counts the padding, hence exclusive=False.
        self.pools = nn.LayerList([
            nn.AvgPool2D(
                kernel_size, stride, kernel_size // 2, exclusive=False)
            for kernel_size, stride in ((5, 2), (9, 4), (17, 8))
        ] + [nn.AdaptiveAvgPool2D(1)])
        self.scales = nn.LayerList([
            BNReLUConv(in_channels, mid_channels, 1)
            for _ in range(len(self.pools) + 1)
        ])
        self.compress = BNReLUConv(mid_channels * len(self.scales),
                                   out_channels, 1)
        self.shortcut = BNReLUConv(in_channels, out_channels, 1)

    def gather(self, x):
        """Return the unpooled scale, and the pooled ones at its resolution."""
        hw = paddle.shape(x)[2:]
        pooled = []
        for i, pool in enumerate(self.pools):
            pooled.append(resize(self.scales[i + 1](pool(x)), hw))
        return self.scales[0](x), pooled


class PAPPM(ContextModule):
    """
    The parallel aggregation pyramid pooling module (section 3.3): the pooled
    scales are processed side by side in one grouped convolution.
    """

    def __init__(self, in_channels, mid_channels, out_channels):
        super().__init__(in_channels, mid_channels, out_channels)
        num_pools = len(self.pools)
        self.process = BNReLUConv(
            mid_channels * num_pools,
            mid_channels * num_pools,
            3,
            groups=num_pools)

    def forward(self, x):
        base, pooled = self.gather(x)
        sums = []
        for scale in pooled:
            sums.append(scale + base)
        sums = self.process(paddle.concat(sums, axis=1))
        out = paddle.concat([base, sums], axis=1)
        return self.compress(out) + self.shortcut(x)


class DAPPM(ContextModule):
    """
    The deep aggregation pyramid pooling module of DDRNet: each pooled scale is
    processed after the previous one has been added to it.
    """

    def __init__(self, in_channels, mid_channels, out_channels):
        super().__init__(in_channels, mid_channels, out_channels)
        self.process = nn.LayerList(
            [BNReLUConv(mid_channels, mid_channels, 3) for _ in self.pools])

    def forward(self, x):
        base, pooled = self.gather(x)
        outs = [base]
        for scale, process in zip(pooled, self.process):
            outs.append(process(scale + outs[-1]))
        return self.compress(paddle.concat(outs, axis=1)) + self.shortcut(x)


class LightBoundaryFusion(nn.Layer):
    """
    The light boundary-attention-guided fusion (Light-Bag, section 3.4): where
    the boundary branch is sure of an edge, detail wins over context.

    Args:
        in_channels (int): The channels of the three features.
        out_channels (int): The channels of the output.
    """

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv_p = conv1x1_bn(in_channels, out_channels)
        self.conv_i = conv1x1_bn(in_channels, out_channels)

    def forward(self, p, i, d):
        edge = F.sigmoid(d)
        return self.conv_p((1 - edge) * i + p) + self.conv_i(i + edge * p)


class BoundaryFusion(nn.Layer):
    """
    The boundary-attention-guided fusion (Bag, section 3.4).

    Args:
        in_channels (int): The channels of the three features.
        out_channels (int): The channels of the output.
    """

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv = BNReLUConv(in_channels, out_channels, 3)

    def forward(self, p, i, d):
        edge = F.sigmoid(d)
        return self.conv(edge * p + (1 - edge) * i)
