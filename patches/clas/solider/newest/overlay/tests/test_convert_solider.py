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
"""The converter of official SOLIDER checkpoints, and its reader of files of
torch.save."""

import base64
import collections
import io
import os
import pickle
import sys
import types
import zipfile
import zlib

import numpy as np
import paddle
import pytest

from ppcls.arch import backbone
from ppcls.utils import convert_solider, logger

TINY = "SwinTransformer_tiny_patch4_window7_224_SOLIDER"

# A file of torch.save of PyTorch 2.13, zlib, base64. It holds "teacher":
# a = [[0, 1, 2], [3, 4, 5]] as float32, a.t(), a[1], a.half(), int64
# [[-1, 2]], a Parameter 2.5, [True, False] and zeros(0, 3); and an epoch,
# argparse.Namespace and the state of an optimizer.
TORCH_FILE = """
eNqlVktz21QUvrYTx1WdR0tDExpKoTyc0jqWX3FK0qQiVQsqTaI+0GTIeGRFsTSVLR/pup2WyUwY
SIAdLGHR6YIF/4CBBTN0zwK2MAMzXQArWHbYwL2SbXSVxKHpdRTF8v0e50jfiRelWA9CiQTatgbQ
EeTWVMuaWFWxmm7ctERhCC2H1kZ0HVBK6SMArKuaoTsQ0TTbsnQNm3bd5RacVd3RV+dNDXMQHZch
llI4sruiajcrdl1Pq9CjYdvRjHS5iU3L5cqOXmma1moZ63XXdsq3shz0pnwNl+xUqzrEfQgnWraK
r/oXOehTImRPBhJKjJy1RhMOSHEM3JKEpKgU24KDUkyKbEHyY4M66ccwIMOgkmTslDEMGUTPiBt9
RsLwGA5RhpgU3YLDUoQSPeUzHMEwLMPTLINj34ajYYaRJYKPbcKoFNmEZ3z0MQxjMjyr9AfRhmqt
wXEf3iryErnUqfE5r0YeTvi8z3dqe8Gv7aTP/SKGl2R4mXVm1jG8wlBftuvVDnXKo87COKGOYjhF
qSO06FeJAqE+7VOfwZCWYUIZCFI3VEetQWaXO+l9qmPd4YBvd8YTy0GWiEUw5IjY+LgvkMdQkKH4
kfdm8kMoyTDFNqli2xacZSoRyKVOJa955HmY9iuZ8Zq0Cedo82d9kTkM52UQ2Cr0WgPfgdcZiwWY
JywIwwXKgmirRb/VF32mSxjekOHNptJLdusNWzNAkmIKiRVSnaoLlzVyIh1wde4K6YLbUDVi8a3x
9+DKOiwoUbLPcmDx4uzXn9H1uVtRDpBrdgObNfMuCdTSOsjejfTaWK46drPhwtUVuLYO11PGf0gl
3t7kwo0VeDtFb6DeVN1melHqS6z88u7ClyQZ9FjcNffD5OXnPr1mOzUVl2/pjkuyLAqHtsV/mafE
X/358/u0VfTYnXgETbWJWzEuq5ZZrdf0OhaFwnbu/7OKeWpg9jb8QfsY7WpgEJ1vGajcwbpNB5Mo
zOxPt70sE2NLpx42Zx6O0v7Hu3pIornAVJ3IiML0ExnwWTdmya858kOODXLcn6OOjn7y26cjXuO7
O0oHHfGicAo9lv40URbQPLpANf8+9v0XSY+1u+bZoGZWFIr77MI/rRVtMVMPh7/7a2qI/D20h4di
0ENOFLJoP/0/4fU6/c3YA5r4nj00haBmXhTOPdnjtxzxKv725AOFff7Rjuo9QfWCKHTz2t+ZA93y
n+Oo/g/3qtf3zt8YyrcHgGfA1R2TTIC7Kv2mUDZXRSHz2N3gs8VSoTiZmypOFfPklS3yfCbD89lS
KV/IZzKl7CSfy5Ry1OXoB2tjKeIj5bmMeI9M22dwNg5sc85+Dwpjg+NvmME9iqGdZ2mYIjjARhiK
pR6069QMswRH0CDD8mOHpTP6wuDgtEgy4Bu9iJlZYWQw8yzydxbJh5HBpLLId+IMMhtGBvPGIn9l
kbkwMpgVFnmtj0Hm28ids8S0l0UWwprBfPSzRAnEpiwMDT60YwxS7kB3jtOiFI+fbu09HjuzzXr7
/LA1Ox8l2iM0Tr9qo58O+u/9/+q9cR+T9Pb7e/8FgnLFlA==
"""


class Writer(pickle.Pickler):
    """Writes arrays as torch.save writes tensors."""

    def __init__(self, stream, torch):
        super().__init__(stream, protocol=2)
        self.torch = torch
        self.blobs = []

    def persistent_id(self, value):
        if isinstance(value, Storage):
            self.blobs.append(value.array.tobytes())
            kind = {"float32": "FloatStorage", "int64": "LongStorage"}
            return ("storage", getattr(self.torch,
                                       kind[str(value.array.dtype)]),
                    str(len(self.blobs) - 1), "cpu", value.array.size)

    def reducer_override(self, value):
        if not isinstance(value, np.ndarray):
            return NotImplemented
        step, stride = 1, []
        for size in reversed(value.shape):
            stride.insert(0, step)
            step *= size
        return self.torch._utils._rebuild_tensor_v2, (
            Storage(np.ascontiguousarray(value)), 0, value.shape,
            tuple(stride), False, collections.OrderedDict())


class Storage(object):
    def __init__(self, array):
        self.array = array


@pytest.fixture
def save(tmp_path, monkeypatch):
    """save(value) writes a checkpoint and gives its path."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2():
        pass

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    torch._utils = utils
    for name in ("FloatStorage", "LongStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def write(value, name="checkpoint.pth"):
        monkeypatch.setitem(sys.modules, "torch", torch)
        monkeypatch.setitem(sys.modules, "torch._utils", utils)
        stream = io.BytesIO()
        writer = Writer(stream, torch)
        writer.dump(value)
        path = str(tmp_path / name)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", stream.getvalue())
            for i, blob in enumerate(writer.blobs):
                archive.writestr("archive/data/{}".format(i), blob)
        monkeypatch.delitem(sys.modules, "torch")
        monkeypatch.delitem(sys.modules, "torch._utils")
        return path

    return write


def reference_shapes(width=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24)):
    """Names and shapes of the tensors of the reference."""
    shapes = {
        "patch_embed.projection.weight": (width, 3, 4, 4),
        "patch_embed.projection.bias": (width, ),
        "patch_embed.norm.weight": (width, ),
        "patch_embed.norm.bias": (width, ),
    }
    for i, depth in enumerate(depths):
        c = width * 2**i
        for j in range(depth):
            block = "stages.{}.blocks.{}.".format(i, j)
            msa = block + "attn.w_msa."
            shapes[msa + "relative_position_bias_table"] = (169, heads[i])
            shapes[msa + "relative_position_index"] = (49, 49)
            for name, rows, columns in [(msa + "qkv", 3 * c, c), (msa + "proj",
                                                                  c, c),
                                        (block + "ffn.layers.0.0", 4 * c, c),
                                        (block + "ffn.layers.1", c, 4 * c)]:
                shapes[name + ".weight"] = (rows, columns)
                shapes[name + ".bias"] = (rows, )
            for name in ("norm1", "norm2"):
                shapes[block + name + ".weight"] = (c, )
                shapes[block + name + ".bias"] = (c, )
        following = 2 * c if i < len(depths) - 1 else c
        if i < len(depths) - 1:
            down = "stages.{}.downsample.".format(i)
            shapes[down + "norm.weight"] = (4 * c, )
            shapes[down + "norm.bias"] = (4 * c, )
            shapes[down + "reduction.weight"] = (2 * c, 4 * c)
        for part in "wb":
            name = "semantic_embed_{}.{}".format(part, i)
            shapes[name + ".weight"] = (following, 2)
            shapes[name + ".bias"] = (following, )
        shapes["norm{}.weight".format(i)] = (c, )
        shapes["norm{}.bias".format(i)] = (c, )
    return shapes


@pytest.fixture(scope="module")
def target():
    model = getattr(backbone, TINY)(class_num=0)
    return {name: value.numpy() for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def reference(target):
    """A state dict of the reference for the tiny model, all tensors unlike."""
    rng = np.random.RandomState(0)
    index = target["layers.0.blocks.0.attn.relative_position_index"]
    return {
        name: index if name.endswith("index") else
        rng.standard_normal(shape).astype("float32")
        for name, shape in reference_shapes().items()
    }


def test_a_file_of_pytorch_is_read(tmp_path):
    path = tmp_path / "small.pth"
    path.write_bytes(zlib.decompress(base64.b64decode(TORCH_FILE)))

    checkpoint = convert_solider.read_checkpoint(str(path))

    a = np.arange(6, dtype="float32").reshape(2, 3)
    wanted = {
        "a": a,
        "a_t": a.T,
        "row": a[1],
        "half": a.astype("float16"),
        "int": np.array([[-1, 2]]),
        "param": np.array(2.5, "float32"),
        "bool": np.array([True, False]),
        "empty": np.zeros((0, 3), "float32")
    }
    teacher = checkpoint["teacher"]
    assert set(teacher) == {"backbone." + name for name in wanted}
    for name, value in wanted.items():
        found = teacher["backbone." + name]
        assert found.dtype == value.dtype, name
        np.testing.assert_array_equal(found, value, err_msg=name)
    assert checkpoint["epoch"] == 3


def test_a_file_that_runs_code_is_refused(tmp_path):
    trap = tmp_path / "trap"

    class Evil(object):
        def __reduce__(self):
            return os.mkdir, (str(trap), )

    path = str(tmp_path / "evil.pth")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"teacher": Evil()}))

    with pytest.raises(ValueError, match="mkdir, which is no tensor"):
        convert_solider.read_checkpoint(path)
    assert not trap.exists()


def test_damaged_files_are_refused(tmp_path, save):
    path = tmp_path / "old.pth"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="not a zip file of torch.save"):
        convert_solider.read_checkpoint(str(path))

    with zipfile.ZipFile(str(path), "w") as archive:
        archive.writestr("other", b"")
    with pytest.raises(ValueError, match="holds no data.pkl"):
        convert_solider.read_checkpoint(str(path))

    whole = save({"a": np.zeros((2, 3), "float32")})
    for change, message in [(lambda name, data: data[:-4], "Cannot read"),
                            (lambda name, data: None, "Cannot read")]:
        with zipfile.ZipFile(whole) as source, zipfile.ZipFile(str(path),
                                                               "w") as archive:
            for name in source.namelist():
                data = source.read(name)
                if name.endswith("/0"):
                    data = change(name, data)
                if data is not None:
                    archive.writestr(name, data)
        with pytest.raises(ValueError, match=message):
            convert_solider.read_checkpoint(str(path))


@pytest.mark.parametrize("offset, size, stride",
                         [(0, (2, 4), (4, 1)), (3, (4, ), (1, )),
                          (0, (2, ), (-1, )), (-1, (2, ), (1, ))])
def test_a_tensor_stays_in_its_storage(offset, size, stride):
    with pytest.raises(ValueError, match="behind its storage of 6"):
        convert_solider.rebuild_tensor(
            np.zeros(6, "float32"), offset, size, stride)


@pytest.mark.parametrize("wrap", [
    lambda state: {"teacher": state},
    lambda state: state,
    lambda state: {"state_dict": state},
    lambda state: {"teacher": {"model": state}},
    lambda state: {"teacher." + k: v for k, v in state.items()},
    lambda state: {"teacher": {"module." + k: v for k, v in state.items()}},
    lambda state: {k[len("backbone."):]: v for k, v in state.items()
                   if k.startswith("backbone.")},
])
def test_prefixes(wrap, reference):
    state = {"backbone." + name: value for name, value in reference.items()}
    state["head.mlp.0.weight"] = np.zeros(3)

    found, left_out = convert_solider.select_backbone(wrap(state))

    assert set(found) == set(reference)
    assert all(found[name] is reference[name] for name in reference)
    assert all(name.endswith("head.mlp.0.weight") for name in left_out)


def test_the_student_is_not_the_teacher(reference):
    one = {"backbone." + name: value for name, value in reference.items()}
    two = {"module." + name: value + 1 for name, value in one.items()}

    student, _ = convert_solider.select_backbone({
        "teacher": one,
        "student": two
    }, "student")

    for name, value in reference.items():
        np.testing.assert_array_equal(student[name], value + 1)
    with pytest.raises(ValueError, match="no teacher, take --branch student"):
        convert_solider.select_backbone({"student": two})
    with pytest.raises(ValueError, match="patch_embed.projection.weight"):
        convert_solider.select_backbone({"teacher": {"fc.weight": 1}})


def test_both_key_sets_are_used_up(reference, target):
    result = convert_solider.convert(reference, target)

    assert set(result) == set(target)
    kept = [n for n in target if convert_solider.KEPT.fullmatch(n)]
    assert len(result) == len(reference) + len(kept)
    for name in kept:
        np.testing.assert_array_equal(result[name], target[name])
    for name, value in result.items():
        assert value.shape == target[name].shape
        assert value.dtype == target[name].dtype
    np.testing.assert_array_equal(
        result["layers.1.blocks.0.mlp.fc1.weight"],
        reference["stages.1.blocks.0.ffn.layers.0.0.weight"].T)
    np.testing.assert_array_equal(
        result["layers.0.downsample.reduction.weight"],
        reference["stages.0.downsample.reduction.weight"].T)


@pytest.mark.parametrize("change, message", [
    (lambda s: s.pop("norm1.bias"),
     "nothing in the checkpoint gives norm1.bias"),
    (lambda s: s.update({"stages.0.gate": np.zeros(1)}),
     "stages.0.gate is unknown"),
    (lambda s: s.update({"stages.2.blocks.6.norm1.bias": np.zeros(384)}),
     "stages.2.blocks.6.norm1.bias is unknown"),
    (lambda s: s.update({"norm2.bias": np.zeros(3)}),
     r"norm2.bias gives norm2.bias of shape \[3\], the model wants \[384\]"),
    (lambda s: s.update({
        "stages.0.blocks.0.attn.w_msa.relative_position_bias_table":
        np.zeros((529, 3))
    }), r"relative_position_bias_table of shape \[529, 3\]"),
    (lambda s: s.update({
        "stages.3.blocks.1.attn.w_msa.relative_position_index":
        np.zeros((49, 49), "int64")
    }), "orders the window in another way"),
    (lambda s: [s.pop(name) for name in list(s) if "semantic" in name],
     "semantic_embed_w.0.weight.*and 8 more"),
])
def test_a_wrong_key_is_named(change, message, reference, target):
    state = dict(reference)
    change(state)

    with pytest.raises(ValueError, match=message):
        convert_solider.convert(state, target)


def test_command_line(save, reference, tmp_path, monkeypatch, capsys):
    state = {"backbone." + name: value for name, value in reference.items()}
    state["head.bias"] = np.zeros(3, "float32")
    path = save({"teacher": state})
    output = str(tmp_path / "solider")
    words = ["convert_solider", "--checkpoint", path, "--output", output]

    monkeypatch.setattr(sys, "argv", words + ["--arch", TINY])
    convert_solider.main()

    assert "left out: head.bias" in capsys.readouterr().out
    logger.init_logger()  # loading weights tells it which
    model = getattr(backbone, TINY)(class_num=2, pretrained=output)
    np.testing.assert_array_equal(model.semantic_embed_w[1].weight.numpy(),
                                  reference["semantic_embed_w.1.weight"].T)

    monkeypatch.setattr(
        sys, "argv",
        words + ["--arch", TINY.replace("tiny", "small")])
    with pytest.raises(SystemExit, match="layers.2.blocks.6"):
        convert_solider.main()
    monkeypatch.setattr(sys, "argv", words + ["--arch", "Swin_huge"])
    with pytest.raises(SystemExit):
        convert_solider.main()
    assert "invalid choice: 'Swin_huge'" in capsys.readouterr().err
