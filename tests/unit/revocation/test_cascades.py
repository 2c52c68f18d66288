"""A cascade: made before the 200, held, deferred, resumed (draft-11 §11.12.3, §11.12.4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from aauthkit import deferred
from aauthkit.deferred import MIGRATIONS as PENDING_TABLES
from aauthkit.deferred import Deferred
from aauthkit.protocol.jose import parse_json
from aauthkit.protocol.messages import Answer
from aauthkit.revocation import Downstream
from aauthkit.revocation.cascades import HOLD, MAX_HELD, hold_of
from aauthkit.serving import Request
from aauthkit.store import Database, open_database
from tests.plugins.revoking import PROVIDER, PS, STRANGER, Downriver, Party, Recipient, done, error_of, receiving
from tests.plugins.revoking import report_of as reported
from tests.plugins.revoking import trusting as trusts
from tests.plugins.signing import NOW
from tests.plugins.tls import Clock

pytestmark = pytest.mark.anyio

API, OTHER = "https://api.example", "https://other.example"
AT_ONCE = (("prefer", "wait=0"),)
OUTCOME = (Downstream(API), Downstream(OTHER, "revocation_unavailable"))


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def river() -> Downriver:
    return Downriver(*OUTCOME)


@pytest.fixture
async def recipient(database: Database, clock: Clock, river: Downriver) -> AsyncIterator[Recipient]:
    async with receiving(database, clock, cascade=river) as recipient:
        yield recipient


@pytest.fixture
def provider(recipient: Recipient) -> Party:
    return recipient.party()


@pytest.fixture
def gate(river: Downriver) -> asyncio.Event:
    """Holds the cascade back."""
    gate = asyncio.Event()
    river.gate = gate.wait
    return gate


async def ended(database: Database, recipient: Recipient) -> None:
    """Return once no cascade is under way and its end is on record."""
    cascades = recipient.revocations._cascades
    assert cascades is not None
    while cascades._flights or cascades._settling:
        await asyncio.sleep(0)


async def test_the_answer_comes_once_the_cascade_has_ended(
    recipient: Recipient, provider: Party, river: Downriver, gate: asyncio.Event
) -> None:
    """draft-11 §11.12.3: a 200 says the cascade is finished; the revocation was recorded before it began."""
    revoking = asyncio.create_task(provider.revoke("t-1"))
    while not river.calls:
        await asyncio.sleep(0)
    assert recipient.revocations.is_revoked(PROVIDER, "t-1")
    assert not revoking.done()
    gate.set()
    assert done(await revoking)
    assert river.calls == [(PROVIDER, "t-1", NOW + 3600)]


async def test_a_person_server_reports_nothing_to_a_provider(provider: Party) -> None:
    """draft-11 §11.12.3, §C.2.8: an empty body whatever became of the cascade."""
    assert done(await provider.revoke("t-1"))


async def test_an_access_server_reports_each_party(database: Database, clock: Clock, river: Downriver) -> None:
    """draft-11 §11.12.3: `recipient`, and `error` where it was not recorded there."""
    async with receiving(database, clock, cascade=river, reports=True) as recipient:
        provider = recipient.party()
        assert reported(await provider.revoke("t-1")) == {
            "downstream": [{"recipient": API}, {"recipient": OTHER, "error": "revocation_unavailable"}]
        }
        river.outcome = []
        assert done(await provider.revoke("t-2")), "with nothing downstream the body is empty"


async def test_a_repeat_tries_again_and_tells_the_outcome_as_it_is_now(
    database: Database, clock: Clock, river: Downriver
) -> None:
    """draft-11 §11.12.3 Idempotence."""
    async with receiving(database, clock, cascade=river, reports=True) as recipient:
        provider = recipient.party()
        await provider.revoke("t-1")
        river.outcome = [Downstream(API), Downstream(OTHER)]
        again = reported(await provider.revoke("t-1"))
    assert again == {"downstream": [{"recipient": API}, {"recipient": OTHER}]}
    assert len(river.calls) == 2


async def test_a_repeat_joins_the_cascade_under_way(provider: Party, river: Downriver, gate: asyncio.Event) -> None:
    first = asyncio.create_task(provider.revoke("t-1"))
    while not river.calls:
        await asyncio.sleep(0)
    assert (await provider.revoke("t-1", headers=AT_ONCE)).status == 202
    assert (await provider.revoke("t-2", headers=AT_ONCE)).status == 202
    gate.set()
    assert done(await first)
    assert [jti for _, jti, _ in river.calls] == ["t-1", "t-2"]


async def test_a_caller_that_hangs_up_ends_no_cascade(provider: Party, river: Downriver, gate: asyncio.Event) -> None:
    revoking = asyncio.create_task(provider.revoke("t-1"))
    while not river.calls:
        await asyncio.sleep(0)
    revoking.cancel()
    await asyncio.wait({revoking})
    gate.set()
    assert done(await provider.revoke("t-1"))
    assert len(river.calls) == 1


async def test_what_takes_longer_is_202_and_its_end_is_found_at_the_pending_url(
    database: Database, recipient: Recipient, provider: Party, gate: asyncio.Event
) -> None:
    """draft-11 §11.12.3 Deferred completion, §11.8.2: no AAuth-Requirement, Retry-After, no-store."""
    pending = await provider.revoke("t-1", headers=AT_ONCE)
    assert pending.status == 202
    assert pending.header("aauth-requirement") is None
    assert (pending.header("cache-control"), pending.header("retry-after")) == ("no-store", "2")
    assert str(pending.header("location")).startswith(f"{PS}/revoke/pending/")
    assert parse_json(pending.body) == {"status": "pending"}
    assert recipient.revocations.is_revoked(PROVIDER, "t-1")
    assert (await provider.poll(pending)).status == 202
    gate.set()
    await ended(database, recipient)
    assert done(await provider.poll(pending))
    assert error_of(await provider.poll(pending)) == (410, "gone")


async def test_a_held_poll_is_answered_when_the_cascade_ends(
    provider: Party, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is woken: it would not look again by itself."""
    monkeypatch.setattr(deferred, "LOOK_AGAIN", 3600.0)
    pending = await provider.revoke("t-1", headers=AT_ONCE)
    polling = asyncio.create_task(provider.poll(pending, wait=60))
    for _ in range(20):
        await asyncio.sleep(0)
    gate.set()
    assert done(await polling)


async def test_a_repeat_while_it_is_deferred_is_given_the_same_pending_url(
    database: Database, provider: Party, gate: asyncio.Event
) -> None:
    first = await provider.revoke("t-1", headers=AT_ONCE)
    second = await provider.revoke("t-1", headers=AT_ONCE)
    assert first.header("location") == second.header("location")
    assert await database.fetch_one("SELECT count(*) AS total FROM pending") == {"total": 1}
    gate.set()


async def test_a_report_that_was_deferred_is_the_same_as_at_once(
    database: Database, clock: Clock, river: Downriver, gate: asyncio.Event
) -> None:
    async with receiving(database, clock, cascade=river, reports=True) as recipient:
        provider = recipient.party()
        pending = await provider.revoke("t-1", headers=AT_ONCE)
        gate.set()
        await ended(database, recipient)
        assert reported(await provider.poll(pending))["downstream"][1]["error"] == "revocation_unavailable"


async def test_the_pending_url_is_404_to_any_other_server(
    recipient: Recipient, provider: Party, gate: asyncio.Event
) -> None:
    """draft-11 §11.12.3: the recipient MUST verify the identity, and MUST answer 404 to any other."""
    recipient.revocations._trust = trusts(PROVIDER, STRANGER)
    pending = await provider.revoke("t-1", headers=AT_ONCE)
    other = recipient.party(STRANGER)
    assert error_of(await other.poll(pending)) == (404, "not_found")
    assert error_of(await provider.poll(pending, drop=("@path",))) == (401, "invalid_input")
    assert (await provider.poll(pending)).status == 202
    gate.set()


async def test_a_pending_url_that_never_was_or_is_somebody_elses_is_404(
    database: Database, recipient: Recipient, provider: Party, clock: Clock
) -> None:
    """draft-11 §13.2: also what this very server waits for in another matter."""
    await database.migrate(PENDING_TABLES)
    async with database.transaction() as tx:
        other = await Deferred(PS, database, clock=clock).open(
            tx, kind="other", owner=f"server {PROVIDER}", data={}, lifetime=60
        )
    for name in ("never-was", other.id):
        answer = Answer(202, (("location", f"{PS}/revoke/pending/{name}"),))
        assert error_of(await provider.poll(answer)) == (404, "not_found")


async def test_a_cascade_that_fails_is_500_and_the_revocation_stands(
    database: Database, recipient: Recipient, provider: Party, river: Downriver, gate: asyncio.Event
) -> None:
    """draft-11 §11.12.3 Table 19 `server_error`, at once and at the pending URL; nothing of the fault is told."""
    river.error = ValueError("a secret of ours")
    pending = await provider.revoke("t-1", headers=AT_ONCE)
    gate.set()
    await ended(database, recipient)
    for answer in (await provider.poll(pending), await provider.revoke("t-1")):
        assert error_of(answer) == (500, "server_error")
        assert b"secret" not in answer.body
    assert recipient.revocations.is_revoked(PROVIDER, "t-1")


async def test_a_server_that_was_stopped_goes_on_with_the_cascade(
    database: Database, clock: Clock, river: Downriver, gate: asyncio.Event
) -> None:
    async with receiving(database, clock, cascade=river) as before:
        pending = await before.party().revoke("t-1", headers=AT_ONCE)
    gate.set()
    async with receiving(database, clock, cascade=river) as after:
        provider = after.party()
        await ended(database, after)
        assert done(await provider.poll(pending))
    assert river.calls == [(PROVIDER, "t-1", NOW + 3600)] * 2


async def test_another_process_takes_over_where_the_first_one_is_gone(
    database_url: str, clock: Clock, river: Downriver, gate: asyncio.Event
) -> None:
    """A poll that finds it open after a minute begins it anew; before that it is left to whoever began it."""
    first, second = await open_database(database_url), await open_database(database_url)
    async with receiving(second, clock, cascade=river) as other:
        async with receiving(first, clock, cascade=river) as one:
            pending = await one.party().revoke("t-1", headers=AT_ONCE)
        provider = other.party()
        gate.set()
        assert (await provider.poll(pending)).status == 202
        clock.advance(59)
        assert (await provider.poll(pending)).status == 202
        assert other.revocations._cascades is not None
        assert not other.revocations._cascades._flights
        clock.advance(1)
        await provider.poll(pending)
        await ended(second, other)
        assert done(await provider.poll(pending))
        assert len(river.calls) == 2
    await first.close()
    await second.close()


async def test_two_processes_that_end_one_cascade_settle_it_once(
    database_url: str, clock: Clock, river: Downriver, gate: asyncio.Event
) -> None:
    first, second = await open_database(database_url), await open_database(database_url)
    async with receiving(first, clock, cascade=river) as one:
        provider = one.party()
        pending = await provider.revoke("t-1", headers=AT_ONCE)
        async with receiving(second, clock, cascade=river) as other:
            while len(river.calls) < 2:
                await asyncio.sleep(0)
            gate.set()
            await ended(first, one)
            await ended(second, other)
        assert done(await provider.poll(pending))
    await first.close()
    await second.close()


async def test_an_expired_token_starts_no_cascade(provider: Party, river: Downriver) -> None:
    assert done(await provider.revoke("t-1", NOW - 100))
    assert river.calls == []


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ((), HOLD),
        (("respond-async",), HOLD),
        (("wait=5",), 5),
        (("wait=0",), 0),
        (("respond-async, wait=7",), 7),
        (("wait=9999",), MAX_HELD),
    ],
)
def test_a_revocation_is_held_as_long_as_the_caller_says_and_20_seconds_by_default(
    values: tuple[str, ...], seconds: int
) -> None:
    """draft-11 §11.12.3: on the order of 20 seconds; MAY hold for less than asked."""
    assert hold_of(Request("POST", "/revoke", tuple(("prefer", value) for value in values))) == seconds


async def test_without_a_cascade_there_is_no_202_and_no_pending_url(clock: Clock) -> None:
    """draft-11 §11.12.3: a recipient with nothing downstream MUST NOT answer 202."""
    async with receiving(None, clock) as recipient:
        assert done(await recipient.party().revoke("t-1", headers=AT_ONCE))
        assert [route.path for route in recipient.revocations.routes] == ["/revoke"]
