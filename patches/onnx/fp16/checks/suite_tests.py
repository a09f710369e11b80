"""The branch's own tests, by pytest, on the package with the built core (package.py); the metrics count their outcomes.

Of the tests that are one an operator those of the norms run: the check `scan` runs all operators through the same function.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree

from package import assemble

from proving.record import arguments, write_metrics

TESTS = ["test_fp16_convert.py", "test_fp16_scan.py", "-k", "not OperatorTest or norm"]


def main():
    args = arguments()
    folder = assemble(args.out)
    path = os.pathsep.join([os.path.abspath(folder), os.environ["PYTHONPATH"]])
    report = os.path.join(os.path.abspath(args.out), "tests.xml")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junit-xml", report, *TESTS]
    # in tests/: -m puts the working directory first, and the work tree's own package has no core
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, cwd="tests", check=False)
    if done.returncode not in (0, 1):
        raise SystemExit("pytest ended with %d" % done.returncode)
    metrics = {"passed": 0, "failed": 0, "skipped": 0}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        states = {child.tag for child in case}
        metrics["failed" if states & {"failure", "error"} else "skipped" if "skipped" in states else "passed"] += 1
    write_metrics(args.out, metrics=metrics)


if __name__ == "__main__":
    main()
