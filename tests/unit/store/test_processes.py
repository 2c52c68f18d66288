"""Several processes on one database, and what a killed one leaves."""

from __future__ import annotations

import pytest

from aauthkit.store import Database
from tests.unit.store.conftest import Start
from tests.unit.store.tables import COUNT, INSERT

pytestmark = pytest.mark.anyio

HALVES = "SELECT entries.id FROM entries LEFT JOIN effects ON effects.entry = entries.id WHERE effects.id IS NULL"


async def test_of_two_processes_that_write_at_once_no_write_is_lost(store: Database, start: Start) -> None:
    await store.execute(INSERT, id="counter", n=0)
    processes = [await start("count_up", "150") for _ in range(2)]
    for process in processes:
        assert await process.says() == "ready"
    for process in processes:
        process.tell()
    assert [await process.rest() for process in processes] == [["counted"]] * 2
    assert await store.fetch_one("SELECT n FROM entries WHERE id = :id", id="counter") == {"n": 300}


async def test_f85_another_process_reads_what_this_one_wrote(store: Database, start: Start) -> None:
    """F85: records are the same for every worker."""
    await store.execute(INSERT, id="written-here", n=1)
    process = await start("read")
    assert await process.rest() == ["written-here", "end"]


async def test_a_process_killed_inside_a_transaction_leaves_nothing_of_it(store: Database, start: Start) -> None:
    process = await start("hold")
    assert await process.says() == "ready"
    assert await store.fetch_one(COUNT) == {"total": 0}
    await process.kill()
    async with store.transaction() as transaction:
        assert await transaction.fetch_one(COUNT) == {"total": 0}
        await transaction.execute(INSERT, id="held", n=2)
    assert await store.fetch_all("SELECT id, n FROM entries") == [{"id": "held", "n": 2}]


async def test_processes_killed_at_any_moment_lose_no_decision_and_leave_none_half_done(
    store: Database, start: Start
) -> None:
    for turn in range(5):
        process = await start("decide", str(turn))
        for _ in range(1 + 7 * turn):
            last = await process.says()
        await process.kill()
        said = [last, *(line for line in await process.rest() if line)]
        kept = {
            row["id"] for row in await store.fetch_all("SELECT id FROM entries WHERE id LIKE :mine", mine=f"{turn}-%")
        }
        # The pipe may end within a number; every whole one that was announced is there.
        assert {f"{turn}-{number}" for number in range(int(said[-2] if len(said) > 1 else said[-1]) + 1)} <= kept
    assert await store.fetch_all(HALVES) == []
    await store.execute(INSERT, id="afterwards", n=1)


async def test_a_writer_waits_for_a_process_that_holds_the_row_and_then_goes_on(store: Database, start: Start) -> None:
    process = await start("hold")
    assert await process.says() == "ready"
    process.tell()
    assert await store.execute(f"{INSERT} ON CONFLICT (id) DO NOTHING", id="held", n=2) == 0
    assert await process.rest() == ["released"]
    assert await store.fetch_all(HALVES) == []
