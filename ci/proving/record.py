"""Write what a check script measured, for the harness to judge."""

import argparse
import json
import os
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence, Tuple

import numpy as np


def arguments(
    add: Optional[Callable[[argparse.ArgumentParser], Any]] = None,
    parser: Optional[argparse.ArgumentParser] = None,
    argv: Optional[Sequence[str]] = None,
) -> argparse.Namespace:
    """--out and --reference, and what `parser` or `add(parser)` brings; `out` exists afterwards."""
    parser = parser or argparse.ArgumentParser()
    parser.add_argument("--out", required=True, help="directory for all results")
    parser.add_argument("--reference", default=None, help="directory of the reference set")
    if add is not None:
        add(parser)
    args = parser.parse_args(argv)
    os.makedirs(args.out, exist_ok=True)
    if args.reference is not None and not os.path.isdir(args.reference):
        parser.error("--reference %s is not a directory" % args.reference)
    return args


def write_json(path: str, value: Any) -> None:
    """Write under a temporary name, then rename: a reader sees all or nothing."""
    temporary = path + ".part"
    with open(temporary, "w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=1, sort_keys=True)
        stream.write("\n")
    os.replace(temporary, path)


def _array(value: Any, key: str) -> np.ndarray:
    array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    if array.dtype.kind not in "fiub":
        raise TypeError("%s: dtype %s cannot be recorded; give numbers or booleans" % (key, array.dtype))
    return np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray turns a scalar into one element


class Recorder:
    """Collects pairs (got, want) and writes them once."""

    def __init__(self, out: str) -> None:
        self.out = out
        self._rows = {}  # type: Dict[str, Dict[str, Any]]
        self._tensors = {}  # type: Dict[str, np.ndarray]
        self._skipped = []  # type: List[str]

    def add(
        self,
        stage: str,
        key: str,
        got: Any,
        want: Any,
        source: Optional[Tuple[str, str]] = None,
        keep: Optional[np.ndarray] = None,
        fill: Optional[float] = None,
    ) -> None:
        """Add one pair; `key` is unique in the script. Raises ValueError for a key that is there already.

        source: (file below the directory of the reference sets, key in it) that `want` was read from, for the judge to read it
        anew; None for a value that is computed. keep: which stored elements `want` holds, a mask of the stored array; None for all.
        fill: what stands in `want` for the elements that `keep` leaves out; None where they are left out.
        """
        if key in self._rows:
            raise ValueError("key %r is recorded twice (stages %s and %s)" % (key, self._rows[key]["stage"], stage))
        pair = {"got/" + key: _array(got, key), "want/" + key: _array(want, key)}
        row = {"stage": stage, "key": key}  # type: Dict[str, Any]
        if source is not None:
            row["source"] = {"file": source[0], "key": source[1]}
            if keep is not None:
                row["source"]["keep"] = True
                pair["keep/" + key] = np.ascontiguousarray(np.asarray(keep, bool).reshape(-1))
            if fill is not None:
                row["source"]["fill"] = fill
        self._rows[key] = row
        self._tensors.update(pair)

    def skip(self, keys: Iterable[str]) -> None:
        """Note what was not compared, since the reference set does not hold it."""
        self._skipped += keys

    def write(self) -> None:
        """Write pairs.safetensors, skipped.json and pairs.json. Raises ValueError if nothing was recorded."""
        if not self._rows:
            raise ValueError("nothing was recorded, so there is nothing to judge")
        from safetensors.numpy import save_file  # here: scripts that make reference sets may lack it

        path = os.path.join(self.out, "pairs.safetensors")
        save_file(self._tensors, path + ".part")
        os.replace(path + ".part", path)
        # The list comes last: where it exists, the tensors are complete.
        write_json(os.path.join(self.out, "skipped.json"), sorted(self._skipped))
        write_json(os.path.join(self.out, "pairs.json"), list(self._rows.values()))


def write_metrics(
    out: str, metrics: Mapping[str, float], curves: Optional[Mapping[str, Sequence[float]]] = None, pictures: Sequence[str] = ()
) -> None:
    """Write metrics.json: scalars, curves, and names of pictures that lie in `out`."""
    missing = [name for name in pictures if not os.path.isfile(os.path.join(out, name))]
    if missing:
        raise FileNotFoundError("no picture %s in %s" % (", ".join(missing), out))
    drawn = {name: [float(v) for v in values] for name, values in (curves or {}).items()}  # type: Dict[str, List[float]]
    write_json(
        os.path.join(out, "metrics.json"),
        {"metrics": {name: float(v) for name, v in metrics.items()}, "curves": drawn, "pictures": list(pictures)},
    )
