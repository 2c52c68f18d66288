"""`aauthkit init`: enrol an agent, and keep it on this machine."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform as machine
import sys
from pathlib import Path

from ..agent import Agent, AgentHome
from ..egress import Egress
from ..installation import Installation
from ..narration import Narrator
from ..outbound import Pending
from . import hosting
from .failing import CalledWrongly, explain
from .places import add_home, egress_for, folder, installed, with_next_step


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `init`."""
    parser.add_argument("name", metavar="NAME", help="letters, digits, - _ and . ; it never goes to another key")
    parser.add_argument("--provider", metavar="URL", help="the agent provider (default: the one of `aauthkit up`)")
    servers = parser.add_mutually_exclusive_group()
    servers.add_argument("--ps", metavar="URL", help="the person server (default: the one of `aauthkit up` there)")
    servers.add_argument("--no-ps", action="store_true", help="an agent that acts for nobody")
    parser.add_argument(
        "--device", metavar="TEXT", default=machine.node()[:64] or None, help="shown where it is approved"
    )
    parser.add_argument("--json", action="store_true", help="the outcome for a program")
    add_home(parser)
    hosting.configure(parser)
    parser.epilog = (
        "The command waits until the agent is admitted: `aauthkit provider approve NAME` in another terminal.\n"
        "Interrupted, it goes on where it was when it is run again."
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Enrol one agent."""
    home, found = folder(options), installed(options)
    if options.self_hosted is not None:
        return hosting.run(options, found)
    provider = options.provider or (found.provider if found else None)
    if provider is None:
        raise CalledWrongly("which agent provider?", "name one with --provider URL, or run `aauthkit up` first")
    own = found if found is not None and provider == found.provider else None
    # The person server of this machine is the default at its own provider only: another one does not know it.
    person_server = None if options.no_ps else options.ps or (own.person if own else None)
    try:
        agent = asyncio.run(_enroll(options, home, provider, person_server, own, egress_for(found)))
    except Exception as error:
        failure = explain(error)
        if failure is None:
            raise
        raise with_next_step(failure, own) from error
    kept = AgentHome(home).path(options.name)
    if options.json:
        outcome = {
            "agent": agent.identifier,
            "provider": provider,
            "person_server": agent.person_server,
            "file": str(kept),
        }
        print(json.dumps(outcome, indent=2))
    else:
        print(f"{agent.identifier} is enrolled; kept in {kept}")
        print(f"next: aauthkit fetch --agent {options.name} URL, or Agent.load({options.name!r}) in Python")
    return 0


async def _enroll(
    options: argparse.Namespace,
    home: Path,
    provider: str,
    person_server: str | None,
    own: Installation | None,
    egress: Egress,
) -> Agent:
    narrator = Narrator(sys.stderr)
    told = False

    async def on_pending(_pending: Pending) -> None:
        nonlocal told
        if told:
            return
        told = True
        record = AgentHome(home).find(options.name)
        if record is not None:
            narrator.line(f"  the agent's durable key is {record.durable.kid}: compare it where you admit it")
        if own is not None:
            narrator.line(f"  in another terminal: aauthkit provider approve {options.name}")
        narrator.waiting(f"until {provider} admits {options.name}; Ctrl-C stops, the same command goes on")

    try:
        return await Agent.enroll(
            options.name,
            provider=provider,
            person_server=person_server,
            home=home,
            egress=egress,
            egress_file=own.egress_file if own else None,
            device=options.device,
            on_pending=on_pending,
        )
    finally:
        narrator.done()
