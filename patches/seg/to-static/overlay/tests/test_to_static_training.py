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
"""Train a tiny BiSeNetV2 by tools/train.py with and without @to_static."""

import os
import re
import subprocess
import sys

import cv2
import numpy as np
import paddle
import pytest

from paddleseg.models import GSCNN
from paddleseg.models.backbones import ResNet18_vd
from paddleseg.models.losses import CrossEntropyLoss
from paddleseg.utils import utils

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
APPLIED = 'Successfully applied @to_static'
CONFIG = """
batch_size: 2
iters: 4
{extra}
train_dataset:
  type: Dataset
  dataset_root: {root}
  train_path: {root}/train.txt
  num_classes: 3
  mode: train
  transforms:
    - type: Normalize
val_dataset:
  type: Dataset
  dataset_root: {root}
  val_path: {root}/val.txt
  num_classes: 3
  mode: val
  transforms:
    - type: Normalize
model:
  type: BiSeNetV2
  num_classes: 3
optimizer:
  type: SGD
lr_scheduler:
  type: PolynomialDecay
  learning_rate: 0.001
loss:
  types:
    - type: CrossEntropyLoss
  coef: [1, 1, 1, 1, 1]
"""


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    generator = np.random.RandomState(0)
    lines = []
    for i in range(6):
        # the last two, for validation, have sizes of their own
        regions = (4, max(i, 4))
        label = np.kron(generator.randint(0, 3, regions), np.ones((16, 16)))
        noise = generator.randint(0, 60, label.shape + (3, ))
        image = label[..., None] * 80 + noise
        cv2.imwrite(str(root / '{}.jpg'.format(i)), image.astype('uint8'))
        cv2.imwrite(str(root / '{}.png'.format(i)), label.astype('uint8'))
        lines.append('{0}.jpg {0}.png'.format(i))
    (root / 'train.txt').write_text('\n'.join(lines[:4]))
    (root / 'val.txt').write_text('\n'.join(lines[4:]))
    return root


def run(dataset, save_dir, *args, extra=''):
    config = save_dir / 'config.yml'
    config.write_text(CONFIG.format(root=dataset, extra=extra))
    # Whole graph: what happens inside is then the same on every Python.
    env = dict(os.environ, PYTHONPATH=ROOT, ENABLE_FALL_BACK='False')
    done = subprocess.run(
        [
            sys.executable,
            os.path.join(ROOT, 'tools', 'train.py'), '--config',
            str(config), '--device', 'cpu', '--seed', '7', '--log_iters', '1',
            '--save_interval', '4', '--do_eval', '--save_dir',
            str(save_dir)
        ] + list(args),
        cwd=str(save_dir),
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True)
    assert done.returncode == 0, done.stdout[-3000:]
    losses = re.findall(r'iter: \d+/4, loss: ([0-9.]+)', done.stdout)
    assert len(losses) == 4
    losses += re.findall(r'#Images: 2 mIoU: ([0-9.]+)', done.stdout)
    assert len(losses) == 5
    weights = paddle.load(str(save_dir / 'iter_4' / 'model.pdparams'))
    return done.stdout, losses, weights


@pytest.fixture(scope='module')
def dygraph(dataset, tmp_path_factory):
    return run(dataset, tmp_path_factory.mktemp('dygraph'))


def test_off_by_default(dygraph):
    assert APPLIED not in dygraph[0]
    assert 'to_static_training' not in dygraph[0]
    assert len(set(dygraph[1][:4])) == 4


@pytest.mark.parametrize('args, extra', [
    (['--to_static_training'], ''),
    ([], 'to_static_training: True'),
])
def test_switch_trains_the_same_weights(dataset, dygraph, tmp_path, args,
                                        extra):
    output, losses, weights = run(dataset, tmp_path, *args, extra=extra)
    assert APPLIED in output
    assert 'to_static_training: true' in output
    assert losses == dygraph[1]
    assert sorted(weights) == sorted(dygraph[2])
    for name, value in weights.items():
        np.testing.assert_allclose(
            value.numpy(),
            dygraph[2][name].numpy(),
            rtol=1e-4,
            atol=1e-6,
            err_msg=name)


def test_evaluation_compiles_nothing():
    layer = paddle.jit.to_static(paddle.nn.Conv2D(3, 2, 1), full_graph=True)
    layer(paddle.ones([1, 3, 8, 8]))
    static = layer.forward
    assert len(static.program_cache) == 1

    with utils.dygraph_forward(layer):
        for size in (5, 6):
            layer(paddle.ones([1, 3, size, size]))
    assert len(static.program_cache) == 1

    assert layer.forward is static
    layer(paddle.ones([1, 3, 5, 5]))
    assert len(static.program_cache) == 2
    plain = paddle.nn.Conv2D(3, 2, 1)
    with utils.dygraph_forward(plain):
        plain(paddle.ones([1, 3, 5, 5]))


def test_gscnn_is_not_exported(tmp_path):
    model = GSCNN(
        3, ResNet18_vd(output_stride=8), backbone_indices=(0, 1, 2, 3))
    spec = [paddle.static.InputSpec([1, 3, 64, 64], 'float32')]
    model.eval()
    with pytest.raises(RuntimeError, match='GSCNN cannot be exported'):
        paddle.jit.save(
            paddle.jit.to_static(model, input_spec=spec, full_graph=True),
            str(tmp_path / 'model'))


def test_cross_entropy_weighs_classes():
    weight = [1., 2., 4.]
    logit = paddle.randn([2, 3, 4, 5])
    label = paddle.randint(0, 3, [2, 4, 5])
    label[0, :2] = 255
    found = CrossEntropyLoss(weight=weight)(logit, label)
    score = logit.numpy().astype('float64')
    score -= np.log(np.exp(score).sum(1, keepdims=True))
    total = norm = 0.
    for n, y, x in zip(*np.nonzero(label.numpy() != 255)):
        c = int(label[n, y, x])
        total -= weight[c] * score[n, c, y, x]
        norm += weight[c]
    np.testing.assert_allclose(float(found), total / norm, rtol=1e-5)
