"""What a token costs in statements and commits: each is a round trip where the database is another machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aauthkit.store import Database, open_database
from tests.plugins.people import World, body, claims_of, error_of

pytestmark = pytest.mark.anyio


class Counting:
    """A database, or one of its transactions, that counts."""

    def __init__(self, inner: Any, heard: list[str]) -> None:
        self._inner = inner
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def fetch_one(self, sql: str, /, **params: Any) -> Any:
        self._heard.append(sql)
        return await self._inner.fetch_one(sql, **params)

    async def fetch_all(self, sql: str, /, **params: Any) -> Any:
        self._heard.append(sql)
        return await self._inner.fetch_all(sql, **params)

    async def execute(self, sql: str, /, **params: Any) -> Any:
        self._heard.append(sql)
        return await self._inner.execute(sql, **params)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        self._heard.append("BEGIN")
        async with self._inner.transaction() as tx:
            yield Counting(tx, self._heard)


@pytest.fixture
async def plain() -> AsyncIterator[Database]:
    database = await open_database("sqlite://:memory:")
    yield database
    await database.close()


async def noted(database: Database) -> list[str]:
    rows = await database.fetch_all("SELECT jti FROM person_agent_tokens ORDER BY exp, jti")
    return [row["jti"] for row in rows]


async def test_a_token_that_was_allowed_before_costs_one_transaction_and_few_statements(plain: Database) -> None:
    heard: list[str] = []
    world = World(Counting(plain, heard))
    await world.server.start()
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.read"), token)
    await browser.open_next()
    await browser.decide("approved", "orders.read", memory="kept")
    assert (await agent.poll(answer)).status == 200

    agent.renew()
    heard.clear()
    fresh = await agent.ask_person_token()
    assert "person_token" in body(fresh)
    assert (heard.count("BEGIN"), len(heard)) == (1, 1 + 8)

    presented = body(fresh)["person_token"]
    asked = agent.challenged(presented, "orders.read")
    agent.renew(agent.key)
    heard.clear()
    assert "auth_token" in body(await agent.ask_auth_token(asked, presented))
    assert (heard.count("BEGIN"), len(heard)) == (1, 1 + 10)
    await world.close()


async def test_an_accepted_agent_token_is_on_record_whatever_becomes_of_its_request(world: World) -> None:
    """draft-11 §11.12.4 Records: also where the request is refused, before a transaction or within one."""
    agent, _, token = await world.introduced()
    database, first = world.database, claims_of(agent.token)["jti"]
    assert await noted(database) == [first]

    agent.renew(agent.key)
    assert error_of(await agent.ask_person_token("no server"))[0] == 400
    assert claims_of(agent.token)["jti"] in await noted(database)

    agent.renew(agent.key)
    assert error_of(await agent.ask_auth_token("no token", token))[0] == 400
    assert claims_of(agent.token)["jti"] in await noted(database)

    await world.server.accounts.set_disabled("Ada", True)
    agent.renew(agent.key)
    assert error_of(await agent.ask_person_token()) == (403, "denied")
    assert claims_of(agent.token)["jti"] in await noted(database)
    assert len(await noted(database)) == 4


async def test_a_person_who_cannot_be_reached_is_asked_once_their_page_is_open(world: World) -> None:
    """draft-11 §11.7: an agent that can send nobody anywhere may ask while a page is open, and not before."""
    agent, browser, token = await world.introduced()
    world.clock.pass_(600)
    agent.renew(agent.key)
    token = body(await agent.ask_person_token())["person_token"]
    asked = agent.challenged(token, "orders.read")
    assert error_of(await agent.ask_auth_token(asked, token, capabilities=[]))[1] == "user_unreachable"
    evidence = await world.database.fetch_all("SELECT id FROM audit_evidence")
    await browser.get("/")
    await browser.beat()
    waiting = await agent.ask_auth_token(asked, token, capabilities=[])
    assert waiting.status == 202
    assert len(await world.database.fetch_all("SELECT id FROM audit_evidence")) == len(evidence) + 1
