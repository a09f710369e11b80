"""A stored run of the original: manifest, configuration and arrays, in whatever layout and dialect they are. numpy alone.

On disk a set NAME is flat or a folder:

    NAME.npz, NAME.manifest.json, NAME.config.json, and NAME.<part>.npz for more arrays
    NAME/golden.npz, NAME/manifest.json, NAME/config.json, and NAME/<part>.npz

A manifest has `entries` with `seed_prefix`, or `parameters` with `salt` (seeding.py). A run in float64 is stored as `X__f64`
beside `X`; `X_fp64`, and plain names in a part called `float64`, are read as the same, and `__f64` counts where there are both.
What a set holds, its shapes and batch sizes come out of its files: checks ask it and carry no constants of one set.
"""

import glob
import json
import os
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from . import seeding

DOUBLE = "__f64"
COMPANIONS = ("__shape", "__stride", "__stats")


class Source(NamedTuple):
    """Where a value of the reference stands: the file below the directory of the sets, and its key in that file."""

    file: str
    key: str


class ReferenceSet:
    """One stored run.

    name: how pairs call it. directory: where the sets lie. manifest, config: contents of the JSON files, empty without them.
    arrays: {key: array} with `__f64` as the one mark of float64. sources: {key: Source}.
    """

    def __init__(self, directory: str, name: str, *others: str) -> None:
        """`others` are further names that the set may have on disk. Raises FileNotFoundError where there is none of them."""
        self.directory, self.name = directory, name
        self.arrays = {}  # type: Dict[str, np.ndarray]
        self.sources = {}  # type: Dict[str, Source]
        stem, folder = _find(directory, (name, *others))
        self.stem = stem
        for path in _files(directory, stem, folder):
            part = os.path.basename(path)[: -len(".npz")].rpartition(".")[2]
            self._add(path, double=part == "float64")
        end = "/%s.json" if folder else ".%s.json"
        self.manifest_file = stem + end % "manifest"
        self.config, self.manifest = self._json(stem + end % "config"), self._json(self.manifest_file)

    def _json(self, name: str) -> Dict[str, Any]:
        path = os.path.join(self.directory, name)
        if not os.path.isfile(path):
            return {}
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)

    def _add(self, path: str, prefix: str = "", double: bool = False) -> None:
        file = os.path.relpath(path, self.directory).replace(os.sep, "/")
        with np.load(path) as stored:
            for key in stored.files:
                if not key.startswith(prefix):
                    continue
                name = _named(key[len(prefix) :], double)
                if name in self.arrays and self.sources[name].key == key:
                    raise ValueError("%s and %s both hold %s" % (self.sources[name].file, file, name))
                if name in self.arrays and "_fp64" in key:
                    continue  # where a set has both marks, what stands under `__f64` counts
                self.arrays[name], self.sources[name] = stored[key], Source(file, key)

    def include(self, file: str, prefix: str = "") -> None:
        """Add the arrays of a file that several sets share, those whose keys begin with `prefix`; nothing where it is not there."""
        path = os.path.join(self.directory, file)
        if os.path.isfile(path):
            self._add(path, prefix)

    def holds(self, key: str, dtype: str = "float32") -> bool:
        """Whether there is such a value of the original's run in that precision."""
        return stored_key(key, dtype) in self.arrays

    def keys(self, prefix: str = "", dtype: str = "float32") -> List[str]:
        """Keys of that precision that begin with `prefix`, without companions and without the mark of float64."""
        names = [key for key in self.arrays if not key.endswith(COMPANIONS) and key.startswith(prefix)]
        end = DOUBLE if dtype == "float64" else ""
        return [key[: len(key) - len(end)] for key in names if key.endswith(DOUBLE) == bool(end)]

    def shape(self, key: str) -> Tuple[int, ...]:
        """Shape of the whole tensor, also where every n-th element is stored."""
        whole = self.arrays.get(key + "__shape")
        return tuple(int(n) for n in (self.arrays[key].shape if whole is None else whole))

    @property
    def order(self) -> List[str]:
        """Names of the parameters, in the order of stored vectors with one number a parameter."""
        for key in ("param_order", "grad_order"):
            if key in self.manifest:
                return list(self.manifest[key])
        return [entry["name"] for entry in self.entries]

    @property
    def entries(self) -> List[Dict[str, Any]]:
        """What the manifest lists, without tied aliases: name, shape, kind, seed_name."""
        listed = {"entries", "parameters"} & set(self.manifest)
        return list(seeding.entries(dict(self.manifest, tied={}))) if listed else []

    @property
    def inputs(self) -> List[Dict[str, Any]]:
        """Inputs that are seeded and not stored: name, shape, kind."""
        listed = self.manifest.get("inputs", [self.manifest["input"]] if "input" in self.manifest else [])
        return [dict(entry, kind=entry.get("kind", "input")) for entry in listed]

    def seeded(self, name: str, shape: Sequence[int], kind: str = "input") -> np.ndarray:
        """The array of that name, with what the manifest puts before every name."""
        return seeding.seeded(name, shape, kind, seeding.seed_prefix(self.manifest))

    def weights(self) -> Dict[str, np.ndarray]:
        """The tensors of the original, in its names and its layout, without tied aliases."""
        return {entry["name"]: self._weight(entry) for entry in self.entries if entry["kind"] != "const"}

    def _weight(self, entry: Mapping[str, Any]) -> np.ndarray:
        return self.seeded(entry["seed_name"], entry["shape"], entry["kind"])


def stored_key(key: str, dtype: str) -> str:
    """The key under which a set holds that value in that precision."""
    return key + DOUBLE if dtype == "float64" else key


def find_sets(directory: str, prefix: str) -> List[str]:
    """Names of the sets in either layout that begin with `prefix`."""
    found = [name[: -len(".manifest.json")] for name in os.listdir(directory) if name.endswith(".manifest.json")]
    found += [name for name in os.listdir(directory) if os.path.isfile(os.path.join(directory, name, "golden.npz"))]
    return sorted(name for name in set(found) if name.startswith(prefix))


def is_there(directory: str, *names: str) -> bool:
    """Whether the directory holds a set of one of these names, in either layout; says so where not."""
    found = any(os.path.isfile(os.path.join(directory, name + end)) for name in names for end in (".npz", "/golden.npz"))
    if not found:
        print("%s holds no set %s: nothing is compared with it" % (directory, " or ".join(names)), flush=True)
    return found


def read_source(directory: str, file: str, key: str) -> Any:
    """What a source points at, read anew: an array of an .npz, or a value of a .json by the path `a.0.b`."""
    path = os.path.join(directory, file)
    if file.endswith(".npz"):
        with np.load(path) as stored:
            return stored[key]
    with open(path, encoding="utf-8") as stream:
        value = json.load(stream)
    for word in key.split("."):
        value = value[int(word)] if isinstance(value, list) else value[word]
    return value


def _find(directory: str, names: Sequence[str]) -> Tuple[str, bool]:
    """(name on disk, whether it is a folder)."""
    found = []  # type: List[Tuple[str, bool]]
    for name in names:
        path = os.path.join(directory, name)
        found += [(name, True)] * os.path.isfile(os.path.join(path, "golden.npz")) + [(name, False)] * os.path.isfile(path + ".npz")
    if not found:
        wanted = " or ".join("%s.npz or %s/golden.npz" % (name, name) for name in names)
        raise FileNotFoundError("no reference set %s in %s; pass --reference DIR with the change's set" % (wanted, directory))
    if len(found) > 1:
        raise ValueError("%s holds the set %s twice: %s" % (directory, names[0], ["%s%s" % (n, "/" * f) for n, f in found]))
    return found[0]


def _files(directory: str, stem: str, folder: bool) -> Iterator[str]:
    path = os.path.join(glob.escape(directory), glob.escape(stem))
    pattern = os.path.join(path, "*.npz") if folder else path + ".*npz"
    return iter(sorted(glob.glob(pattern), key=lambda name: (len(name), name)))


def _named(key: str, double: bool) -> str:
    """A key with `__f64` as the one mark of float64, before the companions' endings."""
    end = next((one for one in COMPANIONS if key.endswith(one)), "")
    stem = key[: len(key) - len(end)]
    for mark in (DOUBLE, "_fp64"):
        if stem.endswith(mark):
            stem, double = stem[: -len(mark)], True
    return stem + (DOUBLE if double else "") + end


def after_end(ids: Any, end: int, fill: int = -1) -> np.ndarray:
    """Ids [N, T] with `fill` after the first `end`: what stands there is padding, and implementations pad differently."""
    array = np.asarray(ids)
    return np.where(behind(array, end), fill, array)


def behind(ids: np.ndarray, end: int) -> np.ndarray:
    """Mask [N, T] of what stands behind the first `end`."""
    return np.cumsum(ids == end, axis=1) - (ids == end) > 0


def spread(mask: Any, shape: Sequence[int]) -> np.ndarray:
    """A mask of the first axes, for every element of a tensor of that shape."""
    kept = np.asarray(mask).astype(bool)
    return np.broadcast_to(kept.reshape(kept.shape + (1,) * (len(shape) - kept.ndim)), tuple(shape))


def sampled(arrays: Mapping[str, np.ndarray], key: str, mask: Optional[Any], shape: Sequence[int]) -> Optional[np.ndarray]:
    """`mask` for the elements that `arrays` store under `key`, in full or every n-th, flat; None for no mask.

    Raises ValueError for a mask that leaves nothing.
    """
    if mask is None:
        return None
    if not np.asarray(mask).astype(bool).any():
        raise ValueError("%s: the mask leaves nothing to compare" % key)
    return spread(mask, shape).reshape(-1)[:: int(arrays.get(key + "__stride", 1))]
