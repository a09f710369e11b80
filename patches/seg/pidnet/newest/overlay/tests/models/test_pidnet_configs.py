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
Tests of PIDNet's configurations for CamVid and of tools/convert_pidnet.py. They
need no data set and no weights. Run from the root of PaddleSeg:

    python -m pytest tests/models/test_pidnet_configs.py
"""

import base64
import os
import pickle
import sys
import types
import zipfile
import zlib
from collections import OrderedDict

import cv2
import numpy as np
import paddle
import pytest

from paddleseg.core import train
from paddleseg.cvlibs import Config, SegBuilder
from paddleseg.models import PIDNet
from paddleseg.models.backbones import pidnet

ROOT = os.path.abspath(
    os.path.join(os.path.dirname(__file__), os.pardir, os.pardir))
CONFIG = os.path.join(ROOT, 'configs/pidnet/pidnet_{}_camvid_960x720_4.7k.yml')
sys.path.insert(0, os.path.join(ROOT, 'tools'))
import convert_pidnet  # noqa: E402

# --- configurations -----------------------------------------------------------


@pytest.mark.parametrize('size, channels, head_channels',
                         [('small', 32, 128), ('medium', 64, 128), ('large', 64,
                                                                    256)])
def test_configuration_builds(size, channels, head_channels):
    builder = SegBuilder(Config(CONFIG.format(size)))
    state = builder.model.state_dict()
    assert state['backbone.stem.0._conv.weight'].shape[0] == channels
    assert state['decode_head.conv_seg.weight'].shape[:2] == [11, head_channels]

    logits = builder.model(paddle.randn([2, 3, 64, 64]))
    label = paddle.randint(0, 11, [2, 64, 64])
    edge = paddle.randint(0, 2, [2, 64, 64])
    terms = builder.model.loss_computation(logits, builder.loss,
                                           {'label': label,
                                            'edge': edge})
    assert len(terms) == 3 and all(np.isfinite(float(v)) for v in terms)


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
    builder = SegBuilder(
        Config(
            CONFIG.format('small'),
            opts=[
                'train_dataset.dataset_root=' + str(tmp_path),
                'train_dataset.train_path=' + str(tmp_path / 'train.txt')
            ]))
    builder.config.dic['train_dataset']['transforms'][2]['crop_size'] = [97, 65]
    model = builder.model
    before = model.decode_head.conv_seg.weight.numpy()
    train(
        model,
        builder.train_dataset,
        optimizer=builder.optimizer,
        save_dir=str(tmp_path / 'output'),
        iters=2,
        batch_size=2,
        log_iters=1,
        losses=builder.loss)
    after = model.decode_head.conv_seg.weight.numpy()
    assert np.isfinite(after).all() and (before != after).any()
    assert (tmp_path / 'output/iter_2/model.pdparams').exists()


# --- converter ----------------------------------------------------------------

BLOCKS = {'small': (2, 3), 'large': (3, 4)}


def build(size, pretrained=None):
    stem, branch = BLOCKS[size]
    backbone = pidnet.PIDNet(
        channels=4,
        ppm_channels=4,
        num_stem_blocks=stem,
        num_branch_blocks=branch)
    return PIDNet(19, backbone, head_channels=8, pretrained=pretrained)


def randomize(model):
    for value in model.state_dict().values():
        value.set_value(paddle.rand(value.shape) + 0.5)
    return model


STORAGE = {'float32': 'FloatStorage', 'int64': 'LongStorage'}


def write_checkpoint(path, state, modules=('torch', 'torch._utils')):
    """Write `state` in the zip format of torch.save."""
    fake = {name: types.ModuleType(name) for name in modules}

    class Storage(object):
        def __init__(self, key, array):
            self.key, self.array = key, array

    class Tensor(object):
        def __init__(self, storage):
            self.storage = storage

        def __reduce__(self):
            shape = self.storage.array.shape
            stride = [int(np.prod(shape[i + 1:])) for i in range(len(shape))]
            return fake['torch._utils']._rebuild_tensor_v2, (self.storage, 0,
                                                             shape,
                                                             tuple(stride),
                                                             False,
                                                             OrderedDict())

    def _rebuild_tensor_v2():
        pass

    _rebuild_tensor_v2.__module__ = 'torch._utils'
    _rebuild_tensor_v2.__qualname__ = '_rebuild_tensor_v2'
    fake['torch._utils']._rebuild_tensor_v2 = _rebuild_tensor_v2
    for name in STORAGE.values():
        setattr(fake['torch'], name,
                type(name, (), {'__module__': 'torch',
                                '__qualname__': name}))

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, Storage):
                kind = getattr(fake['torch'], STORAGE[value.array.dtype.name])
                return ('storage', kind, value.key, 'cpu', value.array.size)

    storages = []

    def wrap(value):
        if isinstance(value, dict):
            return OrderedDict((k, wrap(v)) for k, v in value.items())
        if isinstance(value, np.ndarray):
            storages.append(Storage(str(len(storages)), value))
            return Tensor(storages[-1])
        return value

    state = wrap(state)
    before = {name: sys.modules.get(name) for name in fake}
    sys.modules.update(fake)
    try:
        with zipfile.ZipFile(path, 'w') as archive:
            with archive.open('archive/data.pkl', 'w') as stream:
                Pickler(stream, protocol=2).dump(state)
            for storage in storages:
                archive.writestr('archive/data/' + storage.key,
                                 storage.array.tobytes())
            archive.writestr('archive/version', '3\n')
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name)
            else:
                sys.modules[name] = module


def checkpoint_of(model, size):
    """The model's tensors under the authors' names, with the biases that the
    first two convolutions have there."""
    table = convert_pidnet.name_table(*BLOCKS[size], size == 'small')
    back = {here: there for there, here in convert_pidnet._names_there(table)}
    state = OrderedDict((back[name], value.numpy())
                        for name, value in model.state_dict().items())
    for bias, mean in convert_pidnet.STEM_BIASES.items():
        state[bias] = np.linspace(-1, 1, 4).astype('float32')
        state[mean] = state[mean] + state[bias]
    return state


def run_converter(*args):
    convert_pidnet.main(convert_pidnet.parse_args(args))


def convert(state, model, drop=(), missing_ok=()):
    expected = {k: v.shape for k, v in model.state_dict().items()}
    return convert_pidnet.convert(
        convert_pidnet.strip_checkpoint(state, drop), expected, missing_ok)


@pytest.mark.parametrize('form', ['plain', 'model.', 'state_dict'])
@pytest.mark.parametrize('size', sorted(BLOCKS))
def test_both_key_sets_are_used_up(size, form):
    model = randomize(build(size))
    state = checkpoint_of(model, size)
    if form == 'model.':
        state = OrderedDict((form + k, v) for k, v in state.items())
        state['sem_loss.criterion.weight'] = np.ones(19, 'float32')
    if form == 'state_dict':
        state = {'epoch': 3, form: state}
    weights = convert(state, model)
    want = {k: v.numpy() for k, v in model.state_dict().items()}
    assert set(weights) == set(want)
    for name in want:
        np.testing.assert_allclose(weights[name], want[name], atol=1e-6)


def test_program(tmp_path):
    model = randomize(build('large'))
    source, target = str(tmp_path / 'a.pt'), str(tmp_path / 'a.pdparams')
    write_checkpoint(source, checkpoint_of(model, 'large'))
    run_converter(source, target)
    loaded = build('large', pretrained=target)
    x = paddle.rand([1, 3, 64, 64])
    loaded.eval()
    model.eval()
    want = model(x)[0].numpy()
    np.testing.assert_allclose(
        loaded(x)[0].numpy(), want, rtol=1e-4, atol=1e-5 * abs(want).max())

    run_converter(source, target, '--backbone')
    assert set(paddle.load(target)) == set(model.backbone.state_dict())


def test_errors_name_the_tensor():
    model = build('small')
    good = checkpoint_of(model, 'small')

    def fails(state, message, **kwargs):
        with pytest.raises(convert_pidnet.ConvertError, match=message):
            convert(state, model, **kwargs)

    extra = dict(good, **{'linear.weight': np.zeros((3, 4), 'float32')})
    fails(extra, r'no place for linear\.weight')
    assert convert(extra, model, drop=('linear.', ))

    lacking = {k: v for k, v in good.items() if k != 'pag3.f_x.0.weight'}
    fails(lacking, r'lacks pag3\.f_x\.0\.weight\.')
    assert convert(lacking, model, missing_ok=('pag3.', ))

    other = dict(good)
    other['layer1.0.conv1.weight'] = other['layer1.0.conv1.weight'][:2]
    fails(other, r'layer1\.0\.conv1\.weight has the shape \[2, 4, 3, 3\]')


def test_a_checkpoint_may_lack_the_heads_of_training():
    model = build('large')
    state = OrderedDict((k, v)
                        for k, v in checkpoint_of(model, 'large').items()
                        if not k.startswith(('seghead_p.', 'seghead_d.')))
    missing = set(model.state_dict()) - set(convert(state, model))
    assert missing and all(
        name.startswith(('decode_head.p_', 'decode_head.d_'))
        for name in missing)


def test_converter_refuses_other_files(tmp_path):
    path = str(tmp_path / 'a.pt')
    with pytest.raises(convert_pidnet.ConvertError, match='no file'):
        convert_pidnet.read_checkpoint(path)
    with open(path, 'wb') as stream:
        pickle.dump({}, stream)
    with pytest.raises(convert_pidnet.ConvertError, match='zip format'):
        convert_pidnet.read_checkpoint(path)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/readme', 'x')
    with pytest.raises(convert_pidnet.ConvertError, match='0 data.pkl'):
        convert_pidnet.read_checkpoint(path)


def test_converter_runs_no_code_of_the_file(tmp_path):
    class Attack(object):
        def __reduce__(self):
            return os.system, ('touch ' + str(tmp_path / 'owned'), )

    path = str(tmp_path / 'a.pt')
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', pickle.dumps({'a': Attack()}))
    with pytest.raises(convert_pidnet.ConvertError, match='wants to call'):
        convert_pidnet.read_checkpoint(path)
    assert not (tmp_path / 'owned').exists()


def test_converter_reads_no_further_than_the_storage():
    storage = convert_pidnet._Storage(np.arange(6, dtype='float32'))
    rebuild = convert_pidnet._rebuild_tensor
    assert rebuild(storage, 0, (2, 3), (3, 1)).tolist() == [[0, 1, 2],
                                                            [3, 4, 5]]
    for offset, size, stride in ((1, (2, 3), (3, 1)), (0, (2, 3), (4, 1)),
                                 (-1, (2, ), (1, )), (0, (2, ), (-1, ))):
        with pytest.raises(convert_pidnet.ConvertError, match='beyond'):
            rebuild(storage, offset, size, stride)


# {'state_dict': {'a.weight': arange(12).reshape(3, 4).t()[1:],
#  'b.half': [0.5, -2], 'c.bf16': [1.5, 3], 'p.weight': Parameter([[7]]),
#  'd.num_batches_tracked': 3}, 'epoch': 4}, saved by PyTorch 2.13.
WRITTEN_BY_PYTORCH = """
eNqlVctvG0UcHj9iu5uSV9OmDTQt5eX0sdmHHacUmtSqLKRFIjVCWvWyXa8n3lXXXv/W46
QgRYoECS0nhHpAQiCuHDjDrZH4C7hx4ICEhIQ4cOSGmNmNl92JnIAz8m9nvZrvMbMz365r
mSxChQI61KbQDDJ9y3Y28VLTJKbYfejWqhPofqLtpLcBFXWBAnrEJNhoOhaB1DakizojNc
Ut7LRsAhmLeJRNNPrEcXuC4eNG33GbBsGdnucbm4oA2WJRzwdEnm+2MIyFEKHmeiZ5N3wo
QE5P0TES5PUM7a1uHwraaQKn7mkpLaNl9kCgN9k9GH9iWZ7rYos4XqcnvOM3sY+bd6k9AU
4v1uE5AhN1mNRzlKUh2qa7AVM2tWAPZN+ijyLV6UBVhhm7oKUJnLmnIS29C7NaahfOPrEZ
4TkCc3U4HxBaYmNDXoYLCcJqMBF5OSKdD0gVeD4kfeGA9CIjXQhJLxG4XIcXg7XsDtbyyp
C17Jq+2cYE+wK8FCrb4Wqp8DKVSBF4hUmktNQevBp2r4UyRQL0evVx8Ofax3C9Djf0sxTZ
FDv9ttEwiWXjnkF803qImyAm5vW212lFc1oKBEsghYIyFVxcDEUUAmodSn19jI7AXc+yoa
xl++K6li8UH1/84W4aIVbrQ/fkHKpEe1Lc8Py2SYxN7PfoG65VVW5r/qcmM/Hv/vz5Q+aa
1XDx+bj4wR41TNdpddq4Q0bUXy4xA6tb8DudOEofaWAarUYGGu8T7LEtXaveGkV30FyHEB
czD7tv/nqBbd3ckR4m0O1EKixJterrJzAQsu6s0ssa/dHaofU1rX1av9BCd2gW0bpMS7rD
nD7a3rgtsQw4xuls0qlcq04dcopW0D7j/Ogb/VNKhLLHcK4lOZVa9Y2TLP/9/dW1NaZ/5c
sv/h5BXz2pPltjpv+g/dupEfRLJ9XPHDAzD5/89O0fTLRwpIdJdCvyEJ39yqgmVIEp//hV
673jz98CUv4NgGD6Pew7NAE+MNk3xnCatar4P41IUrks35TklbKqSGr5plRZqciyulKuyJ
KqKGWlQu8VNYipZbz9V5H6KAYuU8xs5DOen1OHnPPfcR4dD8C5BPJpGg1LXJ4kHmLzyeDK
oCOSk+eJB9F0guezGE8UgDw8ng4TCfi5LOKyi8fGUyCJ3eexMo+Nn+AkdnaMwyo8Nn76kt
inPFblsfFTw+nmOGyJx8b3/WQC+3kMO+R9x7fjQgI8k0fHHJR1LZe7PjhWmRsRcpzrn6XD
/vv8ICZywd2WEP4Pv9hjuRAzHowPx/4DOkNrig==
"""


def test_converter_reads_what_pytorch_writes(tmp_path):
    path = str(tmp_path / 'a.pt')
    with open(path, 'wb') as stream:
        stream.write(zlib.decompress(base64.b64decode(WRITTEN_BY_PYTORCH)))
    state = convert_pidnet.read_checkpoint(path)
    assert state['epoch'] == 4
    kept = convert_pidnet.strip_checkpoint(state)
    assert list(kept) == ['a.weight', 'b.half', 'c.bf16', 'p.weight']
    want = np.arange(12, dtype='float32').reshape(3, 4).T[1:]
    np.testing.assert_array_equal(kept['a.weight'], want)
    assert kept['b.half'].tolist() == [0.5, -2]
    assert kept['c.bf16'].tolist() == [1.5, 3]
    assert kept['p.weight'].tolist() == [[7]]


# --- configurations -----------------------------------------------------------
