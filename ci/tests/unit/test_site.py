"""The site's own parts: links between files become links between pages, and a link that leads nowhere is found."""

import pytest
from toyproject import put

from website import check, content, curves, links


@pytest.fixture
def site(tmp_path):
    put(tmp_path / "p" / "README.md", "# Home\n")
    put(tmp_path / "p" / "docs" / "a.md", "# A\n")
    put(tmp_path / "p" / "tools" / "go.py", "A = 1\n")
    made = links.Map(tmp_path / "p", tmp_path / "docs")
    made.page("README.md", "index.md")
    made.page("docs/a.md", "documents/a.md")
    return made


def test_links_follow_their_pages(site):
    turned = site.rewrite("[a](docs/a.md#part), [out](https://a.invalid/b), [here](#x)", "README.md", "index.md")
    assert turned == "[a](documents/a.md#part), [out](https://a.invalid/b), [here](#x)"
    assert site.rewrite("[home](../README.md)", "docs/a.md", "documents/a.md") == "[home](../index.md)"
    assert site.dead == []


def test_a_linked_file_that_is_no_page_comes_along(site, tmp_path):
    assert site.rewrite("[go](../tools/go.py)", "docs/a.md", "documents/a.md") == "[go](../files/tools/go.py)"
    assert (tmp_path / "docs" / "files" / "tools" / "go.py").read_text() == "A = 1\n"
    assert site.rewrite("[all](../tools)", "docs/a.md", "documents/a.md") == "[all](../files/tools/files.txt)"
    assert (tmp_path / "docs" / "files" / "tools" / "files.txt").read_text() == "tools/go.py\n"


@pytest.mark.parametrize("target", ["gone.md", "../../../etc/passwd"])
def test_a_link_to_nothing_or_out_of_the_project_is_named(site, target):
    assert site.rewrite(f"see [this]({target}).", "docs/a.md", "documents/a.md") == "see this."
    assert site.dead == [f"docs/a.md: {target}"]


def test_code_is_left_alone(site):
    text = "`[a](gone.md)`\n\n```\n[a](gone.md)\n```\n\n    [a](gone.md)\n\n[`a`](docs/a.md)\n"
    assert site.rewrite(text, "README.md", "index.md") == text.replace("docs/a.md", "documents/a.md")
    assert site.dead == []


def test_broken_links_files_and_anchors_are_found(tmp_path):
    put(
        tmp_path / "index.html",
        '<a href="a.html#x">1</a><a href="a.html#y">2</a><img src="no.png"><a href="https://a.invalid/">3</a>',
    )
    put(tmp_path / "a.html", '<h1 id="x">A</h1><a href="../out.html">out</a><a href="sub/">sub</a>')
    put(tmp_path / "sub" / "index.html", "<p>sub</p>")
    put(tmp_path.parent / "out.html", "<p>not of the site</p>")
    assert check.broken(tmp_path) == ["a.html: ../out.html", "index.html: a.html#y (no such anchor)", "index.html: no.png"]


def test_curves_hold_every_mode_and_no_markup_of_a_name(toy):
    import json

    directory = toy.change()
    text = (directory / "change.toml").read_text()
    put(directory / "change.toml", text + '\n[sweep]\nscript = "checks/row.py"\n')
    put(directory / "models.toml", "")
    row = {"id": "<b>", "losses": {"dygraph": [2.0, 1.0], "ast": [2.0, 1.0], "sot": [2.0, None]}}
    put(directory / "evidence" / "rows.jsonl", json.dumps(row) + "\n" + json.dumps({"id": "none", "losses": {}}) + "\n")
    drawn = curves.of_sweep(toy.load())
    assert drawn.count("<polyline") == 3
    assert "&lt;b&gt;" in drawn
    assert "The first 1 of 1 rows" in drawn


def test_every_change_has_a_line_and_a_page(forked, tmp_path):
    forked.change()
    for name in ("README.md", "README_CN.md", "CONTRIBUTING.md", "docs/one.md", "docs/decisions/0001.md", "docs/to_static/toy.md"):
        put(forked.root / name, "# Toy\n\n[中文](README_CN.md)\n\nFirst words.\n\n## More\n" if "README" in name else "# A\n")
    site = content.Site(forked.project, tmp_path / "docs", "zh")
    site.write()
    home = (tmp_path / "docs" / "index.md").read_text()
    assert "First words." in home
    assert "| [A linear layer](changes/toy-linear.md) | 1 | 草稿 |" in home
    assert "## 如何提交 PR" in (tmp_path / "docs" / "changes" / "toy-linear.md").read_text()
    assert site.links.dead == []
    listed = [next(iter(entry)) for entry in site.nav]
    assert listed == ["Forklift", "改动", "模型列表", "文档", "决策记录", "安装包"]
