"""One server as one process: uvicorn on one address, loopback unless told otherwise, and an orderly end.

`h11` parses the requests: it shows the target as it was sent (docs/security.md says what other parsers do).
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import logging
import os
import re
import socket
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final, Protocol

from .asgi import App, Asgi, Message, Receive, Scope, Send
from .protocol.identifiers import LoopbackProfile
from .serving import Server

log = logging.getLogger("aauthkit.running")

LINE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_CORRELATION = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
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
        if not (port.isascii() and port.isdecimal()) or not 0 < int(port[:6]) < 65536:
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
    """Run any ASGI application until it is told to stop, or, with `watch_parent`, until its parent is gone.

    Raises `RunningError` where it may not listen there, cannot, or does not start.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise RunningError("running a server needs: pip install 'aauthkit[server]'") from error
    check_listen(listen, loopback)
    if loopback.origins:
        log.warning("loopback profile on: http is accepted for %s", ", ".join(sorted(loopback.origins)))
    watched = _Watched(app)
    config = uvicorn.Config(
        watched,
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
    with _bound(listen) as listening:
        log.info("serving on %s port %d", *listening.getsockname()[:2])
        if watch_parent:
            _follow_parent(server)
        gc.collect()
        gc.freeze()  # what was made so far stays as long as the process: the collector need not look through it again
        try:
            server.run(sockets=[listening])
        except OSError as error:  # two that were bound to one port at the same moment: the second cannot listen
            if error.errno != errno.EADDRINUSE:
                raise
            raise RunningError(f"could not listen on {listen.host}:{listen.port}: {error.strerror}") from error
        except SystemExit as error:  # how uvicorn says that the application did not start
            raise RunningError(f"the server did not start: {watched.failure or 'its log says why'}") from error


def _bound(listen: Listen) -> socket.socket:
    """The socket to listen on, bound before anything starts, so that a port in use is told at once.

    It listens only once the application has started: until then nobody takes the server for ready.
    """
    listening: socket.socket | None = None
    try:
        found = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # Of a name with addresses of both kinds the IPv4 one, which is where clients of this machine look.
        family, kind, protocol, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
    except OSError as error:
        if listening is not None:
            listening.close()
        hint = ". Is something else running there?" if error.errno == errno.EADDRINUSE else ""
        raise RunningError(f"could not listen on {listen.host}:{listen.port}: {error.strerror}{hint}") from error
    return listening


class _Watched:
    """An application whose failure to start is kept, to be told to who started it."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.failure = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def heard(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                self.failure = str(message.get("message", ""))
            await send(message)

        await self._app(scope, receive, heard)


def _follow_parent(server: Any) -> None:
    """End when standard input does: the parent holds its other end, and loses it even by `kill -9`."""

    def watch() -> None:
        with contextlib.suppress(OSError):  # no standard input at all: no parent either
            while os.read(0, 1024):
                pass
        server.should_exit = True
        timer = threading.Timer(GRACE + 1, os._exit, args=(0,))
        timer.daemon = True
        timer.start()

    threading.Thread(target=watch, name="follow-parent", daemon=True).start()


def log_to(stream: Any = None, level: int = logging.INFO, *, form: str | None = None) -> None:
    """Log lines on standard error: time, level, what. Never a token, key, code or body.

    `form` is `text` or `json`, a line of JSON each; by default what `AAUTHKIT_LOG` says, else `text`. A correlation id
    that the caller of a refused request got is a member of its own.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    chosen = form or os.environ.get("AAUTHKIT_LOG", "text")
    handler.setFormatter(_JsonLines() if chosen == "json" else logging.Formatter(LINE))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("uvicorn.access").disabled = True


class _JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Time in UTC, level, logger, message; the correlation id and the traceback where there is one."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        found = _CORRELATION.search(line["message"])
        if found is not None:
            line["correlation"] = found[0]
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
