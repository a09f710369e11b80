"""pytest in the suite's environment, and JUnit files read."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from forklift.errors import ForkliftError
from forklift.model import Workspace
from forklift.running.runner import python


def collect(
    workspace: Workspace, files: Sequence[Path], args: Sequence[str], timeout_s: int, junit: Path, tree: Path
) -> dict[str, str]:
    """{test: passed | failed | skipped}. The test files are always the branch's; the code under test is `tree`'s."""
    paths = [str(path) for path in files]
    # the work tree lies inside this project: without rootdir and -c pytest would take this project's configuration
    own = next((tree / name for name in ("pytest.ini", "tox.ini", "setup.cfg") if (tree / name).is_file()), os.devnull)
    words = ["-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", "--import-mode=importlib", f"--junitxml={junit}"]
    # and without confcutdir it would import a package that is the root of a suite (PaddleClas has an __init__.py there)
    cut = os.path.commonpath([Path(path).parent for path in paths])
    words += [f"--rootdir={workspace.directory}", f"--confcutdir={cut}", "-c", str(own), "--continue-on-collection-errors"]
    words += [*args, *paths]
    done = python(workspace, *words, cwd=tree, log=junit.with_suffix(".log"), timeout=timeout_s, check=False)
    # 0 all passed, 1 some failed; 2 to 5: interrupted, internal error, usage, nothing collected
    if done.status not in (0, 1) or not junit.is_file():
        raise ForkliftError(
            f"pytest ended with status {done.status}",
            [("output", done.tail), ("tests", ", ".join(paths))],
            f"read {junit.with_suffix('.log')}",
        )
    return read_junit(junit)


def read_junit(path: Path) -> dict[str, str]:
    """States of all test cases in a JUnit file."""
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except ElementTree.ParseError as broken:
        raise ForkliftError("a JUnit file cannot be read", [("file", path), ("at", broken)], "read the log beside it") from broken
    states: dict[str, str] = {}
    for case in cases:
        name, kinds = f"{case.get('classname')}::{case.get('name')}", {child.tag for child in case}
        state = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        # a test whose call and teardown both end badly is written twice
        states[name] = "failed" if states.get(name) == "failed" else state
    return states
