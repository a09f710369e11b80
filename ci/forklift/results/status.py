"""Where each change stands, from its manifest and from the results recorded beside its evidence."""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path

import msgspec

from forklift.branch import changes
from forklift.errors import UsageError
from forklift.model import Change, Outcome, Report
from forklift.system.files import write_whole
from forklift.system.paths import Project

BEGIN, END = "<!-- status: made by `make status` -->", "<!-- end of status -->"


class Recorded(msgspec.Struct, frozen=True):
    """One check as it was last recorded."""

    outcome: str
    summary: str
    reason: str = ""


class Leg(msgspec.Struct, frozen=True):
    """Results of one change on one base and one paddle."""

    base: str
    date: str
    checks: dict[str, Recorded]


class Row(msgspec.Struct, frozen=True):
    """One line of the table."""

    id: str
    task: int
    title: str
    state: str
    legs: dict[str, str]
    open_points: str


def _file(change: Change) -> Path:
    return change.directory / "evidence" / "status.json"


def record(change: Change, report: Report, base_kind: str) -> None:
    """Keep the outcome of every check of this run as committed evidence; checks that this run left out stay as they were."""
    legs, name = recorded(change), f"{base_kind}, paddle {report.paddle}"
    present = {spec.label for spec in change.file.checks}
    earlier = {label: row for label, row in legs[name].checks.items() if label in present} if name in legs else {}
    rows = {
        r.check: Recorded(r.outcome.value, r.summary, r.reason.value if r.reason else "")
        for r in report.results
        if r.kind != "base"
    }
    legs[name] = Leg(report.base, datetime.date.today().isoformat(), {**earlier, **rows})
    ordered = dict(sorted(legs.items()))
    write_whole(_file(change), msgspec.json.format(msgspec.json.encode(ordered), indent=1) + b"\n")


def recorded(change: Change) -> dict[str, Leg]:
    """What was recorded, by `base, paddle X`."""
    path = _file(change)
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Leg]) if path.is_file() else {}


def rows(project: Project) -> list[Row]:
    """The tasks' changes in their order, then any others."""
    tasks = tomllib.loads((project.ci / "tasks.toml").read_text())["change"] if (project.ci / "tasks.toml").is_file() else []
    here = changes.directories(project)
    titles = {row["id"]: (row["task"], row["title"]) for row in tasks}
    found = []
    for change_id in [*titles, *(name for name in here if name not in titles)]:
        if change_id in here:
            change = changes.load(project, here[change_id])
            legs = recorded(change)
            task, title = titles.get(change_id, (change.file.task, change.file.title))
            cells = {name: _cell(leg) for name, leg in legs.items()}
            found.append(Row(change_id, task, title, change.file.upstream.status, cells, _open_points(legs)))
        else:
            # work that is no change yet (no change.toml) is neither linted nor run
            suite, _, slug = change_id.partition("-")
            state = "begun" if (project.patches / suite / slug).is_dir() else "not begun"
            found.append(Row(change_id, *titles[change_id], state, {}, ""))
    return found


def _cell(leg: Leg) -> str:
    counts = {word: sum(check.outcome == word.value for check in leg.checks.values()) for word in Outcome}
    text = f"{counts[Outcome.PASSED]} of {len(leg.checks)} passed"
    for word in (Outcome.FAILED, Outcome.ERROR):
        text += f", {counts[word]} {word.value}" if counts[word] else ""
    reasons = [check.reason for check in leg.checks.values() if check.outcome == Outcome.SKIPPED.value]
    return text + "".join(f", {reasons.count(reason)} skipped({reason})" for reason in sorted(set(reasons)))


def _open_points(legs: dict[str, Leg]) -> str:
    """Checks that passed on no leg."""
    names = {name for leg in legs.values() for name in leg.checks}
    passed = {name for leg in legs.values() for name, check in leg.checks.items() if check.outcome == Outcome.PASSED.value}
    return ", ".join(sorted(names - passed))


def markdown(project: Project) -> str:
    """The status table of the README."""
    lines = [
        BEGIN,
        "",
        "| change | No. | what | state | release base | fork base | passed nowhere yet |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows(project):
        cells = {kind: "<br>".join(_legs(row, kind)) or "-" for kind in ("release", "fork")}
        words = [f"`{row.id}`", str(row.task), row.title, row.state, cells["release"], cells["fork"], row.open_points or "-"]
        lines.append(f"| {' | '.join(words)} |")
    return "\n".join([*lines, "", END])


def _legs(row: Row, kind: str) -> list[str]:
    return [f"{name.partition(', ')[2]}: {cell}" for name, cell in row.legs.items() if name.startswith(kind)]


def update_readmes(project: Project) -> list[str]:
    """Put the present table between the marks of each README; the names of the files that changed."""
    table, changed = markdown(project), []
    for name in ("README.md", "README_CN.md"):
        path = project.root / name
        text = path.read_text() if path.is_file() else ""
        if BEGIN not in text or END not in text:
            raise UsageError("a README has no place for the status table", [("file", path)], f"put these lines in: {BEGIN} {END}")
        new = text[: text.index(BEGIN)] + table + text[text.index(END) + len(END) :]
        if new != text:
            write_whole(path, new.encode())
            changed.append(name)
    return changed
