"""Read a .docx back into blocks with python-docx, whoever wrote it."""

import re

from docx import Document
from docx.oxml.ns import qn


def squeeze(text):
    """Text without what joining lines may change: spaces and hyphens."""
    return re.sub(r"[\s\-]+", "", text)


def _texts(node):
    return "".join(part.text or "" for part in node.iter(qn("w:t")))


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
    found = []
    for node in Document(path).element.body:
        if node.tag == qn("w:tbl"):
            found.append(("table", grid(node)))
        elif node.tag == qn("w:p"):
            if next(node.iter(qn("w:drawing")), None) is not None:
                found.append(("picture",))
            if squeeze(_texts(node)):
                found.append(("text", squeeze(_texts(node))))
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
