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
    for i in range(4):
        label = np.kron(generator.randint(0, 3, (4, 4)), np.ones((16, 16)))
        image = label[..., None] * 80 + generator.randint(0, 60, (64, 64, 3))
        cv2.imwrite(str(root / '{}.jpg'.format(i)), image.astype('uint8'))
        cv2.imwrite(str(root / '{}.png'.format(i)), label.astype('uint8'))
        lines.append('{0}.jpg {0}.png'.format(i))
    (root / 'train.txt').write_text('\n'.join(lines))
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
            '--save_interval', '4', '--save_dir',
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
    weights = paddle.load(str(save_dir / 'iter_4' / 'model.pdparams'))
    return done.stdout, losses, weights


@pytest.fixture(scope='module')
def dygraph(dataset, tmp_path_factory):
    return run(dataset, tmp_path_factory.mktemp('dygraph'))


def test_off_by_default(dygraph):
    assert APPLIED not in dygraph[0]
    assert len(set(dygraph[1])) == 4


@pytest.mark.parametrize('args, extra', [
    (['--to_static_training'], ''),
    ([], 'to_static_training: True'),
])
def test_switch_trains_the_same_weights(dataset, dygraph, tmp_path, args,
                                        extra):
    output, losses, weights = run(dataset, tmp_path, *args, extra=extra)
    assert APPLIED in output
    assert losses == dygraph[1]
    assert sorted(weights) == sorted(dygraph[2])
    for name, value in weights.items():
        np.testing.assert_allclose(
            value.numpy(),
            dygraph[2][name].numpy(),
            rtol=1e-4,
            atol=1e-6,
            err_msg=name)
