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
"""
Convert a PIDNet checkpoint of the authors (XuJiacong/PIDNet, .pt or .pth.tar)
to the .pdparams of PIDNet in PaddleSeg. PyTorch is not needed.

Usage:
    python tools/convert_pidnet.py PIDNet_S_Cityscapes_val.pt model.pdparams

    # For `model.backbone.pretrained`; the classifier of ImageNet is dropped and
    # what the file lacks keeps its initial value, each named by you.
    python tools/convert_pidnet.py PIDNet_S_ImageNet.pth.tar model.pdparams \\
        --backbone --drop linear. --missing-ok spp.
"""

import argparse
import os
import pickle
import sys
import zipfile
from collections import OrderedDict

import numpy as np


class ConvertError(Exception):
    """What is wrong with the checkpoint, and what to do about it."""


# How the parts of one building block are called there and here. Convolutions
# have the same layout in both frameworks, so that no value is changed.
CONV_BN = {'0': '_conv', '1': '_batch_norm'}
BASIC = {
    'conv1': 'conv_bn_relu._conv',
    'bn1': 'conv_bn_relu._batch_norm',
    'conv2': 'conv_bn._conv',
    'bn2': 'conv_bn._batch_norm',
    'downsample.0': 'downsample._conv',
    'downsample.1': 'downsample._batch_norm'
}
BOTTLENECK = {
    'conv1': 'conv_bn_relu1._conv',
    'bn1': 'conv_bn_relu1._batch_norm',
    'conv2': 'conv_bn_relu2._conv',
    'bn2': 'conv_bn_relu2._batch_norm',
    'conv3': 'conv_bn._conv',
    'bn3': 'conv_bn._batch_norm',
    'downsample.0': 'downsample._conv',
    'downsample.1': 'downsample._batch_norm'
}
BN_RELU_CONV = {'0': '0', '2': '2'}
POOL_BN_RELU_CONV = {'1': '1.0', '3': '1.2'}
HEAD = {'bn1': 'conv.0', 'conv1': 'conv.2', 'bn2': 'norm'}
# The first two convolutions have a bias there and none here. What follows is
# batch normalization, which takes the bias away again: it moves to the mean.
STEM_BIASES = {
    'conv1.0.bias': 'conv1.1.running_mean',
    'conv1.3.bias': 'conv1.4.running_mean'
}
LEAVES = {
    'weight': 'weight',
    'bias': 'bias',
    'running_mean': '_mean',
    'running_var': '_variance'
}
# Part of the training program, not of the network.
DROPPED_PREFIXES = ('sem_loss.', 'bd_loss.')
DROPPED_LEAVES = ('num_batches_tracked', )
# The heads that only training needs; a checkpoint for deployment lacks them.
OPTIONAL_PREFIXES = ('seghead_p.', 'seghead_d.')
HEAD_PREFIXES = ('final_layer.', ) + OPTIONAL_PREFIXES


def name_table(shallow, deep, lightweight):
    """
    Args:
        shallow (int): The number of residual blocks in a shallow stage.
        deep (int): The number of residual blocks in a deep stage.
        lightweight (bool): False for PIDNet-L.

    Returns:
        list[tuple]: (prefix there, prefix here, parts) for each building block.
    """
    i_layers, p_layers = 'i_branch_layers.', 'p_branch_layers.'
    d_layers = 'd_branch_layers.'
    rows = [('conv1', 'stem', {
        '0': '0._conv',
        '1': '0._batch_norm',
        '3': '1._conv',
        '4': '1._batch_norm'
    })]
    for there, here, depth, parts in [
        ('layer1', 'stem.2', shallow, BASIC),
        ('layer2', 'stem.4', shallow, BASIC),
        ('layer3', i_layers + '0', deep, BASIC),
        ('layer4', i_layers + '1', deep, BASIC),
        ('layer5', i_layers + '2', 2, BOTTLENECK),
        ('layer3_', p_layers + '0', shallow, BASIC),
        ('layer4_', p_layers + '1', shallow, BASIC),
        ('layer5_', p_layers + '2', 1, BOTTLENECK),
        ('layer5_d', d_layers + '2', 1, BOTTLENECK),
    ]:
        for i in range(depth):
            rows.append(('{}.{}'.format(there, i), '{}.{}'.format(here, i),
                         parts))
    rows.append(('layer3_d', d_layers + '0', BASIC))
    for i in (3, 4):
        rows.append(('compression%d' % i, 'compression_%d' % (i - 2), CONV_BN))
        rows.append(('diff%d' % i, 'diff_%d' % (i - 2), CONV_BN))
        rows.append(('pag%d.f_x' % i, 'pag_%d.f_p' % (i - 2), CONV_BN))
        rows.append(('pag%d.f_y' % i, 'pag_%d.f_i' % (i - 2), CONV_BN))

    rows.append(('spp.scale0', 'spp.scales.0', BN_RELU_CONV))
    for i in (1, 2, 3, 4):
        rows.append(('spp.scale%d' % i, 'spp.scales.%d' % i, POOL_BN_RELU_CONV))
    rows.append(('spp.compression', 'spp.compression', BN_RELU_CONV))
    rows.append(('spp.shortcut', 'spp.shortcut', BN_RELU_CONV))
    if lightweight:
        rows.append(('layer4_d.0', d_layers + '1.0', BOTTLENECK))
        rows.append(('spp.scale_process', 'spp.processes', BN_RELU_CONV))
        rows.append(('dfm.conv_p', 'dfm.f_p', CONV_BN))
        rows.append(('dfm.conv_i', 'dfm.f_i', CONV_BN))
    else:
        rows.append(('layer4_d', d_layers + '1', BASIC))
        for i in (1, 2, 3, 4):
            rows.append(('spp.process%d' % i, 'spp.processes.%d' % (i - 1),
                         BN_RELU_CONV))
        rows.append(('dfm.conv', 'dfm.conv', BN_RELU_CONV))

    rows = [(there, 'backbone.' + here, parts) for there, here, parts in rows]
    for there, here, last in [('final_layer', 'i_head', 'conv_seg'),
                              ('seghead_p', 'p_head', 'p_cls_seg'),
                              ('seghead_d', 'd_head', 'd_cls_seg')]:
        rows.append((there, 'decode_head.' + here, HEAD))
        rows.append((there, 'decode_head', {'conv2': last}))
    return rows


def rename(name, table):
    """
    Args:
        name (str): The name of a tensor of the authors' model.
        table (list[tuple]): What name_table gave.

    Returns:
        str|None: Its name here, None if the table does not know it.
    """
    module, _, leaf = name.rpartition('.')
    for there, here, parts in table:
        part = module[len(there) + 1:]
        if module == '{}.{}'.format(there, part) and part in parts:
            if leaf in LEAVES:
                return '.'.join((here, parts[part], LEAVES[leaf]))
    return None


def strip_checkpoint(state, drop=()):
    """
    Reduce a checkpoint to the tensors of the network under their plain names.

    Args:
        state (dict): What the file holds: name -> array, possibly below the key
            'state_dict' or 'model', with or without the prefixes 'module.' and
            'model.'.
        drop (tuple, optional): Further prefixes to leave out. Default: ().

    Returns:
        OrderedDict: name -> numpy.ndarray.
    """
    for key in ('state_dict', 'model'):
        if isinstance(state.get(key), dict):
            state = state[key]
    state = OrderedDict(state)
    for prefix in ('module.', 'model.'):
        names = [n for n in state if not n.startswith(DROPPED_PREFIXES)]
        if names and all(n.startswith(prefix) for n in names):
            state = OrderedDict((n[len(prefix):]
                                 if n.startswith(prefix) else n, v)
                                for n, v in state.items())
    kept = OrderedDict()
    for name, value in state.items():
        if name.startswith(DROPPED_PREFIXES + tuple(drop)):
            continue
        if name.rpartition('.')[2] in DROPPED_LEAVES:
            continue
        if not isinstance(value, np.ndarray):
            raise ConvertError(
                "{} is a {}, not a tensor. If it is not part of the network, "
                "add `--drop {}`.".format(name, type(value).__name__, name))
        kept[name] = value
    if not kept:
        raise ConvertError("No tensor is left. The file holds {}{}.".format(
            ', '.join(list(state)[:5]) or 'nothing', " and --drop takes "
            "all of it" if drop else ""))
    return fold_biases(kept)


def fold_biases(state):
    """
    Move the biases of the stem into the means of the batch normalization that
    follows: (x + bias) - mean is x - (mean - bias).

    Args:
        state (dict): name -> array.

    Returns:
        OrderedDict: The same without these biases.
    """
    folded = OrderedDict(state)
    for bias, mean in STEM_BIASES.items():
        if bias in folded and mean in folded:
            folded[mean] = folded[mean] - folded.pop(bias)
    return folded


def read_architecture(state):
    """
    Read the size of the model off its tensors.

    Args:
        state (dict): What strip_checkpoint gave.

    Returns:
        tuple[dict]: The arguments of the backbone and those of PIDNet.
    """

    def count(stage):
        return len({n.split('.')[1] for n in state if n.startswith(stage)})

    def channels(name, default):
        return int(state[name].shape[0]) if name in state else default

    if 'conv1.0.weight' not in state:
        raise ConvertError(
            "There is no conv1.0.weight, so this is not a PIDNet of "
            "XuJiacong/PIDNet. The first names are: {}.".format(
                ', '.join(list(state)[:5]) or 'none'))
    shallow, deep = count('layer1.'), count('layer3.')
    lightweight = not any(
        n.startswith(('spp.process', 'dfm.conv.')) for n in state)
    backbone = {
        'in_channels':
        int(state['conv1.0.weight'].shape[1]),
        'channels':
        int(state['conv1.0.weight'].shape[0]),
        'ppm_channels':
        channels('spp.scale0.2.weight', 96 if lightweight else 112),
        'num_stem_blocks':
        shallow,
        'num_branch_blocks':
        deep
    }
    model = {
        'num_classes':
        channels('final_layer.conv2.weight', 19),
        'head_channels':
        channels('final_layer.conv1.weight', 128 if lightweight else 256)
    }
    return backbone, model


def convert(state, expected, missing_ok=()):
    """
    Rename the tensors and check that nothing is left over on either side.

    Args:
        state (dict): What strip_checkpoint gave.
        expected (dict): name -> shape of the model here.
        missing_ok (tuple, optional): Prefixes, of the names there, that the
            checkpoint may lack. Default: ().

    Returns:
        OrderedDict: name here -> numpy.ndarray, float32.

    Raises:
        ConvertError: A tensor is unknown, missing, or of another shape.
    """
    backbone, _ = read_architecture(state)
    table = name_table(backbone['num_stem_blocks'],
                       backbone['num_branch_blocks'],
                       backbone['num_stem_blocks'] == 2)
    # A checkpoint either holds an auxiliary head or it does not.
    for prefix in OPTIONAL_PREFIXES:
        if not any(name.startswith(prefix) for name in state):
            missing_ok = tuple(missing_ok) + (prefix, )

    result, unknown, misshapen = OrderedDict(), [], []
    for name, value in state.items():
        here = rename(name, table)
        if here is None or here not in expected:
            unknown.append(name)
            continue
        if list(value.shape) != list(expected[here]):
            misshapen.append("{} has the shape {}, but {} needs {}".format(
                name, list(value.shape), here, list(expected[here])))
            continue
        if not np.isfinite(value).all():
            raise ConvertError("{} is not finite.".format(name))
        result[here] = np.ascontiguousarray(value, dtype='float32')
    if unknown:
        raise ConvertError(
            "The model has no place for {}. If they are not part of the "
            "network, add `--drop PREFIX`.".format(', '.join(unknown)))
    if misshapen:
        raise ConvertError(
            "{}. To leave a tensor out, add `--drop PREFIX --missing-ok "
            "PREFIX`.".format('; '.join(misshapen)))

    there = {here: name for name, here in _names_there(table)}
    missing = [there[name] for name in expected if name not in result]
    missing = [n for n in missing if not n.startswith(tuple(missing_ok))]
    if missing:
        raise ConvertError(
            "The checkpoint lacks {}. If they shall keep their initial value, "
            "add `--missing-ok PREFIX`.".format(', '.join(missing)))
    return result


def _names_there(table):
    for there, here, parts in table:
        for part_there, part_here in parts.items():
            for leaf_there, leaf_here in LEAVES.items():
                yield ('.'.join((there, part_there, leaf_there)), '.'.join(
                    (here, part_here, leaf_here)))


# --- reading a checkpoint of PyTorch -----------------------------------------


class _Ignored(object):
    """Stands for a value that is not a tensor, such as a numpy scalar."""

    def __init__(self, *args):
        pass

    def __setstate__(self, state):
        pass


class _Storage(object):
    def __init__(self, data):
        self.data = data


STORAGES = {
    'DoubleStorage': 'f8',
    'FloatStorage': 'f4',
    'HalfStorage': 'f2',
    'BFloat16Storage': 'bfloat16',
    'LongStorage': 'i8',
    'IntStorage': 'i4',
    'ShortStorage': 'i2',
    'CharStorage': 'i1',
    'ByteStorage': 'u1',
    'BoolStorage': '?'
}


def _rebuild_tensor(storage, offset, size, stride, *unused):
    data = storage.data
    last = offset + sum((n - 1) * s for n, s in zip(size, stride))
    if 0 in size:
        return np.zeros(size, data.dtype)
    if offset < 0 or any(s < 0 for s in stride) or last >= len(data):
        raise ConvertError(
            "A tensor of shape {} reaches beyond its {} stored values: the "
            "file is damaged.".format(list(size), len(data)))
    strides = [s * data.itemsize for s in stride]
    return np.lib.stride_tricks.as_strided(data[offset:], size, strides).copy()


def _rebuild_parameter(data, *unused):
    return data


class _TensorUnpickler(pickle.Unpickler):
    """Builds tensors, and refuses everything that a checkpoint may not do."""

    ALLOWED = {
        ('collections', 'OrderedDict'): OrderedDict,
        ('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor,
        ('torch._utils', '_rebuild_parameter'): _rebuild_parameter,
        ('torch', 'Size'): tuple,
        ('numpy.core.multiarray', 'scalar'): _Ignored,
        ('numpy._core.multiarray', 'scalar'): _Ignored,
        ('numpy', 'dtype'): _Ignored,
        ('_codecs', 'encode'): _Ignored
    }

    def __init__(self, stream, read_storage):
        super().__init__(stream, encoding='latin1')
        self.read_storage = read_storage

    def find_class(self, module, name):
        if (module, name) in self.ALLOWED:
            return self.ALLOWED[(module, name)]
        if module in ('torch', 'torch.storage') and name in STORAGES:
            return name
        raise ConvertError(
            "The checkpoint wants to call {}.{}, which a state_dict has no "
            "need of. Load it with PyTorch where you trust it and save its "
            "state_dict alone.".format(module, name))

    def persistent_load(self, pid):
        if len(pid) != 5 or pid[0] != 'storage' or pid[1] not in STORAGES:
            raise ConvertError("The checkpoint refers to {}, which is not a "
                               "stored tensor.".format(pid[:2]))
        return _Storage(self.read_storage(str(pid[2]), STORAGES[pid[1]]))


def read_checkpoint(path):
    """
    Read a checkpoint that `torch.save` wrote (PyTorch 1.6 or later), without
    PyTorch and without running what the file may ask to run.

    Args:
        path (str): The file.

    Returns:
        dict: What was saved, with numpy.ndarray in place of tensors.

    Raises:
        ConvertError: It is not such a file.
    """
    if not os.path.isfile(path):
        raise ConvertError("There is no file {}.".format(path))
    if not zipfile.is_zipfile(path):
        raise ConvertError(
            "{} is not in the zip format of PyTorch 1.6 and later. Where "
            "PyTorch is installed, load it and save it again: torch.save("
            "torch.load(path, map_location='cpu'), path).".format(path))
    with zipfile.ZipFile(path) as archive:
        pickles = [n for n in archive.namelist() if n.endswith('/data.pkl')]
        if len(pickles) != 1:
            raise ConvertError(
                "{} holds {} data.pkl instead of one: it is not a file that "
                "torch.save wrote.".format(path, len(pickles)))
        root = pickles[0][:-len('data.pkl')]
        order = '<'
        if root + 'byteorder' in archive.namelist():
            if archive.read(root + 'byteorder').strip() == b'big':
                order = '>'

        def read_storage(key, dtype):
            raw = archive.read('{}data/{}'.format(root, key))
            if dtype == 'bfloat16':
                half = np.frombuffer(raw, order + 'u2').astype('uint32')
                return (half << 16).view('float32')
            return np.frombuffer(raw, np.dtype(dtype).newbyteorder(order))

        with archive.open(pickles[0]) as stream:
            state = _TensorUnpickler(stream, read_storage).load()
    if not isinstance(state, dict):
        raise ConvertError("{} holds a {} instead of a state_dict.".format(
            path, type(state).__name__))
    return state


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description='Convert a PIDNet checkpoint of PyTorch to PaddleSeg')
    parser.add_argument('source', help='The .pt or .pth.tar of the authors.')
    parser.add_argument('target', help='The .pdparams to write.')
    parser.add_argument(
        '--backbone',
        action='store_true',
        help='Write the backbone alone, for `model.backbone.pretrained`. The '
        'heads are left out.')
    parser.add_argument(
        '--drop',
        action='append',
        default=[],
        metavar='PREFIX',
        help='Leave out the tensors of the checkpoint that start so.')
    parser.add_argument(
        '--missing-ok',
        action='append',
        default=[],
        metavar='PREFIX',
        help='Do not ask for the tensors that start so in the checkpoint.')
    return parser.parse_args(argv)


def main(args):
    # Only here, so that the functions above can be used without Paddle.
    import paddle
    from paddleseg.models import PIDNet
    from paddleseg.models.backbones import pidnet

    drop = args.drop + (list(HEAD_PREFIXES) if args.backbone else [])
    state = strip_checkpoint(read_checkpoint(args.source), drop)
    backbone, model = read_architecture(state)
    net = PIDNet(backbone=pidnet.PIDNet(**backbone), **model)
    prefix = 'backbone.' if args.backbone else ''
    expected = {
        k: v.shape
        for k, v in net.state_dict().items() if k.startswith(prefix)
    }
    total = len(expected)
    weights = OrderedDict(
        (name[len(prefix):], value)
        for name, value in convert(state, expected, args.missing_ok).items())
    paddle.save(
        {name: paddle.to_tensor(value)
         for name, value in weights.items()}, args.target)
    print('backbone: {}\nmodel: {}'.format(backbone, model))
    print('{} of {} tensors were written to {}.'.format(
        len(weights), total, args.target))


if __name__ == '__main__':
    try:
        main(parse_args())
    except ConvertError as error:
        sys.exit('error: {}'.format(error))
