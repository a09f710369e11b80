"""A stored result is used only where nothing that could change it has changed."""

import shutil

import msgspec
import pytest
from toyproject import CI, LINEAR, put

from forklift.checks import loss_consistency
from forklift.errors import Reason
from forklift.model import CheckResult, Outcome
from forklift.workspace import cache

SPEC = loss_consistency.Spec(script="checks/m.py")


@pytest.fixture
def project(toy):
    (toy.root / "ci" / "proving").unlink()
    shutil.copytree(CI / "proving", toy.root / "ci" / "proving")
    put(toy.root / "ci" / "forklift" / "cli.py", "A = 1\n")
    directory = toy.change(scripts={"m.py": "print(1)\n"})
    put(directory / "reference" / "set.npz", b"123")
    put(toy.root.parent / "other" / "set.npz", b"456")
    return toy


def key(project, spec=SPEC, paddle="2.6", reference=None, base="release"):
    return cache.key(project.project, project.build(base=base), spec, paddle, reference)


def test_nothing_changed(project):
    assert key(project) == key(project)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("patches/toy/linear/overlay/toylib/linear.py", LINEAR + "\n"),
        ("patches/toy/linear/checks/m.py", "print(2)\n"),
        ("patches/toy/linear/checks/more.py", ""),
        ("patches/toy/linear/reference/set.npz", b"124"),
        ("ci/locks/toy.txt", "# another lock\n"),
        ("ci/forklift/cli.py", "A = 2\n"),
        ("ci/proving/more.py", "A = 2\n"),
    ],
)
def test_another_file_is_another_key(project, path, content):
    before = key(project)
    put(project.root / path, content)
    assert key(project) != before


def test_a_script_of_a_change_that_must_land_first_is_part_of_the_key(project):
    put(project.root / "patches" / "toy" / "linear" / "checks" / "shared.py", "A = 1\n")
    project.change("later", after=["toy-linear"], overlay={"toylib/later.py": "B = 1\n"}, edits={}, scripts={"m.py": "print(1)\n"})

    def later():
        return cache.key(project.project, project.build("toy-later"), SPEC, "2.6", None)

    before = later()
    assert later() == before
    put(project.root / "patches" / "toy" / "linear" / "checks" / "shared.py", "A = 2\n")
    assert later() != before


def test_another_check_paddle_base_or_reference_is_another_key(project):
    project.borrow()
    keys = [
        key(project),
        key(project, spec=msgspec.structs.replace(SPEC, steps=51)),
        key(project, spec=msgspec.structs.replace(SPEC, args=["--short"])),
        key(project, paddle="3.3"),
        key(project, base="fork"),
        key(project, reference=project.root.parent / "other"),
    ]
    assert len(set(keys)) == len(keys)


def test_a_name_and_a_content_are_not_mixed_up(project):
    checks = project.root / "patches" / "toy" / "linear" / "checks"
    put(checks / "ab", "c")
    before = key(project)
    (checks / "ab").unlink()
    put(checks / "a", "bc")
    assert key(project) != before


def test_a_file_that_moves_to_another_folder_is_another_key(project):
    change = project.root / "patches" / "toy" / "linear"
    put(change / "checks" / "zz", "1")
    before = key(project)
    (change / "checks" / "zz").unlink()
    put(change / "reference" / "a", "1")
    assert key(project) != before


def test_byte_code_does_not_count(project):
    before = key(project)
    put(project.root / "patches" / "toy" / "linear" / "checks" / "__pycache__" / "m.pyc", b"x")
    assert key(project) == before


def result(outcome, reason=None, files=()):
    return CheckResult("toy-linear", "m", "metrics", outcome, "said", 1.0, reason, {"a": 1}, files)


@pytest.mark.parametrize("outcome", [Outcome.PASSED, Outcome.FAILED])
def test_a_verdict_is_kept_and_marked(project, outcome):
    cache.store(project.project, "k", result(outcome))
    assert cache.load(project.project, "k") == msgspec.structs.replace(result(outcome), cached=True)


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.SKIPPED])
def test_what_says_nothing_about_the_change_is_tried_again(project, outcome):
    cache.store(project.project, "k", result(outcome, Reason.TIMEOUT))
    assert cache.load(project.project, "k") is None


def test_a_result_whose_picture_is_gone_is_measured_again(project, tmp_path):
    picture = put(tmp_path / "loss.png", b"png")
    cache.store(project.project, "k", result(Outcome.PASSED, files=(str(picture),)))
    assert cache.load(project.project, "k")
    picture.unlink()
    assert cache.load(project.project, "k") is None


def test_half_a_result_is_none(project):
    put(project.cache / "results" / "k.json", '{"change": "toy-lin')
    assert cache.load(project.project, "k") is None


def test_a_row_of_a_sweep_and_its_packages_are_part_of_the_key(project):
    manifest = project.root / "patches" / "toy" / "linear" / "change.toml"
    put(manifest.parent / "models.toml", '[[row]]\nid = "a"\n')
    put(manifest.parent / "packages.txt", "a==1\n")
    put(manifest, manifest.read_text() + '[sweep]\nscript = "checks/m.py"\nci_rows = ["a"]\npackages = "packages.txt"\n')
    keys = [key(project)]
    put(manifest.parent / "models.toml", '[[row]]\nid = "a"\nlr = 0.1\n')
    keys.append(key(project))
    put(manifest.parent / "packages.txt", "a==2\n")
    keys.append(key(project))
    assert len(set(keys)) == 3


def test_another_setting_of_the_cpu_is_another_key(project, monkeypatch):
    from forklift.workspace import environment

    before = key(project)
    monkeypatch.setattr(environment, "cpu_settings", lambda: {"MKL_DEBUG_CPU_TYPE": "4"})
    assert key(project) != before
