"""make site: out/site/ in English and Chinese, with every link checked. `python -m website [--drive]`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from forklift.results.page import Language
from forklift.system.paths import Project, current_project
from website import check, content

_NAMES = {"en": ("English", "."), "zh": ("中文", "zh")}


def main() -> int:
    """1 where a link is broken."""
    project, started = current_project(), time.monotonic()
    target = project.out / "site"
    python = environment(project)
    if "--drive" in sys.argv:
        words: list[str | Path] = [
            python,
            project.ci / "website" / "drive.py",
            target,
            project.out / "site-pictures",
            *sys.argv[2:],
        ]
        return subprocess.run(words).returncode
    shutil.rmtree(target, ignore_errors=True)
    dead: list[str] = []
    jobs: list[Path] = []
    for language in content.LANGUAGES:
        docs = project.cache / "site" / language / "docs"
        site = content.Site(project, docs, language)
        site.write()
        dead += [f"{language}: {line}" for line in site.links.dead]
        jobs.append(configuration(site, target, language))
    for line in sorted(set(dead)):
        print(f"no such file  {line}")
    for config in jobs:  # English first: MkDocs empties the directory that Chinese goes into
        build(python, config)
    found = check.broken(target)
    for line in found:
        print(f"broken  {line}")
    pages = len(list(target.rglob("*.html")))
    print(f"site: {pages} pages in {project.short(target)}, {len(found)} broken links, {time.monotonic() - started:.1f} s")
    return 1 if found or dead else 0


def configuration(site: content.Site, target: Path, language: Language) -> Path:
    """mkdocs.yml of one language; JSON is YAML."""
    _, folder = _NAMES[language]
    config = {
        "site_name": "Forklift",
        "docs_dir": str(site.docs),
        "site_dir": str(target / folder),
        "use_directory_urls": False,
        "nav": site.nav,
        "theme": {
            "name": "material",
            "language": language,
            "font": False,  # nothing is loaded from elsewhere
            "features": ["navigation.sections", "navigation.top", "search.highlight", "content.code.copy"],
            "palette": [
                {"media": "(prefers-color-scheme: light)", "scheme": "default", "primary": "indigo",
                 "toggle": {"icon": "material/weather-night", "name": "dark" if language == "en" else "深色"}},
                {"media": "(prefers-color-scheme: dark)", "scheme": "slate", "primary": "indigo",
                 "toggle": {"icon": "material/weather-sunny", "name": "light" if language == "en" else "浅色"}},
            ],
        },
        "extra": {"generator": False, "alternate": [
            {"name": name, "lang": lang, "link": _link(language, lang)} for lang, (name, _) in _NAMES.items()
        ]},
        "extra_css": ["theme/site.css"],
        "extra_javascript": ["theme/tables.js"],
        "plugins": [{"search": {"lang": ["en"] if language == "en" else ["zh", "en"]}}],
        "markdown_extensions": ["tables", "attr_list", {"toc": {"permalink": False}}, "pymdownx.superfences"],
        "validation": {"nav": {"omitted_files": "ignore"}, "links": {"not_found": "ignore", "anchors": "ignore"}},
    }  # fmt: skip
    path = site.docs.parent / "mkdocs.yml"
    path.write_text(json.dumps(config, ensure_ascii=False, indent=1))
    return path


def _link(language: Language, other: str) -> str:
    if language == other:
        return "index.html"
    return "zh/index.html" if other == "zh" else "../index.html"


def build(python: Path, config: Path) -> None:
    """Run MkDocs in its own environment."""
    words: list[str | Path] = [python, "-m", "mkdocs", "build", "-q", "-f", config]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    if done.returncode != 0:
        raise SystemExit(f"error: MkDocs could not build {config}\n{done.stdout}{done.stderr}")


def environment(project: Project) -> Path:
    """MkDocs's own environment, made from its hashed lock when it is first needed."""
    lock = project.locks / "site.txt"
    target = project.cache / "site" / f"environment-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    mark, python = target / "complete", target / "bin" / "python"
    if not mark.is_file():
        uv = Path(sys.executable).parent / "uv"
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, target], check=True)
        words: list[str | Path] = [uv, "pip", "install", "-q", "--no-deps", "--require-hashes", "--python", python, "-r", lock]
        subprocess.run(words, check=True, env={"UV_SYSTEM_CERTS": "1", "UV_LINK_MODE": "hardlink", **os.environ})
        mark.touch()
    return python


if __name__ == "__main__":
    sys.exit(main())
