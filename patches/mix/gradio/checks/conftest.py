"""What the browser tests of the two pages share: a browser, a running page, and where pictures go."""

import os
import re
import sys

import pytest
from playwright.sync_api import sync_playwright

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pages  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--out", required=True, help="where pictures and logs go")


@pytest.fixture(scope="session")
def out(request):
    return request.config.getoption("--out")


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=pages.chromium(), args=pages.CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(request, out, tmp_path_factory):
    """The page of the module that asks for it, started once; at its end nothing of it may be left."""
    server = pages.Server(
        request.module.PROGRAM, os.path.join(out, request.module.__name__ + ".log"), tmp_path_factory.mktemp("server")
    )
    server.start()
    yield server
    left = server.stop()
    assert left == [], "the page left something behind"


@pytest.fixture
def user(browser, server, out, request):
    """A function that opens the page as one more user."""
    contexts = []

    def open_page(locale="en-US"):
        context = browser.new_context(locale=locale, viewport={"width": 1280, "height": 1000}, accept_downloads=True)
        contexts.append(context)
        return pages.User(context, server, os.path.join(out, re.sub(r"[^a-z0-9]+", "-", request.node.name)))

    yield open_page
    for context in contexts:
        context.close()
