"""What the change adds to the agents of pipelines, and the agents that were there before, in pipelines' own test suite.

pipelines imports far more than the shared environment has (document stores, converters, clients), so its requirements are
installed beside it, in exactly the versions and files of pipelines-requirements.txt. `nlp-tree-of-thoughts` runs this, too.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

from proving.record import arguments, write_metrics
from proving.wheels import cache, ensure_packages

HERE = os.path.dirname(os.path.abspath(__file__))
REQUIREMENTS = os.path.join(HERE, "pipelines-requirements.txt")


def main():
    args = arguments(lambda parser: parser.add_argument("--ours", required=True, help="file of the tests that this change adds"))
    tree = os.getcwd()
    folder = os.path.join(tree, "pipelines")
    report = os.path.join(args.out, "junit.xml")
    path = [folder, ensure_packages(cache("nlp-agent-language-models"), REQUIREMENTS), os.environ["PYTHONPATH"]]
    # what the tests import: pipelines and its requirements first, then what the check runs with.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", report, "tests/agents"]
    done = subprocess.run(command, cwd=folder, env=dict(os.environ, PYTHONPATH=os.pathsep.join(path)))
    if not os.path.isfile(report):
        raise SystemExit("error: pytest ended with %d and wrote no report" % done.returncode)
    cases = ElementTree.parse(report).getroot().iter("testcase")
    states = [(case.get("classname"), {child.tag for child in case}) for case in cases]
    failed = [name for name, tags in states if tags & {"failure", "error"}]
    skipped = [name for name, tags in states if "skipped" in tags]
    ours = [name for name, tags in states if args.ours in name and not tags & {"failure", "error", "skipped"}]
    write_metrics(
        args.out,
        {
            "passed": len(states) - len(failed) - len(skipped),
            "failed": len(failed),
            "skipped": len(skipped),
            "ours_passed": len(ours),
        },
    )


if __name__ == "__main__":
    main()
