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
"""SOLIDER: the Swin Transformer variants with semantic layers."""

import os
import warnings

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
import yaml

from ppcls.arch import backbone, build_model
from ppcls.arch.backbone.legendary_models.swin_transformer import (
    SwinTransformer, SwinTransformerBlock)
from ppcls.arch.backbone.variant_models.swin_transformer_variant import (
    PaddedPatchMerging, SwinTransformerSOLIDER, _load_pretrained, softplus)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TINY = "SwinTransformer_tiny_patch4_window7_224_SOLIDER"


def small_solider(img_size=56, **kwargs):
    paddle.seed(7)
    config = dict(
        class_num=0, embed_dim=12, depths=[2, 2, 2], num_heads=[1, 2, 3])
    config.update(kwargs)
    model = SwinTransformerSOLIDER(img_size=img_size, **config)
    model.eval()
    return model


def stages(model, x, *args):
    with paddle.no_grad():
        result = model(x, *args)
    return [result["logits"].numpy()] + [s.numpy() for s in result["stages"]]


@pytest.mark.parametrize("size, maps", [
    ((224, 224), [(56, 56), (28, 28), (14, 14), (7, 7)]),
    ((384, 128), [(96, 32), (48, 16), (24, 8), (12, 4)]),
    ((97, 61), [(25, 16), (13, 8), (7, 4), (4, 2)]),
    ((5, 3), [(2, 1), (1, 1), (1, 1), (1, 1)]),
])
def test_any_image_size(size, maps):
    model = small_solider(
        size, depths=[2] * 4, num_heads=[1, 2, 3, 4], return_stages=True)

    found = stages(model, paddle.randn([2, 3, size[0], size[1]]))

    assert [s.shape for s in found[1:]] == [(2, 12 * 2**i, h, w)
                                            for i, (h, w) in enumerate(maps)]
    np.testing.assert_allclose(
        found[0], found[-1].mean((2, 3)), rtol=1e-5, atol=1e-6)
    assert all(np.isfinite(s).all() for s in found)


def test_parameters_do_not_depend_on_the_image_size():
    square, tall = small_solider(56), small_solider((97, 61))

    missing, unexpected = tall.set_state_dict(square.state_dict())

    assert not missing and not unexpected
    shapes = [{k: v.shape
               for k, v in m.state_dict().items()} for m in (square, tall)]
    assert shapes[0] == shapes[1]
    assert not any("mask" in name for name in shapes[0])


def test_window_and_shift_stay_on_small_maps():
    blocks = [b for layer in small_solider().layers for b in layer.blocks]

    assert [b.window_size for b in blocks] == [7] * 6
    assert [b.shift_size for b in blocks] == [0, 3] * 3


def test_without_semantic_layers_and_shift_it_is_the_plain_swin():
    config = dict(
        img_size=56,
        class_num=5,
        embed_dim=12,
        depths=[1, 1],
        num_heads=[1, 2],
        drop_path_rate=0.)
    plain = SwinTransformer(**config)
    ours = SwinTransformerSOLIDER(semantic_weight=None, **config)
    state = {}
    for name, value in plain.state_dict().items():
        if "downsample" in name:
            # PatchMerging orders by column, row, channel, nn.Unfold by
            # channel, row, column
            value = value.numpy()
            shape = value.shape
            value = value.reshape([2, 2, 12, -1]).transpose([2, 1, 0, 3])
            value = paddle.to_tensor(value.reshape(shape))
        state[name.replace("norm.", "norm1.")
              if name.startswith("norm.") else name] = value
    missing, unexpected = ours.set_state_dict(state)
    assert set(missing) == {"norm0.weight", "norm0.bias"}
    assert not unexpected
    plain.eval()
    ours.eval()
    x = paddle.randn([2, 3, 56, 56])

    np.testing.assert_allclose(
        ours(x).numpy(), plain(x).numpy(), rtol=1e-6, atol=1e-6)


def test_merging_reads_the_channels_in_the_order_of_unfold():
    paddle.seed(3)
    layer = PaddedPatchMerging((4, 5), 5)
    rng = np.random.RandomState(0)
    x = rng.standard_normal((1, 4, 5, 5)).astype("float32")
    scale, shift = rng.standard_normal((2, 20)).astype("float32")
    layer.norm.weight.set_value(scale)
    layer.norm.bias.set_value(shift)

    # nn.Unfold(2, stride=2) of a (C, H, W) map: channel, row, column
    patches = np.pad(x[0], ((0, 0), (0, 1), (0, 0))).reshape(2, 2, 3, 2, 5)
    patches = patches.transpose(0, 2, 4, 1, 3).reshape(6, 20)
    mean = patches.mean(1, keepdims=True)
    patches = (patches - mean) / np.sqrt(
        patches.var(1, keepdims=True) + 1e-5) * scale + shift
    wanted = patches @ layer.reduction.weight.numpy()

    found = layer(paddle.to_tensor(x.reshape(1, 20, 5))).numpy()[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_padding_does_what_a_padded_map_would():
    """A block on a 10x5 map is one on the 14x7 map with zeros behind norm1."""
    model = small_solider((40, 20))
    block = model.layers[0].blocks[1]
    x = paddle.randn([2, 50, 12])

    padded = paddle.zeros([2, 14, 7, 12])
    padded[:, :10, :5] = block.norm1(x).reshape([2, 10, 5, 12])
    whole = SwinTransformerBlock.window_attention(block, padded)
    y = x + whole[:, :10, :5].reshape([2, 50, 12])
    y = y + block.mlp(block.norm2(y))

    assert block.shift_size == 3
    np.testing.assert_allclose(
        block(x).numpy(), y.numpy(), rtol=1e-6, atol=1e-6)


def test_semantic_weight_scales_and_shifts_the_tokens():
    model = small_solider(return_stages=True)
    x = paddle.randn([2, 3, 56, 56])
    seen = []
    model.layers[1].register_forward_pre_hook(
        lambda layer, inputs: seen.append(inputs[0]))
    before = []
    model.layers[0].register_forward_post_hook(
        lambda layer, inputs, outputs: before.append(outputs[0]))

    model(x, 0.3)

    pair = paddle.to_tensor([[0.3, 0.7]])
    weight = F.softplus(model.semantic_embed_w[0](pair))
    bias = model.semantic_embed_b[0](pair)
    np.testing.assert_allclose(
        seen[0].numpy(), (before[0] * weight + bias).numpy(),
        rtol=1e-5,
        atol=1e-6)


def test_softplus_and_its_gradient():
    values = np.array([-100., -20., -1., -1e-3, 0., 1e-3, 1., 20., 100.])
    found = []
    for function in (softplus, F.softplus):
        x = paddle.to_tensor(values, stop_gradient=False)
        y = function(x)
        y.sum().backward()
        found.append((y.numpy(), x.grad.numpy()))

    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-8)


def test_semantic_weight_reaches_all_stages_but_the_first():
    model = small_solider(return_stages=True, semantic_weight=0.2)
    x = paddle.randn([2, 3, 56, 56])

    default, low, high = stages(model, x), stages(model, x, 0.2), stages(
        model, x, 1.0)

    for a, b in zip(default, low):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(low[1], high[1])
    for i in (0, 2, 3):
        assert np.abs(low[i] - high[i]).max() > 1e-3


def test_one_semantic_weight_for_each_image():
    model = small_solider(return_stages=True)
    x = paddle.randn([2, 3, 56, 56])

    mixed = stages(model, x, paddle.to_tensor([0.1, 0.7], dtype="float32"))

    for i, weight in enumerate((0.1, 0.7)):
        for a, b in zip(mixed, stages(model, x[i:i + 1], weight)):
            np.testing.assert_allclose(a[i:i + 1], b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weight", [
    np.array([0.25, 1.0]),
    np.array([0.25, 1.0], "float32"),
    [0.25, 1.0],
    paddle.to_tensor([0.25, 1.0], dtype="float64"),
    paddle.to_tensor([0.25, 1.0], dtype="float16"),
])
def test_semantic_weights_of_any_kind(weight):
    model = small_solider()
    x = paddle.randn([2, 3, 56, 56])

    found = model(x, weight).numpy()

    wanted = model(x, paddle.to_tensor([0.25, 1.0], dtype="float32")).numpy()
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("weight", [
    1, True,
    np.float32(1),
    np.array(1),
    np.array([1]),
    paddle.to_tensor(1.0),
    paddle.to_tensor([1]),
    paddle.ones([2], dtype="int64"),
    paddle.ones([2], dtype="bool")
])
def test_semantic_weight_one_of_any_kind(weight):
    model = small_solider()
    x = paddle.randn([2, 3, 56, 56])

    np.testing.assert_array_equal(
        model(x, weight).numpy(), model(x, 1.0).numpy())
    if np.size(weight) == 1:
        built = small_solider(semantic_weight=weight)
        np.testing.assert_array_equal(built(x).numpy(), model(x, 1.0).numpy())


@pytest.mark.parametrize("return_stages", [False, True])
def test_exactly_the_trainable_parameters_get_a_gradient(return_stages):
    model = small_solider(return_stages=return_stages, class_num=4)
    model.train()
    result = model(paddle.randn([2, 3, 56, 56]))
    if return_stages:
        loss = result["logits"].square().mean() + sum(
            s.square().mean() for s in result["stages"])
    else:
        loss = result.square().mean()

    loss.backward()

    frozen = {
        name
        for name, param in model.named_parameters() if param.stop_gradient
    }
    unused = {
        name
        for name, param in model.named_parameters() if param.grad is None
    }
    last = {
        "semantic_embed_{}.2.{}".format(a, b)
        for a in "wb" for b in ("weight", "bias")
    }
    norms = {
        "norm{}.{}".format(a, b)
        for a in (0, 1) for b in ("weight", "bias")
    }
    assert frozen == unused == (last if return_stages else last | norms)


def test_static_graph_takes_a_semantic_weight_for_each_image():
    model = small_solider((60, 36), return_stages=True)
    x = paddle.randn([3, 3, 60, 36])
    weight = paddle.to_tensor([0., 0.5, 1.], dtype="float32")
    dygraph = stages(model, x, weight)

    spec = [
        paddle.static.InputSpec([None, 3, 60, 36], "float32"),
        paddle.static.InputSpec([None], "float32")
    ]
    static = paddle.jit.to_static(model, input_spec=spec, full_graph=True)

    for a, b in zip(stages(static, x, weight), dygraph):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_static_graph_refuses_an_unknown_size():
    spec = [paddle.static.InputSpec([None, 3, None, None], "float32")]
    static = paddle.jit.to_static(
        small_solider(), input_spec=spec, full_graph=True)

    with pytest.raises(ValueError, match=r"img_size=\[56, 56\]"):
        static.forward.concrete_program


@pytest.mark.parametrize("call, message", [
    (lambda: small_solider()(paddle.zeros([1, 3, 28, 112])),
     r"built with img_size=\[56, 56\], but got images of \[28, 112\]"),
    (lambda: small_solider(0), "img_size must be a positive size"),
    (lambda: small_solider("56"), "positive size or .*but got '56'"),
    (lambda: small_solider(("56", "56")), "img_size must be a positive size"),
    (lambda: small_solider((56, 56, 3)), "img_size must be a positive size"),
    (lambda: small_solider(semantic_weight=1.5), r"in \[0, 1\], but got 1.5"),
    (lambda: small_solider(semantic_weight="0.2"), "but got '0.2'"),
    (lambda: small_solider(semantic_weight=-1),
     "but got -1. To switch .* semantic_weight=None"),
    (lambda: small_solider(semantic_weight=[0.1, 0.2]), r"got \[0.1, 0.2\]"),
    (lambda: small_solider(semantic_weight=float("nan")), "but got nan"),
    (lambda: small_solider()(paddle.zeros([1, 3, 56, 56]), -0.1),
     r"in \[0, 1\], but got -0.1"),
    (lambda: small_solider()(paddle.zeros([2, 3, 56, 56]),
                             paddle.to_tensor([0.5, 1.5])),
     r"in \[0, 1\], but got \[0.5, 1.5\]"),
    (lambda: small_solider()(paddle.zeros([1, 3, 56, 56]), np.array([-1])),
     r"in \[0, 1\], but got \[-1\]"),
    (lambda: small_solider()(paddle.zeros([1, 3, 56, 56]),
                             paddle.to_tensor([float("nan")])),
     r"in \[0, 1\], but got \[nan\]"),
    (lambda: small_solider()(paddle.zeros([1, 3, 56, 56]), "0.2"),
     "but got '0.2'"),
    (lambda: small_solider()(paddle.zeros([1, 3, 56, 56]), paddle.ones([2])),
     r"have the shape \[1\], but its shape is \[2\]"),
    (lambda: small_solider(semantic_weight=None)(
        paddle.zeros([1, 3, 56, 56]), 0.5), "no semantic layers"),
    (lambda: getattr(backbone, TINY)(pretrained=True), "convert_solider"),
])
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_unknown_argument_is_named():
    with pytest.raises(TypeError, match="semantic_wieght"):
        getattr(backbone, TINY)(semantic_wieght=0.2)


def save(state, tmp_path):
    path = str(tmp_path / "weights.pdparams")
    paddle.save(state, path)
    return path


def load(state, tmp_path, **kwargs):
    """The names of all tensors that came from the file, and what was said."""
    model = small_solider(**kwargs)
    before = {k: v.numpy() for k, v in model.state_dict().items()}
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        _load_pretrained(save(state, tmp_path), model)
    taken = {
        name
        for name, value in model.state_dict().items()
        if not np.array_equal(value.numpy(), before[name])
    }
    said = [
        str(w.message) for w in seen if "weights.pdparams" in str(w.message)
    ]
    return taken, said


@pytest.fixture
def state():
    """A checkpoint of the small model with 4 classes, all tensors unlike."""
    rng = np.random.RandomState(1)
    return {
        name: value if name.endswith("index") else
        paddle.to_tensor(rng.standard_normal(value.shape).astype("float32"))
        for name, value in small_solider(class_num=4).state_dict().items()
    }


def learned(state):
    return {name for name in state if not name.endswith("index")}


def backbone_of(state):
    return {k: v for k, v in state.items() if not k.startswith("head.")}


def test_a_checkpoint_is_loaded(state, tmp_path):
    taken, said = load(state, tmp_path, class_num=4)

    assert taken == learned(state)
    assert not said


def test_half_a_checkpoint_is_refused(tmp_path, state):
    half = {k: v for k, v in state.items() if not k.startswith("layers.2")}
    half["norm2.weight"] = paddle.ones([3])

    with pytest.raises(ValueError) as error:
        load(half, tmp_path, class_num=4)

    for text in ("weights.pdparams",
                 "layers.2.blocks.0.attn.proj.bias is missing", "and 24 more"):
        assert text in str(error.value)
    with pytest.raises(ValueError, match="norm2.weight has shape"):
        load(dict(state, **{"norm2.weight": paddle.ones([3])}), tmp_path)
    with pytest.raises(ValueError, match="exist"):
        _load_pretrained(str(tmp_path / "none"), small_solider())
    with pytest.raises(ValueError, match="no state dict"):
        load([1, 2], tmp_path)


def test_an_unknown_tensor_is_refused(tmp_path, state):
    state["layers.0.gate"] = paddle.ones([3])

    with pytest.raises(ValueError, match="layers.0.gate is unknown"):
        load(state, tmp_path, class_num=4)


def test_names_of_another_model_are_refused(tmp_path, state):
    """Its last norm is `norm`, its PatchMerging orders in another way."""
    other = {
        k.replace("norm2.", "norm.") if k.startswith("norm2.") else k: v
        for k, v in state.items()
    }

    with pytest.raises(ValueError, match="norm2.bias is missing"):
        load(other, tmp_path, class_num=4)
    official = {
        k.replace("patch_embed.proj.", "patch_embed.projection."): v
        for k, v in state.items()
    }
    with pytest.raises(ValueError, match="0 SOLIDER backbones.*convert_solid"):
        load(official, tmp_path, class_num=4)


def test_the_checkpoint_of_paddleclas_26_fits(tmp_path, state):
    """It has a `norm` that its forward does not read, and masks."""
    extra = {
        "norm.weight": paddle.ones([7]),
        "norm.bias": paddle.ones([7]),
        "layers.0.blocks.1.attn_mask": paddle.ones([4, 49, 49])
    }

    taken, said = load(dict(state, **extra), tmp_path, class_num=4)

    assert taken == learned(state)
    assert len(said) == 1
    assert all(name in said[0] for name in extra)


def test_a_head_of_other_classes_is_skipped_with_a_warning(tmp_path, state):
    taken, said = load(state, tmp_path, class_num=6)

    assert taken == learned(backbone_of(state))
    assert len(said) == 1
    assert "head.weight has shape [48, 4], the model wants [48, 6]" in said[0]
    assert "head.bias has shape [4], the model wants [6]" in said[0]
    taken, said = load(state, tmp_path, class_num=0)
    assert taken == learned(backbone_of(state))
    assert "not used: head.bias; head.weight" in said[0]


def test_pretrained_backbone_fits_under_a_new_head(tmp_path, state):
    taken, said = load(backbone_of(state), tmp_path, class_num=4)

    assert taken == learned(backbone_of(state))
    assert "head.weight is missing" in said[0]


@pytest.mark.parametrize("prefix", [
    "backbone.", "module.", "model.", "module.backbone.", "_layers.",
    "teacher."
])
def test_prefixes(prefix, tmp_path, state):
    state = {prefix + name: value for name, value in state.items()}

    taken, said = load(state, tmp_path, class_num=4)

    assert {prefix + name for name in taken} == learned(state)
    assert not said


def test_the_backbone_of_a_whole_model(tmp_path, state):
    whole = {"backbone." + name: value for name, value in state.items()}
    whole["neck.weight"] = whole["head.weight"] = paddle.ones([3])

    taken, said = load(whole, tmp_path, class_num=4)

    assert taken == learned(state)
    assert "not used: head.weight; neck.weight" in said[0]
    both = {"student." + name: value for name, value in whole.items()}
    both.update({"teacher." + name: value for name, value in whole.items()})
    with pytest.raises(ValueError, match="holds 2 SOLIDER backbones"):
        load(both, tmp_path, class_num=4)


def test_semantic_layers_are_left_out_only_where_there_are_none(
        tmp_path, state):
    taken, said = load(state, tmp_path, class_num=4, semantic_weight=None)

    names = {name for name in state if name.startswith("semantic_embed_")}
    assert taken == learned(state) - names
    assert "not used: semantic_embed_b.0.bias" in said[0]
    with pytest.raises(ValueError, match="semantic_embed_b.0.bias is missing"):
        load({k: v for k, v in state.items() if k not in names}, tmp_path)


def test_weights_of_half_precision_are_cast(tmp_path, state):
    half = {
        k: v if k.endswith("index") else v.astype("float16")
        for k, v in state.items()
    }

    taken, said = load(half, tmp_path, class_num=4)

    assert taken == learned(state)
    assert not said


@pytest.mark.parametrize("name, count", [("tiny", 28288354),
                                         ("small", 49606258), ("base",
                                                               87768224)])
def test_variants_are_the_swin_of_their_size(name, count):
    arch = "SwinTransformer_{}_patch4_window7_224_SOLIDER".format(name)

    model = build_model({"Arch": {"name": arch, "class_num": 1000}})

    new = ("semantic_embed_", "norm0", "norm1.", "norm2.")
    assert count == sum(
        int(np.prod(param.shape)) for name, param in model.named_parameters()
        if not name.startswith(new))


@pytest.mark.parametrize("path, shape", [
    ("ImageNet/SwinTransformer/{}.yaml".format(TINY), [2, 1000]),
    ("reid/SOLIDER/swin_tiny_softmax_triplet.yaml", [2, 751]),
])
def test_configs_build_their_model(path, shape):
    with open(os.path.join(ROOT, "ppcls", "configs", path)) as f:
        config = yaml.safe_load(f)
    model = build_model(config)
    model.eval()
    size = config["Global"]["image_shape"]

    with paddle.no_grad():
        result = model(paddle.zeros([2] + size))

    logits = result["logits"] if isinstance(result, dict) else result
    assert list(logits.shape) == shape
