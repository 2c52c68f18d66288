"""One server as one process: uvicorn on one address, loopback unless told otherwise, and an orderly end.

`h11` parses the requests: it shows the target as it was sent (docs/security.md says what other parsers do).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final, Protocol

from .asgi import App, Asgi
from .protocol.identifiers import LoopbackProfile
from .serving import Server

log = logging.getLogger("aauthkit.running")

GRACE: Final = 3.0
"""Seconds a server has to finish what it is answering when it is told to stop."""


class RunningError(Exception):
    """A server that cannot be run as it was asked to be; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a server listens."""

    host: str = "127.0.0.1"
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Listen:
        """`host:port`, or a port alone on loopback. Raises `RunningError`."""
        host, _, port = text.rpartition(":")
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise RunningError(f"{text!r} is not [host:]port")
        return cls(host.strip("[]") or "127.0.0.1", int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class LiveServer(Server, Protocol):
    """A role server with a beginning and an end."""

    async def start(self) -> None:
        """Make ready: migrations, keys."""
        ...

    async def close(self) -> None:
        """Let go of what is held."""
        ...


def check_listen(listen: Listen, loopback: LoopbackProfile) -> None:
    """Return unless the loopback profile is on and the address is not loopback; raise `RunningError` then."""
    if loopback.origins and not listen.is_loopback:
        raise RunningError(
            f"the loopback profile is on, so {listen.host} is refused: it admits http and must not be reachable from "
            "elsewhere. Listen on 127.0.0.1, or run without the profile under an https identifier."
        )


def run_server(server: LiveServer, listen: Listen, *, loopback: LoopbackProfile, watch_parent: bool = False) -> None:
    """Run a role server until it is told to stop. Raises `RunningError`."""
    run_app(Asgi(server, start=server.start, close=server.close), listen, loopback=loopback, watch_parent=watch_parent)


def run_app(app: App, listen: Listen, *, loopback: LoopbackProfile, watch_parent: bool = False) -> None:
    """Run any ASGI application until it is told to stop, or, with `watch_parent`, until its parent is gone."""
    try:
        import uvicorn
    except ImportError as error:
        raise RunningError("running a server needs: pip install 'aauthkit[server]'") from error
    check_listen(listen, loopback)
    if loopback.origins:
        log.warning("loopback profile on: http is accepted for %s", ", ".join(sorted(loopback.origins)))
    config = uvicorn.Config(
        app,
        host=listen.host,
        port=listen.port,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="on",
        access_log=False,  # a request line may hold an interaction code
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(GRACE),
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = uvicorn.Server(config)
    if watch_parent:
        _follow_parent(server)
    server.run()
    if not server.started:
        raise RunningError(f"could not listen on {listen.host}:{listen.port}: is something else running there?")


def _follow_parent(server: Any) -> None:
    """End when standard input does: the parent holds its other end, and loses it even by `kill -9`."""

    def watch() -> None:
        while sys.stdin.buffer.read(1024):
            pass
        server.should_exit = True
        timer = threading.Timer(GRACE + 1, os._exit, args=(0,))
        timer.daemon = True
        timer.start()

    threading.Thread(target=watch, name="follow-parent", daemon=True).start()


def log_to(stream: Any = None, level: int = logging.INFO) -> None:
    """Plain log lines on standard error: time, level, what. Never a token, key, code or body."""
    logging.basicConfig(
        stream=stream or sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("uvicorn.access").disabled = True
