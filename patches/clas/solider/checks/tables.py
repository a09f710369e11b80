"""Tables of the alignment from the pairs that checks/align.py recorded. Measures nothing and judges nothing.

    python checks/tables.py --reference DIR --pairs DIR [DIR ...] > alignment.md

One row for each size, stage and precision: the worst absolute and mean difference, the worst difference by the largest value
of its tensor, and the control: how far the reference in float32 is from the reference in float64, on the same quantities.
"""

import argparse
import json
import os

import numpy as np
from safetensors.numpy import load_file

NAMES = {
    "forward": "outputs",
    "loss": "loss",
    "backward": "gradients",
    "optimizer": "5 SGD steps",
    "static": "outputs, static graph",
}


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
        stem = os.path.join(reference, "solider_swin_" + name)
        with open(stem + ".precision.json") as stream:
            cache[name] = dict(np.load(stem + ".npz")), json.load(stream)
    golden, precision = cache[name]
    rest = rest[len("static.") :] if rest.startswith("static.") else rest
    if rest + "__f64" in golden:
        single, double = golden[rest].astype(np.float64), golden[rest + "__f64"]
        return np.abs(single - double).max(), np.abs(single - double).max() / np.abs(double).max()
    if "max_abs_diff" in precision.get(rest, {}):
        return precision[rest]["max_abs_diff"], precision[rest]["max_abs_diff"] / precision[rest]["abs_max"]
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", required=True)
    parser.add_argument("--pairs", nargs="+", required=True, help="output directories of checks/align.py")
    args = parser.parse_args()
    rows, cache = {}, {}
    for stage, key, got, want in read(args.pairs):
        if key.endswith((".statistics", ".each", ".each.f64", "_index", "_exists")):
            continue
        double = key.endswith(".f64")
        row = rows.setdefault((key.split(".")[0], stage, "float64" if double else "float32"), np.zeros(6))
        gap, scale = np.abs(got - want), np.abs(want).max()
        inside = None if double else control(args.reference, key, cache)
        row[1:] = np.maximum(row[1:], [gap.max(), gap.mean(), gap.max() / scale, *(inside or (0, 0))])
        row[0] += 1
    print("| model | what | precision | tensors | max abs | mean abs | max rel | control, max abs | control, max rel |")
    print("|:--|:--|:--|--:|--:|--:|--:|--:|--:|")
    for (name, stage, kind), row in rows.items():
        figures = ["%.1e" % value for value in row[1:4]] + ["%.1e" % value if value else "-" for value in row[4:]]
        print("| %s | %s | %s | %d | %s |" % (name, NAMES[stage], kind, row[0], " | ".join(figures)))


if __name__ == "__main__":
    main()
