"""A broken manifest is refused with file, key and what was expected, and exit status 2."""

import pytest
from toyproject import put

from forklift.branch import suites
from forklift.errors import UsageError


@pytest.mark.parametrize(
    ("old", "new", "facts"),
    [
        ("task = 1", 'task = "one"', ["key   task", "Expected `int`, got `str`"]),
        ("task = 1", "task = 1\ncolour = 3", ["unknown field `colour`"]),
        ("schema = 1", "schema = 2", ["key   schema", "1"]),
        ('title = "Add linear"\n', "", ["missing required field `title`"]),
        ('status = "draft"', 'status = "finished"', ["key   upstream.status", "finished"]),
        ('kind = "metrics"', 'kind = "vibes"', ["key   check[0].kind", "vibes"]),
        ('kind = "metrics"', 'kind = "metrics"\nstep = 5', ["key   check[0]", "unknown field `step`"]),
        ("max = 1.0", 'max = "low"', ["key   check[0].require[0].max", "Expected `float | null`, got `str`"]),
    ],
)
def test_wrong_entry(toy, old, new, facts):
    check = {"kind": "metrics", "script": "checks/m.py", "require": [{"metric": "gap", "max": 1.0}]}
    file = toy.change(checks=[check]) / "change.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    ran = toy.cli("build", "toy-linear")
    assert ran.status == 2
    assert "error: a manifest has a wrong entry" in ran.err
    assert str(file) in ran.err
    assert [fact for fact in facts if fact not in ran.err] == []
    assert "next" in ran.err


def test_broken_toml(toy):
    file = toy.change() / "change.toml"
    put(file, "schema = 1\nid = \n")
    ran = toy.cli("build", "toy-linear")
    assert ran.status == 2
    assert "not valid TOML" in ran.err
    assert str(file) in ran.err
    assert "line 2" in ran.err


def test_bytes_that_are_no_text(toy):
    put(toy.change() / "change.toml", b"schema = 1\ntitle = '\xff'\n")
    ran = toy.cli("build", "toy-linear")
    assert ran.status == 2
    assert "not valid TOML" in ran.err


def test_one_broken_manifest_does_not_hide_the_ids_of_others(toy):
    toy.change("linear")
    put(toy.change("second", overlay={"toylib/second.py": "A = 1\n"}, edits={}) / "change.toml", "nonsense")
    assert toy.load("toy-linear").id == "toy-linear"
    ran = toy.cli("build", "toy-secondd")
    assert (ran.status, "did you mean toy-second?" in ran.err) == (2, True)


def test_unknown_suite_names_the_nearest(toy):
    ran = toy.cli("stack", "toyy")
    assert ran.status == 2
    assert "no suite 'toyy'" in ran.err
    assert "did you mean toy?" in ran.err


def test_missing_file(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        suites.decode(tmp_path / "suites.toml", dict)


@pytest.mark.parametrize("named", ["Ann Lee <ann@lee.example>", "  Ann Lee  <ann@lee.example> "])
def test_author_from_the_environment(toy, monkeypatch, named):
    monkeypatch.setenv("FORKLIFT_AUTHOR", named)
    found = suites.author(toy.root / "ci")
    assert (found.name, found.email) == ("Ann Lee", "ann@lee.example")


@pytest.mark.parametrize("named", ["ann@lee.example", "Ann <ann>", "<ann@lee.example>"])
def test_malformed_author_is_refused(toy, monkeypatch, named):
    monkeypatch.setenv("FORKLIFT_AUTHOR", named)
    toy.change()
    ran = toy.cli("build", "toy-linear")
    assert (ran.status, "FORKLIFT_AUTHOR" in ran.err) == (2, True)


def test_rows_of_a_sweep_that_ci_runs_are_checks(toy):
    directory = toy.change(scripts={"row.py": ""})
    with (directory / "change.toml").open("a") as stream:
        stream.write('[sweep]\nscript = "checks/row.py"\nmodes = ["dygraph", "ast"]\nci_rows = ["vgg"]\n')
    [spec] = toy.load().checks
    assert (spec.label, spec.kind, spec.args, spec.modes, spec.steps) == (
        "row-vgg",
        "loss_consistency",
        ["--row", "vgg"],
        ("ast",),
        50,
    )
