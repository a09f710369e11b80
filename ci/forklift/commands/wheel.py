"""A pip-installable wheel of a suite with all its changes: the release's wheel, repacked over the patched tree."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from forklift.branch import base as bases
from forklift.errors import UsageError
from forklift.model import BaseTree, FeatureBranch, Release
from forklift.system.paths import Project
from forklift.workspace import tree as workspace


def build(project: Project, base: BaseTree, stacked: list[FeatureBranch]) -> Path:
    """out/wheels/<distribution>-<version>+forklift-*.whl, the same bytes each time; compiled files are the release's."""
    release = base.suite.release
    if release is None:
        raise UsageError(f"{base.suite.name} has no release, so there is no wheel to patch", [], "install it from its fork")
    top = stacked[-1].head if stacked else base.commit
    tree = stacked[-1].tree if stacked else base.tree
    patched, _ = workspace.lay_out(project, base, top, tree, f"{base.suite.short}-wheel")
    source = bases.download(project, release)
    target = project.out / "wheels"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="forklift-wheel-") as scratch:
        inside = Path(scratch) / "wheel"
        with zipfile.ZipFile(source) as archive:
            archive.extractall(inside)
        _lay_over(patched, inside / release.root, {path.name for path in (inside / release.root).iterdir()})
        info = _rename(inside, release)
        tags = source.name.removeprefix(f"{release.distribution}-{release.version}")
        made = target / f"{info.name.removesuffix('.dist-info')}{tags}"
        _pack(inside, info, made.with_name(f".{made.name}"))
        os.replace(made.with_name(f".{made.name}"), made)
    return made


def _pack(inside: Path, info: Path, wheel: Path) -> None:
    """Zip the files with fixed dates, the metadata last, and the RECORD of their hashes at the very end."""
    files = sorted((path for path in inside.rglob("*") if path.is_file()), key=lambda path: (info in path.parents, str(path)))
    record = []
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            name, content = str(path.relative_to(inside)), path.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append([name, f"sha256={digest}", len(content)])
            archive.writestr(_entry(name, path.stat().st_mode), content, zipfile.ZIP_DEFLATED)
        name = str(info.relative_to(inside) / "RECORD")
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*record, [name, "", ""]])
        archive.writestr(_entry(name, 0o100644), text.getvalue())


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (2023, 1, 1, 0, 0, 0))
    entry.external_attr = (0o100755 if mode & 0o100 else 0o100644) << 16
    return entry


def _lay_over(patched: Path, package: Path, shipped: set[str]) -> None:
    """Replace what the release ships by the patched tree's version; nothing that the release does not ship is added at the top."""
    for name in shipped:
        here = patched / name
        if here.is_dir():
            shutil.copytree(here, package / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif here.is_file():
            shutil.copyfile(here, package / name)


def _rename(inside: Path, release: Release) -> Path:
    """The version gets the local part +forklift, in METADATA and in the dist-info directory's name."""
    old = next(inside.glob("*.dist-info"))
    version = f"{release.version}+forklift"
    metadata = old / "METADATA"
    metadata.write_bytes(re.sub(rb"^Version: .*$", b"Version: " + version.encode(), metadata.read_bytes(), count=1, flags=re.M))
    (old / "RECORD").unlink()
    return old.rename(inside / f"{release.distribution}-{version}.dist-info")
