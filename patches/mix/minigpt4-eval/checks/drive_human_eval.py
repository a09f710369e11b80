"""human_eval.py in Chromium: two raters at once, keys, ties, comments, taking back, resume after a kill, and what the report says of it.

The page runs in gradio's own environment (that of mix-gradio's pages), since its packages cannot stand beside the suite's.
"""

import csv
import json
import os
import re
import shutil
import time

import pytest

from proving import browser
from proving.tree import on_path
from proving.wheels import cache, environment

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.getcwd()
EXAMPLES = os.path.join(TREE, "paddlemix", "examples", "minigpt4")
REQUIREMENTS = os.path.join(HERE, "..", "..", "gradio", "checks", "gradio-requirements.txt")
on_path(EXAMPLES)
on_path(TREE, "tests", "models")
import human_eval  # noqa: E402
import minigpt4_eval_testing as tiny  # noqa: E402
import run_eval  # noqa: E402
from zeroshot import datasets, human, models  # noqa: E402

NAMES = ("sevenbillion", "thirteenbillion")


@pytest.fixture(scope="module")
def out(request):
    return request.config.getoption("--out")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of two runs on captions, one of which is right; one answer holds markup, and no rater may see it act."""
    folder = str(tmp_path_factory.mktemp("study"))
    files, images = tiny.write_sets(folder, 8)["gqa"]
    rows = datasets.read_set("gqa", files, images)
    runs = []
    for name, control in zip(NAMES, ("oracle", "random")):
        texts = models.control_texts(control, "gqa", rows, 2)
        texts = {
            key: f"It is {text}, I <b id='acted'>think</b>." if control == "random" else f"The color is {text}."
            for key, text in texts.items()
        }
        answers = os.path.join(folder, name + ".json")
        with open(answers, "w") as stream:
            json.dump([{"questionId": key, "prediction": text} for key, text in texts.items()], stream)
        path = os.path.join(folder, name)
        assert run_eval.main(tiny.words({"gqa": (files, images)}, path, answers=answers, outside="report")) == 0
        runs.append(f"{name}={path}")
    root = os.path.join(folder, "votes")
    assert human_eval.main(["make", root, "--task", "gqa", "--runs", *runs]) == 0
    return root, images


@pytest.fixture(scope="module")
def server(study, out, tmp_path_factory):
    """The page in gradio's own environment."""
    python = environment(cache("mix-gradio"), REQUIREMENTS)
    words = [python, os.path.join(EXAMPLES, "human_eval.py"), "serve", study[0], "--images", study[1]]
    hidden = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    variables = {key: value for key, value in os.environ.items() if key not in hidden}
    variables["PYTHONPYCACHEPREFIX"] = os.path.join(cache("mix-gradio"), "pycache")
    temporary = str(tmp_path_factory.mktemp("tmp"))
    server = browser.Server(words, os.path.join(out, "human_eval.log"), temporary, temporary, variables)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as driven:
        yield driven


class Rater(browser.User):
    """One window of one rater; the page has no tabs, it begins with a name."""

    def __init__(self, driven, server, name, locale="en-US", width=1280, pictures="page"):
        self.context = driven.new_context(locale=locale, viewport={"width": width, "height": 900})
        self.page, self.server, self.name, self.elsewhere = self.context.new_page(), server, name, []
        self._pictures, self._taken = pictures, 0
        self.page.set_default_timeout(browser.PATIENCE)
        self.page.on("request", lambda request: self._note(request.url, self.server.url))
        self.open()

    def open(self):
        self.page.goto(self.server.url)
        self.give(self.name)
        self.until(r"\d+ (of|/) \d+")

    def give(self, name):
        self.page.locator("#rater-name input, #rater-name textarea").first.fill(name)
        self.page.locator("#start").click()

    def progress(self):
        return self.page.locator("#progress").inner_text()

    def until(self, pattern):
        end = time.monotonic() + browser.PATIENCE / 1000
        while time.monotonic() < end:
            if re.search(pattern, self.progress()):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"progress is {self.progress()!r}, want {pattern}")

    def sides(self):
        return [self.page.locator(f"#answer-{side} .answer").inner_text() for side in ("left", "right")]

    def right_side(self):
        """The side whose answer begins as the right system's do, or None."""
        left, right = self.sides()
        return "left" if left.startswith("The color") else "right"

    def press(self, key, done):
        self.page.locator("#title").click()  # out of any text field
        self.page.keyboard.press(key)
        self.until(rf"\b{done} (of|/)")


def test_two_raters_at_once(chromium, server, study, out):
    root, _ = study
    number = len(human.Study(root).pairs)
    ann = Rater(chromium, server, "Ann", pictures=os.path.join(out, "ann"))
    bob = Rater(chromium, server, "鲍勃", locale="zh-CN", width=390, pictures=os.path.join(out, "bob"))
    ann.page.locator("#picture img").first.wait_for(state="visible")
    assert "已完成" in bob.progress() and "done" in ann.progress()
    # a phone's width: nothing stands out to the right
    assert bob.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for name in NAMES:  # blind: no name of a system is anywhere in what the browser has
        assert name not in ann.page.content()
        assert name not in ann.page.evaluate("JSON.stringify(window.gradio_config || {})")
    assert ann.page.locator("#acted").count() == 0  # markup of an answer is text
    # turn by turn: Ann by keys prefers what is right, Bob by buttons does but for one tie
    ann.picture()
    bob.picture("phone")
    seen = []
    for done in range(1, number + 1):
        seen.append((ann.right_side(), bob.right_side()))
        ann.press({"left": "1", "right": "2"}[seen[-1][0]], done)
        if done == 1:
            bob.page.locator("#comment textarea, #comment input").first.fill("=look 1")
        choice = "tie" if done == 1 else seen[-1][1]
        bob.page.locator(f"#vote-{choice}").click()
        bob.until(rf"\b{done} (of|/)")
    assert {left for left, _ in seen} == {"left", "right"}  # sides are drawn
    assert "All done" in ann.progress() and ann.page.locator("#vote-left").is_disabled()
    assert ann.elsewhere == bob.elsewhere == []
    votes = human.Study(root).all_votes()
    assert set(votes) == {"Ann", "鲍勃"}
    assert {vote["winner"] for vote in votes["Ann"].values()} == {NAMES[0]}
    assert sorted({vote["winner"] for vote in votes["鲍勃"].values()}) == sorted({NAMES[0], "tie"})
    for rater in (ann, bob):
        rater.context.close()


def test_keys_in_a_text_field_and_taking_back(chromium, server, study):
    root, _ = study
    rater = Rater(chromium, server, "Carol")
    field = rater.page.locator("#comment textarea, #comment input").first
    field.click()
    rater.page.keyboard.type("1 2 0 u")
    rater.page.wait_for_timeout(500)
    assert human.Study(root).votes("Carol") == {} and field.input_value() == "1 2 0 u"
    rater.press("0", 1)
    (vote,) = human.Study(root).votes("Carol").values()
    assert vote["winner"] == "tie" and vote["comment"] == "1 2 0 u" and field.input_value() == ""
    rater.press("u", 0)
    assert human.Study(root).votes("Carol") == {}
    rater.context.close()


def test_late_key_and_second_window(chromium, server, study):
    """Two windows of one rater show the same pair: the second vote on it is not taken, and its window goes on."""
    root, _ = study
    first, second = Rater(chromium, server, "Dan"), Rater(chromium, server, "Dan")
    assert first.sides() == second.sides()
    first.press("1", 1)
    second.page.locator("#vote-right").click()
    second.until("nothing was added")
    votes = human.Study(root).votes("Dan")
    assert len(votes) == 1 and next(iter(votes.values()))["choice"] == "left"
    second.press("2", 2)
    # two keys at once: whatever arrives, a pair that nobody looked at has no vote
    first.open()
    first.page.locator("#title").click()
    first.page.evaluate("document.querySelector('#vote-left').click(); document.querySelector('#vote-right').click()")
    first.until(r"\b3 of")
    first.page.wait_for_timeout(1500)
    assert len(human.Study(root).votes("Dan")) == 3
    for rater in (first, second):
        rater.context.close()


def test_killed_page_goes_on(chromium, server, study):
    root, _ = study
    rater = Rater(chromium, server, "Eve")
    rater.press("1", 1)
    server.crash()
    server.start()
    rater.open()
    rater.until(r"\b1 of")
    rater.press("2", 2)
    assert len(human.Study(root).votes("Eve")) == 2
    rater.context.close()


def test_bad_name(chromium, server):
    rater = Rater(chromium, server, "Frank")
    rater.page.reload()
    rater.give("../../x")
    rater.page.get_by_text("A name is 1 to 40 letters").first.wait_for(state="visible")
    rater.context.close()


def test_report(study, out, capsys):
    root, _ = study
    assert human_eval.main(["report", root]) == 0
    said = capsys.readouterr().out
    assert "Cohen's kappa, Ann | 鲍勃" in said and "Krippendorff's alpha" in said
    with open(os.path.join(root, "votes.csv"), encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert "'=look 1" in {row["comment"] for row in rows}
    with open(os.path.join(root, "agreement.json")) as stream:
        strengths = json.load(stream)["bradley_terry"]
    assert strengths[NAMES[0]][1] > strengths[NAMES[1]][2]  # the intervals stand apart
    shutil.copy(os.path.join(root, "votes.csv"), os.path.join(out, "votes.csv"))
    with open(os.path.join(out, "report.txt"), "w") as stream:
        stream.write(said)
