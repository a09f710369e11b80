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
"""Convert an official checkpoint of https://github.com/tinyvision/SOLIDER to a
.pdparams file. PyTorch is not needed.

    python -m ppcls.utils.convert_solider --checkpoint checkpoint.pth \
        --arch SwinTransformer_tiny_patch4_window7_224_SOLIDER \
        --output solider_tiny
"""

import argparse
import collections
import pickle
import re
import sys
import zipfile

import numpy as np

ARCHS = [
    "SwinTransformer_tiny_patch4_window7_224_SOLIDER",
    "SwinTransformer_small_patch4_window7_224_SOLIDER",
    "SwinTransformer_base_patch4_window7_224_SOLIDER"
]

# name in the checkpoint, name in PaddleClas, layout
RULES = [
    (r"patch_embed\.projection\.(weight|bias)", r"patch_embed.proj.\1",
     "same"),
    (r"patch_embed\.norm\.(weight|bias)", r"patch_embed.norm.\1", "same"),
    (r"stages\.(\d+\.blocks\.\d+\.norm[12]\.(?:weight|bias))", r"layers.\1",
     "same"),
    (r"stages\.(\d+\.blocks\.\d+\.attn\.)w_msa\.(relative_position_\w+)",
     r"layers.\1\2", "same"),
    (r"stages\.(\d+\.blocks\.\d+\.attn\.)w_msa\.((?:qkv|proj)\.bias)",
     r"layers.\1\2", "same"),
    (r"stages\.(\d+\.blocks\.\d+\.attn\.)w_msa\.((?:qkv|proj)\.weight)",
     r"layers.\1\2", "linear"),
    (r"stages\.(\d+\.blocks\.\d+)\.ffn\.layers\.0\.0\.bias",
     r"layers.\1.mlp.fc1.bias", "same"),
    (r"stages\.(\d+\.blocks\.\d+)\.ffn\.layers\.0\.0\.weight",
     r"layers.\1.mlp.fc1.weight", "linear"),
    (r"stages\.(\d+\.blocks\.\d+)\.ffn\.layers\.1\.bias",
     r"layers.\1.mlp.fc2.bias", "same"),
    (r"stages\.(\d+\.blocks\.\d+)\.ffn\.layers\.1\.weight",
     r"layers.\1.mlp.fc2.weight", "linear"),
    (r"stages\.(\d+\.downsample\.norm\.(?:weight|bias))", r"layers.\1",
     "same"),
    (r"stages\.(\d+\.downsample\.reduction\.weight)", r"layers.\1", "linear"),
    (r"(norm[0-3]\.(?:weight|bias))", r"\1", "same"),
    (r"(semantic_embed_[wb]\.\d+\.bias)", r"\1", "same"),
    (r"(semantic_embed_[wb]\.\d+\.weight)", r"\1", "linear"),
]

# What the model keeps beside the tensors of the reference: the masks follow
# from the image size, and no output reads the norm of the plain Swin.
KEPT = re.compile(r"layers\.\d+\.blocks\.\d+\.attn_mask|norm\.(weight|bias)")

LAYOUTS = {"same": lambda x: x, "linear": lambda x: x.T}


def find_rule(name):
    """
    Args:
        name (str): Name of a tensor in the checkpoint, without prefix.

    Returns:
        (name in PaddleClas, layout), or None for an unknown name.
    """
    for pattern, replacement, layout in RULES:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement), layout
    return None


STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def rebuild_tensor(storage,
                   offset,
                   size,
                   stride,
                   requires_grad=False,
                   hooks=None,
                   metadata=None):
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if 0 not in size and (offset < 0 or min(stride, default=0) < 0 or
                          last >= storage.size):
        raise ValueError(
            "a tensor of size {} reaches behind its storage of {} values".
            format(list(size), storage.size))
    return np.lib.stride_tricks.as_strided(
        storage[offset:], size, [n * storage.itemsize for n in stride]).copy()


class Ignored(object):
    """What a training checkpoint holds beside tensors, like the arguments of
    the run. Its contents are dropped."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


class TensorUnpickler(pickle.Unpickler):
    """Builds tensors and containers, and nothing else."""

    CLASSES = {
        ("collections", "OrderedDict"):
        collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"):
        rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"):
        lambda data, requires_grad, hooks: data,
        ("argparse", "Namespace"):
        Ignored,
    }

    def __init__(self, archive, root):
        super().__init__(archive.open(root + "data.pkl"))
        self.archive = archive
        self.root = root
        self.storages = {}

    def find_class(self, module, name):
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) in self.CLASSES:
            return self.CLASSES[(module, name)]
        raise pickle.UnpicklingError(
            "it holds a {}.{}, which is no tensor. Save the state dict of the "
            "teacher alone, as convert_model.py of SOLIDER does".format(
                module, name))

    def persistent_load(self, pid):
        kind, dtype, key, location, size = pid
        if key not in self.storages:
            raw = self.archive.read(self.root + "data/" + key)
            self.storages[key] = np.frombuffer(
                raw, np.dtype(dtype).newbyteorder("<"), count=size)
        return self.storages[key]


def read_checkpoint(path):
    """Read a file of torch.save without PyTorch.

    Args:
        path (str): The file, in the zip format of PyTorch 1.6 and later.

    Returns:
        What was saved, with numpy arrays for the tensors.

    Raises:
        ValueError: If the file is not in that format, is damaged, or holds
            something else than tensors.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(
            "{} is not a zip file of torch.save: load it with PyTorch >= 1.6 "
            "and save it again. A .pdparams file needs no conversion.".format(
                path))
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        roots = [
            name[:-len("data.pkl")] for name in names
            if name.endswith("data.pkl")
        ]
        if len(roots) != 1:
            raise ValueError(
                "{} holds no data.pkl, so torch.save did not write it.".format(
                    path))
        order = roots[0] + "byteorder"
        if order in names and archive.read(order) != b"little":
            raise ValueError("{} is not little-endian.".format(path))
        try:
            return TensorUnpickler(archive, roots[0]).load()
        except (pickle.UnpicklingError, KeyError, ValueError, TypeError,
                EOFError, zipfile.BadZipFile) as error:
            raise ValueError("Cannot read {}: {}".format(path, error))


def select_backbone(checkpoint, branch="teacher"):
    """
    Args:
        checkpoint (dict): A state dict, or a training checkpoint that holds
            one for the "teacher" and for the "student".
        branch (str): Which of the two to take. Default: "teacher"

    Returns:
        (tensors of the backbone by their names in the reference, names of the
        tensors left out).

    Raises:
        ValueError: If there is no such branch, or no backbone in it.
    """
    branches = [key for key in ("teacher", "student") if key in checkpoint]
    if branches and branch not in branches:
        raise ValueError("The checkpoint has no {}, take --branch {}.".format(
            branch, branches[0]))
    for key in (branch, "state_dict", "model"):
        if isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]

    names = {}
    for name in checkpoint:
        match = re.fullmatch(
            r"(?:module\.)*(?:(teacher|student)\.)?(?:module\.)*(.+)", name)
        if match and match.group(1) in (None, branch):
            names[name] = match.group(2)
    prefix = "backbone." if any(
        name.startswith("backbone.") for name in names.values()) else ""
    state = {
        short[len(prefix):]: checkpoint[name]
        for name, short in names.items() if short.startswith(prefix)
    }
    if "patch_embed.projection.weight" not in state:
        raise ValueError(
            "There is no SOLIDER backbone in the {} of the checkpoint: "
            "patch_embed.projection.weight is missing among {}.".format(
                branch, sorted(checkpoint)[:5]))
    left_out = [
        name for name in checkpoint
        if name not in names or not names[name].startswith(prefix)
    ]
    return state, left_out


def convert(state, target):
    """
    Args:
        state (dict): The tensors of the backbone by their names in the
            reference.
        target (dict): The state dict of the model without a head, as numpy
            arrays.

    Returns:
        The state dict for the model, numpy arrays.

    Raises:
        ValueError: If a tensor is unknown, missing or of another shape. The
            message names it.
    """
    result, wrong = {}, []
    for name, value in state.items():
        rule = find_rule(name)
        if rule is None or rule[0] not in target:
            wrong.append("{} is unknown".format(name))
            continue
        new_name, layout = rule
        value = np.ascontiguousarray(LAYOUTS[layout](value))
        wanted = target[new_name]
        if value.shape != wanted.shape:
            wrong.append("{} gives {} of shape {}, the model wants {}".format(
                name, new_name, list(value.shape), list(wanted.shape)))
        elif name.endswith("relative_position_index"):
            if not np.array_equal(value, wanted):
                wrong.append(
                    "{} orders the window in another way".format(name))
        result[new_name] = value.astype(wanted.dtype)
    for name, value in target.items():
        if name not in result and KEPT.fullmatch(name):
            result[name] = value
        elif name not in result:
            wrong.append("nothing in the checkpoint gives {}".format(name))
    if wrong:
        raise ValueError("The checkpoint does not fit: {}{}.".format(
            "; ".join(wrong[:8]), "; and {} more".format(len(wrong) - 8)
            if len(wrong) > 8 else ""))
    return result


def parse_args():
    parser = argparse.ArgumentParser(
        description="Convert an official SOLIDER checkpoint to .pdparams")
    parser.add_argument(
        "--checkpoint", required=True, help="the .pth file of SOLIDER")
    parser.add_argument("--arch", required=True, choices=ARCHS)
    parser.add_argument(
        "--branch",
        default="teacher",
        choices=["teacher", "student"],
        help="which network of a training checkpoint")
    parser.add_argument(
        "--output", required=True, help="path of the .pdparams file")
    return parser.parse_args()


def main():
    import paddle
    from ..arch import backbone

    args = parse_args()
    model = getattr(backbone, args.arch)(class_num=0)
    target = {key: value.numpy() for key, value in model.state_dict().items()}
    try:
        state, left_out = select_backbone(
            read_checkpoint(args.checkpoint), args.branch)
        result = convert(state, target)
    except (OSError, ValueError) as error:
        sys.exit("error: {}".format(error))
    output = args.output
    output += "" if output.endswith(".pdparams") else ".pdparams"
    paddle.save(
        {key: paddle.to_tensor(value)
         for key, value in result.items()}, output)
    print("{}: {} tensors; left out: {}".format(
        output, len(result), ", ".join(left_out) or "none"))


if __name__ == "__main__":
    main()
