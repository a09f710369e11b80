"""What the scripts of all sweeps share: a row of models.toml, its config file, and a config without weights."""

import os
import sys
from typing import Any

try:
    import tomllib
except ImportError:  # Python < 3.11
    import tomli as tomllib


def read_row(path: str, name: str) -> dict[str, Any]:
    """The row of that id. Raises SystemExit where there is none, and where the row says why it is not run."""
    with open(path, "rb") as stream:
        rows = tomllib.load(stream)["row"]
    for row in rows:
        if row["id"] == name:
            for reason in ("untrainable", "pending"):
                if reason in row:
                    sys.exit("row %s is not swept: %s" % (name, row[reason]))
            return row
    sys.exit("no row %r in %s; the rows are: %s" % (name, path, ", ".join(row["id"] for row in rows)))


def config_file(row: dict[str, Any], path: str, own: str, fork: str) -> str:
    """`path` of the suite, or where the base has none (a release from the package index) the settings that matter, `own`.

    Raises SystemExit where neither is there; `fork` is the command that sets up a base with configs.
    """
    if os.path.isfile(path):
        return path
    if not os.path.isfile(own):
        sys.exit("row %s needs %s; next: run it on the fork (%s)" % (row["id"], path, fork))
    return own


def replace_keys(node: Any, values: dict[str, Any]) -> None:
    """Give keys of a nested config other values wherever they stand: there is no network to fetch pretrained weights."""
    if isinstance(node, dict):
        for key in node:
            if key in values:
                node[key] = values[key]
            else:
                replace_keys(node[key], values)
    elif isinstance(node, list):
        for item in node:
            replace_keys(item, values)
