"""The command `aauthkit`: one parser, one module per group of commands, imported when it is needed.

Exit codes: 0 done, 1 refused or failed (the message says what to do next), 2 called wrongly, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

from .. import DRAFTS, __version__
from .failing import CommandError, explain

Configure = Callable[[argparse.ArgumentParser], None]

COMMANDS: Final = {
    "demo": ("demonstration", "the whole story on this machine, in three real processes"),
    "up": ("up", "run a provider and a person server of your own on this machine"),
    "init": ("enrolling", "enrol an agent at a provider"),
    "provider": ("provider", "run an agent provider, and admit its agents"),
    "person": ("person", "run a person server, and look after its people"),
    "fetch": ("fetching", "curl for AAuth: one signed request, consent included"),
    "inspect": ("inspecting", "what a token, a header or a metadata document is, and whether it verifies"),
}


def version() -> str:
    """The version, and the drafts it speaks."""
    return "\n".join([f"aauthkit {__version__}", *(f"speaks {draft}" for draft in DRAFTS)])


def parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The whole parser; the module behind `chosen` alone is imported, or every one if it is `None`."""
    top = argparse.ArgumentParser(
        prog="aauthkit",
        description="AAuth for agents, APIs and the servers between them.",
        epilog="Start with `aauthkit demo`. Each command has its own --help.",
    )
    top.add_argument("--version", action="version", version=version())
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        below = commands.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".", formatter_class=_Formatter
        )
        if chosen in (None, name):
            configure: Configure = import_module(f"{__name__}.{module}").configure
            configure(below)
    return top


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples of an epilog as they are written."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is the return value."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] == "--version":
        print(version())
        return 0
    chosen = next((word for word in words if word in COMMANDS), "")
    options = parser(chosen).parse_args(words)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except Exception as error:
        failure = explain(error)
        if failure is None:
            raise
        return _report(failure)


def _report(failure: CommandError) -> int:
    print(f"aauthkit: {failure}", file=sys.stderr)
    if failure.hint:
        print(f"  {failure.hint}", file=sys.stderr)
    return 1
