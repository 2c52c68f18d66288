"""Rows in, rows out, alike on both engines."""

from __future__ import annotations

import pytest

from aauthkit.store import Conflict, Database, StoreError, StoreUnavailable, open_database
from tests.unit.store.tables import COUNT, INSERT, TABLES

pytestmark = pytest.mark.anyio


async def test_a_row_is_read_by_column_name(store: Database) -> None:
    await store.execute("INSERT INTO entries (id, n, note) VALUES (:id, :n, :note)", id="a", n=7, note="ünï ☃ '\":x")
    row = await store.fetch_one("SELECT id, n, note FROM entries WHERE id = :id", id="a")
    assert row == {"id": "a", "n": 7, "note": "ünï ☃ '\":x"}


async def test_no_row_is_none_and_no_rows_an_empty_list(store: Database) -> None:
    assert await store.fetch_one("SELECT id FROM entries WHERE id = :id", id="nobody") is None
    assert await store.fetch_all("SELECT id FROM entries") == []


async def test_the_same_name_may_stand_in_several_places(store: Database) -> None:
    await store.execute(INSERT, id="a", n=1)
    await store.execute(INSERT, id="b", n=2)
    rows = await store.fetch_all("SELECT id FROM entries WHERE n = :n OR n + 1 = :n ORDER BY n", n=2)
    assert [row["id"] for row in rows] == ["a", "b"]


async def test_what_looks_like_a_parameter_in_quotes_is_text(store: Database) -> None:
    await store.execute("INSERT INTO entries (id, n, note) VALUES (:id, 1, 'not :n, it''s text') -- nor :this", id="a")
    row = await store.fetch_one("SELECT note FROM entries WHERE id = :id /* :that */", id="a")
    assert row == {"note": "not :n, it's text"}


async def test_a_value_is_never_read_as_sql(store: Database) -> None:
    evil = "'; DROP TABLE entries; --"
    await store.execute(INSERT, id=evil, n=1)
    assert await store.fetch_one("SELECT id FROM entries WHERE id = :id", id=evil) == {"id": evil}


async def test_numbers_of_64_bits_null_and_truth_come_back(store: Database) -> None:
    statement = "INSERT INTO entries (id, n, note) VALUES (:id, :n, :note) RETURNING n, note"
    for number in (2**63 - 1, -(2**63), 0):
        assert await store.fetch_one(statement, id=str(number), n=number, note=None) == {"n": number, "note": None}
    assert await store.fetch_one(statement, id="true", n=True, note="") == {"n": 1, "note": ""}


async def test_execute_tells_how_many_rows_changed(store: Database) -> None:
    assert await store.execute(INSERT, id="a", n=1) == 1
    assert await store.execute(INSERT, id="b", n=1) == 1
    assert await store.execute("UPDATE entries SET n = 2") == 2
    assert await store.execute("UPDATE entries SET n = 3 WHERE id = :id", id="nobody") == 0
    assert await store.execute(f"{INSERT} ON CONFLICT (id) DO NOTHING", id="a", n=1) == 0
    assert await store.execute("DELETE FROM entries WHERE n = :n RETURNING id", n=2) == 2
    assert await store.execute("CREATE TABLE more (id TEXT)") == 0
    assert await store.execute("SELECT 1 AS one") == 0


async def test_returning_gives_every_row_that_changed(store: Database) -> None:
    for name in ("a", "b", "c"):
        await store.execute(INSERT, id=name, n=1)
    first = await store.fetch_one("UPDATE entries SET n = n + 1 RETURNING n")
    assert first == {"n": 2}
    rows = await store.fetch_all("DELETE FROM entries WHERE n = :n RETURNING id", n=2)
    assert sorted(row["id"] for row in rows) == ["a", "b", "c"]


async def test_on_conflict_can_replace_or_leave(store: Database) -> None:
    upsert = f"{INSERT} ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING n"
    assert await store.fetch_one(upsert, id="a", n=1) == {"n": 1}
    assert await store.fetch_one(upsert, id="a", n=2) == {"n": 2}
    assert await store.fetch_one(f"{INSERT} ON CONFLICT (id) DO NOTHING RETURNING n", id="a", n=3) is None


async def test_sums_are_whole_numbers(store: Database) -> None:
    await store.execute(INSERT, id="a", n=2**62)
    await store.execute(INSERT, id="b", n=-1)
    row = await store.fetch_one("SELECT sum(n) AS total, count(*) AS many, max(n) AS most FROM entries")
    assert row == {"total": 2**62 - 1, "many": 2, "most": 2**62}
    assert {type(value) for value in row.values()} == {int}


async def test_like_tells_capitals_apart(store: Database) -> None:
    await store.execute(INSERT, id="Orders", n=1)
    assert await store.fetch_all("SELECT id FROM entries WHERE id LIKE 'orders%'") == []
    assert len(await store.fetch_all("SELECT id FROM entries WHERE id LIKE 'Ord%'")) == 1


async def test_a_typed_parameter_may_stand_alone(store: Database) -> None:
    sql = "SELECT CAST(:now AS BIGINT) + 300 AS later, CAST(:name AS TEXT) IS NULL AS nameless"
    assert await store.fetch_one(sql, now=2**40, name=None) == {"later": 2**40 + 300, "nameless": 1}


async def test_a_row_that_exists_is_a_conflict_and_the_message_holds_no_value(store: Database) -> None:
    await store.execute(INSERT, id="secret-code", n=1)
    with pytest.raises(Conflict) as refusal:
        await store.execute(INSERT, id="secret-code", n=2)
    assert "entries" in str(refusal.value)
    chain = [refusal.value, refusal.value.__cause__, refusal.value.__context__]
    assert not any("secret-code" in repr(error) for error in chain)
    assert await store.fetch_one("SELECT n FROM entries") == {"n": 1}


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO effects (id, entry) VALUES ('a', 'nobody')",
        "INSERT INTO entries (id) VALUES ('a')",
        "SELECT id FROM no_such_table",
        "SELECT no_such_column FROM entries",
        "SELEC 1",
    ],
)
async def test_other_failures_are_errors_but_no_conflict(store: Database, sql: str) -> None:
    with pytest.raises(StoreError) as failure:
        await store.execute(sql)
    assert type(failure.value) is StoreError
    assert sql[:20] in str(failure.value)


async def test_the_name_of_a_misspelt_column_is_told(store: Database) -> None:
    with pytest.raises(StoreError, match="no_such_column"):
        await store.fetch_all("SELECT no_such_column FROM entries")


async def test_bad_parameters_are_refused_alike(store: Database) -> None:
    for params in ({}, {"id": "a"}, {"id": "a", "n": 1, "m": 2}, {"id": "a\0", "n": 1}, {"id": "a", "n": 2**63}):
        with pytest.raises(StoreError):
            await store.execute(INSERT, **params)
    assert await store.fetch_one(COUNT) == {"total": 0}


async def test_two_statements_in_one_call_are_refused_alike(store: Database) -> None:
    with pytest.raises(StoreError, match="one statement"):
        await store.execute("DELETE FROM effects; DELETE FROM entries")


async def test_f85_what_was_written_is_there_after_a_restart(store: Database, database_url: str) -> None:
    """F85: a change to a record is saved, and is there for the next process."""
    await store.execute(INSERT, id="pending", n=1)
    await store.execute("UPDATE entries SET n = 2 WHERE id = :id", id="pending")
    await store.close()
    again = await open_database(database_url)
    await again.migrate(TABLES)
    assert await again.fetch_one("SELECT n FROM entries WHERE id = :id", id="pending") == {"n": 2}
    await again.close()


async def test_f86_a_row_is_found_by_an_index_however_many_there_are(store: Database, store_engine: str) -> None:
    """F86: the cost of a statement does not grow with the number of records."""
    async with store.transaction() as transaction:
        await transaction.execute(
            "INSERT INTO entries (id, n)"
            " WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)"
            " SELECT 'entry-' || n, n FROM numbers"
        )
    await store.execute("ANALYZE")
    explain = "EXPLAIN QUERY PLAN" if store_engine == "sqlite" else "EXPLAIN"
    for sql, params in (
        ("SELECT n FROM entries WHERE id = :id", {"id": "entry-7"}),
        ("SELECT id FROM entries WHERE n = :n", {"n": 7}),
        ("SELECT id FROM entries WHERE n > :n ORDER BY n LIMIT 1", {"n": 7}),
        ("UPDATE entries SET note = :note WHERE id = :id", {"id": "entry-7", "note": "seen"}),
        (
            "SELECT version FROM aauthkit_migrations WHERE room = :room AND version = :version",
            {"room": "a", "version": 1},
        ),
    ):
        if "aauthkit_migrations" in sql and store_engine == "postgresql":
            continue  # two rows in one page: PostgreSQL rightly reads the page
        plan = " ".join(
            str(value) for row in await store.fetch_all(f"{explain} {sql}", **params) for value in row.values()
        )
        assert "USING INDEX" in plan or "Index Scan" in plan or "USING COVERING INDEX" in plan, (sql, plan)
        assert "SCAN entries" not in plan
        assert "Seq Scan" not in plan


async def test_a_closed_database_says_so(store: Database) -> None:
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.fetch_one(COUNT)
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.execute(INSERT, id="a", n=1)
    with pytest.raises(StoreUnavailable, match="closed"):
        async with store.transaction():
            pass


async def test_nothing_of_the_url_shows_in_the_repr(store: Database, database_url: str) -> None:
    assert database_url.rpartition("/")[2] not in repr(store)
