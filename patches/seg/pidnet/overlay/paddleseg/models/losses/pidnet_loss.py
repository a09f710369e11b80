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
from paddle import nn
import paddle.nn.functional as F

from paddleseg.cvlibs import manager


class PixelLoss(nn.Layer):
    """
    What the three semantic losses of PIDNet share: the class-weighted negative
    log-likelihood of every pixel.

    Args:
        weight (tuple|list, optional): A manual rescaling weight given to each
            class. Its length must be equal to the number of classes. The
            weights belong to one data set. Default: None.
        ignore_index (int, optional): Specifies a target value that is ignored
            and does not contribute to the input gradient. Default: 255.
    """

    def __init__(self, weight=None, ignore_index=255):
        super().__init__()
        self.ignore_index = ignore_index
        self.weight = None
        if weight is not None:
            self.weight = paddle.to_tensor(weight, dtype='float32')

    def pixel_loss(self, logit, label):
        """
        Args:
            logit (Tensor): (N, C, H, W).
            label (Tensor): (N, H, W) or (N, 1, H, W), integers in [0, C) or
                ignore_index.

        Returns:
            tuple[Tensor]: The loss, the probability of the true class and
                whether the pixel is valid, each (N * H * W, ). The loss is
                zero and the probability meaningless where it is not valid.
        """
        if logit.shape[1] < 2:
            raise ValueError(
                "The softmax of one class is always 1, so {} would be 0. Give "
                "the background a class of its own: `num_classes: 2`.".format(
                    type(self).__name__))
        if self.weight is not None and len(self.weight) != logit.shape[1]:
            raise ValueError(
                "The number of class weights in {} is {}, but the model has {} "
                "classes. Class weights belong to one data set: give one for "
                "each of your classes in the `weight` of the loss, or remove "
                "it.".format(
                    type(self).__name__, len(self.weight), logit.shape[1]))
        if label.ndim == logit.ndim - 1:
            label = paddle.unsqueeze(label, 1)
        valid = label != self.ignore_index
        label = paddle.where(valid, label, paddle.zeros_like(label))
        nll = F.cross_entropy(logit, label, reduction='none', axis=1)
        nll = nll.reshape([-1])
        valid = valid.reshape([-1])
        prob = paddle.exp(-nll.detach())

        loss = nll * valid.astype(nll.dtype)
        if self.weight is not None:
            loss = loss * paddle.gather(self.weight, label.reshape(
                [-1])).astype(nll.dtype)
        return loss, prob, valid


class OhemLoss(PixelLoss):
    """
    The online hard example mining of PIDNet, see PIDNetOhemLoss for the
    arguments.
    """

    def __init__(self,
                 weight=None,
                 thresh=0.9,
                 min_kept=131072,
                 ignore_index=255):
        super().__init__(weight=weight, ignore_index=ignore_index)
        if min_kept < 1:
            raise ValueError(
                "`min_kept` should be at least 1, but got {}.".format(min_kept))
        self.thresh = thresh
        self.min_kept = min_kept

    def ohem(self, logit, label):
        """
        Args:
            logit (Tensor): (N, C, H, W).
            label (Tensor): (N, H, W) or (N, 1, H, W).

        Returns:
            Tensor: The mean loss of the hard pixels. Zero if there is none.
        """
        loss, prob, valid = self.pixel_loss(logit, label)
        # Beyond every probability, so that ignored pixels are sorted last.
        prob = paddle.where(valid, prob, paddle.full_like(prob, 2.))
        last = paddle.sum(valid.astype('int64')) - 1
        kth = paddle.clip(last, min=0, max=self.min_kept).reshape([1])
        thresh = paddle.clip(
            paddle.gather(paddle.sort(prob), kth), min=self.thresh)

        hard = paddle.logical_and(valid, prob < thresh)
        num_hard = paddle.sum(hard.astype('int64'))
        loss = paddle.sum(loss * hard.astype(loss.dtype))
        return loss / paddle.clip(num_hard, min=1).astype(loss.dtype)


@manager.LOSSES.add_component
class PIDNetOhemLoss(OhemLoss):
    """
    The main loss of PIDNet: class-weighted cross entropy, averaged over the
    hard pixels. A pixel is hard if the probability of its true class is below
    `thresh` or among the `min_kept` lowest of the batch.

    The reference is `OhemCrossEntropy` of XuJiacong/PIDNet @ 4c158cf. Unlike
    OhemCrossEntropyLoss, it has class weights, does not fall back to all pixels
    when fewer than `min_kept` are valid, and does not add an epsilon.

    Args:
        weight (tuple|list, optional): A manual rescaling weight given to each
            class. Its length must be equal to the number of classes.
            Default: None.
        thresh (float, optional): The probability below which a pixel is hard.
            Default: 0.9.
        min_kept (int, optional): The number of pixels that are kept at least,
            in one batch of one card. Default: 131072.
        ignore_index (int, optional): Specifies a target value that is ignored
            and does not contribute to the input gradient. Default: 255.
    """

    def __init__(self,
                 weight=None,
                 thresh=0.9,
                 min_kept=131072,
                 ignore_index=255):
        super().__init__(
            weight=weight,
            thresh=thresh,
            min_kept=min_kept,
            ignore_index=ignore_index)

    def forward(self, logit, label):
        """
        Args:
            logit (Tensor): (N, C, H, W).
            label (Tensor): (N, H, W) or (N, 1, H, W), integers in [0, C) or
                ignore_index.

        Returns:
            Tensor: The loss. Zero if no pixel is hard.
        """
        return self.ohem(logit, label)


@manager.LOSSES.add_component
class PIDNetAuxLoss(PixelLoss):
    """
    The auxiliary loss of PIDNet: class-weighted cross entropy, averaged over
    all pixels.

    As in the reference (`OhemCrossEntropy` of XuJiacong/PIDNet @ 4c158cf), the
    sum is divided by the number of all pixels, the ignored ones included, and
    not by the sum of class weights as CrossEntropyLoss does it.

    Args:
        weight (tuple|list, optional): A manual rescaling weight given to each
            class. Its length must be equal to the number of classes.
            Default: None.
        ignore_index (int, optional): Specifies a target value that is ignored
            and does not contribute to the input gradient. Default: 255.
    """

    def __init__(self, weight=None, ignore_index=255):
        super().__init__(weight=weight, ignore_index=ignore_index)

    def forward(self, logit, label):
        """
        Args:
            logit (Tensor): (N, C, H, W).
            label (Tensor): (N, H, W) or (N, 1, H, W), integers in [0, C) or
                ignore_index.

        Returns:
            Tensor: The loss.
        """
        return paddle.mean(self.pixel_loss(logit, label)[0])


@manager.LOSSES.add_component
class PIDNetBoundaryLoss(nn.Layer):
    """
    The boundary loss of PIDNet: binary cross entropy, in which boundary pixels
    and the others weigh as much as the share of the opposite in the batch.

    The reference is `weighted_bce` of XuJiacong/PIDNet @ 4c158cf. Its factor 20
    belongs to the coefficients of the configuration here.

    Args:
        ignore_index (int, optional): Not used: SegBuilder gives the one of the
            data set to every loss, and a class 0 or 1 that is ignored there is
            no value of the edge label. Default: 255.
    """

    def __init__(self, ignore_index=255):
        super().__init__()

    def forward(self, logit, edge):
        """
        Args:
            logit (Tensor): (N, 1, H, W).
            edge (Tensor): (N, H, W) or (N, 1, H, W), 1 on boundaries, 0 off
                them. Any other value is ignored.

        Returns:
            Tensor: The loss.
        """
        logit = logit.reshape([-1])
        edge = edge.reshape([-1])
        on_edge = edge == 1
        valid = paddle.logical_or(on_edge, edge == 0)
        num_valid = paddle.sum(valid.astype('int64'))
        num_edge = paddle.sum(on_edge.astype('int64'))

        valid = valid.astype(logit.dtype)
        on_edge = on_edge.astype(logit.dtype)
        total = paddle.clip(num_valid, min=1).astype(logit.dtype)
        edge_share = num_edge.astype(logit.dtype) / total
        weight = on_edge * (1 - edge_share) + (valid - on_edge) * edge_share
        loss = F.binary_cross_entropy_with_logits(
            logit, on_edge, reduction='none')
        return paddle.sum(loss * weight) / total


@manager.LOSSES.add_component
class PIDNetBoundaryAwareLoss(OhemLoss):
    """
    The boundary-aware loss of PIDNet: the main loss on those pixels alone that
    the boundary head is sure about.

    The reference is `FullModel` of XuJiacong/PIDNet @ 4c158cf, which fails when
    there is no such pixel. Here the loss is zero then.

    Args:
        weight (tuple|list, optional): A manual rescaling weight given to each
            class. Its length must be equal to the number of classes.
            Default: None.
        thresh (float, optional): The probability below which a pixel is hard.
            Default: 0.9.
        min_kept (int, optional): The number of pixels that are kept at least,
            in one batch of one card. Default: 131072.
        boundary_thresh (float, optional): The probability of a boundary above
            which a pixel counts. Default: 0.8.
        ignore_index (int, optional): Specifies a target value that is ignored
            and does not contribute to the input gradient. Default: 255.
    """

    def __init__(self,
                 weight=None,
                 thresh=0.9,
                 min_kept=131072,
                 boundary_thresh=0.8,
                 ignore_index=255):
        super().__init__(
            weight=weight,
            thresh=thresh,
            min_kept=min_kept,
            ignore_index=ignore_index)
        self.boundary_thresh = boundary_thresh

    def boundary_label(self, boundary_logit, label):
        """
        Keep the label where a boundary is found, ignore_index elsewhere.

        Args:
            boundary_logit (Tensor): (N, 1, H, W).
            label (Tensor): (N, H, W) or (N, 1, H, W).

        Returns:
            Tensor: (N, 1, H, W).
        """
        if label.ndim == boundary_logit.ndim - 1:
            label = paddle.unsqueeze(label, 1)
        found = F.sigmoid(boundary_logit.detach()) > self.boundary_thresh
        return paddle.where(found, label,
                            paddle.full_like(label, self.ignore_index))

    def forward(self, logits, label):
        """
        Args:
            logits (tuple|list): (logit, boundary_logit), of shape (N, C, H, W)
                and (N, 1, H, W). No gradient flows to the second.
            label (Tensor): (N, H, W) or (N, 1, H, W), integers in [0, C) or
                ignore_index.

        Returns:
            Tensor: The loss. Zero if there is no such pixel.
        """
        logit, boundary_logit = logits
        return self.ohem(logit, self.boundary_label(boundary_logit, label))
