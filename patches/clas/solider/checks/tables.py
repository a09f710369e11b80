"""Tables of the alignment from the pairs that checks/align.py recorded. Measures nothing and judges nothing.

    python checks/tables.py --reference DIR --pairs DIR [DIR ...] [--each] > alignment.md

One row for each size, stage and precision, with --each also for each image size and semantic weight: the worst absolute and mean
difference, the worst difference by the largest value of its tensor, and the control: how far the reference in float32 is from
the reference in float64, on the same quantities.
"""

import argparse
import json
import os
import re

import numpy as np
from safetensors.numpy import load_file

from proving.reference import ReferenceSet, stored_key

NAMES = {
    "forward": "outputs",
    "loss": "loss",
    "backward": "gradients",
    "optimizer": "5 SGD steps",
    "static": "outputs, static graph",
}
TRAINED = "384x128, 0.2"  # where solider_swin_<size>.npz was trained


def read(directories):
    """Yields (stage, key, got, want)."""
    for directory in directories:
        tensors = load_file(os.path.join(directory, "pairs.safetensors"))
        with open(os.path.join(directory, "pairs.json")) as stream:
            for pair in json.load(stream):
                key = pair["key"]
                yield pair["stage"], key, tensors["got/" + key].astype(np.float64), tensors["want/" + key].astype(np.float64)


def control(reference, key, cache):
    """Largest distance of float32 to float64 inside the reference, by absolute value and by the largest value, or None."""
    name, _, rest = key.partition(".")
    if name not in cache:
        cache[name] = ReferenceSet(reference, "solider_swin_" + name)
        with open(os.path.join(reference, "solider_swin_%s.precision.json" % name)) as stream:
            cache[name].precision = json.load(stream)
    one = cache[name]
    rest = rest[len("static.") :] if rest.startswith("static.") else rest
    if one.holds(rest) and one.holds(rest, "float64") and rest + "__stride" not in one.arrays:
        single, double = one.arrays[rest].astype(np.float64), one.arrays[stored_key(rest, "float64")]
        return np.abs(single - double).max(), np.abs(single - double).max() / np.abs(double).max()
    if "max_abs_diff" in one.precision.get(rest, {}):
        return one.precision[rest]["max_abs_diff"], one.precision[rest]["max_abs_diff"] / one.precision[rest]["abs_max"]
    return None


def place(key):
    """Image size and semantic weight of a key."""
    run = re.search(r"sw([\d.]+)\.(\d+x\d+)", key)
    if run:
        return "%s, %s" % (run.group(2), run.group(1))
    return TRAINED if ".train." in key or ".sgd." in key else "batch of two"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", required=True)
    parser.add_argument("--pairs", nargs="+", required=True, help="output directories of checks/align.py")
    parser.add_argument("--each", action="store_true", help="a row for each image size and semantic weight")
    args = parser.parse_args()
    rows, cache = {}, {}
    for stage, key, got, want in read(args.pairs):
        if key.endswith((".statistics", ".each", ".each.f64", "_index", "_exists")):
            continue
        double = key.endswith(".f64")
        name = key.split(".")[0]
        if args.each:
            name += " | " + place(key)
        row = rows.setdefault((name, stage, "float64" if double else "float32"), np.zeros(6))
        gap, scale = np.abs(got - want), np.abs(want).max()
        inside = None if double else control(args.reference, key, cache)
        row[1:] = np.maximum(row[1:], [gap.max(), gap.mean(), gap.max() / scale, *(inside or (0, 0))])
        row[0] += 1
    more = ("image size, semantic weight | ", ":--|") if args.each else ("", "")
    print("| model | %swhat | precision | tensors | max abs | mean abs | max rel | control, max abs | control, max rel |" % more[0])
    print("|:--|%s:--|:--|--:|--:|--:|--:|--:|--:|" % more[1])
    for (name, stage, kind), row in rows.items():
        figures = ["%.1e" % value for value in row[1:4]] + ["%.1e" % value if value else "-" for value in row[4:]]
        print("| %s | %s | %s | %d | %s |" % (name, NAMES[stage], kind, row[0], " | ".join(figures)))


if __name__ == "__main__":
    main()
