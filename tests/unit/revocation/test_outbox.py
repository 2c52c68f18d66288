"""Revocations on their way: kept with their decision, delivered until the token has expired, over restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from aauthkit.revocation import MIGRATIONS, Outcome, RevocationOutbox, Revoker
from aauthkit.revocation.deliveries import Deliveries
from aauthkit.revocation.outbox import AT_ONCE, AT_RECIPIENT, FIRST_PAUSE, LEASE, LONGEST_PAUSE, pause_after
from aauthkit.store import Database, open_database
from tests.plugins.revoking import PERSON_DWK, PROVIDER, PS
from tests.plugins.signing import NOW
from tests.plugins.tls import Clock

pytestmark = pytest.mark.anyio

OTHER = "https://other.example"
SLOW = "https://slow.example"
RECORDED = "recorded"
UNSUPPORTED, UNAVAILABLE = "revocation_unsupported", "revocation_unavailable"


class Post:
    """A revoker whose recipients answer what they are told to; the last answer stands for ever."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, int]] = []
        self.answers: dict[str, list[Outcome]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.called = asyncio.Event()

    def answer(self, recipient: str, *statuses: Any, retry_after: int | None = None) -> None:
        self.answers[recipient] = [Outcome(recipient, status, "", (), retry_after) for status in statuses]

    async def revoke_at(self, recipient: str, dwk: str, jti: str, exp: int) -> Outcome:
        assert dwk == PERSON_DWK
        self.told.append((recipient, jti, exp))
        self.called.set()
        if recipient in self.gates:
            await self.gates[recipient].wait()
        answers = self.answers.get(recipient, [Outcome(recipient, "recorded")])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    @property
    def jtis(self) -> list[str]:
        return [jti for _, jti, _ in self.told]


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def post() -> Post:
    return Post()


def outbox_on(database: Database, post: Post | None, clock: Clock) -> RevocationOutbox:
    revoker = cast("Revoker", post)
    return RevocationOutbox(PROVIDER, database, revoker=revoker, clock=clock, jitter=lambda: 0.0)


@pytest.fixture
async def outbox(database: Database, post: Post, clock: Clock) -> RevocationOutbox:
    await database.migrate(MIGRATIONS)
    return outbox_on(database, post, clock)


@asynccontextmanager
async def delivering(outbox: RevocationOutbox) -> AsyncIterator[None]:
    await outbox.start()
    try:
        yield
    finally:
        await outbox.close()


async def put(database: Database, outbox: RevocationOutbox, *jtis: str, at: str = PS, exp: int = NOW + 3600) -> None:
    async with database.transaction() as tx:
        for jti in jtis:
            await outbox.put(tx, at, PERSON_DWK, jti, exp)


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.01)


async def states(outbox: RevocationOutbox) -> dict[str, tuple[str, int]]:
    return {one.jti: (one.state, one.attempts) for one in await outbox.deliveries()}


async def test_what_is_put_in_is_delivered_and_stays_on_record(
    database: Database, outbox: RevocationOutbox, post: Post
) -> None:
    await put(database, outbox, "t-1", "t-2")
    assert {outcome.status for outcome in await outbox.deliver_due()} == {RECORDED}
    assert sorted(post.told) == [(PS, "t-1", NOW + 3600), (PS, "t-2", NOW + 3600)]
    assert await states(outbox) == {"t-1": (RECORDED, 1), "t-2": (RECORDED, 1)}
    assert await outbox.deliver_due() == []


async def test_it_is_kept_with_the_decision_or_not_at_all(
    database: Database, outbox: RevocationOutbox, post: Post
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await outbox.put(tx, PS, PERSON_DWK, "t-1", NOW + 3600)
            raise ZeroDivisionError
    assert await outbox.deliver_due() == []
    assert post.told == []


async def test_who_cannot_be_told_is_told_again_each_time_later(
    database: Database, outbox: RevocationOutbox, post: Post, clock: Clock
) -> None:
    post.answer(PS, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, RECORDED)
    await put(database, outbox, "t-1")
    waited = []
    while (await states(outbox))["t-1"][0] == "waiting":
        before = clock.now
        while not await outbox.deliver_due():
            clock.advance(1)
        waited.append(clock.now - before)
    assert waited == [0, 5, 10, 20]
    assert await states(outbox) == {"t-1": (RECORDED, 4)}


async def test_it_is_tried_until_the_token_has_expired_and_then_forgotten(
    database: Database, outbox: RevocationOutbox, post: Post, clock: Clock
) -> None:
    post.answer(PS, UNAVAILABLE)
    await put(database, outbox, "t-1", exp=NOW + 3600)
    for _ in range(3600 // 5):
        await outbox.deliver_due()
        clock.advance(5)
    assert len(post.told) == 17
    assert await outbox.deliver_due() == []
    assert await database.fetch_all("SELECT jti FROM revocation_outbox") == []


async def test_a_recipient_that_names_a_time_is_not_told_before(
    database: Database, outbox: RevocationOutbox, post: Post, clock: Clock
) -> None:
    """draft-11 §11.12.3 `rate_limited`: Retry-After."""
    post.answer(PS, UNAVAILABLE, RECORDED, retry_after=100)
    await put(database, outbox, "t-1")
    await outbox.deliver_due()
    clock.advance(99)
    assert await outbox.deliver_due() == []
    clock.advance(1)
    assert [outcome.status for outcome in await outbox.deliver_due()] == [RECORDED]


async def test_a_recipient_that_takes_none_is_not_told_again(
    database: Database, outbox: RevocationOutbox, post: Post, clock: Clock
) -> None:
    """draft-11 §11.12.3: revocation_unsupported is terminal; a decision made anew tries anew."""
    post.answer(PS, UNSUPPORTED, RECORDED)
    await put(database, outbox, "t-1")
    await outbox.deliver_due()
    clock.advance(1000)
    assert await outbox.deliver_due() == []
    assert await states(outbox) == {"t-1": (UNSUPPORTED, 1)}
    await put(database, outbox, "t-1")
    assert [outcome.status for outcome in await outbox.deliver_due()] == [RECORDED]


async def test_what_was_recorded_is_not_sent_again_and_what_waits_keeps_its_place(
    database: Database, outbox: RevocationOutbox, post: Post
) -> None:
    await put(database, outbox, "t-1")
    await outbox.deliver_due()
    post.answer(PS, UNAVAILABLE)
    await put(database, outbox, "t-1", "t-2")
    await outbox.deliver_due()
    await put(database, outbox, "t-2")
    assert await states(outbox) == {"t-1": (RECORDED, 1), "t-2": ("waiting", 1)}
    assert await outbox.deliver_due() == []


async def test_a_restarted_server_goes_on(
    database: Database, outbox: RevocationOutbox, post: Post, clock: Clock
) -> None:
    post.answer(PS, UNAVAILABLE)
    await put(database, outbox, "t-1")
    await outbox.deliver_due()
    clock.advance(FIRST_PAUSE)
    after = Post()
    async with delivering(outbox_on(database, after, clock)):
        await until(lambda: after.jtis == ["t-1"])


async def test_what_a_killed_process_was_delivering_is_delivered_by_another(
    database: Database, outbox: RevocationOutbox, post: Post, clock: Clock
) -> None:
    post.gates[PS] = asyncio.Event()
    await put(database, outbox, "t-1")
    killed = asyncio.create_task(outbox.deliver_due())
    await post.called.wait()
    killed.cancel()
    await asyncio.wait({killed})
    after = Post()
    other = outbox_on(database, after, clock)
    assert await other.deliver_due() == [], "whoever has it may still be at it"
    clock.advance(LEASE)
    assert [outcome.status for outcome in await other.deliver_due()] == [RECORDED]


async def test_two_processes_deliver_each_once(database_url: str, clock: Clock) -> None:
    posts = [Post(), Post()]
    databases = [await open_database(database_url) for _ in posts]
    await databases[0].migrate(MIGRATIONS)
    outboxes = [outbox_on(database, post, clock) for database, post in zip(databases, posts, strict=True)]
    jtis = [f"t-{number:02}" for number in range(20)]
    await put(databases[0], outboxes[0], *jtis)
    await asyncio.gather(*(outbox.deliver_due() for outbox in (*outboxes, *outboxes)))
    assert sorted([*posts[0].jtis, *posts[1].jtis]) == jtis
    for database in databases:
        await database.close()


async def test_a_running_server_hears_of_what_a_command_beside_it_puts_in(
    database_url: str, post: Post, clock: Clock
) -> None:
    serving, beside = await open_database(database_url), await open_database(database_url)
    async with delivering(outbox_on(serving, post, clock)):
        await put(beside, RevocationOutbox(PROVIDER, beside, clock=clock), "t-1")
        await until(lambda: post.jtis == ["t-1"])
    await serving.close()
    await beside.close()


async def test_a_slow_recipient_holds_up_nobody_else(database: Database, outbox: RevocationOutbox, post: Post) -> None:
    post.gates[SLOW] = asyncio.Event()
    await put(database, outbox, "t-1", at=SLOW)
    async with delivering(outbox):
        await until(lambda: post.jtis == ["t-1"])
        await put(database, outbox, "t-2", "t-3", at=OTHER)
        await until(lambda: len(post.jtis) == 3)
        post.gates[SLOW].set()
        while (await states(outbox))["t-1"] != (RECORDED, 1):
            await asyncio.sleep(0.01)


async def test_a_slow_recipient_of_many_holds_up_nobody_else(
    database: Database, outbox: RevocationOutbox, post: Post
) -> None:
    """A stop revokes many tokens at one resource: it gets two at a time, and everybody else theirs."""
    post.gates[SLOW] = asyncio.Event()
    await put(database, outbox, *(f"t-{number:03}" for number in range(3 * AT_ONCE)), at=SLOW)
    async with delivering(outbox):
        await until(lambda: len(post.told) == AT_RECIPIENT)
        await put(database, outbox, *(f"u-{number}" for number in range(4)), at=OTHER)
        await until(lambda: len(post.told) == AT_RECIPIENT + 4)
        assert not [jti for jti in post.jtis[AT_RECIPIENT:] if jti.startswith("t-")]
        post.gates[SLOW].set()
        await until(lambda: len(post.told) == 3 * AT_ONCE + 4)


async def test_no_more_are_under_way_at_once_than_are_allowed(
    database: Database, outbox: RevocationOutbox, post: Post
) -> None:
    held = asyncio.Event()
    for number in range(AT_ONCE):
        at = f"https://r{number}.example"
        post.gates[at] = held
        await put(database, outbox, f"{number}-a", f"{number}-b", at=at)
    async with delivering(outbox):
        await until(lambda: len(post.told) == AT_ONCE)
        await put(database, outbox, "late")
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert len(post.told) == AT_ONCE
        held.set()
        await until(lambda: len(post.told) == 2 * AT_ONCE + 1)


async def test_a_server_that_stops_delivers_nothing_more(
    database: Database, outbox: RevocationOutbox, post: Post
) -> None:
    post.gates[PS] = asyncio.Event()
    await put(database, outbox, "t-1")
    async with delivering(outbox):
        await until(lambda: post.jtis == ["t-1"])
    assert await states(outbox) == {"t-1": ("waiting", 1)}
    await put(database, outbox, "t-2")
    assert post.jtis == ["t-1"]


async def test_another_server_on_the_same_database_leaves_it_alone(
    database: Database, outbox: RevocationOutbox, post: Post, clock: Clock
) -> None:
    await put(database, outbox, "t-1")
    theirs = Post()
    other = RevocationOutbox("https://others.example", database, revoker=cast("Revoker", theirs), clock=clock)
    assert await other.deliver_due() == []
    assert await other.deliveries() == []
    assert theirs.told == []


async def test_one_token_is_revoked_at_each_of_its_recipients(
    database: Database, outbox: RevocationOutbox, post: Post
) -> None:
    await put(database, outbox, "t-1", at=PS)
    await put(database, outbox, "t-1", at=OTHER)
    await outbox.deliver_due()
    assert sorted(recipient for recipient, _, _ in post.told) == sorted([PS, OTHER])


def test_the_pause_grows_to_five_minutes_and_no_further() -> None:
    assert [pause_after(attempts, 0.0) for attempts in (1, 2, 3, 6, 7, 100)] == [5, 10, 20, 160, 300, 300]
    assert pause_after(100, 0.999) <= LONGEST_PAUSE * 1.25


async def test_a_delivery_that_takes_long_stays_its_process_s(
    database: Database, outbox: RevocationOutbox, clock: Clock
) -> None:
    """Renewed while its recipient is waited for; nobody else begins it, and it is over as soon as it is settled."""
    await put(database, outbox, "t-1")
    deliveries = Deliveries(PROVIDER, database)
    now = int(clock())
    (mine,) = await deliveries.claim(now, now + LEASE, 1, each=1)
    clock.advance(LEASE - 1)
    await deliveries.hold(mine, int(clock()) + LEASE)
    clock.advance(LEASE - 1)
    assert await deliveries.claim(int(clock()), int(clock()) + LEASE, 1, each=1) == []
    await deliveries.settle(mine, "recorded", int(clock()), "")
    await deliveries.hold(mine, int(clock()) + LEASE)
    assert await deliveries.count_waiting(int(clock())) == 0
