"""A page of the change, started as a user starts it: gradio's own environment, the suite's for its worker."""

import json
import os
import re
import sys

from proving import browser
from proving.wheels import cache, environment, unpacked

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.getcwd()
DIRECTORY = os.path.join(TREE, "applications", "gradio")
# files of the fixture `bad_files`, and what is said to each
BAD_FILES = {
    "text.png": "text.png is not an image: upload PNG",
    "forty.png": "forty.png has 40.0 megapixels, at most 36.0 are taken",
    "empty.png": r"empty.png is empty \(0 bytes\)",
}


class Server(browser.Server):
    """One page in gradio's own environment; its worker runs in the suite's.

    Args:
        program (list): the script and its arguments.
        log (str): where its output goes.
        models: where models are looked up.
        temporary (str): an empty directory for all temporary files of the page.
    """

    def __init__(self, program, log, models, temporary):
        python = environment(cache("mix-gradio"), os.path.join(HERE, "gradio-requirements.txt"))
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        variables.update(NLTK_DATA=os.path.join(str(models), "nltk_data"))
        variables.update(PYTHONPYCACHEPREFIX=os.path.join(cache("mix-gradio"), "pycache"))
        # colour_page.py, which is no part of the pages, imports them
        variables.update(PYTHONPATH=os.pathsep.join([DIRECTORY, os.environ.get("PYTHONPATH", "")]))
        words = [python, *program, "--worker-python", sys.executable, "--grace", "20"]
        super().__init__(words, log, str(models), temporary, variables)

    def crash_and_restart(self):
        """Ends the page in mid-run as a crash does: its worker ends with it, and the next page removes what it left."""
        assert len(self.runs()) == 1
        alive, left = self.crash(), self.folders()
        assert alive == [] and len(left) == 1
        self.start()
        assert len(self.folders()) == 1 and self.folders() != left
        assert self.runs() == []

    def folders(self):
        base = os.path.join(self.temporary, "paddlemix_gradio_%d" % os.getuid())
        return sorted(name for name in os.listdir(base) if os.path.isdir(os.path.join(base, name)))

    def files(self):
        """Everything in the temporary directory but the one lock that stands between servers."""
        return [path for path in super().files() if os.path.basename(path) != "making.lock"]

    def runs(self):
        """Directories of runs that have not been removed."""
        kinds = re.compile(r"(single|batch|upscaling|image2image|dual_guided|text2video)-")
        return sorted(name for _, folders, _ in os.walk(self.temporary) for name in folders if kinds.match(name))


class User(browser.User):
    """A reader of one of the two pages, whose parts are chosen by a group of radio buttons."""

    def __init__(self, context, server, pictures):
        self.page, self._pictures, self._taken = context.new_page(), pictures, 0
        self.page.set_default_timeout(browser.PATIENCE)
        self.elsewhere = []
        self.page.on("request", lambda request: self._note(request.url, server.url))
        self.page.goto(server.url)
        self.page.wait_for_selector("#sections label")
        # the page speaks the browser's language once it has asked for it
        self.page.wait_for_function("() => /^\\[/.test((document.querySelector('.actions textarea') || {}).value || '')")

    def tab(self, number):
        self.page.locator("#sections label").nth(number).click()

    def text(self):
        """All words that are shown."""
        return self.page.evaluate("document.body.innerText")

    def faults(self):
        """What axe-core finds, as (rule, impact, first element, number of elements)."""
        version, want = "0.1.8", "fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8"
        place = unpacked(cache("mix-gradio"), "axe-playwright-python", version, want, "axe_playwright_python/axe")
        with open(os.path.join(place, "axe_playwright_python", "axe.min.js"), encoding="utf-8") as stream:
            self.page.evaluate(stream.read())
        found = self.page.evaluate("axe.run()")["violations"]
        return [(rule["id"], rule["impact"], rule["nodes"][0]["html"][:160], len(rule["nodes"])) for rule in found]


def read_json(path):
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def speaks_one_language(someone, locale):
    """Chinese is shown to no English reader, and to a Chinese one no whole English sentence or head of a table."""
    text = someone.text()
    if locale == "en-US":
        assert not re.findall(r"[\u4e00-\u9fff]+", text)
    else:
        assert re.search("运行", text)
        assert not re.findall(r"\b(image|why|label|score|points|area|prompt|Run|Cancel|Status|Holes)\b", text)


def results_fit(someone, locale):
    """With results on the page: one language, axe finds nothing, and nothing reaches beyond a desk's or a phone's window."""
    speaks_one_language(someone, locale)
    usual = someone.page.viewport_size
    for width, height in ((390, 844), (usual["width"], usual["height"])):
        someone.page.set_viewport_size({"width": width, "height": height})
        assert someone.page.evaluate("document.documentElement.scrollWidth") <= width
        assert someone.faults() == []
        for table in someone.page.locator(".rows:visible").all():
            no_word_is_broken_or_out_of_reach(someone, table)


def no_word_is_broken_or_out_of_reach(someone, table):
    """Each cell is one line, and the arrow keys bring the last column into the window."""
    assert table.evaluate("part => Math.max(...[...part.querySelectorAll('th, td')].map(cell => cell.clientHeight))") < 40
    table.focus()
    for _ in range(30):
        someone.page.keyboard.press("ArrowRight")
    last = "part => part.querySelector('th:last-child').getBoundingClientRect().right <= innerWidth"
    someone.page.wait_for_function(last, arg=table.element_handle(), timeout=5000)


def fits(someone, parts):
    """Every part of the page can be reached without a menu, nothing reaches beyond the window, axe finds nothing."""
    width = someone.page.viewport_size["width"]
    labels = someone.page.locator("#sections label")
    assert labels.count() == len(parts)
    for number, part in enumerate(parts):
        box = labels.nth(number).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        someone.tab(number)
        someone.page.locator("#%s-run" % part).wait_for(state="visible")
        assert someone.page.evaluate("document.documentElement.scrollWidth") <= width
        assert someone.faults() == []
