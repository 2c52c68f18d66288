"""`aauthkit person keys`: the key set that the replicas of a person server share in their database."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from ..keys import PUBLISHED_BEFORE
from ..keys.stored import StoredKeys
from .failing import CalledWrongly
from .keys import SECRETS, described
from .serving import add_server, records

Act = Callable[[StoredKeys, argparse.Namespace], Awaitable[None]]


def configure(below: Any) -> None:
    """Add the commands below `person`."""
    keys = below.add_parser(
        "keys",
        help="the keys that replicas share in their database",
        description="The key set of a server that runs with `--keys database`.",
    )
    actions = keys.add_subparsers(dest="keys_action", metavar="ACTION", required=True, title="actions")
    show = actions.add_parser(
        "show", help="its keys, and which one signs", description="Show the keys of a key set in the database."
    )
    rotate = actions.add_parser(
        "rotate",
        help="publish a next key, which signs from then on",
        description="Publish a next key at once, at every replica; it signs two minutes later at the earliest.",
    )
    rotate.add_argument(
        "--delay",
        type=int,
        default=PUBLISHED_BEFORE,
        metavar="SECONDS",
        help=f"when it signs (default {PUBLISHED_BEFORE})",
    )
    for command, act in ((show, _show), (rotate, _rotate)):
        command.add_argument("--json", action="store_true", help="the outcome for a program")
        add_server(command)
        command.epilog = SECRETS
        command.set_defaults(run=run, act=act)


def run(options: argparse.Namespace) -> int:
    """One operation on the key set, beside the running servers."""

    async def act() -> None:
        async with records(options, "person") as (issuer, database, _):
            keys = await StoredKeys(issuer, database).open(make=False)
            try:
                await options.act(keys, options)
            finally:
                await keys.close()

    asyncio.run(act())
    return 0


async def _show(keys: StoredKeys, options: argparse.Namespace) -> None:
    _told(keys, options)


async def _rotate(keys: StoredKeys, options: argparse.Namespace) -> None:
    if options.delay < PUBLISHED_BEFORE:
        raise CalledWrongly(f"--delay {options.delay} is too short: a key is published {PUBLISHED_BEFORE} s ahead")
    waiting = [one.kid for one in keys.standing() if one.state == "next"]
    following = await keys.rotate(delay=options.delay)
    if not options.json and following in waiting:
        print(f"a next key is published already: {following}", file=sys.stderr)
    _told(keys, options)


def _told(keys: StoredKeys, options: argparse.Namespace) -> None:
    standing = keys.standing()
    if options.json:
        print(json.dumps({"set": keys.name, "keys": [asdict(one) for one in standing]}, indent=2))
        return
    print(f"{keys.name}: in the database, sealed")
    print("\n".join(described(standing, time.time())))
