"""`aauthkit provider`: run an agent provider, and decide which agents it has."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from ..deferred import MIGRATIONS as PENDING_TABLES
from ..inspection import plain, relative
from ..installation import Installation
from ..keys import Keys
from ..provider import AgentProvider
from ..provider.enrollments import EnrollmentRequest, Enrollments
from ..provider.limits import Limits
from ..provider.records import MIGRATIONS as PROVIDER_TABLES
from ..provider.records import AgentRecord
from ..store import Database
from .serving import ObservedServer, add_serve, add_server, issuers, own, records, serve_installed, serve_own

Act = Callable[[Enrollments, argparse.Namespace], Awaitable[None]]


def configure(parser: argparse.ArgumentParser) -> None:
    """The commands below `provider`."""
    below = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")
    serve = below.add_parser("serve", help="run it", description="Run an agent provider (draft-11 §5.1).")
    serve.add_argument(
        "--person-server",
        action="append",
        metavar="URL",
        help="a person server that agents may have, or `any`; may be repeated",
    )
    serve.add_argument("--name", metavar="TEXT", help="what it calls itself in its metadata")
    add_serve(serve)
    serve.epilog = (
        "Without --issuer it is the one of `aauthkit up`.\n"
        "A server of its own stands behind a proxy that ends TLS:\n"
        "  aauthkit provider serve --issuer https://agents.example --database provider.db \\\n"
        "      --keys provider.jwks --listen 8701 --person-server https://ps.example"
    )
    serve.set_defaults(run=run_serve)
    waiting = "the name it asks for, or the id that `list` shows"
    for name, act, summary, named in (
        ("list", _list, "its agents, and who waits to become one", ""),
        ("approve", _approve, "admit an agent that waits", waiting),
        ("deny", _deny, "turn one down", waiting),
        ("suspend", _suspend, "refuse an agent tokens for now, and revoke those it has", "the agent's name"),
        ("resume", _resume, "let a suspended agent have tokens again", "the agent's name"),
        ("end", _end, "end an agent for good, and revoke its tokens; its name stays taken", "the agent's name"),
    ):
        command = below.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name != "list":
            command.add_argument("agent", metavar="NAME", help=named)
        command.add_argument("--json", action="store_true", help="the outcome for a program")
        add_server(command)
        command.set_defaults(run=run_act, act=act)


def run_serve(options: argparse.Namespace) -> int:
    """Run it, as part of an installation or by its own options."""
    described = own(options)
    if described is None:
        return serve_installed(options, "provider", _installed)
    trusted = issuers(options.person_server, "--person-server", described.egress.loopback)

    def build(database: Database, keys: Keys) -> ObservedServer:
        return AgentProvider(
            described.issuer,
            keys=keys,
            database=database,
            person_servers=trusted,
            egress=described.egress,
            loopback=described.egress.loopback,
            name=options.name,
        )

    return serve_own(described, build, watch_parent=options.watch_parent, operations=options.operations)


def _installed(found: Installation) -> Callable[[Database], ObservedServer]:
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
    print(json.dumps(value, indent=2, ensure_ascii=False) if options.json else text)


async def _approve(enrollments: Enrollments, options: argparse.Namespace) -> None:
    agent = await enrollments.approve(options.agent)
    _say(options, asdict(agent), f"{agent.name} is admitted; its durable key is {agent.thumbprint}")


async def _deny(enrollments: Enrollments, options: argparse.Namespace) -> None:
    asked = await enrollments.deny(options.agent)
    _say(options, asdict(asked), f"{asked.name} was turned down")


async def _suspend(enrollments: Enrollments, options: argparse.Namespace) -> None:
    agent = await enrollments.suspend(options.agent)
    await _say_revoking(enrollments, options, agent, f"{agent.name} is suspended: no token until it is resumed")


async def _resume(enrollments: Enrollments, options: argparse.Namespace) -> None:
    agent = await enrollments.resume(options.agent)
    _say(options, asdict(agent), f"{agent.name} may have tokens again; those that were revoked stay so")


async def _end(enrollments: Enrollments, options: argparse.Namespace) -> None:
    agent = await enrollments.end(options.agent)
    text = f"{agent.name} has ended: no further token, and the name stays taken"
    await _say_revoking(enrollments, options, agent, text)


async def _say_revoking(enrollments: Enrollments, options: argparse.Namespace, agent: AgentRecord, text: str) -> None:
    """What became of the agent, and of the tokens it has: the running provider sends the revocations."""
    revocations = await enrollments.revocations(agent.name)
    if agent.ps is None:
        text += "\n  it has no person server: a token it has serves until it expires"
    elif revocations:
        text += f"\n  unexpired tokens that the running provider revokes at {agent.ps}: {len(revocations)}"
    _say(options, {**asdict(agent), "revocations": [asdict(one) for one in revocations]}, text)


async def _list(enrollments: Enrollments, options: argparse.Namespace) -> None:
    waiting, agents = await enrollments.pending(), await enrollments.agents()
    both = {"waiting": [asdict(asked) for asked in waiting], "agents": [asdict(agent) for agent in agents]}
    now = time.time()
    told = [line for asked in waiting for line in _asked(asked, now)]
    if waiting:
        told += ["compare the durable key with the one that the agent shows, then approve or deny by name or id", ""]
    told += [line for agent in agents for line in _agent(agent, now)]
    _say(options, both, "\n".join(told).rstrip() or "no agent, and none waits")


def _asked(asked: EnrollmentRequest, now: float) -> list[str]:
    device = f", on a device it calls {plain(asked.device)}" if asked.device else ""
    return [
        f"{asked.name} waits: asked {relative(asked.created - now)} from {asked.network}{device}",
        f"  durable key {asked.thumbprint}",
        f"  id {asked.id}",
    ]


def _agent(agent: AgentRecord, now: float) -> list[str]:
    changed = "" if agent.state == "active" else f", {agent.state} {relative(agent.changed - now)}"
    return [
        f"{agent.name} is {agent.state}: approved {relative(agent.approved - now)}{changed}",
        f"  durable key {agent.thumbprint}",
        f"  person server {agent.ps or 'none: it acts for nobody'}",
    ]
