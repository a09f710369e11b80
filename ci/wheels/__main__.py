"""python -m wheels SUITE: build the wheel on the release base, install it, and run ci/smoke/SUITE.py outside of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from forklift.branch import base as bases
from forklift.branch import changes, rebase, suites
from forklift.commands import wheel
from forklift.errors import UsageError
from forklift.system import guard
from forklift.system.paths import current_project
from forklift.workspace import environment


def main() -> int:
    """1 where something cannot be used; each line of the script names a change."""
    project, started = current_project(), time.monotonic()
    suite = suites.find(project.ci, sys.argv[1] if len(sys.argv) > 1 else "")
    script = project.ci / "smoke" / f"{suite.short}.py"
    if not script.is_file():
        raise UsageError(f"no wheel of {suite.name} is tried", [("want", script)], "write what a user of the wheel does there")
    base = bases.resolve(project, suite, "release")
    built = wheel.build(project, base, rebase.stack(project, changes.of_suite(project, suite), base))
    place = project.cache / "site" / f"wheel-{suite.short}"  # beside the site's: both are made anew at will
    python = place / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    shutil.rmtree(place, ignore_errors=True)
    run: list[str | Path] = [uv, "pip", "install", "-q", "--no-deps", "--python", python]
    variables = {"UV_SYSTEM_CERTS": "1", "UV_LINK_MODE": "hardlink", **os.environ}
    try:
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, place], check=True)
        lock = environment.lock_file(project, suite, "2.6")
        subprocess.run([*run, "--require-hashes", "-r", lock], check=True, env=variables)
        packages = next((place / "lib").glob("python3*/site-packages"))
        (packages / "zz_zlib_first.pth").write_text("import zlib\n")  # as in a suite's environment: docs/decisions/0004
        subprocess.run([*run, "--reinstall", built], check=True, env=variables)
        with tempfile.TemporaryDirectory(prefix="forklift-smoke-") as scratch:
            kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONPYCACHEPREFIX")}
            done = subprocess.run([python, "-I", script], cwd=scratch, env={**kept, "OMP_NUM_THREADS": "1"}, timeout=600)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    word = "works" if done.returncode == 0 else "fails"
    print(f"{suite.short}: {built.name} {word} in a fresh environment, {time.monotonic() - started:.0f} s")
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(guard.run(main))
