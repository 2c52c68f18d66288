"""What a request costs does not grow with what is on record (F86)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aauthkit.store import Database, open_database
from tests.flows.test_missions import approved
from tests.plugins.people import RESOURCE, World, body

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

    assert await scans(plain, heard) == []


async def scans(plain: Database, heard: set[str]) -> list[tuple[str, str]]:
    """The statements on the server's own tables that SQLite would answer by looking at every row."""
    ours = [sql for sql in heard if re.search(r"\bperson_|\bpending\b", sql)]
    assert len(ours) > 20
    found = []
    for sql in ours:
        names = set(re.findall(r":([a-z_0-9]+)", sql))
        rows = await plain.fetch_all(f"EXPLAIN QUERY PLAN {sql}", **dict.fromkeys(names))
        found += [(row["detail"], sql) for row in rows if row["detail"].startswith("SCAN")]
    return found


async def test_so_does_every_statement_of_missions_and_what_belongs_to_them(plain: Database) -> None:
    """F86: proposals, updates, permissions, records, questions, lists, stops, and their ends."""
    heard: set[str] = set()
    world = World(Listening(plain, heard))  # type: ignore[arg-type]
    await world.server.start()
    heard.clear()
    agent, browser, mission = await approved(world, resources=[RESOURCE], tools=[{"name": "Search"}])
    named = {"mission_s256": mission["s256"]}
    token = mission["person_tokens"][RESOURCE]
    for path, sent in (
        ("/permission", {"action": "Search", **named}),
        ("/permission", {"action": "Pay", **named}),
        ("/audit", {"action": "Search", **named}),
        ("/interaction", {"type": "payment", "url": "https://pay.example/x", **named}),
        (f"/mission/{mission['s256']}", {"action": "update", "description": "x"}),
        ("/permission", {"action": "Search", "mission_s256": "A" * 43}),
    ):
        answer = await agent.send("POST", path, sent)
        if answer.status == 202:
            await browser.open_next()
            await browser.submit("/decide/", "approved")
            await agent.poll(answer)
    errand = {"url": f"{RESOURCE}/connect", "code": "Q7K2-M9P4"}
    await agent.ask_auth_token(agent.challenged(token, interaction=errand, **named), token)
    page = await browser.open_next()
    await browser.submit(f"{page.url}/errand")
    for path in ("/missions", f"/missions/{mission['s256']}", "/agents", "/allowed"):
        await browser.get(path)
    await browser.get(f"/missions/{mission['s256']}")
    await browser.submit("/missions/")
    await browser.get("/agents")
    await browser.submit("/agents/stop")
    await world.server.accounts.set_disabled("Ada", True)
    world.clock.pass_(120)
    await world.agent("another").ask_person_token()
    await world.close()
    assert await scans(plain, heard) == []
