"""Rules about overlay/: new files in upstream layout and the suite's style."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from forklift.model import Change
from forklift.system import shell
from forklift.system.paths import Project

_HARNESS = {"forklift", "proving"}
_LARGE = 1 << 20


def imports(project: Project, change: Change) -> Iterator[str]:
    """Overlay code never imports the harness or its helpers."""
    for path in _python(change):
        try:
            tree = ast.parse(path.read_text())
        except SyntaxError as broken:
            yield f"{_name(change, path)}:{broken.lineno} is not valid Python: {broken.msg}"
            continue
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                if name.split(".")[0] in _HARNESS:
                    yield f"{_name(change, path)}:{getattr(node, 'lineno', 0)} imports {name}"


def copyright_header(project: Project, change: Change) -> Iterator[str]:
    """Each Python file starts with the suite's licence header."""
    holder = change.suite.copyright
    for path in _python(change):
        head = "\n".join(path.read_text().splitlines()[:4])
        if path.stat().st_size and holder not in head:
            yield f"{_name(change, path)} lacks the licence header ({holder})"


def formatted(project: Project, change: Change) -> Iterator[str]:
    """The suite's own formatter has nothing to change."""
    bin_directory = Path(sys.executable).parent
    for words in change.suite.formatter.check:
        marks = {_formatted_mark(project, change, words, path): path for path in _python(change)}
        files = [str(path) for mark, path in marks.items() if not mark.is_file()]
        if not files:
            continue
        done = shell.run([bin_directory / words[0], *words[1:], *files], check=False)
        if done.status == 0 and not done.stdout.strip():
            for mark in marks:
                mark.parent.mkdir(parents=True, exist_ok=True)
                mark.touch()
        if done.status != 0 or (words[0] == "yapf" and done.stdout.strip()):
            first = next((line for line in done.stdout.splitlines() if line.startswith(("---", "+++", "would"))), done.tail)
            yield f"{words[0]} would change the overlay: {first.replace(str(change.overlay) + '/', '')}"


def _formatted_mark(project: Project, change: Change, words: list[str], path: Path) -> Path:
    """There where this content at this path passed this formatter before: yapf takes a second for each large file."""
    name = json.dumps([words, str(path.relative_to(change.directory)), change.suite.short]).encode()
    digest = hashlib.sha256(_harness_lock(project) + name + b"\0" + path.read_bytes())
    return project.cache / "formatted" / digest.hexdigest()


@cache
def _harness_lock(project: Project) -> bytes:
    lock = project.locks / "harness.txt"
    return lock.read_bytes() if lock.is_file() else b""


def not_a_patch(project: Project, change: Change) -> Iterator[str]:
    """No leftovers: rejects, originals, byte code, archives of other files."""
    for path in change.overlay_files:
        if path.endswith((".rej", ".orig", ".pyc", ".patch", ".swp")):
            yield f"overlay/{path} is a leftover"


def large_files(project: Project, change: Change) -> Iterator[str]:
    """Nothing above 1 MiB goes into a repository."""
    for path in change.directory.rglob("*"):
        if path.is_file() and path.stat().st_size > _LARGE:
            yield f"{path.relative_to(change.directory)} has {path.stat().st_size / _LARGE:.1f} MiB, the limit is 1"


def _python(change: Change) -> list[Path]:
    return [change.overlay_file(path) for path in change.overlay_files if path.endswith(".py")]


def _name(change: Change, path: Path) -> str:
    return str(path.relative_to(change.directory))
