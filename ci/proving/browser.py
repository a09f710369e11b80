"""A web page, started as a user starts it and driven in Chromium as a user drives it.

`Server` starts the page's program and says what it leaves behind; `User` is one browser window; `launched` gives the browser.
The names of inputs are the `elem_id`s of a Gradio page: `#<name>` holds the input, `#<name>-run` the button, `#<name>-status`
what is said.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from typing import Any, Iterator, List, Mapping, Sequence, Tuple

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENCE = int(os.environ.get("PATIENCE", 120)) * 1000  # milliseconds; a shared machine is slow


def chromium() -> str:
    """Debian's Chromium. Raises SystemExit where it is missing."""
    found = shutil.which("chromium")
    if found is None:
        raise SystemExit("error: chromium is not installed\n  next  ci/debian-packages.sh")
    return found


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """A browser of playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One page; it listens on `--port`. url: where it is.

    words: the program and its arguments. log: where its output goes. folder: where it runs. temporary: an empty directory for all
    its temporary files. variables: its environment variables beside TMPDIR.
    """

    def __init__(self, words: Sequence[str], log: str, folder: str, temporary: str, variables: Mapping[str, str]) -> None:
        self.words, self.log, self.folder, self.temporary = list(words), log, folder, temporary
        self.variables = dict(variables, TMPDIR=temporary)
        self.process = None  # type: Any
        self.url = ""

    def start(self) -> None:
        """Start the page and wait until it answers. Raises AssertionError with the end of its log where it does not."""
        port = free_port()
        self.url = "http://127.0.0.1:%d/" % port
        with open(self.log, "a") as log:
            words = [*self.words, "--port", str(port)]
            self.process = subprocess.Popen(words, cwd=self.folder, env=self.variables, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError("the page ended with %s: %s" % (self.process.returncode, self.tail()))
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("the page did not start: " + self.tail())

    def tail(self) -> str:
        with open(self.log) as stream:
            return stream.read()[-2000:]

    def workers(self) -> List[int]:
        """Process ids of the page's children."""
        import psutil

        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def crash(self) -> List[Any]:
        """End the page in mid-run as a crash does; returns those of its children that are still alive after ten seconds."""
        import psutil

        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        return list(psutil.wait_procs(children, timeout=10)[1])

    def stop(self) -> List[str]:
        """End the page; returns the files that it leaves in its temporary directory."""
        self.process.terminate()
        self.process.wait(timeout=60)
        return self.files()

    def files(self) -> List[str]:
        """Everything in the temporary directory."""
        found = [os.path.join(folder, name) for folder, _, names in os.walk(self.temporary) for name in names]
        return sorted(os.path.relpath(path, self.temporary) for path in found)


class User:
    """One browser window, with its own cookies and its own language. elsewhere: requests to other hosts."""

    def __init__(self, context: Any, server: Server, pictures: str) -> None:
        """context: a browser context of playwright; pictures: what the names of screenshots begin with."""
        self.page, self._pictures, self._taken = context.new_page(), pictures, 0
        self.page.set_default_timeout(PATIENCE)
        self.elsewhere = []  # type: List[str]
        self.page.on("request", lambda request: self._note(request.url, server.url))
        self.page.goto(server.url)
        self.page.wait_for_selector("button[role=tab]")

    def _note(self, url: str, own: str) -> None:
        if not url.startswith((own, "data:", "blob:")):
            self.elsewhere.append(url)

    def tab(self, number: int) -> None:
        self.page.locator("button[role=tab]").nth(number).click()

    def upload(self, name: str, *files: Any) -> None:
        """Put files into an input and wait until they have arrived."""
        box = self.page.locator("#%s" % name)
        box.locator("input[type=file]").first.set_input_files([str(file) for file in files])
        box.locator("img, table, .file-preview").first.wait_for(state="visible")

    def write(self, name: str, text: Any) -> None:
        self.page.locator("#%s textarea, #%s input[type=number]" % (name, name)).first.fill(str(text))

    def run(self, name: str) -> None:
        # the sentence of the last run must not be taken for that of the next one
        self.page.evaluate("name => { document.querySelector('#' + name + '-status textarea').value = '' }", name)
        self.page.locator("#%s-run" % name).click()

    def cancel(self, name: str) -> None:
        self.page.locator("#%s-cancel" % name).click()

    def status(self, name: str) -> str:
        return str(self.page.locator("#%s-status textarea" % name).input_value())

    def wait(self, name: str, pattern: str) -> str:
        """The status, once it matches. Raises AssertionError with the status that stands there instead."""
        end = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < end:
            if re.search(pattern, self.status(name)):
                return self.status(name)
            self.page.wait_for_timeout(50)
        raise AssertionError("status of %s is %r, want %s" % (name, self.status(name), pattern))

    def shown(self, name: str) -> Tuple[int, ...]:
        """Pixels (width, height) of the picture in a result."""
        image = self.page.locator("#%s img" % name).first
        image.wait_for(state="visible")
        self.page.wait_for_function(
            "name => { const i = document.querySelector('#' + name + ' img'); return i && i.naturalWidth }", arg=name
        )
        return tuple(image.evaluate("image => [image.naturalWidth, image.naturalHeight]"))

    def download(self, name: str, folder: Any, number: int = 0) -> str:
        """Path of the downloaded file, under the name that the browser gives it."""
        link = self.page.locator("#%s a[download], #%s a[href*='/file=']" % (name, name)).nth(number)
        link.wait_for(state="visible")
        with self.page.expect_download() as waiting:
            link.click()
        path = os.path.join(str(folder), waiting.value.suggested_filename)
        waiting.value.save_as(path)
        return path

    def picture(self, word: str = "page") -> None:
        """A screenshot for a reader; the whole page."""
        self._taken += 1
        self.page.screenshot(path="%s-%d-%s.png" % (self._pictures, self._taken, word), full_page=True)
