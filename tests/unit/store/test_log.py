"""SQLite's log: brought into the file after so many commits, on a thread, and nobody's failure if it cannot be."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from aauthkit.store import Conflict, Database, Migration, open_database, sqlite

pytestmark = pytest.mark.anyio

NOTES = Migration(room="notes", version=1, statements=("CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT)",))


async def _written(database: Database, number: int) -> None:
    await database.migrate([NOTES])
    for each in range(number):
        await database.execute("INSERT INTO notes (id, text) VALUES (:id, :text)", id=each, text="x" * 8000)
        await asyncio.sleep(0)


async def _count(database: Database) -> int:
    row = await database.fetch_one("SELECT count(*) AS total FROM notes")
    assert row is not None
    return int(row["total"])


async def test_the_log_does_not_grow_with_the_number_of_commits(tmp_path: Path) -> None:
    database = await open_database(tmp_path / "a.db")
    await _written(database, 5 * sqlite.BRING_IN_AFTER)
    log = (tmp_path / "a.db-wal").stat().st_size
    assert log < 3 * sqlite.BRING_IN_AFTER * 3 * 4200, "a commit writes three pages here"
    assert await _count(database) == 5 * sqlite.BRING_IN_AFTER
    await database.close()


async def test_a_database_that_is_closed_meanwhile_loses_nothing(tmp_path: Path) -> None:
    for extra in range(3):
        path = tmp_path / f"{extra}.db"
        database = await open_database(path)
        await _written(database, sqlite.BRING_IN_AFTER + extra)
        await database.close()
        database = await open_database(path)
        assert await _count(database) == sqlite.BRING_IN_AFTER + extra
        await database.close()


async def test_a_log_that_cannot_be_brought_in_fails_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqlite, "_BRING_IN", "SELECT * FROM nowhere")
    caplog.set_level(logging.INFO, "aauthkit.store.sqlite")
    database = await open_database(tmp_path / "a.db")
    await _written(database, 2 * sqlite.BRING_IN_AFTER + 1)
    await database.fetch_one("SELECT 1 AS one")
    assert await _count(database) == 2 * sqlite.BRING_IN_AFTER + 1
    await database.close()
    assert "was not brought into its file" in caplog.text


async def test_reads_are_answered_while_the_log_is_brought_in(tmp_path: Path) -> None:
    """They see what is committed, from a connection that nobody writes with."""
    database = await open_database(tmp_path / "a.db")
    await _written(database, 2)
    assert isinstance(database, sqlite.SqliteDatabase)
    bringing = asyncio.create_task(database._bring_in())
    await asyncio.sleep(0)
    assert database._pen_lock.locked()
    assert await _count(database) == 2
    await bringing
    await database.close()


async def test_a_statement_alone_waits_for_the_pen_and_is_kept_or_not_at_all(tmp_path: Path) -> None:
    database = await open_database(tmp_path / "a.db")
    await _written(database, 1)
    add, entered = "INSERT INTO notes (id, text) VALUES (:id, 'x')", asyncio.Event()

    async def longer() -> None:
        async with database.transaction() as tx:
            entered.set()
            await tx.execute(add, id=10)
            await asyncio.sleep(0)
            await tx.execute(add, id=11)

    holding = asyncio.create_task(longer())
    await entered.wait()
    assert await database.execute(add, id=12) == 1
    await holding
    with pytest.raises(Conflict):
        await database.execute(add, id=12)
    row = await database.fetch_one("UPDATE notes SET text = 'y' WHERE id = :id RETURNING text", id=10)
    assert row == {"text": "y"}
    other = await open_database(tmp_path / "a.db")
    assert await _count(other) == await _count(database) == 4
    await other.close()
    await database.close()


async def test_a_statement_alone_waits_for_another_process(tmp_path: Path) -> None:
    database, other = await open_database(tmp_path / "a.db"), await open_database(tmp_path / "a.db")
    await _written(database, 3)
    async with other.transaction() as tx:
        await tx.execute("DELETE FROM notes WHERE id = 0")
        waiting = asyncio.create_task(database.execute("DELETE FROM notes WHERE id < :id", id=2))
        await asyncio.sleep(0.01)
        assert not waiting.done()
    assert await waiting == 1
    await other.close()
    await database.close()
