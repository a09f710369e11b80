"""One queue over all changes, and the time that a whole run may take."""

import pytest
from toyproject import put

from forklift import pipeline
from forklift.checks import metrics

MEASURE = """
import os, time
from proving.record import arguments, write_metrics

args = arguments()
with open(os.path.join(os.environ["FORKLIFT_CACHE"], "order"), "a") as stream:
    stream.write(os.getcwd().split("/")[-1].split("-release")[0] + "\\n")
write_metrics(args.out, {"gap": 0.5})
"""
BENCH = """
import os
from proving.record import arguments
from proving.timing import interleave, write_benchmark

args = arguments()
with open(os.path.join(os.environ["FORKLIFT_CACHE"], "order"), "a") as stream:
    stream.write("bench\\n")
rows = {"name": "x", "ours": "a", "against": "b", "samples": interleave({"a": int, "b": int})}
write_benchmark(args.out, [rows])
"""
GAP = {"kind": "metrics", "script": "checks/m.py", "require": [{"metric": "gap", "max": 1.0}]}


def project(toy, costs):
    toy.make_environment()
    for name, cost in costs.items():
        overlay = {f"toylib/{name}.py": "# Copyright (c) 2023 Toy Authors. All Rights Reserved.\n"}
        checks = [{**GAP, "cost_s": cost}, {"kind": "benchmark", "script": "checks/b.py", "cost_s": 1}]
        toy.change(name, overlay=overlay, edits={}, scripts={"m.py": MEASURE, "b.py": BENCH}, checks=checks)
    toy.commit_all()
    return toy


def order(toy):
    return (toy.cache / "downloads" / "order").read_text().split()


def test_benchmarks_of_all_changes_come_last(toy):
    ran = project(toy, {"one": 10, "two": 20, "three": 30}).cli("test", "-j", "1", "--json")
    assert ran.status == 0, ran.err
    assert order(toy) == ["toy-three", "toy-two", "toy-one", "bench", "bench", "bench"]


def test_a_change_without_a_branch_does_not_stop_the_others(toy):
    project(toy, {"one": 10, "two": 20})
    put(toy.root / "patches" / "toy" / "two" / "overlay" / "toylib" / "unassigned.py", "A = 1\n")
    ran = toy.cli("test", "--json")
    assert ran.status == 1
    assert [row["outcome"] for row in ran.rows if row["change"] == "toy-two"] == ["error"]
    assert ran.rows[-1]["outcome"] == "passed"
    assert (toy.out / "toy-one" / "PR.md").is_file()


def test_a_clock_that_is_too_small_skips_what_nobody_touched_and_says_so(toy, monkeypatch):
    project(toy, {"one": 100_000, "two": 200_000})
    monkeypatch.setenv("FORKLIFT_LANDED", "HEAD")
    put(toy.root / "patches" / "toy" / "one" / "checks" / "more.py", "A = 1\n")
    monkeypatch.setenv("FORKLIFT_BUDGET_S", "50000")
    ran = toy.cli("test")
    assert ran.status == 0, ran.out + ran.err
    assert ran.out.splitlines()[-1] == "checks: 3 passed, 0 failed, 1 skipped, 1 of them out of time"
    assert "out_of_time" in ran.out
    assert order(toy)[0] == "toy-one"


def test_without_a_budget_nothing_is_skipped(toy):
    ran = project(toy, {"one": 100}).cli("test")
    assert ran.out.splitlines()[-1] == "checks: 2 passed, 0 failed, 0 skipped"


def test_changes_that_nobody_touched_take_turns(toy, monkeypatch):
    project(toy, {"one": 10, "two": 20, "three": 30})
    monkeypatch.setenv("FORKLIFT_BUDGET_S", "5000")
    monkeypatch.setenv("FORKLIFT_LANDED", "HEAD")
    firsts = set()
    for turn in range(6):
        monkeypatch.setattr("forklift.branch.landed.number", lambda project, turn=turn: turn)
        (toy.cache / "downloads" / "order").unlink(missing_ok=True)
        toy.cli("test", "-j", "1", "--no-cache")
        firsts.add(order(toy)[0])
    assert firsts == {"toy-one", "toy-two", "toy-three"}


@pytest.mark.parametrize(("named", "want"), [("HEAD", set()), ("HEAD~1", {"toy-two"}), ("nonsense", {"toy-one", "toy-two"})])
def test_what_differs_from_the_landed_state(toy, monkeypatch, named, want):
    from forklift.branch import landed

    project(toy, {"one": 10})
    project(toy, {"two": 10})
    monkeypatch.setenv("FORKLIFT_LANDED", named)
    assert landed.differing(toy.project, ["toy-one", "toy-two"]) == want


def test_a_slow_machine_is_taken_into_account():
    now = [0.0]
    budget = pipeline.Budget(100.0, frozenset({"must"}), clock=lambda: now[0])
    spec = metrics.Spec(script="checks/m.py", cost_s=30)
    assert budget.allows("other", spec)
    budget.took(spec, 120.0)
    assert not budget.allows("other", spec)
    assert budget.allows("must", spec)
