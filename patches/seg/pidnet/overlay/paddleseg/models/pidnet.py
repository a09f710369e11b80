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

from paddleseg.cvlibs import manager
from paddleseg.models.backbones.pidnet import BNReLUConv, init_conv_bn
from paddleseg.utils import utils


@manager.MODELS.add_component
class PIDNet(nn.Layer):
    """
    The PIDNet implementation based on PaddlePaddle.

    The original article refers to
    Jiacong Xu, Zixiang Xiong, Shankar P. Bhattacharyya. "PIDNet: A Real-time
    Semantic Segmentation Network Inspired by PID Controllers"
    (https://arxiv.org/abs/2206.02066)

    The behaviour was measured on the authors' code (XuJiacong/PIDNet @ 4c158cf,
    MIT), which resizes the logits with aligned corners.

    Args:
        num_classes (int): The unique number of target classes.
        backbone (nn.Layer): The backbone network, PIDNetBackbone. It must give
            three features at one resolution: the fused one and the inputs of
            the auxiliary and of the boundary head.
        head_channels (int, optional): The inner channels of the main and of the
            auxiliary head: 128 in PIDNet-S and PIDNet-M, 256 in PIDNet-L.
            Default: 128.
        boundary_channels (int, optional): The inner channels of the boundary
            head. None takes half of its input, as the article does.
            Default: None.
        align_corners (bool, optional): An argument of F.interpolate for the
            logits. The authors train and test with True; inside the network
            corners are never aligned. Default: True.
        pretrained (str, optional): The path or url of pretrained model.
            Default: None.
    """

    def __init__(self,
                 num_classes,
                 backbone,
                 head_channels=128,
                 boundary_channels=None,
                 align_corners=True,
                 pretrained=None):
        super().__init__()
        if len(getattr(backbone, 'feat_channels', [])) != 3:
            raise ValueError(
                "The backbone of PIDNet should have three `feat_channels`, but "
                "{} has {}.".format(
                    type(backbone).__name__,
                    getattr(backbone, 'feat_channels', None)))
        self.backbone = backbone
        fused, detail, boundary = backbone.feat_channels
        self.head = PIDHead(fused, head_channels, num_classes)
        self.aux_head = PIDHead(detail, head_channels, num_classes)
        self.boundary_head = PIDHead(boundary, boundary_channels or
                                     boundary // 2, 1)
        self.align_corners = align_corners

        self.pretrained = pretrained
        self.init_weight()

    def forward(self, x):
        """
        Args:
            x (Tensor): The image, (N, in_channels, H, W). H and W are free.

        Returns:
            list[Tensor]: The logits (N, num_classes, H, W). While training also
                the auxiliary logits of the same shape and the boundary logit
                (N, 1, H, W).
        """
        hw = paddle.shape(x)[2:]
        fused, detail, boundary = self.backbone(x)
        logit_list = [self.resize(self.head(fused), hw)]
        if self.training:
            logit_list.append(self.resize(self.aux_head(detail), hw))
            logit_list.append(self.resize(self.boundary_head(boundary), hw))
        return logit_list

    def resize(self, logit, hw):
        return F.interpolate(
            logit, hw, mode='bilinear', align_corners=self.align_corners)

    def loss_computation(self, logits_list, losses, data):
        """
        Pair the logits with the four losses of the configuration, which stand
        in this order: main, auxiliary, boundary, boundary-aware.

        Args:
            logits_list (list[Tensor]): What forward gave while training.
            losses (dict): 'types' is a list of four losses, 'coef' a list of
                their four coefficients.
            data (dict): The batch. 'label' is (N, H, W), 'edge' is (N, H, W)
                with 1 on the boundaries of the label, made by AddEdgeLabel.

        Returns:
            list[Tensor]: The four weighted losses.
        """
        if len(losses['types']) != 4 or len(losses['coef']) != 4:
            raise ValueError(
                "PIDNet needs four losses, in the order main, auxiliary, "
                "boundary and boundary-aware, but the configuration has {} "
                "`types` and {} `coef`.".format(
                    len(losses['types']), len(losses['coef'])))
        if 'edge' not in data:
            raise KeyError(
                "PIDNet needs the boundaries of the label. Add `- type: "
                "AddEdgeLabel` as the first of train_dataset.transforms.")
        logit, aux_logit, boundary_logit = logits_list
        label = data['label'].astype('int64')
        # What a transform padded is no boundary, as in the reference.
        edge = (data['edge'] == 1).astype('int64')
        main, aux, boundary, boundary_aware = losses['types']
        loss_list = [
            main(logit, label),
            aux(aux_logit, label),
            boundary(boundary_logit, edge),
            boundary_aware((logit, boundary_logit), label)
        ]
        return [coef * loss for coef, loss in zip(losses['coef'], loss_list)]

    def init_weight(self):
        for head in (self.head, self.aux_head, self.boundary_head):
            init_conv_bn(head)
        if self.pretrained is not None:
            utils.load_entire_model(self, self.pretrained)


class PIDHead(nn.Layer):
    """
    A prediction head: a 3x3 and a 1x1 convolution, each after batch
    normalization and ReLU.

    Args:
        in_channels (int): The channels of the input.
        mid_channels (int): The channels between the two convolutions.
        out_channels (int): The channels of the output.
    """

    def __init__(self, in_channels, mid_channels, out_channels):
        super().__init__()
        self.conv = BNReLUConv(in_channels, mid_channels, 3)
        self.classifier = BNReLUConv(mid_channels, out_channels, 1, bias=True)

    def forward(self, x):
        return self.classifier(self.conv(x))
