"""Locked virtual environments, made by uv: one for each lock, shared by the suites that name it."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from forklift.errors import ForkliftError, Reason, UsageError
from forklift.model import Suite
from forklift.system import shell
from forklift.system.paths import Project

# paddlepaddle 2.6.2 exports zlib's symbols: the system's zlib must be loaded before it
_ZLIB_FIRST = "import zlib\n"


# what a check script gets of the user's environment: no token of theirs is in it
_PASSED = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM", "CI", "DISPLAY", "CC", "CXX",
    "CUDA_HOME", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "CHROMIUM", "PADDLE2ONNX_CORE", "RUN_SLOW",
)  # fmt: skip
_PASSED_PREFIXES = ("LC_", "XDG_", "PIP_", "UV_", "npm_config_", "NPM_CONFIG_", "FORKLIFT_", "OPENBLAS_", "NVIDIA_", "CUDA_VISIBLE")


def lock_file(project: Project, suite: Suite, paddle: str) -> Path:
    """The lock of a suite for a paddle version ("2.6", "3.3" or "gpu")."""
    if paddle not in suite.locks:
        raise UsageError(
            f"{suite.name} has no environment for PADDLE={paddle}", [("have", " ".join(suite.locks))], "name one of these"
        )
    return project.locks / suite.locks[paddle]


def key_of(lock: Path) -> str:
    """Names the environment: another lock or another Python is another environment."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return hashlib.sha256(lock.read_bytes() + version.encode()).hexdigest()[:12]


def ensure(project: Project, suite: Suite, paddle: str) -> Path:
    """Path of the Python of a suite's environment; made if it is not there."""
    lock = lock_file(project, suite, paddle)
    return _once(project, lock, lambda target: _make(target, lock)) / "bin" / "python"


def ensure_packages(project: Project, python: Path, lock: Path) -> Path:
    """A directory with the packages of a hashed lock that one change needs beside its suite's environment."""
    return _once(project, lock, lambda target: _install(python, lock, "--target", target))


def _once(project: Project, lock: Path, make: Callable[[Path], None]) -> Path:
    """The directory that `make` fills from a lock; a half-made one is never used: the mark comes last."""
    target = project.cache / "envs" / f"{lock.stem}-{key_of(lock)}"
    mark = target / "forklift-complete"
    if mark.is_file():
        return target
    from filelock import FileLock  # slow to import, and most commands make no environment

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not mark.is_file():
            shutil.rmtree(target, ignore_errors=True)
            make(target)
            mark.write_text("made from " + lock.name + "\n")
    return target


def _install(python: Path, lock: Path, *more: str | Path) -> None:
    words: list[str | Path] = ["pip", "install", "-q", "--no-deps", "--require-hashes", "--python", python, *more, "-r", lock]
    # the machine's own certificates, so that a company's proxy is trusted as pip trusts it
    env = {"UV_LINK_MODE": "hardlink", "UV_SYSTEM_CERTS": "1", **os.environ}
    try:
        done = shell.run([_uv(), *words], timeout=1800, env=env, check=False)
        if done.status != 0:  # without an index, what uv has in its cache may be enough
            offline = shell.run([_uv(), "--offline", *words], timeout=1800, env=env, check=False)
            if offline.status != 0:
                raise ForkliftError("the packages could not be installed", [("output", done.tail)])
    except ForkliftError as failed:
        raise ForkliftError(
            "the packages could not be installed",
            [("lock", lock), *failed.facts],
            "check the network and the free space on disk, then run the command again",
            Reason.ENV_FAILED,
        ) from failed


def _uv() -> Path:
    return Path(sys.executable).parent / "uv"


def _make(target: Path, lock: Path) -> None:
    python = target / "bin" / "python"
    try:
        shell.run([_uv(), "venv", "-q", "--python", sys.executable, target])
        _install(python, lock)
        packages = next((target / "lib").glob("python3*/site-packages"))
        (packages / "zz_zlib_first.pth").write_text(_ZLIB_FIRST)
        shell.run([python, "-c", "import numpy"])
    except ForkliftError as failed:
        raise ForkliftError(
            "the suite's environment could not be made",
            [("lock", lock), ("where", target), *failed.facts],
            "check the network and the free space on disk, then run the command again",
            Reason.ENV_FAILED,
        ) from failed


@cache
def cpu_settings() -> dict[str, str]:
    """Variables that let a CPU run the fastest code it is capable of.

    MKL, which paddle bundles, decides by maker: on AMD CPUs with AVX2 it takes a path without AVX2 unless told otherwise.
    A value that the user has set stays (docs/decisions/0006-cpu-settings.md).
    """
    facts = _cpu_facts()
    amd = "AuthenticAMD" in facts and "avx2" in facts
    chosen = os.environ.get("MKL_DEBUG_CPU_TYPE", "5" if amd else "")
    return {"MKL_DEBUG_CPU_TYPE": chosen} if chosen else {}


def machine() -> str:
    """The CPU's name and what was set for it, for reports."""
    names = (line.partition(":")[2].strip() for line in _cpu_facts().splitlines() if line.startswith("model name"))
    settings = (f"{key}={value}" for key, value in cpu_settings().items())
    return ", ".join([f"{next(names, 'unknown CPU')} x {shell.cores()}", *settings])


def _cpu_facts() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return ""


def variables(project: Project, directory: Path, suite: Suite, base_kind: str, paddle: str, threads: int) -> dict[str, str]:
    """The environment variables that a check script runs with."""
    path = [directory, *(directory / extra for extra in suite.python_path), project.ci]
    keep = {key: value for key, value in os.environ.items() if key in _PASSED or key.startswith(_PASSED_PREFIXES)}
    return {
        **keep,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        # compiled once for all processes, and never into a work tree
        "PYTHONPYCACHEPREFIX": str(project.bytecode),
        "PYTHONHASHSEED": "0",
        "FORKLIFT_BASE": base_kind,
        "FORKLIFT_PADDLE": paddle,
        "FORKLIFT_MOVED": os.pathsep.join(f"{old}={new}" for old, new in (suite.newest.moved if suite.newest else {}).items()),
        "FORKLIFT_CACHE": str(project.cache / "downloads"),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "MPLBACKEND": "Agg",
        **cpu_settings(),
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "") if paddle != "gpu" else "0",
    }
