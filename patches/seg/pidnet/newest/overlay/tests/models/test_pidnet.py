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
PIDNet at sizes that are multiples of 8 and at others, in dygraph, trained and
exported. Run from the root of PaddleSeg:

    python -m pytest tests/models/test_pidnet.py
"""

import numpy as np
import paddle
import pytest
from paddle.static import InputSpec

from paddleseg.models import PIDNet
from paddleseg.models.backbones import pidnet


def build():
    paddle.seed(3)
    backbone = pidnet.PIDNet(
        channels=4,
        ppm_channels=4,
        num_stem_blocks=2,
        num_branch_blocks=3,
        align_corners=False)
    return PIDNet(num_classes=3, backbone=backbone, head_channels=8)


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (70, 64)])
def test_scores_have_the_size_of_the_picture(size):
    model = build()
    model.eval()

    scores = model(paddle.randn([1, 3, *size]))[0]

    assert scores.shape == [1, 3, *size]
    assert np.isfinite(scores.numpy()).all()


def test_a_step_of_training_at_an_odd_size():
    model = build()
    model.train()

    outs = model(paddle.randn([2, 3, 65, 97]))
    sum(out.square().mean() for out in outs).backward()

    assert [out.shape[2:] for out in outs] == [[65, 97]] * 3
    first = model.parameters()[0].grad
    assert first is not None and float(first.abs().sum()) > 0


def test_the_exported_program_takes_every_size(tmp_path):
    model = build()
    model.eval()
    pictures = [paddle.randn([1, 3, 64, 64]), paddle.randn([1, 3, 65, 97])]
    wanted = [model(picture)[0].numpy() for picture in pictures]

    spec = [InputSpec([None, 3, None, None], "float32")]
    static = paddle.jit.to_static(model, input_spec=spec, full_graph=True)
    paddle.jit.save(static, str(tmp_path / "pidnet"))
    loaded = paddle.jit.load(str(tmp_path / "pidnet"))

    for picture, scores in zip(pictures, wanted):
        found = loaded(picture)
        found = found[0] if isinstance(found, (list, tuple)) else found
        np.testing.assert_allclose(found.numpy(), scores, rtol=1e-4, atol=1e-5)
