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
"""Files of weights as PyTorch and safetensors write them, without PyTorch."""

import json
import pickle
import sys
import types
import zipfile

import numpy as np

STORAGES = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage", "uint16": "BFloat16Storage"}


def bfloat16(array):
    """The upper halves of float32 numbers, uint16."""
    return (np.ascontiguousarray(array, "float32").view("uint32") >> 16).astype("uint16")


def write_safetensors(path, state):
    """uint16 is written as bfloat16."""
    names, header, blobs, place = (
        {"float32": "F32", "float16": "F16", "uint16": "BF16"},
        {"__metadata__": {"format": "pt"}},
        [],
        0,
    )
    for name, value in state.items():
        blob = np.ascontiguousarray(value).tobytes()
        offsets = [place, place + len(blob)]
        header[name] = {"dtype": names[str(value.dtype)], "shape": list(value.shape), "data_offsets": offsets}
        blobs.append(blob)
        place += len(blob)
    text = json.dumps(header).encode()
    with open(path, "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text + b"".join(blobs))


class Reference:
    """A tensor in the file of torch.save: its storage stands outside of the pickle."""

    def __init__(self, array, key):
        self.array, self.key = np.ascontiguousarray(array), key

    def __reduce__(self):
        strides = tuple(step // self.array.itemsize for step in self.array.strides)
        torch = sys.modules["torch._utils"]
        return torch._rebuild_tensor_v2, (Storage(self), 0, self.array.shape, strides, False, None)


class Storage:
    def __init__(self, reference):
        self.reference = reference


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        array = value.reference.array
        kind = getattr(sys.modules["torch"], STORAGES[str(array.dtype)])
        return "storage", kind, value.reference.key, "cpu", array.size


def write_torch(path, content):
    """What torch.save writes since PyTorch 1.6; the names of its classes are all that is in the file, and are lent here."""
    lent = {"torch": types.ModuleType("torch"), "torch._utils": types.ModuleType("torch._utils")}
    for name in STORAGES.values():
        setattr(lent["torch"], name, type(name, (), {"__module__": "torch", "__qualname__": name}))
    rebuild = types.FunctionType((lambda *args: None).__code__, {}, "_rebuild_tensor_v2")
    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    lent["torch._utils"]._rebuild_tensor_v2 = rebuild
    before = {name: sys.modules.get(name) for name in lent}
    sys.modules.update(lent)
    try:
        arrays = []

        def replace(value):
            if isinstance(value, dict):
                return {key: replace(one) for key, one in value.items()}
            if isinstance(value, np.ndarray):
                arrays.append(value)
                return Reference(value, str(len(arrays) - 1))
            return value

        content = replace(content)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            with archive.open("archive/data.pkl", "w") as stream:
                Pickler(stream, protocol=2).dump(content)
            for number, value in enumerate(arrays):
                archive.writestr(f"archive/data/{number}", np.ascontiguousarray(value).tobytes())
            archive.writestr("archive/version", "3\n")
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
