"""What is written together is kept together or not at all, and nobody sees it half done."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from aauthkit.store import Conflict, Database, StoreBusy, StoreError, open_database
from tests.unit.store.tables import COUNT, INSERT

pytestmark = pytest.mark.anyio

EFFECT = "INSERT INTO effects (id, entry) VALUES (:id, :entry)"
ADD = "UPDATE entries SET n = n + 1 WHERE id = :id"


async def total(database: Database) -> int:
    row = await database.fetch_one(COUNT)
    assert row is not None
    return int(row["total"])


async def test_a_block_that_ends_is_kept(store: Database) -> None:
    async with store.transaction() as transaction:
        await transaction.execute(INSERT, id="a", n=1)
        await transaction.execute(EFFECT, id="a", entry="a")
        assert await transaction.fetch_one("SELECT n FROM entries WHERE id = :id", id="a") == {"n": 1}
        assert await transaction.fetch_all("SELECT id FROM effects") == [{"id": "a"}]
    assert await total(store) == 1


async def test_an_exception_undoes_everything(store: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.transaction() as transaction:
            await transaction.execute(INSERT, id="a", n=1)
            raise ZeroDivisionError
    assert await total(store) == 0
    await store.execute(INSERT, id="a", n=1)


async def test_a_conflict_undoes_everything(store: Database) -> None:
    await store.execute(INSERT, id="b", n=1)
    with pytest.raises(Conflict):
        async with store.transaction() as transaction:
            await transaction.execute(INSERT, id="a", n=1)
            await transaction.execute(INSERT, id="b", n=1)
    assert await store.fetch_all("SELECT id FROM entries") == [{"id": "b"}]


async def test_a_swallowed_failure_keeps_nothing_and_says_so(store: Database) -> None:
    await store.execute(INSERT, id="b", n=1)
    with pytest.raises(StoreError, match="nothing was kept"):
        async with store.transaction() as transaction:
            await transaction.execute(INSERT, id="a", n=1)
            with pytest.raises(Conflict):
                await transaction.execute(INSERT, id="b", n=1)
            with pytest.raises(StoreError, match="earlier statement"):
                await transaction.execute(INSERT, id="c", n=1)
    assert await total(store) == 1


async def test_an_expected_conflict_is_no_failure(store: Database) -> None:
    async with store.transaction() as transaction:
        for _ in range(2):
            await transaction.fetch_one(f"{INSERT} ON CONFLICT (id) DO NOTHING RETURNING id", id="a", n=1)
    assert await total(store) == 1


async def test_cancellation_undoes_everything(store: Database) -> None:
    inside = asyncio.Event()

    async def never_done() -> None:
        async with store.transaction() as transaction:
            await transaction.execute(INSERT, id="a", n=1)
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(never_done())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await total(store) == 0
    await store.execute(INSERT, id="a", n=1)


async def test_a_cancelled_scope_undoes_everything_although_it_cancels_again_and_again(store: Database) -> None:
    with anyio.CancelScope() as scope:
        async with store.transaction() as transaction:
            await transaction.execute(INSERT, id="a", n=1)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert await total(store) == 0
    async with store.transaction() as transaction:
        await transaction.execute(INSERT, id="a", n=1)
    assert await total(store) == 1


async def test_a_cancellation_in_the_middle_of_statements_leaves_all_or_nothing(store: Database) -> None:
    async def write(number: int) -> None:
        async with store.transaction() as transaction:
            await transaction.execute(INSERT, id=str(number), n=number)
            await transaction.execute(EFFECT, id=str(number), entry=str(number))

    for turns in range(40):
        task = asyncio.create_task(write(turns))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    halves = await store.fetch_all(
        "SELECT entries.id FROM entries LEFT JOIN effects ON effects.entry = entries.id WHERE effects.id IS NULL"
    )
    assert halves == []
    await write(1_000)


async def test_nobody_else_sees_what_is_not_committed(store: Database) -> None:
    inside, looked = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with store.transaction() as transaction:
            await transaction.execute(INSERT, id="a", n=1)
            inside.set()
            await looked.wait()

    writer = asyncio.create_task(write())
    await inside.wait()
    assert await total(store) == 0
    looked.set()
    await writer
    assert await total(store) == 1


async def test_of_many_tasks_that_read_and_then_write_none_is_lost(store: Database) -> None:
    await store.execute(INSERT, id="counter", n=0)

    async def add() -> None:
        async with store.transaction() as transaction:
            row = await transaction.fetch_one(f"SELECT n FROM entries WHERE id = :id{store.for_update}", id="counter")
            assert row is not None
            await asyncio.sleep(0)
            await transaction.execute("UPDATE entries SET n = :n WHERE id = :id", id="counter", n=row["n"] + 1)

    await asyncio.gather(*(add() for _ in range(50)))
    assert await store.fetch_one("SELECT n FROM entries") == {"n": 50}


async def test_of_many_tasks_that_decide_the_same_thing_one_wins(store: Database) -> None:
    async def decide(name: str) -> bool:
        async with store.transaction() as transaction:
            sql = "INSERT INTO entries (id, n, note) VALUES ('one', 1, :name) ON CONFLICT (id) DO NOTHING RETURNING id"
            return await transaction.fetch_one(sql, name=name) is not None

    decided = await asyncio.gather(*(decide(str(number)) for number in range(20)))
    assert decided.count(True) == 1


async def test_a_transaction_inside_another_of_the_same_task_is_refused(store: Database) -> None:
    async with store.transaction() as transaction:
        with pytest.raises(StoreError, match="inside another"):
            async with store.transaction():
                pass
        await transaction.execute(INSERT, id="a", n=1)
    assert await total(store) == 1


async def test_inside_a_transaction_the_database_itself_is_refused(store: Database) -> None:
    async with store.transaction() as transaction:
        for outside in (
            store.fetch_one(COUNT),
            store.fetch_all(COUNT),
            store.execute(INSERT, id="b", n=1),
            store.notify("channel", "payload"),
            store.close(),
        ):
            with pytest.raises(StoreError, match="transaction"):
                await outside
        await transaction.execute(INSERT, id="a", n=1)
    assert await total(store) == 1


async def test_a_task_started_inside_a_transaction_is_not_part_of_it(store: Database) -> None:
    async with store.transaction() as transaction:
        await transaction.execute(INSERT, id="a", n=1)

        async def intrude() -> None:
            await transaction.execute(INSERT, id="b", n=1)

        with pytest.raises(StoreError, match="belongs to the task"):
            await asyncio.create_task(intrude())
        assert await asyncio.create_task(total(store)) == 0
    assert await total(store) == 1


async def test_a_transaction_that_has_ended_takes_no_statement(store: Database) -> None:
    async with store.transaction() as transaction:
        pass
    with pytest.raises(StoreError, match="ended"):
        await transaction.execute(INSERT, id="a", n=1)
    with pytest.raises(StoreError, match="ended"):
        await transaction.notify("channel")


async def test_what_a_commit_refuses_is_an_error_and_leaves_nothing(database: Database) -> None:
    await database.execute("CREATE TABLE parents (id TEXT PRIMARY KEY)")
    await database.execute("CREATE TABLE children (parent TEXT REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(StoreError):
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO children (parent) VALUES (:parent)", parent="nobody")
    assert await database.fetch_all("SELECT parent FROM children") == []
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO children (parent) VALUES (:parent)", parent="late")
        await transaction.execute("INSERT INTO parents (id) VALUES (:id)", id="late")
    assert await database.fetch_all("SELECT parent FROM children") == [{"parent": "late"}]


async def test_who_waits_too_long_for_another_writer_is_told_and_may_try_again(
    store: Database, database_url: str
) -> None:
    await store.execute(INSERT, id="row", n=0)
    hasty = await open_database(database_url, busy_seconds=0.05)
    async with store.transaction() as transaction:
        await transaction.execute(ADD, id="row")
        with pytest.raises(StoreBusy):
            async with hasty.transaction() as other:
                await other.execute(ADD, id="row")
        with pytest.raises(StoreBusy):
            await hasty.execute(ADD, id="row")
        assert await hasty.fetch_one("SELECT n FROM entries WHERE id = :id", id="row") == {"n": 0}
    await hasty.execute(ADD, id="row")
    assert await store.fetch_one("SELECT n FROM entries WHERE id = :id", id="row") == {"n": 2}
    await hasty.close()


async def test_f90_while_one_waits_for_another_writer_the_others_go_on(store: Database, database_url: str) -> None:
    """F90: waiting for a lock stops nobody else."""
    await store.execute(INSERT, id="row", n=0)
    patient = await open_database(database_url)
    async with store.transaction() as transaction:
        await transaction.execute(ADD, id="row")
        waiting = asyncio.create_task(patient.execute(ADD, id="row"))
        for _ in range(100):
            assert await patient.fetch_one("SELECT n FROM entries WHERE id = :id", id="row") == {"n": 0}
            await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting == 1
    assert await patient.fetch_one("SELECT n FROM entries WHERE id = :id", id="row") == {"n": 2}
    await patient.close()


async def test_a_durable_database_keeps_and_undoes_alike(database_url: str) -> None:
    durable = await open_database(database_url, durable=True)
    await durable.execute("CREATE TABLE entries (id TEXT PRIMARY KEY, n BIGINT)")
    await durable.execute(INSERT, id="a", n=1)
    with pytest.raises(Conflict):
        await durable.execute(INSERT, id="a", n=1)
    with pytest.raises(ZeroDivisionError):
        async with durable.transaction() as transaction:
            await transaction.execute(INSERT, id="b", n=1)
            raise ZeroDivisionError
    await asyncio.gather(*(durable.execute(INSERT, id=f"many-{number}", n=number) for number in range(20)))
    assert await total(durable) == 21
    await durable.close()


async def test_a_cancellation_during_a_durable_commit_comes_after_it(database_url: str) -> None:
    durable = await open_database(database_url, durable=True)
    await durable.execute("CREATE TABLE entries (id TEXT PRIMARY KEY, n BIGINT)")
    committing = asyncio.Event()

    async def write() -> None:
        async with durable.transaction() as transaction:
            await transaction.execute(INSERT, id="a", n=1)
            committing.set()

    task = asyncio.create_task(write())
    await committing.wait()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert await total(durable) == 1
    await durable.execute(INSERT, id="b", n=1)
    await durable.close()
