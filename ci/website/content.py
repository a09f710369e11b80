"""What stands on the site: the pages in both languages, as Markdown for MkDocs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from forklift.branch import changes, suites
from forklift.model import Change, Outcome
from forklift.results import page, status
from forklift.system.paths import Project
from website import wheels
from website.links import Map

LANGUAGES: tuple[page.Language, ...] = ("en", "zh")
_SAY = {
    "home": ("Forklift", "Forklift"),
    "overview": ("Where each change stands", "各改动的状态"),
    "changes": ("Changes", "改动"),
    "models": ("Lists of models", "模型列表"),
    "documents": ("Documents", "文档"),
    "decisions": ("Decisions", "决策记录"),
    "wheels": ("Wheels", "安装包"),
    "readme": ("Read me", "项目说明"),
    "contributing": ("Contributing", "贡献指南"),
    "evidence": ("evidence", "证据"),
    "no": ("No.", "编号"),
    "change": ("change", "改动"),
    "state": ("state", "状态"),
    "legend": (
        "A cell counts the checks of that kind that passed in some recorded run, of those that the change has. `-`: it has none.",
        "每格为该类检查中在某次记录里通过的项数与该改动的总项数；`-` 表示没有这类检查。",
    ),
    "counts": ("{ready} of {all} changes are ready, {begun} have begun.", "{all} 项改动中 {ready} 项就绪，{begun} 项已开始。"),
    "english": ("", "本页原文为英文。"),
}
GATES = {
    "unit_tests": ("unit tests", "单元测试"),
    "alignment": ("alignment", "数值对齐"),
    "loss_consistency": ("loss consistency", "动静一致"),
    "export_parity": ("export", "导出"),
    "metrics": ("training, metrics", "训练与指标"),
    "native": ("C++", "C++"),
    "app": ("page", "页面"),
    "benchmark": ("speed", "速度"),
    "newest": ("newest upstream", "最新上游"),
}


def say(word: str, language: page.Language) -> str:
    return _SAY[word][language == "zh"]


class Site:
    """The documents of one language below `docs`; `nav` is what MkDocs lists."""

    def __init__(self, project: Project, docs: Path, language: page.Language) -> None:
        self.project, self.docs, self.language = project, docs, language
        self.links = Map(project.root, docs)
        self.changes = changes.select(project)
        self.nav: list[Any] = []
        self._pages: list[tuple[str, str, str]] = []  # text, source, page

    def write(self) -> None:
        """Collect all pages first, so that each link finds its page; then write them."""
        shutil.rmtree(self.docs, ignore_errors=True)
        self._home()
        self._changes()
        self._documents()
        for source, target in {
            f"{row.directory.relative_to(self.project.root)}/": f"changes/{row.id}.md" for row in self.changes
        }.items():
            self.links.page(source.rstrip("/"), target)
            self.links.page(f"{source}pr.md", target)
            self.links.page(f"{source}evidence/README.md", target)
        for text, source, target in self._pages:
            path = self.docs / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.links.rewrite(text, source, target))
        theme = Path(__file__).parent / "theme"
        shutil.copytree(theme, self.docs / "theme", dirs_exist_ok=True)

    def _add(self, text: str, source: str, target: str) -> str:
        self._pages.append((text, source, target))
        return target

    def _document(self, source: str, target: str) -> str:
        """A document of the project as it is; one that only exists in English says so."""
        text = (self.project.root / source).read_text()
        if self.language == "zh" and not source.endswith("_CN.md"):
            text = re.sub(r"\A(# .*\n)", rf"\1\n*{say('english', 'zh')}*\n", text)
        self.links.page(source, target)
        return self._add(text, source, target)

    # ---- pages ---------------------------------------------------------------------------------------

    def _home(self) -> None:
        rows = status.rows(self.project)
        ready = sum(row.state in ("ready", "submitted", "accepted") for row in rows)
        begun = sum(row.state != "not begun" for row in rows)
        known = {change.id: change for change in self.changes}
        heads = [say("change", self.language), say("no", self.language), say("state", self.language)]
        heads += [names[self.language == "zh"] for names in GATES.values()]
        lines = [f"# {say('home', self.language)}", "", self._first_words(), "", f"## {say('overview', self.language)}", ""]
        lines += [
            say("counts", self.language).format(ready=ready, begun=begun, all=len(rows)),
            "",
            say("legend", self.language),
            "",
        ]
        lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for row in rows:
            title = row.title_zh or row.title if self.language == "zh" else row.title
            change = known.get(row.id)
            name = f"[{title}]({change.directory.relative_to(self.project.root)})" if change else title
            gates = [_gate(change, kind) if change else "-" for kind in list(GATES)[:-1]]
            state = status.translated(row.state, self.language)
            cells = [name, str(row.task), state, *gates, status.translated(row.newest or "-", self.language)]
            lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
        self.nav.append({say("home", self.language): self._add("\n".join(lines) + "\n", "README.md", "index.md")})

    def _first_words(self) -> str:
        readme = self.project.root / ("README_CN.md" if self.language == "zh" else "README.md")
        text = readme.read_text()
        start = text.index("\n\n", text.index("](README")) + 2
        return text[start : text.index("\n## ", start)].strip()

    def _changes(self) -> None:
        listed: list[Any] = []
        for change in sorted(self.changes, key=lambda change: (change.file.task, change.id)):
            source = f"{change.directory.relative_to(self.project.root)}/pr.md"
            text = page.of_change(self.project, change, self.language)
            listed.append({change.id: self._add(self._with_curves(change, text), source, f"changes/{change.id}.md")})
            for path in sorted((change.directory / "evidence").glob("*.md")):
                if path.name != "README.md":
                    relative = str(path.relative_to(self.project.root))
                    target = f"changes/{change.id}/{path.stem}.md"
                    self.links.page(relative, target)
                    self._add(_titled(path.read_text(), f"{change.id}: {path.stem}"), relative, target)
        self.nav.append({say("changes", self.language): listed})

    def _with_curves(self, change: Change, text: str) -> str:
        from website import curves

        drawn = curves.of_sweep(change, self.language)
        return text.replace(f"## {page.say('results', self.language)}", f"{drawn}\n\n## {page.say('results', self.language)}", 1)

    def _documents(self) -> None:
        root = self.project.root
        models = [{path.stem: self._document(f"docs/to_static/{path.name}", f"models/{path.stem}.md")}
                  for path in sorted((root / "docs" / "to_static").glob("*.md"))]  # fmt: skip
        self.nav.append({say("models", self.language): models})
        documents: list[Any] = [
            {
                say("readme", self.language): self._document(
                    "README_CN.md" if self.language == "zh" else "README.md", "documents/readme.md"
                )
            },
            {say("contributing", self.language): self._document("CONTRIBUTING.md", "documents/contributing.md")},
        ]
        self.links.page("README.md", "documents/readme.md")
        self.links.page("README_CN.md", "documents/readme.md")
        documents += [
            {path.stem: self._document(f"docs/{path.name}", f"documents/{path.stem}.md")}
            for path in sorted((root / "docs").glob("*.md"))
        ]
        self.nav.append({say("documents", self.language): documents})
        decisions = [
            {path.stem: self._document(f"docs/decisions/{path.name}", f"decisions/{path.stem}.md")}
            for path in sorted((root / "docs" / "decisions").glob("*.md"))
        ]
        self.links.page("docs/decisions", next(iter(decisions[0].values())))
        self.nav.append({say("decisions", self.language): decisions})
        text = wheels.text(suites.load(self.project.ci).suite, self.changes, self.language)
        self.nav.append({say("wheels", self.language): self._add(text, "README.md", "wheels.md")})


def _gate(change: Change, kind: str) -> str:
    """`3/4`: checks of a kind that passed in some recorded run."""
    names = [spec.label for spec in change.checks if spec.kind == kind]
    legs = status.recorded(change).values()
    passed = {name for leg in legs for name, row in leg.checks.items() if row.outcome == Outcome.PASSED.value}
    return f"{sum(name in passed for name in names)}/{len(names)}" if names else "-"


def _titled(text: str, title: str) -> str:
    return text if text.lstrip().startswith("# ") else f"# {title}\n\n{text}"
