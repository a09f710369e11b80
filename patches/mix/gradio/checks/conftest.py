"""What the browser tests of the two pages share: a browser, a running page, and where pictures go."""

import os
import re
import subprocess
import sys

import pytest
from PIL import Image

from proving.browser import launched
from proving.tree import on_path

on_path(os.path.dirname(os.path.abspath(__file__)))  # the tests are imported by pytest, which adds no directory
import pages


def pytest_addoption(parser):
    parser.addoption("--out", required=True, help="where pictures and logs go")


@pytest.fixture(scope="session")
def out(request):
    return request.config.getoption("--out")


@pytest.fixture(scope="session")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def bad_files(tmp_path_factory):
    """A directory with the files of pages.BAD_FILES."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "text.png").write_text("no image, whatever the name says")
    (folder / "empty.png").write_bytes(b"")
    Image.new("1", (8000, 5000)).save(str(folder / "forty.png"))
    return folder


@pytest.fixture(scope="module")
def models(request, tmp_path_factory):
    """A directory with the tiny models that a module names, made by the program that the tests of AppFlow use."""
    root = tmp_path_factory.mktemp("models")
    if request.module.MODELS:
        program = os.path.join(pages.TREE, "tests", "appflow", "tiny_models.py")
        words = [sys.executable, program, "--out", str(root), *request.module.MODELS]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return root


@pytest.fixture(scope="module")
def server(request, out, models, tmp_path_factory):
    """The page of the module that asks for it, started once; at its end nothing of it may be left."""
    log = os.path.join(out, request.module.__name__.rpartition(".")[2] + ".log")
    server = pages.Server(request.module.PROGRAM, log, models, str(tmp_path_factory.mktemp("tmp")))
    server.start()
    yield server
    left = server.stop()
    assert left == [], "the page left something behind"


@pytest.fixture
def user(browser, server, out, request):
    """A function that opens the page as one more user."""
    contexts = []

    def open_page(locale="en-US", width=1280, height=1000):
        context = browser.new_context(locale=locale, viewport={"width": width, "height": height}, accept_downloads=True)
        contexts.append(context)
        return pages.User(context, server, os.path.join(out, re.sub(r"[^a-z0-9]+", "-", request.node.name)))

    yield open_page
    for context in contexts:
        context.close()
