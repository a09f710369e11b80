"""Results to JSON, JUnit and Markdown."""

from __future__ import annotations

import math
import os
import re
import shlex
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import msgspec

from forklift.model import CheckResult, Outcome, Report
from forklift.running.plots import sparkline
from forklift.system.files import write_whole

_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE", re.I)
_PASSWORD = re.compile(rb"(://[^/\s:@\"']+:)[^/\s@\"']+@")
# characters that XML has no way to write: the colours of a terminal, for instance
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(target: Path, reports: list[Report]) -> None:
    """report.json and junit.xml of one or several changes."""
    write_whole(target / "report.json", without_secrets(msgspec.json.format(msgspec.json.encode(reports), indent=1) + b"\n"))
    write_whole(target / "junit.xml", without_secrets(junit(reports)))


def without_secrets(content: bytes) -> bytes:
    """`content` without the values of variables that are called like secrets, and without passwords in urls."""
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= 8:
            content = content.replace(value.encode(), b"***")
    return _PASSWORD.sub(rb"\1***@", content)


def junit(reports: list[Report]) -> bytes:
    """One test suite a change, one test case a check."""
    top = ElementTree.Element("testsuites")
    for report in reports:
        rows = report.results
        suite = ElementTree.SubElement(
            top,
            "testsuite",
            name=report.change,
            tests=str(len(rows)),
            failures=str(sum(result.outcome is Outcome.FAILED for result in rows)),
            errors=str(sum(result.outcome is Outcome.ERROR for result in rows)),
            skipped=str(sum(result.outcome is Outcome.SKIPPED for result in rows)),
        )
        for result in rows:
            case = ElementTree.SubElement(suite, "testcase", classname=result.change, name=result.check, time=str(result.seconds))
            tag = {Outcome.FAILED: "failure", Outcome.ERROR: "error", Outcome.SKIPPED: "skipped"}.get(result.outcome)
            if tag:
                ElementTree.SubElement(case, tag, message=_NO_XML.sub("?", f"{reason_of(result)}{result.summary}"))
    return ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)


def reason_of(result: CheckResult) -> str:
    """`reason: ` of a skip or an error, else nothing."""
    return f"{result.reason.value}: " if result.reason else ""


def render(templates: Path, template: str, /, **values: Any) -> str:
    """A template of ci/templates; an undefined name is an error, not an empty string."""
    return render_text((templates / template).read_text(), **values)


def render_text(template: str, /, **values: Any) -> str:
    """A Jinja template given as text."""
    # imported here: it takes longer than most commands
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters.update(number=number, spark=sparkline, sh=shlex.quote)
    return environment.from_string(template).render(**values)


def number(value: Any) -> str:
    """A figure for a table; a dash where there is none (JSON, and so a stored result, has no inf and no nan)."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.2e}" if value and not 1e-3 <= abs(value) < 1e5 else f"{value:.4g}"
    return str(value)
