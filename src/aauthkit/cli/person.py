"""`aauthkit person`: run a person server, and look after the people who have an account there."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Awaitable, Callable

from ..accounts import MIGRATIONS as ACCOUNT_TABLES
from ..accounts import Accounts
from ..discovery import Discovery
from ..egress import Egress, Http
from ..installation import Installation
from ..keys import KeyFile
from ..person import PersonServer
from ..person.server import Shown
from ..running import LiveServer
from ..store import Database
from ..trust import Trust
from .failing import CommandError
from .serving import add_serve, add_server, issuers, own, records, serve_installed, serve_own

Act = Callable[[Accounts, argparse.Namespace], Awaitable[None]]


def configure(parser: argparse.ArgumentParser) -> None:
    """The commands below `person`."""
    below = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    serve = below.add_parser("serve", help="run it", description="Run a person server (draft-11 §7).")
    add_serve(serve)
    serve.add_argument(
        "--agent-provider", action="append", metavar="URL", help="whose agents are served: a URL, or any"
    )
    serve.add_argument("--resource", action="append", metavar="URL", help="where they may go: a URL, or any")
    serve.add_argument("--name", default="Your person server", help="what it calls itself")
    serve.set_defaults(run=run_serve)
    invite = below.add_parser(
        "invite", help="a link with which one person can make an account", description="Invite one."
    )
    invite.add_argument("--days", type=int, default=7, help="how long it is good for (default 7)")
    passwd = below.add_parser(
        "passwd", help="set somebody's password", description="Set a password; read from the terminal."
    )
    passwd.add_argument("name", metavar="NAME")
    people = below.add_parser("list", help="who has an account", description="Who has an account.")
    for command, act in ((invite, _invite), (passwd, _passwd), (people, _list)):
        add_server(command)
        command.add_argument("--json", action="store_true", help="the outcome for a program")
        command.set_defaults(run=run_act, act=act)


def run_serve(options: argparse.Namespace) -> int:
    """Run it, as part of an installation or by its own options."""
    described = own(options)
    if described is None:
        return serve_installed(options, "person", _installed)
    trust = Trust(
        agent_providers=issuers(options.agent_provider, "--agent-provider"),
        resources=issuers(options.resource, "--resource"),
    )
    egress = Egress.from_environment()

    def build(database: Database) -> LiveServer:
        return PersonServer(
            described.issuer,
            keys=KeyFile(described.keys),
            database=database,
            discovery=Discovery(Http(egress)),
            trust=trust,
            loopback=egress.loopback,
            shown=Shown(name=options.name),
        )

    return serve_own(described, build, watch_parent=options.watch_parent)


def _installed(found: Installation) -> Callable[[Database], LiveServer]:
    return found.person_server


def run_act(options: argparse.Namespace) -> int:
    """One operation beside a running person server."""

    async def act() -> None:
        async with records(options, "person") as (issuer, database, local):
            await database.migrate(ACCOUNT_TABLES)
            await options.act(Accounts(database, issuer=issuer, loopback=local), options)

    asyncio.run(act())
    return 0


async def _invite(accounts: Accounts, options: argparse.Namespace) -> None:
    if not 0 < options.days <= 90:
        raise CommandError("--days is 1 to 90")
    code = await accounts.invite(options.days * 86400)
    url = f"{accounts.issuer}/signup?invite={code}"
    print(json.dumps({"url": url}) if options.json else f"good for one person, {options.days} days:\n  {url}")


async def _passwd(accounts: Accounts, options: argparse.Namespace) -> None:
    if sys.stdin.isatty():
        password = getpass.getpass("new password: ")
        if getpass.getpass("once more: ") != password:
            raise CommandError("the two differ; nothing was changed")
    else:
        password = sys.stdin.readline().rstrip("\n")
    await accounts.set_password(options.name, password)
    print(json.dumps({"name": options.name}) if options.json else f"the password of {options.name} is set")


async def _list(accounts: Accounts, options: argparse.Namespace) -> None:
    people = await accounts.list()
    if options.json:
        print(json.dumps([{"name": one.name, "created": one.created, "disabled": one.disabled} for one in people]))
        return
    print(
        "\n".join(one.name + (" (disabled)" if one.disabled else "") for one in people) or "nobody has an account yet"
    )
