"""The tables of these tests: entries, the effects that belong to them, and counters."""

from __future__ import annotations

from aauthkit.store import Migration

FIRST = Migration(
    room="test",
    version=1,
    statements=(
        "CREATE TABLE entries (id TEXT PRIMARY KEY, n BIGINT NOT NULL, note TEXT)",
        "CREATE TABLE effects (id TEXT PRIMARY KEY, entry TEXT NOT NULL REFERENCES entries (id))",
    ),
)
SECOND = Migration(room="test", version=2, statements=("CREATE INDEX entries_by_n ON entries (n)",))
TABLES = (FIRST, SECOND)

INSERT = "INSERT INTO entries (id, n) VALUES (:id, :n)"
COUNT = "SELECT count(*) AS total FROM entries"
