"""Sweeps: shards, the verdict of a row, and resuming."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toyhouse import put, table

from forklift import sweep
from forklift.errors import UsageError
from forklift.model import Change, FeatureBranch, SweepSpec

SPEC = SweepSpec(script="checks/row.py")

# "trains": the row's options are no secret, the losses come from the row's id
SCRIPT = """
import argparse, json, os, sys
parser = argparse.ArgumentParser()
for name in ("--row", "--mode", "--out"):
    parser.add_argument(name)
parser.add_argument("--steps", type=int)
args = parser.parse_args()
with open(os.environ["ROW_LOG"], "a") as stream:
    stream.write("%s %s\\n" % (args.row, args.mode))
if args.row == "crash" and args.mode == "ast":
    sys.exit("no such layer")
if args.row == "greedy":
    bytearray(1 << 40)
gap = {"close": 1e-4, "far": 1e-2}.get(args.row, 0.0) if args.mode == "ast" else 0.0
losses = [(1 + gap) / (step + 1) for step in range(args.steps)]
static = {"programs": 1, "operators": 3, "executions": args.steps, "graph_breaks": 0}
run = {"mode": args.mode, "losses": losses, "ms_per_step": [1.0] * args.steps, "static": static}
with open(os.path.join(args.out, args.mode + ".json"), "w") as stream:
    json.dump(run, stream)
"""


def branch_of(directory):
    return FeatureBranch(Change(None, None, directory), None, "", (), "")


def models(directory, ids):
    put(directory / "models.toml", "\n".join(table("row", {"id": name}) for name in ids))
    return branch_of(directory)


@given(st.lists(st.text("abcdef0123/_-", min_size=1, max_size=8), unique=True, min_size=1, max_size=12), st.integers(1, 5))
def test_shards_are_disjoint_and_complete(tmp_path_factory, ids, count):
    branch = models(tmp_path_factory.mktemp("rows"), ids)
    shards = [[row.id for row in sweep.rows(branch, SPEC, sweep.Limits(shard=f"{i}/{count}"))] for i in range(1, count + 1)]
    assert sorted(name for shard in shards for name in shard) == sorted(ids)


@given(st.text("abcdef", min_size=1, max_size=8), st.lists(st.text("abcdef", min_size=1, max_size=8), max_size=6))
def test_the_shard_of_a_row_does_not_depend_on_other_rows(tmp_path_factory, name, others):
    top = tmp_path_factory.mktemp("rows")
    for shard in ("1/3", "2/3", "3/3"):
        limits = sweep.Limits(shard=shard, only=(name,))
        alone = sweep.rows(models(top / "alone", [name]), SPEC, limits)
        among = sweep.rows(models(top / "among", sorted({name, *others})), SPEC, limits)
        assert alone == among


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1", "a/b", "1/0", "", "1/4/2", "-1/4"])
def test_a_shard_that_is_none(tmp_path, shard):
    with pytest.raises(UsageError, match="is not i/n"):
        sweep.rows(models(tmp_path, ["a"]), SPEC, sweep.Limits(shard=shard))


def test_a_row_that_is_not_in_the_list_is_named(tmp_path):
    with pytest.raises(UsageError, match="resnet51") as caught:
        sweep.rows(models(tmp_path, ["resnet50", "vgg"]), SPEC, sweep.Limits(only=("vgg", "resnet51")))
    assert "did you mean resnet50?" in str(caught.value)


def run(mode, factor=1.0, steps=50, **proof):
    static = {"programs": 1, "operators": 3, "executions": steps, "graph_breaks": 0, **proof}
    losses = [factor / (step + 1) for step in range(steps)]
    return {"mode": mode, "losses": losses, "ms_per_step": [1.0] * steps, "static": static}


def outcome(**runs):
    return sweep.summarise("r", runs, 50, "fork", "2.6")["outcome"]


def test_the_best_static_mode_decides():
    dygraph = run("dygraph")
    assert outcome(dygraph=dygraph, ast=run("ast"), sot=run("sot", 2.0)) == "equal"
    assert outcome(dygraph=dygraph, ast=run("ast", 2.0), sot=run("sot", 1 + 1e-4)) == "close"
    assert outcome(dygraph=dygraph, ast=run("ast", 2.0), sot=run("sot", 1 + 2e-3)) == "failed"
    assert outcome(dygraph=dygraph, ast={"error": "timeout", "last": "x"}, sot=run("sot")) == "equal"


def test_equal_and_close_have_exact_bounds():
    dygraph = run("dygraph")
    for gap, word in ((0.99e-5, "equal"), (1.01e-5, "close"), (0.99e-3, "close"), (1.01e-3, "failed")):
        assert outcome(dygraph=dygraph, ast=run("ast", 1 + gap)) == word


def test_a_static_mode_that_never_ran_does_not_count():
    assert outcome(dygraph=run("dygraph"), ast=run("ast", executions=0)) == "failed"


def test_losses_that_json_has_no_number_for_fail_the_row():
    holes = run("ast")
    holes["losses"][3] = None
    row = sweep.summarise("r", {"dygraph": run("dygraph"), "ast": holes}, 50, "fork", "2.6")
    assert (row["outcome"], row["modes"]["ast"]["problem"]) == ("failed", "ast: a loss is not finite")


def test_without_dygraph_there_is_nothing_to_compare_with():
    row = sweep.summarise("r", {"dygraph": {"error": "timeout", "last": "timed out after 3 s"}}, 50, "fork", "2.6")
    assert (row["outcome"], row["problem"], row["modes"]) == ("failed", "timeout: timed out after 3 s", {})


def test_evidence_keeps_rows_of_other_shards_sorted(tmp_path):
    target = tmp_path / "rows.jsonl"
    sweep.write_evidence(target, [{"id": "b", "outcome": "failed"}, {"id": "c", "outcome": "equal"}])
    sweep.write_evidence(target, [{"id": "a", "outcome": "equal"}, {"id": "b", "outcome": "close"}])
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert [(row["id"], row["outcome"]) for row in rows] == [("a", "equal"), ("b", "close"), ("c", "equal")]


@pytest.fixture
def swept(toy, monkeypatch, tmp_path):
    """A change with a sweep of five rows; gives a function that runs it and lists what was trained."""
    toy.make_environment()
    directory = toy.change(scripts={"row.py": SCRIPT})
    ids = ["same", "close", "far", "crash", "greedy"]
    put(directory / "models.toml", "\n".join(table("row", {"id": name}) for name in ids))
    with (directory / "change.toml").open("a") as stream:
        stream.write('[sweep]\nscript = "checks/row.py"\nmodes = ["dygraph", "ast"]\ntimeout_s = 60\nmemory_gb = 4.0\n')
    monkeypatch.setenv("ROW_LOG", str(tmp_path / "log"))

    def go(*words):
        put(tmp_path / "log", "")
        ran = toy.cli("sweep", "toy-linear", "--json", "--base", "release", *words)
        return ran, sorted((tmp_path / "log").read_text().splitlines())

    return go


def test_a_sweep_runs_judges_resumes_and_reruns(swept, toy):
    ran, trained = swept("--steps", "4", "-j", "2")
    assert ran.status == 1
    assert {row["id"]: row["outcome"] for row in ran.rows} == {
        "same": "equal", "close": "close", "far": "failed", "crash": "failed", "greedy": "failed",
    }  # fmt: skip
    problems = {row["id"]: row["problem"] or row["modes"]["ast"]["problem"] for row in ran.rows}
    assert problems["crash"] == "script_failed: no such layer"
    assert problems["greedy"].startswith("out_of_memory: MemoryError")
    assert len(trained) == 9, "greedy's static mode has nothing to be compared with"

    ran, trained = swept("--steps", "4")
    assert (len(ran.rows), trained) == (5, [])

    ran, trained = swept("--steps", "4", "--failed")
    assert sorted({line.split()[0] for line in trained}) == ["crash", "far", "greedy"]

    ran, trained = swept("--steps", "4", "--row", "same")
    assert [row["id"] for row in ran.rows] == ["same"]
    assert ran.status == 0

    _, trained = swept("--steps", "5", "--row", "same")
    assert trained == ["same ast", "same dygraph"], "results of other steps are other results"
    evidence = toy.root / "patches" / "toy" / "linear" / "evidence" / "rows.jsonl"
    assert [json.loads(line)["id"] for line in evidence.read_text().splitlines()] == ["close", "crash", "far", "greedy", "same"]


def test_a_sweep_that_was_killed_goes_on_where_it_was(swept, toy):
    place = toy.cache / "sweep" / "toy-linear" / "release-2.6" / "same"
    put(place / "dygraph.json", json.dumps(run("dygraph", steps=4)))
    ran, trained = swept("--steps", "4", "--row", "same")
    assert (ran.status, trained) == (0, ["same ast"])
    put(place.parent / "close" / "dygraph.json", json.dumps(run("dygraph", steps=3)))
    ran, trained = swept("--steps", "4", "--row", "close")
    assert trained == ["close ast", "close dygraph"]


def test_a_sweep_on_a_local_ray_gives_the_same_rows(swept, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ran, trained = swept("--steps", "4", "--ray", "local")
    assert {row["id"]: row["outcome"] for row in ran.rows} == {
        "same": "equal", "close": "close", "far": "failed", "crash": "failed", "greedy": "failed",
    }, ran.err  # fmt: skip
    assert len(trained) == 9


def test_a_change_without_a_sweep(toy):
    toy.change()
    ran = toy.cli("sweep", "toy-linear")
    assert (ran.status, "has no [sweep]" in ran.err) == (2, True)


def test_speed_is_not_a_number_without_times():
    bare = {**run("ast"), "ms_per_step": []}
    row = sweep.summarise("r", {"dygraph": run("dygraph"), "ast": bare}, 50, "fork", "2.6")
    assert math.isnan(row["modes"]["ast"]["speed_ratio"])
