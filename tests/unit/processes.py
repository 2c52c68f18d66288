"""Servers and supervisors as real processes: `python -m tests.unit.processes ROLE ...`, from the project's folder.

serve PORT [watch] [stuck] [fails]   a server that says what it was asked; `/hang` is never answered
supervise FOLDER PORT PORT           a supervisor of two such servers, which says `ready` and waits
crash                                ends at once, with a word in its log
silent                               listens nowhere, and does not look at its input
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from pathlib import Path

from aauthkit import running
from aauthkit.protocol.identifiers import NO_LOOPBACK
from aauthkit.protocol.messages import Answer, json_answer
from aauthkit.running import Listen, log_to, run_server
from aauthkit.serving import Request
from aauthkit.supervision import Supervisor

PROJECT = Path(__file__).parents[2]
MODULE = "tests.unit.processes"
GRACE = 0.4
"""Seconds that these servers have to finish, so that tests need not wait."""


class Mirror:
    """Says what it was asked."""

    def __init__(self, *, stuck: bool = False, fails: bool = False) -> None:
        self._stuck = stuck
        self._fails = fails

    async def start(self) -> None:
        if self._fails:
            raise ValueError("there is no key")

    async def answer(self, request: Request) -> Answer:
        if request.path == "/hang":
            print("hanging", flush=True)
            if self._stuck:
                time.sleep(3600)  # a fault on purpose: it holds the loop
            await asyncio.Event().wait()
        if request.path == "/fault":
            raise RuntimeError
        said = {"pid": os.getpid(), "target": request.target, "peer": request.peer, "colour": os.environ.get("COLOUR")}
        return json_answer(200, said)

    async def close(self) -> None:
        print("closed", flush=True)


def serve(port: str, *options: str) -> None:
    log_to()
    running.GRACE = GRACE  # type: ignore[misc]
    mirror = Mirror(stuck="stuck" in options, fails="fails" in options)
    listen = Listen("127.0.0.1", int(port))
    run_server(mirror, listen, loopback=NO_LOOPBACK, watch_parent="watch" in options)


def supervise(folder: str, *ports: str) -> None:
    with Supervisor(Path(folder)) as supervisor:
        for port in ports:
            supervisor.start(f"server-{port}", (MODULE, "serve", port, "watch"), port=int(port), environment={})
        supervisor.wait_ready()
        print("ready", json.dumps([child.process.pid for child in supervisor.children]), flush=True)
        while supervisor.ended() is None:
            time.sleep(0.05)


def crash() -> None:
    sys.exit("no such luck")


def silent() -> None:
    time.sleep(3600)


def listens(port: int) -> bool:
    """Whether anybody listens there."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    {"serve": serve, "supervise": supervise, "crash": crash, "silent": silent}[sys.argv[1]](*sys.argv[2:])
