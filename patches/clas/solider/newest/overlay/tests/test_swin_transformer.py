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
"""Image sizes and the export of the plain Swin Transformer."""

import numpy as np
import paddle

from ppcls.arch.backbone.legendary_models.swin_transformer import (
    SwinTransformer)


def small_swin(img_size=32):
    paddle.seed(7)
    return SwinTransformer(
        img_size=img_size,
        class_num=5,
        embed_dim=12,
        depths=[2, 2, 2],
        num_heads=[1, 2, 3],
        window_size=4,
        drop_path_rate=0.)


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


def test_an_image_that_is_not_square():
    model = small_swin((32, 64))
    model.eval()

    out = model(paddle.randn([2, 3, 32, 64]))

    assert out.shape == [2, 5]
    assert model.patch_embed.patches_resolution == [8, 16]
