"""What is kept and what is dropped, on both stores."""

from __future__ import annotations

import pytest

from aauthkit.provider import Limits
from aauthkit.provider.records import OpenEnrollment
from aauthkit.store import Database
from tests.plugins.enrolling import Applicant, serving
from tests.plugins.signing import NOW
from tests.plugins.tls import Clock

pytestmark = pytest.mark.anyio

TABLES = ("provider_agents", "provider_enrollments", "provider_nonces", "provider_tokens")


async def rows(database: Database) -> list[int]:
    """How many rows each table has."""
    counted = [await database.fetch_one(f"SELECT count(*) AS total FROM {table}") for table in TABLES]
    return [row["total"] for row in counted if row is not None]


async def test_what_has_expired_is_dropped_and_an_agent_never(database: Database) -> None:
    clock = Clock(NOW)
    async with serving(database, clock) as provider:
        planner, scout = Applicant(provider, clock), Applicant(provider, clock, name="scout")
        await planner.enrolled()
        await scout.ask()
        await scout.nonce()
        assert await rows(database) == [1, 1, 1, 1]
        await provider.end("planner")
        clock.advance(3601)
        await Applicant(provider, clock, name="late").nonce()
        assert await rows(database) == [1, 0, 1, 0]


async def test_a_request_that_has_expired_takes_no_room_even_before_it_is_dropped(database: Database) -> None:
    clock = Clock(NOW)
    async with serving(database, clock, limits=Limits(open_requests=1)) as provider:
        records = provider.enrollments.records
        async with database.transaction() as tx:
            await records.claim_open(tx, "old", "old", "192.0.2.7", NOW)
            assert await records.count_others(tx, "new", "192.0.2.7", NOW) == (0, 0)
            assert await records.count_others(tx, "new", "192.0.2.7", NOW - 1) == (1, 1)
            assert await records.count_others(tx, "new", "198.51.100.1", NOW - 1) == (1, 0)
            assert await records.count_others(tx, "old", "192.0.2.7", NOW - 1) == (0, 0)


async def test_a_claim_keeps_what_a_key_has_open(database: Database) -> None:
    async with serving(database) as provider:
        records = provider.enrollments.records
        async with database.transaction() as tx:
            assert await records.claim_open(tx, "jkt", "planner", "192.0.2.7", NOW + 60) == ""
            await records.put_open(tx, OpenEnrollment("jkt", "p-1", "planner"), "192.0.2.7", NOW + 60)
            assert await records.claim_open(tx, "jkt", "other", "198.51.100.1", NOW + 90) == "p-1"
            await records.close_open(tx, "p-2", "jkt")
            assert [each.pending_id for each in await records.close_named(tx, "planner")] == ["p-1"]
            assert await records.close_named(tx, "planner") == []
