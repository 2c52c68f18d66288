"""`aauthkit up`: a provider and a person server of one's own, until Ctrl-C."""

from __future__ import annotations

import argparse
import time

from ..installation import API_ORIGIN, Installation
from ..supervision import Supervisor
from .failing import CommandError
from .places import add_home, home_folder


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `up`."""
    add_home(parser)
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="ORIGIN",
        help=f"an API of yours on this machine, such as {API_ORIGIN} (listed from the start); may be repeated",
    )
    parser.epilog = (
        "Everything is kept in one folder; a second run finds it again. In another terminal:\n"
        "  aauthkit init planner\n  aauthkit provider approve planner\n  aauthkit fetch " + API_ORIGIN + "/orders"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Start both servers and stay until one ends or the user does."""
    found = Installation.load_or_create(options.home or home_folder()).admitting(options.allow)
    with Supervisor(found.root / "logs") as supervisor:
        found.start(supervisor)
        supervisor.wait_ready()
        print(f"agent provider   {found.provider}")
        print(f"person server    {found.person}      open it to create your account and to see what waits for you")
        print(f"folder           {found.root}")
        print(f"for your API:    export AAUTHKIT_EGRESS={found.egress_file}")
        print("loopback profile: these names work on this machine only. Ctrl-C ends both.", flush=True)
        while True:
            time.sleep(0.5)
            ended = supervisor.ended()
            if ended is not None:
                raise CommandError(f"the {ended.name} ended by itself:\n{ended.tail()}", f"its whole log: {ended.log}")
