"""Deterministic arrays from a name alone, and reading of stored reference tensors.

The 64-bit seed of a PCG64 generator is the first 8 bytes (big endian) of sha256(prefix + name). Numbers are drawn in float64,
C order, scaled in float64 and rounded once to float32, so any framework can rebuild the weights of a reference run from the
parameter names. Values are in the layout of the reference (conv [out, in/groups, kh, kw], linear [out, in]).

Kinds (two vocabularies are in use; both are served):
    weight, linear, conv            N(0, 1) * sqrt(1 / fan_in), fan_in = prod(shape[1:])
    bias, embed, embedding, query   0.02 * N
    norm_weight                     1 + 0.1 * N
    norm_bias, running_mean         0.1 * N
    running_var                     1 + 0.1 * |N|
    input, normal                   N
    uniform                         U[0, 1)
    int:LO:HI                       integers in [LO, HI), int64
    counter                         zeros, int64
    const                           not seeded: the constructor computes it
"""

import hashlib
import json
import os
from typing import Any, Dict, Iterator, Mapping, Sequence, Tuple

import numpy as np

FAN_IN_KINDS = ("weight", "linear", "conv")
SCALES = {
    "bias": 0.02,
    "embed": 0.02,
    "embedding": 0.02,
    "query": 0.02,
    "norm_bias": 0.1,
    "running_mean": 0.1,
    "input": 1.0,
    "normal": 1.0,
}
# Layers whose 2-D weight Paddle stores as [in, out].
LINEAR_LAYERS = ("Linear", "NonDynamicallyQuantizableLinear")


def rng(name: str, prefix: str = "") -> np.random.Generator:
    """The generator that belongs to `prefix + name`."""
    digest = hashlib.sha256((prefix + name).encode("utf-8")).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "big")))


def _integers(generator: np.random.Generator, shape: Tuple[int, ...], kind: str) -> np.ndarray:
    try:
        _, low, high = kind.split(":")
        return generator.integers(int(low), int(high), size=shape, dtype=np.int64)
    except ValueError as error:
        raise ValueError("kind %r is not int:LO:HI with LO < HI" % kind) from error


def _fan_in(shape: Tuple[int, ...], kind: str) -> float:
    if len(shape) > 1:
        return float(np.prod(shape[1:], dtype=np.int64))
    if kind == "weight" and len(shape) == 1:
        return float(shape[0])
    raise ValueError("kind %r needs at least 2 dimensions, the shape is %s" % (kind, list(shape)))


def seeded(name: str, shape: Sequence[int], kind: str, prefix: str = "") -> np.ndarray:
    """The array of `kind` that belongs to `prefix + name`: float32, or int64 for int:LO:HI and counter.

    Raises ValueError for an unknown kind ("const" included: such a buffer is not seeded).
    """
    size = tuple(int(s) for s in shape)
    if kind == "counter":
        return np.zeros(size, np.int64)
    generator = rng(name, prefix)
    if kind.startswith("int:"):
        return _integers(generator, size, kind)
    if kind == "uniform":
        return generator.random(size).astype(np.float32)
    draws = np.asarray(generator.standard_normal(size))
    if kind in FAN_IN_KINDS:
        draws = draws * np.sqrt(1.0 / _fan_in(size, kind))
    elif kind == "norm_weight":
        draws = 1.0 + 0.1 * draws
    elif kind == "running_var":
        draws = 1.0 + 0.1 * np.abs(draws)
    elif kind in SCALES:
        draws = SCALES[kind] * draws
    else:
        raise ValueError(
            "unknown kind %r of %r; known: %s, int:LO:HI, uniform, counter, norm_weight, running_var"
            % (kind, prefix + name, ", ".join(FAN_IN_KINDS + tuple(SCALES)))
        )
    return np.asarray(draws, np.float64).astype(np.float32).reshape(size)


def seeded_labels(
    name: str, n: int, h: int, w: int, num_classes: int = 19, ignore: int = 255, regions: int = 24, prefix: str = ""
) -> np.ndarray:
    """Label maps [n, h, w] uint8: the cells of `regions` seeded points, each with a seeded class, and two boxes of `ignore`."""
    maps = np.empty((n, h, w), np.uint8)
    rows, columns = np.meshgrid(np.arange(h, dtype=np.float64), np.arange(w, dtype=np.float64), indexing="ij")
    for index in range(n):
        generator = rng("%s:%d" % (name, index), prefix)
        y, x = generator.random(regions) * h, generator.random(regions) * w
        classes = generator.integers(0, num_classes, regions)
        distance = (rows[..., None] - y) ** 2 + (columns[..., None] - x) ** 2
        maps[index] = classes[np.argmin(distance, -1)]
        for _ in range(2):
            top, left = int(generator.integers(0, h - h // 8)), int(generator.integers(0, w - w // 8))
            maps[index, top : top + h // 8, left : left + w // 8] = ignore
    return maps


def smooth_image(name: str, h: int, w: int, prefix: str = "") -> np.ndarray:
    """A smooth RGB picture [h, w, 3] uint8: the sum of 6 seeded waves a channel."""
    generator = rng(name, prefix)
    rows, columns = np.meshgrid(np.arange(h) / h, np.arange(w) / w, indexing="ij")
    picture = np.zeros((h, w, 3))
    for channel in range(3):
        for _ in range(6):
            fy, fx = generator.random() * 8, generator.random() * 8
            phase = generator.random() * 2 * np.pi
            picture[..., channel] += np.sin(2 * np.pi * (fy * rows + fx * columns) + phase)
    return np.clip(np.round((picture / 6 + 1) / 2 * 255), 0, 255).astype(np.uint8)


def read_manifest(path: str) -> Dict[str, Any]:
    """A manifest: `entries` with `seed_prefix`, or `parameters` with `salt` and `tied`."""
    if not os.path.isfile(path):
        raise FileNotFoundError("no manifest %s; pass --reference DIR with the change's reference set" % path)
    with open(path, encoding="utf-8") as stream:
        manifest = json.load(stream)
    if not isinstance(manifest, dict) or not ("entries" in manifest or "parameters" in manifest):
        raise ValueError("%s: neither `entries` nor `parameters`, so it is not a weights manifest" % path)
    return manifest


def seed_prefix(manifest: Mapping[str, Any]) -> str:
    """What is prepended to every seeded name of this set, inputs and targets included."""
    return manifest.get("seed_prefix", manifest.get("salt", ""))


def entries(manifest: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
    """Every stored tensor in order, with `seed_name` filled in; a tied alias follows as an entry of its own."""
    listed = manifest.get("entries", manifest.get("parameters"))
    if listed is None:
        raise ValueError("the manifest has neither `entries` nor `parameters`")
    by_name = {}
    for number, entry in enumerate(listed):
        missing = [key for key in ("name", "shape", "kind") if key not in entry]
        if missing:
            raise ValueError("manifest entry %d (%s) lacks %s" % (number, entry.get("name", "?"), ", ".join(missing)))
        by_name[entry["name"]] = dict(entry, seed_name=entry.get("seed_name", entry["name"]))
        yield by_name[entry["name"]]
    for alias, canonical in manifest.get("tied", {}).items():
        if canonical not in by_name:
            raise ValueError("manifest ties %s to %s, which it does not list" % (alias, canonical))
        yield dict(by_name[canonical], name=alias)


def parameters(manifest: Mapping[str, Any]) -> Iterator[Tuple[str, np.ndarray]]:
    """(name, array in the reference's layout) of every seeded tensor; kind `const` is left out."""
    for entry in entries(manifest):
        if entry["kind"] != "const":
            yield entry["name"], seeded(entry["seed_name"], entry["shape"], entry["kind"], seed_prefix(manifest))


def paddle_layout(entry: Mapping[str, Any], value: np.ndarray) -> np.ndarray:
    """`value` as Paddle stores it: the 2-D weight of a linear layer is [in, out]."""
    linear = entry.get("layer") in LINEAR_LAYERS or entry["kind"] == "linear" or entry["name"].endswith("in_proj_weight")
    return np.ascontiguousarray(value.T) if linear and value.ndim == 2 else value


def statistics(value: Any) -> np.ndarray:
    """[sum, mean, standard deviation, largest magnitude, L2 norm] in float64."""
    full = np.asarray(value, np.float64)
    return np.array([full.sum(), full.mean(), full.std(), np.abs(full).max(), np.sqrt(np.square(full).sum())])


def samples(golden: Mapping[str, np.ndarray], key: str, value: Any) -> Tuple[np.ndarray, np.ndarray]:
    """(got, want): the elements of the full tensor `value` that `golden` stores under `key`.

    A large tensor is stored as full.reshape(-1)[::stride] with `key__shape` and `key__stride`, any other in full.
    Raises KeyError for an unknown key, ValueError where the shapes differ.
    """
    if key not in golden:
        stem = key.split(".")[0]
        near = [k for k in golden if k.split(".")[0] == stem and "__" not in k][:8]
        raise KeyError("the reference set has no %r; it has for instance %s" % (key, near or list(golden)[:8]))
    want, got = np.asarray(golden[key]), np.asarray(value)
    subsampled = key + "__shape" in golden
    shape = tuple(int(s) for s in golden[key + "__shape"]) if subsampled else want.shape
    if got.shape != shape:
        raise ValueError("%s: the shape is %s, the reference has %s" % (key, list(got.shape), list(shape)))
    return (got.reshape(-1)[:: int(golden[key + "__stride"])], want) if subsampled else (got, want)


def stored_statistics(golden: Mapping[str, np.ndarray], key: str, value: Any) -> Tuple[np.ndarray, np.ndarray]:
    """(got, want) of the mean, deviation, largest magnitude and norm of a subsampled tensor, for what its samples leave out.

    The sum is left out: it cancels, so its rounding says nothing.
    """
    return statistics(value)[1:], np.asarray(golden[key + "__stats"])[1:]
