"""Files out of packages: a folder gets its name once, whole."""

from __future__ import annotations

import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proving import wheels


def test_the_first_to_publish_wins_and_nothing_is_left(tmp_path: Path):
    for word in ("first", "second"):
        (tmp_path / word).mkdir()
        (tmp_path / word / "file").write_text(word)
        wheels.publish(str(tmp_path / word), str(tmp_path / "target"))
    assert (tmp_path / "target" / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_wheel_that_is_not_there_names_the_next_step(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SystemExit, match="no-such-wheel==1.0 could not be fetched"):
        wheels.unpacked(str(tmp_path), "no-such-wheel", "1.0", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_package_of_npm_is_taken_whole_or_not_at_all(tmp_path: Path, monkeypatch):
    for name in ("include/some.h", "other"):
        (tmp_path / "made" / "package" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "made" / "package" / name).write_text(name)
    with tarfile.open(tmp_path / "some.tgz", "w:gz") as archive:
        archive.add(tmp_path / "made", arcname="")
    (tmp_path / "npm").write_text(f"#!/bin/sh\ncp {tmp_path}/some.tgz .\n")  # the client's part: one file where it runs
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    words = (str(tmp_path / "cache"), "@some/name", "1.0")
    with pytest.raises(SystemExit, match="some.tgz has sha256"):
        wheels.unpacked_npm(*words, "0" * 64, ("package/include/",))
    assert list((tmp_path / "cache").iterdir()) == []
    target = wheels.unpacked_npm(*words, wheels.sha256(str(tmp_path / "some.tgz")), ("package/include/",))
    assert [path.name for path in Path(target).rglob("*") if path.is_file()] == ["some.h"]


def test_without_its_client_the_next_step_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="some@1.0 could not be fetched .npm is not installed"):
        wheels.unpacked_npm(str(tmp_path / "cache"), "some", "1.0", "0" * 64, ())


def test_an_environment_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "some.txt").write_text("no-such-wheel==1.0 --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(SystemExit, match="could not be installed"):
        wheels.environment(str(tmp_path / "made"), str(tmp_path / "some.txt"))
    assert [path.suffix for path in (tmp_path / "made").iterdir()] == [".lock"]


def test_two_that_ask_at_once_get_one_environment(tmp_path: Path, monkeypatch):
    (tmp_path / "none.txt").write_text("# no packages\n")
    made, create = [], wheels.venv.create

    def slow(target: str, **options: bool) -> None:
        made.append(target)
        time.sleep(0.5)
        create(target, **options)

    monkeypatch.setattr(wheels.venv, "create", slow)
    with ThreadPoolExecutor(2) as both:
        words = (str(tmp_path / "made"), str(tmp_path / "none.txt"))
        pythons = [future.result() for future in [both.submit(wheels.environment, *words) for _ in range(2)]]
    assert len(made) == 1 and len(set(pythons)) == 1 and Path(pythons[0]).is_file()


def test_an_environment_is_made_once(tmp_path: Path):
    (tmp_path / "none.txt").write_text("# no packages\n")
    python = wheels.environment(str(tmp_path / "made"), str(tmp_path / "none.txt"))
    assert Path(python).is_file()
    before = Path(python).parent.parent.stat().st_mtime_ns
    assert wheels.environment(str(tmp_path / "made"), str(tmp_path / "none.txt")) == python
    assert Path(python).parent.parent.stat().st_mtime_ns == before
