"""What only the embedded engine has: a file, its modes, one pen."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from aauthkit.store import Database, StoreBusy, StoreError, StoreUnavailable, open_database
from aauthkit.store.sqlite import SqliteDatabase
from tests.unit.store.tables import COUNT, INSERT, TABLES

pytestmark = pytest.mark.anyio


@pytest.fixture
def store_engine() -> str:
    """This module's tests are of one engine."""
    return "sqlite"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_the_file_its_journals_and_a_new_folder_are_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "store.db"
    old = os.umask(0)
    try:
        database = await open_database(path)
        await database.migrate(TABLES)
    finally:
        os.umask(old)
    assert [mode(file) for file in sorted(path.parent.iterdir())] == [0o600] * 3
    assert mode(path.parent) == 0o700
    assert mode(path.parent.parent) == 0o700
    await database.close()


async def test_a_file_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch()
    path.chmod(0o640)
    with pytest.raises(StoreError, match="chmod 600"):
        await open_database(path)
    path.chmod(0o600)
    await (await open_database(path)).close()


async def test_a_folder_that_everybody_can_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StoreError, match="chmod o-w"):
        await open_database(folder / "store.db")


async def test_a_folder_that_others_can_list_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "listed"
    folder.mkdir()
    folder.chmod(0o755)
    await (await open_database(folder / "store.db")).close()
    assert "chmod 700" in caplog.text


async def test_what_is_no_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises((StoreError, StoreUnavailable)):
        await open_database(tmp_path)
    text = tmp_path / "text"
    text.write_text("no database at all, but long enough to be read as one" * 20)
    text.chmod(0o600)
    with pytest.raises(StoreError, match="not a database"):
        await open_database(text)


@pytest.mark.parametrize(("durable", "synchronous"), [(False, 1), (True, 2)])
async def test_the_settings_are_those_the_documentation_promises(
    database_url: str, durable: bool, synchronous: int
) -> None:
    database = await open_database(database_url, durable=durable)
    async with database.transaction() as pen:
        assert await pen.fetch_one("PRAGMA foreign_keys") == {"foreign_keys": 1}
        assert await pen.fetch_one("PRAGMA synchronous") == {"synchronous": synchronous}
        assert await pen.fetch_one("PRAGMA journal_mode") == {"journal_mode": "wal"}
        assert await pen.fetch_one("PRAGMA busy_timeout") == {"timeout": 0}
    await database.close()


async def test_for_update_is_empty_since_a_transaction_has_the_pen(store: Database) -> None:
    assert store.for_update == ""


async def test_who_waits_too_long_for_the_pen_of_this_process_is_told(database_url: str) -> None:
    database = await open_database(database_url, busy_seconds=0.02)
    await database.migrate(TABLES)
    async with database.transaction() as transaction:
        await transaction.execute(INSERT, id="a", n=1)
        with pytest.raises(StoreBusy, match="another task"):
            await asyncio.create_task(database.execute(INSERT, id="b", n=1))
    await database.execute(INSERT, id="b", n=1)
    assert await database.fetch_one(COUNT) == {"total": 2}
    await database.close()


async def test_the_wait_for_another_process_grows_with_jitter_up_to_its_limit(database_url: str) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.25
        return now[0]

    database = await open_database(database_url, busy_seconds=1.0, monotonic=clock, jitter=lambda: 0.0)
    await database.migrate(TABLES)
    before = now[0]
    with closing(sqlite3.connect(Path(database_url.removeprefix("sqlite:///")), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="locked"):
            await database.execute(INSERT, id="a", n=1)
        assert now[0] - before == 1.25  # the limit counts from the first refusal
        other.execute("COMMIT")
    await database.execute(INSERT, id="a", n=1)
    await database.close()


async def test_the_reader_could_not_write_if_it_were_asked_to(store: Database) -> None:
    assert isinstance(store, SqliteDatabase)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._reader.execute("DELETE FROM entries")


async def test_a_write_inside_a_with_is_a_write(store: Database) -> None:
    sql = "WITH x AS (SELECT 1 AS one) REPLACE INTO entries (id, n) SELECT 'a', one FROM x RETURNING n"
    assert await store.fetch_one(sql) == {"n": 1}
    assert await store.fetch_one(COUNT) == {"total": 1}


async def test_wake_ups_are_forgotten_but_for_the_last_thousand(store: Database) -> None:
    for _ in range(5):
        async with store.transaction() as transaction:
            for _ in range(300):
                await transaction.notify("a", "x")
    row = await store.fetch_one("SELECT count(*) AS kept, max(seq) AS newest FROM aauthkit_wakeups")
    assert row is not None
    assert row["newest"] == 1_500
    assert 1_000 <= row["kept"] <= 1_100


async def test_who_missed_forgotten_wake_ups_is_told_to_look_again(database_url: str) -> None:
    slow = await open_database(database_url, poll_seconds=0.05)
    quick = await open_database(database_url)
    async with slow.subscribe("mine") as subscription:
        async with quick.transaction() as transaction:
            for number in range(1_200):
                await transaction.notify("other", str(number))
        assert await subscription.wait(60) == [""]
    await quick.close()
    await slow.close()


async def test_nobody_asks_for_wake_ups_while_nobody_is_subscribed(store: Database) -> None:
    def polling() -> list[str]:
        return [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "aauthkit-store-wakeups"]

    assert polling() == []
    async with store.subscribe("a"):
        assert len(polling()) == 1
        async with store.subscribe("b"):
            assert len(polling()) == 1
    await asyncio.sleep(0)
    assert polling() == []


async def test_memory_is_a_database_like_any_other() -> None:
    database = await open_database("sqlite://:memory:")
    await database.migrate(TABLES)
    inside, looked = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with database.transaction() as transaction:
            await transaction.execute(INSERT, id="a", n=1)
            inside.set()
            await looked.wait()
            raise ZeroDivisionError

    writer = asyncio.create_task(write())
    await inside.wait()
    reader = asyncio.create_task(database.fetch_one(COUNT))
    looked.set()
    with pytest.raises(ZeroDivisionError):
        await writer
    assert await reader == {"total": 0}
    async with database.subscribe("a") as subscription:
        await database.notify("a", "here")
        assert await subscription.wait(60) == ["here"]
    await database.close()


async def test_closing_waits_for_the_transaction_under_way(store: Database) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with store.transaction() as transaction:
            await transaction.execute(INSERT, id="a", n=1)
            inside.set()
            await go_on.wait()

    writer = asyncio.create_task(write())
    await inside.wait()
    closing_it = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    go_on.set()
    await writer
    await closing_it


async def test_a_full_disk_is_unavailable_and_keeps_nothing_half(store: Database) -> None:
    async with store.transaction() as pen:
        pages = await pen.fetch_one("PRAGMA page_count")
        assert pages is not None
        await pen.fetch_one(f"PRAGMA max_page_count = {pages['page_count']}")
    with pytest.raises(StoreUnavailable, match="full"):
        async with store.transaction() as transaction:
            for number in range(100):
                await transaction.execute(INSERT, id=f"{number:0>200}", n=number)
    assert await store.fetch_one(COUNT) == {"total": 0}
    async with store.transaction() as pen:
        await pen.fetch_one("PRAGMA max_page_count = 1000000")
    await store.execute(INSERT, id="a", n=1)
