"""A page of the change, started as a user starts it, and driven in Chromium as a user drives it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import psutil

from proving.wheels import cache, environment

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.getcwd()
DIRECTORY = os.path.join(TREE, "applications", "gradio")
# files of the fixture `bad_files`, and what is said to each
BAD_FILES = {
    "text.png": "text.png is not an image: upload PNG",
    "forty.png": "forty.png has 40.0 megapixels, at most 36.0 are taken",
    "empty.png": r"empty.png is empty \(0 bytes\)",
}
CHROMIUM_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CHROMIUM_FLAGS += ["--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENCE = int(os.environ.get("PATIENCE", 120)) * 1000  # milliseconds; a shared machine is slow


def chromium():
    """Debian's Chromium. Raises SystemExit where it is missing."""
    found = shutil.which("chromium")
    if found is None:
        raise SystemExit("error: chromium is not installed\n  next  ci/debian-packages.sh")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One page in gradio's own environment; its worker runs in the suite's.

    Args:
        program (list): the script and its arguments.
        log (str): where its output goes.
        models: where models are looked up.
        temporary (str): an empty directory for all temporary files of the page.
    """

    def __init__(self, program, log, models, temporary):
        self.python = environment(cache("mix-gradio"), os.path.join(HERE, "gradio-requirements.txt"))
        self.program, self.log = program, log
        self.temporary, self.models = temporary, str(models)
        self.process = None

    def start(self):
        port = free_port()
        self.url = "http://127.0.0.1:%d/" % port
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        variables.update(TMPDIR=self.temporary, NLTK_DATA=os.path.join(self.models, "nltk_data"))
        variables.update(PYTHONPYCACHEPREFIX=os.path.join(cache("mix-gradio"), "pycache"))
        words = [self.python, *self.program, "--port", str(port), "--worker-python", sys.executable, "--grace", "20"]
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(words, cwd=self.models, env=variables, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError("the page ended with %s: %s" % (self.process.returncode, self.tail()))
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("the page did not start: " + self.tail())

    def tail(self):
        with open(self.log) as stream:
            return stream.read()[-2000:]

    def workers(self):
        """Process ids of the page's children: the worker, once it was needed."""
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def crash_and_restart(self):
        """Ends the page in mid-run as a crash does: its worker ends with it, and the next page removes what it left."""
        assert len(self.runs()) == 1
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        _, alive = psutil.wait_procs(children, timeout=10)
        left = self.folders()
        assert alive == [] and len(left) == 1
        self.start()
        assert len(self.folders()) == 1 and self.folders() != left
        assert self.runs() == []

    def stop(self):
        """Ends the page, and returns files that are left (locks are empty files that stay)."""
        self.process.terminate()
        self.process.wait(timeout=60)
        return self.files()

    def folders(self):
        base = os.path.join(self.temporary, "paddlemix_gradio_%d" % os.getuid())
        return sorted(name for name in os.listdir(base) if os.path.isdir(os.path.join(base, name)))

    def files(self):
        """Everything in the temporary directory but the one lock that stands between servers."""
        found = [os.path.join(folder, name) for folder, _, names in os.walk(self.temporary) for name in names]
        return sorted(os.path.relpath(path, self.temporary) for path in found if os.path.basename(path) != "making.lock")

    def runs(self):
        """Directories of runs that have not been removed."""
        kinds = re.compile(r"(single|batch|upscaling|image2image|dual_guided|text2video)-")
        return sorted(name for _, folders, _ in os.walk(self.temporary) for name in folders if kinds.match(name))


class User:
    """One browser window, with its own cookies and its own language."""

    def __init__(self, context, server, pictures):
        self.page, self._pictures, self._taken = context.new_page(), pictures, 0
        self.page.set_default_timeout(PATIENCE)
        self.elsewhere = []
        self.page.on("request", lambda request: self._note(request.url, server.url))
        self.page.goto(server.url)
        self.page.wait_for_selector("button[role=tab]")

    def _note(self, url, own):
        if not url.startswith((own, "data:", "blob:")):
            self.elsewhere.append(url)

    def tab(self, number):
        self.page.locator("button[role=tab]").nth(number).click()

    def upload(self, name, *files):
        """Puts files into an input and waits until they have arrived."""
        box = self.page.locator("#%s" % name)
        box.locator("input[type=file]").first.set_input_files([str(file) for file in files])
        box.locator("img, table, .file-preview").first.wait_for(state="visible")

    def write(self, name, text):
        self.page.locator("#%s textarea, #%s input[type=number]" % (name, name)).first.fill(str(text))

    def run(self, name):
        # the sentence of the last run must not be taken for that of the next one
        self.page.evaluate("name => { document.querySelector('#' + name + '-status textarea').value = '' }", name)
        self.page.locator("#%s-run" % name).click()

    def cancel(self, name):
        self.page.locator("#%s-cancel" % name).click()

    def status(self, name):
        return self.page.locator("#%s-status textarea" % name).input_value()

    def wait(self, name, pattern):
        """The status, once it matches. Raises AssertionError with the status that stands there instead."""
        end = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < end:
            if re.search(pattern, self.status(name)):
                return self.status(name)
            self.page.wait_for_timeout(50)
        raise AssertionError("status of %s is %r, want %s" % (name, self.status(name), pattern))

    def shown(self, name):
        """Pixels (width, height) of the picture in a result."""
        image = self.page.locator("#%s img" % name).first
        image.wait_for(state="visible")
        self.page.wait_for_function(
            "name => { const i = document.querySelector('#' + name + ' img'); return i && i.naturalWidth }", arg=name
        )
        return tuple(image.evaluate("image => [image.naturalWidth, image.naturalHeight]"))

    def download(self, name, folder, number=0):
        """Path of the downloaded file, under the name that the browser gives it."""
        link = self.page.locator("#%s a[download], #%s a[href*='/file=']" % (name, name)).nth(number)
        link.wait_for(state="visible")
        with self.page.expect_download() as waiting:
            link.click()
        path = os.path.join(str(folder), waiting.value.suggested_filename)
        waiting.value.save_as(path)
        return path

    def picture(self, word="page"):
        """A screenshot for a reader; the whole page."""
        self._taken += 1
        self.page.screenshot(path="%s-%d-%s.png" % (self._pictures, self._taken, word), full_page=True)


def read_json(path):
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)
