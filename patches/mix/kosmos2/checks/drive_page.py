"""gradio_demo.py in Chromium: an answer with its box, a phrase that is clicked, downloads, what is refused, two languages, a telephone, a
model that ends in mid-run.

The page runs in gradio's own environment (that of mix-gradio's pages), its model in the suite's. The weights are new: what the answers say
means nothing; the box of the task "referring" stands in the prompt, so that there is one to draw.
"""

import json
import os
import re
import sys

import numpy as np
import pytest
from PIL import Image

from proving import browser as browsers
from proving.tree import on_path
from proving.wheels import cache, environment

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.getcwd()
PROGRAM = os.path.join(TREE, "paddlemix", "examples", "kosmos2", "gradio_demo.py")
PAGES = os.path.join(HERE, "..", "..", "gradio", "checks")
REQUIREMENTS = os.path.join(PAGES, "gradio-requirements.txt")
on_path(TREE, "tests", "models")
on_path(PAGES)
import kosmos2_testing as tiny  # noqa: E402
import pages  # noqa: E402


class User(pages.User):
    def __init__(self, context, server, pictures):
        self.page, self._pictures, self._taken = context.new_page(), pictures, 0
        self.page.set_default_timeout(browsers.PATIENCE)
        self.elsewhere = []
        self.page.on("request", lambda request: self._note(request.url, server.url))
        self.page.goto(server.url)
        self.page.wait_for_function("() => document.querySelector('#kosmos-status textarea')?.value")

    def task(self, number):
        self.page.locator("#kosmos-task label").nth(number).click()

    def referring(self, image):
        self.upload("kosmos-image", image)
        self.task(3)
        for name, value in zip(("x1", "y1", "x2", "y2"), (0.1, 0.2, 0.6, 0.9)):
            self.write("kosmos-" + name, value)
        self.run("kosmos")
        return self.wait("kosmos", r"Done|完成|could not|未能")


@pytest.fixture(scope="module")
def server(request, tmp_path_factory):
    out, folder = request.config.getoption("--out"), str(tmp_path_factory.mktemp("model"))
    path, _, _ = tiny.saved(folder)
    python = environment(cache("mix-gradio"), REQUIREMENTS)
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    variables["PYTHONPYCACHEPREFIX"] = os.path.join(cache("mix-gradio"), "pycache")
    words = [python, PROGRAM, "--model", path, "--worker-python", sys.executable]
    made = browsers.Server(words, os.path.join(out, "page.log"), folder, str(tmp_path_factory.mktemp("tmp")), variables)
    made.start()
    yield made
    left = [name for name in made.stop() if "kosmos2_demo" in name]
    assert left == [], "the page left files behind"


@pytest.fixture(scope="module")
def chromium():
    with browsers.launched() as browser:
        yield browser


@pytest.fixture
def user(chromium, server, request):
    contexts = []

    def opened(locale="en-US", width=1280):
        contexts.append(chromium.new_context(locale=locale, viewport={"width": width, "height": 900}, accept_downloads=True))
        name = re.sub(r"[^a-z0-9]+", "-", request.node.name)
        return User(contexts[-1], server, os.path.join(request.config.getoption("--out"), name))

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("pictures") / "photo.png")
    tiny.picture(height=240, width=320).save(path)
    return path


def pixels(user, folder):
    return np.asarray(Image.open(user.download("kosmos-save-image", folder)).convert("RGB"))


def test_answer(user, image, tmp_path):
    """The box of the prompt is drawn, in the picture and in the file; clicking its phrase changes the picture; the JSON says the same."""
    someone = user()
    assert someone.referring(image).startswith("Done")
    assert someone.shown("kosmos-picture") == (320, 240)
    found = pixels(someone, tmp_path)
    assert (found != np.asarray(Image.open(image).convert("RGB"))).any(axis=2).mean() > 0.01
    with open(someone.download("kosmos-save-json", tmp_path), encoding="utf-8") as stream:
        answer = json.load(stream)
    phrase, (start, end), boxes = answer["entities"][0]
    assert phrase == answer["text"][start:end] == "It"
    assert np.abs(np.array(boxes[0]) - [0.1, 0.2, 0.6, 0.9]).max() < 1 / 8
    source = someone.page.locator("#kosmos-picture img").first.get_attribute("src")
    someone.page.locator("#kosmos-answer").get_by_text("It", exact=True).first.click()
    someone.page.wait_for_function("s => document.querySelector('#kosmos-picture img')?.src !== s", arg=source)
    someone.picture()
    assert someone.elsewhere == []


def test_words(user, image):
    """Every label is a word of the reader's language, with a result on the page, and axe finds nothing, on a desk and on a telephone."""
    for locale, done in (("en-US", "Done"), ("zh-CN", "完成")):
        someone = user(locale)
        assert someone.referring(image).startswith(done)
        text = someone.text()
        assert "[object" not in text and "kosmos_" not in text
        assert bool(re.search("[\u4e00-\u9fff]", text)) == (locale == "zh-CN")
        for width in (1280, 390):
            someone.page.set_viewport_size({"width": width, "height": 900})
            assert someone.page.evaluate("document.documentElement.scrollWidth") <= width
            found = someone.faults()
            assert found == [], "\n".join(map(str, found))


def test_refusals(user, image):
    someone = user()
    someone.run("kosmos")
    assert someone.wait("kosmos", "no image")
    someone.upload("kosmos-image", image)
    someone.task(2)
    someone.run("kosmos")
    assert someone.wait("kosmos", "needs a text")
    someone.task(3)
    someone.run("kosmos")
    assert someone.wait("kosmos", "empty or reversed")


def test_chinese_telephone(user, image):
    someone = user("zh-CN", 400)
    text = someone.page.evaluate("document.body.innerText")
    assert "运行" in text and "任务" in text and "Task" not in text
    assert someone.page.evaluate("document.documentElement.scrollWidth") <= 400
    assert someone.referring(image).startswith("完成")
    someone.picture()


def test_model_ends(user, image, server):
    """A model that is killed is said to have ended, and started again by the next run."""
    import psutil

    someone = user()
    assert someone.referring(image).startswith("Done")
    for pid in server.workers():
        psutil.Process(pid).kill()
    someone.run("kosmos")
    assert someone.wait("kosmos", "Done|has ended")
    someone.run("kosmos")
    assert someone.wait("kosmos", "Done")
