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
Tests of the configurations of PIDNet: they build, and the suite's training loop
runs with them. Run from the root of PaddleSeg:

    python -m pytest tests/models/test_pidnet_configs.py
"""

import glob
import os

import cv2
import numpy as np
import paddle
import pytest

from paddleseg.core import train
from paddleseg.cvlibs import Config, SegBuilder

ROOT = os.path.abspath(
    os.path.join(os.path.dirname(__file__), os.pardir, os.pardir))
CONFIGS = sorted(glob.glob(os.path.join(ROOT, 'configs/pidnet/*.yml')))
# The parameters of the reference's models, without the two training heads and
# with 19 classes.
PARAMETERS = {'small': 7625715, 'medium': 28538515, 'large': 36939571}


@pytest.mark.parametrize(
    'path', CONFIGS, ids=[os.path.basename(path) for path in CONFIGS])
def test_configuration_builds(path):
    builder = SegBuilder(Config(path))
    size = os.path.basename(path).split('_')[1]
    num_classes = 19 if 'cityscapes' in path else 11
    model = builder.model
    heads = ('aux_head.', 'boundary_head.')
    count = sum(
        int(np.prod(value.shape)) for name, value in model.named_parameters()
        if not name.startswith(heads) and not value.stop_gradient)
    head_channels = 256 if size == 'large' else 128
    assert count == PARAMETERS[size] - (19 - num_classes) * (head_channels + 1)

    logits = model(paddle.randn([2, 3, 64, 64]))
    label = paddle.randint(0, num_classes, [2, 64, 64])
    edge = paddle.randint(0, 2, [2, 64, 64])
    terms = model.loss_computation(logits, builder.loss,
                                   {'label': label,
                                    'edge': edge})
    assert len(terms) == 4 and all(np.isfinite(float(v)) for v in terms)


def test_there_is_a_configuration_for_every_size():
    names = [os.path.basename(path) for path in CONFIGS]
    for data_set in ('cityscapes_1024x1024_120k', 'camvid_960x720_4.7k'):
        for size in PARAMETERS:
            assert 'pidnet_{}_{}.yml'.format(size, data_set) in names


def test_training_loop_of_the_suite(tmp_path):
    """Two iterations through the configuration, data loader and train()."""
    rng = np.random.RandomState(7)
    with open(str(tmp_path / 'train.txt'), 'w') as stream:
        for i in range(4):
            label = np.zeros((70, 90), 'uint8')
            label[:, rng.randint(20, 70):] = 1
            label[:9] = 255
            image = rng.randint(0, 255, (70, 90, 3)).astype('uint8')
            cv2.imwrite(str(tmp_path / '{}.jpg'.format(i)), image)
            cv2.imwrite(str(tmp_path / '{}.png'.format(i)), label)
            stream.write('{0}.jpg {0}.png\n'.format(i))
    path = [path for path in CONFIGS if 'small_camvid' in path][0]
    builder = SegBuilder(
        Config(
            path,
            opts=[
                'train_dataset.dataset_root=' +
                str(tmp_path), 'train_dataset.train_path=' + str(
                    tmp_path / 'train.txt'), 'model.backbone.base_channels=4',
                'model.backbone.context_channels=4', 'model.head_channels=8'
            ]))
    builder.config.dic['train_dataset']['transforms'][2]['crop_size'] = [97, 65]
    model = builder.model
    before = model.head.classifier._conv.weight.numpy()
    train(
        model,
        builder.train_dataset,
        optimizer=builder.optimizer,
        save_dir=str(tmp_path / 'output'),
        iters=2,
        batch_size=2,
        log_iters=1,
        losses=builder.loss)
    after = model.head.classifier._conv.weight.numpy()
    assert np.isfinite(after).all() and (before != after).any()
    assert (tmp_path / 'output/iter_2/model.pdparams').exists()
