"""A stranger's change is refused before anything of it is built, saved or linted."""

import pytest
from toyproject import HEADER, put


def manifest(old, new):
    def plant(toy, directory):
        path = directory / "change.toml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return plant


def link(name, target):
    def plant(toy, directory):
        path = directory / "overlay" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    return plant


def file(name):
    return lambda toy, directory: put(directory / "overlay" / name, HEADER)


def below_a_link(toy, directory):
    outside = put(toy.root.parent / "outside" / "secret.py", "SECRET = 1\n")
    (directory / "overlay" / "linked").symlink_to(outside.parent)


PLANTED = [
    (manifest('id = "toy-linear"', 'id = "../../../x"'), "its path says 'toy-linear'"),
    (manifest('title = "Add linear"', r'title = "Add\nrm -rf x"'), "is not one line of text"),
    (manifest('subject = "Add linear"', r'subject = "Add\u0000"'), "is not one line of text"),
    (manifest('"feature/linear"', '"feature/$(touch x)"'), "is not a plain branch name"),
    (manifest('"feature/linear"', '"feature/../../x"'), "is not a plain branch name"),
    (manifest('script = "checks/m.py"', 'script = "../../../m.py"'), "leads out of its directory"),
    (manifest('script = "checks/m.py"', 'script = "/bin/sh"'), "leads out of its directory"),
    (manifest('name = "m"', 'name = "../../m"'), "leads out of its directory"),
    (link("toylib/passwd.py", "/etc/passwd"), "is a symbolic link"),
    (below_a_link, "is a symbolic link"),
    (file("toylib/.git/config"), "is a file of git's own"),
    (file(".GIT/hooks/post-checkout"), "is a file of git's own"),
    (file("toylib/Linear.py"), "are one file where case does not count"),
    (file("toylib/a\nb.py"), "has a control character in its name"),
]


@pytest.mark.parametrize(("plant", "said"), PLANTED)
def test_what_is_refused(toy, plant, said):
    check = {"kind": "metrics", "name": "m", "script": "checks/m.py", "require": [{"metric": "a", "max": 1.0}]}
    directory = toy.change(scripts={"m.py": "print(1)\n"}, checks=[check])
    assert toy.cli("build", "toy-linear").status == 0
    plant(toy, directory)
    for words in (["build"], ["edit"], ["save", "--discard"], ["lint"]):
        ran = toy.cli(words[0], "toy-linear", *words[1:])
        assert (ran.status, said in ran.err) == (2, True), (words, ran.out, ran.err)


def test_what_is_written_into_a_shell_script_is_quoted(toy):
    directory = toy.change()
    path = directory / "change.toml"
    path.write_text(path.read_text().replace('title = "Add linear"', "title = \"Add `id` $(id) 'quoted'\""))
    toy.borrow()
    assert toy.cli("pr", "toy-linear").status == 0
    script = (toy.out / "toy-linear" / "commands.sh").read_text()
    assert """--title 'Add `id` $(id) '"'"'quoted'"'"''""" in script
