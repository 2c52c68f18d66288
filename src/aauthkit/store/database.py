"""What a role's records need of a database, whichever engine keeps them.

A role declares its tables (`Migration`) and its statements, as plain SQL that both engines read: named parameters
`:name`, columns of `TEXT` and `BIGINT` (JSON is kept as `TEXT`), `RETURNING`, `ON CONFLICT`. What the engines see
differently is avoided:

- Names are lower case, and every computed column is named (`count(*) AS total`).
- A parameter that stands beside no column is given its type: `CAST(:now AS BIGINT) + 300`, `CAST(:name AS TEXT) IS
  NULL`.
- Nothing depends on the order of texts: a PostgreSQL database may sort by a language, SQLite sorts by bytes.
- A row that is read in order to be changed is read with the database's `for_update` at the statement's end. SQLite
  has one writer at a time; PostgreSQL has many, so what must exist once needs a unique constraint, and what must not
  change between reading and writing a lock.
- An expected conflict is written as `ON CONFLICT ... DO NOTHING RETURNING ...`: after a failed statement a
  transaction can only be left.

A value is a `str` without NUL, an `int` of 64 bits, or `None`. A database belongs to the event loop that opened it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from .migrations import Migration

Value = str | int | None
"""What a parameter may be; a `bool` counts as `int`."""

Row = Mapping[str, Any]
"""One record: column name to value."""


class Statements(Protocol):
    """The three ways to run one statement. Each raises `StoreError` or one of its kinds."""

    async def fetch_one(self, sql: str, /, **params: Value) -> Row | None:
        """The first row, or None where there is none."""

    async def fetch_all(self, sql: str, /, **params: Value) -> list[Row]:
        """Every row, in memory at once: bound it with `LIMIT`."""

    async def execute(self, sql: str, /, **params: Value) -> int:
        """Run a statement that changes rows, and tell how many it changed."""


class Transaction(Statements, Protocol):
    """Statements that are kept together or not at all. Belongs to the task that opened it."""

    async def notify(self, channel: str, payload: str = "") -> None:
        """Wake the subscribers of `channel` once this transaction is committed, and not at all if it is not."""

    def before_commit(self, last: Callable[[], Awaitable[None]]) -> None:
        """Run `last` as the very end of this transaction, still part of it: for a lock that everybody takes.

        What it raises ends the transaction as anything else does.
        """


class Subscription(Protocol):
    """Wake-ups on one channel, from this process and from others."""

    async def wait(self, timeout: float | None = None) -> list[str]:
        """What `notify` was given since the last wait, each once, in order; empty if none came in `timeout` seconds.

        A wake-up is a hint to look at the records again. An empty payload may also mean that wake-ups were missed (a
        lost connection, too many at once). Raises `StoreUnavailable` once the database is closed.
        """


class Database(Statements, Protocol):
    """Records on SQLite or PostgreSQL.

    A statement run here is a transaction of its own, and sees only what is committed. Inside a task's own
    `transaction()` it is refused, since it would neither see that transaction's rows nor be part of it.
    """

    @property
    def for_update(self) -> str:
        """What a `SELECT` ends with to lock the rows it reads: empty on SQLite, which has one writer at a time."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Commit at the end of the block; roll back on any exception or cancellation.

        A cancellation that arrives during the commit waits for it. Raises `StoreBusy` if the pen (or a connection) is
        not to be had in time, and `StoreError` if the task has a transaction open already or left a failed statement
        unraised.
        """

    async def migrate(self, migrations: Sequence[Migration]) -> None:
        """Bring the tables of the rooms named up to date, once, whoever else starts now. Raises `MigrationRefused`."""

    async def notify(self, channel: str, payload: str = "") -> None:
        """Wake the subscribers of `channel`, in every process. `payload` is at most 4,000 bytes of UTF-8."""

    def subscribe(self, channel: str, only: str | None = None) -> AbstractAsyncContextManager[Subscription]:
        """Hear what is notified on `channel` from the moment the block is entered; look at the records after that.

        `only`: the one payload to be heard, besides the empty one; others cost this subscriber nothing.
        """

    async def close(self) -> None:
        """Close every connection, after the transactions under way. Waiting subscribers get `StoreUnavailable`."""
