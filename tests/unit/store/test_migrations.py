"""Tables are made once, in order, and never behind anybody's back."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from aauthkit.store import Database, Migration, MigrationRefused, StoreError, open_database
from tests.unit.store.conftest import Start
from tests.unit.store.tables import FIRST, INSERT, SECOND, TABLES

pytestmark = pytest.mark.anyio

LEDGER = "SELECT room, version, sha256 FROM aauthkit_migrations ORDER BY version"


async def test_what_was_applied_is_recorded_with_its_hash(database: Database) -> None:
    await database.migrate(TABLES)
    rows = await database.fetch_all(LEDGER)
    expected = hashlib.sha256("\0".join(SECOND.statements).encode()).hexdigest()
    assert [(row["room"], row["version"]) for row in rows] == [("test", 1), ("test", 2)]
    assert rows[1]["sha256"] == expected


async def test_a_second_start_changes_nothing(database: Database, database_url: str) -> None:
    await database.migrate(TABLES)
    await database.execute(INSERT, id="a", n=1)
    await database.migrate(TABLES)
    again = await open_database(database_url)
    await again.migrate(TABLES)
    assert await again.fetch_all("SELECT id FROM entries") == [{"id": "a"}]
    assert len(await again.fetch_all(LEDGER)) == 2
    await again.close()


async def test_a_newer_program_applies_what_is_missing(database: Database) -> None:
    await database.migrate([FIRST])
    await database.execute(INSERT, id="a", n=1)
    await database.migrate([SECOND, FIRST])
    assert len(await database.fetch_all(LEDGER)) == 2
    assert await database.fetch_all("SELECT id FROM entries") == [{"id": "a"}]


async def test_rooms_count_for_themselves(database: Database) -> None:
    other = Migration("other", 1, ("CREATE TABLE others (id TEXT PRIMARY KEY)",))
    await database.migrate(TABLES)
    await database.migrate([other])
    await database.migrate([*TABLES, other])
    assert await database.fetch_all("SELECT id FROM others") == []


async def test_a_changed_migration_is_refused(database: Database) -> None:
    await database.migrate(TABLES)
    changed = Migration("test", 1, (*FIRST.statements, "CREATE TABLE more (id TEXT)"))
    with pytest.raises(MigrationRefused, match=r"migration 1 of 'test' is not the one"):
        await database.migrate([changed, SECOND])
    with pytest.raises(StoreError):
        await database.fetch_all("SELECT id FROM more")


async def test_a_database_newer_than_the_program_is_refused(database: Database) -> None:
    await database.migrate(TABLES)
    with pytest.raises(MigrationRefused, match=r"at version 2, but this program knows only up to 1"):
        await database.migrate([FIRST])


async def test_a_migration_that_fails_leaves_nothing_of_itself_or_its_companions(database: Database) -> None:
    broken = Migration("test", 2, ("CREATE TABLE more (id TEXT)", "CREATE TABEL less (id TEXT)"))
    with pytest.raises(StoreError):
        await database.migrate([FIRST, broken])
    for table in ("entries", "more", "aauthkit_migrations"):
        with pytest.raises(StoreError):
            await database.fetch_all(f"SELECT 1 AS one FROM {table}")
    await database.migrate(TABLES)


@pytest.mark.parametrize(
    "migrations",
    [
        [SECOND],
        [FIRST, Migration("test", 3, ("CREATE TABLE more (id TEXT)",))],
        [FIRST, FIRST],
    ],
)
async def test_versions_count_from_one_each_once(database: Database, migrations: list[Migration]) -> None:
    with pytest.raises(StoreError, match="must count from 1"):
        await database.migrate(migrations)


def test_a_migration_is_whole() -> None:
    for room, version, statements in (("", 1, ("SELECT 1",)), ("a", 0, ("SELECT 1",)), ("a", 1, ())):
        with pytest.raises(StoreError):
            Migration(room, version, statements)


async def test_tasks_that_start_at_once_all_succeed(database_url: str) -> None:
    async def begin() -> None:
        database = await open_database(database_url)
        await database.migrate(TABLES)
        await database.close()

    await asyncio.gather(*(begin() for _ in range(5)))
    database = await open_database(database_url)
    assert len(await database.fetch_all(LEDGER)) == 2
    await database.close()


async def test_processes_that_start_at_once_all_succeed(start: Start, database_url: str) -> None:
    processes = [await start("migrate") for _ in range(3)]
    assert [await process.says() for process in processes] == ["ready"] * 3
    for process in processes:
        process.tell()
    assert [await process.rest() for process in processes] == [["migrated"]] * 3
    database = await open_database(database_url)
    assert len(await database.fetch_all(LEDGER)) == 2
    await database.close()
