"""A change becomes a branch: the same commits everywhere, and a series that anybody can apply."""

import shutil
import sys

import pytest
from toyproject import HEADER, HOOKED, LINEAR, REGISTRY, ToyProject, copy_upstream, git, lose_blob, put

from forklift.branch import build as branches
from forklift.errors import ForkliftError, Reason
from forklift.system.git import Git
from forklift.workspace.tree import lay_out

# everything that a careless tool would damage: bytes, line ends, modes, a missing last newline, a name with a blank
OVERLAY = {
    "toylib/linear.py": LINEAR,
    "toylib/données.py": HEADER + "NAME = 'données'\n",
    "assets/small.bin": bytes(range(256)),
    "docs/with blank.md": "no last newline",
    "docs/crlf.md": b"one\r\ntwo\r\n",
}
EDITS = {
    "toylib/registry.py": REGISTRY.replace('    "entry_03",\n', '    "entry_03",\n    "linear",\n').replace(
        '"entry_30"', '"entry_x"'
    ),
    "toylib/latin.py": b"# -*- coding: latin-1 -*-\nWORD = 'caf\xe9'\nLAST = '\xe9'\n",
    "toylib/windows.py": b"FIRST = 1\r\nSECOND = 22\r\nTHIRD = 3\r\n",
    "README.md": None,
}
COMMITS = [
    {"subject": "[Models] Add a linear layer: données", "overlay": ["toylib/*", "assets/**"], "edits": ["toylib/registry.py"]},
    {"subject": "Document it", "overlay": ["docs/**"], "edits": ["toylib/latin.py", "toylib/windows.py", "README.md"]},
]


def awkward(toy):
    directory = toy.change(overlay=OVERLAY, edits=EDITS, commits=COMMITS)
    put(directory / "overlay" / "tools" / "go.sh", "#!/bin/sh\n", 0o755)
    text = (directory / "change.toml").read_text().replace('"docs/**"', '"docs/**", "tools/go.sh"')
    put(directory / "change.toml", text)
    return directory


def hostile_home(home):
    """A person's own settings, all of which would change what is built if they were read."""
    put(
        home / ".gitconfig",
        "[core]\nautocrlf = true\nhooksPath = /nowhere\n[commit]\ngpgSign = true\n[user]\nname = Me\n[diff]\nnoprefix = true\n",
    )
    put(home / ".config" / "git" / "attributes", "* text eol=crlf\n*.py filter=none -diff\n")
    put(home / ".config" / "git" / "ignore", "*.py\ntoylib\n")
    return home


@pytest.mark.parametrize("base", ["fork", "release"])
def test_the_same_commits_twice_elsewhere_and_under_a_hostile_configuration(forked, tmp_path, monkeypatch, base):
    awkward(forked)
    if base == "release":
        shutil.rmtree(forked.root / "patches" / "toy" / "linear" / "edits" / "toylib")
        (forked.root / "patches" / "toy" / "linear" / "edits" / "README.md.patch").unlink()
        file = forked.root / "patches" / "toy" / "linear" / "change.toml"
        file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith("edits")))
    first = forked.build(base=base)
    assert forked.build(base=base).commits == first.commits
    assert len(first.commits) == 2

    root = tmp_path / "quite" / "another place"
    root.mkdir(parents=True)
    other = ToyProject(root, copy_upstream(forked.upstream, tmp_path / "quite" / "copy.git"))
    shutil.copytree(forked.root / "patches", other.root / "patches", dirs_exist_ok=True)
    other.borrow()
    for name in ("ROOT", "CACHE_DIR", "OUT_DIR"):
        monkeypatch.setenv(f"FORKLIFT_{name}", other.env[f"FORKLIFT_{name}"])
    monkeypatch.setenv("HOME", str(hostile_home(tmp_path / "home")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert other.build(base=base).commits == first.commits


def test_the_branch_holds_exactly_overlay_and_edits(forked):
    awkward(forked)
    built = forked.build()
    repository = Git(built.base.git_dir)
    before, after = repository.files(built.base.commit), repository.files(built.head)
    assert {path for path in {*before, *after} if before.get(path) != after.get(path)} == {*OVERLAY, *EDITS, "tools/go.sh"}
    assert "README.md" not in after
    assert after["tools/go.sh"][0] == "100755"
    for path, content in {**OVERLAY, **EDITS}.items():
        if content is not None:
            assert repository.bytes_of(after[path][1]) == (content if isinstance(content, bytes) else content.encode()), path
    assert repository.line("log", "--format=%s", f"{built.base.commit}..{built.ref}").splitlines() == [
        "Document it",
        "[Models] Add a linear layer: données",
    ]
    # who and when come from suites.toml, so that the day of the build is no part of the commit
    who = "Forklift <forklift@forklift.invalid>"
    assert repository.line("log", "--format=%an <%ae> %aI, %cn <%ce> %cI", f"{built.base.commit}..{built.ref}").splitlines() == [
        f"{who} 2023-11-07T20:20:49+08:00, {who} 2023-11-07T20:20:49+08:00",
        f"{who} 2023-11-07T20:19:49+08:00, {who} 2023-11-07T20:19:49+08:00",
    ]
    assert git(forked.root / "forks" / "Toy", "branch", "--list", "feature/linear").strip() == "feature/linear"


def test_the_series_applies_to_a_fresh_clone_and_gives_the_same_tree(forked, tmp_path):
    awkward(forked)
    built = forked.build()
    patches = branches.series(built, tmp_path / "series")
    assert [path.name[:4] for path in patches] == ["0001", "0002"]
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", forked.upstream.path, clone)
    git(clone, "checkout", "-q", "-b", "feature/linear", forked.upstream.pin)
    words = next(
        line for line in (forked.root / "ci" / "templates" / "commands.sh").read_text().splitlines() if line.startswith("git am")
    )
    git(clone, *words.split()[1:-1], *patches)
    assert git(clone, "rev-parse", "HEAD^{tree}").strip() == built.tree
    assert git(clone, "log", "-1", "--format=%s", "HEAD~1").strip() == "[Models] Add a linear layer: données"
    text = patches[0].read_text("utf-8", "surrogateescape")
    assert text.startswith("From 0000000000000000000000000000000000000000 ")
    assert "2.39" not in text.splitlines()[-1]


def test_commits_in_the_contributors_name(forked, monkeypatch):
    forked.change()
    plain = forked.build()
    monkeypatch.setenv("FORKLIFT_AUTHOR", "Ann Lee <ann@lee.example>")
    built = forked.build()
    assert built.tree == plain.tree
    assert Git(built.base.git_dir).line("log", "-1", "--format=%an <%ae> %cn <%ce>", built.head) == (
        "Ann Lee <ann@lee.example> Ann Lee <ann@lee.example>"
    )


# ---- a fork that lacks a blob --------------------------------------------------------------------


@pytest.fixture
def lacking(toy, tmp_path):
    """A toy project whose fork borrows from a copy without the content of one large file."""
    copy = copy_upstream(toy.upstream, tmp_path / "lacking.git")
    lose_blob(copy, "assets/large.bin")
    toy.borrow(copy.path)
    return toy


def test_a_copy_that_lacks_a_blob_builds_the_same_branch(lacking, upstream, tmp_path):
    lacking.change()
    built = lacking.build()
    assert built.base.kind == "fork"
    root = tmp_path / "whole" / "project"
    root.mkdir(parents=True)
    whole = ToyProject(root, upstream)
    whole.borrow()
    whole.change()
    assert whole.build().head == built.head


def test_the_work_tree_leaves_the_file_out_and_says_so(lacking):
    lacking.make_environment()
    lacking.change(checks=[{"kind": "metrics", "script": "checks/m.py", "require": [{"metric": "here", "max": 0.0}]}])
    put(
        lacking.root / "patches" / "toy" / "linear" / "checks" / "m.py",
        "import os\nfrom proving.record import arguments, write_metrics\n"
        "write_metrics(arguments().out, {'here': os.path.exists('assets/large.bin'), 'rest': os.path.exists('tools/run.sh')})\n",
    )
    built = lacking.build()
    directory, left_out = lay_out(lacking.project, built.base, built.head, built.tree, "toy-linear")
    assert left_out == ["assets/large.bin"]
    assert (directory / "tools" / "run.sh").stat().st_mode & 0o111
    assert not (directory / "assets" / "large.bin").exists()
    ran = lacking.cli("check", "toy-linear", "--json")
    assert ran.status == 0, ran
    assert any("assets/large.bin" in row["summary"] for row in ran.rows)


def test_a_whole_copy_has_nothing_to_say(forked):
    forked.change()
    built = forked.build()
    directory, left_out = lay_out(forked.project, built.base, built.head, built.tree, "toy-linear")
    assert left_out == []
    assert (directory / "assets" / "large.bin").stat().st_size == 256 * 1200


def test_an_edit_that_needs_the_missing_blob_says_what_is_wrong(toy, tmp_path):
    toy.change()
    copy = copy_upstream(toy.upstream, tmp_path / "lacking.git")
    lose_blob(copy, "toylib/registry.py")
    toy.borrow(copy.path)
    with pytest.raises(ForkliftError, match="an edit does not apply"):
        toy.build()


# ---- setting a fork up ---------------------------------------------------------------------------


def test_borrowing_from_a_bare_repository_or_a_clone(toy, tmp_path):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", toy.upstream.path, clone)
    ran = toy.cli("fork", "toy", "--from", str(clone))
    assert (ran.status, ran.out) == (0, f"Toy @ {toy.upstream.pin[:10]} in forks/Toy\n")
    toy.change()
    assert toy.build().base.label == f"fork Toy @ {toy.upstream.pin[:10]}"
    again = toy.cli("fork", "toy", "--from", str(clone))
    assert (again.status, "already set up" in again.err) == (2, True)


def test_borrowing_from_what_does_not_hold_the_pin(toy, tmp_path):
    git(tmp_path, "init", "-q", "--bare", "other.git")
    ran = toy.cli("fork", "toy", "--from", str(tmp_path / "other.git"))
    assert (ran.status, "does not hold the pinned commit of Toy" in ran.err) == (2, True)
    assert toy.cli("fork", "toy", "--from", str(toy.upstream.path)).status == 0, "a first, wrong FROM must not stand in the way"


def test_borrowing_from_what_is_no_repository(toy, tmp_path):
    ran = toy.cli("fork", "toy", "--from", str(tmp_path / "nothing"))
    assert (ran.status, "is no git repository" in ran.err) == (2, True)


def test_a_house_without_git_says_that_a_fork_needs_it(toy):
    shutil.rmtree(toy.root / ".git")
    ran = toy.cli("fork", "toy", "--from", str(toy.upstream.path))
    assert ran.status == 2, ran.err
    assert "git" in ran.err


def test_a_fork_from_upstream_without_network(toy):
    # the submodule's url ends in .invalid, which by definition no name server answers
    toy.commit_all()
    ran = toy.cli("fork", "toy")
    assert ran.status == 1
    assert "the fork of Toy cannot be fetched" in ran.err
    assert "make fork-toy FROM=" in ran.err


def test_forcing_a_fork_that_is_not_there(toy):
    toy.change()
    with pytest.raises(ForkliftError, match="the fork of Toy is not checked out") as caught:
        toy.build(base="fork")
    assert caught.value.reason is Reason.BASE_MISSING
    ran = toy.cli("check", "toy-linear", "--base", "fork", "--json")
    assert (ran.status, ran.row("base")["reason"]) == (1, "base_missing")


# ---- branches that somebody uses -----------------------------------------------------------------


def test_commits_of_a_person_on_the_branch_are_never_overwritten(forked):
    directory = forked.change()
    built = forked.build()
    put(directory / "overlay" / "toylib" / "linear.py", LINEAR + "\n\nMORE = 1\n")
    again = forked.build()
    assert again.head != built.head, "what Forklift built itself may move"

    fork = forked.root / "forks" / "Toy"
    mine = git(fork, "commit-tree", f"{again.head}^{{tree}}", "-p", again.head, "-m", "my own work").strip()
    git(fork, "update-ref", "refs/heads/feature/linear", mine)
    put(directory / "overlay" / "toylib" / "linear.py", LINEAR + "\n\nMORE = 2\n")
    ran = forked.cli("build", "toy-linear")
    assert ran.status == 1
    assert "branch feature/linear holds a commit that Forklift did not build" in ran.err
    assert "my own work" in ran.err
    assert git(fork, "rev-parse", "feature/linear").strip() == mine


def test_a_branch_of_that_name_that_was_there_before_is_left_alone(forked):
    forked.change()
    fork = forked.root / "forks" / "Toy"
    git(fork, "update-ref", "refs/heads/feature/linear", forked.upstream.later["moved"])
    assert forked.cli("build", "toy-linear").status == 1
    assert git(fork, "rev-parse", "feature/linear").strip() == forked.upstream.later["moved"]


# ---- files that are not as the edit knows them ---------------------------------------------------


def test_a_hunk_that_fits_in_several_places_is_never_guessed(forked):
    forked.change("one", overlay={}, edits={"toylib/registry.py": "# moved\n" + REGISTRY + REGISTRY})
    forked.change("two", overlay={}, after=["toy-one"])
    with pytest.raises(ForkliftError, match="an edit fits in several places") as caught:
        forked.build("toy-two")
    assert "line 12 of the pin; its lines stand at 13, 55" in str(caught.value)


def test_a_hunk_that_moved_but_fits_in_one_place_applies(forked):
    forked.change("one", overlay={}, edits={"toylib/registry.py": "# moved\n" + REGISTRY})
    forked.change("two", overlay={}, after=["toy-one"])
    built = forked.build("toy-two")
    assert Git(built.base.git_dir).exactly("show", f"{built.head}:toylib/registry.py").decode() == "# moved\n" + HOOKED


def test_a_manifest_that_names_a_missing_edit_says_so(forked):
    directory = forked.change()
    (directory / "edits" / "toylib" / "registry.py.patch").unlink()
    ran = forked.cli("build", "toy-linear")
    assert ran.status == 1
    assert "the commits do not name the change's files" in ran.err
    assert "toylib/registry.py" in ran.err


# ---- the release ---------------------------------------------------------------------------------


def test_an_edit_that_the_release_lacks_is_reported_absent(toy):
    toy.make_environment()
    toy.change(
        edits={"toylib/registry.py": REGISTRY.replace("entry_05", "entry_five"), "configs/base.yml": "lr: 0.2\nsteps: 50\n"},
        scripts={"m.py": "from proving.record import arguments, write_metrics\nwrite_metrics(arguments().out, {'a': 1.0})\n"},
        checks=[
            {
                "kind": "metrics",
                "name": "tools",
                "script": "checks/m.py",
                "needs": "fork",
                "require": [{"metric": "a", "min": 0.0}],
            },
            {"kind": "metrics", "script": "checks/m.py", "require": [{"metric": "a", "min": 0.0}]},
        ],
    )
    ran = toy.cli("check", "toy-linear", "--json")
    assert ran.status == 0
    assert ran.row("base")["summary"] == "release toylib 1.0 (partial: no tools/, configs/, tests/); 1 edits absent at release base"
    assert ran.row("base")["details"]["absent"] == ["configs/base.yml"]
    assert [ran.row("tools")[key] for key in ("outcome", "reason", "summary")] == [
        "skipped",
        "partial_base",
        "needs the fork: make fork-toy",
    ]
    assert ran.row("metrics")["outcome"] == "passed"

    toy.borrow()
    ran = toy.cli("check", "toy-linear", "--json")
    assert [row["outcome"] for row in ran.rows] == ["passed"] * 3
    assert toy.cli("check", "toy-linear", "--json", "--base", "release").row("tools")["outcome"] == "skipped"


def test_a_commit_whose_edits_are_all_absent_is_no_commit(toy):
    toy.change(
        edits={"configs/base.yml": "lr: 0.2\nsteps: 50\n"},
        commits=[{"subject": "one", "overlay": ["toylib/linear.py"]}, {"subject": "two", "edits": ["configs/base.yml"]}],
    )
    assert len(toy.build().commits) == 1


def test_edits_of_code_that_the_release_has_not_got_yet_are_absent_there(toy):
    edits = {"toylib/registry.py": REGISTRY.replace("entry_05", "entry_five")}
    commits = [{"subject": "one", "overlay": ["toylib/linear.py"]}, {"subject": "two", "edits": list(edits), "needs": "fork"}]
    toy.change(edits=edits, commits=commits)
    assert toy.build().absent == ("toylib/registry.py",)
    toy.borrow()
    assert len(toy.build().commits) == 2


def test_a_suite_without_a_release_has_an_empty_base(toy):
    toy.change("one", suite="bare", overlay={"x.py": HEADER}, edits={})
    built = toy.build("bare-one")
    assert built.base.label == "no release of Bare: empty tree"
    assert list(Git(built.base.git_dir).files(built.head)) == ["x.py"]


def test_the_release_is_committed_without_its_metadata(toy):
    toy.change(edits={})
    built = toy.build()
    files = Git(built.base.git_dir).files(built.base.commit)
    assert sorted(files) == ["toylib/__init__.py", "toylib/latin.py", "toylib/registry.py", "toylib/windows.py"]


def test_a_half_made_release_base_is_made_again(toy):
    toy.change(edits={})
    git(toy.root, "init", "-q", "--bare", toy.cache / "release" / "toylib-1.0.git")
    assert toy.build().base.kind == "release"


def test_python_of_the_tests_is_the_harness(toy):
    """The stand-in for a suite's environment is what it says: nothing else of the machine leaks in."""
    python = toy.make_environment() / "bin" / "python"
    assert sys.executable in python.read_text()


def test_hunks_of_one_file_are_commits_of_their_own(forked):
    """Three places of one file, in an order that is not that of the file: the tree is that of the whole edit."""
    changed = REGISTRY.replace('    "entry_03",\n', '    "entry_03",\n    "linear",\n    "more",\n')
    changed = changed.replace('    "entry_15",\n', "").replace('"entry_30"', '"entry_x"')
    whole = {"subject": "All", "overlay": ["toylib/linear.py"], "edits": ["toylib/registry.py"]}
    forked.change(edits={"toylib/registry.py": changed}, commits=[whole])
    tree = forked.build().tree

    parts = [
        {"subject": "Rename", "edits": ["toylib/registry.py#3"]},
        {"subject": "Add", "overlay": ["toylib/linear.py"], "edits": ["toylib/registry.py#1"]},
        {"subject": "Drop", "edits": ["toylib/registry.py#2"]},
    ]
    forked.change(edits={"toylib/registry.py": changed}, commits=parts)
    built = forked.build()
    assert (built.tree, len(built.commits)) == (tree, 3)
    repository = Git(built.base.git_dir)
    first, second, third = (repository.call("show", "--format=", commit, "--", "toylib/registry.py") for commit in built.commits)
    assert '+    "entry_x"' in first and "linear" not in first
    assert '+    "linear"' in second and "entry_15" not in second
    assert '-    "entry_15"' in third and "entry_x" not in third

    for wrong, said in (("#1", "has 3 hunks"), ("", "is in 2 commits"), ("#x", "names no hunks")):
        forked.change(
            edits={"toylib/registry.py": changed}, commits=[parts[0], {**parts[1], "edits": ["toylib/registry.py" + wrong]}]
        )
        with pytest.raises(ForkliftError) as refused:
            forked.build()
        assert said in str(refused.value) + str(refused.value.facts)
