"""Files out of packages: a folder gets its name once, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignment import wheels


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
