"""The outcome for a person, for a test report, and for a program."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any, Final

from .results import Result, counts

_MARKS: Final = {"passed": "✓", "failed": "✗", "broken": "!", "skipped": "-"}
_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def table(results: Sequence[Result], *, every: bool = False) -> list[str]:
    """A line for each file of the pack, then each vector that did not pass; with `every` each vector."""
    groups = list(dict.fromkeys(result.vector.group for result in results))
    width = max([5, *(len(group) for group in groups)])
    lines = [f"{'group':<{width}}  vectors  passed  failed  broken  skipped"]
    for group in [*groups, ""]:
        mine = [result for result in results if group in ("", result.vector.group)]
        found = counts(mine)
        numbers = f"{len(mine):7}  {found['passed']:6}  {found['failed']:6}  {found['broken']:6}  {found['skipped']:7}"
        lines.append(f"{group or 'all':<{width}}  {numbers}")
    shown = [result for result in results if every or result.outcome in ("failed", "broken")]
    return [*lines, *([""] if shown else []), *(line for result in shown for line in _told(result))]


def _told(result: Result) -> list[str]:
    vector = result.vector
    lines = [f"{_MARKS[result.outcome]} {vector.id}  {', '.join(vector.sections)}  {vector.title}"]
    if result.reason:
        lines.append(f"    {result.reason}")
    if result.outcome == "failed" and vector.stricter:
        lines.append(f"    stricter than it need be: {vector.stricter}")
    return lines


def as_json(results: Sequence[Result], measured: str) -> dict[str, Any]:
    """For a program: who was measured, the counts, and each vector."""
    return {"measured": measured, "counts": counts(results), "results": [result.as_json() for result in results]}


def _text(value: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value)


def junit(results: Sequence[Result], measured: str) -> str:
    """JUnit's XML: a suite for each file of the pack."""
    root = ET.Element("testsuites", name=_text(measured))
    for group in dict.fromkeys(result.vector.group for result in results):
        mine = [result for result in results if result.vector.group == group]
        found = counts(mine)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=group,
            tests=str(len(mine)),
            failures=str(found["failed"]),
            errors=str(found["broken"]),
            skipped=str(found["skipped"]),
            time=f"{sum(result.seconds for result in mine):.6f}",
        )
        for result in mine:
            _case(suite, result)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, result: Result) -> None:
    vector = result.vector
    case = ET.SubElement(
        suite, "testcase", classname=f"{vector.group}.{vector.kind}", name=vector.id, time=f"{result.seconds:.6f}"
    )
    kind = {"failed": "failure", "broken": "error", "skipped": "skipped"}.get(result.outcome)
    if kind is not None:
        told = ET.SubElement(case, kind, message=_text(result.reason))
        told.text = _text(f"{vector.title} ({', '.join(vector.sections)})")
