"""Sweeps: shards, the verdict of a row, and resuming."""

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toyproject import put, table

from forklift.errors import UsageError
from forklift.model import Change, FeatureBranch, SweepSpec
from forklift.running.losses import Failure, Run, StaticProof
from forklift.sweep import result as evidence
from forklift.sweep import rows as models_of
from forklift.sweep import verdict as sweep_verdict

SPEC = SweepSpec(script="checks/row.py")

# "trains": the losses come from the row's id
SCRIPT = """
import argparse, json, os, sys
from proving import worker

def job(words):
    parser = argparse.ArgumentParser()
    for name in ("--row", "--out", "--dtype"):
        parser.add_argument(name)
    parser.add_argument("--mode", nargs="+")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--gradients", action="store_true")
    args = parser.parse_args(words)
    if args.gradients:
        if args.row == "silent":
            sys.exit("no gradients here")
        gap = 1e-2 if args.row in ("far", "wrong") else 1e-15
        one = ["bias"] if args.row == "frozen" else []
        found = {mode: {"loss_gap": 0.0, "gradient_gap": gap, "gradient_norm": 1.0, "in_one_only": one} for mode in args.mode[1:]}
        with open(os.path.join(args.out, "gradients.json"), "w") as stream:
            json.dump(found, stream)
        return
    for mode in args.mode:
        with open(os.environ["FORKLIFT_ROW_LOG"], "a") as stream:
            stream.write("%s %s%s\\n" % (args.row, mode, " in float64" if args.dtype == "float64" else ""))
        if args.row == "greedy":
            bytearray(1 << 40)
        if args.row == "slow":
            import time
            time.sleep(60)
        if args.row == "killed":
            os.kill(os.getpid(), 9)
        if args.row == "crash" and mode == "ast":
            with open(os.path.join(args.out, "ast.failed.json"), "w") as stream:
                json.dump({"last": "no such layer", "places": ["net.py:3 forward"]}, stream)
            continue
        rounding = args.row == "rounding" and args.dtype == "float32" or args.row == "half" and mode == "sot"
        gaps = {"close": 1e-4, "far": 1e-2, "wild": 1e-2, "silent": 1e-2}
        if args.dtype == "float32":
            gaps.update({"wrong": 1e-4, "frozen": 1e-4})
        gap = gaps.get(args.row, 1e-2 if rounding else 0.0) if mode != "dygraph" else 0.0
        losses = [(1 + gap) / (step + 1) for step in range(args.steps)]
        executions = 0 if args.row == "off" else args.steps
        static = {"programs": 1, "operators": 3, "executions": executions, "graph_breaks": 0}
        run = {"mode": mode, "losses": losses, "ms_per_step": [1.0] * args.steps, "static": static}
        with open(os.path.join(args.out, mode + ".json"), "w") as stream:
            json.dump(run, stream)

worker.serve(job)
"""


def branch_of(directory):
    return FeatureBranch(Change(None, None, directory), None, "", (), "")


def models(directory, ids):
    put(directory / "models.toml", "\n".join(table("row", {"id": name}) for name in ids))
    return branch_of(directory)


@given(st.lists(st.text("abcdef0123/_-", min_size=1, max_size=8), unique=True, min_size=1, max_size=12), st.integers(1, 5))
def test_shards_are_disjoint_and_complete(tmp_path_factory, ids, count):
    branch = models(tmp_path_factory.mktemp("rows"), ids)
    shards = [[row.id for row in models_of.chosen(branch, SPEC, f"{i}/{count}")] for i in range(1, count + 1)]
    assert sorted(name for shard in shards for name in shard) == sorted(ids)


@given(st.text("abcdef", min_size=1, max_size=8), st.lists(st.text("abcdef", min_size=1, max_size=8), max_size=6))
def test_the_shard_of_a_row_does_not_depend_on_other_rows(tmp_path_factory, name, others):
    top = tmp_path_factory.mktemp("rows")
    for shard in ("1/3", "2/3", "3/3"):
        alone = models_of.chosen(models(top / "alone", [name]), SPEC, shard, (name,))
        among = models_of.chosen(models(top / "among", sorted({name, *others})), SPEC, shard, (name,))
        assert alone == among


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1", "a/b", "1/0", "", "1/4/2", "-1/4"])
def test_a_shard_that_is_none(tmp_path, shard):
    with pytest.raises(UsageError, match="is not i/n"):
        models_of.chosen(models(tmp_path, ["a"]), SPEC, shard)


def test_a_row_that_is_not_in_the_list_is_named(tmp_path):
    with pytest.raises(UsageError, match="resnet51") as caught:
        models_of.chosen(models(tmp_path, ["resnet50", "vgg"]), SPEC, only=("vgg", "resnet51"))
    assert "did you mean resnet50?" in str(caught.value)


def run(mode, factor=1.0, steps=50, **proof):
    static = StaticProof(**{"programs": 1, "operators": 3, "executions": steps, **proof})
    return Run(mode, [factor / (step + 1) for step in range(steps)], static, [1.0] * steps)


def outcome(**runs):
    return sweep_verdict.summarise(runs, 50).outcome


def test_the_best_static_mode_decides():
    dygraph = run("dygraph")
    assert outcome(dygraph=dygraph, ast=run("ast"), sot=run("sot", 2.0)) == "equal"
    assert outcome(dygraph=dygraph, ast=run("ast", 2.0), sot=run("sot", 1 + 1e-4)) == "close"
    assert outcome(dygraph=dygraph, ast=run("ast", 2.0), sot=run("sot", 1 + 2e-3)) == "failed"
    assert outcome(dygraph=dygraph, ast=Failure("x", error="timeout"), sot=run("sot")) == "equal"


def test_equal_and_close_have_exact_bounds():
    dygraph = run("dygraph")
    for gap, word in ((0.99e-5, "equal"), (1.01e-5, "close"), (0.99e-3, "close"), (1.01e-3, "failed")):
        assert outcome(dygraph=dygraph, ast=run("ast", 1 + gap)) == word


def test_a_static_mode_that_never_ran_does_not_count():
    assert outcome(dygraph=run("dygraph"), ast=run("ast", executions=0)) == "failed"


def test_losses_that_json_has_no_number_for_fail_the_row():
    holes = run("ast")
    holes.losses[3] = None
    row = sweep_verdict.summarise({"dygraph": run("dygraph"), "ast": holes}, 50)
    assert (row.outcome, row.modes["ast"].problem) == ("failed", "ast: a loss is not finite")


def test_without_dygraph_there_is_nothing_to_compare_with():
    row = sweep_verdict.summarise({"dygraph": Failure("timed out after 3 s", error="timeout")}, 50)
    assert (row.outcome, row.problem, row.modes) == ("failed", "timeout: timed out after 3 s", {})


def result(name, outcome="failed", problem="", places=()):
    facts = {"base": "fork", "paddle": "2.6", "steps": 50, "dtype": "float32", "date": "2026-01-01", "key": "0"}
    return evidence.RowResult(id=name, outcome=outcome, problem=problem, places=list(places), losses={}, modes={}, **facts)


def test_evidence_keeps_rows_of_other_shards_sorted(tmp_path):
    target = tmp_path / "rows.jsonl"
    evidence.write(target, [result("b"), result("c", "equal")], tmp_path)
    line = target.read_text().splitlines()[1]
    evidence.write(target, [result("a", "equal"), result("b", "close")], tmp_path)
    assert [(row.id, row.outcome) for row in evidence.read(target).values()] == [("a", "equal"), ("b", "close"), ("c", "equal")]
    assert target.read_text().splitlines()[2] == line


def test_evidence_that_somebody_broke_is_named(tmp_path):
    put(tmp_path / "rows.jsonl", '{"id": "a", "outcome": "good"}')
    with pytest.raises(UsageError, match="cannot be read"):
        evidence.read(tmp_path / "rows.jsonl")


def test_evidence_names_no_path_of_the_machine(tmp_path):
    places = [f"{tmp_path}/.cache/worktrees/seg-fork-1719/net/a.py:3 forward", f"{tmp_path}/patches/toy/row.py:9 build"]
    problem = f'File "{tmp_path}/.cache/envs/common/lib/python3.11/site-packages/paddle/nn/conv.py", line 4; a ratio 3/4'
    target = tmp_path / "rows.jsonl"
    evidence.write(target, [result("a", problem=problem, places=places)], tmp_path)
    row = json.loads(target.read_text())
    assert row["places"] == ["net/a.py:3 forward", "patches/toy/row.py:9 build"]
    assert row["problem"] == 'File "paddle/nn/conv.py", line 4; a ratio 3/4'


@pytest.fixture
def swept(toy, monkeypatch, tmp_path):
    """A change with a sweep of seven rows; gives a function that runs it and lists what was trained."""
    toy.make_environment()
    directory = toy.change(scripts={"row.py": SCRIPT})
    write_rows(directory, dict.fromkeys(OUTCOMES, ""))
    with (directory / "change.toml").open("a") as stream:
        stream.write('[sweep]\nscript = "checks/row.py"\nmodes = ["dygraph", "ast"]\ntimeout_s = 8\nmemory_gb = 4.0\n')
    monkeypatch.setenv("FORKLIFT_ROW_LOG", str(tmp_path / "log"))

    def go(*words):
        put(tmp_path / "log", "")
        ran = toy.cli("sweep", "toy-linear", "--json", "--base", "release", *words)
        return ran, sorted((tmp_path / "log").read_text().splitlines())

    go.directory = directory
    return go


OUTCOMES = {"same": "equal", "close": "close", "rounding": "equal", **dict.fromkeys(["far", "crash", "greedy", "off"], "failed")}
CONTROLLED = [f"{name} {mode} in float64" for name in ("close", "far", "rounding") for mode in ("ast", "dygraph")]


def write_rows(directory, rows):
    put(directory / "models.toml", "\n".join(table("row", {"id": name}).rstrip() + "\n" + text for name, text in rows.items()))


def outcomes(ran):
    return {row["id"]: row["outcome"] for row in ran.rows}


def test_a_sweep_runs_judges_resumes_and_reruns(swept, toy):
    ran, trained = swept("--steps", "4", "-j", "2")
    assert ran.status == 1
    assert outcomes(ran) == OUTCOMES
    rows = {row["id"]: row for row in ran.rows}
    assert rows["crash"]["modes"]["ast"]["problem"] == "script_failed: no such layer"
    assert rows["crash"]["modes"]["ast"]["places"] == ["net.py:3 forward"]
    assert rows["greedy"]["problem"].startswith("out_of_memory: MemoryError")
    assert (
        rows["off"]["modes"]["ast"]["problem"] == "ast: static training did not run (0 executions of a static program in 4 steps)"
    )
    assert (rows["rounding"]["dtype"], rows["rounding"]["float32"]["ast"]["departs_at"]) == ("float64", 1)
    judges = {name: rows[name]["modes"]["ast"].get("judge") for name in ("same", "close", "rounding", "far")}
    assert judges == {"same": None, "close": "gradient", "rounding": "float64", "far": "gradient"}
    assert rows["far"]["modes"]["ast"]["problem"] == "the gradient of the first step differs by 1e-02"
    assert [line for line in trained if line.endswith("float64")] == CONTROLLED, (
        "what is not equal in float32 always gets its control"
    )
    assert len(trained) == 6 * 2 + 1 + len(CONTROLLED), "greedy's static mode has nothing to be compared with"

    ran, trained = swept("--steps", "4")
    assert (outcomes(ran), trained) == (OUTCOMES, [])

    ran, trained = swept("--steps", "4", "--failed")
    assert outcomes(ran) == OUTCOMES
    assert trained == ["crash ast", "crash dygraph", "greedy dygraph", "off ast", "off dygraph"], "a control is not run twice"

    ran, trained = swept("--steps", "4", "--row", "same")
    assert ([row["id"] for row in ran.rows], ran.status) == (["same"], 0)

    _, trained = swept("--steps", "5", "--row", "same")
    assert trained == ["same ast", "same dygraph"], "results of other steps are other results"
    evidence = toy.root / "patches" / "toy" / "linear" / "evidence" / "rows.jsonl"
    assert [json.loads(line)["id"] for line in evidence.read_text().splitlines()] == sorted(OUTCOMES)


def test_a_row_that_takes_too_long_or_dies_is_a_result(swept):
    write_rows(swept.directory, {"slow": "", "killed": "", "same": ""})
    ran, _ = swept("--steps", "4")
    assert outcomes(ran) == {"slow": "failed", "killed": "failed", "same": "equal"}
    problems = {row["id"]: row["problem"] for row in ran.rows}
    assert problems["slow"] == "timeout: timed out after 8 s"
    assert problems["killed"].startswith("out_of_memory: "), "nobody but the kernel sends signal 9"


def test_a_stored_row_is_run_again_when_what_it_depends_on_changes(swept):
    rows = dict.fromkeys(["same", "close"], "")
    write_rows(swept.directory, rows)
    swept("--steps", "4")
    write_rows(swept.directory, {**rows, "same": 'why = "only prose"\n'})
    assert swept("--steps", "4")[1] == []
    write_rows(swept.directory, {**rows, "same": "size = 3\n"})
    assert swept("--steps", "4")[1] == ["same ast", "same dygraph"]
    edit = next((swept.directory / "edits").rglob("*.patch"))
    path = edit.relative_to(swept.directory / "edits").as_posix().removesuffix(".patch")
    own = f'edits = ["{path}"]\n'
    write_rows(swept.directory, {**rows, "close": own})
    assert len(swept("--steps", "4")[1]) == 6
    edit.write_text(edit.read_text() + "\n")
    trained = swept("--steps", "4")[1]
    assert {line.split()[0] for line in trained} == {"close"}, "the edit is there for this row alone"


def test_a_row_that_is_not_run_says_why(swept):
    write_rows(swept.directory, {"same": 'untrainable = "its forward raises in training"\n'})
    ran, trained = swept("--steps", "4")
    assert (ran.rows[0]["problem"], ran.rows[0]["outcome"], trained) == ("not run: its forward raises in training", "failed", [])


def test_a_sweep_that_was_killed_goes_on_where_it_was(swept, toy):
    write_rows(swept.directory, {"same": ""})
    swept("--steps", "4")
    place = toy.cache / "sweep" / "toy-linear" / "release-2.6" / "same"
    (place / "row.json").unlink()
    (place / "ast.json").unlink()
    ran, trained = swept("--steps", "4")
    assert (ran.status, trained) == (0, ["same ast"])


def test_modes_can_be_measured_one_after_the_other(swept):
    write_rows(swept.directory, {"same": "", "crash": ""})
    manifest = swept.directory / "change.toml"
    manifest.write_text(manifest.read_text().replace('"dygraph", "ast"', '"dygraph", "ast", "sot"'))
    ran, trained = swept("--steps", "4", "--mode", "ast")
    assert [sorted(row["modes"]) for row in ran.rows] == [["ast"], ["ast"]]
    assert trained == ["crash ast", "crash dygraph", "same ast", "same dygraph"]
    ran, trained = swept("--steps", "4", "--row", "same")
    assert (sorted(ran.rows[0]["modes"]), trained) == (["ast", "sot"], ["same sot"])


def test_the_float64_run_of_a_mode_outlives_a_run_of_another_mode(swept):
    write_rows(swept.directory, {"rounding": "", "half": ""})
    manifest = swept.directory / "change.toml"
    manifest.write_text(manifest.read_text().replace('"dygraph", "ast"', '"dygraph", "ast", "sot"'))
    swept("--steps", "4", "--mode", "ast")
    ran, trained = swept("--steps", "4")
    assert trained == ["half dygraph in float64", "half sot", "half sot in float64", "rounding sot", "rounding sot in float64"]
    rows = {row["id"]: row for row in ran.rows}
    assert {mode: facts["outcome"] for mode, facts in rows["rounding"]["modes"].items()} == {"ast": "equal", "sot": "equal"}
    assert {mode: (facts["outcome"], facts["dtype"]) for mode, facts in rows["half"]["modes"].items()} == {
        "ast": ("equal", "float32"),
        "sot": ("close", "float64"),
    }
    assert sorted(rows["half"]["losses"]) == ["ast", "dygraph", "sot"]
    assert swept("--steps", "4", "--failed")[1] == []


def test_what_decides_where_float32_is_not_equal(swept):
    write_rows(swept.directory, dict.fromkeys(["wild", "wrong", "frozen", "silent"], ""))
    rows = {row["id"]: row for row in swept("--steps", "4")[0].rows}
    found = {name: (row["modes"]["ast"]["outcome"], row["modes"]["ast"]["judge"]) for name, row in rows.items()}
    assert found == {
        "wild": ("close", "gradient"),  # rounding grows in float64 as well, the program is right
        "wrong": ("failed", "gradient"),  # 1e-4 apart in float32, equal in float64, and yet another gradient
        "frozen": ("failed", "gradient"),
        "silent": ("failed", "none"),
    }
    assert rows["frozen"]["modes"]["ast"]["problem"].endswith("and 1 parameters have one in one mode only")
    assert rows["silent"]["modes"]["ast"]["problem"] == "not proven: no gradients here"


def test_a_row_in_float64_gets_the_gradients_alone(swept):
    write_rows(swept.directory, {"wild": 'dtype = "float64"\n'})
    ran, trained = swept("--steps", "4")
    assert trained == ["wild ast in float64", "wild dygraph in float64"], vars(ran)
    assert (ran.rows[0]["outcome"], ran.rows[0]["modes"]["ast"]["judge"]) == ("close", "gradient")


def test_two_shards_make_one_evidence(swept):
    parts = [outcomes(swept("--steps", "4", "--shard", f"{i}/2")[0]) for i in (1, 2)]
    assert all(parts) and {**parts[0], **parts[1]} == OUTCOMES
    lines = (swept.directory / "evidence" / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == sorted(OUTCOMES)


def test_a_sweep_on_a_local_ray_gives_the_same_rows(swept, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ran, trained = swept("--steps", "4", "--ray", "local")
    assert outcomes(ran) == OUTCOMES, ran.err
    assert len(trained) == 6 * 2 + 1 + len(CONTROLLED)


def test_a_change_without_a_sweep(toy):
    toy.change()
    ran = toy.cli("sweep", "toy-linear")
    assert (ran.status, "has no [sweep]" in ran.err) == (2, True)


def test_there_is_no_speed_without_times():
    bare = Run("ast", run("ast").losses, StaticProof(1, 3, 50))
    row = sweep_verdict.summarise({"dygraph": run("dygraph"), "ast": bare}, 50)
    assert row.modes["ast"].speed_ratio is None


def test_a_gradient_that_is_not_a_number_is_no_proof():
    facts = evidence.ModeResult(outcome="close", max_gap=1e-4, departs_at=3)
    first = msgspec.structs.replace(result("a"), modes={"ast": facts}, losses={"dygraph": [], "ast": []})
    gradient = evidence.Gradient(gradient_gap=math.nan)
    assert sweep_verdict.judged(first, first, {"ast": gradient}, ["ast"]).modes["ast"].outcome == "failed"
