"""The page of one change, as Markdown with links relative to the change's directory: for the site, and for the bundle as HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from forklift.model import Change, Outcome, Report
from forklift.results import newest, report, status
from forklift.system.paths import Project

Language = Literal["en", "zh"]
PICTURES = (".png", ".jpg", ".gif", ".svg")

_TEXTS = {
    "task": ("Task", "任务编号"),
    "suite": ("Suite", "套件"),
    "branch": ("Branch", "分支"),
    "licence": ("Licence", "许可证"),
    "origin": ("Made from", "来源"),
    "fact": ("", ""),
    "value": ("", ""),
    "pictures": ("Pictures", "图片"),
    "text": ("What it does", "内容"),
    "part": ("Pull request of its own", "单独的 PR"),
    "results": ("Figures", "检查结果"),
    "none": ("No run has been recorded.", "尚无记录。"),
    "check": ("check", "检查"),
    "result": ("result", "结果"),
    "figures": ("figures", "数据"),
    "command": ("command", "命令"),
    "stale": ("recorded before the change's last edit", "记录早于最近一次修改"),
    "newest": ("On upstream's newest commit", "在上游最新提交上"),
    "unverified": ("What was not verified", "未验证的内容"),
    "see": ("Beside what the text says under this heading:", "除正文同名一节所述之外："),
    "all": ("every check of the change passed somewhere", "所有检查都至少通过一次"),
    "evidence": ("Evidence", "证据"),
    "open": ("How to open the pull request", "如何提交 PR"),
    "in_the_way": ("in the way", "冲突"),
    "there": ("there already", "已存在"),
    "series": ("series for this commit", "针对该提交的补丁"),
}


def say(word: str, language: Language) -> str:
    return _TEXTS[word][language == "zh"]


def of_change(project: Project, change: Change, language: Language = "en", run: Report | None = None) -> str:
    """Pictures first, then the pull request's text, figures with their commands, evidence, and what was not verified.

    `run` is the run that a bundle was made of; without it the figures are those that were recorded.
    """
    parts = [f"# {change.file.title}", _facts(change, language)]
    pictures = "\n\n".join(_pictures(change))
    if pictures:
        parts += [f"## {say('pictures', language)}", pictures]
    parts += [f"## {say('text', language)}", deeper(_read(change.place("pr.md")))]
    for part in change.file.part:
        parts += [f"### {say('part', language)}: {part.title}", deeper(_read(change.place(f"pr-{part.name}.md")), 2)]
    figures = _of_run(run, language) if run else "\n\n".join(_recorded(project, change, language))
    parts += [f"## {say('results', language)}", figures or say("none", language)]
    parts += _newest(change, language)
    parts += [f"## {say('unverified', language)}", _unverified(change, run, language)]
    evidence = change.directory / "evidence" / "README.md"
    if evidence.is_file():
        parts += [f"## {say('evidence', language)}", _from_evidence(deeper(_read(evidence), drop_title=True))]
    parts += [f"## {say('open', language)}", _opening(change)]
    return "\n\n".join(part for part in parts if part) + "\n"


def deeper(text: str, by: int = 1, drop_title: bool = False) -> str:
    """Markdown with its headings moved down, so that a page has one first heading; comments are left out, code is not touched."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    lines, fenced, last = [], False, by + 1
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        found = None if fenced else re.match(r"(#{1,6}) +(.*)", line)
        if found and drop_title and len(found[1]) == 1:
            continue
        if found:  # a level is never skipped on the way down
            last = min(len(found[1]) + by, 6, last + 1)
            line = f"{'#' * last} {found[2]}"
        lines.append(line)
    return "\n".join(lines).strip()


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _facts(change: Change, language: Language) -> str:
    file = change.file
    rows = [
        (say("suite", language), change.suite.name),
        (say("task", language), str(file.task)),
        (say("branch", language), f"`{file.branch}`"),
        (say("origin", language), file.upstream.origin),
        (say("licence", language), file.upstream.licence),
    ]
    return "\n".join(f"- **{name}**: {value}" for name, value in rows)


def pictures_of(change: Change) -> list[Path]:
    """Pictures of the evidence, by name."""
    folder = change.directory / "evidence"
    return sorted(path for path in folder.rglob("*") if path.suffix in PICTURES) if folder.is_dir() else []


def _pictures(change: Change) -> Iterator[str]:
    """Each picture with what the evidence's table says of it."""
    text = _read(change.directory / "evidence" / "README.md")
    for path in pictures_of(change):
        said = _said_of(text, path.name)
        name = path.relative_to(change.directory).as_posix()
        yield f"![{plain(said) or path.stem}]({name})"
        yield f"*{path.name}*" + (f": {_from_evidence(said)}" if said else "")


def _said_of(text: str, name: str) -> str:
    for line in text.splitlines():
        if name in line and line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("| "))]
            cells = [cell for cell in cells if name not in cell]
            words = [cell for cell in cells if not re.fullmatch(r"`[^`]*`", cell)]  # a command describes no picture
            return "; ".join(words or cells)
    return ""


def plain(text: str) -> str:
    """Text without Markdown's marks, for the description of a picture."""
    return re.sub(r"[`*_\[\]]|\(\S+\)", "", text).replace('"', "'")[:300].strip()


def _from_evidence(text: str) -> str:
    """Links of evidence/README.md, as seen from the change's directory."""
    return re.sub(r"(\]\()(?!\w+:|#|/|\.\./)([^)\s]+)", r"\1evidence/\2", re.sub(r"(\]\()\.\./", r"\1./", text))


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", text).replace("\n", " ")


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows)])


def _recorded(project: Project, change: Change, language: Language) -> Iterator[str]:
    heads = [say(word, language) for word in ("check", "result", "figures", "command")]
    old = status.stale(project, change)
    for name, leg in status.recorded(change).items():
        kind, paddle = name.split(", paddle ")
        more = "--onto newest" if kind == "newest" else f"--base {kind}"
        prefix = "" if paddle == "2.6" else f"PADDLE={paddle} "
        rows = []
        for label, row in leg.checks.items():
            result = row.outcome + (f" ({row.reason})" if row.reason else "")
            result += f"; {say('stale', language)}" if label in old.get(name, ()) else ""
            rows.append([label, result, row.summary, f'`{prefix}make check-{change.id} ARGS="{more} --only {label}"`'])
        yield f"### {name}"
        yield f"{leg.base}, {leg.date}" + (f", {leg.machine}" if leg.machine else "")
        yield _table(heads, rows)


def _of_run(run: Report, language: Language) -> str:
    heads = [say(word, language) for word in ("check", "result", "figures")]
    rows = [[row.check, report.reason_of(row) + row.outcome.value, row.summary] for row in run.results]
    return f"{run.base}, paddle {run.paddle}, {run.machine}\n\n{_table(heads, rows)}"


def _newest(change: Change, language: Language) -> list[str]:
    looked = newest.read(change)
    if looked is None:
        return []
    found = looked.standing
    lines = [f"`{found.commit[:10]}` ({found.date}): **{found.verdict}**{f' ({found.by})' if found.by else ''}"]
    lines += [f"- {say('in_the_way', language)}: {row}" for row in (*found.conflicts, *found.clashes)]
    for row in found.there:
        place = f" (`{row.where}`)" if row.where not in ("", row.name) else ""
        lines.append(f"- {say('there', language)}: {row.kind} `{row.name}`{place}, {row.commit}")
    if found.series:
        lines.append(f"- {say('series', language)}: {found.series}. `./forklift upstream {change.id}`")
    return [f"## {say('newest', language)}", lines[0] + "\n\n" + "\n".join(lines[1:])]


def _unverified(change: Change, run: Report | None, language: Language) -> str:
    if run is not None:
        missing = [f"{row.check}: {report.reason_of(row)}{row.summary}" for row in run.results if row.outcome is not Outcome.PASSED]
    else:
        legs = status.recorded(change)
        passed = {name for leg in legs.values() for name, row in leg.checks.items() if row.outcome == Outcome.PASSED.value}
        names = [spec.label for spec in change.checks]
        missing = [f"`{name}`" for name in names if name not in passed]
    lines = [f"- {row}" for row in missing] or [f"- {say('all', language)}"]
    return "\n".join([say("see", language), "", *lines])


def _opening(change: Change) -> str:
    short = change.suite.short
    words = [f"make fork-{short}", f'FORKLIFT_AUTHOR="Your Name <you@example.com>" make pr-{change.id}']
    words.append(f"FORKLIFT_REMOTE=<url of your fork> make pr-{change.id} ARGS=--open")
    if change.suite.newest is not None:
        words.append(f'FORKLIFT_REMOTE=<url of your fork> make pr-{change.id} ARGS="--onto newest --open"')
    return "```\n" + "\n".join(words) + "\n```"


# ---- the bundle's index.html -----------------------------------------------------------------------


def html(project: Project, change: Change, run: Report, pictures: list[str], attachments: str) -> str:
    """The page as one HTML file; pictures of the run and of the evidence lie beside it."""
    import markdown_it  # as slow to import as it is seldom needed

    text = of_change(project, change, run=run)
    shown = "\n\n".join(f"![{name}]({attachments}/{name})" for name in pictures)
    if shown:
        text = text.replace(
            f"## {say('text', 'en')}", f"## {say('pictures', 'en')} of this run\n\n{shown}\n\n## {say('text', 'en')}", 1
        )
    # not a word of a stranger's change becomes markup
    body = markdown_it.MarkdownIt("commonmark", {"html": False}).enable("table").render(_local(change, text))
    body = re.sub(r"<table>", '<div class="table" role="region" aria-label="table" tabindex="0"><table>', body)
    body = body.replace("</table>", "</table></div>").replace("<pre>", '<pre tabindex="0">')
    return report.render(project.ci / "templates", "page.html", title=change.file.title, body=body, change=change)


def _local(change: Change, text: str) -> str:
    """Links into the evidence stay, since it is copied into the bundle; what a bundle has not is said without a link."""

    def kept(found: re.Match[str]) -> str:
        mark, words, target = found[1], found[2], found[3]
        path = target.partition("#")[0]
        inside = path.startswith(("evidence/", "attachments/")) and ".." not in path
        if re.match(r"https?:|mailto:|#", target) or (
            inside and (path.startswith("attachments/") or (change.directory / path).is_file())
        ):
            return found[0]
        return words if mark else f"{words} (`{target}`)"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", kept, text)
