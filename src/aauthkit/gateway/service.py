"""The gateway as one process: the check and the resources' own paths on loopback, from a file that may change.

A new file takes the place of the old one whole, while requests go on; one that cannot be used leaves the old one in
force, and the log says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from ..asgi import App, Asgi
from ..egress import Egress
from ..operations import Metrics, Operations
from ..running import GRACE, Listen, RunningError
from .configuration import Configuration, ConfigurationError, read_configuration
from .gate import Gate
from .grpc_check import GrpcCheck, GrpcServer
from .http_check import HttpCheck
from .own_paths import OwnPaths
from .telling import DecisionFigures, DecisionLog
from .verdicts import Observer

log = logging.getLogger("aauthkit.gateway")

LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether the file has changed."""
REPLACED_AFTER: Final = 15.0
"""Seconds for which a gate that was replaced goes on with the requests it has."""


def load(file: Path, egress: Egress) -> Configuration:
    """The configuration in a file. Raises `ConfigurationError`, `OSError`."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError([(1, "the file is not UTF-8")]) from error
    return read_configuration(text, folder=file.parent, loopback=egress.loopback)


class Service:
    """The gateway's service for the file at `path`.

    It listens at `check`, in the way that the file's listener names, and at `own`; both are for the proxy, so loopback.
    `changed` is called, with the new configuration, once that is in force.
    """

    def __init__(
        self,
        path: Path,
        *,
        check: Listen,
        own: Listen,
        operations: Listen | None = None,
        decisions: Path | None = None,
        egress: Egress | None = None,
        changed: Callable[[Configuration], None] = lambda _new: None,
    ) -> None:
        for listen in (check, own):
            if not listen.is_loopback:
                raise RunningError(f"the gateway listens for its proxy alone, on loopback: {listen.host} is not")
        self._path = path
        self._listen = (check, own)
        self._operations = operations
        self._egress = egress if egress is not None else Egress.from_environment()
        self._log = DecisionLog(decisions) if decisions is not None else None
        self._changed = changed
        self._closing = AsyncExitStack()
        self._observers: list[Observer] = [self._log] if self._log is not None else []
        self._asked: Sequence[GrpcCheck | HttpCheck | OwnPaths] = ()
        self._leaving: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self._seen: tuple[int, int, int] | None = None
        self.gate: Gate
        self.check_port = 0
        self.own_port = 0
        self.broken = ""
        """What is wrong with the file that is not in force."""

    async def start(self) -> None:
        """Read the file, open the records, listen. Raises `ConfigurationError`, `StoreError`, `OSError`."""
        self._seen = _stamp(self._path)
        configuration = load(self._path, self._egress)
        await self._observe()
        self.gate = Gate(configuration, egress=self._egress, observers=self._observers)
        await self.gate.start()
        check, own = self._listen
        paths = OwnPaths(self.gate)
        self.own_port = await self._closing.enter_async_context(listening(Asgi(paths), own))
        if configuration.listener.check == "grpc":
            over_grpc = GrpcCheck(self.gate)
            asked: GrpcCheck | HttpCheck = over_grpc
            server = GrpcServer(over_grpc, f"{check.host}:{check.port}")
            await server.start()
            self._closing.push_async_callback(server.close)
            self.check_port = server.port
        else:
            asked = over_http = HttpCheck(self.gate)
            self.check_port = await self._closing.enter_async_context(listening(over_http, check))
        self._asked = (asked, paths)

    async def _observe(self) -> None:
        if self._operations is None:
            return
        metrics = Metrics()
        self._observers.append(DecisionFigures(metrics))
        operations = Operations(self, metrics, host=self._operations.host, port=self._operations.port)
        await operations.start()
        self._closing.push_async_callback(operations.close)

    async def reload(self) -> bool:
        """Take the file as it is now. False, with a word in the log, where it cannot be used: the old one stays."""
        async with self._reloading:
            self._seen = _stamp(self._path)
            if self._log is not None:
                self._log.reopen()
            try:
                configuration = load(self._path, self._egress)
                if configuration.listener.check != self.gate.configuration.listener.check:
                    raise ConfigurationError([(1, "how the proxy asks (check) changes with a restart only")])
                new = Gate(configuration, egress=self._egress, observers=self._observers, before=self.gate)
                await new.start()
            except Exception as error:
                self.broken = str(error)
                log.error("%s cannot be used, and the one before it stays in force: %s", self._path, error)
                return False
            old, self.gate, self.broken = self.gate, new, ""
            for each in self._asked:
                each.gate = new
            leaving = asyncio.create_task(_leave(old), name="aauthkit-gateway-replaced")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            log.info("%s is in force", self._path)
            try:
                self._changed(configuration)
            except OSError as error:
                self.broken = str(error)
                log.error("the proxy was not told of it: %s", error)
            return True

    async def follow(self) -> None:
        """Reload whenever the file has changed, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if _stamp(self._path) != self._seen:
                await self.reload()

    async def close(self) -> None:
        """Stop listening, then let go of the records."""
        await self._closing.aclose()
        for leaving in tuple(self._leaving):
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving
        await self.gate.close()
        if self._log is not None:
            self._log.close()

    # What whoever runs it sees.

    def observed_by(self, metrics: Metrics) -> None:
        """Nothing more: decisions are counted as they are made."""

    async def ready(self) -> Mapping[str, str]:
        """Nothing keeps a gateway that listens from its work; a broken new file does not."""
        return {}

    async def gauges(self) -> Mapping[str, float]:
        """Figures as they are now."""
        resources = len(self.gate.configuration.resources)
        return {"gateway_resources": resources, "gateway_configuration_broken": float(bool(self.broken))}


async def _leave(gate: Gate) -> None:
    try:
        await asyncio.sleep(REPLACED_AFTER)
    finally:
        await gate.close()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino
    return None


@asynccontextmanager
async def listening(app: App, listen: Listen) -> AsyncIterator[int]:
    """`app` under uvicorn at `listen`; gives the port. Raises `OSError` where it cannot listen there."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Leave signals to the command."""
            yield

    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(GRACE),
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = Server(config)
    bound = socket.socket(socket.AF_INET6 if ":" in listen.host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    running: asyncio.Task[Any] | None = None
    try:
        bound.bind((listen.host, listen.port))
        running = asyncio.create_task(server.serve(sockets=[bound]))
        while not server.started and not running.done():
            await asyncio.sleep(0.005)
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        if running is not None:
            await running
        bound.close()
