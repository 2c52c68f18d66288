"""`aauthkit inspect`: what a token, a header or a document is, and whether it would verify."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Final

from ..egress import Egress
from ..inspection import Inspector, Report
from .failing import CalledWrongly, CommandError
from .places import add_home, egress_for, installed

MARKS: Final = {True: "✓", False: "✗", None: "?"}
VERDICTS: Final = {
    True: "in order: it would verify",
    False: "not in order: it would be refused",
    None: "nothing wrong as far as it could be checked",
}
LARGEST: Final = 512 * 1024
"""Longest input, in bytes."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `inspect`."""
    parser.add_argument(
        "what",
        metavar="WHAT",
        nargs="?",
        default="-",
        help="a token, 'Name: value', JSON, a server's https:// identifier, or - for standard input",
    )
    parser.add_argument("--offline", action="store_true", help="fetch nothing: signatures stay unchecked")
    parser.add_argument("--json", action="store_true", help="the report for a program")
    add_home(parser)
    parser.epilog = (
        "Without --offline the issuer's metadata and keys are fetched; what is inspected is sent nowhere.\n"
        "Whoever lists processes sees their arguments: give a live token on standard input.\n"
        "Exit code: 0 nothing is wrong as far as it could be checked, 1 something is.\n"
        "examples:\n"
        "  aauthkit inspect https://ps.example\n"
        "  aauthkit inspect 'Signature-Input: sig=(\"@method\");created=1730217600'\n"
        "  pbpaste | aauthkit inspect --json"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Inspect one thing."""
    text = _standard_input() if options.what == "-" else options.what
    if not text.strip():
        raise CalledWrongly("there is nothing to inspect", "give it as an argument, or on standard input")
    report = asyncio.run(_inspect(text, egress_for(installed(options)), offline=options.offline))
    if options.json:
        print(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        print("\n".join([*lines(report), "", VERDICTS[report.verdict]]))
    return 1 if report.verdict is False else 0


def _standard_input() -> str:
    if sys.stdin.isatty():
        print("reading what to inspect from the terminal: paste it, then end the input with Ctrl-D", file=sys.stderr)
    raw = sys.stdin.buffer.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise CommandError(f"standard input is longer than {LARGEST // 1024} KiB, which nothing of this protocol is")
    return raw.decode(errors="replace")


async def _inspect(text: str, egress: Egress, *, offline: bool) -> Report:
    if offline:
        return await Inspector(loopback=egress.loopback).inspect(text)
    from ..discovery import Discovery
    from ..egress import Http

    async with Http(egress) as http:
        return await Inspector(discovery=Discovery(http), loopback=egress.loopback).inspect(text)


def lines(report: Report, indent: str = "") -> list[str]:
    """The report for a person."""
    width = max((len(name) for name, _ in report.facts), default=0)
    found = [f"{indent}{report.title}"]
    found += [f"{indent}  {name:<{width}}  {value}" for name, value in report.facts]
    found += [f"{indent}  {MARKS[check.ok]} {check.text}" for check in report.checks]
    for inner in report.inside:
        found += ["", *lines(inner, indent + "  ")]
    return found
