"""The agent in pipelines, and the agents that were there before, in pipelines' own test suite.

pipelines imports far more than the shared environment has (document stores, converters, clients), so its requirements are
installed beside it, in exactly the versions and files of agent-requirements.txt.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

import packages

from proving.record import arguments, write_metrics

HERE = os.path.dirname(os.path.abspath(__file__))
REQUIREMENTS = os.path.join(HERE, "agent-requirements.txt")


def requirements():
    with open(REQUIREMENTS, "rb") as stream:
        key = hashlib.sha256(stream.read()).hexdigest()[:12]
    target = os.path.join(packages.CACHE, "pipelines-%s-py%d%d" % ((key,) + sys.version_info[:2]))
    if os.path.isdir(target):
        return target
    os.makedirs(packages.CACHE, exist_ok=True)
    scratch = tempfile.mkdtemp(dir=packages.CACHE)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--require-hashes",
        "--target",
        scratch,
        "-r",
        REQUIREMENTS,
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(
            "error: the requirements of pipelines could not be installed\n%s\n  next  give this machine access to a package registry"
            % "\n".join(done.stdout.strip().split("\n")[-3:])
        )
    packages.publish(scratch, target)
    return target


def main():
    args = arguments()
    tree = os.getcwd()
    folder = os.path.join(tree, "pipelines")
    report = os.path.join(args.out, "junit.xml")
    path = [folder, requirements(), os.environ["PYTHONPATH"]]
    # sys.path of the tests: pipelines and its requirements first, then what the check runs with.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", report, "tests/agents"]
    done = subprocess.run(command, cwd=folder, env=dict(os.environ, PYTHONPATH=os.pathsep.join(path)))
    if not os.path.isfile(report):
        raise SystemExit("error: pytest ended with %d and wrote no report" % done.returncode)
    cases = ElementTree.parse(report).getroot().iter("testcase")
    states = [(case.get("classname"), {child.tag for child in case}) for case in cases]
    failed = [name for name, tags in states if tags & {"failure", "error"}]
    skipped = [name for name, tags in states if "skipped" in tags]
    ours = [name for name, tags in states if "tree_of_thoughts" in name and not tags & {"failure", "error", "skipped"}]
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
