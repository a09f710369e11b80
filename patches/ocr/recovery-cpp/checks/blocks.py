"""Read a .docx back into blocks with python-docx, whoever wrote it."""

import re
import zipfile

from docx import Document
from docx.oxml.ns import qn
from lxml import etree


def squeeze(text):
    """Text without what joining lines may change: spaces and hyphens."""
    return re.sub(r"[\s\-]+", "", text)


def marks(path):
    """For each paragraph of the body that is an entry of a list, its mark as Word shows it: {element: "3."}."""
    with zipfile.ZipFile(path) as package:
        if "word/numbering.xml" not in package.namelist():
            return {}
        root = etree.fromstring(package.read("word/numbering.xml"))
    levels = {}
    for each in root.findall(qn("w:abstractNum")):
        level = each.find(qn("w:lvl"))
        levels[each.get(qn("w:abstractNumId"))] = [
            int(level.find(qn("w:start")).get(qn("w:val"))),
            level.find(qn("w:lvlText")).get(qn("w:val")),
        ]
    found = {}
    for node in Document(path).element.body.iter(qn("w:p")):
        number = node.find(qn("w:pPr") + "/" + qn("w:numPr") + "/" + qn("w:numId"))
        if number is not None:
            level = levels[number.get(qn("w:val"))]
            found[node.getroottree().getpath(node)] = level[1].replace("%1", str(level[0]))
            level[0] += 1
    return found


MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"


def everything(path):
    """All text of the document in its order: body with marks of lists and equations, then footnotes, headers and footers."""
    found, mark = [], marks(path)
    body = Document(path).element.body
    for node in body.iter(qn("w:p"), qn("w:t"), MATH):
        if node.tag == qn("w:p"):
            found.append(mark.get(node.getroottree().getpath(node), ""))
        else:
            found.append(node.text or "")
    with zipfile.ZipFile(path) as package:
        for name in sorted(package.namelist()):
            if re.match(r"word/(header|foot)", name):
                found += [part.text or "" for part in etree.fromstring(package.read(name)).iter(qn("w:t"))]
    return "".join(found)


def _texts(node, mark=""):
    return mark + "".join(part.text or "" for part in node.iter(qn("w:t")))


def grid(node):
    """Cells of a table as (row, column, row span, column span, text)."""
    starts, cells = {}, []
    for r, row in enumerate(node.findall(qn("w:tr"))):
        column = 0
        for cell in row.findall(qn("w:tc")):
            properties = cell.find(qn("w:tcPr"))
            span = properties.find(qn("w:gridSpan")) if properties is not None else None
            wide = int(span.get(qn("w:val"))) if span is not None else 1
            merge = properties.find(qn("w:vMerge")) if properties is not None else None
            goes_on = merge is not None and merge.get(qn("w:val"), "continue") == "continue"
            if goes_on and column in starts:
                starts[column][2] += 1
            else:
                starts[column] = [r, column, 1, wide, squeeze(_texts(cell))]
                cells.append(starts[column])
            column += wide
    return tuple(tuple(cell) for cell in sorted(cells))


def read(path):
    """[("text", ...), ("picture",), ("table", grid), ...] in the order of the body; neighbouring texts are one."""
    found, mark = [], marks(path)
    for node in Document(path).element.body:
        if node.tag == qn("w:tbl"):
            found.append(("table", grid(node)))
        elif node.tag == qn("w:p"):
            if next(node.iter(qn("w:drawing")), None) is not None:
                found.append(("picture",))
            words = squeeze(_texts(node, mark.get(node.getroottree().getpath(node), "")))
            if words:
                found.append(("text", words))
    merged = []
    for block in found:
        if block[0] == "text" and merged and merged[-1][0] == "text":
            merged[-1] = ("text", merged[-1][1] + block[1])
        else:
            merged.append(block)
    return merged


def columns(path):
    """Number of columns of each section."""
    counts = []
    for section in Document(path).sections:
        cols = section._sectPr.find(qn("w:cols"))
        counts.append(int(cols.get(qn("w:num"), 1)) if cols is not None else 1)
    return counts
