"""retrieval_page.py in Chromium: words and a picture, the order of what is found, alternative texts, what is refused, two languages, a telephone,
a model that ends in mid-run.

The page runs in gradio's own environment (that of mix-gradio's pages), its model in the suite's. Without --model the weights are new: what is
found means nothing, and its order is that of `Index.search` in this process.
"""

import os
import re
import sys

import pytest
from PIL import Image

from proving import browser as browsers
from proving.tree import on_path
from proving.wheels import cache, environment

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.getcwd()
EXAMPLES = os.path.join(TREE, "paddlemix", "examples", "blip2")
REQUIREMENTS = os.path.join(HERE, "..", "..", "gradio", "checks", "gradio-requirements.txt")
on_path(EXAMPLES)
on_path(TREE, "tests", "models")
import retrieval_search  # noqa: E402
import test_blip2_retrieval_examples as made  # noqa: E402
from retrieval_data import Pictures  # noqa: E402

LENGTH = 12
CAPTIONS = ("a red disc", "a blue box, top left", "<b id='acted'>a green cross</b>")


class User(browsers.User):
    def __init__(self, context, server, pictures):
        self.page, self._pictures, self._taken = context.new_page(), pictures, 0
        self.page.set_default_timeout(browsers.PATIENCE)
        self.elsewhere = []
        self.page.on("request", lambda request: self._note(request.url, server.url))
        self.page.goto(server.url)
        self.page.wait_for_function("() => document.querySelector('#words-status textarea')?.value")

    def found(self, name):
        """Alternative texts of the pictures that are shown, which say name and score."""
        self.page.locator(f"#{name}-found img").first.wait_for(state="visible")
        return [one.get_attribute("alt") or "" for one in self.page.locator(f"#{name}-found .grid-container img").all()]


@pytest.fixture(scope="module")
def library(request, tmp_path_factory):
    """(model, index, folder of pictures, captions)."""
    folder = str(tmp_path_factory.mktemp("library"))
    model, images = (request.config.getoption(name) for name in ("--model", "--images"))
    if not model:
        model = os.path.join(folder, "model")
        made.tiny().save_pretrained(model)
        made.write_vocabulary(model)
    if not images:
        images = os.path.join(folder, "pictures")
        os.makedirs(images)
        for seed in range(11):
            made.scene(seed)[0].save(os.path.join(images, f"{seed}.png"))
        exif = Image.Exif()
        exif[0x0112] = 6
        made.scene(11)[0].resize((80, 40)).save(os.path.join(images, "turned.jpg"), exif=exif)
    captions = os.path.join(folder, "captions.txt")
    with open(captions, "w", encoding="utf-8-sig") as stream:
        stream.write("\n".join(CAPTIONS) + "\n\n")
    index = os.path.join(folder, "index")
    words = ["embed", images, "--model", model, "--index", index, "--max_length", str(LENGTH)]
    assert retrieval_search.main(words) == 0
    return model, index, images, captions


@pytest.fixture(scope="module")
def server(request, library, tmp_path_factory):
    out = request.config.getoption("--out")
    python = environment(cache("mix-gradio"), REQUIREMENTS)
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    variables["PYTHONPYCACHEPREFIX"] = os.path.join(cache("mix-gradio"), "pycache")
    words = [python, os.path.join(EXAMPLES, "retrieval_page.py"), "--model", library[0], "--index", library[1]]
    words += ["--captions", library[3], "--max_length", str(LENGTH), "--worker-python", sys.executable]
    temporary = str(tmp_path_factory.mktemp("tmp"))
    page = browsers.Server(words, os.path.join(out, "page.log"), TREE, temporary, variables)
    page.start()
    yield page
    assert [name for name in page.stop() if "blip2_search" in name] == [], "the page left files behind"


@pytest.fixture(scope="module")
def chromium():
    with browsers.launched() as browser:
        yield browser


@pytest.fixture
def user(chromium, server, request):
    contexts = []

    def opened(locale="en-US", width=1280):
        contexts.append(chromium.new_context(locale=locale, viewport={"width": width, "height": 900}))
        name = re.sub(r"[^a-z0-9]+", "-", request.node.name)
        return User(contexts[-1], server, os.path.join(request.config.getoption("--out"), name))

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def searched(library):
    """The index and a searcher of this process."""
    return retrieval_search.Index.read(library[1]), retrieval_search.Searcher(library[0], LENGTH)


def texts(best):
    return [f"{name} — {score:.3f}" for name, score in best]


def test_words(user, searched):
    index, searcher = searched
    someone = user()
    said = someone.page.evaluate("document.body.innerText")
    assert "How many" in said and "Status" in said and "[object" not in said and not re.findall("[\u4e00-\u9fff]", said)
    someone.write("words", "a red disc, left top")
    someone.run("words")
    assert someone.wait("words", "Done").startswith("Done: the best 9 of ")
    assert someone.found("words") == texts(index.search(searcher.words("a red disc, left top"), 9))
    someone.picture()
    someone.write("words", "red disc " * 20)
    someone.run("words")
    assert "only their beginning was read" in someone.wait("words", "Done")
    assert someone.elsewhere == []


def test_picture(user, library, searched):
    """A picture of the index is most like itself; captions are ordered, and markup in one is text."""
    index, searcher = searched
    name = index.names[3]
    someone = user()
    someone.upload("picture", os.path.join(library[2], name))
    someone.run("picture")
    assert someone.wait("picture", "Done")
    feature = searcher.picture(Pictures(library[2]).open(name))
    assert someone.found("picture") == texts(index.similar(feature, 9))
    assert someone.found("picture")[0] == f"{name} — 1.000"
    lines, features = searcher.captions(library[3])
    scores = (features @ feature.T).max(axis=1)
    want = [f"{lines[i]} — {scores[i]:.3f}" for i in (-scores).argsort(kind="stable")]
    assert someone.page.locator("#picture-captions li").all_inner_texts() == want
    assert someone.page.locator("#acted").count() == 0
    someone.picture()


def test_refusals(user, tmp_path):
    someone = user()
    for name in ("words", "picture"):
        someone.run(name)
        assert someone.wait(name, f"There (are|is) no {name}: ")
    (tmp_path / "text.png").write_text("no picture, whatever the name says")
    Image.new("1", (8000, 5000)).save(str(tmp_path / "forty.png"))
    for name, words in (("text.png", "not a picture that can be read"), ("forty.png", "more than 36 megapixels")):
        fresh = user()
        fresh.upload("picture", tmp_path / name)
        fresh.run("picture")
        assert fresh.wait("picture", words)


def test_chinese_telephone(user):
    someone = user("zh-CN", 390)
    said = someone.page.evaluate("document.body.innerText")
    assert (
        "以文搜图" in said
        and "数量" in said
        and "[object" not in said
        and not re.findall(r"\b(Search|Words|Status|Picture|captions)\b", said)
    )
    someone.write("words", "a blue box")
    someone.run("words")
    assert someone.wait("words", "完成")
    assert len(someone.found("words")) == 9
    assert someone.page.evaluate("document.documentElement.scrollWidth") <= 390
    someone.picture()
    someone.run("picture")
    assert someone.wait("picture", "没有图片")


def test_model_ends(user, server):
    """A model that is killed is said to have ended, and started again by the next search."""
    import psutil

    someone = user()
    someone.write("words", "a box")
    someone.run("words")
    assert someone.wait("words", "Done")
    for pid in server.workers():
        psutil.Process(pid).kill()
    someone.run("words")
    assert someone.wait("words", "Done|has ended")
    someone.run("words")
    assert someone.wait("words", "Done")
