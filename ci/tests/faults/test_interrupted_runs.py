"""Runs that end badly: killed, interrupted, crowded out, out of disk, out of network. The next run is as good as ever."""

import contextlib
import http.server
import json
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from toyproject import LINEAR, PACKAGE, alive, pack, put, sha256, until

from forklift.branch import suites

# The first run of the script starts a child, tells both ids, and waits for the file `go`; any later one measures at once.
BLOCKING = """
import os, subprocess, sys, time
from proving.record import arguments, write_metrics

args = arguments()
here = os.environ["FORKLIFT_CACHE"]
note = os.path.join(here, "started")
if not os.path.exists(note):
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    with open(note + ".part", "w") as stream:
        stream.write("%d %d" % (os.getpid(), child.pid))
    os.rename(note + ".part", note)
    while not os.path.exists(os.path.join(here, "go")):
        time.sleep(0.01)
    child.kill()
write_metrics(args.out, {"gap": 0.5})
"""
WORKER = """
import os, runpy, sys
from proving import worker

def job(words):
    sys.argv[1:] = ["--out", words[words.index("--out") + 1]]
    runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), "m.py"))

worker.serve(job)
"""
CHECK = {"kind": "metrics", "script": "checks/m.py", "require": [{"metric": "gap", "max": 1.0}]}


@pytest.fixture
def blocking(toy):
    """A change whose check blocks in its first run."""
    toy.make_environment()
    toy.change(scripts={"m.py": BLOCKING}, checks=[CHECK])
    toy.build()
    yield toy
    put(toy.cache / "downloads" / "go", "")  # lets go of whatever a killed run left behind
    for pid in started(toy):
        until(lambda pid=pid: not alive(pid))


def started(toy):
    """Process ids of the blocked script and its child, once they are there."""
    note = toy.cache / "downloads" / "started"
    return [int(word) for word in note.read_text().split()] if note.exists() else []


def begin(toy, *words):
    process = toy.start("check", "toy-linear", *words)
    until(lambda: started(toy) or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return process


def results(toy):
    return list((toy.cache / "results").glob("*.json"))


def test_a_run_that_is_killed_during_a_check_leaves_nothing_that_is_used(blocking):
    process = begin(blocking)
    process.kill()
    process.communicate()
    assert results(blocking) == []
    ran = blocking.cli("check", "toy-linear", "--json")
    assert (ran.status, ran.row("metrics")["outcome"], ran.row("metrics")["cached"]) == (0, "passed", False)


def test_a_script_that_outlives_its_killed_run_cannot_touch_the_next_one(toy):
    """The first script writes a bad figure while the second run is between measuring and judging."""
    script = """
import os, time
from proving.record import arguments, write_metrics

def wait(name):
    while not os.path.exists(os.path.join(here, name)):
        time.sleep(0.01)

def tell(name):
    with open(os.path.join(here, name + ".part"), "w") as stream:
        stream.write(str(os.getpid()))
    os.rename(os.path.join(here, name + ".part"), os.path.join(here, name))

args = arguments()
here = os.environ["FORKLIFT_CACHE"]
if not os.path.exists(os.path.join(here, "started")):
    if os.fork():  # the harness ends its process group; a session of its own outlives that
        os.wait()
        os._exit(0)
    os.setsid()
    tell("started")
    wait("measured")
    try:
        os.makedirs(args.out, exist_ok=True)
        write_metrics(args.out, {"gap": 99.0})
    finally:
        tell("spoiled")
else:
    write_metrics(args.out, {"gap": 0.5})
    tell("measured")
    wait("spoiled")
"""
    toy.make_environment()
    toy.change(scripts={"m.py": script}, checks=[CHECK])
    toy.build()
    process = begin(toy)
    process.kill()
    process.communicate()
    row = toy.cli("check", "toy-linear", "--json").row("metrics")
    assert (row["outcome"], row["summary"]) == ("passed", "gap 0.5")


@pytest.mark.parametrize(("number", "words"), [(signal.SIGINT, []), (signal.SIGINT, ["-j", "2"]), (signal.SIGTERM, [])])
def test_an_interrupt_gives_130_and_ends_everything_it_started(blocking, number, words):
    process = begin(blocking, *words)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "error: interrupted" in err
    assert "run the command again" in err
    assert "metrics" not in out, "what was ended has no result"
    assert len(started(blocking)) == 2
    for pid in started(blocking):
        until(lambda pid=pid: not alive(pid))
    assert results(blocking) == []
    assert blocking.cli("check", "toy-linear").status == 0


def test_a_sweep_that_is_interrupted_keeps_no_verdict_of_the_row_in_flight(blocking):
    directory = blocking.root / "patches" / "toy" / "linear"
    put(directory / "models.toml", '[[row]]\nid = "one"\n')
    with (directory / "change.toml").open("a") as stream:
        stream.write('[sweep]\nscript = "checks/row.py"\nmodes = ["dygraph"]\n')
    put(directory / "checks" / "row.py", WORKER)
    process = blocking.start("sweep", "toy-linear")
    until(lambda: started(blocking) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert list((blocking.cache / "sweep").rglob("row.json")) == []
    for pid in started(blocking):
        until(lambda pid=pid: not alive(pid))


def test_two_runs_at_once_on_the_same_change(blocking):
    process = begin(blocking)
    second = blocking.cli("check", "toy-linear")
    assert second.status == 2
    assert "error: another run is working on toy-linear" in second.err
    assert f"process  {process.pid}" in second.err
    assert "wait until it ends" in second.err
    put(blocking.cache / "downloads" / "go", "")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, "passed" in out) == (0, True), err
    assert blocking.cli("check", "toy-linear").status == 0


def test_a_run_that_is_killed_while_it_writes_the_bundle(toy):
    """The template of the last file never comes to its end: the run stands there, with a bundle half made."""
    toy.change()
    assert toy.cli("pr", "toy-linear").status == 0
    bundle = toy.out / "toy-linear"
    before = {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()}
    template = toy.root / "ci" / "templates" / "commands.sh"
    text = template.read_text()
    put(template, "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}")
    put(toy.root / "patches" / "toy" / "linear" / "overlay" / "toylib" / "linear.py", LINEAR + "\n\nMORE = 1\n")

    process = toy.start("pr", "toy-linear")
    until(lambda: process.poll() is not None or list(toy.out.glob(".new.*/bundle/PR.md")))
    assert process.poll() is None, process.communicate()
    process.kill()
    process.communicate()
    assert {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()} == before
    scrap = [path for path in toy.out.iterdir() if path != bundle]
    assert len(scrap) == 1, "the half-made bundle is beside it, under another name"

    put(template, text)
    assert toy.cli("pr", "toy-linear").status == 0
    assert (bundle / "diff.txt").read_bytes() != before["diff.txt"]
    assert [path.name for path in toy.out.iterdir()] == ["toy-linear"]


class Wheels(http.server.BaseHTTPRequestHandler):
    """Serves one wheel; the first request for it waits until the test ends."""

    def do_HEAD(self):  # noqa: N802
        self.answer(b"")

    def do_GET(self):  # noqa: N802
        self.server.requests += 1
        if self.server.requests == 1:
            self.server.asked.set()
            self.server.end.wait(120)
            return
        self.answer(self.server.wheel.read_bytes())

    def answer(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(self.server.wheel.stat().st_size))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words):
        pass


@pytest.fixture
def server(tmp_path):
    """A server of a small package called numpy, so that an environment can be made for real."""
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Wheels)
    made.daemon_threads = True
    made.wheel = pack(tmp_path / "wheels", {"numpy/__init__.py": "A = 1\n"}, "numpy", "1.0")
    made.requests, made.asked, made.end = 0, threading.Event(), threading.Event()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.end.set()
    made.shutdown()
    made.server_close()
    thread.join()


def test_a_run_that_is_killed_while_it_makes_the_environment(toy, server, tmp_path, monkeypatch):
    url = f"http://127.0.0.1:{server.server_port}/{server.wheel.name}"
    put(toy.root / "ci" / "locks" / "toy.txt", f"numpy @ {url} --hash=sha256:{sha256(server.wheel)}\n")
    script = "import json, numpy, sys\njson.dump({'metrics': {'gap': numpy.A}}, open(sys.argv[2] + '/metrics.json', 'w'))\n"
    toy.change(scripts={"m.py": script}, checks=[CHECK])
    online = {"UV_OFFLINE": "0", "UV_CACHE_DIR": str(tmp_path / "uv"), "UV_HTTP_TIMEOUT": "120", "no_proxy": "127.0.0.1"}

    process = toy.start("check", "toy-linear", **online)
    until(lambda: server.asked.is_set() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    process.kill()
    process.communicate()
    assert list((toy.cache / "envs").glob("*/bin/python")), "half of it is there"
    assert list((toy.cache / "envs").glob("*/forklift-complete")) == []

    for name, value in online.items():
        monkeypatch.setenv(name, value)
    ran = toy.cli("check", "toy-linear", "--json")
    assert (ran.status, ran.row("metrics")["summary"]) == (0, "gap 1"), ran
    assert len(list((toy.cache / "envs").glob("*/forklift-complete"))) == 1
    requests = server.requests
    assert toy.cli("check", "toy-linear", "--no-cache").status == 0
    assert server.requests == requests, "an environment that is there is not made again"


# ---- disk ----------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(toy, monkeypatch):
    """The project's bundles on a disk of 2 MB: a file system of its own, mounted for this test where that is allowed."""
    toy.out.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", toy.out]
    if subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount: test_a_full_disk_as_the_calls_report_it stands for it")
    yield toy
    subprocess.run(["umount", "-l", toy.out], check=True)


def test_a_disk_that_is_full_for_real(small_disk):
    toy = small_disk
    toy.change()
    assert toy.cli("pr", "toy-linear").status == 0
    bundle = toy.out / "toy-linear"
    before = {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()}
    with contextlib.suppress(OSError), (toy.out / "filler").open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    put(toy.root / "patches" / "toy" / "linear" / "overlay" / "toylib" / "linear.py", LINEAR + "\n\nMORE = 1\n")
    ran = toy.command("pr", "toy-linear")
    assert ran.status == 1
    assert "no space left on the disk" in ran.out + ran.err
    assert "free space" in ran.out + ran.err
    assert {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()} == before
    (toy.out / "filler").unlink()
    assert toy.cli("pr", "toy-linear").status == 0
    assert [path.name for path in toy.out.iterdir()] == ["toy-linear"]
    assert b"MORE" in (bundle / "diff.txt").read_bytes()


@pytest.mark.parametrize("step", ["PR.md", "report.json", "swap"])
def test_a_full_disk_as_the_calls_report_it(toy, monkeypatch, step):
    """The same without a mount: the calls that write the bundle raise what a full disk raises."""
    toy.change()
    assert toy.cli("pr", "toy-linear").status == 0
    bundle = toy.out / "toy-linear"
    before = {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()}
    put(toy.root / "patches" / "toy" / "linear" / "overlay" / "toylib" / "linear.py", LINEAR + "\n\nMORE = 1\n")
    name = {"PR.md": "write_text", "report.json": "replace", "swap": "rename"}[step]
    real = getattr(Path, name)

    def full(path, *args, **kwargs):
        at = str(args[0]) if name != "write_text" else str(path)
        if at.endswith(step) or (step == "swap" and path.name == "bundle"):
            raise OSError(28, "No space left on device", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, name, full)
    ran = toy.cli("pr", "toy-linear")
    assert ran.status == 1
    assert "error: no space left on the disk" in ran.err
    monkeypatch.undo()
    found = bundle if bundle.exists() else next(toy.out.glob(".old.*/bundle"))
    assert {path.name: path.read_bytes() for path in found.iterdir() if path.is_file()} == before


# ---- network and what comes from it --------------------------------------------------------------


@pytest.fixture
def fresh(toy):
    """A project that has downloaded nothing yet."""
    toy.change()
    toy.wheel.unlink()
    toy.wheel.parent.rmdir()
    return toy


def index(monkeypatch, directory):
    """Let pip find packages in a directory, as it would on an index."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def test_without_a_network_the_reason_and_the_next_step_are_named(fresh):
    ran = fresh.cli("pr", "toy-linear", "--json")
    row = ran.row("base")
    assert (ran.status, row["outcome"], row["reason"]) == (1, "error", "network_needed")
    assert row["summary"] == "cannot download toylib==1.0"
    assert row["details"]["next"].startswith("check the network and pip's index configuration")
    assert "127.0.0.1" in row["details"]["facts"]["pip said"] or "No matching distribution" in row["details"]["facts"]["pip said"]
    plain = fresh.cli("build", "toy-linear")
    assert (plain.status, "error: cannot download toylib==1.0" in plain.err) == (1, True)
    assert not fresh.out.exists()


def test_an_environment_that_cannot_be_made(toy):
    put(toy.root / "ci" / "locks" / "toy.txt", "toy-none==1.0 --hash=sha256:" + "0" * 64 + "\n")
    toy.change(scripts={"m.py": "pass\n"}, checks=[CHECK])
    ran = toy.cli("check", "toy-linear", "--json")
    row = ran.row("setup")
    assert (ran.status, row["outcome"], row["reason"]) == (1, "error", "env_failed")
    assert "toy.txt" in json.dumps(row["details"])
    assert row["details"]["next"].startswith("check the network and the free space")


def test_a_wheel_with_another_hash_is_refused(fresh, tmp_path, monkeypatch):
    pack(tmp_path / "index", {**PACKAGE, "toylib/evil.py": "A = 1\n"}, "toylib", "1.0")
    index(monkeypatch, tmp_path / "index")
    ran = fresh.cli("check", "toy-linear", "--json")
    row = ran.row("base")
    assert (ran.status, row["outcome"]) == (1, "error")
    assert row["summary"] == "cannot download toylib==1.0: its hash differs"
    assert "sha256 in ci/suites.toml" in row["details"]["next"]
    assert not (fresh.cache / "downloads" / "toylib-1.0").exists()


def test_the_right_wheel_is_downloaded_once(fresh, tmp_path, monkeypatch):
    pack(tmp_path / "index", PACKAGE, "toylib", "1.0")
    index(monkeypatch, tmp_path / "index")
    assert fresh.cli("build", "toy-linear").status == 0
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    assert fresh.cli("build", "toy-linear").status == 0
    assert fresh.cli("wheel", "toy").status == 0


def test_a_stored_wheel_that_was_damaged_is_not_used(toy, tmp_path, monkeypatch):
    toy.change()
    toy.wheel.write_bytes(toy.wheel.read_bytes()[:-10])
    ran = toy.cli("build", "toy-linear")
    assert (ran.status, "cannot download toylib==1.0" in ran.err) == (1, True)
    pack(tmp_path / "index", PACKAGE, "toylib", "1.0")
    index(monkeypatch, tmp_path / "index")
    assert toy.cli("build", "toy-linear").status == 0


# ---- files that are not what they were -----------------------------------------------------------


def test_a_reference_that_was_altered_is_caught_by_lint(toy):
    directory = toy.change(checks=[CHECK], scripts={"m.py": "print(1)\n"})
    reference = put(directory / "reference" / "set.npz", bytes(1000))
    put(directory / "reference" / "provenance.toml", f'[sha256]\n"set.npz" = "{sha256(reference)}"\n')
    assert toy.cli("lint", "toy-linear").status == 0
    put(reference, bytes(999) + b"\1")
    ran = toy.cli("lint", "toy-linear")
    assert ran.status == 1
    assert "provenance: reference/set.npz is not the file that provenance.toml describes (sha256 differs)" in ran.out


def test_the_toy_suite_is_read_as_the_real_ones_are(toy):
    assert [suite.short for suite in suites.load(toy.root / "ci").suite] == ["toy", "bare"]


def test_kill_at_ten_moments_of_a_run(toy):
    """Whatever kill -9 leaves, the next run starts from it; after ten of them one is whole and leaves nothing behind."""
    toy.make_environment()
    script = "from proving.record import arguments, write_metrics\nargs = arguments()\nwrite_metrics(args.out, {'gap': 0.5})\n"
    toy.change(scripts={"m.py": script}, checks=[CHECK])
    start = time.monotonic()
    first = toy.command("pr", "toy-linear", "--no-cache")
    whole = time.monotonic() - start
    assert first.status == 0, first.err
    head = toy.build().head
    for moment in range(10):
        process = toy.start("pr", "toy-linear", "--no-cache")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(whole * (moment + 0.5) / 10)
        process.kill()
        process.communicate()
    ran = toy.command("pr", "toy-linear", "--no-cache")
    assert ran.status == 0, ran.err
    assert toy.build().head == head
    assert [path.name for path in toy.out.iterdir()] == ["toy-linear"]
    assert (toy.out / "toy-linear" / "PR.md").is_file()
    assert [path for path in (toy.cache / "downloads").iterdir() if path.name.startswith((".", "tmp"))] == []
    assert toy.status() == "?? patches/\n"


def test_a_damaged_object_of_the_release_repository_is_made_again(toy):
    toy.change()
    toy.build()
    repository = toy.cache / "release" / "toylib-1.0.git"
    found = [path for path in (repository / "objects").rglob("*") if path.is_file() and path.parent.name not in ("info", "pack")]
    for path in found:
        path.chmod(0o644)
        path.write_bytes(b"damaged")
    ran = toy.command("build", "toy-linear")
    assert ran.status == 0, ran.err


@pytest.mark.parametrize("name", ["woodpecker", "true", "1"])
def test_ci_is_called_many_things(toy, name):
    toy.change()
    ran = toy.command("check", "toy-linear", CI=name)
    assert "error" not in ran.err


def test_a_fork_that_was_moved_is_named_and_not_passed_over(forked):
    put(forked.root / "forks" / "Toy" / ".git", "gitdir: ../nowhere\n")
    forked.change()
    ran = forked.command("build", "toy-linear")
    assert (ran.status, "is not where its .git file says" in ran.err) == (2, True)


def test_a_directory_that_cannot_be_written_is_the_machines_fault(toy):
    toy.change(checks=[CHECK], scripts={"m.py": "print(1)\n"})
    toy.make_environment()
    ran = toy.command("pr", "toy-linear", FORKLIFT_OUT_DIR="/sys/out")
    assert (ran.status, "a file or directory cannot be written" in ran.err) == (1, True), ran.err


def no_sandbox():
    """Why bubblewrap cannot be used here; a container may not allow namespaces."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    tried = subprocess.run(
        ["bwrap", "--unshare-net", "--unshare-pid", "--ro-bind", "/", "/", "true"], capture_output=True, text=True
    )
    return tried.stderr.strip()


@pytest.mark.skipif(bool(no_sandbox()), reason=no_sandbox() or "-")
def test_in_the_sandbox_a_script_has_no_network_and_no_home(toy, tmp_path, monkeypatch):
    home = tmp_path / "home"
    put(home / "secret", "1")
    monkeypatch.setenv("HOME", str(home))
    script = """
import os, socket
from proving.record import arguments, write_metrics

args = arguments()
home = os.listdir(os.path.expanduser("~")) if os.path.isdir(os.path.expanduser("~")) else []
links = [name for _, name in socket.if_nameindex() if name != "lo"]
try:
    open("/etc/forklift-was-here", "w")
    wrote = 1
except OSError:
    wrote = 0
write_metrics(args.out, {"gap": len(links) + len([x for x in home if x == "secret"]) + wrote})
"""
    toy.make_environment()
    toy.change(scripts={"m.py": script}, checks=[{**CHECK, "require": [{"metric": "gap", "max": 0.0}]}])
    ran = toy.command("check", "toy-linear", "--sandbox", HOME=str(home))
    assert ran.status == 0, ran.out + ran.err
    assert toy.command("check", "toy-linear", "--no-cache", HOME=str(home)).status == 1
