"""Polls that are held, paced, and answered by another process, on both engines (draft-11 §11.8; F39, F85)."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from aauthkit.deferred import HELD_AT_ONCE, POLLS_AT_ONCE, Deferred, PendingRequest, Waiting
from aauthkit.protocol.headers import APPROVAL_PENDING, interaction_required, parse_requirement
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import Problem
from aauthkit.store import Database, StoreBusy
from aauthkit.store.wakeups import Waiting as Subscribed
from tests.unit.deferring import (
    APPROVED,
    AT_MOST,
    GONE,
    LIFETIME,
    NOW,
    OWNER,
    SERVER,
    TABLES,
    Room,
    error_of,
    issue,
    poll_request,
    waits,
)
from tests.unit.store.conftest import Process

pytestmark = pytest.mark.anyio

PROJECT = Path(__file__).parents[2]
PAGE = "https://ps.example/interaction/p"


@pytest.fixture
async def room(database: Database) -> Room:
    await database.migrate(TABLES)
    return Room(database)


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(database_url: str) -> AsyncIterator[Start]:
    """Start `tests.unit.deferring COMMAND` on this test's database."""
    running: list[Process] = []

    async def start_one(command: str, pending: PendingRequest) -> Process:
        pipe = asyncio.subprocess.PIPE
        arguments = (sys.executable, "-m", "tests.unit.deferring", command, database_url, pending.id)
        process = await asyncio.create_subprocess_exec(*arguments, cwd=PROJECT, stdin=pipe, stdout=pipe)
        running.append(Process(process))
        assert await running[-1].says() == "ready"
        return running[-1]

    yield start_one
    for process in running:
        await process.kill()


async def ended(held: asyncio.Task[Answer]) -> Answer:
    return await asyncio.wait_for(held, AT_MOST)


# Held.


async def test_a_held_poll_is_woken_by_the_decision(room: Room) -> None:
    """draft-11 §11.8.1 Prefer: wait."""
    pending = await room.open()
    held = await room.hold(pending)
    await room.decide(pending, APPROVED)
    await room.deferred.wake(pending)
    assert (await ended(held)).status == 200
    assert error_of(await room.poll(pending)) == GONE


async def test_a_held_poll_is_woken_by_its_own_request_alone(room: Room) -> None:
    """A decision costs the poll it is about, not everybody's who waits."""
    pending, other = await room.open(), await room.open()
    held = await room.hold(pending)
    room.described.clear()
    await room.decide(other, APPROVED)
    await room.deferred.wake(other)
    await asyncio.sleep(0.3)
    assert not room.described.is_set()
    assert not held.done()
    await room.deferred.wake(pending)
    await asyncio.wait_for(room.described.wait(), AT_MOST)
    assert not held.done()
    await room.deferred.cancel(pending.id, OWNER)
    assert error_of(await ended(held)) == GONE


async def test_a_poll_is_held_no_longer_than_it_prefers_nor_than_the_server_holds(room: Room) -> None:
    pending = await room.open()
    assert (await ended(asyncio.create_task(room.poll(pending, wait=1)))).status == 202
    room.deferred = Deferred(SERVER, room.db, clock=lambda: room.now, max_held=0.05)
    assert (await ended(asyncio.create_task(room.poll(pending, wait=300)))).status == 202


async def test_an_agent_that_waits_may_come_back_at_once(room: Room) -> None:
    """draft-11 §11.8.2: `Retry-After: 0` where the poll is held anyway; a pause that the server names stands."""
    room.deferred = Deferred(SERVER, room.db, clock=lambda: room.now, max_held=0.01)
    pending = await room.open()
    assert (await room.poll(pending, wait=30)).header("retry-after") == "0"
    assert (await room.poll(pending, wait=0)).header("retry-after") == "2"
    room.waiting = Waiting(APPROVAL_PENDING, retry_after=30)
    assert (await room.poll(pending, wait=30)).header("retry-after") == "30"


async def test_a_held_poll_meets_the_end_of_its_time(room: Room) -> None:
    pending = await room.open()
    held = await room.hold(pending)
    room.now = NOW + LIFETIME
    await room.deferred.wake(pending)
    assert error_of(await ended(held)) == (408, "expired")


async def test_what_the_agent_must_act_on_is_told_at_once_and_not_twice(room: Room) -> None:
    """F39: a requirement that appears late ends the hold; told once, it holds the next poll again."""
    pending = await room.open()
    held = await room.hold(pending)
    room.waiting = Waiting(interaction_required(PAGE, pending.code))
    await room.deferred.wake(pending)
    answer = await ended(held)
    assert parse_requirement(answer.values("aauth-requirement")) == room.waiting.requirement
    held = await room.hold(pending)
    room.waiting = Waiting(interaction_required(PAGE, "AAAA-BBBB"))
    await room.deferred.wake(pending)
    assert (await ended(held)).status == 202
    held = await room.hold(pending)
    room.waiting = Waiting(APPROVAL_PENDING, status="interacting")
    await room.deferred.wake(pending)
    await asyncio.sleep(0.05)
    assert not held.done()
    held.cancel()


async def test_what_a_first_answer_told_is_no_news_to_the_poll_after_it(room: Room) -> None:
    pending = await room.open()
    room.waiting = Waiting(interaction_required(PAGE, pending.code))
    first = room.deferred.pending_answer(pending, room.waiting)
    assert parse_requirement(first.values("aauth-requirement")) == room.waiting.requirement
    held = await room.hold(pending)
    await room.decide(pending, APPROVED)
    await room.deferred.wake(pending)
    assert (await ended(held)).status == 200


async def test_news_meets_a_poll_that_would_be_held(room: Room) -> None:
    pending = await room.open()
    room.waiting = Waiting(interaction_required(PAGE, pending.code))
    answer = await ended(asyncio.create_task(room.poll(pending, wait=60)))
    assert parse_requirement(answer.values("aauth-requirement")) == room.waiting.requirement


async def test_a_wake_that_fails_undoes_no_decision(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """The decision was committed: who decided is not told that it failed because nobody could be woken."""

    class Deaf:
        async def notify(self, _channel: str, _payload: str) -> None:
            raise StoreBusy("somebody else is writing")

    pending = await room.open()
    await room.decide(pending, APPROVED)
    await Deferred(SERVER, Deaf()).wake(pending)  # type: ignore[arg-type]
    assert caplog.records[-1].levelno == logging.WARNING
    assert pending.id not in caplog.text
    assert (await room.poll(pending)).status == 200


async def test_a_caller_that_leaves_a_held_poll_takes_nothing_along(room: Room) -> None:
    pending = await room.open()
    held = await room.hold(pending)
    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held
    await room.decide(pending, APPROVED)
    assert (await room.poll(pending)).status == 200


# Paced.


async def test_polls_that_come_too_fast_are_429_slow_down(room: Room) -> None:
    """draft-11 §11.9.4: a burst is taken, then one poll a second; a decision is never kept back by it."""
    pending, other = await room.open(), await room.open()
    for _ in range(POLLS_AT_ONCE):
        assert (await room.poll(pending)).status == 202
    for wait in (None, 0):
        refused = await room.poll(pending, wait=wait)
        assert error_of(refused) == (429, "slow_down")
        assert refused.header("retry-after") == "2"
    assert (await room.poll(other)).status == 202
    room.now += 1
    assert (await room.poll(pending)).status == 202
    assert error_of(await room.poll(pending)) == (429, "slow_down")
    await room.decide(pending, APPROVED)
    assert (await room.poll(pending)).status == 200


async def test_polls_at_retry_after_are_never_too_fast(room: Room) -> None:
    pending = await room.open(lifetime=10_000)
    for _ in range(5 * POLLS_AT_ONCE):
        answer = await room.poll(pending)
        assert answer.status == 202
        room.now += int(answer.header("retry-after") or "")


async def test_of_one_request_s_polls_a_few_are_held_and_the_rest_are_paced(room: Room) -> None:
    """One agent cannot fill a server with held polls."""
    pending, other = await room.open(), await room.open()
    held = [await room.hold(pending) for _ in range(HELD_AT_ONCE)]
    for _ in range(POLLS_AT_ONCE):
        answer = await ended(asyncio.create_task(room.poll(pending, wait=60)))
        assert (answer.status, answer.header("retry-after")) == (202, "2")
    assert error_of(await room.poll(pending, wait=60)) == (429, "slow_down")
    held.append(await room.hold(other))
    held[0].cancel()
    await asyncio.wait([held[0]])
    held.append(await room.hold(pending))
    await room.decide(pending, APPROVED)
    await room.deferred.wake(pending)
    answers = [await ended(one) for one in held[1:HELD_AT_ONCE] + held[-1:]]
    assert sorted(answer.status for answer in answers) == [200, *[410] * (HELD_AT_ONCE - 1)]
    held[HELD_AT_ONCE].cancel()


async def test_what_is_remembered_of_polls_is_bounded(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aauthkit.deferred.MAX_KNOWN", 3)
    for _ in range(10):
        assert (await room.poll(await room.open())).status == 202
    assert len(room.deferred._polls) <= 3


async def test_polls_that_are_held_are_not_forgotten_however_many_come(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F86: else each of them would be told its news again, all at once."""
    monkeypatch.setattr("aauthkit.deferred.MAX_KNOWN", 3)
    pending = await room.open()
    held = await room.hold(pending)
    for _ in range(10):
        await room.poll(await room.open())
    assert pending.id in room.deferred._polls
    await room.decide(pending, APPROVED)
    await room.deferred.wake(pending)
    assert (await ended(held)).status == 200


async def test_many_held_polls_look_at_their_records_less_often_each(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F86: unwoken, they read records at a pace of the process, and not of their number."""
    waited: list[float | None] = []
    wait = Subscribed.wait

    async def noting(self: Subscribed, timeout: float | None = None) -> list[str]:
        waited.append(timeout)
        return await wait(self, timeout)

    monkeypatch.setattr(Subscribed, "wait", noting)
    monkeypatch.setattr("aauthkit.deferred.LOOKS", 0.1)
    held = []
    for expected in (10.0, 20.0):
        waited.clear()
        held.append(await room.hold(await room.open()))
        await asyncio.sleep(0)
        assert expected in waited
    for one in held:
        one.cancel()
    await asyncio.gather(*held, return_exceptions=True)


async def test_a_wake_up_is_part_of_the_transaction_that_makes_it(room: Room) -> None:
    pending = await room.open()
    held = await room.hold(pending)
    async with room.db.transaction() as tx:
        await room.deferred.decide(tx, pending.id, APPROVED)
        await room.deferred.wake_with(tx, pending)
    assert (await ended(held)).status == 200


# Other processes, and their deaths.


async def test_f85_a_held_poll_is_woken_by_a_decision_of_another_process(room: Room, start: Start) -> None:
    """F85."""
    pending = await room.open()
    process = await start("decide", pending)
    held = await room.hold(pending)
    process.tell()
    assert (await ended(held)).status == 200
    assert await process.says() == "decided"


async def test_f85_a_decision_here_wakes_a_poll_that_another_process_holds(room: Room, start: Start) -> None:
    """F85."""
    pending = await room.open()
    process = await start("poll", pending)
    await room.decide(pending, APPROVED)
    await room.deferred.wake(pending)
    assert await process.says() == "200"
    assert error_of(await room.poll(pending)) == GONE


async def test_a_crash_between_decision_and_poll_loses_nothing(room: Room, start: Start) -> None:
    """F85; F82: killed before anybody was told, the decision stands and is answered after the restart."""
    pending = await room.open()
    process = await start("decide_and_die", pending)
    process.tell()
    assert await process.says() == "decided"
    await process.kill()
    with pytest.raises(Problem):
        await room.decide(pending, {"error": "denied"})
    restarted = Deferred(SERVER, room.db, clock=lambda: NOW)
    answer = await restarted.answer_poll(poll_request(), pending.id, OWNER, describe=waits, resolve=issue)
    assert answer.status == 200


async def test_a_crash_while_the_answer_is_made_leaves_the_decision_and_no_half_answer(
    room: Room, start: Start
) -> None:
    """A token that never left is not on record, and the next poll gets one."""
    pending = await room.open()
    await room.decide(pending, APPROVED)
    process = await start("issue_and_die", pending)
    process.tell()
    assert await process.says() == "issued"
    await process.kill()
    assert await room.db.fetch_all("SELECT id FROM issued") == []
    assert (await room.poll(pending)).status == 200
    assert len(await room.db.fetch_all("SELECT id FROM issued")) == 1
