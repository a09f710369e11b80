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
"""The plain Swin Transformer computes, bit by bit, what it computed before
variants could derive from it. The steps are written out here once more."""

import numpy as np
import paddle
import pytest

from ppcls.arch.backbone import SwinTransformer_tiny_patch4_window7_224
from ppcls.arch.backbone.legendary_models.swin_transformer import (
    SwinTransformer, window_partition, window_reverse)


def small_swin():
    paddle.seed(7)
    return SwinTransformer(
        img_size=32,
        class_num=5,
        embed_dim=12,
        depths=[2, 2, 2],
        num_heads=[1, 2, 3],
        window_size=4,
        drop_path_rate=0.)


def block_by_steps(block, x):
    H, W = block.input_resolution
    B, L, C = x.shape
    window, shift = block.window_size, block.shift_size

    y = block.norm1(x).reshape([B, H, W, C])
    if shift > 0:
        y = paddle.roll(y, shifts=(-shift, -shift), axis=(1, 2))
    y = window_partition(y, window).reshape([-1, window * window, C])
    y = block.attn(y, mask=block.attn_mask)
    y = y.reshape([-1, window, window, C])
    y = window_reverse(y, window, H, W, C)
    if shift > 0:
        y = paddle.roll(y, shifts=(shift, shift), axis=(1, 2))
    y = y.reshape([B, H * W, C])

    x = x + block.drop_path(y)
    return x + block.drop_path(block.mlp(block.norm2(x)))


def model_by_steps(model, x):
    x = model.pos_drop(model.patch_embed(x))
    for layer in model.layers:
        for block in layer.blocks:
            x = block_by_steps(block, x)
        if layer.downsample is not None:
            x = layer.downsample(x)
    x = model.avgpool(model.norm(x).transpose([0, 2, 1]))
    return model.head(paddle.flatten(x, 1))


def gradients(model, logits):
    logits.square().mean().backward()
    found = {
        name: param.grad.numpy()
        for name, param in model.named_parameters()
    }
    model.clear_gradients()
    return found


@pytest.mark.parametrize("training", [False, True])
def test_outputs_and_gradients_keep_every_bit(training):
    model = small_swin()
    model.train() if training else model.eval()
    x = paddle.randn([2, 3, 32, 32])

    ours, steps = model(x), model_by_steps(model, x)

    np.testing.assert_array_equal(ours.numpy(), steps.numpy())
    ours, steps = gradients(model, ours), gradients(model, steps)
    assert len(ours) == len(list(model.parameters()))
    for name in ours:
        np.testing.assert_array_equal(ours[name], steps[name], err_msg=name)


def test_tiny_model_keeps_every_bit():
    paddle.seed(7)
    model = SwinTransformer_tiny_patch4_window7_224(class_num=10)
    model.eval()
    x = paddle.randn([1, 3, 224, 224])

    with paddle.no_grad():
        ours, steps = model(x), model_by_steps(model, x)

    assert float(ours.abs().max()) > 0.01
    np.testing.assert_array_equal(ours.numpy(), steps.numpy())


def test_small_map_shrinks_the_window():
    blocks = [block for layer in small_swin().layers for block in layer.blocks]

    assert [block.window_size for block in blocks] == [4, 4, 4, 4, 2, 2]
    assert [block.shift_size for block in blocks] == [0, 2, 0, 0, 0, 0]
    assert [block.attn_mask is None
            for block in blocks] == [True, False, True, True, True, True]


def test_state_dict_has_the_same_names():
    names = sorted(small_swin().state_dict())

    block = [
        "attn.proj.bias", "attn.proj.weight", "attn.qkv.bias",
        "attn.qkv.weight", "attn.relative_position_bias_table",
        "attn.relative_position_index", "mlp.fc1.bias", "mlp.fc1.weight",
        "mlp.fc2.bias", "mlp.fc2.weight", "norm1.bias", "norm1.weight",
        "norm2.bias", "norm2.weight"
    ]
    wanted = [
        "layers.{}.blocks.{}.{}".format(i, j, name)
        for i in range(3) for j in range(2) for name in block
    ]
    wanted += ["layers.0.blocks.1.attn_mask"]
    wanted += [
        "layers.{}.downsample.{}".format(i, name)
        for i in range(2)
        for name in ("norm.bias", "norm.weight", "reduction.weight")
    ]
    wanted += [
        "{}.{}".format(layer, name)
        for layer in ("head", "norm", "patch_embed.norm", "patch_embed.proj")
        for name in ("bias", "weight")
    ]
    assert names == sorted(wanted)


def test_static_graph_gives_the_same():
    model = small_swin()
    model.eval()
    x = paddle.randn([2, 3, 32, 32])
    dygraph = model(x).numpy()

    spec = [paddle.static.InputSpec([None, 3, 32, 32], "float32")]
    static = paddle.jit.to_static(model, input_spec=spec, full_graph=True)

    np.testing.assert_allclose(
        static(x).numpy(), dygraph, rtol=1e-5, atol=1e-6)


def test_exported_position_bias_is_that_of_dygraph(tmp_path):
    """tools/export_model.py calls eval of every sublayer, which gives each
    WindowAttention its position bias as a buffer."""
    model = small_swin()
    for layer in model.sublayers():
        if hasattr(layer, "relative_position_bias_table"):
            table = layer.relative_position_bias_table
            table.set_value(paddle.randn(table.shape))
    model.eval()
    for layer in model.sublayers():
        layer.eval()
        layer.training = False
    x = paddle.randn([2, 3, 32, 32])
    dygraph = model(x).numpy()

    spec = [paddle.static.InputSpec([None, 3, 32, 32], "float32")]
    static = paddle.jit.to_static(model, input_spec=spec, full_graph=True)
    paddle.jit.save(static, str(tmp_path / "swin"))
    loaded = paddle.jit.load(str(tmp_path / "swin"))
    loaded.eval()

    np.testing.assert_allclose(
        loaded(x).numpy(), dygraph, rtol=1e-4, atol=1e-5)
