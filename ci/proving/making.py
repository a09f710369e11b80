"""How reference sets are made: arrays stored in full or thinned, the files of a set, and the hashes of their provenance.

    PYTHONPATH=ci python -m proving.making patches/<suite>/<change>/reference     # write the hashes of provenance.toml anew

Scripts that make a set import this beside the original's framework; nothing here needs more than numpy.
"""

import json
import os
import sys
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np

from .record import write_json
from .reference import stored_key
from .wheels import sha256


def put(
    store: Dict[str, np.ndarray], key: str, value: Any, most: int = 1024, double: bool = False, statistics: bool = False
) -> None:
    """Store an array under `key`, in full or, of more than `most` elements, every n-th with shape and stride (and statistics)."""
    from . import seeding

    name, array = stored_key(key, "float64") if double else key, np.ascontiguousarray(value)
    stride = -(-array.size // most)
    store[name] = array if stride <= 1 else array.reshape(-1)[::stride]
    if stride > 1:
        store[name + "__shape"], store[name + "__stride"] = np.array(array.shape), np.array(stride)
        if statistics:
            store[name + "__stats"] = seeding.statistics(array)


def distance(single: Mapping[str, Any], double: Mapping[str, Any]) -> Dict[str, Dict[str, float]]:
    """What float32 itself loses in the original, for NAME.precision.json: of whole arrays of the same names."""
    found = {}
    for key in sorted(set(single) & set(double)):
        gap = np.abs(np.asarray(single[key], np.float64) - np.asarray(double[key], np.float64))
        found[key] = {"max_abs_diff": float(gap.max()), "abs_max": float(np.abs(double[key]).max())}
    return found


def write_set(
    out: str,
    name: str,
    arrays: Mapping[str, np.ndarray],
    manifest: Optional[Mapping[str, Any]] = None,
    config: Optional[Mapping[str, Any]] = None,
    precision: Optional[Mapping[str, Any]] = None,
    **parts: Mapping[str, np.ndarray],
) -> None:
    """Write a flat set: NAME.npz, NAME.<part>.npz of each part, and the JSON files that are given."""
    os.makedirs(out, exist_ok=True)
    np.savez_compressed(os.path.join(out, name + ".npz"), **arrays)
    for part, more in parts.items():
        np.savez_compressed(os.path.join(out, "%s.%s.npz" % (name, part)), **more)
    for kind, content in (("manifest", manifest), ("config", config)):
        if content is not None:
            with open(os.path.join(out, "%s.%s.json" % (name, kind)), "w", encoding="utf-8") as stream:
                json.dump(content, stream, separators=(",", ":"))
    if precision is not None:
        write_json(os.path.join(out, name + ".precision.json"), precision)
    print(name, {key: value for key, value in (precision or {}).items() if isinstance(value, float)}, flush=True)


def write_hashes(folder: str) -> Tuple[int, int]:
    """Write the section [sha256] of provenance.toml, which is its last, for every other file; (files, files whose hash changed)."""
    path = os.path.join(folder, "provenance.toml")
    with open(path, encoding="utf-8") as stream:
        head, found, old = stream.read().partition("[sha256]\n")
    if not found:
        raise SystemExit('error: %s has no line "[sha256]"\n  next  write the sources first, then that line' % path)
    names = [os.path.relpath(os.path.join(place, name), folder) for place, _, files in os.walk(folder) for name in files]
    lines = [
        '"%s" = "%s"\n' % (name.replace(os.sep, "/"), sha256(os.path.join(folder, name)))
        for name in sorted(names)
        if name != "provenance.toml" and not name.endswith(".pyc")
    ]
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(head + found + "".join(lines))
    return len(lines), len(set(lines) - set(old.splitlines(True)))


if __name__ == "__main__":
    for each in sys.argv[1:]:
        print("%s: %d files, %d hashes changed" % (each, *write_hashes(each)))
