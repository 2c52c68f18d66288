"""What `provider serve` and `person serve` share: the options of a server, and building one from them."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ..egress import Egress
from ..installation import Installation, listen_of
from ..keys import KeyFile, Keys
from ..keys.stored import StoredKeys
from ..operations import Metrics, Observed, Operations
from ..protocol.identifiers import InvalidIdentifier, LoopbackProfile, check_server_identifier
from ..protocol.messages import Answer
from ..running import Listen, LiveServer, RunningError, log_to, run_server
from ..serving import Request
from ..store import Database, open_database
from ..trust import ANY, Issuers
from .failing import CalledWrongly, CommandError
from .places import add_home, folder

IN_DATABASE: Final = Path("database")
"""What `--keys` says of a key set that replicas share; a file of that name is `./database`."""


def add_server(parser: argparse.ArgumentParser) -> None:
    """The options that say which server is meant: those of an installation, or its own."""
    parser.add_argument(
        "--issuer", metavar="URL", help="the server's identifier, https://host (default: the one of `aauthkit up`)"
    )
    parser.add_argument("--database", metavar="URL", help="a file, sqlite:///… or postgresql://…")
    add_home(parser)


def add_serve(parser: argparse.ArgumentParser) -> None:
    """The options of `serve`."""
    parser.add_argument(
        "--keys",
        type=_keys,
        metavar="FILE",
        help="its key file, made with mode 0600 where there is none; or `database`, for a key set that replicas share "
        "in their database, sealed under AAUTHKIT_KEYS_PASSPHRASE or AAUTHKIT_KEYS_KEY",
    )
    parser.add_argument(
        "--listen",
        type=_listen,
        metavar="[HOST:]PORT",
        help="where a proxy that ends TLS finds it (default host: 127.0.0.1)",
    )
    parser.add_argument(
        "--operations",
        type=_listen,
        metavar="[HOST:]PORT",
        help="where /healthz, /readyz and /metrics are served, to whoever runs it (default: nowhere)",
    )
    parser.add_argument(
        "--durable",
        action="store_true",
        default=None,
        help="with SQLite: a commit waits for the disk, so that it outlives a loss of power (PostgreSQL always does)",
    )
    parser.add_argument("--watch-parent", action="store_true", help=argparse.SUPPRESS)
    add_server(parser)


def _listen(text: str) -> Listen:
    try:
        return Listen.parse(text)
    except RunningError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _keys(text: str) -> Path:
    return IN_DATABASE if text == "database" else Path(text)


def issuers(values: list[str] | None, option: str, loopback: LoopbackProfile) -> Issuers:
    """`--option any` as `ANY`, or the identifiers named. Raises `CalledWrongly` where none is, or one cannot be."""
    if not values:
        raise CalledWrongly(f"{option} is missing", f"{option} URL names one that is trusted; {option} any trusts all")
    if values == ["any"]:
        return ANY
    return frozenset(identifier(value, option, loopback) for value in values)


def identifier(value: str, option: str, loopback: LoopbackProfile) -> str:
    """A server identifier that an option names. Raises `CalledWrongly`."""
    try:
        return check_server_identifier(value, loopback)
    except InvalidIdentifier as error:
        hint = "http is for the origins of a loopback profile: export AAUTHKIT_EGRESS=…/egress.json of `aauthkit up`"
        raise CalledWrongly(f"{option}: {error}", hint if value.startswith("http://") else "") from error


@dataclass(frozen=True, slots=True)
class Own:
    """A server by its own options rather than an installation's; `egress` is this process's."""

    issuer: str
    database: str
    keys: Path
    listen: Listen
    egress: Egress
    durable: bool = False

    async def open_keys(self, database: Database, closing: AsyncExitStack) -> Keys:
        """The key set of the server, which is let go of with `closing`. Raises `KeyFileError`, `StoreError`."""
        if self.keys != IN_DATABASE:
            return KeyFile(self.keys)
        stored = StoredKeys(self.issuer, database)
        closing.push_async_callback(stored.close)
        return await stored.open()


def own(options: argparse.Namespace) -> Own | None:
    """The server that the options describe, or `None` where they leave it to the installation.

    Raises `CalledWrongly`.
    """
    named = [name for name in ("database", "keys", "listen", "durable") if getattr(options, name) is not None]
    if options.issuer is None:
        if named:
            raise CalledWrongly(f"--{named[0]} goes with --issuer", "--issuer URL names the server that is run")
        return None
    egress = Egress.from_environment()
    issuer = identifier(options.issuer, "--issuer", egress.loopback)
    missing = [f"--{name}" for name in ("database", "keys", "listen") if name not in named]
    if missing:
        raise CalledWrongly(f"with --issuer, {', '.join(missing)} must be given too")
    return Own(issuer, options.database, options.keys, options.listen, egress, bool(options.durable))


class ObservedServer(LiveServer, Observed, Protocol):
    """A role server that tells of itself."""


Building = Callable[[Database, AsyncExitStack], Awaitable[ObservedServer]]
"""Makes a server on its database; what it puts on the stack is let go of after the server has ended."""


class Deployed:
    """A server with its database: opened when the server starts, closed when it ends."""

    def __init__(
        self, opening: Callable[[], Awaitable[Database]], building: Building, operations: Listen | None = None
    ) -> None:
        self._listen = operations
        self._opening = opening
        self._building = building
        self._closing = AsyncExitStack()
        self._server: ObservedServer | None = None

    @property
    def server(self) -> ObservedServer:
        """The server, once it has started."""
        assert self._server is not None
        return self._server

    async def start(self) -> None:
        """Open the database, build the server on it, start that."""
        database = await self._opening()
        self._closing.push_async_callback(database.close)
        self._server = await self._building(database, self._closing)
        self._closing.push_async_callback(self._server.close)
        await self._server.start()
        if self._listen is not None:
            metrics = Metrics()
            self._server.observed_by(metrics)
            operations = Operations(self._server, metrics, host=self._listen.host, port=self._listen.port)
            await operations.start()
            self._closing.push_async_callback(operations.close)

    async def answer(self, request: Request) -> Answer:
        """What the server answers."""
        return await self.server.answer(request)

    async def close(self) -> None:
        """End the server, then the database."""
        await self._closing.aclose()


def serve_installed(
    options: argparse.Namespace, name: str, building: Callable[[Installation], Callable[[Database], ObservedServer]]
) -> int:
    """Run one server of the installation."""
    found = Installation.load(folder(options))
    log_to()

    async def build(database: Database, _closing: AsyncExitStack) -> ObservedServer:
        return building(found)(database)

    deployed = Deployed(lambda: found.database(name), build, options.operations)
    origin = found.provider if name == "provider" else found.person
    run_server(deployed, listen_of(origin), loopback=found.loopback, watch_parent=options.watch_parent)
    return 0


def serve_own(
    described: Own,
    building: Callable[[Database, Keys], ObservedServer],
    *,
    watch_parent: bool,
    operations: Listen | None = None,
) -> int:
    """Run one server by its own options."""
    log_to()

    async def build(database: Database, closing: AsyncExitStack) -> ObservedServer:
        return building(database, await described.open_keys(database, closing))

    deployed = Deployed(lambda: open_database(described.database, durable=described.durable), build, operations)
    run_server(deployed, described.listen, loopback=described.egress.loopback, watch_parent=watch_parent)
    return 0


@asynccontextmanager
async def records(options: argparse.Namespace, name: str) -> AsyncIterator[tuple[str, Database, bool]]:
    """A server's identifier and its records, opened beside the running server, and whether it is on this machine only.

    For an operator's command: what it changes, the running server sees at once. Raises `CalledWrongly`.
    """
    if options.issuer is None:
        if options.database is not None:
            raise CalledWrongly("--database goes with --issuer", "--issuer URL names the server whose records they are")
        found = Installation.load(folder(options))
        issuer, opening = found.provider if name == "provider" else found.person, found.database(name)
    else:
        if options.database is None:
            raise CalledWrongly("with --issuer, --database must be given too")
        loopback = Egress.from_environment().loopback
        issuer = identifier(options.issuer, "--issuer", loopback)
        _check_file(options.database)
        opening = open_database(options.database)
    database = await opening
    try:
        yield issuer, database, issuer.startswith("http://")
    finally:
        await database.close()


def _check_file(database: str) -> None:
    """Return unless this names a file that is not there: an operator's command makes none by a slip of the pen."""
    file = database.removeprefix("sqlite:///")
    if "://" not in file and not Path(file).exists():
        raise CommandError(f"there is no database {file}", "name the one that the server runs on")
