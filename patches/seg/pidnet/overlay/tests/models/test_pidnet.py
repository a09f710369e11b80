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
Tests of PIDNet: network, losses, edge label and converter.
They need no data set and no weights. Run from the root of PaddleSeg:

    python -m pytest tests/models/test_pidnet.py
"""

import base64
import os
import pickle
import sys
import types
import zipfile
import zlib
from collections import OrderedDict

import numpy as np
import paddle
import pytest
from paddle.static import InputSpec

import paddleseg.transforms as T
from paddleseg.models import PIDNet, losses
from paddleseg.models.backbones import PIDNetBackbone
from paddleseg.transforms import edge_label

ROOT = os.path.abspath(
    os.path.join(os.path.dirname(__file__), os.pardir, os.pardir))
sys.path.insert(0, os.path.join(ROOT, 'tools'))
import convert_pidnet  # noqa: E402

SIZES = dict(
    small={},
    medium={'base_channels': 64},
    large={
        'base_channels': 64,
        'block_layers': [3, 4],
        'context_channels': 112,
        'lightweight': False
    })


def build(size='small', num_classes=19, tiny=False):
    backbone = dict(SIZES[size])
    head_channels = 256 if size == 'large' else 128
    if tiny:
        backbone.update(base_channels=4, context_channels=4)
        head_channels = 8
    return PIDNet(
        num_classes, PIDNetBackbone(**backbone), head_channels=head_channels)


# --- network ------------------------------------------------------------------


@pytest.mark.parametrize('size, hw', [
    ('small', (65, 97)),
    ('small', (64, 128)),
    ('medium', (33, 33)),
    ('large', (65, 97)),
])
def test_shapes(size, hw):
    model = build(size)
    x = paddle.randn([2, 3, *hw])
    model.train()
    shapes = [list(logit.shape) for logit in model(x)]
    assert shapes == [[2, 19, *hw], [2, 19, *hw], [2, 1, *hw]]
    model.eval()
    assert [list(logit.shape) for logit in model(x)] == [[2, 19, *hw]]


def test_auxiliary_heads_see_activated_features():
    # The reference activates what it has kept for the heads in place.
    fused, detail, boundary = build(
        tiny=True).backbone(paddle.randn([1, 3, 64, 64]))
    assert float(detail.min()) == 0 and float(boundary.min()) == 0
    assert float(fused.min()) < 0


def test_every_parameter_gets_a_gradient():
    for size in SIZES:
        model = build(size, tiny=True)
        logits = model(paddle.randn([2, 3, 64, 64]))
        sum((logit**2).mean() for logit in logits).backward()
        without = [
            name for name, value in model.named_parameters()
            if not value.stop_gradient and value.grad is None
        ]
        assert not without


@pytest.mark.parametrize('size', ['small', 'large'])
def test_one_static_program_serves_any_size(size):
    model = build(size, tiny=True)
    model.eval()
    sizes = [(33, 33), (65, 97), (64, 128)]
    images = [paddle.randn([1, 3, *hw]) for hw in sizes]
    wanted = [model(image)[0].numpy() for image in images]
    static = paddle.jit.to_static(
        model,
        input_spec=[InputSpec([None, 3, None, None], 'float32')],
        full_graph=True)
    for image, want in zip(images, wanted):
        np.testing.assert_allclose(
            static(image)[0].numpy(), want, rtol=1e-5, atol=1e-6)


def test_backbone_of_another_shape_is_refused():
    backbone = PIDNetBackbone(base_channels=4, context_channels=4)
    backbone.feat_channels = [16]
    with pytest.raises(ValueError, match='three `feat_channels`'):
        PIDNet(19, backbone)
    with pytest.raises(ValueError, match='block_layers'):
        PIDNetBackbone(block_layers=[2, 3, 4])


# --- losses -------------------------------------------------------------------


def log_softmax(score):
    score = score - score.max(1, keepdims=True)
    return score - np.log(np.exp(score).sum(1, keepdims=True))


def pixel_losses(score, label, weight, ignore=255):
    """(weighted loss, probability) of the valid pixels, one by one."""
    log_prob = log_softmax(score.astype('float64'))
    result = []
    for n, y, x in np.ndindex(*label.shape):
        c = label[n, y, x]
        if c != ignore:
            value = log_prob[n, c, y, x]
            result.append((-weight[c] * value, np.exp(value)))
    return result


def ohem(pairs, thresh, min_kept):
    probs = sorted(prob for _, prob in pairs)
    bound = max(thresh, probs[min(min_kept, len(probs) - 1)])
    kept = [loss for loss, prob in pairs if prob < bound]
    return sum(kept) / len(kept) if kept else 0.


@pytest.fixture
def sample():
    rng = np.random.RandomState(3)
    score = (3 * rng.randn(2, 4, 5, 6)).astype('float32')
    label = rng.randint(0, 4, (2, 5, 6))
    label[0, :2] = 255
    return score, label, [0.5, 1.0, 2.0, 1.5]


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@pytest.mark.parametrize('thresh, min_kept', [(0.9, 1000), (0.01, 7), (0.3, 3),
                                              (0.001, 1)])
def test_ohem_loss(sample, thresh, min_kept, dtype):
    score, label, weight = sample
    criterion = losses.PIDNetOhemLoss(
        weight=weight, thresh=thresh, min_kept=min_kept)
    logit = paddle.to_tensor(score.astype(dtype), stop_gradient=False)
    loss = criterion(logit, paddle.to_tensor(label))
    want = ohem(pixel_losses(score, label, weight), thresh, min_kept)
    np.testing.assert_allclose(float(loss), want, rtol=1e-5)
    loss.backward()
    grad = logit.grad.numpy()
    assert not grad[0, :, :2].any() and grad[1].any()


def test_aux_loss_is_averaged_over_all_pixels(sample):
    score, label, weight = sample
    loss = losses.PIDNetAuxLoss(weight=weight)(paddle.to_tensor(score),
                                               paddle.to_tensor(label))
    want = sum(value for value, _ in pixel_losses(score, label, weight))
    np.testing.assert_allclose(float(loss), want / label.size, rtol=1e-5)


def test_ignore_index_may_be_any_value(sample):
    score, label, weight = sample
    for ignore in (-1, 3):
        other = np.where(label == 255, ignore, label)
        loss = losses.PIDNetOhemLoss(
            weight=weight, ignore_index=ignore)(paddle.to_tensor(score),
                                                paddle.to_tensor(other))
        want = ohem(pixel_losses(score, other, weight, ignore), 0.9, 131072)
        np.testing.assert_allclose(float(loss), want, rtol=1e-5)


def test_boundary_loss():
    rng = np.random.RandomState(4)
    score = rng.randn(2, 1, 4, 5).astype('float32')
    edge = (rng.rand(2, 4, 5) < 0.3).astype('int64')
    for ignored in (False, True):
        valid = np.ones(edge.shape, bool)
        if ignored:
            edge[1, 2:] = 255
            valid[1, 2:] = False
        logit = paddle.to_tensor(score, stop_gradient=False)
        loss = losses.PIDNetBoundaryLoss()(logit, paddle.to_tensor(edge))
        prob = 1 / (1 + np.exp(-score[:, 0].astype('float64')))
        on, off = valid & (edge == 1), valid & (edge == 0)
        total = valid.sum()
        want = (-np.log(prob[on]).sum() * off.sum() / total -
                np.log(1 - prob[off]).sum() * on.sum() / total) / total
        np.testing.assert_allclose(float(loss), want, rtol=1e-5)
        loss.backward()
        assert logit.grad.numpy()[:, 0][valid].all()
        assert not logit.grad.numpy()[:, 0][~valid].any()


@pytest.mark.parametrize('ignore_index', [0, 1, 2, 255])
def test_boundary_loss_does_not_ignore_its_own_classes(ignore_index):
    # SegBuilder gives the ignore_index of the data set to every loss.
    rng = np.random.RandomState(4)
    score = rng.randn(2, 1, 4, 5).astype('float32')
    edge = paddle.to_tensor((rng.rand(2, 4, 5) < 0.3).astype('int64'))
    results = []
    for criterion in (losses.PIDNetBoundaryLoss(ignore_index=ignore_index),
                      losses.PIDNetBoundaryLoss()):
        logit = paddle.to_tensor(score, stop_gradient=False)
        loss = criterion(logit, edge)
        loss.backward()
        assert float(loss) > 0.1 and logit.grad.numpy().all()
        results.append(logit.grad.numpy())
    np.testing.assert_array_equal(*results)


def test_boundary_aware_loss(sample):
    score, label, weight = sample
    boundary = np.random.RandomState(5).randn(2, 1, 5, 6).astype('float32') * 4
    criterion = losses.PIDNetBoundaryAwareLoss(weight=weight)
    logit = paddle.to_tensor(score, stop_gradient=False)
    edge_logit = paddle.to_tensor(boundary, stop_gradient=False)
    loss = criterion((logit, edge_logit), paddle.to_tensor(label))
    sure = 1 / (1 + np.exp(-boundary[:, 0])) > 0.8
    kept = np.where(sure, label, 255)
    assert 0 < (kept != 255).sum() < (label != 255).sum()
    np.testing.assert_allclose(
        float(loss),
        ohem(pixel_losses(score, kept, weight), 0.9, 131072),
        rtol=1e-5)
    loss.backward()
    assert edge_logit.grad is None or not edge_logit.grad.numpy().any()
    assert not logit.grad.numpy().transpose(0, 2, 3, 1)[kept == 255].any()


@pytest.mark.parametrize('case', ['no boundary', 'all ignored', 'all easy'])
def test_no_hard_pixel_gives_zero_and_keeps_the_graph(sample, case):
    score, label, weight = sample
    boundary = np.full((2, 1, 5, 6), 9., 'float32')
    if case == 'no boundary':
        boundary = -boundary
    elif case == 'all ignored':
        label = np.full_like(label, 255)
    else:
        label = np.full_like(label, 255)
        label[0, 0, 0] = 1
        score[0, :, 0, 0] = [0, 50, 0, 0]
    criterion = losses.PIDNetBoundaryAwareLoss(weight=weight)
    logit = paddle.to_tensor(score, stop_gradient=False)
    loss = criterion((logit * 1, paddle.to_tensor(boundary)),
                     paddle.to_tensor(label))
    loss.backward()
    assert float(loss) == 0
    assert logit.grad is not None and not logit.grad.numpy().any()


def test_class_weights_of_another_data_set_are_refused(sample):
    score, label, _ = sample
    for criterion in (losses.PIDNetOhemLoss(weight=[1.] * 19),
                      losses.PIDNetAuxLoss(weight=[1.] * 19)):
        with pytest.raises(ValueError, match='is 19, but the model has 4 cla'):
            criterion(paddle.to_tensor(score), paddle.to_tensor(label))


@pytest.mark.parametrize('criterion',
                         [losses.PIDNetOhemLoss, losses.PIDNetAuxLoss])
def test_one_class_is_refused(criterion):
    label = paddle.zeros([2, 5, 6], 'int64')
    with pytest.raises(ValueError, match='`num_classes: 2`'):
        criterion()(paddle.randn([2, 1, 5, 6]), label)


def loss_config():
    return {
        'types': [
            losses.PIDNetOhemLoss(),
            losses.PIDNetAuxLoss(),
            losses.PIDNetBoundaryLoss(),
            losses.PIDNetBoundaryAwareLoss()
        ],
        'coef': [1, 0.4, 20, 1]
    }


def test_loss_computation():
    model = build(num_classes=4, tiny=True)
    rng = np.random.RandomState(6)
    label = paddle.to_tensor(rng.randint(0, 4, (2, 32, 64)).astype('uint8'))
    edge = rng.randint(0, 2, (2, 32, 64)).astype('uint8')
    logits = model(paddle.randn([2, 3, 32, 64]))
    config = loss_config()

    def compute(edge):
        data = {'label': label, 'edge': paddle.to_tensor(edge)}
        return [float(v) for v in model.loss_computation(logits, config, data)]

    terms = compute(edge)
    label = label.astype('int64')
    main, aux, boundary, aware = config['types']
    want = [
        float(main(logits[0], label)), 0.4 * float(aux(logits[1], label)),
        20 * float(boundary(logits[2], paddle.to_tensor(edge))),
        float(aware((logits[0], logits[2]), label))
    ]
    np.testing.assert_allclose(terms, want, rtol=1e-6)

    # What a transform padded counts as no boundary.
    padded, off = edge.copy(), edge.copy()
    padded[:, 20:], off[:, 20:] = 255, 0
    np.testing.assert_allclose(compute(padded), compute(off), rtol=1e-6)

    with pytest.raises(KeyError, match='AddEdgeLabel'):
        model.loss_computation(logits, config, {'label': label})
    config['types'] = config['types'][:3]
    with pytest.raises(ValueError, match='3 `types` and 4 `coef`'):
        compute(edge)


# --- edge label ---------------------------------------------------------------


def test_edge_label_of_two_halves():
    label = np.zeros((20, 30), 'uint8')
    label[:, 15:] = 1
    edge = T.AddEdgeLabel(edge_size=4, border=0)({'label': label})['edge']
    columns = np.flatnonzero(edge.any(0))
    # The kernel of four pixels reaches two to the left and one to the right of
    # the one pixel that Canny marks.
    assert columns.tolist() == list(range(columns[0], columns[0] + 4))
    assert 14 in columns and 15 in columns and edge[:, columns].all()
    assert edge.dtype == np.uint8 and set(np.unique(edge)) == {0, 1}

    cleared = T.AddEdgeLabel(edge_size=1, border=6)({'label': label})['edge']
    rows = np.flatnonzero(cleared.any(1))
    assert rows.tolist() == list(range(6, 14))


def test_edge_label_of_small_and_odd_labels():
    assert not T.AddEdgeLabel()({
        'label': np.eye(5, dtype='uint8')
    })['edge'].any()
    label = np.zeros((20, 30), 'int32')
    label[:, 15:] = 255
    assert T.AddEdgeLabel()({'label': label})['edge'].any()
    assert 'edge' not in T.AddEdgeLabel()({'img': label})
    with pytest.raises(ValueError, match=r'\(H, W\)'):
        T.AddEdgeLabel()({'label': np.zeros((2, 20, 30), 'uint8')})
    with pytest.raises(ValueError, match=r'\[0, 255\]'):
        T.AddEdgeLabel()({'label': label + 1})
    for bad in (dict(edge_size=0), dict(border=-1)):
        with pytest.raises(ValueError):
            T.AddEdgeLabel(**bad)


def test_edge_label_follows_the_label():
    label = np.zeros((40, 60), 'uint8')
    label[:, 30:] = 1
    transforms = T.Compose([
        T.AddEdgeLabel(),
        T.ResizeStepScaling(0.5, 0.5),
        T.RandomPaddingCrop(crop_size=[64, 64]),
        T.RandomHorizontalFlip(1.0)
    ])
    data = transforms({
        'img': np.zeros((40, 60, 3), 'float32'),
        'label': label,
        'gt_fields': ['label']
    })
    assert data['gt_fields'] == ['label', 'edge']
    assert data['edge'].shape == data['label'].shape == (64, 64)
    # 30 columns of content, flipped to the right, the rest is padding.
    assert (data['edge'][:, :34] == 255).all()
    assert data['edge'][10, 34:].max() == 1
    assert np.flatnonzero(data['edge'][10] == 1).mean() - 34 == pytest.approx(
        15, abs=1.5)


@pytest.mark.parametrize('transforms, warns', [
    ([T.AddEdgeLabel(),
      T.RandomPaddingCrop([64, 64]),
      T.Normalize()], None),
    ([T.RandomPaddingCrop([64, 64]),
      T.AddEdgeLabel()], 'padded'),
    ([T.Normalize(), T.AddEdgeLabel()], 'normalized'),
])
def test_edge_label_put_late_is_warned_of_once(transforms, warns, monkeypatch):
    said = []
    monkeypatch.setattr(edge_label.logger, 'warning', said.append)
    rng = np.random.RandomState(0)
    for _ in range(2):
        T.Compose(transforms)({
            'img':
            rng.randint(0, 256, (40, 60, 3)).astype('float32'),
            'label':
            rng.randint(0, 2, (40, 60)).astype('uint8'),
            'gt_fields': ['label']
        })
    assert len(said) == (warns is not None)
    if warns:
        assert 'got a picture that is ' + warns in said[0]


# --- converter ----------------------------------------------------------------

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


def names_there(model, size):
    """Pairs of the authors' name and ours, for every tensor of the model."""
    shallow, deep = SIZES[size].get('block_layers', (2, 3))
    table = convert_pidnet.name_table(shallow, deep, size != 'large')
    back = {here: there for there, here in convert_pidnet._names_there(table)}
    return OrderedDict((back[name], name) for name in model.state_dict())


def checkpoint_of(model, size):
    """The model's tensors under the authors' names."""
    state, result = model.state_dict(), OrderedDict()
    for there, here in names_there(model, size).items():
        result[there] = state[here].numpy()
        if there.endswith('running_var'):
            result[there.replace('running_var', 'num_batches_tracked')] = \
                np.array(7, 'int64')
    return result


def randomize(model):
    for name, value in model.state_dict().items():
        value.set_value(paddle.rand(value.shape) + 0.5)
    return model


def run_converter(*args):
    convert_pidnet.main(convert_pidnet.parse_args(args))


def convert_file(path, model, drop=(), missing_ok=()):
    state = convert_pidnet.strip_checkpoint(
        convert_pidnet.read_checkpoint(str(path)), drop)
    expected = {k: v.shape for k, v in model.state_dict().items()}
    return convert_pidnet.convert(state, expected, missing_ok)


@pytest.mark.parametrize(
    'form', ['plain', 'model.', 'module.model.', 'state_dict', 'model'])
@pytest.mark.parametrize('size', sorted(SIZES))
def test_converter_uses_up_both_key_sets(tmp_path, size, form):
    model = randomize(build(size, tiny=True))
    state = checkpoint_of(model, size)
    assert len(set(state)) == len(state)
    if form.endswith('model.'):
        state = OrderedDict((form + k, v) for k, v in state.items())
        loss_prefix = form[:-len('model.')]
        state[loss_prefix + 'sem_loss.criterion.weight'] = np.ones(
            19, 'float32')
    if form in ('state_dict', 'model'):
        state = {'epoch': 3, form: state, 'best_mIoU': 0.5}
    write_checkpoint(tmp_path / 'a.pt', state)
    weights = convert_file(tmp_path / 'a.pt', model)
    want = {k: v.numpy() for k, v in model.state_dict().items()}
    assert set(weights) == set(want)
    for name in want:
        np.testing.assert_array_equal(weights[name], want[name])


@pytest.mark.parametrize('size', sorted(SIZES))
def test_converter_reads_the_size_off_the_tensors(size):
    large = size == 'large'
    state = checkpoint_of(build(size, tiny=True), size)
    for name, channels in (('conv1.0.weight', SIZES[size].get(
            'base_channels', 32)), ('spp.scale0.2.weight', 112 if large else
                                    96), ('final_layer.conv1.weight', 256
                                          if large else 128),
                           ('final_layer.conv2.weight', 11)):
        shape = (channels, ) + state[name].shape[1:]
        state[name] = np.broadcast_to(np.float32(0), shape)
    backbone, model = convert_pidnet.read_architecture(state)
    assert backbone.pop('in_channels') == 3
    assert backbone == dict(
        dict(
            base_channels=32,
            block_layers=[2, 3],
            context_channels=96,
            lightweight=True), **SIZES[size])
    assert model == {'num_classes': 11, 'head_channels': 256 if large else 128}


def test_converter_program(tmp_path):
    model = randomize(build('small', tiny=True))
    state = checkpoint_of(model, 'small')
    state['model_ema'] = 3
    source, target = str(tmp_path / 'a.pth.tar'), str(tmp_path / 'a.pdparams')
    write_checkpoint(source, state)
    with pytest.raises(
            convert_pidnet.ConvertError,
            match='model_ema is a int, not a tensor.*--drop model_ema'):
        run_converter(source, target)
    run_converter(source, target, '--drop', 'model_ema')
    loaded = PIDNet(
        19,
        PIDNetBackbone(base_channels=4, context_channels=4),
        head_channels=8,
        pretrained=target)
    x = paddle.randn([1, 3, 64, 64])
    loaded.eval()
    model.eval()
    np.testing.assert_array_equal(loaded(x)[0].numpy(), model(x)[0].numpy())

    run_converter(source, target, '--drop', 'model_ema', '--backbone')
    backbone = PIDNetBackbone(
        base_channels=4, context_channels=4, pretrained=target)
    want = model.backbone.state_dict()
    for name, value in backbone.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), want[name].numpy())


def test_converter_asks_for_no_head_of_a_backbone(tmp_path):
    model = randomize(build('small', tiny=True))
    source, target = str(tmp_path / 'a.pth.tar'), str(tmp_path / 'a.pdparams')
    state = OrderedDict((k, v)
                        for k, v in checkpoint_of(model, 'small').items()
                        if not k.startswith(convert_pidnet.HEAD_PREFIXES))
    write_checkpoint(source, {'state_dict': state})
    with pytest.raises(convert_pidnet.ConvertError, match='final_layer'):
        run_converter(source, target)
    run_converter(source, target, '--backbone')
    weights = paddle.load(target)
    want = model.backbone.state_dict()
    assert set(weights) == set(want)
    for name, value in weights.items():
        np.testing.assert_array_equal(value.numpy(), want[name].numpy())

    del state['pag3.f_x.0.weight']
    write_checkpoint(source, {'state_dict': state})
    with pytest.raises(convert_pidnet.ConvertError, match=r'lacks pag3\.f_x'):
        run_converter(source, target, '--backbone')


def test_converter_takes_a_checkpoint_without_training_heads(tmp_path):
    model = randomize(build('large', tiny=True))
    state = OrderedDict((k, v)
                        for k, v in checkpoint_of(model, 'large').items()
                        if not k.startswith(('seghead_p.', 'seghead_d.')))
    write_checkpoint(tmp_path / 'a.pt', state)
    weights = convert_file(tmp_path / 'a.pt', model)
    missing = set(model.state_dict()) - set(weights)
    assert missing and all(
        name.startswith(('aux_head.', 'boundary_head.')) for name in missing)


def test_converter_names_what_is_wrong(tmp_path):
    model = build('small', tiny=True)
    good = checkpoint_of(model, 'small')
    path = tmp_path / 'a.pt'

    def fails(state, message, **kwargs):
        write_checkpoint(path, state)
        with pytest.raises(convert_pidnet.ConvertError, match=message):
            convert_file(path, model, **kwargs)

    state = OrderedDict(good)
    state['linear.weight'] = np.zeros((3, 4), 'float32')
    fails(state, r'no place for linear\.weight')
    write_checkpoint(path, state)
    assert convert_file(path, model, drop=('linear.', ))

    state = OrderedDict(good)
    del state['pag3.f_x.0.weight']
    fails(state, r'lacks pag3\.f_x\.0\.weight\.')
    write_checkpoint(path, state)
    assert convert_file(path, model, missing_ok=('pag3.', ))

    # Half an auxiliary head is not an absent one.
    state = OrderedDict(good)
    del state['seghead_d.bn1.running_mean']
    fails(state, r'lacks seghead_d\.bn1\.running_mean')

    state = OrderedDict(good)
    state['layer1.0.conv1.weight'] = state['layer1.0.conv1.weight'][:2]
    state['layer5.0.conv1.weight'] = np.zeros((3, 3, 1, 1), 'float32')
    fails(state, r'layer1\.0\.conv1\.weight has the shape \[2, 4, 3, 3\].*'
          r'layer5\.0\.conv1\.weight has .*`--drop PREFIX --missing-ok PREFIX`')
    write_checkpoint(path, state)
    names = ('layer1.0.conv1.weight', 'layer5.0.conv1.')
    weights = convert_file(path, model, drop=names, missing_ok=names)
    assert len(weights) == len(model.state_dict()) - 2
    fails(state, r'No tensor is left.*--drop takes all of it', drop=('', ))

    state = OrderedDict(good)
    state['layer1.0.bn1.weight'] = np.full(4, np.nan, 'float32')
    fails(state, r'layer1\.0\.bn1\.weight is not finite')

    fails({'a.weight': np.zeros(3, 'float32')}, 'no conv1.0.weight')


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
