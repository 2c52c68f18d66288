"""The whole world with a peer in it: at the time that it is, since a peer has no clock that a test could set."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from aauthkit.asgi import App
from aauthkit.egress import Http
from aauthkit.outbound import Credential, Outbound
from aauthkit.protocol.jose import SigningKey, parse_json
from aauthkit.protocol.messages import Answer
from aauthkit.store import open_database
from tests.plugins.signing import Issuer
from tests.plugins.tls import Authority, signing_key
from tests.plugins.world import PS, World

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
    authority: Authority, folder: Path, person_server: PersonServerOf | None = None, api: Any = None
) -> AsyncIterator[PeerWorld]:
    """Everybody on SQLite in memory; `person_server` makes a peer to be it, `api` another application for the API."""
    database = await open_database("sqlite://:memory:")
    world = PeerWorld(authority, folder, time.time)
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


def said(answer: Answer) -> dict[str, Any]:
    """The JSON document of an answer."""
    return dict(parse_json(answer.body))
