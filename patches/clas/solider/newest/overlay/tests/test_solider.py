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
"""SOLIDER runs where the tensors are, at the size that it is built for."""

import numpy as np
import paddle
import pytest

from ppcls.arch.backbone.variant_models.swin_transformer_variant import (
    SwinTransformer_SOLIDER)


def build(img_size=64, **kwargs):
    paddle.seed(7)
    model = SwinTransformer_SOLIDER(
        img_size=img_size,
        embed_dim=12,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 3, 4],
        window_size=2,
        **kwargs)
    model.eval()
    return model


@pytest.mark.parametrize("img_size", [64, 128, (64, 128)])
def test_features_at_the_size_of_the_image(img_size):
    model = build(img_size)
    height, width = img_size if isinstance(img_size,
                                           tuple) else (img_size, ) * 2

    out = model(paddle.randn([2, 3, height, width]))

    assert out.shape[0] == 2
    assert np.isfinite(out.numpy()).all()


def test_the_semantic_weight_stays_on_the_device_of_the_image():
    x = paddle.randn([2, 3, 64, 64])

    outs = [build(semantic_weight=weight)(x).numpy() for weight in (0.0, 1.0)]

    assert np.abs(outs[0] - outs[1]).max() > 1e-6


def test_each_image_may_have_a_weight_of_its_own():
    x = paddle.randn([2, 3, 64, 64])
    wanted = [build(semantic_weight=w)(x).numpy() for w in (0.25, 0.75)]

    weights = paddle.to_tensor([[0.25, 0.75], [0.75, 0.25]])
    found = build(semantic_weight=1.0)(x, weights).numpy()

    np.testing.assert_allclose(found[0], wanted[0][0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1], wanted[1][1], rtol=1e-5, atol=1e-6)
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-6


def test_the_size_of_the_image_changes_no_parameter():
    shapes = [{
        name: tuple(param.shape)
        for name, param in build(size).named_parameters()
    } for size in (64, 128)]

    assert shapes[0] == shapes[1]
