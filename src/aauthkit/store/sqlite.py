"""The embedded engine: one file, one writer at a time, any number of readers and processes.

A statement takes microseconds and runs where it is called; waiting for another process, and for the disk, lets the loop
go on. Two connections: the pen, which one transaction holds at a time, and a reader that sees only what is committed.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from .database import Row
from .errors import StoreBusy, StoreError, StoreUnavailable
from .files import prepare
from .finishing import finish
from .patience import SQLITE_ERRORS, Patience, failure_of
from .statements import Statement
from .transactions import MIGRATION_SECONDS, EngineDatabase, EngineTransaction, Params

log = logging.getLogger(__name__)

T = TypeVar("T")

_WAKEUP_TABLE = (
    "CREATE TABLE IF NOT EXISTS aauthkit_wakeups"
    " (seq INTEGER PRIMARY KEY, origin TEXT NOT NULL, channel TEXT NOT NULL, payload TEXT NOT NULL)"
)
_BRING_IN = "PRAGMA wal_checkpoint(PASSIVE)"
_OLDEST = (3, 35)
BRING_IN_AFTER = 100
"""Commits after which the log is brought into the file; it is a few megabytes long by then."""
_WAKEUPS_KEPT = 1_000
"""A process that comes later than this many wake-ups wakes all its subscribers instead."""


def _all(connection: sqlite3.Connection, statement: Statement, params: Params, first: bool) -> list[Row]:
    cursor = connection.execute(statement.named, params)
    try:
        # A statement that writes is stepped to its end: only there does its commit, or its failure, show.
        if first and statement.reads:
            row = cursor.fetchone()
            values = [] if row is None else [row]
        else:
            values = cursor.fetchall()
        names = [column[0] for column in cursor.description or ()]
    finally:
        cursor.close()
    return [dict(zip(names, each, strict=True)) for each in values]


def _count(connection: sqlite3.Connection, statement: Statement, params: Params) -> int:
    cursor = connection.execute(statement.named, params)
    try:
        cursor.fetchall()
        return max(cursor.rowcount, 0)
    finally:
        cursor.close()


class SqliteTransaction(EngineTransaction):
    """The pen, held."""

    def __init__(self, pen: sqlite3.Connection, patience: Patience, origin: str, *, shared: bool) -> None:
        super().__init__()
        self._pen = pen
        self._patience = patience
        self._origin = origin
        self._shared = shared
        self.wakeups: list[tuple[str, str]] = []

    async def _rows(self, statement: Statement, params: Params, *, first: bool) -> list[Row]:
        try:
            return _all(self._pen, statement, params, first)
        except SQLITE_ERRORS as error:
            self._patience.refuse(error, statement)
        return await self._patience.until_free(lambda: _all(self._pen, statement, params, first), statement)

    async def _count(self, statement: Statement, params: Params) -> int:
        try:
            return _count(self._pen, statement, params)
        except SQLITE_ERRORS as error:
            self._patience.refuse(error, statement)
        return await self._patience.until_free(lambda: _count(self._pen, statement, params), statement)

    async def _notify(self, channel: str, payload: str) -> None:
        self.wakeups.append((channel, payload))
        if self._shared:
            await self._patience.until_free(lambda: self._write_wakeup(channel, payload), "notify")

    def _write_wakeup(self, channel: str, payload: str) -> None:
        seq = self._pen.execute(
            "INSERT INTO aauthkit_wakeups (origin, channel, payload) VALUES (?, ?, ?)", (self._origin, channel, payload)
        ).lastrowid
        if seq is not None and seq % 100 == 0:
            self._pen.execute("DELETE FROM aauthkit_wakeups WHERE seq <= ?", (seq - _WAKEUPS_KEPT,))


class SqliteDatabase(EngineDatabase[SqliteTransaction]):
    """A `Database` in one file, or in memory (where the reader is the pen, and waits for it)."""

    def __init__(
        self,
        pen: sqlite3.Connection,
        reader: sqlite3.Connection,
        *,
        durable: bool,
        patience: Patience,
        poll_seconds: float,
        origin: str,
    ) -> None:
        super().__init__()
        self._pen = pen
        self._reader = reader
        self._pen_lock = asyncio.Lock()
        self._waiting_for_pen = 0
        self._durable = durable
        self._disk = ThreadPoolExecutor(1, "aauthkit-store")
        self._commits = 0
        self._bringing_in: asyncio.Task[None] | None = None
        self._log_starts_over = True
        """The next commit writes the head of the log, for which SQLite waits for the disk."""
        self._patience = patience
        self._poll_seconds = poll_seconds
        self._origin = origin
        self._poll: asyncio.Task[None] | None = None

    @property
    def for_update(self) -> str:
        """See `Database`."""
        return ""

    @property
    def _in_memory(self) -> bool:
        return self._reader is self._pen

    async def close(self) -> None:
        """See `Database`."""
        if self._closed:
            return
        self._check("a database cannot be closed inside a transaction of the same task")
        self._closed = True
        self._wakeups.close()
        if self._poll is not None:
            self._poll.cancel()
        if self._bringing_in is not None:
            await asyncio.wait([self._bringing_in])
        async with self._pen_lock:
            self._reader.close()
            self._pen.close()
        self._disk.shutdown(wait=False)

    async def _take_pen(self, seconds: float) -> None:
        if self._waiting_for_pen or self._pen_lock.locked():
            await self._wait_for_pen(seconds)
        else:
            await self._pen_lock.acquire()  # at once, as nobody has it or waits for it
        if self._closed:
            self._pen_lock.release()
            raise StoreUnavailable("the database was closed")

    async def _wait_for_pen(self, seconds: float) -> None:
        taken = False
        self._waiting_for_pen += 1
        try:
            async with asyncio.timeout(seconds):
                taken = await self._pen_lock.acquire()
        except TimeoutError:
            pass
        finally:
            self._waiting_for_pen -= 1
        if not taken:
            raise StoreBusy(f"another task of this process has been writing for {seconds:g} s")

    async def _begin(self, *, migrating: bool) -> SqliteTransaction:
        seconds = MIGRATION_SECONDS if migrating else self._patience.seconds
        await self._take_pen(seconds)
        try:
            await self._patience.until_free(lambda: self._pen.execute("BEGIN IMMEDIATE"), "BEGIN", seconds)
        except BaseException:
            self._pen_lock.release()
            raise
        return SqliteTransaction(self._pen, self._patience, self._origin, shared=not self._in_memory)

    async def _commit(self, transaction: SqliteTransaction) -> None:
        try:
            if self._commit_waits:
                self._log_starts_over = False
                await finish(self._on_disk(self._pen.commit, "COMMIT"))
            else:
                await self._patience.until_free(self._pen.commit, "COMMIT")
        except BaseException:
            self._undo()
            raise
        self._count_commit()
        for channel, payload in transaction.wakeups:
            self._wakeups.deliver(channel, payload)

    async def _on_disk(self, act: Callable[[], object], what: str) -> None:
        """Do with the pen what waits for the disk, while a task of the loop holds it and awaits this."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._disk, act)
        except SQLITE_ERRORS as error:
            failure = failure_of(error, what)
        else:
            return
        raise failure

    def _count_commit(self) -> None:
        self._commits += 1
        if self._commits < BRING_IN_AFTER or self._in_memory or self._bringing_in is not None:
            return
        self._commits = 0
        self._bringing_in = asyncio.create_task(self._bring_in(), name="aauthkit-store-log")
        self._bringing_in.add_done_callback(self._brought_in)

    async def _bring_in(self) -> None:
        """Bring what is committed from the log into the file. Writers wait for it, readers and the loop do not."""
        await self._take_pen(self._patience.seconds)
        try:
            await finish(self._on_disk(lambda: self._pen.execute(_BRING_IN).fetchall(), "checkpoint"))
            self._log_starts_over = True
        finally:
            self._pen_lock.release()

    def _brought_in(self, done: asyncio.Task[None]) -> None:
        self._bringing_in = None
        if not done.cancelled() and done.exception() is not None:
            # What is committed is in the log and counts; it is tried again after as many commits.
            log.info("the log of the database was not brought into its file: %s", done.exception())

    async def _roll_back(self, transaction: SqliteTransaction) -> None:
        self._undo()

    def _undo(self) -> None:
        # SQLite has rolled back by itself after some errors, a full disk among them.
        if self._pen.in_transaction:
            self._pen.rollback()

    async def _release(self, transaction: SqliteTransaction) -> None:
        self._pen_lock.release()

    async def _rows(self, statement: Statement, params: Params, *, first: bool) -> list[Row]:
        if not statement.reads or self._in_memory:
            if self._commit_waits or not await self._take_pen_for_commit():
                async with self._transaction() as transaction:
                    return await transaction._rows(statement, params, first=first)
            return await self._alone(lambda: _all(self._pen, statement, params, first), statement)
        try:
            return _all(self._at_rest, statement, params, first)
        except SQLITE_ERRORS as error:
            self._patience.refuse(error, statement)
        return await self._patience.until_free(lambda: _all(self._at_rest, statement, params, first), statement)

    @property
    def _at_rest(self) -> sqlite3.Connection:
        """A connection in no transaction: the pen while nobody holds it, since its cache outlives its own commits."""
        return self._reader if self._pen_lock.locked() else self._pen

    async def _count(self, statement: Statement, params: Params) -> int:
        if self._commit_waits or not await self._take_pen_for_commit():
            async with self._transaction() as transaction:
                return await transaction._count(statement, params)
        return await self._alone(lambda: _count(self._pen, statement, params), statement)

    @property
    def _commit_waits(self) -> bool:
        """Whether the next commit waits for the disk, and is for the thread."""
        return self._durable or self._log_starts_over

    async def _take_pen_for_commit(self) -> bool:
        """Take the pen, unless it turns out then that the next commit waits for the disk."""
        await self._take_pen(self._patience.seconds)
        if self._commit_waits:
            self._pen_lock.release()
            return False
        return True

    async def _alone(self, act: Callable[[], T], statement: Statement) -> T:
        """What a statement gives that is a transaction of its own: SQLite begins and commits it. The pen is held."""
        try:
            result = await self._patience.until_free(act, statement)
        finally:
            self._pen_lock.release()
        self._count_commit()
        return result

    async def _notify(self, channel: str, payload: str) -> None:
        async with self._transaction() as transaction:
            await transaction._notify(channel, payload)

    async def _hear(self) -> None:
        if self._in_memory or self._poll is not None:
            return
        last = await self._patience.until_free(self._newest_wakeup, "subscribe")
        if self._poll is None:
            self._poll = asyncio.create_task(self._hear_others(last), name="aauthkit-store-wakeups")

    def _unheard(self) -> None:
        if self._poll is not None and not self._wakeups:
            self._poll.cancel()
            self._poll = None

    def _newest_wakeup(self) -> int:
        return int(self._reader.execute("SELECT coalesce(max(seq), 0) FROM aauthkit_wakeups").fetchone()[0])

    async def _hear_others(self, last: int) -> None:
        """Look for wake-ups of other processes whenever `data_version` tells that somebody committed."""
        seen = -1
        complained = False
        while True:
            try:
                version = self._reader.execute("PRAGMA data_version").fetchone()[0]
                if version != seen:
                    last = self._deliver_after(last)
                    seen = version
            except SQLITE_ERRORS as error:
                if not isinstance(failure_of(error, ""), StoreBusy) and not complained:
                    log.warning("wake-ups of other processes cannot be read: %s", error)
                    complained = True
            await asyncio.sleep(self._poll_seconds)

    def _deliver_after(self, last: int) -> int:
        """Deliver what others notified after number `last`; the newest number."""
        rows = self._reader.execute(
            "SELECT seq, origin, channel, payload FROM aauthkit_wakeups WHERE seq > ? ORDER BY seq", (last,)
        ).fetchall()
        if not rows:
            return last
        if rows[0][0] > last + 1:
            self._wakeups.missed()
        for _, origin, channel, payload in rows:
            if origin != self._origin:
                self._wakeups.deliver(channel, payload)
        return int(rows[-1][0])


def _connect(target: str) -> sqlite3.Connection:
    # Used from one thread at a time: the loop's, or the one that waits for the disk while a task of the loop awaits it.
    return sqlite3.connect(target, timeout=0, isolation_level=None, cached_statements=512, check_same_thread=False)


def _settings(durable: bool) -> tuple[str, ...]:
    return (
        f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}",
        "PRAGMA foreign_keys=ON",
        # As PostgreSQL compares; and what a statement sorts stays out of the folder for temporary files.
        "PRAGMA case_sensitive_like=ON",
        "PRAGMA temp_store=MEMORY",
        "PRAGMA trusted_schema=OFF",
        # Else a commit waits for the disk now and then, and the loop with it: `_bring_in` does that on a thread.
        "PRAGMA wal_autocheckpoint=0",
    )


async def open_sqlite(
    path: Path | None, *, durable: bool, patience: Patience, poll_seconds: float, origin: str
) -> SqliteDatabase:
    """Open or make the file at `path`, or a database in memory. Raises as `open_database` does."""
    if sqlite3.sqlite_version_info < _OLDEST:
        raise StoreError(f"this Python has SQLite {sqlite3.sqlite_version}; 3.35 or newer is needed, for RETURNING")
    opened: list[sqlite3.Connection] = []

    async def run(connection: sqlite3.Connection, sql: str) -> list[tuple[object, ...]]:
        return await patience.until_free(lambda: connection.execute(sql).fetchall(), sql)

    def connect(target: str) -> sqlite3.Connection:
        connection = _connect(target)
        opened.append(connection)
        return connection

    try:
        if path is None:
            pen = reader = connect(":memory:")
        else:
            prepare(path)
            pen = await patience.until_free(lambda: connect(str(path)), path)
            if await run(pen, "PRAGMA journal_mode=WAL") != [("wal",)]:
                raise StoreError(f"{path}: this file system does not let processes share memory, which SQLite needs")
            reader = await patience.until_free(lambda: connect(str(path)), path)
        for connection in opened:
            for setting in _settings(durable):
                await run(connection, setting)
        if path is not None:
            if not await run(pen, "SELECT 1 FROM sqlite_master WHERE name = 'aauthkit_wakeups'"):
                await run(pen, _WAKEUP_TABLE)
            await run(reader, "PRAGMA query_only=ON")
    except BaseException:
        for connection in opened:
            connection.close()
        raise
    return SqliteDatabase(pen, reader, durable=durable, patience=patience, poll_seconds=poll_seconds, origin=origin)
