"""Fixtures of the harness's tests. The helpers' own tests (in_suite/) see this file too, in an environment without the harness's
libraries: whatever needs those is imported where it is used."""

from __future__ import annotations

import os

import pytest

try:
    import hypothesis
except ImportError:  # inside a suite's environment
    pass
else:
    hypothesis.settings.register_profile("project", database=None, deadline=None, max_examples=60)
    hypothesis.settings.load_profile("project")


@pytest.fixture(scope="session")
def upstream(tmp_path_factory):
    """The toy upstream, one for each worker; nobody changes what it holds."""
    import toyproject

    return toyproject.make_upstream(tmp_path_factory.mktemp("upstream") / "toy.git")


@pytest.fixture
def toy(tmp_path, upstream, monkeypatch):
    """An empty toy project; the process's environment points at it and at no package index."""
    import toyproject

    root = tmp_path / "project"
    root.mkdir()
    made = toyproject.ToyProject(root, upstream)
    env = made.env
    for name in [name for name in os.environ if name not in env and not name.startswith("PYTEST_")]:
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def forked(toy):
    """A toy project whose fork is set up from the upstream beside it."""
    toy.borrow()
    return toy
