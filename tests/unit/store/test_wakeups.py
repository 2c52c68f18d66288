"""Who waits for a decision hears of it at once, from whichever task or process it comes."""

from __future__ import annotations

import asyncio

import pytest

from aauthkit.store import Database, StoreError, StoreUnavailable, Subscription, open_database
from tests.unit.store.conftest import Start
from tests.unit.store.tables import INSERT

pytestmark = pytest.mark.anyio


async def heard(subscription: Subscription) -> list[str]:
    """The next wake-up; a test that waits for it in vain fails by its own time limit."""
    return await subscription.wait(60)


async def test_a_subscriber_hears_what_is_notified_on_its_channel(store: Database) -> None:
    async with store.subscribe("pending/1") as subscription:
        await store.notify("pending/2", "other")
        await store.notify("pending/1", "decided: 'ünï' ☃")
        assert await heard(subscription) == ["decided: 'ünï' ☃"]


async def test_a_wake_up_before_the_wait_is_not_lost(store: Database) -> None:
    async with store.subscribe("a") as first, store.subscribe("a") as second:
        await store.notify("a", "one")
        assert await heard(first) == ["one"]
        assert await heard(second) == ["one"]
        assert await first.wait(0) == []


async def test_every_waiting_task_is_woken(store: Database) -> None:
    ready: asyncio.Queue[None] = asyncio.Queue()

    async def poll() -> list[str]:
        async with store.subscribe("decisions") as subscription:
            ready.put_nowait(None)
            return await heard(subscription)

    tasks = [asyncio.create_task(poll()) for _ in range(50)]
    for _ in tasks:
        await ready.get()
    await store.notify("decisions", "now")
    assert await asyncio.gather(*tasks) == [["now"]] * 50


async def test_a_subscriber_to_one_payload_hears_that_and_what_may_have_been_missed(store: Database) -> None:
    async with (
        store.subscribe("a", "mine") as mine,
        store.subscribe("a", "other") as other,
        store.subscribe("a") as all_,
    ):
        await store.notify("a", "mine")
        assert await heard(mine) == ["mine"]
        assert await heard(all_) == ["mine"]
        await store.notify("a", "unknown")
        assert await heard(all_) == ["unknown"]
        assert await other.wait(0) == await mine.wait(0) == []
        await store.notify("a")
        assert await heard(mine) == await heard(other) == await heard(all_) == [""]


async def test_a_wake_up_comes_with_the_commit_and_never_without(store: Database) -> None:
    async with store.subscribe("a") as subscription:
        with pytest.raises(ZeroDivisionError):
            async with store.transaction() as transaction:
                await transaction.notify("a", "undone")
                raise ZeroDivisionError
        async with store.transaction() as transaction:
            await transaction.execute(INSERT, id="a", n=1)
            await transaction.notify("a", "done")
            assert await subscription.wait(0) == []
        assert await heard(subscription) == ["done"]
        assert await store.fetch_one("SELECT n FROM entries WHERE id = :id", id="a") == {"n": 1}


async def test_payloads_come_in_order_and_each_once(store: Database) -> None:
    async with store.subscribe("a") as subscription:
        async with store.transaction() as transaction:
            for payload in ("one", "two", "one", "three"):
                await transaction.notify("a", payload)
        got: list[str] = []
        while "three" not in got:
            got += await heard(subscription)
        assert list(dict.fromkeys(got)) == ["one", "two", "three"]


async def test_too_many_unread_wake_ups_become_one_that_says_look_again(store: Database) -> None:
    async with store.subscribe("a") as subscription:
        async with store.transaction() as transaction:
            for number in range(300):
                await transaction.notify("a", str(number))
            await transaction.notify("a", "last")
        got: list[str] = []
        while "last" not in got:
            got += await heard(subscription)
        assert len(got) <= 302
        assert "" in got or len(got) == 301


async def test_silence_ends_with_the_time_given(store: Database) -> None:
    async with store.subscribe("a") as subscription:
        assert await subscription.wait(0.01) == []


async def test_a_cancelled_wait_leaves_the_subscription_usable(store: Database) -> None:
    async with store.subscribe("a") as subscription:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await subscription.wait()
        await store.notify("a", "after")
        assert await heard(subscription) == ["after"]


async def test_closing_the_database_ends_every_wait(store: Database) -> None:
    async with store.subscribe("a") as subscription:
        waiting = asyncio.create_task(subscription.wait())
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(StoreUnavailable):
            await waiting
        with pytest.raises(StoreUnavailable):
            await subscription.wait(0)
    with pytest.raises(StoreUnavailable):
        async with store.subscribe("a"):
            pass


@pytest.mark.parametrize(
    ("channel", "payload"),
    [("", "a"), ("a\nb", "a"), ("a" * 501, "a"), ("a\0", "a"), ("a", "ü" * 2_001), ("a", "\0"), ("a", "\ud800")],
)
async def test_what_an_engine_could_not_carry_is_refused(store: Database, channel: str, payload: str) -> None:
    with pytest.raises(StoreError):
        await store.notify(channel, payload)
    with pytest.raises(StoreError):
        async with store.transaction() as transaction:
            await transaction.notify(channel, payload)


async def test_the_longest_channel_and_payload_arrive(store: Database) -> None:
    channel, payload = "c" * 500, '"' * 4_000
    async with store.subscribe(channel) as subscription:
        await store.notify(channel, payload)
        assert await heard(subscription) == [payload]


async def test_another_replica_in_this_process_is_heard(store: Database, database_url: str) -> None:
    replica = await open_database(database_url)
    async with store.subscribe("a") as subscription, replica.subscribe("b") as other:
        await replica.notify("a", "from the replica")
        await store.notify("b", "to the replica")
        assert await heard(subscription) == ["from the replica"]
        assert await heard(other) == ["to the replica"]
    await replica.close()


async def test_another_process_is_heard(store: Database, start: Start) -> None:
    process = await start("notify", "decisions", "from-afar")
    assert await process.says() == "ready"
    async with store.subscribe("decisions") as subscription:
        process.tell()
        assert await heard(subscription) == ["from-afar"]
    assert await process.rest() == ["notified"]


async def test_a_decision_in_another_process_is_there_when_its_wake_up_comes(store: Database, start: Start) -> None:
    process = await start("decide_and_notify", "decisions")
    assert await process.says() == "ready"
    async with store.subscribe("decisions") as subscription:
        process.tell()
        assert await heard(subscription) == ["decided"]
        assert await store.fetch_one("SELECT n FROM entries WHERE id = :id", id="decided") == {"n": 1}


async def test_who_subscribes_later_hears_nothing_old(store: Database, database_url: str) -> None:
    replica = await open_database(database_url)
    await replica.notify("a", "old")
    async with store.subscribe("a") as subscription:
        await replica.notify("a", "new")
        assert await heard(subscription) == ["new"]
    async with store.subscribe("a") as subscription:
        await replica.notify("a", "newer")
        assert await heard(subscription) == ["newer"]
    await replica.close()
