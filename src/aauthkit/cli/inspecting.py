"""`aauthkit inspect`: what a token, a header or a document is, and whether it would verify."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import suppress
from typing import Final

from ..inspection import Inspector, Report
from ..installation import InstallationError
from .failing import CommandError
from .places import add_home, installation, use

MARKS: Final = {True: "✓", False: "✗", None: "?"}


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `inspect`."""
    parser.add_argument(
        "what",
        nargs="?",
        default="-",
        help="a token, 'Name: value', JSON, a server's https:// identifier, or - for stdin",
    )
    parser.add_argument("--offline", action="store_true", help="fetch nothing: signatures stay unchecked")
    parser.add_argument("--json", action="store_true", help="the report for a program")
    add_home(parser)
    parser.epilog = (
        "Exit code: 0 everything that could be checked is in order, 1 something is wrong.\n"
        "examples:\n"
        "  aauthkit inspect https://ps.example\n"
        "  aauthkit inspect 'Signature-Input: sig=(\"@method\");created=1730217600'"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Inspect one thing."""
    with suppress(InstallationError):
        use(installation(options))
    text = sys.stdin.read(512 * 1024) if options.what == "-" else options.what
    if not text.strip():
        raise CommandError("there is nothing to inspect", "give it as an argument, or on standard input")
    report = asyncio.run(_inspect(text, offline=options.offline))
    if options.json:
        print(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(lines(report)))
    return 1 if report.verdict is False else 0


async def _inspect(text: str, *, offline: bool) -> Report:
    from ..discovery import Discovery
    from ..egress import Egress, Http

    egress = Egress.from_environment()
    if offline:
        return await Inspector(loopback=egress.loopback).inspect(text)
    http = Http(egress)
    try:
        return await Inspector(discovery=Discovery(http), loopback=egress.loopback).inspect(text)
    finally:
        await http.aclose()


def lines(report: Report, indent: str = "") -> list[str]:
    """The report for a person."""
    width = max((len(name) for name, _ in report.facts), default=0)
    found = [f"{indent}{report.title}"]
    found += [f"{indent}  {name:<{width}}  {_printable(value)}" for name, value in report.facts]
    found += [f"{indent}  {MARKS[check.ok]} {_printable(check.text)}" for check in report.checks]
    for inner in report.inside:
        found += ["", *lines(inner, indent + "  ")]
    return found


def _printable(text: str) -> str:
    """A stranger's text without what a terminal would obey."""
    return "".join(c if c.isprintable() else "�" for c in text)
