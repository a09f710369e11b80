"""Git plumbing on a bare directory and a temporary index. Nothing here touches a work tree that a person uses."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from forklift.model import Identity
from forklift.system import shell

# user and system configuration (autocrlf, hooks, templates, signing) must not change what is built
_CLEAN = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "TZ": "UTC"}
# a person's ignore and attribute files are read even without a configuration
_FILES = (f"core.attributesFile={os.devnull}", f"core.excludesFile={os.devnull}")
_SETTINGS = ("core.autocrlf=false", "core.quotePath=false", "gc.auto=0", *_FILES)


class Git:
    """One git directory. `call` returns stdout; `index` makes a temporary index for the calls inside."""

    def __init__(self, git_dir: Path, index: Path | None = None, work_tree: Path | None = None) -> None:
        self.git_dir = git_dir
        self._index = index
        self._work_tree = work_tree

    def call(self, *words: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None, check: bool = True) -> str:
        return self.done(*words, stdin=stdin, env=env, check=check).stdout

    def done(self, *words: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None, check: bool = True) -> shell.Done:
        argv = [*self._argv(), *words]
        return shell.run(argv, cwd=self._work_tree, env=self._environment(env), stdin=stdin, check=check)

    def exactly(self, *words: str) -> bytes:
        """stdout of a call byte for byte: upstream's files are not all UTF-8."""
        return shell.run_bytes([*self._argv(), *words], env=self._environment(None))

    def line(self, *words: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> str:
        return self.call(*words, stdin=stdin, env=env).strip()

    def bytes_of(self, blob: str) -> bytes:
        """Content of a blob, exactly."""
        return self.exactly("cat-file", "blob", blob)

    @contextmanager
    def index(self, tree: str | None = None) -> Iterator[Git]:
        """A temporary index, filled from `tree`."""
        with tempfile.TemporaryDirectory(prefix="forklift-index-") as directory:
            inner = Git(self.git_dir, Path(directory) / "index", self._work_tree)
            inner.call("read-tree", *([tree] if tree else ["--empty"]))
            yield inner

    def with_work_tree(self, work_tree: Path) -> Git:
        return Git(self.git_dir, self._index, work_tree)

    def exists(self, revision: str) -> bool:
        return self.done("cat-file", "-e", f"{revision}^{{commit}}", check=False).status == 0

    def blob_at(self, commit: str, path: str) -> str | None:
        """Blob id of `path` in `commit`, or None where there is no such file."""
        found = self.line("ls-tree", commit, "--", path)
        return found.split()[2] if found else None

    def files(self, commit: str) -> dict[str, tuple[str, str]]:
        """{path: (mode, blob id)} of a commit or tree; submodules left out."""
        listing = self.call("ls-tree", "-r", "-z", commit)
        found = {}
        for row in listing.split("\0"):
            if row:
                meta, path = row.split("\t", 1)
                mode, kind, blob = meta.split()
                if kind == "blob":
                    found[path] = (mode, blob)
        return found

    def commit_tree(self, tree: str, parent: str | None, message: str, who: Identity, date: str) -> str:
        """A commit object with a fixed identity and date, so that the same input gives the same id."""
        facts = {"NAME": who.name, "EMAIL": who.email, "DATE": date}
        env = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in facts.items()}
        parents = ["-p", parent] if parent else []
        return self.line("commit-tree", tree, *parents, stdin=message.encode(), env=env)

    def _argv(self) -> list[str]:
        argv = ["git", f"--git-dir={self.git_dir}"]
        if self._work_tree is not None:
            argv.append(f"--work-tree={self._work_tree}")
        for setting in _SETTINGS:
            argv += ["-c", setting]
        return argv

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        env.update(_CLEAN)
        if self._index is not None:
            env["GIT_INDEX_FILE"] = str(self._index)
        env.update(more or {})
        return env
