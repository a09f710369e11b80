"""A pip-installable wheel of a suite with all its changes: the release's wheel, repacked over the patched tree."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from forklift import base as bases
from forklift import shell, workspace
from forklift.errors import UsageError
from forklift.model import BaseTree, FeatureBranch, Release
from forklift.paths import House


def build(house: House, base: BaseTree, stacked: list[FeatureBranch], python: Path) -> Path:
    """out/wheels/<distribution>-<version>+forklift-*.whl. Its metadata and compiled files are the release's own."""
    release = base.suite.release
    if release is None:
        raise UsageError(f"{base.suite.name} has no release, so there is no wheel to patch", [], "install it from its fork")
    top = stacked[-1].head if stacked else base.commit
    tree = stacked[-1].tree if stacked else base.tree
    patched, _ = workspace.lay_out(house, base, top, tree, f"{base.suite.short}-wheel")
    source = bases.download(house, release)
    target = house.out / "wheels"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="forklift-wheel-") as scratch:
        inside = Path(scratch) / "wheel"
        with zipfile.ZipFile(source) as archive:
            archive.extractall(inside)
        _lay_over(patched, inside / release.root, {path.name for path in (inside / release.root).iterdir()})
        _rename(inside, release)
        shell.run([python, "-m", "wheel", "pack", inside, "--dest-dir", scratch])
        made = next(Path(scratch).glob("*.whl"))
        os.replace(shutil.copy(made, target / f".{made.name}"), target / made.name)
    return target / made.name


def _lay_over(patched: Path, package: Path, shipped: set[str]) -> None:
    """Replace what the release ships by the patched tree's version; nothing that the release does not ship is added at the top."""
    for name in shipped:
        here = patched / name
        if here.is_dir():
            shutil.copytree(here, package / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif here.is_file():
            shutil.copyfile(here, package / name)


def _rename(inside: Path, release: Release) -> None:
    """The version gets the local part +forklift, in METADATA and in the dist-info directory's name."""
    old = next(inside.glob("*.dist-info"))
    version = f"{release.version}+forklift"
    metadata = old / "METADATA"
    lines = metadata.read_text().splitlines(keepends=True)
    metadata.write_text("".join(f"Version: {version}\n" if line.startswith("Version: ") else line for line in lines))
    (old / "RECORD").unlink()
    old.rename(inside / f"{release.distribution}-{version}.dist-info")
