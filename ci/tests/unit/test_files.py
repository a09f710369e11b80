"""Files are written whole or not at all."""

import errno
import os

import pytest

from forklift.system.files import write_whole


def test_content_mode_and_parents(tmp_path):
    target = tmp_path / "a" / "b.sh"
    write_whole(target, b"x", 0o755)
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"x", 0o755)
    write_whole(target, b"y")
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"y", 0o644)


@pytest.mark.parametrize("step", ["write", "rename"])
def test_a_full_disk_leaves_the_old_file_and_no_scrap(tmp_path, monkeypatch, step):
    target = tmp_path / "report.json"
    write_whole(target, b"old")

    def refuse(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    if step == "write":
        monkeypatch.setattr(os, "fdopen", lambda handle, mode: Full(handle))
    else:
        monkeypatch.setattr("pathlib.Path.replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_whole(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


class Full:
    """A file on a disk that is full after the first bytes."""

    def __init__(self, handle):
        self.handle = handle

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        os.close(self.handle)

    def write(self, content):
        os.write(self.handle, content[:1])
        raise OSError(errno.ENOSPC, "No space left on device")
