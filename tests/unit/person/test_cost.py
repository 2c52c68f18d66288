"""What a request costs does not grow with what is on record (F86)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aauthkit.store import Database, open_database
from tests.plugins.people import World, body

pytestmark = pytest.mark.anyio


class Listening:
    """A database, or one of its transactions, that notes every statement."""

    def __init__(self, inner: Any, heard: set[str]) -> None:
        self._inner = inner
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def fetch_one(self, sql: str, /, **params: Any) -> Any:
        self._heard.add(sql)
        return await self._inner.fetch_one(sql, **params)

    async def fetch_all(self, sql: str, /, **params: Any) -> Any:
        self._heard.add(sql)
        return await self._inner.fetch_all(sql, **params)

    async def execute(self, sql: str, /, **params: Any) -> Any:
        self._heard.add(sql)
        return await self._inner.execute(sql, **params)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        async with self._inner.transaction() as tx:
            yield Listening(tx, self._heard)


@pytest.fixture
async def plain() -> AsyncIterator[Database]:
    database = await open_database("sqlite://:memory:")
    yield database
    await database.close()


async def test_every_statement_finds_its_rows_by_an_index(plain: Database) -> None:
    """F86: requests, polls, pages and decisions, as SQLite plans them."""
    heard: set[str] = set()
    world = World(Listening(plain, heard))  # type: ignore[arg-type]
    await world.server.start()
    heard.clear()
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.read orders.place"), token)
    await browser.open_next()
    await browser.decide("approved", "orders.read", memory="kept")
    assert (await agent.poll(answer)).status == 200
    repeat = await agent.ask_auth_token(agent.challenged(token, "orders.read"), token)
    assert "auth_token" in body(repeat)
    waiting = await agent.ask_auth_token(
        agent.challenged(token, "orders.cancel"), token, capabilities=["interaction", "clarification"]
    )
    await browser.open_next()
    await browser.ask("Why?")
    less = {"resource_token": agent.challenged(token, "orders.read"), "presented_token": token}
    assert (await agent.say(waiting, "updated_request", **less)).status == 202
    await world.revoke(agent.challenged(token), world.resource, "aauth-resource.json")
    await browser.get("/allowed")
    await browser.submit("/allowed/")
    await world.revoke(agent.token)
    await browser.get("/")
    await world.close()

    ours = [sql for sql in heard if re.search(r"\bperson_|\bpending\b", sql)]
    assert len(ours) > 20
    scans = []
    for sql in ours:
        names = set(re.findall(r":([a-z_]+)", sql))
        rows = await plain.fetch_all(f"EXPLAIN QUERY PLAN {sql}", **dict.fromkeys(names))
        scans += [(row["detail"], sql) for row in rows if row["detail"].startswith("SCAN")]
    assert scans == []
