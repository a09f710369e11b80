"""The status table: what was recorded, counted by outcome; a skip is never a pass."""

import json

import pytest
from toyproject import put

from forklift.errors import Reason
from forklift.model import CheckResult, Outcome, Report
from forklift.results import status

README = f"# Toy\n\n{status.BEGIN}\nold\n{status.END}\n\nafter\n"


def report(paddle="2.6", **outcomes):
    rows = [CheckResult("toy-linear", "base", "base", Outcome.PASSED, "fork", 0.1)]
    for name, outcome in outcomes.items():
        reason = Reason.PARTIAL_BASE if outcome is Outcome.SKIPPED else None
        rows.append(CheckResult("toy-linear", name, "metrics", outcome, "said", 1.0, reason))
    return Report("toy-linear", "Toy", "release toylib 1.0", "a", "b", paddle, tuple(rows))


METRICS = [
    {"kind": "metrics", "name": name, "script": "checks/m.py", "require": [{"metric": "gap", "max": 1.0}]}
    for name in ("a", "b", "c", "d")
]


@pytest.fixture
def change(toy):
    toy.change(scripts={"m.py": "print(1)\n"}, checks=METRICS)
    toy.borrow()
    return toy.load()


def record(toy, run, base):
    status.record(toy.project, toy.build(base=base), run)


def test_a_change_that_is_not_begun_has_a_line(toy):
    [row] = status.rows(toy.project)
    assert (row.id, row.task, row.title, row.state, row.legs) == ("toy-linear", 1, "A linear layer", "not begun", {})


def test_outcomes_are_counted_and_open_points_named(toy, change):
    record(toy, report(a=Outcome.PASSED, b=Outcome.SKIPPED, c=Outcome.FAILED, d=Outcome.ERROR), "release")
    [row] = status.rows(toy.project)
    assert row.legs == {"release, paddle 2.6": "1 of 4 passed, 1 failed, 1 error, 1 skipped(partial_base)"}
    assert row.open_points == "b, c, d"
    record(toy, report("3.3", b=Outcome.PASSED), "fork")
    [row] = status.rows(toy.project)
    assert row.open_points == "c, d"


def test_a_later_run_of_the_same_leg_replaces_it(toy, change):
    record(toy, report(a=Outcome.FAILED), "release")
    record(toy, report(a=Outcome.PASSED), "release")
    assert status.rows(toy.project)[0].legs == {"release, paddle 2.6": "1 of 1 passed"}


def test_a_run_of_one_check_keeps_the_others(toy):
    toy.change(scripts={"m.py": "print(1)\n"}, checks=METRICS[:2])
    record(toy, report(a=Outcome.FAILED, b=Outcome.PASSED, gone=Outcome.PASSED), "release")
    record(toy, report(a=Outcome.PASSED), "release")
    [row] = status.rows(toy.project)
    assert row.legs == {"release, paddle 2.6": "2 of 2 passed"}, "a check that the manifest no longer has is dropped"


def test_the_base_line_is_no_check(toy, change):
    record(toy, report(a=Outcome.PASSED), "release")
    [leg] = json.loads((change.directory / "evidence" / "status.json").read_text()).values()
    assert list(leg["checks"]) == ["a"]


def test_markdown_has_a_column_for_each_base(toy, change):
    record(toy, report(a=Outcome.PASSED), "release")
    record(toy, report("3.3", a=Outcome.PASSED, b=Outcome.PASSED), "fork")
    ran = toy.cli("list", "--markdown")
    line = next(line for line in ran.out.splitlines() if line.startswith("| `toy-linear`"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == [
        "`toy-linear`",
        "1",
        "A linear layer",
        "draft",
        "paddle 2.6: 1 of 1 passed",
        "paddle 3.3: 2 of 2 passed",
        "-",
        "-",
    ]
    assert ran.out.startswith(status.BEGIN)
    assert ran.out.rstrip().endswith(status.END)


def test_changes_that_no_task_names_come_last(toy, change):
    toy.change("another", overlay={"toylib/another.py": "A = 1\n"}, edits={})
    assert [row.id for row in status.rows(toy.project)] == ["toy-linear", "toy-another"]


def test_readmes_are_brought_up_to_date_once(toy, change):
    for name in ("README.md", "README_CN.md"):
        put(toy.root / name, README)
    assert status.update_readmes(toy.project) == ["README.md", "README_CN.md"]
    text = (toy.root / "README.md").read_text()
    assert text.startswith("# Toy\n\n")
    assert text.endswith("\n\nafter\n")
    assert "| `toy-linear` | 1 |" in text
    assert "old" not in text
    ran = toy.cli("status")
    assert (ran.status, ran.out) == (0, "the tables are up to date\n")


@pytest.mark.parametrize("text", [None, "# Toy\n"])
def test_a_readme_without_a_place_for_the_table_is_an_error(toy, change, text):
    put(toy.root / "README.md", README)
    if text is not None:
        put(toy.root / "README_CN.md", text)
    ran = toy.cli("status")
    assert ran.status == 2
    assert "README_CN.md" in ran.err


def test_list_for_people_and_machines(toy, change):
    assert toy.cli("list").out.startswith("toy-linear")
    [row] = toy.cli("list", "--json").rows
    assert (row["id"], row["state"]) == ("toy-linear", "draft")


def test_a_recorded_result_is_stale_as_soon_as_anything_it_proved_differs(toy, change):
    record(toy, report(a=Outcome.PASSED), "release")
    leg = "release, paddle 2.6"
    assert status.stale(toy.project, toy.load()) == {}
    for path in ("overlay/toylib/linear.py", "checks/m.py"):
        before = (change.directory / path).read_text()
        put(change.directory / path, before + "# more\n")
        assert status.stale(toy.project, toy.load()) == {leg: ["a"]}
        assert status.rows(toy.project)[0].legs == {leg: "1 of 1 passed (1 stale)"}
        put(change.directory / path, before)
    put(change.directory / "reference" / "set.npz", b"1")
    assert status.stale(toy.project, toy.load()) == {leg: ["a"]}
    (change.directory / "reference" / "set.npz").unlink()
    put(toy.root / "ci" / "locks" / "toy.txt", "# another lock\n")
    assert status.stale(toy.project, toy.load()) == {leg: ["a"]}
    ran = toy.cli("lint", "toy-linear")
    assert "note: toy-linear: stale results (1 on release, paddle 2.6)" in ran.out


def test_a_record_that_a_hand_has_changed_is_refused(toy, change):
    record(toy, report(a=Outcome.FAILED), "release")
    path = change.directory / "evidence" / "status.json"
    assert "recorded" not in toy.cli("lint", "toy-linear").out
    put(path, path.read_text().replace('"failed"', '"passed"'))
    ran = toy.cli("lint", "toy-linear")
    assert "recorded: evidence/status.json, release, paddle 2.6: not as a run recorded it" in ran.out
    put(path, path.read_text()[:-40])
    assert toy.cli("list").status == 2
    assert "cannot be read" in toy.cli("list").err
