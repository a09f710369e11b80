"""A toy project: a small upstream, its release, and a project with the real templates, all made on the spot.

Nothing here reaches the network, and nothing but the suite's environment is stood in for: that one is the harness's own Python
(it has numpy, safetensors and pytest, which is all that the toy suite's checks need).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CI = Path(__file__).resolve().parents[1]
DEAD_INDEX = "http://127.0.0.1:9/"
PIN_DATE = "2023-11-07T20:18:49+08:00"
HOLDER = "Copyright (c) 2023 Toy Authors. All Rights Reserved."
HEADER = f"# {HOLDER}\n"

GIT_ENV = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Toy",
    "GIT_AUTHOR_EMAIL": "toy@toy.invalid",
    "GIT_AUTHOR_DATE": PIN_DATE,
    "GIT_COMMITTER_NAME": "Toy",
    "GIT_COMMITTER_EMAIL": "toy@toy.invalid",
    "GIT_COMMITTER_DATE": PIN_DATE,
}


def git(where: Path, *words: str | Path, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> str:
    """stdout of a git command, as a person would run it in `where`."""
    done = subprocess.run(
        ["git", "-C", where, *words], input=stdin, capture_output=True, env={**os.environ, **GIT_ENV, **(env or {})}, check=False
    )
    assert done.returncode == 0, f"git {words}: {done.stderr.decode()}"
    return done.stdout.decode("utf-8", "surrogateescape")


def as_bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode()


def put(path: Path, content: str | bytes, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_bytes(content))
    path.chmod(mode)
    return path


# ---- upstream ------------------------------------------------------------------------------------

REGISTRY = "ENTRIES = [\n" + "".join(f'    "entry_{number:02d}",\n' for number in range(40)) + "]\n"
HOOKED = REGISTRY.replace('    "entry_10",\n', '    "entry_10",\n    "linear",\n')
PACKAGE = {
    "toylib/__init__.py": 'NAME = "toylib"\n',
    "toylib/registry.py": REGISTRY,
    "toylib/latin.py": b"# -*- coding: latin-1 -*-\nWORD = 'caf\xe9'\nLAST = 1\n",
    "toylib/windows.py": b"FIRST = 1\r\nSECOND = 2\r\nTHIRD = 3\r\n",
}
TREE = {
    **PACKAGE,
    ".gitignore": "*.log\n__pycache__/\n",
    "README.md": "# Toy\n",
    "configs/base.yml": "lr: 0.1\nsteps: 50\n",
    "tests/test_registry.py": (
        "from toylib.registry import ENTRIES\n\n\ndef test_first():\n    assert ENTRIES[0] == 'entry_00'\n\n\n"
        "def test_linear():\n    assert 'linear' in ENTRIES\n"
    ),
    "assets/large.bin": bytes(range(256)) * 1200,
}
PROGRAMS = {"tools/run.sh": "#!/bin/sh\necho toy\n"}
LINEAR = HEADER + "def forward(weight, bias, x):\n    return x @ weight + bias\n"


@dataclass
class Upstream:
    """A repository with the pinned commit, and later commits by name."""

    path: Path
    pin: str = ""
    later: dict[str, str] = field(default_factory=dict)
    patches: dict[tuple[str, str | bytes | None, str], bytes] = field(default_factory=dict)

    def commit(self, message: str, files: Mapping[str, str | bytes], parent: str | None) -> str:
        """A commit of `parent`'s tree with `files` put in, built without a work tree."""
        with self._index(parent) as env:
            for path, content in files.items():
                mode = "100755" if path in PROGRAMS else "100644"
                blob = git(self.path, "hash-object", "-w", "--stdin", stdin=as_bytes(content)).strip()
                git(self.path, "update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}", env=env)
            tree = git(self.path, "write-tree", env=env).strip()
        parents = ["-p", parent] if parent else []
        return git(self.path, "commit-tree", tree, *parents, "-m", message).strip()

    def patch(self, path: str, new: str | bytes | None, base: str = "") -> bytes:
        """The smallest diff that turns `path` of the pinned commit into `new` (None deletes it)."""
        base = base or self.pin
        known = (path, new, base)
        if known not in self.patches:
            self.patches[known] = self._patch(*known)
        return self.patches[known]

    def _patch(self, path: str, new: str | bytes | None, base: str) -> bytes:
        with self._index(base) as env:
            if new is None:
                git(self.path, "update-index", "--index-info", stdin=f"0 {'0' * 40}\t{path}\n".encode(), env=env)
            else:
                mode = git(self.path, "ls-tree", base, "--", path).split()[0]
                blob = git(self.path, "hash-object", "-w", "--stdin", stdin=as_bytes(new)).strip()
                git(self.path, "update-index", "--cacheinfo", f"{mode},{blob},{path}", env=env)
            tree = git(self.path, "write-tree", env=env).strip()
        text = git(self.path, "diff", "-U1", "--full-index", "--no-renames", "--no-color", base, tree, "--", path)
        lines = text.split("\n")
        bare = ["@@".join(line.split("@@")[:2]) + "@@" if line.startswith("@@ ") else line for line in lines]
        return "\n".join(bare).encode("utf-8", "surrogateescape")

    @contextlib.contextmanager
    def _index(self, tree: str | None) -> Any:
        name = self.path / f"index-{os.getpid()}"
        env = {"GIT_INDEX_FILE": str(name)}
        git(self.path, "read-tree", *([tree] if tree else ["--empty"]), env=env)
        yield env
        name.unlink()


def make_upstream(path: Path) -> Upstream:
    """The toy upstream as a bare repository of loose objects."""
    subprocess.run(["git", "init", "-q", "--bare", "--template=", "-b", "develop", path], check=True, env={**os.environ, **GIT_ENV})
    made = Upstream(path)
    made.pin = made.commit("first", {**TREE, **PROGRAMS}, None)
    moved = REGISTRY.replace("ENTRIES = [\n", "# upstream added\n# three\n# lines\nENTRIES = [\n")
    made.later = {
        "moved": made.commit("registry: say what it is", {"toylib/registry.py": moved}, made.pin),
        "rival": made.commit(
            "registry: another entry", {"toylib/registry.py": REGISTRY.replace('"entry_10",', '"entry_ten",')}, made.pin
        ),
        "merged": made.commit("Add linear", {"toylib/registry.py": HOOKED, "toylib/linear.py": LINEAR}, made.pin),
    }
    git(path, "update-ref", "refs/heads/develop", made.pin)
    for name, commit in made.later.items():
        git(path, "update-ref", f"refs/heads/{name}", commit)
    return made


def copy_upstream(upstream: Upstream, target: Path) -> Upstream:
    """Another copy of the repository, at another path."""
    shutil.copytree(upstream.path, target)
    return Upstream(target, upstream.pin, upstream.later)


def lose_blob(upstream: Upstream, path: str) -> str:
    """Delete the object of a file from a copy: such a copy still serves trees, commits and all other blobs."""
    blob = git(upstream.path, "rev-parse", f"{upstream.pin}:{path}").strip()
    (upstream.path / "objects" / blob[:2] / blob[2:]).unlink()
    return blob


# ---- release -------------------------------------------------------------------------------------


def pack(target: Path, files: Mapping[str, str | bytes], name: str, version: str) -> Path:
    """A wheel, valid for installers: METADATA, WHEEL and RECORD included."""
    info = f"{name}-{version}.dist-info"
    everything = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, content in everything.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(as_bytes(content)).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(as_bytes(content))}\n")
    everything[f"{info}/RECORD"] = "".join(rows) + f"{info}/RECORD,,\n"
    wheel = target / f"{name}-{version}-py3-none-any.whl"
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in everything.items():
            archive.writestr(zipfile.ZipInfo(path, (2023, 1, 1, 0, 0, 0)), as_bytes(content))
    return wheel


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- project ---------------------------------------------------------------------------------------

SUITES = """
[identity]
name = "Forklift"
email = "forklift@forklift.invalid"

[[suite]]
name = "Toy"
short = "toy"
url = "https://toy.invalid/Toy.git"
pin = "{pin}"
pin_date = "{date}"
pin_why = "the first commit"
package = "toylib"
copyright = "{holder}"
[suite.locks]
"2.6" = "toy.txt"
"3.3" = "toy.txt"
gpu = "toy.txt"
[suite.formatter]
check = []
[suite.release]
distribution = "toylib"
version = "1.0"
sha256 = "{sha256}"

[[suite]]
name = "Bare"
short = "bare"
url = "https://toy.invalid/Bare.git"
pin = "{pin}"
pin_date = "{date}"
pin_why = "this one has no release"
package = "json"
copyright = "{holder}"
[suite.locks]
"2.6" = "toy.txt"
[suite.formatter]
check = [["black", "-q", "--check", "--line-length", "119"]]
"""

MODULES = """[submodule "forks/Toy"]
\tpath = forks/Toy
\turl = https://toy.invalid/Toy.git
[submodule "forks/Bare"]
\tpath = forks/Bare
\turl = https://toy.invalid/Bare.git
"""

PR = (
    "### PR types\n\nNew features\n\n### Describe\n\n" + "A change that a test made, with as many words as the rules demand. " * 5
) + "\n"


@dataclass
class Ran:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The JSON objects of a `--json` run."""
        return [json.loads(line) for line in self.out.splitlines()]

    def row(self, check: str) -> dict[str, Any]:
        [found] = [row for row in self.rows if row["check"] == check]
        return found


class ToyProject:
    """A project directory with suites, templates and locks; `change` adds a change, `cli` runs a command."""

    def __init__(self, root: Path, upstream: Upstream) -> None:
        self.root, self.upstream = root, upstream
        self.cache, self.out = root.parent / "cache", root.parent / "out"
        ci = root / "ci"
        shutil.copytree(CI / "templates", ci / "templates")
        (ci / "proving").symlink_to(CI / "proving")
        put(ci / "locks" / "toy.txt", "# the toy suite needs nothing\n")
        put(ci / "tasks.toml", '[[change]]\nid = "toy-linear"\ntask = 1\ntitle = "A linear layer"\n')
        put(root / ".gitmodules", MODULES)
        put(root / ".gitignore", "__pycache__/\n")
        (root / "patches").mkdir()
        self.wheel = pack(self.cache / "downloads" / "toylib-1.0", PACKAGE, "toylib", "1.0")
        self.write_suites()
        git(root, "init", "-q", "--template=", "-b", "main")
        self.pin_gitlinks(upstream.pin)

    @property
    def project(self) -> Any:
        from forklift.system.paths import Project

        return Project(self.root)

    @property
    def env(self) -> dict[str, str]:
        """What a process of this project runs with: its own directories, and no way to any index."""
        drop = (
            "CI",
            "PADDLE",
            "FORKLIFT_AUTHOR",
            "PIP_EXTRA_INDEX_URL",
            "UV_INDEX_URL",
            "UV_DEFAULT_INDEX",
            "CUDA_VISIBLE_DEVICES",
        )
        kept = {
            key: value for key, value in os.environ.items() if key not in drop and not key.startswith(("GIT_", "PYTEST_", "COV_"))
        }
        return {
            **kept,
            "FORKLIFT_ROOT": str(self.root),
            "FORKLIFT_CACHE_DIR": str(self.cache),
            "FORKLIFT_OUT_DIR": str(self.out),
            "PYTHONPATH": str(CI),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": DEAD_INDEX,
            "PIP_EXTRA_INDEX_URL": "",
            "PIP_FIND_LINKS": "",
            "PIP_RETRIES": "0",
            "PIP_NO_INPUT": "1",
            "UV_OFFLINE": "1",
            "UV_NO_CONFIG": "1",
        }

    def write_suites(self, **changed: str) -> None:
        """ci/suites.toml; `pin` and `sha256` may be given."""
        from forklift.branch import suites

        values = {"pin": self.upstream.pin, "date": PIN_DATE, "holder": HOLDER, "sha256": sha256(self.wheel), **changed}
        put(self.root / "ci" / "suites.toml", SUITES.format(**values))
        suites.load.cache_clear()

    def pin_gitlinks(self, pin: str) -> None:
        rows = "".join(f"160000 {pin}\tforks/{name}\n" for name in ("Toy", "Bare"))
        git(self.root, "update-index", "--index-info", stdin=rows.encode())

    def commit_all(self) -> None:
        git(self.root, "add", "-A", "--", "patches", "ci", ".gitmodules", ".gitignore")
        git(self.root, "commit", "-q", "-m", "all")

    def status(self) -> str:
        """`git status` of patches/."""
        return git(self.root, "status", "--porcelain", "--", "patches")

    def borrow(self, source: Path | None = None) -> Path:
        """Set the fork up from a local repository; returns its git directory."""
        from forklift.branch import fork, suites

        fork.borrow(self.project, suites.find(self.root / "ci", "toy"), source or self.upstream.path)
        return self.root / ".git" / "modules" / "forks" / "Toy"

    def make_environment(self, python: str = sys.executable) -> Path:
        """What a finished environment looks like. Its Python is the harness's own, by exec: no packages are copied."""
        from forklift.workspace import environment

        lock = self.root / "ci" / "locks" / "toy.txt"
        target = self.cache / "envs" / f"{lock.stem}-{environment.key_of(lock)}"
        put(target / "bin" / "python", f'#!/bin/sh\nPYTEST_DISABLE_PLUGIN_AUTOLOAD=1 exec "{python}" "$@"\n', 0o755)
        put(target / "forklift-complete", "made by a test\n")
        return target

    def change(
        self,
        slug: str = "linear",
        *,
        overlay: Mapping[str, str | bytes] | None = None,
        edits: Mapping[str, str | bytes | None] | None = None,
        scripts: Mapping[str, str] | None = None,
        checks: Sequence[Mapping[str, Any]] = (),
        commits: Sequence[Mapping[str, Any]] | None = None,
        after: Sequence[str] = (),
        suite: str = "toy",
    ) -> Path:
        """Write patches/<suite>/<slug>. By default: one new module, one hook in the registry, one commit."""
        overlay = {"toylib/linear.py": LINEAR} if overlay is None else overlay
        edits = {"toylib/registry.py": HOOKED} if edits is None else edits
        target = self.root / "patches" / suite / slug
        for path, content in overlay.items():
            put(target / "overlay" / path, content)
        for path, new in edits.items():
            put(target / "edits" / f"{path}.patch", self.upstream.patch(path, new))
        for name, text in (scripts or {}).items():
            put(target / "checks" / name, text)
        put(target / "pr.md", PR)
        if commits is None:
            commits = [{"subject": f"Add {slug}", "overlay": sorted(overlay), "edits": sorted(edits)}]
        name = {"toy": "Toy", "bare": "Bare"}[suite]
        lines = [f'schema = 1\nid = "{suite}-{slug}"\nsuite = "{name}"\ntask = 1\ntitle = "Add {slug}"\nbranch = "feature/{slug}"']
        lines.append(f'after = {json.dumps(list(after))}\n[upstream]\nstatus = "draft"\norigin = "a test"\nlicence = "Apache-2.0"')
        lines += [table("commit", row) for row in commits]
        lines += [table("check", row) for row in checks]
        put(target / "change.toml", "\n".join(lines) + "\n")
        return target

    def load(self, change_id: str = "toy-linear") -> Any:
        from forklift.branch import changes

        return changes.find(self.project, change_id)

    def build(self, change_id: str = "toy-linear", base: Any = None) -> Any:
        """The feature branch of a change, on the base that is there or the named one."""
        from forklift.branch import base as bases
        from forklift.branch import build as branch

        change = self.load(change_id)
        return branch.build(self.project, change, bases.resolve(self.project, change.suite, base))

    def cli(self, *words: str) -> Ran:
        """Run a command as `python -m forklift` does, in this process."""
        from forklift import cli
        from forklift.system import guard

        out, err = io.StringIO(), io.StringIO()
        before = signal.getsignal(signal.SIGTERM)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = guard.run(lambda: cli.app(list(words), standalone_mode=False))
        finally:
            signal.signal(signal.SIGTERM, before)
        return Ran(status, out.getvalue(), err.getvalue())

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Run a command in a process of its own, in its own group."""
        return subprocess.Popen(
            [sys.executable, "-m", "forklift", *words],
            env={**self.env, **env},
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # a test run in the background ignores ^C, and would hand that on
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def command(self, *words: str, **env: str) -> Ran:
        """Run a command in a process of its own, to the end."""
        process = self.start(*words, **env)
        out, err = process.communicate(timeout=120)
        return Ran(process.returncode, out, err)


def table(name: str, row: Mapping[str, Any]) -> str:
    """A TOML table of an array; lists of tables nest."""
    lines = [f"[[{name}]]"]
    nested = []
    for key, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            nested += [table(f"{name}.{key}", inner) for inner in value]
        else:
            lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join(lines + nested)


def alive(pid: int) -> bool:
    """Whether a process still runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for something that another process does; the value that became true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s in vain")
