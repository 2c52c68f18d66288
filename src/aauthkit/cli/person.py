"""`aauthkit person`: run a person server, and look after the people who have an account there."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from ..accounts import MIGRATIONS as ACCOUNT_TABLES
from ..accounts import Accounts
from ..audit import Checkpoints, FileSink
from ..compatibility import OlderForm
from ..discovery import Discovery
from ..egress import Http
from ..inspection import plain
from ..installation import Installation
from ..keys import KeyFile, Keys
from ..person import PersonServer
from ..person.server import Shown
from ..store import Database
from ..trust import Trust
from . import replicating, stewarding
from .failing import CalledWrongly, CommandError
from .serving import ObservedServer, add_serve, add_server, issuers, own, records, serve_installed, serve_own

LONGEST_INVITATION: Final = 90
"""Days."""

Act = Callable[[Accounts, argparse.Namespace], Awaitable[None]]


def configure(parser: argparse.ArgumentParser) -> None:
    """The commands below `person`."""
    below = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")
    _configure_serve(below.add_parser("serve", help="run it", description="Run a person server (draft-11 §7)."))
    invite = below.add_parser(
        "invite",
        help="a link with which one person can make an account",
        description="Print a link with which one person can make an account.",
    )
    invite.add_argument("--days", type=_days, default=7, metavar="N", help="how long it is good for (default 7)")
    passwd = below.add_parser(
        "passwd",
        help="set somebody's password",
        description="Set somebody's password: asked for at the terminal, else the first line of standard input.",
    )
    passwd.add_argument("name", metavar="NAME", help="what they sign in with")
    people = below.add_parser("list", help="who has an account", description="Who has an account.")
    stewarding.configure(below)
    replicating.configure(below)
    for command, act in ((invite, _invite), (passwd, _passwd), (people, _list)):
        command.add_argument("--json", action="store_true", help="the outcome for a program")
        add_server(command)
        command.set_defaults(run=run_act, act=act)


def _configure_serve(serve: argparse.ArgumentParser) -> None:
    serve.add_argument(
        "--agent-provider",
        action="append",
        metavar="URL",
        help="an agent provider whose agents are served, or `any`; may be repeated",
    )
    serve.add_argument(
        "--resource", action="append", metavar="URL", help="where they may go, or `any`; may be repeated"
    )
    serve.add_argument(
        "--audit-keys",
        type=Path,
        metavar="FILE",
        help="a key file of its own, which signs checkpoints of the audit log; made where there is none",
    )
    serve.add_argument(
        "--checkpoints", type=Path, metavar="FILE", help="where checkpoints are written as well, a line each"
    )
    serve.add_argument("--name", metavar="TEXT", default="Your person server", help="what it calls itself")
    serve.add_argument(
        "--older-form",
        action="append",
        default=[],
        choices=[*OlderForm],
        help="read this of peers that have not caught up, with --issuer; may be repeated",
    )
    add_serve(serve)
    serve.epilog = (
        "Without --issuer it is the one of `aauthkit up`.\n"
        "A server of its own stands behind a proxy that ends TLS:\n"
        "  aauthkit person serve --issuer https://ps.example --database person.db --keys person.jwks \\\n"
        "      --listen 8702 --agent-provider https://agents.example --resource any\n"
        "Its people come by invitation:\n"
        "  aauthkit person invite --issuer https://ps.example --database person.db"
    )
    serve.set_defaults(run=run_serve)


def _days(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= LONGEST_INVITATION:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from 1 to {LONGEST_INVITATION}")
    return int(text)


def run_serve(options: argparse.Namespace) -> int:
    """Run it, as part of an installation or by its own options."""
    described = own(options)
    if described is None:
        if options.older_form:
            raise CalledWrongly("--older-form goes with --issuer", "--issuer URL names the server that is run")
        return serve_installed(options, "person", _installed)
    egress = described.egress
    trust = Trust(
        agent_providers=issuers(options.agent_provider, "--agent-provider", egress.loopback),
        resources=issuers(options.resource, "--resource", egress.loopback),
    )

    def build(database: Database, keys: Keys) -> ObservedServer:
        return PersonServer(
            described.issuer,
            keys=keys,
            database=database,
            discovery=Discovery(Http(egress)),
            trust=trust,
            loopback=egress.loopback,
            shown=Shown(name=options.name),
            older_forms=options.older_form,
            checkpoints=_checkpoints(options, described.issuer, database),
        )

    return serve_own(described, build, watch_parent=options.watch_parent, operations=options.operations)


def _checkpoints(options: argparse.Namespace, issuer: str, database: Database) -> Checkpoints | None:
    if options.audit_keys is None:
        if options.checkpoints is not None:
            raise CalledWrongly("--checkpoints goes with --audit-keys", "a checkpoint is signed with a key of its own")
        return None
    sinks = [FileSink(options.checkpoints)] if options.checkpoints is not None else []
    return Checkpoints(issuer, database, KeyFile(options.audit_keys).current, sinks=sinks)


def _installed(found: Installation) -> Callable[[Database], ObservedServer]:
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
    seconds = options.days * 86400
    url = f"{accounts.issuer}/signup?invite={await accounts.invite(seconds)}"
    if options.json:
        print(json.dumps({"url": url, "expires": int(time.time()) + seconds}, indent=2))
        return
    print(f"for one person, once, within {options.days} day{'s' if options.days != 1 else ''}:\n  {url}")
    if accounts.open_sign_up:
        print("on this machine nobody needs it: in the loopback profile everybody can make an account")


async def _passwd(accounts: Accounts, options: argparse.Namespace) -> None:
    if sys.stdin.isatty():
        password = getpass.getpass("new password: ")
        if getpass.getpass("once more: ") != password:
            raise CommandError("the two differ; nothing was changed", "try again")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CalledWrongly("no password was given; nothing was changed", "type it, or give it on standard input")
    await accounts.set_password(options.name, password)
    print(json.dumps({"name": options.name}) if options.json else f"the password of {options.name} is set")


async def _list(accounts: Accounts, options: argparse.Namespace) -> None:
    people = await accounts.list()
    if options.json:
        told = [{"name": one.name, "created": one.created, "disabled": one.disabled} for one in people]
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    print(
        "\n".join(plain(one.name) + (" (disabled)" if one.disabled else "") for one in people)
        or "nobody has an account yet"
    )
