"""Let a row run in float64 whose code writes float32: a copy of the suite in which the words that `in_float64` names are others.

Every mode of a control runs the same copy, so what is compared is still dygraph's program with the static ones; how often each
word was replaced is printed. The row in its own type runs the suite as it is.
"""

import os
import shutil
import sys

from proving.tree import on_path

PACKAGES = ["paddleseg", os.path.join("Matting", "ppmatting")]
LEFT_OUT = shutil.ignore_patterns(".git", "*.png", "*.jpg", "*.jpeg", "*.gif", "__pycache__", "docs", "EISeg", "test_tipc")


def enter_copy(row, out):
    """Copy the working directory to `out`/suite, replace there, and go on in it. Raises SystemExit for a word that is nowhere."""
    copy = os.path.abspath(os.path.join(out, "suite"))
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(os.getcwd(), copy, symlinks=True, ignore=LEFT_OUT)
    for old, new in row["in_float64"]:
        count = sum(replace(os.path.join(copy, package), old, new) for package in PACKAGES)
        if not count:
            sys.exit("row %s: %r is nowhere in %s; next: correct in_float64 in models.toml" % (row["id"], old, " ".join(PACKAGES)))
        print("%s: %r for %r in %d lines" % (row["id"], new, old, count), flush=True)
    os.chdir(copy)
    on_path(copy)
    for name in [name for name in sys.modules if name.split(".")[0] in ("paddleseg", "ppmatting")]:
        del sys.modules[name]  # imported from the suite as it is


def replace(folder, old, new):
    """In every Python file below `folder`; how many lines it changed."""
    count = 0
    for parent, _, names in os.walk(folder):
        for path in (os.path.join(parent, name) for name in names if name.endswith(".py")):
            with open(path, encoding="utf-8") as stream:
                text = stream.read()
            found = sum(old in line for line in text.splitlines())
            if found:
                with open(path, "w", encoding="utf-8") as stream:
                    stream.write(text.replace(old, new))
            count += found
    return count
