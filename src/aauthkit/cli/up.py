"""`aauthkit up`: a provider and a person server of one's own, until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Final

from ..installation import API_ORIGIN, Installation
from ..supervision import SupervisionError, Supervisor
from .failing import SERVERS, CommandError, need
from .places import add_home, folder
from .stopping import stoppable

LOOK_EVERY: Final = 0.5
"""Seconds between two looks whether both are still there."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `up`."""
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="ORIGIN",
        help=f"an API of yours on this machine, such as {API_ORIGIN} (listed from the start); may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="once both are ready, where they are, for a program")
    add_home(parser)
    parser.epilog = (
        "Everything is kept in one folder; a second run finds it again. In another terminal:\n"
        "  aauthkit init planner\n  aauthkit provider approve planner\n  aauthkit fetch " + API_ORIGIN + "/orders"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Start both servers and stay until one ends or the user does."""
    need("server", *SERVERS)
    found = Installation.load_or_create(folder(options)).admitting(options.allow)
    print("starting an agent provider and a person server …", file=sys.stderr)
    with stoppable(), Supervisor(found.root / "logs") as supervisor:
        try:
            found.start(supervisor)
            supervisor.wait_ready()
        except SupervisionError as error:
            hint = f"is it running already, in another terminal? Logs: {supervisor.folder}"
            raise CommandError(str(error), hint, kind="SupervisionError") from error
        _tell(found, as_json=options.json)
        while True:
            time.sleep(LOOK_EVERY)
            ended = supervisor.ended()
            if ended is not None:
                raise CommandError(f"the {ended.name} ended by itself:\n{ended.tail()}", f"its whole log: {ended.log}")


def _tell(found: Installation, *, as_json: bool) -> None:
    if as_json:
        where = {
            "provider": found.provider,
            "person_server": found.person,
            "resources": list(found.resources),
            "home": str(found.root),
            "egress": str(found.egress_file),
        }
        print(json.dumps(where), flush=True)
        return
    print(f"agent provider   {found.provider}")
    print(f"person server    {found.person}   open it to make your account and to see what waits for you")
    print(f"your APIs        {', '.join(found.resources)}")
    print(f"  they need      export AAUTHKIT_EGRESS={found.egress_file}")
    print(f"folder           {found.root}")
    print("loopback profile: http on this machine only. Ctrl-C ends both.", flush=True)
