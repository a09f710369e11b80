"""Where each change stands, from its manifest and from the results recorded beside its evidence."""

from __future__ import annotations

import datetime
import functools
import hashlib
import re
import tomllib
from pathlib import Path

import msgspec

from forklift.branch import changes, suites
from forklift.errors import UsageError
from forklift.model import Change, CheckSpec, FeatureBranch, Outcome, Report
from forklift.results import newest
from forklift.system.files import write_whole
from forklift.system.paths import Project

READMES = {"README.md": "en", "README_CN.md": "zh"}
BEGIN, END = "<!-- status: made by `make status` -->", "<!-- end of status -->"


class Recorded(msgspec.Struct, frozen=True):
    """One check as it was last recorded. `key` is the hash of everything it was a proof of; another hash now means it is stale."""

    outcome: str
    summary: str
    reason: str = ""
    key: str = ""


class Leg(msgspec.Struct, frozen=True):
    """Results of one change on one base and one paddle; `seal` shows that a run wrote it and nobody's hand."""

    base: str
    date: str
    checks: dict[str, Recorded]
    base_commit: str = ""
    tree: str = ""
    machine: str = ""
    seal: str = ""


class Row(msgspec.Struct, frozen=True):
    """One line of the table."""

    id: str
    task: int
    title: str
    state: str
    legs: dict[str, str]
    open_points: str
    title_zh: str = ""
    newest: str = ""


def _file(change: Change) -> Path:
    return change.directory / "evidence" / "status.json"


def record(project: Project, built: FeatureBranch, report: Report) -> None:
    """Keep the outcome of every check of this run as committed evidence; checks that this run left out stay as they were."""
    change = built.change
    kind = "newest" if change.newest else built.base.kind
    legs, name = recorded(change), f"{kind}, paddle {report.paddle}"
    specs = {spec.label: spec for spec in change.checks}
    kept = {label: check for label, check in legs[name].checks.items() if label in specs} if name in legs else {}
    for result in report.results:
        if result.check in specs:
            key = proof_key(project, change, specs[result.check], kind, report.paddle)
            kept[result.check] = Recorded(result.outcome.value, result.summary, result.reason.value if result.reason else "", key)
    today = datetime.date.today().isoformat()
    leg = Leg(report.base, today, kept, built.base.commit, built.tree, report.machine)
    legs[name] = msgspec.structs.replace(leg, seal=seal(leg))
    write_whole(_file(change), msgspec.json.format(msgspec.json.encode(dict(sorted(legs.items()))), indent=1) + b"\n")


def recorded(change: Change) -> dict[str, Leg]:
    """What was recorded, by `base, paddle X`."""
    path = _file(change)
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Leg])
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        again = f"git checkout -- {path.name} in its directory, or delete it and run make pr-{change.id} ARGS=--record"
        raise UsageError("a record of results cannot be read", [("file", path), ("because", broken)], again) from broken


def seal(leg: Leg) -> str:
    """A digest of all that a leg says."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(leg, seal=""), order="sorted")).hexdigest()[:16]


def proof_key(project: Project, change: Change, spec: CheckSpec, kind: str, paddle: str) -> str:
    """Hash of what a recorded result is a proof of: base, change, script, reference, lock; read from files, nothing is built."""
    return _proof_key(project, change, content_of(change), spec, kind, paddle)


def _proof_key(project: Project, change: Change, content: str, spec: CheckSpec, kind: str, paddle: str) -> str:
    suite = change.suite
    base = suite.pin if kind in ("fork", "newest") else suite.release.sha256 if suite.release else ""
    lock = project.locks / suite.locks.get(paddle, "")
    parts = [
        kind,
        base,
        paddle,
        _hash_of(lock, lock.stat().st_mtime_ns if lock.is_file() else 0),
        content,
        change.file.commit,
        change.file.after,
        spec,
    ]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


@functools.cache
def _hash_of(lock: Path, changed: int) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest() if changed else ""


def content_of(change: Change) -> str:
    """Hash of the change's files: overlay, edits, checks, reference, and the rows of its sweep."""
    digest = hashlib.sha256()
    files: list[Path] = []
    for folder in ("overlay", "edits", "checks", "reference", *(["newest"] if change.newest else [])):
        found = (change.directory / folder).rglob("*")
        files += sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)
    if change.file.sweep:
        files += [change.directory / name for name in (change.file.sweep.rows, change.file.sweep.packages) if name]
    for path in files:
        digest.update(f"{path.relative_to(change.directory)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def stale(project: Project, change: Change) -> dict[str, list[str]]:
    """The recorded checks, by leg, that are no proof of what is there now."""
    found: dict[str, list[str]] = {}
    contents: dict[bool, str] = {}
    for name, leg in recorded(change).items():
        kind, paddle = name.split(", paddle ")
        newest_series = kind == "newest"
        own = changes.on_newest(change) if newest_series else change
        content = contents.get(newest_series) or contents.setdefault(newest_series, content_of(own))
        specs = {spec.label: spec for spec in own.checks}
        for label, check in leg.checks.items():
            if label not in specs or check.key != _proof_key(project, own, content, specs[label], kind, paddle):
                found.setdefault(name, []).append(label)
    return found


def rows(project: Project) -> list[Row]:
    """The tasks' changes in their order, then any others."""
    tasks = tomllib.loads((project.ci / "tasks.toml").read_text())["change"] if (project.ci / "tasks.toml").is_file() else []
    known = changes.directories(project)
    titles = {row["id"]: (row["task"], row["title"], row.get("title_zh", "")) for row in tasks}
    found = []
    for change_id in [*titles, *(name for name in known if name not in titles)]:
        if change_id in known:
            change = changes.load(project, known[change_id])
            legs = recorded(change)
            task, title, title_zh = titles.get(change_id, (change.file.task, change.file.title, ""))
            old = stale(project, change)
            cells = {name: _cell(leg, len(old.get(name, ()))) for name, leg in legs.items()}
            stand = newest.cell(change)
            found.append(Row(change_id, task, title, change.file.upstream.status, cells, _open_points(legs), title_zh, stand))
        else:
            # work that is no change yet (no change.toml) is neither linted nor run
            suite, _, slug = change_id.partition("-")
            state = "begun" if (project.patches / suite / slug).is_dir() else "not begun"
            task, title, title_zh = titles[change_id]
            found.append(Row(change_id, task, title, state, {}, "", title_zh, _not_begun(project, suite)))
    return found


def _not_begun(project: Project, short: str) -> str:
    """The newest commit of the suite, for work that is not there yet."""
    commit = suites.find(project.ci, short).newest
    return f"not begun @ {commit.commit[:10]} ({commit.date[:10]})" if commit else ""


def _cell(leg: Leg, old: int) -> str:
    counts = {word: sum(check.outcome == word.value for check in leg.checks.values()) for word in Outcome}
    text = f"{counts[Outcome.PASSED]} of {len(leg.checks)} passed"
    for word in (Outcome.FAILED, Outcome.ERROR):
        text += f", {counts[word]} {word.value}" if counts[word] else ""
    reasons = [check.reason for check in leg.checks.values() if check.outcome == Outcome.SKIPPED.value]
    text += "".join(f", {reasons.count(reason)} skipped({reason})" for reason in sorted(set(reasons)))
    return text + (f" ({old} stale)" if old else "")


def _open_points(legs: dict[str, Leg]) -> str:
    """Checks that passed on no leg."""
    names = {name for leg in legs.values() for name in leg.checks}
    passed = {name for leg in legs.values() for name, check in leg.checks.items() if check.outcome == Outcome.PASSED.value}
    return ", ".join(sorted(names - passed))


_HEADS = {
    "en": ("change", "No.", "what", "state", "release base", "fork base", "newest upstream", "never passed"),
    "zh": ("改动", "编号", "内容", "状态", "发布版基线", "fork 基线", "最新上游", "从未通过"),
}
_ZH = {
    "not begun": "未开始",
    "begun": "进行中",
    "draft": "草稿",
    "ready": "就绪",
    "submitted": "已提交",
    "accepted": "已合入",
    "rejected": "被拒绝",
    "inappropriate": "不适合上游",
}
_ZH_CELLS = ((r"(\d+) of (\d+) passed", r"\2 项中 \1 项通过"), (r"(\d+) failed", r"\1 项失败"), (r"(\d+) error", r"\1 项出错"),
    (r"applies", "可直接应用"), (r"conflicts", "有冲突"), (r"partly upstream", "上游已有一部分"), (r"already upstream", "上游已有"),
    (r" in ([0-9a-f]{10})", r"（\1）"), (r" \((\d+) in the way\)", r"（\1 处冲突）"),
    (r"; own series builds", "；另备一套补丁，可构建"),
    (r"; own series does not build", "；另备一套补丁，不可构建"), (r"not begun", "未开始"),
    (r"(\d+) skipped\((\w+)\)", r"\1 项跳过（\2）"), (r" \((\d+) stale\)", r"（\1 项过期）"), (", ", "，"))  # fmt: skip


def translated(text: str, language: str) -> str:
    """A cell of the table, or a state, in the language of a reader."""
    if language == "en":
        return text
    if text in _ZH:
        return _ZH[text]
    for pattern, words in _ZH_CELLS:
        text = re.sub(pattern, words, text)
    return text


def markdown(project: Project, language: str = "en") -> str:
    """The status table of a README, in its language."""
    lines = [BEGIN, "", f"| {' | '.join(_HEADS[language])} |", "|---" * 8 + "|"]
    for row in rows(project):
        cells = ["<br>".join(_legs(row, kind)) or "-" for kind in ("release", "fork")]
        cells.append("<br>".join([*filter(None, [row.newest]), *_legs(row, "newest")]) or "-")
        title, state = row.title, row.state
        if language == "zh":
            title, state = row.title_zh or row.title, _ZH[row.state]
            cells = [translated(cell, language) for cell in cells]
        lines.append(f"| {' | '.join([f'`{row.id}`', str(row.task), title, state, *cells, row.open_points or '-'])} |")
    return "\n".join([*lines, "", END])


def _legs(row: Row, kind: str) -> list[str]:
    return [f"{name.partition(', ')[2]}: {cell}" for name, cell in row.legs.items() if name.startswith(kind)]


def update_readmes(project: Project) -> list[str]:
    """Put the present table between the marks of each README; the names of the files that changed."""
    changed = []
    for name, language in READMES.items():
        table = markdown(project, language)
        path = project.root / name
        text = path.read_text() if path.is_file() else ""
        if BEGIN not in text or END not in text:
            raise UsageError("a README has no place for the status table", [("file", path)], f"put these lines in: {BEGIN} {END}")
        new = text[: text.index(BEGIN)] + table + text[text.index(END) + len(END) :]
        if new != text:
            write_whole(path, new.encode())
            changed.append(name)
    return changed
