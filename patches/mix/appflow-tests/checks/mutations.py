"""Plants faults one at a time and runs the tests of a script under each: a fault that no test notices is a weak script.

A fault replaces one attribute of a class of the suite while the script's own test cases run (unittest, stop at the first failure). Without
any fault the same cases must pass, or nothing is said. The faults are in planted.py and planted_more.py, the table goes to mutations.md."""

import importlib.util
import io
import os
import re
import sys
import unittest
from unittest import mock

import numpy as np
import planted
import planted_more

from proving.record import arguments, write_metrics

KINDS = {
    "common": planted.common,
    "others": planted_more.others,
    "arguments": planted_more.arguments,
    "further": planted_more.further,
}


def _place(name):
    """Where a test stands among those of its class: what looks at one result comes before what makes several."""
    return not re.search("stored|that_of|those_of|reach", name), name


def outcome(path, fault=None):
    """Whether the test cases of the file `path` pass, and which one did not, and an error's name where it was one. They are imported anew each time."""
    spec = importlib.util.spec_from_file_location("planted_" + os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loader = unittest.TestLoader()
    loader.sortTestMethodsUsing = lambda one, other: -1 if _place(one) < _place(other) else 1
    suite = loader.loadTestsFromModule(module)
    here = os.getcwd()
    try:
        with fault() if fault else mock.MagicMock():
            result = unittest.TextTestRunner(stream=io.StringIO(), failfast=True).run(suite)
    finally:
        os.chdir(here)
    bad = result.failures + result.errors
    ran = result.testsRun - len(result.skipped)
    said = bad[0][0].id().partition(" ")[0].rpartition(".")[2] if bad else ""
    error = f" ({result.errors[0][1].strip().splitlines()[-1].partition(':')[0]})" if result.errors else ""
    return ran > 0 and not bad, said + error


def main():
    def add(parser):
        parser.add_argument("--only", default="", help="scripts whose name holds one of these, with commas between")
        parser.add_argument("--kinds", default=",".join(KINDS), help="which faults are planted")

    args = arguments(add)
    kinds = [KINDS[kind]() for kind in args.kinds.split(",")]
    rows, missed, clean, tried = [], 0, 0, 0
    for script in planted.SCRIPTS:
        if not any(part in script for part in args.only.split(",")):
            continue
        path = os.path.join(os.getcwd(), "tests", script)
        tried += 1
        good, said = outcome(path)
        clean += good
        if not good:
            print(f"{script}: fails without any fault at {said}", flush=True)
        for name, fault in [pair for faults in kinds for pair in faults.get(script, {}).items()]:
            passed, said = outcome(path, fault)
            missed += passed
            rows.append((script, name, "missed" if passed else f"caught by {said}"))
            print(*rows[-1], sep=" | ", flush=True)
    fewest = np.unique([script for script, _, _ in rows], return_counts=True)[1].min() if rows else 0
    table = ["| script | planted fault | outcome |", "|-|-|-|", *(f"| {' | '.join(row)} |" for row in rows)]
    with open(os.path.join(args.out, "mutations.md"), "w") as file:
        file.write("\n".join(table) + "\n")
    metrics = {"scripts": tried, "clean": clean, "planted": len(rows), "missed": missed, "fewest_a_script": fewest}
    write_metrics(args.out, {key: float(value) for key, value in metrics.items()})


if __name__ == "__main__":
    sys.exit(main())
