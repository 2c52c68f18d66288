"""What `provider serve` and `person serve` share: the options of a server, and building one from them."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ..installation import Installation, listen_of
from ..protocol.messages import Answer
from ..running import Listen, LiveServer, log_to, run_server
from ..serving import Request
from ..store import Database, open_database
from ..trust import ANY, Issuers
from .failing import CommandError
from .places import add_home, home_folder


def add_server(parser: argparse.ArgumentParser) -> None:
    """The options that say which server is meant: those of an installation, or its own."""
    add_home(parser)
    parser.add_argument(
        "--issuer", metavar="URL", help="the server's identifier, https://host (default: the one of `up`)"
    )
    parser.add_argument("--database", metavar="URL", help="a file, sqlite:///… or postgresql://…")


def add_serve(parser: argparse.ArgumentParser) -> None:
    """The options of `serve`."""
    add_server(parser)
    parser.add_argument(
        "--keys", type=Path, metavar="FILE", help="its key file, made with mode 0600 where there is none"
    )
    parser.add_argument("--listen", type=Listen.parse, metavar="[HOST:]PORT", help="default host: 127.0.0.1")
    parser.add_argument("--watch-parent", action="store_true", help=argparse.SUPPRESS)


def issuers(values: list[str] | None, option: str) -> Issuers:
    """`--option any` as `ANY`, or the identifiers named. Raises `CommandError` where none is."""
    if not values:
        raise CommandError(f"{option} is missing", f"{option} URL names one that is trusted; {option} any trusts all")
    return ANY if values == ["any"] else frozenset(values)


@dataclass(frozen=True, slots=True)
class Own:
    """A server by its own options rather than an installation's."""

    issuer: str
    database: str
    keys: Path
    listen: Listen


def own(options: argparse.Namespace) -> Own | None:
    """The server that the options describe, or `None` where they leave it to the installation."""
    if options.issuer is None:
        return None
    missing = [name for name in ("database", "keys", "listen") if getattr(options, name) is None]
    if missing:
        raise CommandError(f"with --issuer, --{missing[0]} is needed too")
    return Own(options.issuer, options.database, options.keys, options.listen)


class Deployed:
    """A server with its database: opened when the server starts, closed when it ends."""

    def __init__(self, opening: Callable[[], Awaitable[Database]], building: Callable[[Database], LiveServer]) -> None:
        self._opening = opening
        self._building = building
        self._database: Database | None = None
        self._server: LiveServer | None = None

    @property
    def server(self) -> LiveServer:
        """The server, once it has started."""
        assert self._server is not None
        return self._server

    async def start(self) -> None:
        """Open the database, build the server on it, start that."""
        self._database = await self._opening()
        self._server = self._building(self._database)
        await self._server.start()

    async def answer(self, request: Request) -> Answer:
        """What the server answers."""
        return await self.server.answer(request)

    async def close(self) -> None:
        """End the server, then the database."""
        if self._server is not None:
            await self._server.close()
        if self._database is not None:
            await self._database.close()


def serve_installed(
    options: argparse.Namespace, name: str, building: Callable[[Installation], Callable[[Database], LiveServer]]
) -> int:
    """Run one server of the installation."""
    log_to()
    found = Installation.load(options.home or home_folder())
    deployed = Deployed(lambda: found.database(name), building(found))
    origin = found.provider if name == "provider" else found.person
    run_server(deployed, listen_of(origin), loopback=found.loopback, watch_parent=options.watch_parent)
    return 0


def serve_own(described: Own, building: Callable[[Database], LiveServer], *, watch_parent: bool) -> int:
    """Run one server by its own options."""
    from ..egress import Egress

    log_to()
    deployed = Deployed(lambda: open_database(described.database), building)
    loopback = Egress.from_environment().loopback
    run_server(deployed, described.listen, loopback=loopback, watch_parent=watch_parent)
    return 0


@asynccontextmanager
async def records(options: argparse.Namespace, name: str) -> AsyncIterator[tuple[str, Database, bool]]:
    """A server's identifier and its records, opened beside the running server, and whether it is on this machine only.

    For an operator's command: what it changes, the running server sees at once.
    """
    if options.issuer is None:
        found = Installation.load(options.home or home_folder())
        issuer, opening = found.provider if name == "provider" else found.person, found.database(name)
        local = True
    else:
        if options.database is None:
            raise CommandError("with --issuer, --database is needed too")
        issuer, opening = options.issuer, open_database(options.database)
        local = False
    database = await opening
    try:
        yield issuer, database, local
    finally:
        await database.close()
