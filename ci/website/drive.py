"""Drive the built site in Chromium, as a reader does: `drive.py SITE PICTURES [PAGE...]`, in MkDocs's environment.

Every page (or each that is named) is opened at the width of a telephone: it must not reach beyond it, load anything from
elsewhere, or say an error, and axe must find nothing, light and dark. Then search, filter and order of the long tables are
used. The exit status is 1 where something is wrong.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
]
SEARCHES = {"": "PIDNet", "zh/": "动转静"}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def served(site: Path) -> Iterator[str]:
    """The site at an address of this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def main() -> int:
    from playwright.sync_api import sync_playwright

    site, pictures = Path(sys.argv[1]), Path(sys.argv[2])
    pictures.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium")
    if program is None or not (site / "index.html").is_file():
        print("error: chromium or the built site is missing\n  next  ci/debian-packages.sh, make site")
        return 2
    with served(site) as url, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        pages = sorted(
            str(path.relative_to(site)) for path in site.rglob("*.html") if path.name != "404.html" and "files" not in path.parts
        )
        pages = sys.argv[3:] or pages
        wrong = [line for scheme in ("light", "dark") for line in looked_at(browser, url, pages, scheme, pictures)]
        for start in SEARCHES:
            wrong += used(browser, url, start, pictures)
        browser.close()
    for line in wrong:
        print(f"wrong  {line}")
    print(f"drive: {len(pages)} pages, {len(wrong)} wrong")
    return 1 if wrong or not pages else 0


def looked_at(browser: Any, url: str, pages: list[str], scheme: str, pictures: Path) -> Iterator[str]:
    """Width, requests, errors and axe of every page."""
    import axe_playwright_python

    axe = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    context = browser.new_context(viewport=PHONE, color_scheme=scheme)
    page = context.new_page()
    said: list[str] = []
    page.on(
        "request", lambda request: None if request.url.startswith((url, "data:", "blob:")) else said.append(f"loads {request.url}")
    )
    page.on("pageerror", lambda error: said.append(f"error {error}"))
    page.on("response", lambda answer: said.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
    for name in pages:
        page.goto(url + name)
        page.wait_for_load_state("load")
        if scheme == "light":
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > PHONE["width"]:
                yield f"{name}: {wide} pixels wide on a telephone"
        page.evaluate(axe)
        for row in page.evaluate("axe.run()")["violations"]:
            yield f"{name} ({scheme}): axe {row['id']}, {len(row['nodes'])} times, {row['nodes'][0]['html'][:160]}"
        if name in ("index.html", "zh/index.html", "changes/seg-pidnet.html"):
            page.screenshot(path=str(pictures / f"{name.replace('/', '-')}-{scheme}.png"))
        yield from (f"{name}: {line}" for line in said)
        said.clear()
    context.close()


def used(browser: Any, url: str, start: str, pictures: Path) -> Iterator[str]:
    """Search, filter and order, in one language."""
    page = browser.new_context(viewport=DESK).new_page()
    page.set_default_timeout(30_000)
    page.goto(f"{url}{start}index.html")
    page.locator(".md-search__input").fill(SEARCHES[start])
    page.locator(".md-search-result__link").first.wait_for(state="visible")
    page.locator(".md-search-result__link").first.click()
    page.wait_for_url("**/*.html*")
    if SEARCHES[start].lower() not in page.locator("article").inner_text().lower():
        yield f"{start}: the first result for {SEARCHES[start]} does not hold it"
    page.goto(f"{url}{start}models/seg.html")
    rows = page.locator(".md-typeset table tbody tr:visible")
    everything = rows.count()
    page.locator(".table-tools input").first.fill("bisenet")
    shown = rows.all_inner_texts()
    if not 0 < len(shown) < everything or not all("bisenet" in text.lower() for text in shown):
        yield f"{start}: the filter shows {len(shown)} of {everything} rows"
    page.locator(".table-tools input").first.fill("")
    for order in ("ascending", "descending"):
        page.locator(".md-typeset th button").first.click()
        names = page.locator(".md-typeset table tbody tr:visible td:first-child").all_inner_texts()
        wanted = page.evaluate(
            "n => [...n].sort((a, b) => a.localeCompare(b, document.documentElement.lang, {numeric: true}))", names
        )
        if names != (wanted if order == "ascending" else wanted[::-1]) or len(names) != everything:
            yield f"{start}: not in {order} order"
    if page.locator("th[aria-sort=descending]").count() != 1:
        yield f"{start}: the order is not said"
    page.screenshot(path=str(pictures / f"models-{start.rstrip('/') or 'en'}.png"))
    other = page.locator("link[rel=alternate]").count()
    if other < 2:
        yield f"{start}: no way to the other language"


if __name__ == "__main__":
    sys.exit(main())
