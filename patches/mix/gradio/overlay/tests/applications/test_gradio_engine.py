# Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""The process of the models: order, cancel, crash, restart; and the folder that nothing outlives."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

APPLICATIONS = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "applications", "gradio"))
sys.path.insert(0, APPLICATIONS)

from demo import generation, words  # noqa: E402
from demo.engine import Engine  # noqa: E402
from demo.folders import ServerFolder  # noqa: E402
from demo.words import Refused  # noqa: E402

# a worker whose applications need no models
WORKER = """
import os, sys, time
sys.path.insert(0, %r)
from worker import serve

loaded = []

def count(run):
    if not loaded:
        loaded.append(os.getpid())
        print("what a model prints")
        os.system("echo and what its C++ prints")
    for step in range(run.inputs["steps"]):
        run.progress("step", (step + 1) / run.inputs["steps"], step=step + 1, total=run.inputs["steps"])
        time.sleep(0.05)
    return {"process": os.getpid(), "word": run.inputs.get("word"), "folder": run.folder}

def deaf(run):
    run.progress("loading")
    time.sleep(600)

def crash(run):
    os.kill(os.getpid(), 9)

def fail(run):
    raise ValueError("first line\\nlast line")

def lacks(run):
    import no_such_package_as_this

serve({"count": count, "deaf": deaf, "crash": crash, "fail": fail, "lacks": lacks})
"""


@pytest.fixture
def engine(tmp_path):
    path = tmp_path / "worker.py"
    path.write_text(WORKER % APPLICATIONS)
    engine = Engine(None, None, most=4, grace=0.5, command=[sys.executable, str(path)])
    yield engine
    engine.close()


def follow(engine, job):
    return list(job.follow(engine, every=0.05))


def run(engine, app, owner="me", **inputs):
    job = engine.submit(owner, app, inputs, "/nowhere")
    follow(engine, job)
    return job


def wait_for_step(engine, job):
    for key, _, _ in job.follow(engine, every=0.05):
        if key in ("step", "loading"):
            return


def test_progress_and_result(engine):
    job = engine.submit("me", "count", {"steps": 3, "word": "狗"}, "/nowhere")
    events = [event for event in follow(engine, job) if event[0] == "step"]
    assert [values["step"] for _, values, _ in events] == [1, 2, 3]
    assert events[-1][2] == 1.0
    assert (job.outputs["word"], job.outputs["folder"], job.problem) == ("狗", "/nowhere", None)


def test_one_process_for_all_runs(engine):
    assert engine.started == 0
    assert run(engine, "count", steps=1).outputs["process"] == run(engine, "count", steps=1).outputs["process"]
    assert engine.started == 1


def test_runs_wait_for_each_other_and_do_not_mix(engine):
    jobs = [engine.submit("user%d" % number, "count", {"steps": 4, "word": number}, "") for number in range(3)]
    assert [engine.ahead(job) for job in jobs[1:]] in ([1, 2], [2, 3])
    events = follow(engine, jobs[2])
    waited = [values["ahead"] for key, values, _ in events if key == "waiting"]
    assert waited and waited == sorted(waited, reverse=True)
    assert [job.outputs["word"] for job in jobs] == [0, 1, 2]


def test_a_full_line(engine):
    for _ in range(4):
        engine.submit("me", "count", {"steps": 5}, "")
    with pytest.raises(Refused) as refused:
        engine.submit("me", "count", {"steps": 5}, "")
    assert refused.value.key == "busy"


def test_cancel_of_one_user_leaves_the_other_alone(engine):
    mine = engine.submit("me", "count", {"steps": 200}, "")
    wait_for_step(engine, mine)
    yours = engine.submit("you", "count", {"steps": 10, "word": "yours"}, "")
    waiting = engine.submit("me", "count", {"steps": 2}, "")
    start = time.monotonic()
    engine.cancel(lambda owner: owner == "me")
    follow(engine, mine)
    wait_for_step(engine, yours)
    engine.cancel(lambda owner: owner == "me")  # what runs now is not mine
    for job in (waiting, yours):
        follow(engine, job)
    assert time.monotonic() - start < 5
    assert (mine.problem.key, waiting.problem.key) == ("cancelled", "cancelled")
    assert yours.outputs["word"] == "yours"
    assert engine.started == 1  # the models stayed


def test_a_run_that_does_not_listen_is_ended(engine):
    job = engine.submit("me", "deaf", {}, "")
    wait_for_step(engine, job)
    engine.cancel(lambda owner: True)
    follow(engine, job)
    assert job.problem.key == "cancelled"
    assert run(engine, "count", steps=1).outputs
    assert engine.started == 2


def test_a_crash_is_a_message_and_the_next_run_starts_anew(engine):
    assert run(engine, "crash").problem.key == "worker_died"
    assert run(engine, "count", steps=1).outputs


def test_errors_of_a_model(engine):
    problem = run(engine, "fail").problem
    assert (problem.key, problem.values) == ("model_failed", {"reason": "last line"})
    problem = run(engine, "lacks").problem
    assert problem.key == "not_installed" and "no_such_package_as_this" in problem.text("en")
    assert run(engine, "count", steps=1).outputs
    assert engine.started == 1


def test_a_python_that_is_not_there(tmp_path):
    engine = Engine(None, None, command=[str(tmp_path / "python")])
    assert run(engine, "count", steps=1).problem.key == "not_installed"
    engine.close()
    with pytest.raises(Refused):
        engine.submit("me", "count", {}, "")


def alive(process):
    """Whether a process runs (one that has ended and waits to be asked does not)."""
    try:
        with open("/proc/%d/stat" % process) as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


SERVER = """
import sys, time
sys.path.insert(0, %r)
from demo.engine import Engine
from demo.folders import ServerFolder
import tempfile

folder = ServerFolder(sys.argv[1])
engine = Engine(None, None, command=[sys.executable, sys.argv[2]])
job = engine.submit("me", sys.argv[3], {"steps": 100000}, folder.new("run"))
tempfile.mkstemp()
next(job.follow(engine))
print(engine._process.pid, folder.path, *folder.removed, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks into /proc")
@pytest.mark.parametrize("app", ["count", "deaf"])
def test_nothing_outlives_a_server_that_was_killed(tmp_path, app):
    (tmp_path / "worker.py").write_text(WORKER % APPLICATIONS)
    base = tmp_path / "base"
    words_of = [sys.executable, "-c", SERVER % APPLICATIONS, str(base), str(tmp_path / "worker.py"), app]
    killed = subprocess.Popen(words_of, stdout=subprocess.PIPE, text=True)
    living = subprocess.Popen(words_of, stdout=subprocess.PIPE, text=True)
    try:
        process, left = killed.stdout.readline().split()
        _, stays = living.stdout.readline().split()
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert len(os.listdir(os.path.join(left, "tmp"))) == 2
        for _ in range(100):
            if not alive(int(process)):
                break
            time.sleep(0.05)
        assert not alive(int(process))
        third = ServerFolder(str(base))
        assert third.removed == [left]
        assert os.path.isdir(stays)
        assert sorted(os.listdir(str(base))) == sorted(
            ["making.lock"] + [os.path.basename(path) + end for path in (stays, third.path) for end in ("", ".lock")]
        )
        third.close()
        assert not os.path.exists(third.path) and not os.path.exists(third.path + ".lock")
    finally:
        for server in (killed, living):
            server.kill()
            server.wait()
            server.stdout.close()


@pytest.fixture(autouse=True)
def same_temporary_directory(monkeypatch):
    """A ServerFolder changes it for its process."""
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())
    for name in ("TMPDIR", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


def test_words_are_complete():
    import re

    for key, texts in words.WORDS.items():
        holes = [sorted(re.findall(r"{(\w+)}", text)) for text in texts]
        assert len(texts) == 2 and holes[0] == holes[1] and all(texts), key
    used = set()
    for folder, _, names in os.walk(APPLICATIONS):
        for name in names:
            if name.endswith(".py") and name != "words.py":
                with open(os.path.join(folder, name), encoding="utf-8") as stream:
                    text = stream.read()
                used |= set(re.findall(r'(?:Refused|word|headers|progress|yield)\(?\s*"(\w+)"', text))
    assert len(used) > 40 and used <= set(words.WORDS)
    assert words.say("zh", "waiting", ahead=2) == "排队中，前面还有 2 个任务"


@pytest.mark.parametrize(
    ("header", "want"),
    [("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-US,en", "en"), ("fr,zh-TW;q=0.3", "zh"), (None, "en"), ("", "en")],
)
def test_the_language_is_the_browsers(header, want):
    assert words.language_of(header) == want


@pytest.mark.parametrize("size", [(100, 50), (50, 100), (64, 64), (1000, 3), (5, 5)])
def test_images_get_the_size_of_the_run(size):
    image = Image.new("RGB", size, "red")
    fitted = generation.fitted(image, 96, 64)
    assert (
        fitted.size == (96, 64) and fitted.getpixel((0, 0)) == (255, 0, 0) and fitted.getpixel((95, 63)) == (255, 0, 0)
    )
    inside = generation.within(image, 64)
    assert all(side % 8 == 0 and 8 <= side <= 64 for side in inside.size)


def test_an_image_is_cut_around_its_middle():
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[:, 40:80] = 255
    assert np.asarray(generation.fitted(Image.fromarray(pixels), 40, 40))[:, 2:-2].min() > 250
