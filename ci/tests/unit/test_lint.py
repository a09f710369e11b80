"""Every rule is red on a planted violation, and green on a change that keeps it."""

import hashlib
import os

import pytest
from toyproject import HEADER, HOOKED, LINEAR, PR, REGISTRY, git, put, sha256

from forklift import lint
from forklift.lint import whole
from forklift.results import status

CHECKS = [
    {"kind": "unit_tests", "paths": ["tests/test_linear.py"]},
    {
        "kind": "alignment",
        "script": "checks/align.py",
        "stages": ["forward"],
        "tolerance": [{"match": "x", "rtol": 1e-3, "why": "measured in float64: the reference itself loses 7e-4"}],
    },
    {"kind": "metrics", "script": "checks/train.py", "require": [{"metric": "gap", "max": 1.0}]},
    {"kind": "loss_consistency", "script": "checks/train.py", "rtol": 1e-3, "why": "measured in float64: chaotic after step 40"},
]
ONE = [{"kind": "unit_tests", "paths": ["tests/test_one.py"]}]
TEST = HEADER + "def test_linear():\n    pass\n"


@pytest.fixture
def good(toy):
    """A change that uses everything and keeps every rule."""
    directory = toy.change(
        overlay={"toylib/linear.py": LINEAR, "tests/test_linear.py": TEST},
        scripts={"align.py": "print(1)\n", "train.py": "print(1)\n"},
        checks=CHECKS,
    )
    reference = put(directory / "reference" / "deep" / "set.npz", b"123")
    put(directory / "reference" / "provenance.toml", f'[sha256]\n"deep/set.npz" = "{sha256(reference)}"\n')
    put(directory / "evidence" / "curve.csv", "1,2\n")
    put(directory / "evidence" / "README.md", "curve.csv: python checks/train.py\n")
    return directory


def red(toy, whole=False):
    """The rules that found something, with what they said."""
    return {problem.rule: problem.what for problem in lint.run(toy.project, [toy.load()], whole_project=whole)}


def replace(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_good_change_is_green(toy, good):
    assert red(toy) == {}
    ran = toy.cli("lint", "toy-linear")
    assert (ran.status, ran.out) == (0, "lint: 1 change, no problems\n")


def patch(good):
    return good / "edits" / "toylib" / "registry.py.patch"


def manifest(old, new):
    return lambda toy, good: replace(good / "change.toml", old, new)


def file(path, content):
    return lambda toy, good: put(good / path, content)


def edit(new, *options):
    """Another diff of the registry: by git, with other options."""

    def plant(toy, good):
        new_blob = git(toy.upstream.path, "hash-object", "-w", "--stdin", stdin=new.encode()).strip()
        old_blob = git(toy.upstream.path, "rev-parse", f"{toy.upstream.pin}:toylib/registry.py").strip()
        text = git(toy.upstream.path, "diff", *(options or ("-U1", "--full-index")), old_blob, new_blob)
        for blob in (old_blob, new_blob):
            text = text.replace(f"a/{blob}", "a/toylib/registry.py").replace(f"b/{blob}", "b/toylib/registry.py")
        put(patch(good), text)

    return plant


SEALED = '{"release, paddle 2.6": {"base": "release toylib 1.0", "date": "2026-01-01", "checks": {}, "seal": "made up"}}'
VIOLATIONS = [
    ("slug", manifest('suite = "Toy"', 'suite = "Bare"'), "suite Bare has the short name 'bare', the path says 'toy'"),
    ("slug", manifest('"feature/linear"', '"feature/lin"'), "branch is 'feature/lin', want 'feature/linear'"),
    ("commits", file("overlay/toylib/more.py", HEADER), "overlay/toylib/more.py is in 0 commits"),
    ("checks", manifest('kind = "metrics"', 'kind = "metrics"\nname = "alignment"'), "two checks are called 'alignment'"),
    ("checks", lambda toy, good: (good / "checks" / "align.py").unlink(), "no script checks/align.py"),
    ("checks", manifest('stages = ["forward"]', ""), "stages is empty, so it could pass on nothing"),
    ("checks", manifest('[[check.require]]\nmetric = "gap"\nmax = 1.0', ""), "no [[check.require]], so it cannot fail"),
    ("checks", manifest("max = 1.0", ""), "gap has neither min nor max"),
    ("checks", manifest('paths = ["tests/test_linear.py"]', "paths = []"), "check unit_tests: no paths"),
    ("checks", manifest('kind = "loss_consistency"', 'kind = "loss_consistency"\nsteps = 20'), "steps is 20"),
    ("checks", manifest("max = 1.0", "max = inf"), "gap has a bound that is not finite"),
    ("checks", manifest("max = 1.0", "min = nan"), "gap has a bound that is not finite"),
    ("checks", manifest('match = "x"', 'match = "x"\natol = inf'), "atol is inf"),
    ("recorded", file("evidence/status.json", SEALED), "not as a run recorded it"),
    ("checks", manifest("measured in float64: chaotic after step 40", "chaos"), "rtol 0.001 is looser than 1e-05 without a why"),
    ("checks", manifest("measured in float64: the reference itself loses 7e-4", "it fails"), "tolerance for 'x'"),
    ("after", manifest("after = []", 'after = ["toy-ghost"]'), "names 'toy-ghost', which does not exist"),
    ("after", manifest("after = []", 'after = ["bare-one"]'), "names 'bare-one', which is of another suite"),
    ("after", manifest("after = []", 'after = ["toy-linear"]'), "circular `after`"),
    ("texts", lambda toy, good: (good / "pr.md").unlink(), "pr.md is missing"),
    ("texts", file("pr.md", "later"), "says almost nothing"),
    ("texts", file("pr.md", "word " * 901), "pr.md has 901 words, at most 900"),
    ("texts", file("pr.md", "word " * 60 + "Say here: what"), "still holds the scaffold's words"),
    ("provenance", file("reference/more.npz", b"1"), "reference/more.npz is not in provenance.toml"),
    ("provenance", file("reference/deep/set.npz", b"124"), "reference/deep/set.npz is not the file that provenance.toml describes"),
    ("provenance", lambda toy, good: (good / "reference" / "provenance.toml").unlink(), "reference/ has no provenance.toml"),
    (
        "provenance",
        lambda toy, good: replace(good / "reference" / "provenance.toml", "]\n", ']\n"gone.npz" = "00"\n'),
        "names gone.npz",
    ),
    ("provenance", file("reference/provenance.toml", "[sha256\n"), "provenance.toml is not valid TOML"),
    ("evidence", file("evidence/plot.csv", "1\n"), "evidence/plot.csv is not named in evidence/README.md"),
    ("edit-form", lambda toy, good: replace(patch(good), "registry.py", "other.py"), "want exactly toylib/registry.py"),
    ("edit-form", edit(HOOKED, "-U1"), "has no full index line"),
    ("edit-form", lambda toy, good: replace(patch(good), "+12,3", "+12,9"), "registry.py.patch is no unified diff"),
    ("edit-form", lambda toy, good: put(patch(good), ""), "changes nothing"),
    ("edit-context", edit(HOOKED, "-U3", "--full-index"), "3 context lines, want one"),
    ("edit-context", lambda toy, good: replace(patch(good), "+12,3 @@", "+12,3 @@ ENTRIES = ["), "behind the second @@"),
    ("edit-whitespace", edit(REGISTRY.replace('    "entry_10"', '  "entry_10"')), "the hunk changes white space only"),
    ("overlay-imports", file("overlay/toylib/linear.py", LINEAR + "\n\nimport forklift.cli\n"), "imports forklift.cli"),
    (
        "overlay-imports",
        file("overlay/toylib/linear.py", LINEAR + "\n\nfrom proving import record\n"),
        "linear.py:6 imports proving",
    ),
    ("overlay-imports", file("overlay/toylib/linear.py", HEADER + "def f(:\n"), "is not valid Python"),
    ("overlay-copyright", file("overlay/toylib/linear.py", "A = 1\n"), "lacks the licence header"),
    ("overlay-not-upstream", file("overlay/toylib/linear.py.orig", "A = 1\n"), "is a leftover"),
    ("large-files", file("reference/deep/set.npz", os.urandom(1100 * 1024)), "reference/deep/set.npz has 1.1 MiB, the limit is 1"),
]


@pytest.mark.parametrize(("rule", "plant", "said"), VIOLATIONS)
def test_a_planted_violation_is_red(toy, good, rule, plant, said):
    toy.change("one", suite="bare", overlay={"tests/test_one.py": TEST}, edits={}, checks=ONE)
    plant(toy, good)
    found = [problem.what for problem in lint.run(toy.project, [toy.load()], whole_project=False) if problem.rule == rule]
    assert any(said in what for what in found), found
    ran = toy.cli("lint", "toy-linear")
    assert ran.status == 1
    assert f"  {rule}: " in ran.out


def test_every_rule_has_a_planted_violation():
    elsewhere = {"overlay-format"}
    assert {rule for rule, _, _ in VIOLATIONS} | elsewhere == set(lint.CHANGE_RULES)


def test_a_relative_import_of_the_same_name_is_no_harness(toy, good):
    put(good / "overlay" / "toylib" / "linear.py", LINEAR + "\n\nfrom .alignment import record\nfrom forklifts import x\n")
    assert "overlay-imports" not in red(toy)


def test_the_formatter_of_the_suite_decides(toy):
    directory = toy.change("one", suite="bare", overlay={"tests/test_one.py": TEST}, edits={}, checks=ONE)
    change = toy.load("bare-one")
    assert lint.run(toy.project, [change], whole_project=False) == []
    put(directory / "overlay" / "tests" / "test_one.py", HEADER + "x = {'a':1}\n")
    [problem] = lint.run(toy.project, [change], whole_project=False)
    assert (problem.rule, "black would change the overlay" in problem.what) == ("overlay-format", True)


def test_bytes_of_another_encoding_are_no_mistake_of_ours(toy, good):
    toy.change(edits={"toylib/latin.py": b"# -*- coding: latin-1 -*-\nWORD = 'caf\xe9s'\nLAST = 1\n"}, overlay={})
    assert toy.cli("lint", "toy-linear").status in (0, 1)


# ---- the project ---------------------------------------------------------------------------------


def project(toy, rule):
    return [problem.what for problem in lint.run(toy.project, [], whole_project=True) if problem.rule == rule]


def test_a_toy_project_is_green(toy):
    assert lint.run(toy.project, []) == []


def test_pins_of_the_table_the_gitlinks_and_gitmodules_agree(toy):
    toy.pin_gitlinks(toy.upstream.later["moved"])
    said = [f"{name}: suites.toml pins {toy.upstream.pin[:10]}" for name in ("Toy", "Bare")]
    assert [what.partition(",")[0] for what in project(toy, "pins")] == said
    toy.pin_gitlinks(toy.upstream.pin)
    replace(toy.root / ".gitmodules", "https://toy.invalid/Bare.git", "https://elsewhere.invalid/Bare.git")
    [what] = project(toy, "pins")
    assert "Bare: .gitmodules has no entry forks/Bare" in what


MACHINES = ["/" + "work/main", "/" + "home/ann/paddle", "/" + "root/x"]


@pytest.mark.parametrize("word", [*MACHINES, "https://index.example.org/simple", "files.index.example.org"])
def test_a_text_that_speaks_of_a_machine_or_a_registry(toy, word, monkeypatch):
    digest = hashlib.sha256(b"index.example.org").hexdigest()[:16]
    monkeypatch.setattr(whole, "_REGISTRIES", frozenset({digest}))
    put(toy.root / "patches" / "notes.md", f"see\n{word} there\n")
    assert project(toy, "speaks-of-itself") == [], "only what is committed or staged counts"
    git(toy.root, "add", "patches/notes.md")
    [what] = project(toy, "speaks-of-itself")
    assert what.startswith("patches/notes.md:2 names ")


@pytest.mark.parametrize(
    "word", ["docs/work/notes", "the root/x of it", "homework/x", "https://github.com/work/main", "/workspace", "example.org"]
)
def test_words_that_only_look_so(toy, word):
    put(toy.root / "patches" / "notes.md", f"{word}\n")
    git(toy.root, "add", "patches/notes.md")
    assert project(toy, "speaks-of-itself") == []


def test_a_status_table_that_is_out_of_date(toy):
    put(toy.root / "README.md", f"{status.BEGIN}\n{status.END}\n")
    assert "run make status" in project(toy, "status-table")[0]
    put(toy.root / "README_CN.md", f"{status.BEGIN}\n{status.END}\n")
    toy.cli("status")
    assert project(toy, "status-table") == []


def test_every_project_rule_is_planted():
    assert set(lint.PROJECT_RULES) == {"pins", "speaks-of-itself", "status-table"}


def test_lint_of_all_changes_for_people_and_machines(toy, good):
    put(good / "pr.md", "later")
    toy.change("second", overlay={"toylib/second.py": HEADER}, edits={}, checks=ONE)
    ran = toy.cli("lint")
    assert (ran.status, ran.out.splitlines()) == (1, ["toy-linear  texts: pr.md is missing or says almost nothing"])
    [row] = toy.cli("lint", "--json").rows
    assert (row["rule"], row["where"]) == ("texts", "toy-linear")
    put(good / "pr.md", PR)
    assert toy.cli("lint").out == "lint: 2 changes, no problems\n"


def test_a_change_without_checks_is_red(toy, good):
    toy.change("bare-of-checks", overlay={"toylib/second.py": HEADER}, edits={})
    assert "checks: no [[check]], so nothing is proven" in toy.cli("lint", "toy-bare-of-checks").out
