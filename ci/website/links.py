"""Links between files of the project, as links between pages of the site."""

from __future__ import annotations

import posixpath
import re
import shutil
from collections.abc import Callable
from pathlib import Path

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]+)\)")
_ELSEWHERE = re.compile(r"[a-z][a-z+.-]*:|//|#")


class Map:
    """Which page a file of the project becomes. Files that are no page are copied when a page links to them."""

    def __init__(self, root: Path, docs: Path) -> None:
        self.root, self.docs = root, docs
        self._pages: dict[str, str] = {}
        self.dead: list[str] = []

    def page(self, source: str, target: str) -> None:
        """`source` is a path below the project, `target` one below the site's documents."""
        self._pages[source] = target

    def rewrite(self, text: str, source: str, page: str) -> str:
        """The Markdown of a page with its links turned: `source` is the file (or directory/) that they are relative to."""
        folder = posixpath.dirname(source)

        def turned(found: re.Match[str]) -> str:
            mark, words, target = found[1], found[2], found[3]
            words = _LINK.sub(turned, words) if not mark else words
            if _ELSEWHERE.match(target):
                return f"{mark}[{words}]({target})"
            path, _, anchor = target.partition("#")
            path = posixpath.normpath(posixpath.join(folder, path))
            to = self._place(path)
            if to is None:
                self.dead.append(f"{source}: {target}")
                return words
            relative = posixpath.relpath(to, posixpath.dirname(page) or ".")
            return f"{mark}[{words}]({relative}{'#' + anchor if anchor else ''})"

        return outside_code(text, lambda part: _LINK.sub(turned, part))

    def _place(self, path: str) -> str | None:
        for known in (path, f"{path}/README.md"):
            if known in self._pages:
                return self._pages[known]
        file = self.root / path
        if file.is_dir():
            return self._listing(path)
        if not file.is_file() or path.startswith(".."):
            return None
        target = f"files/{path}"
        if file.suffix == ".md":
            target += ".txt"  # a document that is no page: its text
        (self.docs / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, self.docs / target)
        return target

    def _listing(self, path: str) -> str:
        """A directory: what is in it, by name."""
        target = f"files/{path}/files.txt"
        (self.docs / target).parent.mkdir(parents=True, exist_ok=True)
        names = sorted(str(file.relative_to(self.root)) for file in (self.root / path).rglob("*") if file.is_file())
        (self.docs / target).write_text("\n".join(names) + "\n")
        return target


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Apply `change` to what is neither a fenced block nor code in a line."""
    # an indented block follows an empty line; what follows a list item's line belongs to the item
    parts = re.split(r"(^```.*?^```|(?<=\n\n)(?: {4}[^\n]*(?:\n|\Z))+|`[^`\n]+`)", text, flags=re.S | re.M)
    joined, held = "", []
    for number, part in enumerate(parts):
        if number % 2:  # kept aside, since a link's words may hold code
            held.append(part)
            joined += f"\0{len(held) - 1}\0"
        else:
            joined += part
    done = change(joined)
    return re.sub(r"\0(\d+)\0", lambda found: held[int(found[1])], done)
