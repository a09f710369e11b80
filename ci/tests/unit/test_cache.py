"""A stored result is used only where nothing that could change it has changed."""

import shutil

import msgspec
import pytest
from toyhouse import CI, LINEAR, put

from forklift import cache
from forklift.errors import Reason
from forklift.model import CheckResult, CheckSpec, Outcome

SPEC = CheckSpec(kind="metrics", script="checks/m.py")


@pytest.fixture
def house(toy):
    (toy.root / "ci" / "proving").unlink()
    shutil.copytree(CI / "proving", toy.root / "ci" / "proving")
    put(toy.root / "ci" / "forklift" / "cli.py", "A = 1\n")
    directory = toy.change(scripts={"m.py": "print(1)\n"})
    put(directory / "reference" / "set.npz", b"123")
    put(toy.root.parent / "other" / "set.npz", b"456")
    return toy


def key(house, spec=SPEC, paddle="2.6", reference=None, base="release"):
    return cache.key(house.house, house.build(base=base), spec, paddle, reference)


def test_nothing_changed(house):
    assert key(house) == key(house)


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
def test_another_file_is_another_key(house, path, content):
    before = key(house)
    put(house.root / path, content)
    assert key(house) != before


def test_another_check_paddle_base_or_reference_is_another_key(house):
    house.borrow()
    keys = [
        key(house),
        key(house, spec=msgspec.structs.replace(SPEC, steps=51)),
        key(house, spec=msgspec.structs.replace(SPEC, args=["--short"])),
        key(house, paddle="3.3"),
        key(house, base="fork"),
        key(house, reference=house.root.parent / "other"),
    ]
    assert len(set(keys)) == len(keys)


def test_a_name_and_a_content_are_not_mixed_up(house):
    checks = house.root / "patches" / "toy" / "linear" / "checks"
    put(checks / "ab", "c")
    before = key(house)
    (checks / "ab").unlink()
    put(checks / "a", "bc")
    assert key(house) != before


def test_a_file_that_moves_to_another_folder_is_another_key(house):
    change = house.root / "patches" / "toy" / "linear"
    put(change / "checks" / "zz", "1")
    before = key(house)
    (change / "checks" / "zz").unlink()
    put(change / "reference" / "a", "1")
    assert key(house) != before


def test_byte_code_does_not_count(house):
    before = key(house)
    put(house.root / "patches" / "toy" / "linear" / "checks" / "__pycache__" / "m.pyc", b"x")
    assert key(house) == before


def result(outcome, reason=None, files=()):
    return CheckResult("toy-linear", "m", "metrics", outcome, "said", 1.0, reason, {"a": 1}, files)


@pytest.mark.parametrize("outcome", [Outcome.PASSED, Outcome.FAILED])
def test_a_verdict_is_kept_and_marked(house, outcome):
    cache.store(house.house, "k", result(outcome))
    assert cache.load(house.house, "k") == msgspec.structs.replace(result(outcome), cached=True)


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.SKIPPED])
def test_what_says_nothing_about_the_change_is_tried_again(house, outcome):
    cache.store(house.house, "k", result(outcome, Reason.TIMEOUT))
    assert cache.load(house.house, "k") is None


def test_a_result_whose_picture_is_gone_is_measured_again(house, tmp_path):
    picture = put(tmp_path / "loss.png", b"png")
    cache.store(house.house, "k", result(Outcome.PASSED, files=(str(picture),)))
    assert cache.load(house.house, "k")
    picture.unlink()
    assert cache.load(house.house, "k") is None


def test_half_a_result_is_none(house):
    put(house.cache / "results" / "k.json", '{"change": "toy-lin')
    assert cache.load(house.house, "k") is None


def test_a_row_of_a_sweep_and_its_packages_are_part_of_the_key(house):
    manifest = house.root / "patches" / "toy" / "linear" / "change.toml"
    put(manifest.parent / "models.toml", '[[row]]\nid = "a"\n')
    put(manifest.parent / "packages.txt", "a==1\n")
    put(manifest, manifest.read_text() + '[sweep]\nscript = "checks/m.py"\nci_rows = ["a"]\npackages = "packages.txt"\n')
    keys = [key(house)]
    put(manifest.parent / "models.toml", '[[row]]\nid = "a"\nlr = 0.1\n')
    keys.append(key(house))
    put(manifest.parent / "packages.txt", "a==2\n")
    keys.append(key(house))
    assert len(set(keys)) == 3


def test_another_setting_of_the_cpu_is_another_key(house, monkeypatch):
    from forklift import environment

    before = key(house)
    monkeypatch.setattr(environment, "cpu_settings", lambda: {"MKL_DEBUG_CPU_TYPE": "4"})
    assert key(house) != before
