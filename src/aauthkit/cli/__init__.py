"""The command `aauthkit`: one parser, one module per group of commands, imported when it is needed.

Exit codes: 0 done; 1 refused or failed, and the message says what to do next; 2 called wrongly; 130, 141, 143 and the
like (128 and the signal) interrupted, cut off by a closed pipe, told to end.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

from .. import DRAFTS, __version__

Configure = Callable[[argparse.ArgumentParser], None]
Run = Callable[[argparse.Namespace], int]

COMMANDS: Final = {
    "demo": ("demonstration", "the whole story on this machine, in three real processes"),
    "up": ("up", "run a provider and a person server of your own on this machine"),
    "init": ("enrolling", "enrol an agent at a provider"),
    "provider": ("provider", "run an agent provider, and admit its agents"),
    "person": ("person", "run a person server, and look after its people"),
    "gateway": ("gateway", "enforce AAuth in front of services that cannot be changed"),
    "policy": ("policing", "run a gateway's rules on decisions that it logged"),
    "keys": ("keys", "the key file of a server: make, show, rotate or protect it"),
    "audit": ("auditing", "check, export and shorten the audit log of a person server"),
    "fetch": ("fetching", "curl for AAuth: one signed request, consent included"),
    "mission": ("missions", "propose a mission of an agent, and see, change or complete those it has"),
    "permission": ("permitting", "ask an agent's person whether an action may be done"),
    "ask": ("asking", "ask an agent's person a question"),
    "inspect": ("inspecting", "what a token, a header or a metadata document is, and whether it verifies"),
    "vectors": ("vectors", "measure this package, another implementation, or a running server by test vectors"),
    "explain": ("explaining", "why a signed request was refused, from what was captured of it"),
    "doctor": ("examining", "what is wrong with an agent or a server, and what mends it"),
}
WIDEST: Final = 100
INTERRUPTED: Final = 130
CUT_OFF: Final = 141


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples of an epilog as they are written; as wide as the terminal, up to 100 columns."""

    def __init__(self, prog: str) -> None:
        width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns) - 2
        super().__init__(prog, max_help_position=30, width=width)


class _Parser(argparse.ArgumentParser):
    """Options are written out, so that a new one never changes what a script meant by an abbreviation."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": _Formatter, "allow_abbrev": False, **settings})


def version() -> str:
    """The version, and the drafts it speaks."""
    return "\n".join([f"aauthkit {__version__}", *(f"speaks {draft}" for draft in DRAFTS)])


def parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The whole parser; the module behind `chosen` alone is imported, or every one if it is `None`."""
    top = _Parser(
        prog="aauthkit",
        description="AAuth for agents, APIs and the servers between them.",
        epilog="Start with `aauthkit demo`. Each command has its own --help.",
    )
    top.add_argument("--version", action="version", version=version(), help="the version, and the drafts it speaks")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    for name, (module, summary) in COMMANDS.items():
        below = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if chosen in (None, name):
            configure: Configure = import_module(f"{__name__}.{module}").configure
            configure(below)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is the return value."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _write_anything()
    try:
        try:
            return _run(words)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        number = getattr(interrupt, "number", None)
        print("\ninterrupted" if number is None else "\ntold to end", file=sys.stderr)
        return INTERRUPTED if number is None else 128 + number
    except BrokenPipeError:
        # Nobody reads any more. The interpreter flushes once more at its end, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CUT_OFF


def _run(words: Sequence[str]) -> int:
    if list(words[:1]) == ["--version"]:
        print(version())
        return 0
    options = argparse.Namespace(json=False)
    try:
        options = parser(next((word for word in words if word in COMMANDS), "")).parse_args(words)
        run: Run = options.run
        return run(options)
    except BrokenPipeError:
        raise
    except Exception as error:
        from .failing import explain

        failure = explain(error)
        if failure is None:
            raise
        if getattr(options, "json", False):
            print(json.dumps(failure.as_json(), indent=2, ensure_ascii=False))
        print(f"aauthkit: {failure}", file=sys.stderr)
        if failure.hint:
            print(f"  {failure.hint}", file=sys.stderr)
        return failure.exit_code


def _write_anything() -> None:
    """A terminal or pipe that does not take every character gets what it can take, rather than a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
