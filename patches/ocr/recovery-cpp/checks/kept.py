"""Nothing lost, nothing doubled: the characters of each case are those of its document, as a multiset.

Cases are results as users have them: regions in one another, table HTML as models write it, broken encodings, equations, lines without boxes, and
the kinds of page of pages.py. Where content cannot be in the document, the command must say so and end with 1.
"""

import collections
import json
import os

from blocks import everything
from build import recover_command
from pages import EN, inputs, line, rows, table, text
from parity import run

from proving.record import arguments, write_json, write_metrics

# HTML of a table, and its text
TABLES = {
    "nested": (
        "<tr><td>A<table><tr><td>n1</td><td>n2</td></tr><tr><td>n3</td></tr></table>after</td><td>B</td></tr>",
        "An1n2n3afterB",
    ),
    "span_overflow": (
        '<tr><td rowspan="9">A</td><td colspan="7">B</td></tr><tr><td>c</td><td rowspan="3">d</td></tr><tr><td>e</td></tr>',
        "ABcde",
    ),
    "colspan_percent": ('<tr><td colspan="100%">All</td></tr><tr><td>a</td><td>b</td><td>c</td></tr>', "Allabc"),
    "colspan_zero": (
        '<tr><td colspan="0">A</td><td>B</td></tr><tr><td rowspan="0">C</td><td>D</td></tr><tr><td>E</td></tr>',
        "ABCDE",
    ),
    "rowspan_garbage": ('<tr><td rowspan="2]">A</td><td rowspan="">B</td></tr><tr><td>c</td></tr>', "ABc"),
    "comments": ("<!-- <tr><td>no</td></tr> --><tr><td>a<!-- x --></td><td><![CDATA[raw <b>]]></td></tr>", "araw<b>"),
    "entities": (
        "<tr><td>&nbsp;12&nbsp;</td><td>&#x1F600;</td><td>A&ampB</td><td>&alpha;&rarr;&Omega;</td><td>AT&T; R&D</td></tr>",
        "12😀A&Bα→ΩAT&T;R&D",
    ),
    "less_than": (
        "<tr><td>if a<b then c</td><td>x<i and y<s or z</td><td><LOQ</td><td><0.05</td></tr>",
        "ifa<bthencx<iandy<sorz<LOQ<0.05",
    ),
    "addresses": ("<tr><td>Ann <ann@a.org></td><td>List<String> x; Map<a, b></td></tr>", "Ann<ann@a.org>List<String>x;Map<a,b>"),
    "caption": (
        "<caption>Table 7: results</caption><thead><tr><td>h1</td></tr></thead><tfoot><tr><td>f1</td></tr></tfoot>",
        "Table7:resultsh1f1",
    ),
    "breaks": ("<tr><td>a<br><br>b<br/>c</td><td><p>p1</p><p>p2</p></td><td><div>d1</div>d2</td></tr>", "abcp1p2d1d2"),
    "no_closers": ("<tr><td>a<td>b<tr><td>c<td>d", "abcd"),
    "two_tables": ("<tr><td>a</td></tr></table><table><tr><td>c</td></tr>", "ac"),
    "outside_of_cells": ("before<tr>between<td>a</td></tr>", "beforebetweena"),
    "no_cell": ("<caption>only</caption>words", "onlywords"),
    "upper_case": ("<TR><TD COLSPAN=2>Wide<TR><TD>a<TD>b", "Wideab"),
    "attribute": ('<tr height=20><td style="a>b">v</td><td align=right>12</td></tr>', "v12"),
    "wide_63": ("<tr>" + "<td>x1</td>" * 63 + "</tr>", "x1" * 63),
    "wide_200": (("<tr>" + "<td>x1</td>" * 200 + "</tr>") * 3, "x1" * 600),
    "huge": (("<tr>" + "<td>7</td>" * 600 + "</tr>") * 400, "7" * 240000),
    "cut": ("<tr><td>a</td><td>b", "ab"),
}


def region(kind, box, res):
    return {"type": kind, "bbox": box, "res": res}


def nested():
    """Regions within one another, which print their lines once."""
    made = {}
    outer = text("text", 120, 200, 1410, EN)
    inner = {**outer, "type": "title", "bbox": [115, 240, 1535, 282], "res": [outer["res"][1]]}
    small = {**outer, "bbox": [118, 198, 1534, 238], "res": [outer["res"][0]]}
    whole = "".join(EN)
    for name, regions in {
        "same": [outer, outer],
        "title_in_text": [outer, inner],
        "text_in_text": [small, outer, inner, outer],
        "other_order": [inner, small, outer],
    }.items():
        made["nested_" + name] = ([regions], whole, 0)
    made["nested_table_and_text"] = ([[outer, table(110, 190, 1430, 150, rows(EN))]], whole, 0)
    return made


def lost():
    """What cannot be in the document is said."""
    made = {}
    made["lost_figure"] = ([[region("figure", [100, 100, 500, 500], [])]], "", 1)
    made["lost_equation"] = ([[region("equation", [100, 100, 500, 500], [])]], "", 1)
    made["lost_table"] = ([[table(120, 100, 1410, 300, "")]], "", 1)
    made["lost_result"] = (
        [[region("text", [100, 100, 500, 500], {"words": "x"}), text("text", 120, 600, 1410, ["kept"])]],
        "kept",
        1,
    )
    good = json.dumps(text("text", 120, 600, 1410, ["kept"])).encode()
    made["lost_line"] = ([good + b'\n{"type":"text","bbox":[1,1,9,9],"res":[{"te'], "kept", 1)
    made["lost_in_sheet"] = ([[table(120, 100, 1410, 300, "<tr><td>%s</td></tr>" % ("y" * 40000))]], "y" * 40000, 1)
    return made


def cases():
    """{name: (pages, text, exit code)}; a page is a list of regions, or the bytes of its file."""
    made = {}
    for name, (html, want) in TABLES.items():
        made["table_" + name] = ([[table(120, 100, 1410, 300, html)]], want, 0)
    made.update(nested())
    made["equations"] = (
        [
            [
                region("equation", [150, 600, 1400, 640], "\\frac{a}{b}=c"),
                region("equation", [150, 700, 1400, 740], {"latex": "x^2"}),
                region("formula", [150, 800, 1400, 840], [line("E = mc", 150, 800, 1400, 840)]),
            ]
        ],
        "ab=cx2E=mc",
        0,
    )
    bare = [{"text": words, "confidence": 1} for words in ("line one", "line two")]
    made["no_boxes"] = ([[region("text", [100, 100, 1500, 700], bare)]], "lineonelinetwo", 0)
    made["text_alone"] = ([[region("text", [100, 100, 1500, 700], "one\ntwo")]], "onetwo", 0)
    made["list"] = ([[text("list", 120, 300, 1410, ["1. First", "2. Second", "- third"])]], "1.First2.Second-third", 0)
    made["surrogate"] = ([b'{"type":"text","bbox":[1,1,900,40],"res":[{"text":"a \\ud83d b"}]}\n'], "a�b", 0)
    made["byte_order_mark"] = ([b'\xef\xbb\xbf{"type":"text","bbox":[1,1,900,40],"res":[{"text":"ab"}]}\r\n'], "ab", 0)
    note = text("footnote", 120, 2200, 1410, ["1 See there", "and on."])
    for name, words in {"footnote": "shown\u00b9 here", "footnote_twice": "one\u00b9 two\u00b9"}.items():
        made[name] = ([[text("text", 120, 600, 1410, [words]), note]], words + "1Seethereandon.", 0)
    made.update(lost())
    for name, case in inputs().items():
        if case["parity"]:  # its text is that of its lines and of the model's plain tables
            made["page_" + name] = (case["pages"], page_text(case["pages"]), 0)
    return made


def page_text(pages):
    """Text of all lines and cells of pages.py, whose HTML has no trick in it."""
    import re
    from html import unescape

    found = ""
    for one in (region for page in pages for region in page if region["type"] != "figure"):
        if one["type"] == "table":
            found += unescape(re.sub(r"<[^>]*>", "", one["res"]["html"]))
        else:
            found += "".join(each["text"] for each in one["res"])
    return found


def bag(words):
    return collections.Counter(c for c in words if not c.isspace() and c != "\xa0")


def save(root, name, pages):
    from pages import save as save_pages

    if all(isinstance(page, list) for page in pages):
        return save_pages(root, name, pages)
    folder = os.path.join(root, name)
    os.makedirs(folder)
    for index, content in enumerate(pages):
        with open(os.path.join(folder, "res_%d.txt" % index), "wb") as stream:
            stream.write(content)
    return folder


def main():
    args = arguments()
    command = recover_command()
    out, report = os.path.join(args.out, "cpp"), {}
    for name, (pages, want, code) in cases().items():
        stage = os.path.join(args.out, "stage")
        if name == "lost_figure":  # pages.save makes a crop for each figure
            pages = [("\n".join(json.dumps(one) for one in page) + "\n").encode() for page in pages]
        status, messages = run(command, save(stage, name, pages), out)
        docx = os.path.join(out, name + "_ocr.docx")
        got = bag(everything(docx) if os.path.exists(docx) else "")
        lost, doubled = bag(want) - got, got - bag(want)
        row = {
            "lost": "".join(lost.elements())[:80],
            "more": "".join(doubled.elements())[:80],
            "code": status,
            "good": not lost and not doubled and status == code and ("[LOST]" in messages) == (code == 1),
        }
        if not row["good"]:
            print(name, row, messages, flush=True)
        report[name] = row
    write_json(os.path.join(args.out, "kept.json"), report)
    write_metrics(args.out, metrics={"cases": len(report), "good": sum(row["good"] for row in report.values())})


if __name__ == "__main__":
    main()
