"""Speed and memory of several sides, each a process of its own: two frameworks whose packages cannot stand in one environment.

A script gives `{side: build}`, where `build(args)` returns ({task: function without arguments}, version), and the Python of
every side. The processes take turns, a task each, so that a load from outside meets all of them; two clocks are read, time
that passed and CPU time of the process. Before anything is timed the results of all sides are compared. Memory is read phase by
phase above what the imports take: a peak of the whole process shows imports and freed memory that malloc keeps.
"""

import argparse
import gc
import importlib
import json
import os
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .record import write_json

CLOCKS = ("wall", "cpu")
Build = Callable[[argparse.Namespace], Tuple[Mapping[str, Callable[[], Any]], str]]
# How Paddle 2.6's CPU build is run at its own speed; other sides may get it too, and it changes nothing for PyTorch.
TUNED = {
    "MKL_DEBUG_CPU_TYPE": "5",  # its MKL of 2019 takes its slowest code on a processor that is not Intel's
    "FLAGS_use_stride_kernel": "0",  # transpose copies at once, not element by element before each product
    "MALLOC_MMAP_THRESHOLD_": "1073741824",  # memory of large tensors is kept, not given back and zeroed again
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "67108864",
}
MALLOC = {"as it is": {}, "gives back": {"MALLOC_MMAP_THRESHOLD_": "65536"}}  # type: Dict[str, Dict[str, str]]


def options(parser: argparse.ArgumentParser, sides: Sequence[str], rounds: int = 9, warmup: int = 2) -> None:
    """--out, --torch_python, --threads, --rounds, --warmup and --side (a side's own process)."""
    parser.add_argument("--out", required=True)
    parser.add_argument("--torch_python", help="a Python that has torch, and what the script says it needs beside it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--warmup", type=int, default=warmup)
    parser.add_argument("--side", choices=sides, help=argparse.SUPPRESS)
    parser.add_argument("--phases", help=argparse.SUPPRESS)


def serve(build: Build, args: argparse.Namespace) -> None:
    """A side's own process: each line on standard input is `save PATH TASK` or `run TASK`, each answer is one line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the frameworks print must not mix with the answers
    runs, version = build(args)
    print(json.dumps({"version": version, "tasks": list(runs)}), file=answers, flush=True)
    for line in sys.stdin:
        words = json.loads(line)
        start, cpu = time.perf_counter(), time.process_time()
        made = runs[words["task"]]()
        spent = [(time.perf_counter() - start) * 1e3, (time.process_time() - cpu) * 1e3]
        if words["save"]:
            np.save(words["save"], made)
        print(json.dumps(spent), file=answers, flush=True)


class Side:
    """The process of one side."""

    def __init__(self, name: str, words: Sequence[str], variables: Mapping[str, str], log: str) -> None:
        self.name, self.log = name, log
        with open(log, "w") as stream:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stream}  # type: Dict[str, Any]
            self._process = subprocess.Popen(words, text=True, env=dict(variables), **pipes)
        facts = self._answer()
        self.version, self.tasks = facts["version"], facts["tasks"]

    def _answer(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise SystemExit("error: %s ended early\n  next  read %s" % (self.name, self.log))
        return json.loads(line)

    def run(self, task: str, save: str = "") -> List[float]:
        """Milliseconds by the clock and of the CPU; the result goes to the file `save`."""
        print(json.dumps({"task": task, "save": save}), file=self._process.stdin, flush=True)
        return [float(value) for value in self._answer()]

    def result(self, task: str, folder: str) -> np.ndarray:
        path = os.path.join(folder, "%s_%s.npy" % (self.name.replace(" ", "_"), task.replace(" ", "_")))
        self.run(task, path)
        made = np.load(path)
        os.remove(path)
        return made

    def close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()


def command(args: argparse.Namespace, side: str, python: str, more: Sequence[str] = ()) -> Tuple[List[str], Dict[str, str]]:
    """Words and environment variables of a side's process: this script again with its own words and --side."""
    words = [python, os.path.abspath(sys.argv[0]), *sys.argv[1:], "--side", side, *more]
    variables = dict(os.environ, OMP_NUM_THREADS=str(args.threads), MKL_NUM_THREADS=str(args.threads))
    if python != sys.executable:  # the suite's packages are not for another environment; these helpers are
        variables["PYTHONPATH"] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return words, variables


def differences(sides: Sequence[Side], task: str, against: str, folder: str) -> Dict[str, float]:
    """Largest difference of each side's result to that of `against`, by its largest value."""
    made = {side.name: np.asarray(side.result(task, folder), np.float64) for side in sides if task in side.tasks}
    scale = max(float(np.abs(made[against]).max()), 1e-30)
    return {name: float(np.abs(value - made[against]).max()) / scale for name, value in made.items() if name != against}


def turns(sides: Sequence[Side], task: str, rounds: int, warmup: int) -> Dict[str, Dict[str, List[float]]]:
    """{side: {clock: [milliseconds]}}, one round each in turn; the order turns by one each round."""
    sides = [side for side in sides if task in side.tasks]
    samples = {side.name: {clock: [] for clock in CLOCKS} for side in sides}  # type: Dict[str, Dict[str, List[float]]]
    for number in range(warmup + rounds):
        shift = number % len(sides)
        for side in [*sides[shift:], *sides[:shift]]:
            for clock, spent in zip(CLOCKS, side.run(task)):
                samples[side.name][clock] += [spent] * (number >= warmup)
    return samples


def ratio(samples: Mapping[str, Mapping[str, Sequence[float]]], ours: str, theirs: str) -> Dict[str, Any]:
    """{clock: medians of both in ms, and median, least and most of the ratios of the rounds}."""
    found = {}
    for clock in CLOCKS:
        each = np.array(samples[ours][clock]) / np.array(samples[theirs][clock])
        found[clock] = {
            "ours_ms": float(np.median(samples[ours][clock])),
            "theirs_ms": float(np.median(samples[theirs][clock])),
            "ratio_median_min_max": [float(value) for value in (np.median(each), each.min(), each.max())],
        }
    return found


def compare(
    started: Sequence[Side], tasks: Sequence[str], pairs: Sequence[Tuple[str, str]], args: argparse.Namespace, agree: bool = True
) -> Dict[str, Any]:
    """Agreement (where the sides have the same weights), then times, of every task. pairs: (ours, theirs) by side."""
    result = {"versions": {side.name: side.version for side in started}, "agreement": {}, "tasks": {}}  # type: Dict[str, Any]
    there = {side.name: side.tasks for side in started}
    for task in tasks:
        wanted = [(ours, theirs) for ours, theirs in pairs if task in there[ours] and task in there[theirs]]
        for theirs in sorted({theirs for _, theirs in wanted}) if agree else ():
            result["agreement"].setdefault(task, {}).update(differences(started, task, theirs, args.out))
        samples = turns(started, task, args.rounds, args.warmup)
        result["tasks"][task] = {"%s / %s" % pair: ratio(samples, *pair) for pair in wanted}
        for name, row in result["tasks"][task].items():
            print(task, name, {clock: [round(v, 2) for v in row[clock]["ratio_median_min_max"]] for clock in CLOCKS}, flush=True)
    for side in started:
        side.close()
    print("agreement", result["agreement"], flush=True)
    return result


def resident() -> List[float]:
    """MB of this process: now, and the most since `forget`."""
    with open("/proc/self/status") as stream:
        lines = dict(line.split(":", 1) for line in stream)
    return [int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")]


def forget() -> None:
    """Let the kernel count the peak anew."""
    with open("/proc/self/clear_refs", "w") as stream:
        stream.write("5")


def phases(build: Build, modules: Sequence[str], tasks: Sequence[str], args: argparse.Namespace) -> Dict[str, float]:
    """MB: of the imports; above that the most while loading, what stays, and the most in each task's second run."""
    for module in modules:
        importlib.import_module(module)
    imports = resident()[0]
    forget()
    runs, _ = build(args)
    gc.collect()
    now, most = resident()
    made = {"imports": imports, "loading": most - imports, "loaded": now - imports}
    for task in tasks:
        runs[task]()
        forget()
        runs[task]()
        made[task] = resident()[1] - imports
    return made


def memory(args: argparse.Namespace, pythons: Mapping[str, str], tasks: Sequence[str], more: Sequence[str] = ()) -> Dict[str, Any]:
    """{malloc: {side: phases}}, with malloc as it is and told to give large blocks back at once."""
    result = {}  # type: Dict[str, Any]
    for name, malloc in MALLOC.items():
        for side, python in pythons.items():
            words, variables = command(args, side, python, [*more, "--phases", ",".join(tasks)])
            variables.update(malloc)
            done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=variables)
            if done.returncode:
                raise SystemExit("error: %s ended with %d\n  next  run %s" % (side, done.returncode, " ".join(words)))
            facts = {key: round(value) for key, value in json.loads(done.stdout.splitlines()[-1]).items()}
            result.setdefault(name, {})[side] = facts
            print(name, side, facts, flush=True)
    return result


def worker(builds: Mapping[str, Build], args: argparse.Namespace, modules: Optional[Mapping[str, Sequence[str]]] = None) -> bool:
    """Where this process is a side's own: serve it, or print its phases, and return True."""
    if not args.side:
        return False
    if args.phases:
        print(json.dumps(phases(builds[args.side], (modules or {})[args.side], args.phases.split(","), args)))
    else:
        serve(builds[args.side], args)
    return True


def start(
    args: argparse.Namespace, pythons: Mapping[str, str], more: Sequence[str] = (), extra: Mapping[str, str] = {}
) -> List[Side]:  # noqa: B006
    """The processes of all sides, in this order; `extra` are environment variables for each."""
    os.makedirs(args.out, exist_ok=True)
    found = []
    for side, python in pythons.items():
        words, variables = command(args, side, python, more)
        variables.update(extra)
        found.append(Side(side, words, variables, os.path.join(args.out, side.replace(" ", "_") + ".log")))
    return found


def write(args: argparse.Namespace, name: str, result: Mapping[str, Any]) -> None:
    """Write the evidence with what it was measured with."""
    write_json(os.path.join(args.out, name), {"threads": args.threads, "rounds": args.rounds, **result})
