"""What only the server engine has: connections that end, a pool, locks of rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from aauthkit.store import Database, StoreBusy, StoreError, StoreUnavailable, open_database
from tests.unit.store.tables import COUNT, INSERT, TABLES

pytestmark = pytest.mark.anyio

END_ALL = (
    "SELECT count(pg_terminate_backend(pid)) AS ended FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def store_engine() -> str:
    """This module's tests are of one engine."""
    return "postgresql"


class Cable:
    """Stands between a client and the server, and can be cut."""

    def __init__(self, url: str, folder: Path) -> None:
        parts = urlsplit(url)
        self._target = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self._socket = folder / ".s.PGSQL.5432"
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self.url = f"postgresql://postgres:secret@{parts.path}?host={folder}"

    async def connect(self) -> None:
        self._server = await asyncio.start_unix_server(self._join, self._socket)

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        self._socket.unlink(missing_ok=True)
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._target)
        self._writers += [writer, far_writer]
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def cable(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cable]:
    made = Cable(database_url, tmp_path_factory.mktemp("c"))
    await made.connect()
    yield made
    await made.cut()


async def test_for_update_locks_the_rows_that_were_read(store: Database) -> None:
    assert store.for_update == " FOR UPDATE"


async def test_after_the_database_went_away_and_came_back_everything_works_again(cable: Cable) -> None:
    database = await open_database(cable.url, busy_seconds=1.0)
    await database.migrate(TABLES)
    await database.execute(INSERT, id="before", n=1)
    await cable.cut()
    for attempt in (
        database.fetch_one(COUNT),
        database.execute(INSERT, id="away", n=1),
        database.notify("a", "away"),
    ):
        with pytest.raises(StoreUnavailable) as failure:
            await attempt
        assert "secret" not in str(failure.value)
    with pytest.raises(StoreUnavailable):
        async with database.transaction():
            pass
    await cable.connect()
    assert await database.fetch_one(COUNT) == {"total": 1}
    async with database.transaction() as transaction:
        await transaction.execute(INSERT, id="after", n=1)
    assert await database.fetch_one(COUNT) == {"total": 2}
    await database.close()


async def test_a_connection_lost_inside_a_transaction_leaves_nothing_of_it(cable: Cable) -> None:
    database = await open_database(cable.url)
    await database.migrate(TABLES)
    with pytest.raises(StoreUnavailable):
        async with database.transaction() as transaction:
            await transaction.execute(INSERT, id="lost", n=1)
            await cable.cut()
            await transaction.execute(INSERT, id="lost too", n=1)
    await cable.connect()
    assert await database.fetch_one(COUNT) == {"total": 0}
    await database.close()


async def test_connections_the_server_ended_are_replaced_unnoticed_where_nothing_was_written(
    store: Database, database_url: str
) -> None:
    await asyncio.gather(*(store.fetch_one("SELECT pg_sleep(0.01) AS slept") for _ in range(4)))
    admin = await open_database(database_url)
    ended = await admin.fetch_one(END_ALL)
    assert ended is not None
    assert ended["ended"] >= 4
    assert await store.fetch_one(COUNT) == {"total": 0}
    await admin.fetch_one(END_ALL)
    async with store.transaction() as transaction:
        await transaction.execute(INSERT, id="a", n=1)
    assert await store.fetch_one(COUNT) == {"total": 1}
    await admin.close()


async def test_a_lost_listening_connection_is_made_anew_and_everybody_told_to_look(
    store: Database, database_url: str
) -> None:
    admin = await open_database(database_url)
    async with store.subscribe("a") as subscription, store.subscribe("b") as other:
        await admin.fetch_one(END_ALL)
        assert await subscription.wait(60) == [""]
        assert await other.wait(60) == [""]
        await admin.notify("a", "heard again")
        assert await subscription.wait(60) == ["heard again"]
    await admin.close()


async def test_a_silent_listening_connection_is_tried_and_kept(database_url: str) -> None:
    database = await open_database(database_url, heartbeat_seconds=0.01)
    async with database.subscribe("a") as subscription:
        assert await subscription.wait(0.1) == []
        await database.notify("a", "heard")
        assert await subscription.wait(60) == ["heard"]
    await database.close()


async def test_when_every_connection_is_in_use_the_next_one_is_told(database_url: str) -> None:
    database = await open_database(database_url, pool_size=1, busy_seconds=0.05)
    async with database.transaction():
        with pytest.raises(StoreBusy, match="every connection"):
            await asyncio.create_task(database.fetch_one("SELECT 1 AS one"))
    assert await database.fetch_one("SELECT 1 AS one") == {"one": 1}
    await database.close()


async def test_two_transactions_that_wait_for_each_other_are_not_stuck(store: Database) -> None:
    await store.execute(INSERT, id="a", n=1)
    await store.execute(INSERT, id="b", n=1)
    both = asyncio.Barrier(2)

    async def cross(first: str, second: str) -> None:
        async with store.transaction() as transaction:
            await transaction.execute("UPDATE entries SET n = n + 1 WHERE id = :id", id=first)
            await both.wait()
            await transaction.execute("UPDATE entries SET n = n + 1 WHERE id = :id", id=second)

    results = await asyncio.gather(cross("a", "b"), cross("b", "a"), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NoneType", "StoreBusy"]


async def test_a_statement_that_takes_too_long_is_ended_and_the_connection_is_good_again(database_url: str) -> None:
    database = await open_database(database_url, statement_seconds=0.1, pool_size=1)
    with pytest.raises(StoreUnavailable, match="in time"):
        await database.fetch_one("SELECT pg_sleep(60) AS slept")
    assert await database.fetch_one("SELECT 1 AS one") == {"one": 1}
    await database.close()


async def test_a_value_of_the_wrong_type_is_named_and_not_shown(store: Database) -> None:
    with pytest.raises(StoreError, match=":n is not of the type") as failure:
        await store.execute(INSERT, id="a", n="secret")
    assert "secret" not in str(failure.value)


async def test_tables_changed_by_another_process_do_not_break_statements_known_before(
    store: Database, database_url: str
) -> None:
    await store.execute(INSERT, id="a", n=1)
    assert await store.fetch_one("SELECT * FROM entries") == {"id": "a", "n": 1, "note": None}
    other = await open_database(database_url)
    await other.execute("ALTER TABLE entries ADD COLUMN more TEXT")
    await other.close()
    assert await store.fetch_one("SELECT * FROM entries") == {"id": "a", "n": 1, "note": None, "more": None}


async def test_a_server_out_of_reach_is_unavailable_and_the_password_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable) as failure:
        await open_database(f"postgresql://postgres:secret@/nothing?host={tmp_path}", busy_seconds=1.0)
    assert "secret" not in str(failure.value)


async def test_a_database_that_does_not_exist_is_unavailable(database_url: str) -> None:
    with pytest.raises(StoreUnavailable, match="3D000"):
        await open_database(database_url.replace("/test_", "/no_such_"))


async def test_an_url_that_cannot_be_read_is_an_error_without_its_password() -> None:
    with pytest.raises(StoreError) as failure:
        await open_database("postgresql://user:secret@host:port/name")
    assert "secret" not in str(failure.value)
    assert failure.value.__cause__ is None
