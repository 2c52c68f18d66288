"""The whole world with a peer in it: at the time that it is, since a peer has no clock that a test could set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
import pytest

from aauthkit.asgi import App
from aauthkit.egress import Http
from aauthkit.outbound import Credential, Outbound
from aauthkit.protocol.jose import SigningKey, parse_json
from aauthkit.protocol.messages import Answer
from aauthkit.store import open_database
from tests.plugins.signing import Issuer
from tests.plugins.tls import Authority, signing_key
from tests.plugins.world import PS, World, tls_of

T = TypeVar("T")

PersonServerOf = Callable[["PeerWorld"], App]


class PeerWorld(World):
    """Ours, with a peer as its person server where there is one, and further names as they come."""

    peer: PersonServerOf | None = None

    def person_server(self) -> App:
        """The peer's, or ours."""
        return super().person_server() if self.peer is None else self.peer(self)

    def name(self, host: str, port: int) -> None:
        """Reach `host` at this port of loopback from now on."""
        cast("dict[str, tuple[str, int]]", self.egress.names)[host] = ("127.0.0.1", port)

    def outbound(self) -> Outbound:
        """A way out for requests that are made one by one."""
        http = Http(self.egress)
        self._at_end(http.aclose)
        return Outbound(http)

    def issuer(self, identifier: str) -> Issuer:
        """Whoever holds the keys of this server, to mint what it would."""
        return Issuer(identifier, signing_key(identifier))

    async def token_for(self, name: str, key: SigningKey) -> Credential:
        """A fresh agent token of the provider for `key`."""
        return (await self.by_hand(name, key)).credential


@asynccontextmanager
async def open_peer_world(
    authority: Authority,
    folder: Path,
    person_server: PersonServerOf | None = None,
    api: Any = None,
    kind: type[PeerWorld] = PeerWorld,
) -> AsyncIterator[PeerWorld]:
    """Everybody on SQLite in memory; `person_server` makes a peer to be it, `api` another application for the API."""
    database = await open_database("sqlite://:memory:")
    world = kind(authority, folder, time.time)
    world.peer = person_server
    async with world.stack as stack:
        stack.push_async_callback(world.stop)
        await world.start(database, api=api, key=signing_key(PS))
        yield world
    await database.close()


@pytest.fixture
async def peer_world(authority: Authority, tmp_path: Path) -> AsyncIterator[PeerWorld]:
    """All of it ours, for peers that are no person server."""
    async with open_peer_world(authority, tmp_path) as world:
        yield world


class NamedTransport(httpx.AsyncHTTPTransport):
    """For a peer that brings httpx: the names of the world, and its certificates."""

    def __init__(self, world: World) -> None:
        self._world = world
        super().__init__(verify=tls_of(world.authority))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await super().handle_async_request(_led(request, self._world))


class BlockingTransport(httpx.HTTPTransport):
    """The same for its blocking calls."""

    def __init__(self, world: World) -> None:
        self._world = world
        super().__init__(verify=tls_of(world.authority))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return super().handle_request(_led(request, self._world))


def _led(request: httpx.Request, world: World) -> httpx.Request:
    """The request on its way to where its name is; the Host field and the certificate are those of the name."""
    address, port = world.egress.names[request.url.host]
    extensions = {**request.extensions, "sni_hostname": request.url.host}
    url = request.url.copy_with(host=address, port=port)
    return httpx.Request(request.method, url, headers=request.headers, stream=request.stream, extensions=extensions)


class _HurriedLoop(asyncio.SelectorEventLoop):
    """A loop on which a pause takes a hundredth of its time."""

    def call_later(self, delay: float, *rest: Any, **more: Any) -> asyncio.TimerHandle:
        return super().call_later(delay / 100, *rest, **more)


def hurried(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """`main` on a loop of its own, for a peer that blocks, or that pauses for as long as a server says."""
    with asyncio.Runner(loop_factory=_HurriedLoop) as runner:
        return runner.run(main())


def said(answer: Answer) -> dict[str, Any]:
    """The JSON document of an answer."""
    return dict(parse_json(answer.body))
