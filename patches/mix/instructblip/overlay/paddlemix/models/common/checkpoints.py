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
Published checkpoints, without PyTorch: which files there are, what is in them, and how a refusal reads.

A converter of a model is a table of (pattern, name here). Both key sets must be used up: a tensor of the file that no rule takes, a
parameter that nothing fills and a shape that does not fit are errors that name the tensors.
"""

import collections
import io
import json
import os
import pickle
import re
import zipfile

import numpy as np
import paddle

__all__ = [
    "ConversionError",
    "load_state",
    "read_checkpoint",
    "read_config",
    "refuse",
    "rename",
    "to_numpy",
    "weight_files",
    "without_prefix",
]


class ConversionError(ValueError):
    """Names of tensors that do not fit, and what to do."""


def rename(name, rules):
    """The name that the first rule whose pattern its beginning matches gives, or None. rules: (pattern, beginning here)."""
    for pattern, replacement in rules:
        found = re.match(pattern, name)
        if found:
            return found.expand(replacement) + name[found.end() :]
    return None


def to_numpy(value):
    """A tensor of any framework as an array."""
    if isinstance(value, np.ndarray):
        return value
    return value.numpy() if hasattr(value, "numpy") else np.asarray(value)


def refuse(source, unknown, missing, wrong):
    """Raise [`ConversionError`] where a list is not empty: tensors without a rule, parameters without a tensor, what else is wrong."""
    lines = [f"{source} has tensors that no rule takes: {', '.join(_short(unknown))}"] if unknown else []
    lines += [f"nothing in the file fills: {', '.join(_short(missing))}"] if missing else []
    lines += wrong[:12]
    if lines:
        raise ConversionError(
            "the weights do not fit\n  " + "\n  ".join(lines) + "\n  next: compare with the model's config.json"
        )


def _short(names, most=12):
    return names[:most] + ([f"and {len(names) - most} more"] if len(names) > most else [])


def load_state(model, state):
    """Put what `convert_state` made into the model, in the model's type."""
    own = model.state_dict()
    for name, value in state.items():
        own[name].set_value(paddle.to_tensor(value).astype(own[name].dtype))


def without_prefix(state):
    """Names without what all of them begin with: `module.` of data parallel training, `model.` of transformers 5, `base_model.model.`."""
    for prefix in ("module.", "base_model.model.", "model."):
        if state and all(name.startswith(prefix) for name in state):
            state = {name[len(prefix) :]: value for name, value in state.items()}
    return state


def weight_files(directory):
    """
    The files of one set of weights in a directory of `transformers`: safetensors if there are, else PyTorch's; those that the index
    names, or the file or shards of the usual names. Other files (`training_args.bin`, `optimizer.bin`) are no weights.

    Raises:
        ConversionError: there are none, or a shard is missing.
    """
    present = set(os.listdir(directory))
    for stem, suffix in (("model", ".safetensors"), ("pytorch_model", ".bin")):
        index, shards = f"{stem}{suffix}.index.json", []
        if index in present:
            with open(os.path.join(directory, index), encoding="utf-8") as stream:
                shards = sorted(set(json.load(stream)["weight_map"].values()))
        elif stem + suffix in present:
            shards = [stem + suffix]
        else:
            numbers = [re.fullmatch(rf"{stem}-\d+-of-(\d+){re.escape(suffix)}", name) for name in present]
            for total in {found.group(1) for found in numbers if found}:
                shards = [f"{stem}-{number + 1:05d}-of-{total}{suffix}" for number in range(int(total))]
        missing = [name for name in shards if name not in present]
        if missing:
            raise ConversionError(f"{directory} lacks {', '.join(missing)}; next: fetch them, too")
        if shards:
            return [os.path.join(directory, name) for name in shards]
    raise ConversionError(f"{directory} holds no weights (model*.safetensors or pytorch_model*.bin)")


def read_safetensors(path):
    """Arrays of a `.safetensors` file, mapped into memory; bfloat16, which numpy lacks, as float32."""
    types = {
        "F64": "f8",
        "F32": "f4",
        "F16": "f2",
        "I64": "i8",
        "I32": "i4",
        "I16": "i2",
        "I8": "i1",
        "U8": "u1",
        "BOOL": "?",
    }
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    kind = header.get("__metadata__", {}).get("format")
    if kind != "pt":  # square matrices have the same shape in both layouts, so that nothing else tells them apart
        raise ConversionError(
            f"{path} is of the format {kind!r}, and not of PyTorch ('pt'); next: give the published file"
        )
    data = np.memmap(path, np.uint8, mode="r", offset=8 + length)
    state = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        if entry["dtype"] == "BF16":
            value = from_bfloat16(data[begin:end].view("<u2"))
        elif entry["dtype"] in types:
            value = data[begin:end].view("<" + types[entry["dtype"]])
        else:
            raise ConversionError(f"{path}: {name} is of the type {entry['dtype']}, which is not read here")
        state[name] = value.reshape(entry["shape"])
    return state


def from_bfloat16(bits):
    """float32 of the upper halves of its numbers."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def read_checkpoint(path):
    """
    Tensors of a `.safetensors`, `.bin`, `.pth` or `.pt` file, or of the weights in a directory (see [`weight_files`]), without PyTorch.

    A dictionary below `model` or `state_dict` is taken, the rest (optimizer, epoch) is left.

    Raises:
        ConversionError: no weights there, a missing shard, a file that is not read.
    """
    if os.path.isdir(path):
        state = {}
        for file in weight_files(path):
            state.update(_read_file(file))
    elif os.path.isfile(path):
        state = _read_file(path)
    else:
        raise ConversionError(f"{path} is no file and no directory")
    return state


# NumPy's types of PyTorch's storages; bfloat16, which numpy lacks, as uint16.
STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
KNOWN = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}


class _Foreign(dict):
    """In place of every class that a file names and that is no tensor (options of a training, for instance); nothing of it is kept."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        super().__init__()

    def __setstate__(self, state):
        pass

    def append(self, value):
        pass

    extend = append


class _Unpickler(pickle.Unpickler):
    """A file of torch.save as arrays. No class but those listed here is imported, so that no file can run code."""

    def __init__(self, archive, root):
        super().__init__(io.BytesIO(archive.read(root + "data.pkl")), encoding="utf-8")
        self.archive, self.root, self.storages = archive, root, {}

    def find_class(self, module, name):
        if name in STORAGES:
            return STORAGES[name]
        if module == "torch._utils":
            return self._parameter if "parameter" in name else self._tensor
        return KNOWN.get((module, name), _Foreign)

    def persistent_load(self, saved):
        _, kind, key, _, number = saved
        if key not in self.storages:
            data = self.archive.read(f"{self.root}data/{key}")
            self.storages[key] = np.frombuffer(data, "<" + kind, count=number)
        return self.storages[key]

    @staticmethod
    def _tensor(storage, offset, size, strides, *more):
        last = offset + sum((number - 1) * step for number, step in zip(size, strides)) + 1
        if min(size, default=1) > 0 and not 0 < last <= len(storage):
            raise ConversionError(
                f"a tensor of the shape {list(size)} reaches beyond its storage of {len(storage)} numbers"
            )
        steps = [step * storage.itemsize for step in strides]
        return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)

    @staticmethod
    def _parameter(tensor, *more):
        return tensor


def _unpickled(path):
    with zipfile.ZipFile(path) as archive:
        roots = [name[: -len("data.pkl")] for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ConversionError(f"{path} is no file of torch.save: it holds no data.pkl")
        state = _Unpickler(archive, roots[0]).load()
    if not isinstance(state, dict):
        raise ConversionError(f"{path} holds a {type(state).__name__} and no dictionary of tensors")
    return state


def _read_file(path):
    if path.endswith(".safetensors"):
        return read_safetensors(path)
    if not zipfile.is_zipfile(path):
        raise ConversionError(
            f"{path} is no file of torch.save since PyTorch 1.6 (a zip archive); next: load it and save it once more with PyTorch"
        )
    state = _unpickled(path)
    for key in ("model", "state_dict", "module"):
        if isinstance(state.get(key), dict):
            state = state[key]
    wrong = [name for name, value in state.items() if not isinstance(value, np.ndarray)]
    if wrong:
        raise ConversionError(
            f"{path} holds more than tensors: {', '.join(_short(wrong))}; next: is it the weights' file?"
        )
    return {name: from_bfloat16(value) if value.dtype == np.uint16 else value for name, value in state.items()}


def read_config(path):
    """The dictionary in `config.json` of a directory, or in a file."""
    file = os.path.join(path, "config.json") if os.path.isdir(path) else path
    if not os.path.isfile(file):
        raise ConversionError(f"{file} is not there; next: --config FILE with the config.json of the published model")
    with open(file, encoding="utf-8-sig") as stream:
        return json.load(stream)
