"""The task's measure: equal inputs, outputs within 1e-6, for tiny, small and base.

    python checks/task_bar.py --out DIR --reference DIR

reprod_log, the measure of the suite, takes the mean of the absolute difference; the global feature is held to 1e-6 on its
maximum, too. What float32 itself allows stands beside it: how far the reference in float32 is from the reference in float64.
table.md holds all of it by size and output, worst over image sizes and semantic weights; outputs.md every output by itself.
"""

import argparse
import os

import numpy as np
import reference_set

from proving import seeding
from proving.record import arguments, write_metrics
from proving.reference import stored_key

HERE = os.path.dirname(os.path.abspath(__file__))
OUTPUTS = ("global", "out0", "out1", "out2", "out3")
HEAD = (
    "| model | output | largest value | max abs | mean abs | max rel | reference float32 to float64, max abs | mean abs |\n"
    "|:--|:--|--:|--:|--:|--:|--:|--:|\n"
)


def measure(one):
    """[largest value, max abs, mean abs, max rel, max and mean of the control] as {output: worst of all runs} and {key: row}."""
    worst, rows = {name: np.zeros(6) for name in OUTPUTS}, {}
    for key, value in reference_set.run_forward(one):
        name = key.rpartition(".")[2]
        if name not in worst:
            continue
        got, want = seeding.samples(one.arrays, key, value)
        gap, scale = np.abs(got.astype(np.float64) - want), np.abs(want).max()
        control = one.precision.get(key, {}).get("max_abs_diff", np.nan), control_mean(one, key)
        row = [scale, gap.max(), gap.mean(), gap.max() / scale, *control]
        worst[name] = np.maximum(worst[name], row)
        rows[key] = row
    return worst, rows


def line(name, output, row):
    return "| %s | %s | %.2f | %s |\n" % (name, output, row[0], " | ".join("%.1e" % value for value in row[1:]))


def control_mean(one, key):
    """Mean distance of the stored float32 output to float64, where both sets keep the same elements."""
    if not one.holds(key, "float64"):
        return np.nan
    keys = (key, stored_key(key, "float64"))
    steps = [int(one.arrays.get(name + "__stride", 1)) for name in keys]
    single, double = (one.arrays[name].reshape(-1)[:: np.lcm(*steps) // step] for name, step in zip(keys, steps))
    return np.abs(single.astype(np.float64) - double).mean()


def main():
    args = arguments(parser=argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    reference = args.reference or os.path.join(os.path.dirname(HERE), "reference")
    metrics, table, full = {}, HEAD, HEAD
    for one in reference_set.find(reference):
        worst, rows = measure(one)
        one.forget()
        metrics["mean_abs." + one.short] = max(row[2] for row in worst.values())
        metrics["global_max_abs." + one.short] = worst["global"][1]
        metrics["max_abs." + one.short] = max(row[1] for row in worst.values())
        metrics["reference_float32_max_abs." + one.short] = max(row[4] for row in worst.values())
        table += "".join(line(one.short, name, row) for name, row in worst.items())
        full += "".join(line(one.short, key, row) for key, row in rows.items())
    with open(os.path.join(args.out, "outputs.md"), "w") as stream:
        stream.write(full)
    with open(os.path.join(args.out, "table.md"), "w") as stream:
        stream.write(table)
    print(table)
    write_metrics(args.out, metrics)


if __name__ == "__main__":
    main()
