"""`aauthkit provider`: run an agent provider, and decide which agents it has."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

from ..deferred import MIGRATIONS as PENDING_TABLES
from ..inspection import relative
from ..installation import Installation
from ..keys import KeyFile
from ..provider import AgentProvider
from ..provider.enrollments import Enrollments
from ..provider.limits import Limits
from ..provider.records import MIGRATIONS as PROVIDER_TABLES
from ..running import LiveServer
from ..store import Database
from .serving import add_serve, add_server, issuers, own, records, serve_installed, serve_own

Act = Callable[[Enrollments, argparse.Namespace], Awaitable[None]]


def configure(parser: argparse.ArgumentParser) -> None:
    """The commands below `provider`."""
    below = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    serve = below.add_parser("serve", help="run it", description="Run an agent provider (draft-11 §5.1).")
    add_serve(serve)
    serve.add_argument(
        "--person-server", action="append", metavar="URL", help="which person servers agents may have: a URL, or any"
    )
    serve.add_argument("--name", help="what it calls itself in its metadata")
    serve.set_defaults(run=run_serve)
    for name, act, summary in (
        ("list", _list, "its agents, and who waits to become one"),
        ("approve", _approve, "admit an agent that waits"),
        ("deny", _deny, "turn one down"),
        ("end", _end, "end an agent for good; its name stays taken"),
    ):
        command = below.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name != "list":
            command.add_argument("agent", metavar="NAME", help="the agent's name, or the identifier that `list` shows")
        add_server(command)
        command.add_argument("--json", action="store_true", help="the outcome for a program")
        command.set_defaults(run=run_act, act=act)


def run_serve(options: argparse.Namespace) -> int:
    """Run it, as part of an installation or by its own options."""
    described = own(options)
    if described is None:
        return serve_installed(options, "provider", _installed)
    trusted = issuers(options.person_server, "--person-server")

    def build(database: Database) -> LiveServer:
        keys = KeyFile(described.keys)
        return AgentProvider(described.issuer, keys=keys, database=database, person_servers=trusted, name=options.name)

    return serve_own(described, build, watch_parent=options.watch_parent)


def _installed(found: Installation) -> Callable[[Database], LiveServer]:
    return found.provider_server


def run_act(options: argparse.Namespace) -> int:
    """One decision beside a running provider."""

    async def act() -> None:
        async with records(options, "provider") as (issuer, database, _):
            await database.migrate((*PENDING_TABLES, *PROVIDER_TABLES))
            await options.act(Enrollments(issuer, database, limits=Limits()), options)

    asyncio.run(act())
    return 0


def _say(options: argparse.Namespace, value: Any, text: str) -> None:
    print(json.dumps(value, indent=2) if options.json else text)


async def _approve(enrollments: Enrollments, options: argparse.Namespace) -> None:
    agent = await enrollments.approve(options.agent)
    _say(options, asdict(agent), f"{agent.name} is admitted; its durable key is {agent.thumbprint}")


async def _deny(enrollments: Enrollments, options: argparse.Namespace) -> None:
    asked = await enrollments.deny(options.agent)
    _say(options, asdict(asked), f"{asked.name} was turned down")


async def _end(enrollments: Enrollments, options: argparse.Namespace) -> None:
    agent = await enrollments.end(options.agent)
    _say(options, asdict(agent), f"{agent.name} has ended: no further token, and the name stays taken")


async def _list(enrollments: Enrollments, options: argparse.Namespace) -> None:
    waiting, agents = await enrollments.pending(), await enrollments.agents()
    both = {"waiting": [asdict(asked) for asked in waiting], "agents": [asdict(agent) for agent in agents]}
    now = time.time()
    rows = [("waits", a.name, a.thumbprint, f"asked {relative(a.created - now)}, id {a.id}") for a in waiting]
    rows += [(agent.state, agent.name, agent.thumbprint, f"since {relative(agent.approved - now)}") for agent in agents]
    _say(options, both, _table(rows) if rows else "no agent, and none waits")


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
