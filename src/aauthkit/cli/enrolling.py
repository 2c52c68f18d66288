"""`aauthkit init`: enrol an agent, and keep it on this machine."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform as machine
import sys
from contextlib import suppress
from pathlib import Path

from ..agent import Agent, AgentHome
from ..installation import Installation, InstallationError
from ..outbound import Pending
from .failing import CommandError
from .places import add_home, home_folder


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `init`."""
    parser.add_argument("name", metavar="NAME", help="letters, digits, - _ and . ; it never goes to another key")
    parser.add_argument("--provider", metavar="URL", help="the agent provider (default: the one of `aauthkit up`)")
    parser.add_argument("--ps", metavar="URL", help="the person server (default: the one of `aauthkit up`)")
    parser.add_argument("--no-ps", action="store_true", help="an agent that acts for nobody")
    parser.add_argument(
        "--device", metavar="TEXT", default=machine.node()[:64] or None, help="shown where it is approved"
    )
    parser.add_argument("--json", action="store_true", help="the outcome for a program")
    add_home(parser)
    parser.epilog = (
        "The command waits until the agent is admitted: `aauthkit provider approve NAME` in another terminal.\n"
        "Interrupted, it goes on where it was when it is run again."
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Enrol one agent."""
    home = options.home or home_folder()
    found: Installation | None = None
    with suppress(InstallationError):
        found = Installation.load(home)
    provider = options.provider or (found.provider if found else None)
    if provider is None:
        raise CommandError("which agent provider?", "name one with --provider URL, or run `aauthkit up` first")
    person_server = None if options.no_ps else options.ps or (found.person if found else None)
    own = found is not None and provider == found.provider
    egress_file = found.egress_file if found is not None and own else None
    agent = asyncio.run(_enroll(options, home, provider, person_server, egress_file))
    kept = AgentHome(home).path(options.name)
    if options.json:
        outcome = {"agent": agent.identifier, "provider": provider, "person_server": person_server, "file": str(kept)}
        print(json.dumps(outcome))
    else:
        print(f"{agent.identifier} is enrolled; kept in {kept}")
        print(f"next: aauthkit fetch --agent {options.name} URL, or Agent.load({options.name!r}) in Python")
    return 0


async def _enroll(
    options: argparse.Namespace, home: Path, provider: str, person_server: str | None, egress_file: Path | None
) -> Agent:
    told = False

    async def on_pending(_pending: Pending) -> None:
        nonlocal told
        if told:
            return
        told = True
        record = AgentHome(home).find(options.name)
        key = f" (durable key {record.durable.kid})" if record is not None else ""
        print(f"waiting until {provider} admits {options.name}{key}", file=sys.stderr)
        if egress_file is not None:
            print(f"  in another terminal: aauthkit provider approve {options.name}", file=sys.stderr)

    return await Agent.enroll(
        options.name,
        provider=provider,
        person_server=person_server,
        home=home,
        egress_file=egress_file,
        device=options.device,
        on_pending=on_pending,
    )
