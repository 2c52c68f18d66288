"""What a server remembers of revoked tokens: for how long, in which processes, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import pytest

from aauthkit.revocation import Revocation, revoked
from aauthkit.revocation.revoked import RevokedTokens
from aauthkit.store import Database, StoreError, StoreUnavailable, Subscription, open_database
from tests.plugins.revoking import AGENT_DWK, PROVIDER, PS
from tests.plugins.signing import NOW
from tests.plugins.tls import Clock

pytestmark = pytest.mark.anyio

CHANNEL = f"revoked {PS}"


def revocation(jti: str = "t-1", exp: int = NOW + 100) -> Revocation:
    return Revocation(PROVIDER, AGENT_DWK, jti, exp)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@asynccontextmanager
async def knowing(database: Database | None, clock: Clock) -> AsyncIterator[RevokedTokens]:
    tokens = RevokedTokens(PS, database, clock=clock)
    await tokens.start()
    try:
        yield tokens
    finally:
        await tokens.close()


@pytest.fixture
async def memory() -> AsyncIterator[Database]:
    """One engine, in memory: for what no engine decides."""
    opened = await open_database("sqlite://:memory:")
    yield opened
    await opened.close()


class Shaky:
    """A database that is out of reach for whoever wants to hear of news, as long as it is told so."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.down = False
        self.heard = asyncio.Event()
        self.refused = 0
        self.drop = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[Subscription]:
        if self.down:
            self.refused += 1
            raise StoreUnavailable("out of reach")
        return self._subscribed(channel)

    @asynccontextmanager
    async def _subscribed(self, channel: str) -> AsyncIterator[Subscription]:
        async with self._database.subscribe(channel) as subscription:
            self.heard.set()
            yield cast("Subscription", _Dropped(subscription, self.drop))


class _Dropped:
    """A subscription whose connection breaks when it is told to."""

    def __init__(self, subscription: Subscription, drop: asyncio.Event) -> None:
        self._subscription = subscription
        self._drop = drop

    async def wait(self, timeout: float | None = None) -> list[str]:
        waiting = asyncio.create_task(self._subscription.wait(timeout))
        dropped = asyncio.create_task(self._drop.wait())
        await asyncio.wait({waiting, dropped}, return_when=asyncio.FIRST_COMPLETED)
        dropped.cancel()
        if not waiting.done():
            waiting.cancel()
            self._drop.clear()
            raise StoreUnavailable("the connection broke")
        return waiting.result()


# For how long.


@pytest.mark.parametrize("stored", [True, False])
async def test_it_is_new_once(memory: Database, clock: Clock, stored: bool) -> None:
    async with knowing(memory if stored else None, clock) as tokens:
        assert [await tokens.record(revocation()) for _ in range(3)] == [True, False, False]
        assert len(tokens) == 1


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize(("age", "new"), [(59, True), (60, False), (61, False)])
async def test_a_token_that_ended_longer_ago_than_clocks_differ_is_not_recorded(
    memory: Database, clock: Clock, stored: bool, age: int, new: bool
) -> None:
    async with knowing(memory if stored else None, clock) as tokens:
        assert await tokens.record(revocation(exp=NOW - age)) is new
        assert tokens.is_revoked(PROVIDER, "t-1") is new
        assert len(tokens) == new


@pytest.mark.parametrize(("later", "known"), [(100, True), (159, True), (160, False)])
async def test_it_is_known_until_its_token_and_the_tolerance_are_over(
    database: Database, clock: Clock, later: int, known: bool
) -> None:
    """draft-11 §11.12.1: `exp` plus clock skew; in memory, on record, and after a restart."""
    async with knowing(database, clock) as tokens:
        await tokens.record(revocation())
        clock.advance(later)
        await tokens.record(revocation("other", NOW + 5000))
        assert tokens.is_revoked(PROVIDER, "t-1") is known
    rows = await database.fetch_all("SELECT jti FROM revoked_tokens WHERE jti = 't-1'")
    assert bool(rows) is known
    async with knowing(database, clock) as again:
        assert again.is_revoked(PROVIDER, "t-1") is known


async def test_what_is_over_is_swept_once_a_minute_and_not_at_each_request(memory: Database, clock: Clock) -> None:
    async with knowing(memory, clock) as tokens:
        await tokens.record(revocation("old", NOW - 50))
        clock.advance(30)
        await tokens.record(revocation("other", NOW + 5000))
        assert tokens.is_revoked(PROVIDER, "old"), "it does no harm"
        clock.advance(31)
        await tokens.record(revocation("more", NOW + 5000))
        assert not tokens.is_revoked(PROVIDER, "old")


async def test_a_repeat_writes_nothing_and_wakes_nobody(memory: Database, clock: Clock) -> None:
    async with knowing(memory, clock) as tokens, memory.subscribe(CHANNEL) as news:
        await tokens.record(revocation())
        assert len(await news.wait(5)) == 1
        await tokens.record(revocation())
        await tokens.record(revocation(exp=NOW + 50))
        assert await news.wait(0) == []
        await tokens.record(revocation(exp=NOW + 500))
        assert len(await news.wait(5)) == 1


# In which processes.


async def test_news_of_a_token_that_is_over_are_no_news(memory: Database, clock: Clock) -> None:
    async with knowing(memory, clock) as tokens:
        for jti, exp in (("over", NOW - 60), ("late", NOW - 59)):
            await memory.notify(CHANNEL, f'["{PROVIDER}", "{jti}", {exp}]')
        while not tokens.is_revoked(PROVIDER, "late"):
            await asyncio.sleep(0.01)
        assert not tokens.is_revoked(PROVIDER, "over")


@pytest.mark.parametrize("payload", ["nonsense", "{}", "[1]", "[[], {}, null]"])
async def test_news_in_another_form_are_a_reason_to_look(memory: Database, clock: Clock, payload: str) -> None:
    async with knowing(memory, clock) as tokens:
        await memory.execute(
            "INSERT INTO revoked_tokens (server, iss, jti, exp, recorded) VALUES (:s, :i, 't-9', :e, 1)",
            s=PS,
            i=PROVIDER,
            e=NOW + 100,
        )
        await memory.notify(CHANNEL, payload)
        while not tokens.is_revoked(PROVIDER, "t-9"):
            await asyncio.sleep(0.01)


async def test_what_was_recorded_while_nothing_could_be_heard_is_read_afterwards(
    memory: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revoked, "PAUSES", (0.001, 0.001))
    shaky = Shaky(memory)
    async with knowing(cast("Database", shaky), clock) as tokens:
        shaky.down = True
        shaky.drop.set()
        while shaky.refused < 5:
            await asyncio.sleep(0.001)
        async with knowing(memory, clock) as other:
            await other.record(revocation())
        assert not tokens.is_revoked(PROVIDER, "t-1")
        shaky.down = False
        while not tokens.is_revoked(PROVIDER, "t-1"):
            await asyncio.sleep(0.001)


async def test_records_that_are_out_of_reach_at_the_start_are_told(memory: Database, clock: Clock) -> None:
    shaky = Shaky(memory)
    shaky.down = True
    tokens = RevokedTokens(PS, cast("Database", shaky), clock=clock)
    with pytest.raises(StoreError, match="out of reach"):
        await tokens.start()
    with pytest.raises(RuntimeError):
        tokens.is_revoked(PROVIDER, "t-1")
    shaky.down = False
    await tokens.start()
    assert not tokens.is_revoked(PROVIDER, "t-1")
    await tokens.close()
    await tokens.close()


async def test_started_twice_it_follows_once(memory: Database, clock: Clock) -> None:
    async with knowing(memory, clock) as tokens:
        following = tokens._following
        await tokens.start()
        assert tokens._following is following
