"""Load ci/suites.toml; errors carry file and key."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import msgspec

from forklift.errors import UsageError, nearest
from forklift.model import Identity, Suite, SuitesFile

T = TypeVar("T")


def decode(path: Path, kind: type[T]) -> T:
    """TOML into a strict type. The error names the file, the key and what was expected."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind)
    except FileNotFoundError as missing:
        raise UsageError(f"no such file: {path}", [], "./forklift list") from missing
    except msgspec.ValidationError as wrong:
        text = str(wrong)
        what, _, key = text.partition(" - at `$")
        raise UsageError(
            "a manifest has a wrong entry",
            [("file", path), ("key", key.strip("`.") or "(top level)"), ("want", what)],
            "correct the entry; docs/change-toml.md lists every key",
        ) from wrong
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        raise UsageError(
            "a manifest is not valid TOML", [("file", path), ("want", broken)], "correct the line, then run the command again"
        ) from broken


@lru_cache(maxsize=4)
def load(ci: Path) -> SuitesFile:
    """The eight suites."""
    return decode(ci / "suites.toml", SuitesFile)


def author(ci: Path) -> Identity:
    """Who signs the commits: FORKLIFT_AUTHOR="Name <address>", else the identity in suites.toml."""
    named = os.environ.get("FORKLIFT_AUTHOR")
    if not named:
        return load(ci).identity
    found = re.fullmatch(r"\s*([^<>]+?)\s*<([^<>@\s]+@[^<>\s]+)>\s*", named)
    if found is None:
        raise UsageError(
            f"FORKLIFT_AUTHOR is {named!r}", [("want", "Name <address>")], 'FORKLIFT_AUTHOR="Your Name <you@example.com>"'
        )
    return Identity(name=found[1], email=found[2])


def find(ci: Path, word: str) -> Suite:
    """A suite by its name or short name."""
    rows = load(ci).suite
    for suite in rows:
        if word in (suite.name, suite.short):
            return suite
    names = [suite.short for suite in rows] + [suite.name for suite in rows]
    raise UsageError(f"no suite {word!r}", [("have", " ".join(names[: len(rows)]))], nearest(word, names) or "./forklift list")
