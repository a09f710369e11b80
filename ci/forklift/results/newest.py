"""evidence/upstream.json: how a change stood against upstream's newest commit when it was last looked at."""

from __future__ import annotations

import datetime
import hashlib
import re
from pathlib import Path

import msgspec

from forklift.branch.upstream import Standing
from forklift.errors import UsageError
from forklift.model import Change
from forklift.system.files import write_whole


class Looked(msgspec.Struct, frozen=True):
    """What was found, on which day, and the hash of the change's files that it was found for."""

    day: str
    content: str
    standing: Standing


def _file(change: Change) -> Path:
    return change.directory / "evidence" / "upstream.json"


def _content(change: Change) -> str:
    digest = hashlib.sha256(msgspec.json.encode(change.file.commit))
    for folder in ("overlay", "edits", "newest"):
        for path in sorted(path for path in (change.directory / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"):
            digest.update(f"{path.relative_to(change.directory)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def write(change: Change, found: Standing) -> None:
    """Keep what was found as committed evidence."""
    looked = Looked(datetime.date.today().isoformat(), _content(change), found)
    write_whole(_file(change), msgspec.json.format(msgspec.json.encode(looked), indent=1) + b"\n")


def read(change: Change) -> Looked | None:
    """What was found last, if anybody looked."""
    if not _file(change).is_file():
        return None
    try:
        return msgspec.json.decode(_file(change).read_bytes(), type=Looked)
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        again = f"./forklift upstream {change.id} --record"
        raise UsageError("a record cannot be read", [("file", _file(change)), ("because", broken)], again) from broken


def cell(change: Change) -> str:
    """`already upstream in 1a2b3c4d5e; series of its own builds (d7975e7cb3, 2024-10-18)`."""
    looked, newest = read(change), change.suite.newest
    if looked is None or newest is None:
        return ""
    found = looked.standing
    text = found.verdict + (f" in {found.by.split()[0]}" if found.by else "")
    if found.conflicts or found.clashes:
        count = len(found.conflicts) + len(found.clashes)
        text += f" ({count} in the way)"
    if (change.directory / "newest").is_dir() and found.series:
        text += "; own series " + re.split(r"[,:]", found.series)[0]
    return text + f" @ {found.commit[:10]} ({found.date})"


def stale(change: Change) -> bool:
    """Whether what was found last was found of other files, or on another commit."""
    looked, newest = read(change), change.suite.newest
    if looked is None or newest is None:
        return False
    return looked.content != _content(change) or looked.standing.commit != newest.commit
