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
"""The process that runs the models, seen from the page: started when first needed, one run at a time, cancelled, ended, started anew.

The page and the models are two processes because their packages do not fit into one: gradio needs huggingface_hub of today, ppdiffusers and
paddlenlp of the time need an old one. It also means that a run which does not listen can be ended, and that a crash of a model is a message.
"""

import collections
import itertools
import json
import os
import queue
import subprocess
import threading
import time

from .words import Refused

WORKER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "worker.py")


class Job:
    """One run. `follow` gives its events; `outputs` is there after the last one, or `problem` (Refused) is."""

    def __init__(self, number, owner, app, inputs, folder):
        self.number, self.owner, self.app, self.inputs, self.folder = number, owner, app, inputs, folder
        self.events = queue.Queue()
        self.outputs = None
        self.problem = None
        self.ended = threading.Event()
        self.wants_end = False

    def follow(self, engine, every=0.5):
        """Events until the end: (key of WORDS, values, share done or None). A waiting run says how many are before it."""
        while True:
            try:
                yield self.events.get(timeout=every)
                continue
            except queue.Empty:
                pass
            if self.ended.is_set() and self.events.empty():
                return
            ahead = engine.ahead(self)
            if ahead is not None:
                yield "waiting", {"ahead": ahead}, None


class Engine:
    """
    Args:
        python (str): the interpreter that has the models' packages.
        applications (str): which table of the worker to serve, "autolabel" or "text2image".
        most (int): runs that may wait or run; one more is refused.
        grace (float): seconds that a run may go on after it was cancelled, before its process is ended.
        command (list[str]): what to start instead of worker.py (tests).
    """

    def __init__(self, python, applications, most=32, grace=10.0, command=None):
        self._command = command or [python, WORKER, applications]
        self._most, self._grace = most, grace
        self._numbers = itertools.count(1)
        self._waiting = collections.deque()
        self._running = None
        self._changed = threading.Condition()
        self._process = None
        self._closing = False
        self.started = 0
        threading.Thread(target=self._serve, daemon=True, name="engine").start()

    def submit(self, owner, app, inputs, folder):
        """Puts a run at the end of the line. Raises Refused where the line is full.

        Args:
            owner: equal for all runs that `cancel` shall end together.
            folder (str): a directory for what the run writes.
        """
        with self._changed:
            if self._closing:
                raise Refused("closing")
            if len(self._waiting) + (self._running is not None) >= self._most:
                raise Refused("busy", limit=self._most)
            job = Job(next(self._numbers), owner, app, inputs, folder)
            self._waiting.append(job)
            self._changed.notify_all()
        return job

    def ahead(self, job):
        """How many runs are before this one; None when it runs or is over."""
        with self._changed:
            if job not in self._waiting:
                return None
            return self._waiting.index(job) + (self._running is not None)

    def cancel(self, wanted):
        """Ends the runs whose owner `wanted(owner)` names. Those that wait end at once."""
        with self._changed:
            for job in [job for job in self._waiting if wanted(job.owner)]:
                self._waiting.remove(job)
                self._end(job, problem=Refused("cancelled"))
            job = self._running
            if job is None or job.wants_end or not wanted(job.owner):
                return
            job.wants_end = True
            process = self._process
        self._say(process, {"cancel": job.number})
        threading.Thread(target=self._insist, args=(job, process), daemon=True).start()

    def close(self):
        """Ends the process and everything that waits."""
        with self._changed:
            self._closing = True
            process = self._process
            while self._waiting:
                self._end(self._waiting.popleft(), problem=Refused("closing"))
            self._changed.notify_all()
        if process is not None:
            process.kill()
            process.wait()

    def _insist(self, job, process):
        if not job.ended.wait(self._grace):
            process.kill()

    def _serve(self):
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                job = self._running = self._waiting.popleft()
                try:
                    process = self._alive()
                except OSError as problem:
                    self._finish(job, problem=Refused("not_installed", reason=problem))
                    continue
            self._say(process, {"run": job.number, "app": job.app, "inputs": job.inputs, "folder": job.folder})
            self._listen(job, process)

    def _alive(self):
        if self._process is None or self._process.poll() is not None:
            self.started += 1
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
        return self._process

    def _say(self, process, message):
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
        except (OSError, ValueError):
            pass  # it has ended, and `_listen` will see that

    def _listen(self, job, process):
        for line in process.stdout:
            message = json.loads(line)
            if message["run"] != job.number:
                continue
            if "progress" in message:
                job.events.put((message["progress"], message["values"], message["share"]))
            elif "refused" in message:
                return self._finish(job, problem=Refused(message["refused"], **message["values"]))
            else:
                return self._finish(job, outputs=message["outputs"])
        status = process.wait()
        self._finish(job, problem=Refused("cancelled") if job.wants_end else Refused("worker_died", status=status))

    def _finish(self, job, outputs=None, problem=None):
        with self._changed:
            self._running = None
            self._end(job, outputs, problem)

    def _end(self, job, outputs=None, problem=None):
        # a run that was cancelled while it said its last word has no result either
        if job.wants_end and problem is None:
            outputs, problem = None, Refused("cancelled")
        job.outputs, job.problem = outputs, problem
        job.ended.set()


def stopwatch():
    """Seconds since it was made, with one digit."""
    start = time.monotonic()
    return lambda: "%.1f" % (time.monotonic() - start)
