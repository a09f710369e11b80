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
"""Runs models for a page: one JSON message a line on stdin and stdout, models loaded when first asked for and kept.

Started by demo/engine.py. It reads {"run", "app", "inputs", "folder"} and {"cancel"}; it writes {"run", "progress"}, {"run", "refused"} or
{"run", "outputs"}. It ends when its stdin ends, so that it never outlives the page.
"""

import json
import os
import queue
import sys
import threading
import traceback

from demo.words import Refused


class Run:
    """What an application gets: its inputs, a folder, and a way to say how far it is."""

    def __init__(self, message, channel, cancelled):
        self.number, self.inputs, self.folder = message["run"], message["inputs"], message["folder"]
        self._channel, self._cancelled = channel, cancelled
        self._part = None

    def path(self, name):
        return os.path.join(self.folder, name)

    def check(self):
        """Raises Refused("cancelled") once the user has cancelled."""
        if self.number in self._cancelled:
            raise Refused("cancelled")

    def part(self, number, total):
        """Says which of how many parts follows; it stands before what `progress` says, and gives the share that is done."""
        self._part = (number, total) if total > 1 else None

    def progress(self, key, share=None, **values):
        """Says how far it is (share of 1), and checks for a cancel."""
        self.check()
        if self._part is not None:
            number, total = self._part
            values = {**values, "part": number + 1, "parts": total}
            share = number / total if share is None else share
        self._channel.write({"run": self.number, "progress": key, "share": share, "values": values})


class Channel:
    """Lines to the page."""

    def __init__(self, stream):
        self._stream, self._lock = stream, threading.Lock()

    def write(self, message):
        with self._lock:
            self._stream.write(json.dumps(message) + "\n")
            self._stream.flush()


def serve(applications):
    """Runs until stdin ends.

    Args:
        applications (dict): {name: callable of a Run that returns its outputs, which JSON can hold}.
    """
    channel = Channel(os.fdopen(os.dup(1), "w", buffering=1))
    os.dup2(2, 1)  # what models print must not come between the messages
    sys.stdout = sys.stderr
    runs, cancelled = queue.Queue(), set()

    def read():
        for line in sys.stdin:
            message = json.loads(line)
            if "cancel" in message:
                cancelled.add(message["cancel"])
            else:
                runs.put(message)
        os._exit(0)  # the page is gone; a model in the middle of its work has nobody to work for

    threading.Thread(target=read, daemon=True).start()
    while True:
        message = runs.get()
        run = Run(message, channel, cancelled)
        try:
            outputs = applications[message["app"]](run)
            run.check()
            channel.write({"run": run.number, "outputs": outputs})
        except Refused as refused:
            channel.write({"run": run.number, "refused": refused.key, "values": refused.values})
        except Exception as problem:
            traceback.print_exc()
            reason = str(problem).strip().split("\n")[-1][:300] or type(problem).__name__
            key = "not_installed" if isinstance(problem, ImportError) else "model_failed"
            channel.write({"run": run.number, "refused": key, "values": {"reason": reason}})


def main():
    if sys.argv[1:] == ["autolabel"]:
        from demo.labelling import APPLICATIONS
    elif sys.argv[1:] == ["text2image"]:
        from demo.generation import APPLICATIONS
    else:
        raise SystemExit("usage: worker.py autolabel | text2image (the pages start it)")
    serve(APPLICATIONS)


if __name__ == "__main__":
    main()
