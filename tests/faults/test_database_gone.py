"""A database that is out of reach for a while: polls are told to come again, and go on; no decision is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from aauthkit.audit import verify
from aauthkit.store import open_database
from tests.plugins.people import PS, World, body
from tests.plugins.stores import PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

OTHER = "https://stock.example"


class Line:
    """The way to a PostgreSQL, which can be cut: what is open ends at once, and nothing new is taken."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._open: set[asyncio.StreamWriter] = set()
        self.up = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if not self.up:
            writer.transport.abort()
            return
        behind, ahead = await asyncio.open_unix_connection(self._socket)
        self._open |= {writer, ahead}
        try:
            await asyncio.gather(self._pump(reader, ahead), self._pump(behind, writer))
        finally:
            self._open -= {writer, ahead}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    def cut(self) -> None:
        """Gone."""
        self.up = False
        for writer in self._open:
            writer.transport.abort()


@asynccontextmanager
async def reached(postgres_server: PostgresServer) -> AsyncIterator[tuple[World, Line]]:
    """A person server whose way to its database can be cut."""
    url = postgres_server.create()
    parts = urlsplit(url)
    line = Line(Path(parse_qs(parts.query)["host"][0]) / ".s.PGSQL.5432")
    listening = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    database = await open_database(f"postgresql://postgres@127.0.0.1:{port}{parts.path}")
    world = World(database)
    await world.server.start()
    try:
        yield world, line
    finally:
        line.up = True
        await world.close()
        await database.close()
        listening.close()
        postgres_server.drop(url)


async def test_f86_a_database_that_comes_back_finds_everything_as_it_was(postgres_server: PostgresServer) -> None:
    """Held polls, new requests and pages while it is gone; a decision wakes the poll that was held before."""
    async with reached(postgres_server) as (world, line):
        agent, browser, _ = await world.introduced()
        waiting = await agent.ask_person_token(OTHER)
        assert waiting.status == 202
        page = await browser.open_next()
        held = asyncio.create_task(agent.poll(waiting, headers=(("prefer", "wait=100"),)))
        await asyncio.sleep(0.1)
        line.cut()
        for _ in range(3):
            answer = await agent.poll(waiting)
            assert (answer.status, answer.header("retry-after") is not None) == (503, True), answer.body
            assert (await agent.ask_person_token("https://new.example")).status == 503
            assert (await browser.decide("approved", memory="kept")).status == 503
            browser.page = page  # which is still open in front of the person
        line.up = True
        while (await browser.decide("approved", memory="kept")).status == 503:
            browser.page = page
        answer = await held
        while answer.status == 503:
            answer = await agent.poll(waiting, headers=(("prefer", "wait=100"),))
        assert answer.status == 200 and "person_token" in body(answer)
        assert (await verify(world.database, PS, [])).good
        assert dict(await world.server.ready()) == {}


async def test_f86_it_is_not_ready_while_its_database_is_gone(postgres_server: PostgresServer) -> None:
    """`/readyz` says so, and takes it back."""
    async with reached(postgres_server) as (world, line):
        assert dict(await world.server.ready()) == {}
        line.cut()
        assert set(await world.server.ready()) == {"database"}
        line.up = True
        while await world.server.ready():
            await asyncio.sleep(0.02)
