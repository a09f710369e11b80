"""The page of a change: what stands on it, in which order, and that the bundle's copy is whole and safe."""

import re

import pytest
from toyproject import put

from forklift.results import page

CHECK = [{"kind": "metrics", "name": "gap", "script": "checks/m.py", "require": [{"metric": "gap", "max": 1.0}]}]
SCRIPT = "from proving.record import arguments, write_metrics\nwrite_metrics(arguments().out, {'gap': 0.5})\n"
PR = """<!-- the suite's template -->
### PR types

New features

#### Description

```
# no heading
```

<script>alert(1)</script> words [an overlay file](overlay/toylib/linear.py) and [long](evidence/long.md), [gone](evidence/gone.md).
"""
EVIDENCE = """# Evidence

| file | command | what |
|---|---|---|
| `curve.png`, `long.md` | `python checks/m.py` | the loss of [fifty steps](long.md) |
"""


@pytest.fixture
def shown(forked):
    forked.make_environment()
    directory = forked.change(scripts={"m.py": SCRIPT}, checks=CHECK)
    put(directory / "pr.md", PR)
    put(directory / "evidence" / "README.md", EVIDENCE)
    put(directory / "evidence" / "long.md", "# Long\n")
    put(directory / "evidence" / "curve.png", b"\x89PNG")
    return forked


def test_pictures_come_first_and_each_figure_has_its_command(shown):
    assert shown.cli("check", "toy-linear", "--record").status == 0
    text = page.of_change(shown.project, shown.load())
    heads = re.findall(r"^## (.*)", text, flags=re.M)
    assert heads == ["Pictures", "What it does", "Figures", "What was not verified", "Evidence", "How to open the pull request"]
    assert "![the loss of fifty steps](evidence/curve.png)" in text
    assert "[fifty steps](evidence/long.md)" in text
    assert '`make check-toy-linear ARGS="--base fork --only gap"`' in text
    assert "- every check of the change passed somewhere" in text
    assert re.findall(r"^#+ PR types|^#+ Description", text, flags=re.M) == ["### PR types", "#### Description"]
    assert "\n# no heading\n" in text, "code is not touched"


def test_the_page_has_a_chinese_form(shown):
    text = page.of_change(shown.project, shown.load(), "zh")
    assert "## 图片" in text
    assert "## 未验证的内容" in text
    assert "- `gap`" in text, "nothing was recorded, so the check counts as not verified"


def test_levels_of_headings_are_never_skipped():
    assert page.deeper("### A\n##### B\n## C\n") == "### A\n#### B\n### C"
    assert page.deeper("# Title\n## A", drop_title=True) == "### A"


def test_the_bundle_holds_the_page_and_what_it_links_to(shown):
    assert shown.cli("pr", "toy-linear").status == 0
    target = shown.out / "toy-linear"
    text = (target / "index.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    local = [link for link in re.findall(r'(?:href|src)="([^"]+)"', text) if not re.match(r"https?:|#", link)]
    assert sorted(set(local)) == ["evidence/curve.png", "evidence/long.md"]
    assert all((target / link).is_file() for link in local)
    assert "gone (<code>evidence/gone.md</code>)" in text, "a link without a file is words"
    assert "an overlay file (<code>overlay/toylib/linear.py</code>)" in text
