"""A base that is not the one a change was made for: refused, with what drifted and what to type."""

from toyproject import LINEAR, git, put


def test_an_overlay_file_that_exists_upstream(forked):
    forked.change(overlay={"toylib/registry.py": "MINE = 1\n", "toylib/linear.py": LINEAR}, edits={})
    ran = forked.cli("build", "toy-linear")
    assert ran.status == 1
    assert "error: an overlay file exists at the base" in ran.err
    assert "overlay/toylib/registry.py" in ran.err
    assert "make it an edit: ./forklift edit toy-linear" in ran.err


def test_a_drifted_preimage_names_file_blobs_lines_and_the_command(forked):
    forked.change()
    later = forked.upstream.later["moved"]
    blob = git(forked.upstream.path, "rev-parse", f"{later}:toylib/registry.py").strip()
    old = git(forked.upstream.path, "rev-parse", f"{forked.upstream.pin}:toylib/registry.py").strip()
    forked.write_suites(pin=later)
    ran = forked.cli("build", "toy-linear")
    assert ran.status == 1
    lines = ran.err.splitlines()
    assert lines[0] == "error: edit does not match its base"
    assert lines[1].split() == ["file", str(forked.root / "patches/toy/linear/edits/toylib/registry.py.patch")]
    assert lines[2].startswith(f"  want  blob {old[:10]}, forks/Toy has {blob[:10]} (")
    assert "12" in lines[2]
    assert lines[3].startswith("  next  ./forklift rebase toy-linear ")
    ran = forked.cli("check", "toy-linear", "--json")
    assert (ran.status, ran.row("base")["reason"]) == (1, "base_drift")


def test_an_edit_of_a_file_that_the_fork_does_not_have(forked):
    directory = forked.change()
    (directory / "edits" / "toylib" / "registry.py.patch").rename(directory / "edits" / "toylib" / "gone.py.patch")
    put(directory / "change.toml", (directory / "change.toml").read_text().replace("registry.py", "gone.py"))
    ran = forked.cli("build", "toy-linear")
    assert (ran.status, "an edit names a file that the base does not have" in ran.err) == (1, True)


def test_no_fuzz(forked):
    """A hunk that would fit three lines lower is not taken."""
    directory = forked.change()
    patch = directory / "edits" / "toylib" / "registry.py.patch"
    put(patch, patch.read_text().replace('     "entry_11"', '     "entry_XX"'))
    ran = forked.cli("build", "toy-linear")
    assert (ran.status, "an edit does not apply" in ran.err) == (1, True)
