"""A change on upstream's newest commit: what is there by now, what is in the way, and the series that is made for it."""

import json

import pytest
from toyproject import HEADER, HOOKED, LINEAR, PIN_DATE, REGISTRY, git, put

from forklift.branch import changes, suites
from forklift.results import newest, status

REGISTERED = HEADER + "from toylib import manager\n\n\n@manager.LAYERS.add_component\nclass Linear:\n    pass\n"
PROGRAM = "import argparse\n\nparser = argparse.ArgumentParser()\nparser.add_argument('--steps')\nparser.parse_args()\n"
FLAGGED = PROGRAM.replace("'--steps')\n", "'--steps')\nparser.add_argument('--fast')\n")
RIVAL = REGISTRY.replace('"entry_10",', '"entry_ten",')


def onto(project, commit):
    """Name the newest commit in suites.toml."""
    path = project.root / "ci" / "suites.toml"
    entry = f'[suite.newest]\ncommit = "{commit}"\ndate = "{PIN_DATE}"\nbranch = "later"\n[suite.locks]'
    put(path, path.read_text().replace("[suite.locks]", entry, 1))
    suites.load.cache_clear()


def upstream_commit(project, subject, files, parent=""):
    return project.upstream.commit(subject, files, parent or project.upstream.pin)


def look(project, *words):
    ran = project.cli("upstream", "toy-linear", "--json", *words)
    return ran.status, json.loads(ran.out)


def test_a_change_that_applies(forked):
    forked.change()
    onto(forked, forked.upstream.later["moved"])
    ended, found = look(forked)
    assert (ended, found["verdict"], found["conflicts"], found["there"]) == (0, "applies", [], [])
    assert found["commit"] == forked.upstream.later["moved"]
    assert found["series"] == "builds, 1 commits"


def test_a_conflict_names_file_and_hunk(forked):
    both = HOOKED.replace('"entry_30"', '"entry_thirty"')
    forked.change(edits={"toylib/registry.py": both})
    onto(forked, forked.upstream.later["rival"])
    ended, found = look(forked)
    assert (ended, found["verdict"]) == (1, "conflicts")
    # the second hunk of the same file merges
    assert found["conflicts"] == ["toylib/registry.py: hunk 1 of 2 (line 12)"]
    assert found["series"].startswith("does not build")


def test_a_file_that_upstream_removed(forked):
    forked.change(edits={"toylib/registry.py": HOOKED, "configs/base.yml": "lr: 0.2\nsteps: 50\n"})
    with forked.upstream._index(forked.upstream.pin) as env:
        git(forked.upstream.path, "update-index", "--index-info", stdin=f"0 {'0' * 40}\tconfigs/base.yml\n".encode(), env=env)
        tree = git(forked.upstream.path, "write-tree", env=env).strip()
    commit = git(forked.upstream.path, "commit-tree", tree, "-p", forked.upstream.pin, "-m", "remove").strip()
    onto(forked, commit)
    assert look(forked)[1]["conflicts"] == ["configs/base.yml: is not there any more"]


def test_what_is_wholly_there_is_credited_to_the_commit_that_added_it(forked):
    forked.change()
    merged = forked.upstream.later["merged"]
    touched = upstream_commit(forked, "a later touch", {"toylib/linear.py": LINEAR + "\n", "README.md": "# T\n"}, merged)
    back = upstream_commit(forked, "and back", {"toylib/linear.py": LINEAR}, touched)
    onto(forked, back)
    ended, found = look(forked)
    assert (ended, found["verdict"]) == (0, "already upstream")
    assert found["by"].endswith("Add linear")
    assert [(row["kind"], row["name"]) for row in found["there"]] == [("file", "toylib/linear.py")]


def test_the_same_registered_name_in_another_file_is_a_clash(forked):
    forked.change(overlay={"toylib/linear.py": REGISTERED, "toylib/other.py": REGISTERED.replace("Linear", "Other")})
    theirs = upstream_commit(forked, "Their linear", {"toylib/layers.py": REGISTERED})
    onto(forked, upstream_commit(forked, "a later touch", {"toylib/layers.py": REGISTERED + "\n\nA = 1\n"}, theirs))
    ended, found = look(forked)
    assert (ended, found["verdict"]) == (0, "partly upstream")
    assert found["clashes"] == [
        "Linear would be registered twice with manager.LAYERS.add_component: in toylib/layers.py and in toylib/linear.py"
    ]
    assert [row["commit"].split(" ", 2)[2] for row in found["there"]] == ["Their linear"]


def test_a_class_of_that_name_which_nothing_registers_is_no_clash(forked):
    forked.change(overlay={"toylib/linear.py": REGISTERED})
    plain = HEADER + "class Linear:\n    pass\n"
    onto(forked, upstream_commit(forked, "another meaning", {"toylib/layers.py": plain}))
    assert look(forked)[1]["clashes"] == []


def test_a_name_that_the_pin_has_as_well_says_nothing(forked):
    used = upstream_commit(forked, "first", {"toylib/layers.py": REGISTERED})
    forked.write_suites(pin=used)
    forked.pin_gitlinks(used)
    forked.change(overlay={"toylib/linear.py": REGISTERED}, edits={})
    onto(forked, upstream_commit(forked, "later", {"README.md": "# more\n"}, used))
    assert look(forked)[1]["verdict"] == "applies"


def test_a_flag_is_found_and_would_be_there_twice(forked):
    first = upstream_commit(forked, "program", {"tools/go.py": PROGRAM})
    forked.write_suites(pin=first)
    forked.pin_gitlinks(first)
    directory = forked.change(edits={})
    put(directory / "edits" / "tools" / "go.py.patch", forked.upstream.patch("tools/go.py", FLAGGED, first))
    text = (directory / "change.toml").read_text().replace("edits = []", 'edits = ["tools/go.py"]')
    put(directory / "change.toml", text)
    theirs = PROGRAM.replace("parser.parse_args()\n", "parser.add_argument(\n    '--fast', help='fast')\nparser.parse_args()\n")
    onto(forked, upstream_commit(forked, "A fast way", {"tools/go.py": theirs}, first))
    found = look(forked)[1]
    assert (found["verdict"], found["clashes"]) == ("already upstream", ["--fast would be defined twice in tools/go.py"])


def test_a_record_is_kept_shown_and_goes_stale(forked):
    directory = forked.change()
    onto(forked, forked.upstream.later["moved"])
    look(forked, "--record")
    change = forked.load()
    commit = forked.upstream.later["moved"][:10]
    assert newest.cell(change) == f"applies @ {commit} (2023-11-07)"
    assert f"| applies @ {commit} (2023-11-07) |" in status.markdown(forked.project)
    assert "evidence" not in forked.cli("lint", "toy-linear").out
    put(directory / "overlay" / "toylib" / "linear.py", LINEAR + "# more\n")
    assert "note: toy-linear: changed since ./forklift upstream toy-linear --record" in forked.cli("lint", "toy-linear").out


def test_every_change_has_an_entry_for_the_newest_commit(toy):
    onto(toy, toy.upstream.later["moved"])
    [row] = status.rows(toy.project)
    assert row.newest == f"not begun @ {toy.upstream.later['moved'][:10]} (2023-11-07)"


def test_a_newer_commit_of_the_branch_is_pointed_at(forked):
    forked.change()
    onto(forked, forked.upstream.later["merged"])
    assert "newer commit" not in forked.cli("upstream", "toy-linear").out
    later = upstream_commit(forked, "later", {"README.md": "# more\n"}, forked.upstream.later["merged"])
    git(forked.upstream.path, "update-ref", "refs/heads/later", later)
    try:
        assert f"knows a newer commit {later}" in forked.cli("upstream", "toy").out
    finally:
        git(forked.upstream.path, "update-ref", "-d", "refs/heads/later")


# ---- the series for the newest commit --------------------------------------------------------------


def test_the_series_is_built_by_merge_where_nothing_is_in_its_way(forked):
    forked.change()
    onto(forked, forked.upstream.later["moved"])
    ran = forked.cli("build", "toy-linear", "--onto", "newest")
    assert ran.status == 0, ran.err
    assert "feature/linear-newest" in ran.out
    text = git(forked.root / "forks" / "Toy", "show", "feature/linear-newest:toylib/registry.py")
    assert '"linear"' in text
    assert "# upstream added" in text
    # the branch on the pin is another one
    assert forked.cli("build", "toy-linear").status == 0
    assert "# upstream added" not in git(forked.root / "forks" / "Toy", "show", "feature/linear:toylib/registry.py")


def test_a_conflict_is_resolved_once_and_kept_beside_the_change(forked):
    directory = forked.change()
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    onto(forked, forked.upstream.later["rival"])
    assert forked.cli("build", "toy-linear", "--onto", "newest").status == 1
    opened = forked.cli("edit", "toy-linear", "--onto", "newest")
    assert opened.status == 0, opened.err
    tree = forked.cache / "edit" / "toy-linear@newest"
    assert "<<<<<<<" in (tree / "toylib" / "registry.py").read_text()
    refused = forked.cli("save", "toy-linear", "--onto", "newest")
    assert (refused.status, "conflicts are not resolved" in refused.err) == (2, True)
    put(tree / "toylib" / "registry.py", RIVAL.replace('"entry_ten",\n', '"entry_ten",\n    "linear",\n'))
    saved = forked.cli("save", "toy-linear", "--onto", "newest")
    assert (saved.status, saved.out) == (0, "wrote  toylib/registry.py\n")
    assert {path: path.read_bytes() for path in before} == before, "the change on the pin stays as it is"
    assert (directory / "newest" / "edits" / "toylib" / "registry.py.patch").is_file()
    assert forked.cli("build", "toy-linear", "--onto", "newest").status == 0
    assert '"entry_ten",\n    "linear",' in git(forked.root / "forks" / "Toy", "show", "feature/linear-newest:toylib/registry.py")
    found = look(forked)
    assert (found[0], found[1]["series"]) == (0, "builds, 1 commits, 1 files in newest/")
    assert forked.cli("lint", "toy-linear").out == "toy-linear  checks: no [[check]], so nothing is proven\n"


def test_an_edit_of_newest_must_be_of_that_very_commit(forked):
    directory = forked.change()
    put(directory / "newest" / "edits" / "toylib" / "registry.py.patch", forked.upstream.patch("toylib/registry.py", HOOKED))
    onto(forked, forked.upstream.later["moved"])
    ran = forked.cli("build", "toy-linear", "--onto", "newest")
    assert (ran.status, "edit does not match its base" in ran.err) == (1, True)


def test_files_are_left_out_and_others_put_in_their_place(forked):
    directory = forked.change(
        overlay={"toylib/linear.py": LINEAR, "tests/test_linear.py": HEADER + "def test():\n    pass\n"},
        commits=[
            {"subject": "Add linear", "overlay": ["toylib/*"], "edits": ["toylib/registry.py"]},
            {"subject": "Test it", "overlay": ["tests/*"]},
        ],
    )
    onto(forked, forked.upstream.later["merged"])
    put(
        directory / "newest" / "series.toml",
        'why = "upstream has the layer"\ntitle = "Test linear"\nwithout = ["toylib/linear.py", "toylib/registry.py"]\n',
    )
    put(directory / "newest" / "overlay" / "tests" / "test_linear.py", HEADER + "def test_theirs():\n    pass\n")
    change = changes.on_newest(forked.load())
    assert (change.file.title, change.overlay_files, change.edit_files) == ("Test linear", ("tests/test_linear.py",), ())
    assert forked.cli("build", "toy-linear", "--onto", "newest").status == 0
    fork = forked.root / "forks" / "Toy"
    assert git(fork, "log", "--format=%s", f"{forked.upstream.later['merged']}..feature/linear-newest").split("\n")[:-1] == [
        "Test it"
    ]
    assert "test_theirs" in git(fork, "show", "feature/linear-newest:tests/test_linear.py")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('subjects = { "No such" = "A" }', "subjects names 'No such'"),
        ('without = ["toylib/none.py"]', "without names 'toylib/none.py'"),
        ('checks = ["none"]', "checks names 'none'"),
    ],
)
def test_a_series_that_names_what_is_not_there_is_refused(forked, entry, said):
    directory = forked.change()
    onto(forked, forked.upstream.later["moved"])
    put(directory / "newest" / "series.toml", f'why = "a test"\n{entry}\n')
    ran = forked.cli("build", "toy-linear", "--onto", "newest")
    assert (ran.status, said in ran.err) == (2, True)
    assert said in forked.cli("lint", "toy-linear").out


def test_checks_of_the_series_are_recorded_on_a_leg_of_their_own(forked):
    forked.make_environment()
    checks = [{"kind": "metrics", "name": "gap", "script": "checks/m.py", "require": [{"metric": "gap", "max": 1.0}]}]
    script = (
        "import sys\nfrom pathlib import Path\nfrom proving.record import arguments, write_metrics\n"
        "assert '# upstream added' in Path('toylib/registry.py').read_text()\n"
        "write_metrics(arguments().out, {'gap': 0.5})\n"
    )
    directory = forked.change(scripts={"m.py": script}, checks=checks)
    onto(forked, forked.upstream.later["moved"])
    ran = forked.cli("pr", "toy-linear", "--onto", "newest", "--record")
    assert ran.status == 0, ran.out + ran.err
    [name] = json.loads((directory / "evidence" / "status.json").read_text())
    assert name == "newest, paddle 2.6"
    assert (forked.out / "toy-linear@newest" / "commands.sh").is_file()
    assert forked.upstream.later["moved"] in (forked.out / "toy-linear@newest" / "commands.sh").read_text()
    assert 'make pr-toy-linear ARGS="--onto newest"' in (forked.out / "toy-linear@newest" / "PR.md").read_text()
    [row] = status.rows(forked.project)
    assert row.legs == {"newest, paddle 2.6": "1 of 1 passed"}
    assert "paddle 2.6: 1 of 1 passed" in status.markdown(forked.project)
    put(directory / "newest" / "series.toml", 'why = "another"\n')
    assert status.stale(forked.project, forked.load()) == {"newest, paddle 2.6": ["gap"]}


def test_a_directory_that_upstream_moved(forked):
    directory = forked.change(
        overlay={"configs/linear.yml": "a: 1\n"},
        edits={"configs/base.yml": "lr: 0.2\nsteps: 50\n"},
        commits=[{"subject": "Configure it", "overlay": ["configs/**"], "edits": ["configs/base.yml"]}],
    )
    blank = upstream_commit(forked, "move", {"slm/configs/base.yml": "lr: 0.1\nsteps: 50\nmore: 1\n"})
    onto(forked, blank)
    path = forked.root / "ci" / "suites.toml"
    put(path, path.read_text().replace('branch = "later"\n', 'branch = "later"\nmoved = { "configs/" = "slm/configs/" }\n'))
    suites.load.cache_clear()
    ended, found = look(forked)
    assert (ended, found["verdict"], found["series"]) == (0, "applies", "builds, 1 commits")
    assert forked.cli("build", "toy-linear", "--onto", "newest").status == 0
    fork = forked.root / "forks" / "Toy"
    assert git(fork, "show", "feature/linear-newest:slm/configs/base.yml") == "lr: 0.2\nsteps: 50\nmore: 1\n"
    assert git(fork, "show", "feature/linear-newest:slm/configs/linear.yml") == "a: 1\n"
    assert (directory / "overlay" / "configs" / "linear.yml").is_file()


def test_the_pull_request_that_the_manifest_names(forked):
    directory = forked.change()
    text = (directory / "change.toml").read_text()
    put(directory / "change.toml", text.replace("[upstream]\n", '[upstream]\nmerged_elsewhere = "Toy#12 (2024)"\n'))
    theirs = upstream_commit(forked, "Add a layer (#12)", {"toylib/theirs.py": "A = 1\n"})
    onto(forked, upstream_commit(forked, "Add more (#123)", {"README.md": "# more\n"}, theirs))
    found = look(forked)[1]
    assert (found["verdict"], found["by"].split(" ", 2)[2]) == ("partly upstream", "Add a layer (#12)")
