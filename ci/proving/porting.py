"""What the checks of a model port share: stored sets, parameter names through the port's own converter, tensors with padding,
generated ids. docs/porting.md says in which order a port is proven with them. numpy alone.
"""

import json
import os
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import numpy as np

from . import seeding


def read_set(directory: str, name: str) -> Tuple[Dict[str, Any], Dict[str, Any], Dict[str, np.ndarray]]:
    """(configuration, weights manifest, arrays) of `<name>.config.json`, `<name>.manifest.json` and `<name>.npz`.

    Arrays of `<name>.extra.npz` are added where that file is there; a key that both hold is an error.
    """
    path = os.path.join(directory, name)
    if not os.path.isfile(path + ".npz"):
        raise FileNotFoundError("no reference set %s.npz; pass --reference DIR with the change's set" % path)
    with open(path + ".config.json", encoding="utf-8") as stream:
        config = json.load(stream)
    arrays = dict(np.load(path + ".npz"))
    if os.path.isfile(path + ".extra.npz"):
        extra = dict(np.load(path + ".extra.npz"))
        twice = sorted(set(arrays) & set(extra))
        if twice:
            raise ValueError("%s.npz and its .extra.npz both hold %s" % (path, ", ".join(twice[:8])))
        arrays.update(extra)
    return config, seeding.read_manifest(path + ".manifest.json"), arrays


def own_names(manifest: Mapping[str, Any], convert: Callable[[Dict[str, np.ndarray]], Mapping[str, np.ndarray]]) -> Dict[str, str]:
    """{name in the reference: name in the port}, found by converting tensors that are filled with their own number.

    `convert` takes a state dictionary in the reference's names and gives one in the port's. A parameter of the port that is made of
    several tensors (queries' and values' biases in one) is an error: such a converter needs a check of its own.
    """
    order = [entry["name"] for entry in manifest["parameters"]]
    state = {
        entry["name"]: np.full(tuple(entry["shape"]), number, np.float64) for number, entry in enumerate(manifest["parameters"])
    }
    found = {}  # type: Dict[str, str]
    for own, value in convert(state).items():
        values = np.unique(np.asarray(value))
        if len(values) != 1:
            raise ValueError("%s is made of several tensors: %s" % (own, [order[int(v)] for v in values[:4]]))
        name = order[int(values[0])]
        if name in found:
            raise ValueError("%s fills both %s and %s" % (name, found[name], own))
        found[name] = own
    missing = [name for name in order if name not in found]
    if missing:
        raise ValueError("the converter drops %s" % ", ".join(missing[:8]))
    return found


def pair(golden: Mapping[str, np.ndarray], key: str, got: Any, keep: Optional[Any] = None) -> Tuple[np.ndarray, np.ndarray]:
    """(got, want) of the full tensor `got` and what `golden` stores under `key`, in full or every n-th element.

    keep: a mask of the first axes of `got`; what it leaves out (padding, where implementations differ) is not compared.
    Raises ValueError for a mask that leaves nothing.
    """
    full = np.asarray(got)
    ours, want = seeding.samples(golden, key, full)
    if keep is None:
        return ours, want
    mask = np.asarray(keep).astype(bool)
    if not mask.any():
        raise ValueError("%s: the mask leaves nothing to compare" % key)
    chosen = np.broadcast_to(mask.reshape(mask.shape + (1,) * (full.ndim - mask.ndim)), full.shape)
    if ours.shape != full.shape:
        chosen = chosen.reshape(-1)[:: int(golden[key + "__stride"])]
    return ours[chosen], want[chosen]


def after_end(ids: Any, end: int, fill: int = -1) -> np.ndarray:
    """Ids [N, T] with `fill` after the first `end`: what stands there is padding, and implementations pad differently."""
    array = np.asarray(ids)
    ended = np.cumsum(array == end, axis=1) - (array == end) > 0
    return np.where(ended, fill, array)
