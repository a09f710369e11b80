"""edit opens a change as files, save writes it back: nothing else changes, and nothing is lost."""

import pytest
from test_building import awkward
from toyproject import HEADER, HOOKED, LINEAR, REGISTRY, copy_upstream, git, lose_blob, put

from forklift.branch import build as branches
from forklift.system.git import Git


@pytest.fixture
def opened(forked):
    """The standard change, committed in the project, and open; gives the project and the work tree."""
    forked.change()
    forked.commit_all()
    ran = forked.cli("edit", "toy-linear")
    assert ran.status == 0, ran.err
    return forked, forked.cache / "edit" / "toy-linear"


def overlay(toy, path):
    return toy.root / "patches" / "toy" / "linear" / "overlay" / path


def edit(toy, path):
    return toy.root / "patches" / "toy" / "linear" / "edits" / f"{path}.patch"


def assign(toy, **lists):
    """Put files into the one commit of the change."""
    import json

    manifest = toy.root / "patches" / "toy" / "linear" / "change.toml"
    lines = manifest.read_text().splitlines()
    for key, value in lists.items():
        lines = [f"{key} = {json.dumps(value)}" if line.startswith(f"{key} = ") else line for line in lines]
    put(manifest, "\n".join(lines) + "\n")


def test_save_right_after_edit_leaves_git_clean(forked):
    awkward(forked)
    forked.commit_all()
    head = forked.build().head
    assert forked.cli("edit", "toy-linear").status == 0
    ran = forked.cli("save", "toy-linear")
    assert (ran.status, ran.out) == (0, "")
    assert forked.status() == ""
    assert forked.build().head == head
    assert not (forked.cache / "edit" / "toy-linear").exists()


@pytest.mark.parametrize("base", ["fork", "release"])
def test_save_right_after_edit_on_either_base(forked, base):
    forked.change(overlay={"toylib/linear.py": LINEAR}, edits={"toylib/registry.py": HOOKED})
    forked.commit_all()
    assert forked.cli("edit", "toy-linear", "--base", base).status == 0
    assert forked.cli("save", "toy-linear").status == 0
    assert forked.status() == ""


def test_save_writes_what_was_changed_where_it_belongs(opened):
    toy, tree = opened
    put(tree / "toylib" / "linear.py", LINEAR + "\n\nMORE = 1\n")
    put(tree / "toylib" / "registry.py", HOOKED.replace('"entry_20"', '"entry_twenty"'))
    put(tree / "README.md", "# Toy, with a linear layer\n")
    put(tree / "configs" / "linear.yml", "lr: 0.3\n")
    (tree / "tools" / "run.sh").chmod(0o755)
    put(tree / "tools" / "new.sh", "#!/bin/sh\n", 0o755)
    ran = toy.cli("save", "toy-linear")
    assert sorted(line for line in ran.out.splitlines() if line.startswith("wrote")) == [
        "wrote  README.md",
        "wrote  configs/linear.yml",
        "wrote  tools/new.sh",
        "wrote  toylib/linear.py",
        "wrote  toylib/registry.py",
    ]
    assert ran.status == 1, "files that no commit names are a problem"
    assert "next: in change.toml, overlay/configs/linear.yml is in 0 commits" in ran.out
    assert overlay(toy, "toylib/linear.py").read_text() == LINEAR + "\n\nMORE = 1\n"
    assert overlay(toy, "tools/new.sh").stat().st_mode & 0o111
    assert edit(toy, "toylib/registry.py").read_bytes() == toy.upstream.patch(
        "toylib/registry.py", HOOKED.replace('"entry_20"', '"entry_twenty"')
    )
    assign(toy, overlay=["toylib/**", "configs/**", "tools/**"], edits=["toylib/registry.py", "README.md"])
    built = toy.build()
    repository = Git(built.base.git_dir)
    assert repository.bytes_of(repository.files(built.head)["README.md"][1]) == b"# Toy, with a linear layer\n"
    assert repository.files(built.head)["tools/new.sh"][0] == "100755"


def test_save_and_edit_again_shows_the_same_files(opened):
    toy, tree = opened
    put(tree / "toylib" / "registry.py", REGISTRY.replace('"entry_01"', '"entry_one"'))
    put(tree / "toylib" / "linear.py", "# rewritten\n")
    toy.cli("save", "toy-linear")
    toy.commit_all()
    toy.cli("edit", "toy-linear")
    assert (tree / "toylib" / "registry.py").read_text() == REGISTRY.replace('"entry_01"', '"entry_one"')
    assert (tree / "toylib" / "linear.py").read_text() == "# rewritten\n"
    toy.cli("save", "toy-linear")
    assert toy.status() == ""


def test_the_exec_bit_of_an_upstream_file_alone_is_a_change(opened):
    toy, tree = opened
    (tree / "README.md").chmod(0o755)
    ran = toy.cli("save", "toy-linear")
    assert "wrote  README.md" in ran.out
    assign(toy, edits=["toylib/registry.py", "README.md"])
    built = toy.build()
    assert Git(built.base.git_dir).files(built.head)["README.md"][0] == "100755"
    assert [problem for problem in toy.cli("lint", "toy-linear").out.splitlines() if "edit-form" in problem] == []


def test_the_exec_bit_of_an_own_file_comes_and_goes(opened):
    toy, tree = opened
    (tree / "toylib" / "linear.py").chmod(0o755)
    toy.cli("save", "toy-linear", "--keep")
    assert overlay(toy, "toylib/linear.py").stat().st_mode & 0o777 == 0o755
    (tree / "toylib" / "linear.py").chmod(0o644)
    toy.cli("save", "toy-linear")
    assert toy.status() == ""


def test_bytes_of_another_encoding_and_line_ends_survive(opened):
    toy, tree = opened
    latin = b"# -*- coding: latin-1 -*-\nWORD = 'caf\xe9s'\nLAST = 1\n"
    windows = b"FIRST = 1\r\nSECOND = 2\r\nTHIRD = 33\r\n"
    put(tree / "toylib" / "latin.py", latin)
    put(tree / "toylib" / "windows.py", windows)
    toy.cli("save", "toy-linear")
    assign(toy, edits=["toylib/registry.py", "toylib/latin.py", "toylib/windows.py"])
    built = toy.build()
    repository = Git(built.base.git_dir)
    files = repository.files(built.head)
    assert repository.bytes_of(files["toylib/latin.py"][1]) == latin
    assert repository.bytes_of(files["toylib/windows.py"][1]) == windows


def test_what_goes_away_goes_from_the_change(opened):
    toy, tree = opened
    (tree / "toylib" / "linear.py").unlink()
    put(tree / "toylib" / "registry.py", REGISTRY)
    ran = toy.cli("save", "toy-linear")
    assert {line for line in ran.out.splitlines() if line.startswith("removed")} == {
        "removed  toylib/linear.py",
        "removed  toylib/registry.py",
    }
    assert not overlay(toy, "toylib/linear.py").exists()
    assert not edit(toy, "toylib/registry.py").exists()


def test_deleting_an_upstream_file_is_an_edit(opened):
    toy, tree = opened
    (tree / "configs" / "base.yml").unlink()
    toy.cli("save", "toy-linear")
    assign(toy, edits=["toylib/registry.py", "configs/base.yml"])
    built = toy.build()
    assert "configs/base.yml" not in Git(built.base.git_dir).files(built.head)


def test_saving_twice_with_the_tree_left_open(opened):
    toy, tree = opened
    put(tree / "toylib" / "linear.py", LINEAR + "\n\nMORE = 1\n")
    put(tree / "toylib" / "registry.py", HOOKED.replace('"entry_20"', '"x"'))
    assert toy.cli("save", "toy-linear", "--keep").status == 0
    put(tree / "toylib" / "linear.py", LINEAR)
    put(tree / "toylib" / "registry.py", HOOKED)
    assert toy.cli("save", "toy-linear", "--keep").status == 0
    assert toy.status() == "", "what was taken back is taken back in the change too"


def test_ignored_files_are_named_and_not_taken(opened):
    toy, tree = opened
    put(tree / "train.log", "loss\n")
    put(tree / "toylib" / "__pycache__" / "linear.cpython-311.pyc", b"x")
    ran = toy.cli("save", "toy-linear")
    assert ran.out.splitlines() == ["ignored by the suite's .gitignore  train.log"]
    assert toy.status() == ""


def test_a_blob_that_the_copy_lacks_is_not_taken_for_deleted(toy, tmp_path):
    copy = copy_upstream(toy.upstream, tmp_path / "lacking.git")
    lose_blob(copy, "assets/large.bin")
    toy.borrow(copy.path)
    toy.change()
    toy.commit_all()
    assert toy.cli("edit", "toy-linear").status == 0
    tree = toy.cache / "edit" / "toy-linear"
    assert not (tree / "assets" / "large.bin").exists()
    put(tree / "README.md", "# New\n")
    ran = toy.cli("save", "toy-linear")
    assert [line for line in ran.out.splitlines() if "large" in line] == []
    assert "wrote  README.md" in ran.out


def test_opening_twice_and_saving_what_is_not_open(opened):
    toy, tree = opened
    ran = toy.cli("edit", "toy-linear")
    assert (ran.status, "toy-linear is already open" in ran.err, str(tree) in ran.err) == (2, True, True)
    put(tree / "toylib" / "linear.py", "lost\n")
    assert toy.cli("save", "toy-linear", "--discard").status == 0
    assert (tree.exists(), toy.status()) == (False, "")
    ran = toy.cli("save", "toy-linear")
    assert (ran.status, "toy-linear is not open" in ran.err, "./forklift edit toy-linear" in ran.err) == (2, True, True)


def test_a_killed_edit_can_be_discarded(opened):
    toy, tree = opened
    tree.with_suffix(".json").unlink()  # the note comes last
    assert toy.cli("edit", "toy-linear").status == 2
    assert toy.cli("save", "toy-linear", "--discard").status == 0
    assert toy.cli("edit", "toy-linear").status == 0


# ---- rebase --------------------------------------------------------------------------------------


def test_rebase_applies_and_save_writes_it_against_the_new_commit(forked):
    forked.change(overlay={"toylib/linear.py": LINEAR}, edits={"toylib/registry.py": HOOKED})
    later = forked.upstream.later["moved"]
    ran = forked.cli("rebase", "toy-linear", "--onto", later)
    assert ran.status == 0
    assert ran.out.startswith(f"toy-linear: applies onto {later[:10]}\n")
    assert forked.cli("save", "toy-linear").status == 0
    forked.write_suites(pin=later)
    built = forked.build()
    text = Git(built.base.git_dir).bytes_of(Git(built.base.git_dir).files(built.head)["toylib/registry.py"][1]).decode()
    assert text.startswith("# upstream added\n")
    assert '    "linear",\n' in text
    assert overlay(forked, "toylib/linear.py").read_text() == LINEAR


def test_rebase_onto_the_pin_and_save_is_a_no_op(forked):
    forked.change()
    forked.commit_all()
    assert forked.cli("rebase", "toy-linear").status == 0
    assert forked.cli("save", "toy-linear").status == 0
    assert forked.status() == ""


def test_rebase_names_the_file_in_conflict(forked):
    forked.change(edits={"toylib/registry.py": HOOKED, "README.md": "# Mine\n"})
    ran = forked.cli("rebase", "toy-linear", "--onto", forked.upstream.later["rival"])
    assert ran.status == 1
    opened = forked.cache / "edit" / "toy-linear"
    assert ran.out.splitlines() == [
        f"toy-linear: conflicts onto {forked.upstream.later['rival'][:10]}",
        "  toylib/registry.py",
        str(opened),
        "next: resolve the conflict marks there, then make save-toy-linear",
    ]
    ran = forked.cli("save", "toy-linear")
    assert (ran.status, "conflicts are not resolved yet" in ran.err) == (2, True)
    merged = (opened / "toylib" / "registry.py").read_text()
    assert "<<<<<<<" in merged
    resolved = REGISTRY.replace('"entry_10",', '"entry_ten",\n    "linear",')
    put(opened / "toylib" / "registry.py", resolved)
    assert forked.cli("save", "toy-linear").status == 0
    text = (forked.root / "patches/toy/linear/edits/toylib/registry.py.patch").read_text()
    assert '+    "linear",' in text
    assert ' "entry_ten",' in text.replace("     ", " ")


def test_rebase_names_path_and_commit_of_what_is_upstream_already(forked):
    forked.change()
    merged = forked.upstream.later["merged"]
    ran = forked.cli("rebase", "toy-linear", "--onto", merged)
    assert ran.status == 0
    assert ran.out.splitlines() == [
        f"toy-linear: already upstream onto {merged[:10]}",
        f"  toylib/linear.py ({merged[:7]} Add linear)",
        f"  toylib/registry.py ({merged[:7]} Add linear)",
    ]


def test_rebase_onto_a_commit_that_has_a_part_of_it(forked):
    """An overlay file of ours exists there, the rest does not: somebody has to look."""
    forked.change(overlay={"toylib/linear.py": LINEAR, "toylib/more.py": HEADER})
    ran = forked.cli("rebase", "toy-linear", "--onto", forked.upstream.later["merged"])
    assert ran.status == 1
    assert "conflicts" in ran.out
    assert "toylib/linear.py (exists there:" in ran.out


def test_rebase_drops_an_edit_that_upstream_has(forked):
    forked.change(overlay={"toylib/more.py": HEADER})
    forked.cli("rebase", "toy-linear", "--onto", forked.upstream.later["merged"])
    ran = forked.cli("save", "toy-linear")
    assert "removed  toylib/registry.py" in ran.out
    assert not edit(forked, "toylib/registry.py").exists()
    assert overlay(forked, "toylib/more.py").exists()


def test_saving_a_rebase_twice_with_the_tree_left_open(forked):
    forked.change()
    forked.cli("rebase", "toy-linear", "--onto", forked.upstream.later["moved"])
    assert forked.cli("save", "toy-linear", "--keep").status == 0
    once = edit(forked, "toylib/registry.py").read_bytes()
    assert forked.cli("save", "toy-linear", "--keep").status == 0
    assert edit(forked, "toylib/registry.py").read_bytes() == once
    assert overlay(forked, "toylib/linear.py").exists()


def test_rebase_onto_nothing(forked):
    forked.change()
    ran = forked.cli("rebase", "toy-linear", "--onto", "f" * 40)
    assert ran.status == 2
    assert "fetch https://toy.invalid/Toy.git" in ran.err


# ---- stack and after -----------------------------------------------------------------------------


def second(toy, new, after=()):
    toy.change("second", overlay={"toylib/second.py": HEADER}, edits={"toylib/registry.py": new}, after=after)


def test_two_changes_at_distant_lines_of_one_file_stack(forked):
    forked.change()
    second(forked, REGISTRY.replace('    "entry_30",\n', '    "entry_30",\n    "second",\n'))
    ran = forked.cli("stack", "toy")
    assert ran.status == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == ["toy-linear", "toy-second"]


def test_two_changes_that_collide_are_both_named(forked):
    forked.change()
    second(forked, REGISTRY.replace('    "entry_10",\n', '    "entry_10",\n    "second",\n'))
    ran = forked.cli("stack", "toy")
    assert ran.status == 1
    assert "error: toy-second collides with toy-linear" in ran.err
    assert "toylib/registry.py" in ran.err
    assert 'after = ["toy-linear"]' in ran.err


def test_two_changes_that_bring_the_same_file_collide(forked):
    forked.change()
    forked.change("second", overlay={"toylib/linear.py": HEADER}, edits={})
    ran = forked.cli("stack", "toy")
    assert (ran.status, "toy-second collides with toy-linear" in ran.err) == (1, True)


def test_a_change_that_comes_after_another_is_built_on_it(forked):
    forked.change()
    both = HOOKED.replace('    "linear",\n', '    "linear",\n    "second",\n')
    forked.change("second", overlay={"toylib/second.py": HEADER}, edits={}, after=["toy-linear"])
    first = forked.build()
    # an edit against what the first change makes of the file
    on_top = forked.upstream.commit("first", {"toylib/registry.py": HOOKED}, forked.upstream.pin)
    put(
        forked.root / "patches/toy/second/edits/toylib/registry.py.patch",
        forked.upstream.patch("toylib/registry.py", both, base=on_top),
    )
    manifest = forked.root / "patches/toy/second/change.toml"
    put(manifest, manifest.read_text().replace("edits = []", 'edits = ["toylib/registry.py"]'))
    built = forked.build("toy-second")
    repository = Git(built.base.git_dir)
    assert built.base.commit == first.head
    assert repository.bytes_of(repository.files(built.head)["toylib/registry.py"][1]).decode() == both
    assert forked.cli("stack", "toy").status == 0
    series = branches.series(built, forked.root.parent / "series")
    assert len(series) == 1, "the bundle holds the change's own commits only"
    forked.commit_all()
    assert forked.cli("edit", "toy-second").status == 0
    assert forked.cli("save", "toy-second").status == 0
    assert forked.status() == ""


def test_a_diamond_of_afters_takes_each_change_once(forked):
    rows = {"a": [], "b": ["toy-a"], "c": ["toy-a"], "d": ["toy-b", "toy-c"]}
    for name, after in rows.items():
        forked.change(name, overlay={f"toylib/{name}.py": HEADER}, edits={}, after=[*after])
    built = forked.build("toy-d")
    files = Git(built.base.git_dir).files(built.head)
    assert [name for name in rows if f"toylib/{name}.py" not in files] == []
    log = Git(built.base.git_dir).line("log", "--format=%s", f"{forked.upstream.pin}..{built.head}").splitlines()
    assert log == ["Add d", "Add c", "Add b", "Add a"]


@pytest.mark.parametrize("command", ["build", "stack"])
def test_changes_that_wait_for_each_other(forked, command):
    forked.change("a", overlay={"toylib/a.py": HEADER}, edits={}, after=["toy-b"])
    forked.change("b", overlay={"toylib/b.py": HEADER}, edits={}, after=["toy-a"])
    ran = forked.cli(command, "toy-a" if command == "build" else "toy")
    assert ran.status == 2
    assert "circular `after`" in ran.err


# ---- pin -----------------------------------------------------------------------------------------


def test_pin_moves_the_suite_and_every_change_along(forked):
    forked.change(edits={"toylib/registry.py": HOOKED})
    forked.change("readme", overlay={}, edits={"README.md": "# Mine\n"})
    forked.commit_all()
    moved = forked.upstream.later["moved"]
    ran = forked.cli("pin", "toy", moved, "--why", "it says what the registry is")
    assert ran.status == 0, ran.err
    assert (
        ran.out.splitlines()[0] == f"Toy: {forked.upstream.pin[:10]} -> {moved[:10]} in ci/suites.toml, .gitmodules and the index"
    )
    assert [line for line in ran.out.splitlines() if line.startswith("toy-")] == ["toy-linear: saved", "toy-readme: saved"]
    assert f'pin = "{moved}"' in (forked.root / "ci" / "suites.toml").read_text()
    assert forked.upstream.pin in (forked.root / "ci" / "suites.toml").read_text(), "the other suite keeps its pin"
    assert f"# {moved[:10]} (2023-11-07): it says what the registry is\n[submodule" in (forked.root / ".gitmodules").read_text()
    assert git(forked.root, "ls-files", "-s", "forks/Toy").split()[1] == moved
    for change_id in ("toy-linear", "toy-readme"):
        assert forked.cli("build", change_id).status == 0
    assert "pins" not in forked.cli("lint").out


def test_pin_opens_what_conflicts_and_loses_nothing(forked):
    forked.change(edits={"toylib/registry.py": HOOKED})
    rival = forked.upstream.later["rival"]
    ran = forked.cli("pin", "toy", rival)
    assert ran.status == 1
    assert "toy-linear: conflicts, resolve the marks in" in ran.out
    ran = forked.cli("pin", "toy", forked.upstream.pin)
    assert (ran.status, "is already open" in ran.err) == (2, True)
    assert forked.cli("pin", "toy", "f" * 40).status == 2
