"""202 and what follows, on both engines: whose it is, how it ends, what a code can do.

draft-11 §11.8, §11.6.3.1, §11.9.4, §13.2. How polls are held and paced stands in `test_deferred_polls`.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from aauthkit.deferred import KEPT_AFTER_END, MAX_CODE_TRIES, Deferred, PendingRequest, Waiting
from aauthkit.protocol.identifiers import CROCKFORD
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import Problem
from aauthkit.store import Database, Transaction
from tests.unit.deferring import (
    APPROVED,
    DENIED,
    GONE,
    LIFETIME,
    NOT_FOUND,
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

pytestmark = pytest.mark.anyio

OTHER = "https://agents.example aauth:other@agents.example"


@pytest.fixture
async def room(database: Database) -> Room:
    await database.migrate(TABLES)
    return Room(database)


# What a 202 says.


async def test_a_202_names_the_pending_url_and_what_it_waits_for(room: Room) -> None:
    """draft-11 §11.8.2: Location on this origin, Retry-After, no-store, status."""
    pending = await room.open()
    answer = await room.poll(pending)
    assert answer.status == 202
    assert answer.header("location") == f"https://ps.example/pending/{pending.id}"
    assert answer.header("retry-after") == "2"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("content-type") == "application/json"
    assert answer.header("aauth-requirement") == "requirement=approval"
    assert json.loads(answer.body) == {"status": "pending"}


async def test_a_202_says_interacting_and_whatever_its_server_adds(room: Room) -> None:
    pending = await room.open()
    room.waiting = Waiting(None, status="interacting", body={"timeout": 30}, retry_after=30)
    answer = await room.poll(pending)
    assert json.loads(answer.body) == {"status": "interacting", "timeout": 30}
    assert answer.header("aauth-requirement") is None
    assert answer.header("retry-after") == "30"


async def test_pending_urls_and_pages_cannot_be_guessed(database: Database) -> None:
    """§13.2; F60: what names a request comes whole from the secure source, 128 bits at least, and says nothing."""
    await database.migrate(TABLES)
    asked: list[int] = []

    def random_bytes(size: int) -> bytes:
        asked.append(size)
        return bytes([len(asked)]) * size

    deferred = Deferred(SERVER, database, clock=lambda: NOW, random_bytes=random_bytes)
    async with database.transaction() as tx:
        pending = await deferred.open(tx, kind="token", owner=OWNER, data={}, lifetime=60)
    assert all(size >= 16 for size in asked)
    assert (len(asked), len(pending.id), len(pending.page)) == (2, 32, 22)
    room = Room(database)
    names = [name for _ in range(20) for one in [await room.open()] for name in (one.id, one.page, one.code)]
    assert len(set(names)) == 60


async def test_f60_a_code_has_40_random_bits_of_the_alphabet(database: Database) -> None:
    """F60; draft-11 §11.6.3.1: eight symbols, each one of 32 by a secure choice."""
    await database.migrate(TABLES)
    choices: list[str] = []

    def choose(symbols: str) -> str:
        choices.append(symbols)
        return symbols[-len(choices)]

    deferred = Deferred(SERVER, database, clock=lambda: NOW, choose=choose)
    async with database.transaction() as tx:
        pending = await deferred.open(tx, kind="token", owner=OWNER, data={}, lifetime=60)
    assert choices == [CROCKFORD] * 8
    assert len(set(CROCKFORD)) == 32
    assert pending.code == "ZYXW-VTSR"


async def test_f87_nothing_secret_is_shown(room: Room) -> None:
    """F87, §13.2."""
    pending = await room.open()
    for secret in (pending.id, pending.page, pending.code, "scope"):
        assert secret not in repr(pending)


# Whose it is.


async def test_a_poll_by_another_owner_is_404_at_every_stage(room: Room) -> None:
    """§13.2: 404, not 403 or 410: that it is there at all is nobody else's business."""
    pending = await room.open()
    assert error_of(await room.poll(pending, OTHER)) == NOT_FOUND
    assert error_of(await room.poll(pending, OTHER, wait=60)) == NOT_FOUND
    await room.decide(pending, APPROVED)
    assert error_of(await room.poll(pending, OTHER)) == NOT_FOUND
    assert (await room.poll(pending)).status == 200
    assert error_of(await room.poll(pending, OTHER)) == NOT_FOUND
    with pytest.raises(Problem) as caught:
        await room.deferred.cancel(pending.id, OTHER)
    assert caught.value.code == "not_found"


@pytest.mark.parametrize("name", ["", "x", "' OR 1=1 --", "A" * 32, "é"])
async def test_an_identifier_that_never_was_is_404(room: Room, name: str) -> None:
    await room.open()
    assert error_of(await room.poll(name)) == NOT_FOUND


async def test_two_servers_on_one_database_do_not_see_each_other_s(room: Room) -> None:
    pending = await room.open()
    other = Deferred("https://other.example", room.db, clock=lambda: NOW)
    with pytest.raises(Problem) as caught:
        await other.answer_poll(poll_request(), pending.id, OWNER, describe=waits, resolve=issue)
    assert caught.value.code == "not_found"
    with pytest.raises(Problem) as caught:
        await other.use_code(pending.page, pending.code)
    assert caught.value.code == "not_found"
    assert await other.find_page(room.db, pending.page) is None
    assert await other.open_requests(room.db) == []
    with pytest.raises(Problem):
        async with room.db.transaction() as tx:
            await other.decide(tx, pending.id, APPROVED)
    assert (await room.found(pending)).state == "open"


# How it ends.


async def test_what_is_decided_is_answered_once_and_then_gone(room: Room) -> None:
    """§13.2; F82: once a terminal response was returned, 410."""
    pending = await room.open()
    await room.decide(pending, APPROVED)
    answer = await room.poll(pending)
    assert (answer.status, json.loads(answer.body)) == (200, {"outcome": APPROVED, "data": {"scope": "a"}})
    assert error_of(await room.poll(pending)) == GONE
    assert error_of(await room.poll(pending, wait=60)) == GONE


async def test_of_two_polls_at_once_one_gets_the_answer(room: Room) -> None:
    """One token for one decision, whoever polls beside: what is on record commits with the end."""
    pending = await room.open()
    await room.decide(pending, APPROVED)
    answers = await asyncio.gather(*(room.poll(pending) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 410, 410, 410, 410]
    assert len(await room.db.fetch_all("SELECT id FROM issued")) == 1


async def test_f82_the_first_decision_stands(room: Room) -> None:
    """F82: approved twice, denied then approved, approved then denied; after the end as well."""
    for first, second in ((APPROVED, APPROVED), (DENIED, APPROVED), (APPROVED, DENIED)):
        pending = await room.open()
        await room.decide(pending, first)
        for _ in range(2):
            with pytest.raises(Problem) as caught:
                await room.decide(pending, second)
            assert (caught.value.code, caught.value.status) == ("gone", 410)
            await room.poll(pending)
        with pytest.raises(Problem):
            await room.decide(pending, second)


async def test_f82_of_decisions_at_once_one_stands(room: Room) -> None:
    """F82."""
    pending = await room.open()
    outcomes = await asyncio.gather(
        *(room.decide(pending, {"number": number}) for number in range(5)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [Problem] * 4
    kept = (await room.found(pending)).outcome
    assert kept == {"number": outcomes.index(None)}


async def test_a_decision_that_is_rolled_back_was_none(room: Room) -> None:
    pending = await room.open()
    with pytest.raises(RuntimeError):
        async with room.db.transaction() as tx:
            await room.deferred.decide(tx, pending.id, APPROVED)
            raise RuntimeError
    assert (await room.poll(pending)).status == 202
    await room.decide(pending, DENIED)


async def test_time_out_is_408_once_and_then_410(room: Room) -> None:
    """draft-11 §11.9.4 `expired`, §13.2."""
    pending = await room.open()
    room.now = NOW + LIFETIME - 1
    assert (await room.poll(pending)).status == 202
    room.now = NOW + LIFETIME
    assert error_of(await room.poll(pending)) == (408, "expired")
    assert error_of(await room.poll(pending)) == GONE
    assert (await room.found(pending)).ended_as == "expired"


async def test_nothing_is_decided_after_the_time_is_up(room: Room) -> None:
    pending = await room.open()
    room.now = NOW + LIFETIME
    with pytest.raises(Problem) as caught:
        await room.decide(pending, APPROVED)
    assert caught.value.code == "gone"
    assert error_of(await room.poll(pending)) == (408, "expired")


async def test_what_was_decided_in_time_is_answered_later(room: Room) -> None:
    pending = await room.open()
    await room.decide(pending, APPROVED)
    room.now = NOW + LIFETIME + 3600
    assert (await room.poll(pending)).status == 200


async def test_an_owner_withdraws(room: Room) -> None:
    """draft-11 §7.5.2.3: DELETE, then 410; nothing is decided any more, and the code is dead."""
    pending = await room.open()
    assert (await room.deferred.cancel(pending.id, OWNER)).id == pending.id
    assert error_of(await room.poll(pending)) == GONE
    with pytest.raises(Problem):
        await room.decide(pending, APPROVED)
    assert await room.use_code(pending) == "invalid_code"
    with pytest.raises(Problem) as caught:
        await room.deferred.cancel(pending.id, OWNER)
    assert caught.value.code == "gone"
    with pytest.raises(Problem) as caught:
        await room.deferred.cancel("never", OWNER)
    assert caught.value.code == "not_found"


async def test_a_decided_request_can_still_be_withdrawn(room: Room) -> None:
    pending = await room.open()
    await room.decide(pending, APPROVED)
    await room.deferred.cancel(pending.id, OWNER)
    assert error_of(await room.poll(pending)) == GONE
    assert await room.db.fetch_all("SELECT id FROM issued") == []


async def test_an_ended_record_keeps_nothing_of_its_request(room: Room) -> None:
    pending = await room.open()
    await room.decide(pending, APPROVED)
    await room.poll(pending)
    ended = await room.found(pending)
    assert (ended.state, ended.ended_as, ended.data, ended.outcome) == ("ended", "answered", {}, None)
    async with room.db.transaction() as tx:
        await room.deferred.update(tx, pending, {"scope": "b"})
        await room.deferred.end(tx, pending, "again")
    assert await room.found(pending) == ended


async def test_expired_rows_are_forgotten_after_a_day(room: Room) -> None:
    old = await room.open()
    never_polled = await room.open()
    await room.decide(old, APPROVED)
    await room.poll(old)
    room.now = NOW + LIFETIME + KEPT_AFTER_END
    await room.open()
    assert error_of(await room.poll(old)) == GONE
    room.now += 1
    fresh = await room.open()
    assert error_of(await room.poll(old)) == NOT_FOUND
    assert error_of(await room.poll(never_polled)) == NOT_FOUND
    assert (await room.poll(fresh)).status == 202


async def test_open_requests_are_those_that_can_still_be_decided(room: Room) -> None:
    first, other_kind, decided = await room.open(), await room.open(kind="enrolment"), await room.open()
    await room.open(lifetime=10)
    await room.decide(decided, APPROVED)
    room.now += 10
    last = await room.open()

    async def named(kind: str | None) -> list[str]:
        return [one.id for one in await room.deferred.open_requests(room.db, kind)]

    assert set(await named(None)) == {first.id, other_kind.id, last.id}
    assert await named("token") == [first.id, last.id]
    assert await named("enrolment") == [other_kind.id]


async def test_what_is_on_record_can_be_replaced_while_it_waits(room: Room) -> None:
    pending = await room.open()
    async with room.db.transaction() as tx:
        locked = await room.deferred.lock(tx, pending.id)
        assert locked == pending
        await room.deferred.update(tx, locked, {"scope": "b \x00 é"})
    await room.decide(pending, APPROVED)
    assert json.loads((await room.poll(pending)).body)["data"] == {"scope": "b \x00 é"}


# Resolving.


async def test_a_resolve_that_fails_leaves_the_request_decided(room: Room) -> None:
    """Neither the decision nor the answer is lost to a fault or a refusal; nothing of the half-made answer stays."""
    pending = await room.open()
    await room.decide(pending, APPROVED)

    async def refuse(pending: PendingRequest, tx: Transaction) -> Answer:
        await issue(pending, tx)
        raise Problem("server_error", status=503, retry_after=1)

    async def fault(pending: PendingRequest, tx: Transaction) -> Answer:
        await issue(pending, tx)
        raise ZeroDivisionError

    room.resolve = refuse
    assert error_of(await room.poll(pending)) == (503, "server_error")
    room.resolve = fault
    with pytest.raises(ZeroDivisionError):
        await room.poll(pending)
    assert (await room.found(pending)).state == "decided"
    room.resolve = issue
    assert (await room.poll(pending)).status == 200
    assert len(await room.db.fetch_all("SELECT id FROM issued")) == 1


async def test_a_resolve_that_answers_with_an_error_ends_the_request(room: Room) -> None:
    """F82: 403 `denied` once, 410 from then on."""
    pending = await room.open()
    await room.decide(pending, DENIED)

    async def denied(_pending: PendingRequest, _tx: Transaction) -> Answer:
        return Problem("denied").answer()

    room.resolve = denied
    assert error_of(await room.poll(pending)) == (403, "denied")
    assert error_of(await room.poll(pending)) == GONE


# Codes.


async def test_f60_a_code_is_used_once(room: Room) -> None:
    """F60; draft-11 §11.6.3.1: again is 410 invalid_code, and is no wrong guess that would end the request."""
    pending = await room.open()
    arrived: list[bool] = []

    async def arrive(pending: PendingRequest, tx: Transaction) -> None:
        row = await tx.fetch_one("SELECT code_used FROM pending WHERE id = :id", id=pending.id)
        arrived.append(bool(row and row["code_used"]) and pending.code_used)

    assert (await room.deferred.use_code(pending.page, pending.code, then=arrive)).code_used
    assert arrived == [True]
    for _ in range(2 * MAX_CODE_TRIES):
        with pytest.raises(Problem) as caught:
            await room.deferred.use_code(pending.page, pending.code, then=arrive)
        assert (caught.value.code, caught.value.status) == ("invalid_code", 410)
    assert arrived == [True]
    assert (await room.poll(pending)).status == 202
    await room.decide(pending, APPROVED)
    assert (await room.poll(pending)).status == 200


async def test_of_two_who_come_with_the_code_at_once_one_gets_in(room: Room) -> None:
    pending = await room.open()
    outcomes = await asyncio.gather(*(room.use_code(pending) for _ in range(4)))
    assert sorted(outcomes) == ["good", "invalid_code", "invalid_code", "invalid_code"]


async def test_f76_a_code_decides_nothing(room: Room) -> None:
    """F76; §11.6.3.1 correlation only: who has used it has ended and approved nothing."""
    pending = await room.open()
    assert await room.use_code(pending) == "good"
    found = await room.found(pending)
    assert (found.state, found.outcome) == ("open", None)
    assert (await room.poll(pending)).status == 202


@pytest.mark.parametrize(
    "typed", ["10AZ-9XYZ", "10az-9xyz", "10AZ9XYZ", "1-0-a-z-9-x-y-z-", "IOAZ-9XYZ", "loaz9xyz", "iOaZ-9xYz"]
)
async def test_a_code_is_compared_without_case_hyphens_and_aliases(database: Database, typed: str) -> None:
    """draft-11 §11.6.3.1: hyphens stripped, case-insensitive, I and L are 1, O is 0."""
    await database.migrate(TABLES)
    symbols = iter("10AZ9XYZ")
    deferred = Deferred(SERVER, database, clock=lambda: NOW, choose=lambda _: next(symbols))
    async with database.transaction() as tx:
        pending = await deferred.open(tx, kind="token", owner=OWNER, data={}, lifetime=60)
    assert (await deferred.use_code(pending.page, typed)).id == pending.id


async def test_five_wrong_codes_end_the_request_with_invalid_code(room: Room) -> None:
    """draft-11 §11.6.3.1 rate-limiting, §11.9.4; F60: the good code is dead as well, and the agent is told once."""
    pending = await room.open()
    near = pending.code[:-1] + ("0" if pending.code[-1] != "0" else "1")
    wrong = ["", "ZZZZ-ZZZZ-", "A" * 5000, "\u0131\u00df\u212a", near]
    assert len(wrong) == MAX_CODE_TRIES
    for code in wrong:
        assert (await room.poll(pending)).status == 202
        assert await room.use_code(pending, code) == "invalid_code"
    assert await room.use_code(pending) == "invalid_code"
    with pytest.raises(Problem):
        await room.decide(pending, APPROVED)

    async def resolve(pending: PendingRequest, _tx: Transaction) -> Answer:
        assert pending.outcome is not None
        return Problem(pending.outcome["error"]).answer()

    room.resolve = resolve
    assert error_of(await room.poll(pending)) == (410, "invalid_code")
    assert error_of(await room.poll(pending)) == GONE
    assert await room.use_code(pending) == "invalid_code"


async def test_wrong_codes_are_counted_across_fresh_codes_and_at_once(room: Room) -> None:
    pending = await room.open()
    outcomes = await asyncio.gather(*(room.use_code(pending, "ZZZZZZZZ") for _ in range(3)))
    assert outcomes == ["invalid_code"] * 3
    assert await room.use_code(pending) == "good"
    async with room.db.transaction() as tx:
        pending = await room.deferred.renew_code(tx, pending)
    assert await room.use_code(pending, "ZZZZZZZZ") == "invalid_code"
    assert (await room.found(pending)).state == "open"
    assert await room.use_code(pending, "ZZZZZZZZ") == "invalid_code"
    assert (await room.found(pending)).state == "decided"


async def test_a_code_of_no_page_is_404(room: Room) -> None:
    pending = await room.open()
    for page in ("", "x", pending.id):
        with pytest.raises(Problem) as caught:
            await room.deferred.use_code(page, pending.code)
        assert caught.value.code == "not_found"


async def test_a_code_expires_with_its_request(room: Room) -> None:
    """draft-11 §11.6.3.1 Lifetime: `expired`, before the agent polled and after it read 408."""
    pending = await room.open()
    room.now = NOW + LIFETIME
    assert await room.use_code(pending) == "expired"
    assert error_of(await room.poll(pending)) == (408, "expired")
    assert await room.use_code(pending) == "expired"
    assert (await room.found(pending)).code_used is False


async def test_a_code_of_a_request_completed_otherwise_is_invalid(room: Room) -> None:
    """draft-11 §11.6.3.1: out-of-band completion consumes the code."""
    pending = await room.open()
    await room.decide(pending, APPROVED)
    assert await room.use_code(pending) == "invalid_code"
    await room.poll(pending)
    assert await room.use_code(pending) == "invalid_code"


async def test_a_code_is_not_consumed_where_the_arrival_fails(room: Room) -> None:
    pending = await room.open()

    async def turn_away(_pending: PendingRequest, _tx: Transaction) -> None:
        raise Problem("access_denied")

    with pytest.raises(Problem) as caught:
        await room.deferred.use_code(pending.page, pending.code, then=turn_away)
    assert caught.value.code == "access_denied"
    assert await room.use_code(pending) == "good"


async def test_a_fresh_code_replaces_a_used_one(room: Room) -> None:
    pending = await room.open()
    assert await room.use_code(pending) == "good"
    async with room.db.transaction() as tx:
        renewed = await room.deferred.renew_code(tx, pending)
    assert renewed.code != pending.code
    assert await room.use_code(pending) == "invalid_code"
    assert await room.use_code(renewed) == "good"
    await room.decide(pending, APPROVED)
    with pytest.raises(Problem) as caught:
        async with room.db.transaction() as tx:
            await room.deferred.renew_code(tx, pending)
    assert caught.value.code == "gone"
