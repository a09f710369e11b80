"""Every link of a built site leads somewhere: files and anchors, in both languages, without a network."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and (name == "id" or (tag == "a" and name == "name")):
                self.anchors.add(value)
            if value and name in ("href", "src") and not (tag == "link" and dict(attrs).get("rel") == "canonical"):
                self.links.append(value)


@cache
def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(errors="replace"))
    return page


def broken(site: Path) -> list[str]:
    """`page: link` of each link to a file or an anchor that is not there, and of each file that is loaded from elsewhere."""
    found = []
    for path in sorted(site.rglob("*.html")):
        if path.name == "404.html":  # its links are absolute
            continue
        for link in _read(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or site.resolve() not in target.parents:
                found.append(f"{path.relative_to(site)}: {link}")
            elif parts.fragment and target.suffix == ".html" and not _anchor(target, parts.fragment):
                found.append(f"{path.relative_to(site)}: {link} (no such anchor)")
    return found


def _anchor(path: Path, name: str) -> bool:
    return unquote(name) in _read(path).anchors or name in ("__skip", "__tabbed")
