"""From a change to what opens the pull request: the bundle, the wheel, the scaffold, and the commands that show them."""

import ast
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest
from toyproject import HEADER, HOOKED, LINEAR, PR, REGISTRY, git, put

from forklift.commands import wheel

OWN = [{"match": "*", "why": "the toy has no original: numpy computes what is wanted"}]
ALIGN = """
import numpy as np
from proving.record import Recorder, arguments
from toylib.linear import forward

args = arguments()
rng = np.random.default_rng(0)
weight, bias, x = rng.normal(size=(4, 4)), rng.normal(size=4), rng.normal(size=(3, 4))
recorder = Recorder(args.out)
recorder.add("forward", "out", forward(weight, bias, x), np.einsum("io,ni->no", weight, x) + bias)
recorder.write()
"""

TRAIN = """
import argparse, json, os

parser = argparse.ArgumentParser()
parser.add_argument("--out")
parser.add_argument("--mode", nargs="+")
parser.add_argument("--steps", type=int)
args = parser.parse_args()
for mode in args.mode:
    with open(os.environ["FORKLIFT_CACHE"] + "/count", "a") as stream:
        stream.write(mode + "\\n")
    value, losses = 1.0, []
    for step in range(args.steps):
        losses.append(value ** 2)
        value -= 0.1 * value
    proof = {"programs": 1, "operators": 5, "executions": args.steps, "graph_breaks": 0}
    run = {"mode": mode, "losses": losses, "ms_per_step": [1.0] * args.steps, "paddle": "toy", "dtype": "float64"}
    run["static"] = None if mode == "dygraph" else proof
    with open(os.path.join(args.out, mode + ".json"), "w") as stream:
        json.dump(run, stream)
"""

BENCH = """
from proving.record import arguments
from proving.timing import interleave, write_benchmark

args = arguments()
samples = interleave({"ours": lambda: sum(range(1000)), "theirs": lambda: sum(range(2000))}, rounds=5, warmup=1)
write_benchmark(args.out, [{"name": "sum", "ours": "ours", "against": "theirs", "samples": samples}])
"""

CHECKS = [
    {"kind": "unit_tests", "paths": ["tests/test_linear.py"], "compare_base": True, "cost_s": 50},
    {"kind": "alignment", "script": "checks/align.py", "stages": ["forward"], "cost_s": 40, "computed": OWN},
    {"kind": "loss_consistency", "script": "checks/train.py", "steps": 6},
    {"kind": "benchmark", "script": "checks/bench.py", "cost_s": 20},
    {"kind": "metrics", "script": "checks/none.py", "needs": "fork", "require": [{"metric": "a", "min": 1.0}], "cost_s": 10},
]

TEST = HEADER + (
    "import numpy as np\n\nfrom toylib.linear import forward\nfrom toylib.registry import ENTRIES\n\n\n"
    "def test_forward():\n    assert forward(np.eye(2), np.ones(2), np.ones((1, 2))).tolist() == [[2.0, 2.0]]\n\n\n"
    "def test_registered():\n    assert 'linear' in ENTRIES\n"
)


def prove(toy, *kinds):
    """A change with the checks of these kinds, in a project whose environment is ready."""
    toy.make_environment()
    directory = toy.change(
        overlay={"toylib/linear.py": LINEAR, "tests/test_linear.py": TEST},
        scripts={"align.py": ALIGN, "train.py": TRAIN, "bench.py": BENCH},
        checks=[check for check in CHECKS if check["kind"] in kinds],
    )
    put(directory / "reference" / "provenance.toml", "[sha256]\n")
    return toy


@pytest.fixture
def proved(toy):
    """All checks."""
    return prove(toy, *(check["kind"] for check in CHECKS))


@pytest.fixture
def aligned(toy):
    """One check that runs, and one that the release is too little for."""
    return prove(toy, "alignment", "metrics")


@pytest.fixture
def trained(toy):
    return prove(toy, "loss_consistency")


def test_a_pull_request_from_nothing_to_bundle_and_again_from_the_cache(proved, tmp_path):
    ran = proved.cli("pr", "toy-linear")
    assert ran.status == 0, ran
    lines = ran.out.splitlines()
    assert lines[0].split()[:2] == ["toy-linear", "base"]
    # side by side, so in the order in which they end; the benchmark comes last, alone
    checks = [line.split()[1] for line in lines[:-1]]
    assert sorted(checks[1:-1]) == ["alignment", "loss_consistency", "metrics", "unit_tests"]
    assert checks[-1] == "benchmark"
    assert sorted(line.split()[-1] for line in lines[:-1]) == ["passed"] * 5 + ["skipped"]
    assert lines[-1].startswith("toy-linear: bundle in ")

    bundle = proved.out / "toy-linear"
    names = {path.name for path in bundle.iterdir()}
    assert names == {
        "0001-Add-linear.patch",
        "PR.md",
        "commands.sh",
        "diff.txt",
        "junit.xml",
        "attachments",
        "report.json",
        "index.html",
    }
    body = (bundle / "PR.md").read_text()
    assert body.startswith(PR.rstrip())
    for part in (
        "### alignment",
        "| forward | 1 |",
        "### loss_consistency",
        "`ast     `",
        "### benchmark",
        "![loss.png](attachments/loss.png)",
    ):
        assert part in body, part
    assert "- metrics: skipped (partial_base), needs the fork: make fork-toy" in body
    assert "{{" not in body
    assert "toylib/linear.py" in (bundle / "diff.txt").read_text()
    [suite] = ElementTree.parse(bundle / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("6", "0", "0", "1")
    assert (bundle / "commands.sh").stat().st_mode & 0o100
    assert [path.name for path in proved.out.iterdir()] == ["toy-linear"], "nothing half-made stays behind"

    counted = proved.cache / "downloads" / "count"
    assert counted.read_text().split() == ["dygraph", "ast", "sot"]
    again = proved.cli("pr", "toy-linear")
    assert again.status == 0
    assert [line.split()[-2] for line in again.out.splitlines()[1:-1]].count("cached") == 4
    assert counted.read_text().split() == ["dygraph", "ast", "sot"], "a cached check runs nothing"
    assert (bundle / "PR.md").read_text() == body
    assert (bundle / "attachments" / "loss.png").read_bytes().startswith(b"\x89PNG")

    proved.cli("check", "toy-linear", "--no-cache", "--only", "loss_consistency")
    assert len(counted.read_text().split()) == 6


def test_a_stored_result_never_shows_the_picture_of_another_run(trained):
    script = trained.root / "patches/toy/linear/checks/train.py"
    picture = trained.out / "toy-linear" / "attachments" / "loss.png"
    trained.cli("pr", "toy-linear")
    first = picture.read_bytes()
    put(script, TRAIN.replace("0.1 * value", "0.4 * value"))
    trained.cli("pr", "toy-linear")
    assert picture.read_bytes() != first
    put(script, TRAIN)
    trained.cli("pr", "toy-linear")
    assert picture.read_bytes() == first


def test_commands_of_the_bundle_work_on_a_clone_of_upstream(forked, tmp_path):
    forked.change()
    assert forked.cli("pr", "toy-linear").status == 0
    git(tmp_path, "clone", "-q", forked.upstream.path, "clone")
    done = subprocess.run(
        ["sh", forked.out / "toy-linear" / "commands.sh", tmp_path / "clone"],
        capture_output=True,
        text=True,
        env={**os.environ, **git_user()},
    )
    assert done.returncode == 0, done.stderr
    assert git(tmp_path / "clone", "rev-parse", "HEAD^{tree}").strip() == forked.build().tree
    assert git(tmp_path / "clone", "rev-parse", "--abbrev-ref", "HEAD").strip() == "feature/linear"


def git_user():
    return {"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@a.invalid", "GIT_CONFIG_GLOBAL": os.devnull}


def test_json_lines_parse_and_nothing_else_is_printed(aligned):
    ran = aligned.cli("pr", "toy-linear", "--json")
    assert sorted(row["check"] for row in ran.rows) == ["alignment", "base", "metrics"]
    row = ran.row("alignment")
    assert (row["change"], row["kind"], row["outcome"], row["cached"]) == ("toy-linear", "alignment", "passed", False)
    assert row["details"]["stages"]["forward"]["pairs"] == 1


def test_a_red_check_is_shown_in_the_bundle_and_in_the_exit_code(aligned):
    put(aligned.root / "patches/toy/linear/overlay/toylib/linear.py", LINEAR.replace("+ bias", "+ 2 * bias"))
    ran = aligned.cli("pr", "toy-linear", "--json")
    assert ran.status == 1
    assert ran.row("alignment")["outcome"] == "failed"
    assert ran.row("alignment")["summary"].startswith("1 of 1 pairs differ: out: max abs")
    body = (aligned.out / "toy-linear" / "PR.md").read_text()
    assert "- alignment: failed, 1 of 1 pairs differ" in body


def test_a_check_without_any_loss_still_makes_a_bundle(trained):
    put(trained.root / "patches/toy/linear/checks/train.py", TRAIN.replace("range(args.steps)", "range(0)"))
    ran = trained.cli("pr", "toy-linear")
    assert ran.status == 1
    assert "0 steps against 0, want 6" in ran.out
    assert (trained.out / "toy-linear" / "PR.md").is_file()


def test_suite_tests_on_base_and_branch(forked):
    forked.make_environment()
    test = (
        "from toylib.registry import ENTRIES\n\n\ndef test_first():\n    assert ENTRIES[0] == 'entry_00'\n\n\n"
        "def test_linear():\n    assert 'linear' in ENTRIES\n\n\ndef test_old_failure():\n    assert 'transformer' in ENTRIES\n\n\n"
        "def test_last():\n    assert ENTRIES[-1] == 'entry_39'\n"
    )
    check = {"kind": "unit_tests", "paths": ["tests/test_registry.py"], "compare_base": True}
    edits = {"toylib/registry.py": HOOKED, "tests/test_registry.py": test}
    forked.change(edits=edits, checks=[check])
    row = forked.cli("check", "toy-linear", "--json").row("unit_tests")
    verdicts = {name.split("::")[1]: word for name, word in row["details"]["verdicts"].items()}
    assert verdicts == {
        "test_first": "same_pass",
        "test_linear": "fixed",
        "test_old_failure": "same_fail",
        "test_last": "same_pass",
    }
    assert row["outcome"] == "passed"
    forked.change(edits={**edits, "toylib/registry.py": HOOKED.replace('    "entry_39",\n', "")}, checks=[check])
    row = forked.cli("check", "toy-linear", "--json").row("unit_tests")
    assert (row["outcome"], row["details"]["verdicts"]["tests.test_registry::test_last"]) == ("failed", "regressed")


def test_a_change_without_pr_md_does_not_stop_the_others(toy):
    toy.change("aaa", overlay={"toylib/a.py": HEADER}, edits={}).joinpath("pr.md").unlink()
    toy.change("bbb", overlay={"toylib/b.py": HEADER}, edits={})
    ran = toy.cli("test")
    assert ran.status == 1
    assert "a change has no pr.md" in ran.out
    assert (toy.out / "toy-bbb" / "PR.md").is_file()
    reports = json.loads((toy.out / "report.json").read_text())
    assert {row["change"]: [result["outcome"] for result in row["results"]] for row in reports} == {
        "toy-aaa": ["passed", "error"],
        "toy-bbb": ["passed"],
    }


def test_all_changes_with_the_closing_line(aligned):
    aligned.change("broken", overlay={"toylib/registry.py": "A = 1\n"}, edits={})
    ran = aligned.cli("test", "-j", "2")
    assert ran.status == 1
    assert ran.out.splitlines()[-1] == "checks: 1 passed, 1 failed, 1 skipped"
    assert len(ElementTree.parse(aligned.out / "junit.xml").getroot()) == 2


def test_only_some_checks_and_one_that_does_not_exist(toy):
    prove(toy, "alignment", "benchmark")
    ran = toy.cli("check", "toy-linear", "--only", "alignment", "--json")
    assert [row["check"] for row in ran.rows] == ["base", "alignment"]
    ran = toy.cli("check", "toy-linear", "--only", "alignmnt")
    assert (ran.status, "no check 'alignmnt'" in ran.err, "alignment" in ran.err) == (2, True, True)


def test_another_reference_set(aligned, tmp_path):
    put(aligned.root / "patches/toy/linear/checks/align.py", ALIGN + "\nassert args.reference.endswith('others'), args.reference\n")
    (tmp_path / "others").mkdir()
    assert aligned.cli("check", "toy-linear", "--only", "alignment").status == 1
    ran = aligned.cli("check", "toy-linear", "--only", "alignment", "--reference", str(tmp_path / "others"))
    assert ran.status == 0, ran.out
    ran = aligned.cli("check", "toy-linear", "--reference", str(tmp_path / "nowhere"))
    assert (ran.status, "does not exist" in ran.err) == (2, True)


def test_recorded_outcomes_reach_the_table(aligned):
    aligned.cli("check", "toy-linear", "--record")
    assert "paddle 2.6: 1 of 2 passed, 1 skipped(partial_base)" in aligned.cli("list", "--markdown").out


@pytest.fixture
def without_gh(monkeypatch):
    kept = [part for part in os.environ["PATH"].split(os.pathsep) if not (Path(part) / "gh").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(kept))


@pytest.fixture
def contributor(toy, tmp_path):
    """The contributor's fork on a server: a bare repository with all of upstream's history."""
    from toyproject import copy_upstream

    fork = copy_upstream(toy.upstream, tmp_path / "server" / "ann" / "Toy.git")
    git(fork.path, "update-ref", "refs/heads/feature/linear", toy.upstream.later["moved"])  # an older try of hers
    return fork.path


def test_open_pushes_to_the_contributors_fork_and_names_its_owner(toy, tmp_path, contributor, without_gh, monkeypatch):
    from toyproject import copy_upstream, lose_blob

    partial = copy_upstream(toy.upstream, tmp_path / "partial.git")
    lose_blob(partial, "assets/large.bin")
    toy.borrow(partial.path)
    prove(toy, "loss_consistency")
    monkeypatch.setenv("FORKLIFT_REMOTE", str(contributor))
    ran = toy.cli("pr", "toy-linear", "--open")
    assert ran.status == 0, ran.err
    built = toy.build(base="fork").head
    assert git(contributor, "rev-parse", "feature/linear").strip() == built, "the older branch was replaced"
    files = git(contributor, "rev-parse", "feature/linear-files").strip()
    assert git(contributor, "ls-tree", "--name-only", files).split() == ["loss.png"]
    assert "--head ann:feature/linear --title" in ran.out
    assert "gh pr create --repo toy.invalid/Toy" in ran.out
    body = (toy.out / "toy-linear" / "body.md").read_text()
    assert f"![loss.png](https://github.com/ann/Toy/blob/{files}/loss.png?raw=true)" in body
    assert "](attachments/" not in body
    assert git(toy.upstream.path, "rev-parse", "develop").strip() == toy.upstream.pin, "upstream is as it was"


def test_open_refuses_a_bundle_of_the_release_base_and_upstream_itself(toy, monkeypatch, without_gh):
    prove(toy, "loss_consistency")
    ran = toy.cli("pr", "toy-linear", "--open")
    assert (ran.status, "not from the release base" in ran.err) == (2, True)
    assert "make fork-toy" in ran.err
    toy.borrow()
    ran = toy.cli("pr", "toy-linear", "--open")
    assert (ran.status, "no fork of yours is known" in ran.err) == (2, True)
    monkeypatch.setenv("FORKLIFT_REMOTE", "https://toy.invalid/Toy.git")
    ran = toy.cli("pr", "toy-linear", "--open")
    assert (ran.status, "that is upstream itself" in ran.err) == (2, True)


@pytest.mark.parametrize(
    "url", ["https://github.com/ann/Toy.git", "git@github.com:ann/Toy.git", "https://github.com/ann/Toy/", "/srv/ann/Toy.git"]
)
def test_the_owner_of_a_fork(url):
    from forklift.commands.pull_request import owner_and_name

    assert owner_and_name(url) == ("ann", "Toy")


def test_a_text_that_no_pull_request_takes_is_an_error(trained):
    directory = trained.root / "patches" / "toy" / "linear"
    put(directory / "pr.md", PR + "word " * 12_000)
    row = trained.cli("pr", "toy-linear", "--json").row("bundle")
    assert (row["outcome"], row["summary"]) == ("error", "the pull request's text is too long")


def test_no_pull_request_of_the_project_is_too_long():
    """pr.md of every change, with room for the evidence behind it."""
    from toyproject import CI

    for path in sorted((CI.parent / "patches").glob("*/*/pr.md")):
        assert len(path.read_text()) < 30_000, path


def test_a_run_in_which_every_check_was_skipped_has_its_own_exit_code(toy):
    prove(toy, "metrics")
    ran = toy.cli("check", "toy-linear")
    assert (ran.status, "partial_base" in ran.out) == (4, True)
    assert toy.cli("pr", "toy-linear").status == 4


def test_a_token_reaches_neither_a_script_nor_a_report(toy, monkeypatch):
    monkeypatch.setenv("GH_TOKEN", "ghp_0123456789abcdef")
    monkeypatch.setenv("PIP_INDEX_URL", "https://ann:hunter22@index.invalid/simple")
    toy.make_environment()
    script = (
        "import os, sys\nassert 'GH_TOKEN' not in os.environ\n"
        "sys.exit('no index at %s, ghp_0123456789abcdef' % os.environ['PIP_INDEX_URL'])\n"
    )
    check = {"kind": "metrics", "script": "checks/m.py", "require": [{"metric": "a", "min": 1.0}]}
    toy.change(scripts={"m.py": script}, checks=[check])
    toy.cli("pr", "toy-linear")
    text = (toy.out / "toy-linear" / "report.json").read_text()
    assert "no index at https://ann:***@index.invalid/simple, ***" in text


# ---- scaffold ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", ["toy", "bare"])
def test_a_new_change_lints_and_passes_from_the_first_minute(toy, suite):
    toy.make_environment()
    ran = toy.cli("new", suite, "my-model", "--task", "7", "--title", "模型 Add my model")
    assert ran.status == 0, ran.err
    assert ran.out == f"patches/{suite}/my-model\nnext: make pr-{suite}-my-model\n"
    assert toy.load(f"{suite}-my-model").file.title == "模型 Add my model"
    ran = toy.cli("lint", f"{suite}-my-model")
    assert [line.split(": ")[0].split()[-1] for line in ran.out.splitlines()] == ["texts"], "its pr.md is to be written"
    put(toy.root / "patches" / suite / "my-model" / "pr.md", PR)
    ran = toy.cli("lint", f"{suite}-my-model")
    assert ran.status == 0, ran.out
    ran = toy.cli("pr", f"{suite}-my-model", "--json")
    assert [row["outcome"] for row in ran.rows] == ["passed", "passed"]
    assert ran.row("unit_tests")["summary"] == "1 passed"
    assert toy.cli("new", suite, "my-model").status == 2


@pytest.mark.parametrize("slug", ["My-Model", "my_model", "a b", "-a", "../x", ""])
def test_a_name_that_is_none(toy, slug):
    ran = toy.cli("new", "toy", "--", slug)
    assert (ran.status, "is not a valid name" in ran.err) == (2, True)
    assert list((toy.root / "patches").iterdir()) == []


@pytest.mark.parametrize("title", ['Add "My" model', "a\\b", "two\nlines"])
def test_a_title_that_would_break_the_manifest(toy, title):
    ran = toy.cli("new", "toy", "my-model", "--title", title)
    assert (ran.status, "is not a valid title" in ran.err) == (2, True)
    assert list((toy.root / "patches").iterdir()) == []


def test_the_scaffolded_test_is_python_in_both_styles(toy):
    for suite in ("toy", "bare"):
        toy.cli("new", suite, "one")
        ast.parse((toy.root / "patches" / suite / "one" / "overlay" / "tests" / "test_one.py").read_text())


# ---- wheel ---------------------------------------------------------------------------------------


def install(made, target):
    """A new virtual environment with the wheel in it; its Python."""
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, target], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--offline", "--no-deps", "--python", target / "bin/python", made], check=True)
    return target / "bin" / "python"


def test_a_wheel_of_all_changes_is_installed_and_imported(toy, tmp_path):
    toy.change()
    more = REGISTRY.replace('    "entry_30",\n', '    "entry_30",\n    "second",\n')
    toy.change("second", overlay={"toylib/second.py": HEADER, "docs/second.md": "text\n"}, edits={"toylib/registry.py": more})
    ran = toy.cli("wheel", "toy")
    assert ran.status == 0, ran.err
    made = toy.out / "wheels" / "toylib-1.0+forklift-py3-none-any.whl"
    assert ran.out == f"{made}\n"
    python = install(made, tmp_path / "env")
    code = (
        "import importlib.metadata as m, toylib.linear, toylib.second, toylib.registry as r\n"
        "print(m.version('toylib'), 'linear' in r.ENTRIES, 'second' in r.ENTRIES, toylib.__file__)"
    )
    words = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert words[:3] == ["1.0+forklift", "True", "True"]
    assert words[3].startswith(str(tmp_path / "env"))
    with zipfile.ZipFile(made) as archive:
        assert archive.testzip() is None
        assert "docs/second.md" not in archive.namelist(), "what the release does not ship at its top is not added"
        record = archive.read("toylib-1.0+forklift.dist-info/RECORD").decode()
        assert {line.split(",")[0] for line in record.splitlines()} == set(archive.namelist())
    before = made.read_bytes()
    assert toy.cli("wheel", "toy").status == 0
    assert made.read_bytes() == before
    assert [path.name for path in made.parent.iterdir()] == [made.name]


def test_the_description_in_the_metadata_is_left_alone(tmp_path):
    from forklift.model import Release

    put(tmp_path / "toylib-1.0.dist-info" / "METADATA", "Name: toylib\nVersion: 1.0\n\nVersion: 1.0 was good\n")
    put(tmp_path / "toylib-1.0.dist-info" / "RECORD", "")
    info = wheel._rename(tmp_path, Release(distribution="toylib", version="1.0", sha256=""))
    assert (info / "METADATA").read_text() == "Name: toylib\nVersion: 1.0+forklift\n\nVersion: 1.0 was good\n"


def test_a_suite_without_a_release_has_no_wheel(toy):
    toy.change("one", suite="bare", overlay={"x.py": HEADER}, edits={})
    ran = toy.cli("wheel", "bare")
    assert (ran.status, "no release" in ran.err) == (2, True)


# ---- the rest of the command line ----------------------------------------------------------------


def test_an_unknown_change_suggests_the_nearest(aligned):
    for words in (
        ["pr", "toy-liner"],
        ["check", "toy-liner"],
        ["build", "toy-liner"],
        ["edit", "toy-liner"],
        ["lint", "toy-liner"],
    ):
        ran = aligned.cli(*words)
        assert ran.status == 2, words
        assert "did you mean toy-linear?" in ran.err


def test_the_doctor_looks_at_everything(aligned):
    ran = aligned.cli("doctor")
    found = {line.split()[1]: line for line in ran.out.splitlines() if line[:3] in ("ok ", "BAD")}
    assert {"git", "make", "python", "disk", "index", "toy", "bare", "gpu", "cores"} <= set(found)
    assert found["git"].startswith("ok")
    assert "paddle 2.6 ready" in found["toy"]
    assert "no fork (release base)" in found["toy"]
    assert found["index"].startswith("BAD"), "the tests' index does not answer"
    assert "next  check pip's configuration" in ran.out
    assert ran.status == 1


def test_the_command_as_a_person_types_it(aligned):
    """Once through the real entry point and a process of its own."""
    ran = aligned.command("list")
    assert (ran.status, ran.out.split()[0]) == (0, "toy-linear")
    ran = aligned.command("build", "toy-linear", "--json")
    assert (ran.status, ran.rows[0]["outcome"]) == (0, "passed")
    ran = aligned.command("build", "toy-liner")
    assert (ran.status, ran.out, "did you mean" in ran.err) == (2, "", True)


def test_clean_removes_what_was_made(aligned):
    aligned.cli("build", "toy-linear")
    others = put(aligned.cache / "somebody.txt", "not ours")
    put(aligned.out / "somebody" / "notes.txt", "not ours")
    assert aligned.cli("pr", "toy-linear").status == 0
    assert aligned.cli("edit", "toy-linear").status == 0
    ran = aligned.cli("clean")
    assert (ran.status, "may hold unsaved work" in ran.err) == (2, True)
    assert aligned.cli("save", "toy-linear", "--discard").status == 0
    assert aligned.cli("clean").status == 0
    assert [path.name for path in aligned.cache.iterdir() if any(path.rglob("*")) or path.is_file()] == [others.name]
    assert [path.name for path in aligned.out.iterdir()] == ["somebody"]
    assert (aligned.root / "patches" / "toy" / "linear" / "change.toml").exists()


# ---- legs and the helpers' tests -----------------------------------------------------------------


def test_a_check_that_another_paddle_runs(toy):
    toy.make_environment()
    check = {"kind": "alignment", "script": "checks/align.py", "stages": ["forward"], "paddle": ["2.6"], "computed": OWN}
    put(toy.change(scripts={"align.py": ALIGN}, checks=[check]) / "reference" / "provenance.toml", "")
    row = toy.cli("check", "toy-linear", "--paddle", "3.3", "--json").row("alignment")
    assert (row["outcome"], row["reason"]) == ("skipped", "other_paddle")
    assert toy.cli("check", "toy-linear", "--paddle", "2.6", "--json").row("alignment")["outcome"] == "passed"


def test_without_a_gpu_its_leg_is_skipped_and_never_passed(aligned, monkeypatch):
    monkeypatch.setattr("forklift.workspace.gpu.present", lambda: False)
    aligned.borrow()
    ran = aligned.cli("check", "toy-linear", "--paddle", "gpu", "--json")
    assert [(row["outcome"], row["reason"]) for row in ran.rows[1:]] == [("skipped", "needs_gpu")] * 2


@pytest.mark.parametrize(("test", "status"), [("pass", 0), ("assert False", 1)])
def test_the_helpers_own_tests_run_in_the_suites_environment(toy, capfd, test, status):
    toy.make_environment()
    code = f"import proving.record, os\n\n\ndef test_a():\n    assert os.environ['FORKLIFT_PADDLE'] == '3.3'\n    {test}\n"
    put(toy.root / "ci" / "tests" / "in_suite" / "test_a.py", code)
    ran = toy.cli("self-test", "--paddle", "3.3")
    assert ran.status == status
    assert ("1 passed" in ran.out) == (status == 0)


def test_a_change_of_two_pull_requests(forked):
    """Each part has its series, its text and its commands, and stands on the base alone."""
    commits = [
        {"subject": "Add linear", "overlay": ["toylib/linear.py"], "edits": ["toylib/registry.py"]},
        {"subject": "Add more", "overlay": ["toylib/more.py"], "part": "more"},
    ]
    directory = forked.change(overlay={"toylib/linear.py": LINEAR, "toylib/more.py": HEADER + "MORE = 1\n"}, commits=commits)
    with (directory / "change.toml").open("a") as stream:
        stream.write('[[part]]\nname = "more"\ntitle = "Add more of it"\n')
    ran = forked.cli("lint", "toy-linear")
    assert "pr-more.md is missing" in ran.out + ran.err
    put(directory / "pr-more.md", PR.replace("linear", "more"))
    forked.cli("pr", "toy-linear")
    bundle = forked.out / "toy-linear"
    assert [path.name for path in bundle.glob("*.patch")] == ["0001-Add-linear.patch"]
    assert [path.name for path in (bundle / "more").glob("*.patch")] == ["0001-Add-more.patch"]
    assert "registry" not in (bundle / "more" / "0001-Add-more.patch").read_text()
    assert (bundle / "more" / "PR.md").read_text() == PR.replace("linear", "more")
    script = (bundle / "more" / "commands.sh").read_text()
    assert "feature/linear-more" in script and "Add more of it" in script
    assert "toylib/more.py" in (bundle / "diff.txt").read_text(), "the diff is that of the whole change"
    ran = forked.cli("pr", "toy-linear", "--open")
    assert (ran.status, "2 pull requests" in ran.out + ran.err) == (2, True)
