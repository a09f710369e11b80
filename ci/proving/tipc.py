"""A suite's own TIPC scripts in a copy of its work tree, without network and without installing anything.

    box = Sandbox(args.out, NEEDED, CONFIG)
    box.serve("cityscapes_20imgs.tar", folder)                # what `wget` of that file name brings
    box.set_keys({"gpu_list": "-1", "--device": "cpu"})       # in the copy of the configuration; each change is in `deviations`
    box.run()
    steps = box.steps()                                       # the lines of results_python.log

The scripts run unchanged: `wget` is answered from a folder, `pip` and `setup.py` with "already there", `python` is this Python.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from typing import Dict, List, Mapping, Sequence

MODE = "lite_train_lite_infer"
SCRIPTS = ("prepare.sh", "test_train_inference_python.sh")
PYTHON = """#!/bin/bash
if [ "$1" = setup.py ]; then echo "setup.py: the environment is locked"; exit 0; fi
exec {python} "$@"
"""
PIP = """#!/bin/bash
echo "pip $*: the environment is locked, nothing is installed"
"""
WGET = """#!/bin/bash
folder=.
while [ $# -gt 0 ]; do
    case "$1" in
        -P) folder=$2; shift ;;
        -*) ;;
        *) url=$1 ;;
    esac
    shift
done
name=$(basename "$url")
if [ ! -f "{served}/$name" ]; then
    echo "wget: $url is not served here" >&2
    exit 8
fi
mkdir -p "$folder" && cp "{served}/$name" "$folder/$name"
"""


class Sandbox:
    """tree: the copy; served: what downloads are answered from; deviations: what differs from a run as it is written."""

    def __init__(self, out: str, needed: Sequence[str], config: str, mode: str = MODE) -> None:
        """needed: files and folders of the work tree; config: the TIPC text file in it. SystemExit for what is missing."""
        self.out, self.config, self.mode = os.path.abspath(out), config, mode
        self.tree, self.served, self._programs = (os.path.join(self.out, name) for name in ("tree", "served", "bin"))
        self.deviations = []  # type: List[str]
        missing = [name for name in (*needed, config) if not os.path.exists(name)]
        if missing:
            raise SystemExit(
                "error: no %s in %s\n  next  run it in a work tree of the fork base" % (", ".join(missing), os.getcwd())
            )
        for name in needed:
            if os.path.isdir(name):
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(name, os.path.join(self.tree, name), ignore=ignored, ignore_dangling_symlinks=True)
            else:
                shutil.copy(name, os.path.join(self.tree, name))
        for folder in (self.served, self._programs):
            os.makedirs(folder)
        for name in ("python", "python3", "python3.7"):
            self._program(name, PYTHON.replace("{python}", sys.executable))
        for name in ("pip", "pip3"):
            self._program(name, PIP)
        self._program("wget", WGET.replace("{served}", self.served))

    def _program(self, name: str, text: str) -> None:
        path = os.path.join(self._programs, name)
        with open(path, "w") as stream:
            stream.write(text)
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)

    def serve(self, name: str, folder: str) -> None:
        """Answer downloads of `name`, a tar archive, with that folder, under the name of the archive."""
        with tarfile.open(os.path.join(self.served, name), "w") as archive:
            archive.add(folder, name.partition(".")[0])

    def set_keys(self, changes: Mapping[str, str]) -> None:
        """Give keys of the configuration's copy other values; `{}` in a value is the present one. SystemExit for an unknown key."""
        path = os.path.join(self.tree, self.config)
        with open(path) as stream:
            lines = stream.read().split("\n")
        left = dict(changes)
        for number, line in enumerate(lines):
            key, colon, value = line.partition(":")
            if colon and key in changes:
                left.pop(key, None)
                lines[number] = "%s:%s" % (key, changes[key].replace("{}", value))
                if lines[number] != line:
                    said = "%s line %d: %s -> %s" % (os.path.basename(path), number + 1, line, lines[number])
                    self.deviations.append(said.replace(sys.executable, "this Python"))
        if left:
            raise SystemExit("error: %s has no line %s" % (self.config, ", ".join(sorted(left))))
        with open(path, "w") as stream:
            stream.write("\n".join(lines))

    def substitute(self, name: str, old: str, new: str, why: str) -> None:
        """Replace text in a file of the copy and say why; nothing where the text is not there."""
        path = os.path.join(self.tree, name)
        with open(path) as stream:
            text = stream.read()
        if old in text:
            with open(path, "w") as stream:
                stream.write(text.replace(old, new))
            self.deviations.append("%s: %s" % (name, why))

    def run(self, path: Sequence[str] = ()) -> None:
        """prepare.sh and the training and inference script, each with a log of its own in `out`; `path` goes on PYTHONPATH.

        Raises SystemExit with the end of the log where a script ends without results.
        """
        given = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and os.path.abspath(p) != os.getcwd()]
        variables = dict(os.environ, PATH=self._programs + os.pathsep + os.environ["PATH"])
        variables["PYTHONPATH"] = os.pathsep.join([self.tree, *path, *given])
        for script in SCRIPTS:
            command = ["bash", "test_tipc/" + script, self.config, self.mode]
            print("$", " ".join(command), flush=True)
            log = os.path.join(self.out, script + ".log")
            with open(log, "w") as stream:
                done = subprocess.run(
                    command, cwd=self.tree, env=variables, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
                )
            if done.returncode and not (script == SCRIPTS[-1] and os.path.isfile(self.results)):
                with open(log) as stream:
                    sys.stderr.write("".join(stream.readlines()[-30:]))
                raise SystemExit("error: %s ended with status %d\n  next  read %s" % (script, done.returncode, log))

    @property
    def model(self) -> str:
        """The model's name, the second line of the configuration."""
        with open(os.path.join(self.tree, self.config)) as stream:
            return stream.read().split("\n")[1].partition(":")[2]

    @property
    def output(self) -> str:
        """Where the scripts put logs, models and results."""
        return os.path.join(self.tree, "test_tipc", "output", self.model, self.mode)

    @property
    def results(self) -> str:
        return os.path.join(self.output, "results_python.log")

    def steps(self) -> Dict[str, bool]:
        """{line of results_python.log: whether it says "Run successfully"}. Raises SystemExit where there is none."""
        if not os.path.isfile(self.results):
            raise SystemExit("error: no %s\n  next  read %s/*.log" % (self.results, self.out))
        with open(self.results) as stream:
            lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip().replace(self.tree, ".") for line in stream]
        found = {line: line.startswith("Run successfully") for line in lines if line.startswith("Run ")}
        print("\n".join(found), flush=True)
        shutil.copy(self.results, self.out)
        return found

    def found(self, pattern: str, log: str = "") -> List[str]:
        """The first group of every match in the logs of the output, in the order of their names, or in `log` alone."""
        texts = []  # type: List[str]
        for folder, folders, names in os.walk(self.output):
            folders.sort()
            for name in sorted(names):
                if name.endswith(".log") and name != "results_python.log" and log in ("", name):
                    with open(os.path.join(folder, name), errors="replace") as stream:
                        texts += re.findall(pattern, stream.read())
        return texts

    def numbers(self, pattern: str, log: str = "") -> List[float]:
        """`found` as numbers."""
        return [float(text) for text in self.found(pattern, log)]

    def close(self) -> None:
        """Remove the copies; logs stay."""
        for folder in (self.tree, self.served, self._programs):
            shutil.rmtree(folder)
