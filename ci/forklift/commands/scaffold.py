"""`forklift new`: a change that lints and passes from the first minute, to be filled from there."""

from __future__ import annotations

import re
from pathlib import Path

from forklift.errors import UsageError
from forklift.model import Suite
from forklift.results import report
from forklift.system.files import write_whole
from forklift.system.paths import Project


def new(project: Project, suite: Suite, slug: str, task: int, title: str) -> Path:
    """Write change.toml, pr.md and a first test for the suite; refuses a name that is taken or malformed."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug):
        raise UsageError(
            f"{slug!r} is not a valid name", [("want", "lower-case words with hyphens")], "./forklift new seg my-model"
        )
    if re.search(r'["\\\x00-\x1f]', title):
        raise UsageError(
            f"{title!r} is not a valid title",
            [("want", "one line without quotation marks and backslashes")],
            "--title 'Add my model'",
        )
    target = project.patches / suite.short / slug
    if target.exists():
        raise UsageError(f"{suite.short}-{slug} exists", [("where", target)], f"./forklift edit {suite.short}-{slug}")
    values = {"suite": suite, "slug": slug, "name": slug.replace("-", "_"), "task": task, "title": title or f"Add {slug}"}
    test = f"overlay/tests/test_{values['name']}.py"
    for template, path in (("new_change.toml", "change.toml"), ("new_pr.md", "pr.md"), ("new_test.py", test)):
        write_whole(target / path, report.render(project.ci / "templates", template, **values).encode())
    return target
