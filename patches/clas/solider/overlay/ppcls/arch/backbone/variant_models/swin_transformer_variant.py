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

# reference: https://arxiv.org/abs/2303.17602

import numbers
import os
import warnings

import numpy as np
import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from ..legendary_models.swin_transformer import (
    BasicLayer, PatchMerging, SwinTransformer, SwinTransformerBlock)
from ..model_zoo.vision_transformer import to_2tuple
from ....utils.download import get_weights_path_from_url

__all__ = [
    "SwinTransformer_tiny_patch4_window7_224_SOLIDER",
    "SwinTransformer_small_patch4_window7_224_SOLIDER",
    "SwinTransformer_base_patch4_window7_224_SOLIDER"
]


def round_up(size, multiple):
    return -(-size // multiple) * multiple


def pad_map(x, resolution, multiple):
    """Zero-pad a feature map at the bottom and at the right.

    Args:
        x: (B, H, W, C)
        resolution (tuple[int]): H and W.
        multiple (int): What both become a multiple of.

    Returns:
        x: (B, H', W', C)
    """
    for axis in (1, 2):
        size = resolution[axis - 1]
        missing = round_up(size, multiple) - size
        if missing > 0:
            shape = [-1] * 4
            shape[axis] = missing
            # not F.pad: SOT of Paddle 2.6 cannot translate the gradient of
            # its form for all axes, and Paddle2ONNX takes no data_format of
            # the other
            line = x[:, :1] if axis == 1 else x[:, :, :1]
            x = paddle.concat([x, paddle.zeros_like(line).expand(shape)], axis)
    return x


def softplus(x):
    """log(1 + exp(x)), in operators that every Paddle2ONNX converts: 2.1
    refuses the softplus of Paddle 3. The gradient at 0 is right, too."""
    size = x.abs()
    return (x + size) / 2 + paddle.log1p(paddle.exp(-size))


def freeze(layer):
    for param in layer.parameters():
        param.stop_gradient = True


def refuse_weight(value):
    raise ValueError(
        "semantic_weight must be in [0, 1], but got {}. To switch the "
        "semantic layers off, build the model with semantic_weight=None.".
        format(value))


def read_weight(value):
    """The float of a number, or of an array or Tensor with one element."""
    try:
        number = float("nan" if isinstance(value, str) else value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 <= number <= 1:
        refuse_weight(repr(value) if isinstance(value, str) else value)
    return number


@paddle.jit.not_to_static
def check_input(x, semantic_weight, model):
    """
    Returns:
        The semantic_weight of the call as a float or a Tensor, None if it
        gives none. The values of a Tensor are checked in dygraph alone.
    """
    B, C, H, W = x.shape
    if H != model.image_size[0] or W != model.image_size[1]:
        raise ValueError(
            "The model was built with img_size={}, but got images of {}. "
            "Build it with img_size=(H, W) of the images: the weights fit "
            "any size.".format(list(model.image_size), [H, W]))
    if semantic_weight is None:
        return None
    if model.semantic_weight is None:
        raise ValueError("The model has no semantic layers. Build it with a "
                         "semantic_weight in [0, 1] to set one here.")
    if isinstance(semantic_weight, (numbers.Real, str)):
        return read_weight(semantic_weight)
    if isinstance(semantic_weight, (list, tuple, np.ndarray)):
        semantic_weight = paddle.to_tensor(semantic_weight)
    shape = list(semantic_weight.shape)
    if len(shape) > 1 or (shape and shape[0] not in (1, B)):
        raise ValueError(
            "semantic_weight must be a number or have the shape {}, but its "
            "shape is {}.".format([B], shape))
    if paddle.in_dynamic_mode():
        values = semantic_weight.numpy()
        if not ((values >= 0) & (values <= 1)).all():
            refuse_weight(values.tolist())
    return semantic_weight


class PaddedSwinTransformerBlock(SwinTransformerBlock):
    """ Swin Transformer Block that keeps its window and its shift on every
        feature map and zero-pads the map to whole windows.

    Args:
        dim (int): Number of input channels.
        input_resolution (tuple[int]): Input resulotion.
        num_heads (int): Number of attention heads.
        window_size (int): Window size. Default: 7
        kwargs: The other arguments of SwinTransformerBlock.
    """

    def __init__(self,
                 dim,
                 input_resolution,
                 num_heads,
                 window_size=7,
                 **kwargs):
        padded = tuple(
            round_up(size, window_size) for size in input_resolution)
        super().__init__(
            dim, padded, num_heads, window_size, shrink_window=False, **kwargs)
        self.input_resolution = input_resolution
        # it follows from the image size, so a checkpoint must not hold it
        self.register_buffer("attn_mask", self.attn_mask, persistable=False)

    def window_attention(self, x):
        H, W = self.input_resolution
        x = pad_map(x, self.input_resolution, self.window_size)
        x = SwinTransformerBlock.window_attention(self, x)
        return x[:, :H, :W, :]


class PaddedPatchMerging(PatchMerging):
    """ Patch Merging Layer that zero-pads a feature map of odd size and orders
        the four pixels as nn.Unfold does in the reference: channel, row,
        column.

    Args:
        input_resolution (tuple[int]): Resolution of input feature.
        dim (int): Number of input channels.
        norm_layer (nn.Layer, optional): Normalization layer.
            Default: nn.LayerNorm
    """

    def __init__(self, input_resolution, dim, norm_layer=nn.LayerNorm):
        even = tuple(round_up(size, 2) for size in input_resolution)
        super().__init__(even, dim, norm_layer)
        self.map_resolution = input_resolution

    def forward(self, x):
        """
        x: B, H*W, C
        """
        H, W = self.map_resolution
        C = self.dim
        x = pad_map(x.reshape([-1, H, W, C]), self.map_resolution, 2)
        H, W = self.input_resolution
        x = x.reshape([-1, H // 2, 2, W // 2, 2, C])
        x = x.transpose([0, 1, 3, 5, 2, 4])
        x = x.reshape([-1, H // 2 * (W // 2), 4 * C])
        return self.reduction(self.norm(x))


class SOLIDERLayer(BasicLayer):
    """ A basic Swin Transformer layer for one stage, which also gives the
        feature map before the downsampling.

    Args:
        downsample (nn.Layer | None, optional): PaddedPatchMerging takes its
            place if it is not None. Default: None
        kwargs: The other arguments of BasicLayer.
    """

    def __init__(self, downsample=None, **kwargs):
        super().__init__(
            downsample=None if downsample is None else PaddedPatchMerging,
            block_class=PaddedSwinTransformerBlock,
            **kwargs)

    def forward(self, x):
        """
        Args:
            x: (B, H*W, C)

        Returns:
            x: The input of the next stage, (B, H*W/4, 2*C), or (B, H*W, C) in
                the last one.
            out: The tokens of this stage, (B, H*W, C).
        """
        for blk in self.blocks:
            x = blk(x)
        out = x
        if self.downsample is not None:
            x = self.downsample(x)
        return x, out


class SwinTransformerSOLIDER(SwinTransformer):
    """ Swin Transformer with the semantic controller of SOLIDER
        A PaddlePaddle impl of : `Beyond Appearance: a Semantic Controllable
        Self-Supervised Learning Framework for Human-Centric Visual Tasks`
        (section 3.3) - https://arxiv.org/abs/2303.17602
        Aligned with swin_transformer.py of
        https://github.com/tinyvision/SOLIDER @ b8779cc (Apache-2.0).

    It differs from SwinTransformer in five points:
        - after the stages 1 to 3 the tokens x become x * softplus(w) + b,
          where w and b are linear in (semantic_weight, 1 - semantic_weight);
        - the output of every stage has a LayerNorm of its own, norm0 to norm3;
        - windows are never shrunk: feature maps are zero-padded to whole
          windows, patches and pairs of patches, so any image size works, and
          the parameters do not depend on it;
        - the blocks of the last stage shift their window, too;
        - PatchMerging orders its channels as the reference does.

    The parameters are those of the reference. What the chosen outputs do not
    read is frozen, so that multi-card training meets no unused parameter:
    semantic_embed_w.3 and semantic_embed_b.3 always (the reference computes a
    fourth modulation and drops it), norm0 to norm2 if return_stages is False.

    Args:
        img_size (int | tuple(int)): Input image size, (H, W) if a tuple. Other
            sizes are refused. Default: 224
        patch_size (int): Patch token size. Default: 4
        in_chans (int): Number of input image channels. Default: 3
        class_num (int): Number of classes for classification head, 0 for the
            global feature. Default: 1000
        embed_dim (int): Patch embedding dimension. Default: 96
        depths (tuple(int)): Depth of each Swin Transformer layer.
        num_heads (tuple(int)): Number of attention heads in different layers.
        window_size (int): Window size. Default: 7
        drop_rate (float): Dropout rate. Default: 0
        attn_drop_rate (float): Attention dropout rate. Default: 0
        drop_path_rate (float): Stochastic depth rate. Default: 0
        semantic_weight (float | None): Share of semantic information in
            [0, 1], the rest is appearance; the paper takes more of it for
            parsing and less for re-identification. None builds no semantic
            layers. Default: 0.0
        return_stages (bool): Whether forward also gives the feature map of
            each stage. Default: False

    Raises:
        ValueError: If img_size is not positive, or semantic_weight is not in
            [0, 1].
    """

    def __init__(self,
                 img_size=224,
                 patch_size=4,
                 in_chans=3,
                 class_num=1000,
                 embed_dim=96,
                 depths=[2, 2, 6, 2],
                 num_heads=[3, 6, 12, 24],
                 window_size=7,
                 drop_rate=0.,
                 attn_drop_rate=0.,
                 drop_path_rate=0.,
                 semantic_weight=0.0,
                 return_stages=False):
        image_size = tuple(img_size) if isinstance(
            img_size, (list, tuple)) else to_2tuple(img_size)
        if len(image_size) != 2 or not all(
                isinstance(size, numbers.Integral) and size > 0
                for size in image_size):
            raise ValueError(
                "img_size must be a positive size or (height, width), but got "
                "{!r}.".format(img_size))
        super().__init__(
            img_size=tuple(round_up(size, patch_size) for size in image_size),
            patch_size=patch_size,
            in_chans=in_chans,
            class_num=class_num,
            embed_dim=embed_dim,
            depths=depths,
            num_heads=num_heads,
            window_size=window_size,
            drop_rate=drop_rate,
            attn_drop_rate=attn_drop_rate,
            drop_path_rate=drop_path_rate,
            layer_class=SOLIDERLayer)
        self.image_size = image_size
        self.padding = [
            0, self.patch_embed.img_size[1] - image_size[1], 0,
            self.patch_embed.img_size[0] - image_size[0]
        ]
        self.return_stages = return_stages
        if semantic_weight is not None:
            semantic_weight = read_weight(semantic_weight)
        self.semantic_weight = semantic_weight

        del self.norm  # norm3 is that of the last stage
        widths = [layer.dim for layer in self.layers]
        for i, width in enumerate(widths):
            self.add_sublayer("norm{}".format(i), nn.LayerNorm(width))
            if not return_stages and i < self.num_layers - 1:
                freeze(getattr(self, "norm{}".format(i)))

        if semantic_weight is None:
            return
        widths = widths[1:] + widths[-1:]
        self.semantic_embed_w = nn.LayerList(
            [nn.Linear(2, width) for width in widths])
        self.semantic_embed_b = nn.LayerList(
            [nn.Linear(2, width) for width in widths])
        self.semantic_embed_w.apply(self._init_weights)
        self.semantic_embed_b.apply(self._init_weights)
        freeze(self.semantic_embed_w[-1])
        freeze(self.semantic_embed_b[-1])

    def control(self, x, semantic_weight):
        """
        Args:
            x: The tokens, only their dtype is read.
            semantic_weight: A number, a Tensor, or None for the one of the
                constructor.

        Returns:
            (semantic_weight, 1 - semantic_weight) of the images, (B, 2), or
            (1, 2) for a number. None if there are no semantic layers.
        """
        if self.semantic_weight is None:
            return None
        if semantic_weight is None:
            semantic_weight = self.semantic_weight
        if isinstance(semantic_weight, numbers.Real):
            semantic_weight = paddle.full(
                [1, 1], semantic_weight, dtype=x.dtype)
        else:
            semantic_weight = semantic_weight.astype(x.dtype).reshape([-1, 1])
        return paddle.concat([semantic_weight, 1 - semantic_weight], axis=1)

    def forward_stages(self, x, semantic_weight=None):
        """
        Args:
            x: The images, (B, 3, H, W).
            semantic_weight: See forward.

        Returns:
            The tokens of each stage before its norm, a list of
            (B, H_i*W_i, C_i).
        """
        semantic_weight = check_input(x, semantic_weight, self)
        if self.patch_embed.img_size != self.image_size:
            x = F.pad(x, self.padding)
        x = self.pos_drop(self.patch_embed(x))

        control = self.control(x, semantic_weight)
        outs = []
        for i, layer in enumerate(self.layers):
            x, out = layer(x)
            outs.append(out)
            if self.semantic_weight is not None and i < self.num_layers - 1:
                weight = self.semantic_embed_w[i](control).unsqueeze(1)
                bias = self.semantic_embed_b[i](control).unsqueeze(1)
                x = x * softplus(weight) + bias
        return outs

    def norm_stage(self, out, i):
        """
        Args:
            out: The tokens of stage i, (B, H_i*W_i, C_i).
            i (int): Index of the stage.

        Returns:
            The normalized feature map of that stage, (B, H_i, W_i, C_i).
        """
        H, W = self.layers[i].input_resolution
        out = getattr(self, "norm{}".format(i))(out)
        return out.reshape([-1, H, W, self.layers[i].dim])

    def pool(self, x):
        # two short sums round less than one over all tokens
        return x.mean(1).mean(1)

    def forward_features(self, x, semantic_weight=None):
        outs = self.forward_stages(x, semantic_weight)
        return self.pool(self.norm_stage(outs[-1], self.num_layers - 1))

    def forward(self, x, semantic_weight=None):
        """
        Args:
            x: The images, (B, 3, H, W).
            semantic_weight: A number in [0, 1], or an array or Tensor of shape
                (B) with one for each image, of any float or integer dtype.
                None takes the one of the constructor. A static program cannot
                refuse values out of range.

        Returns:
            The logits, (B, class_num), or the global feature, (B, C), if
            class_num is 0.
            If return_stages is True a dict: "logits" is the same, "stages" is
            a list of the normalized feature maps (B, C_i, H_i, W_i) of stride
            4, 8, 16 and 32.

        Raises:
            ValueError: If the image size is not that of the constructor, or
                semantic_weight is out of range or has another shape.
        """
        if not self.return_stages:
            return self.head(self.forward_features(x, semantic_weight))

        stages = []
        for i, out in enumerate(self.forward_stages(x, semantic_weight)):
            out = self.norm_stage(out, i)
            stages.append(out.transpose([0, 3, 1, 2]))
        return {"logits": self.head(self.pool(out)), "stages": stages}


def _first(items, count=5):
    """The first of a list of texts, and how many more there are."""
    items = list(items)
    more = len(items) - count
    return "; ".join(items[:count]) + ("; and {} more".format(more)
                                       if more > 0 else "")


def _select_backbone(state_dict, path):
    """
    Returns:
        (the tensors of the backbone without what a wrapper or a whole model
        puts before their names, like "module." or "backbone.", the names that
        do not belong to the backbone).
    """
    anchor = "patch_embed.proj.weight"
    prefixes = [
        name[:-len(anchor)] for name in state_dict
        if name == anchor or name.endswith("." + anchor)
    ]
    if len(prefixes) != 1:
        raise ValueError(
            "{} holds {} SOLIDER backbones, it should hold one: the names "
            "that end in {} are counted. It has {}. Convert an official "
            "checkpoint with `python -m ppcls.utils.convert_solider`.".format(
                path, len(prefixes), anchor, _first(sorted(state_dict))))
    prefix = prefixes[0]
    state = {
        name[len(prefix):]: value
        for name, value in state_dict.items() if name.startswith(prefix)
    }
    return state, [n for n in state_dict if not n.startswith(prefix)]


def _unused(name, model):
    """Whether the model does without this tensor of a fitting checkpoint."""
    # the masks and the biases of eval follow from other tensors; PaddleClas
    # 2.6 saves a `norm` that its SOLIDER does not use
    if name.endswith((".attn_mask", ".relative_position_bias")):
        return True
    if name.startswith("semantic_embed_"):
        return model.semantic_weight is None
    return name.startswith(("head.", "norm."))


def _load_pretrained(pretrained, model):
    if pretrained is False or pretrained is None:
        return
    if not isinstance(pretrained, (str, os.PathLike)):
        raise ValueError(
            "There are no SOLIDER weights for pretrained={}. Convert an "
            "official checkpoint with `python -m ppcls.utils.convert_solider` "
            "and give the path of the result.".format(pretrained))
    path = os.fspath(pretrained)
    if path.startswith(("http://", "https://")):
        path = get_weights_path_from_url(path)
    path = path if path.endswith(".pdparams") else path + ".pdparams"
    if not os.path.exists(path):
        raise ValueError("Model pretrain path {} does not exist.".format(path))
    state_dict = paddle.load(path)
    if not isinstance(state_dict, dict):
        raise ValueError("{} holds no state dict.".format(path))
    state, skipped = _select_backbone(state_dict, path)

    taken, fresh, wrong = [], [], []
    for name, param in model.state_dict().items():
        if name not in state:
            problem = "{} is missing".format(name)
        elif list(state[name].shape) != list(param.shape):
            problem = "{} has shape {}, the model wants {}".format(
                name, list(state[name].shape), list(param.shape))
        else:
            taken.append((param, state[name]))
            continue
        # a new head is trained, all the rest must be there
        (fresh if name.startswith("head.") else wrong).append(problem)
    for name in set(state) - set(model.state_dict()):
        if _unused(name, model):
            skipped.append(name)
        else:
            wrong.append("{} is unknown".format(name))
    if wrong:
        raise ValueError("{} does not fit the model: {}.".format(
            path, _first(sorted(wrong))))

    for param, value in taken:
        param.set_value(paddle.to_tensor(value).astype(param.dtype))
    if fresh:
        warnings.warn("{}: the head keeps its initial values: {}.".format(
            path, _first(fresh)))
    if skipped:
        warnings.warn(
            "{}: not used: {}.".format(path, _first(sorted(skipped))))


def SwinTransformer_tiny_patch4_window7_224_SOLIDER(pretrained=False,
                                                    **kwargs):
    model = SwinTransformerSOLIDER(
        embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], **kwargs)
    _load_pretrained(pretrained, model)
    return model


def SwinTransformer_small_patch4_window7_224_SOLIDER(pretrained=False,
                                                     **kwargs):
    model = SwinTransformerSOLIDER(
        embed_dim=96, depths=[2, 2, 18, 2], num_heads=[3, 6, 12, 24], **kwargs)
    _load_pretrained(pretrained, model)
    return model


def SwinTransformer_base_patch4_window7_224_SOLIDER(pretrained=False,
                                                    **kwargs):
    model = SwinTransformerSOLIDER(
        embed_dim=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        **kwargs)
    _load_pretrained(pretrained, model)
    return model
