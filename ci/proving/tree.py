"""Programs and tests of the work tree, importable as they are where they run: check scripts carry no `sys.path` of their own."""

import importlib.util
import os
import sys
from typing import Any


def on_path(*parts: str) -> str:
    """Put a folder first on the path of imports, below the working directory or an absolute one. SystemExit if it is not there.

    A folder that upstream has moved since the pin is found where it is by now.
    """
    folder = _there(os.path.abspath(os.path.join(*parts)))
    if not os.path.isdir(folder):
        raise SystemExit("error: no %s here\n  next  run this check with `forklift check ID`" % os.path.relpath(folder))
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return folder


def _there(path: str) -> str:
    """`path`, or where it is by now: FORKLIFT_MOVED holds `old/=new/` of directories that upstream has moved."""
    relative = os.path.relpath(path)
    for old, _, new in (entry.partition("=") for entry in os.environ.get("FORKLIFT_MOVED", "").split(os.pathsep)):
        if old and relative.startswith(old) and not os.path.exists(path):
            return os.path.abspath(new + relative[len(old) :])
    return path


def load(*parts: str) -> Any:
    """The module in a file of the work tree, whatever its folder is."""
    path = _there(os.path.abspath(os.path.join(*parts)))
    spec = importlib.util.spec_from_file_location(os.path.splitext(os.path.basename(path))[0], path)
    if spec is None or spec.loader is None or not os.path.isfile(path):
        raise SystemExit("error: no %s here\n  next  run this check with `forklift check ID`" % os.path.relpath(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
