"""What both engines do alike: who may run a statement where, and when a transaction is kept.

An engine supplies the few operations that touch its connections; every rule about tasks, failed statements and
migrations is here.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, TypeVar

from .database import Row, Subscription, Transaction, Value
from .errors import StoreError, StoreUnavailable
from .migrations import APPLIED, LEDGER, RECORD, Migration, by_room, outstanding
from .statements import Statement, parse
from .wakeups import LOOK_AGAIN, Wakeups, check_wakeup

Params = Mapping[str, Any]
Last = Callable[[], Awaitable[None]]

MIGRATION_SECONDS = 300.0
"""How long a starting process waits for another one to finish its migrations."""


class EngineTransaction(ABC):
    """An open transaction (a `Transaction`) and whether it can still be kept."""

    def __init__(self) -> None:
        self._owner = asyncio.current_task()
        self._ended = False
        self._failed = False
        self._last: list[Last] = []

    def before_commit(self, last: Last) -> None:
        """See `Transaction`."""
        self._check()
        self._last.append(last)

    async def run_last(self) -> None:
        """Run what was put off to the end, in order."""
        for last in self._last:
            await last()

    async def fetch_one(self, sql: str, /, **params: Value) -> Row | None:
        """See `Statements`."""
        statement = self._admit(sql, params)
        try:
            rows = await self._rows(statement, params, first=True)
        except BaseException:
            self._failed = True
            raise
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, /, **params: Value) -> list[Row]:
        """See `Statements`."""
        statement = self._admit(sql, params)
        try:
            return await self._rows(statement, params, first=False)
        except BaseException:
            self._failed = True
            raise

    async def execute(self, sql: str, /, **params: Value) -> int:
        """See `Statements`."""
        statement = self._admit(sql, params)
        try:
            return await self._count(statement, params)
        except BaseException:
            self._failed = True
            raise

    async def notify(self, channel: str, payload: str = LOOK_AGAIN) -> None:
        """See `Transaction`."""
        check_wakeup(channel, payload)
        self._check()
        try:
            await self._notify(channel, payload)
        except BaseException:
            self._failed = True
            raise

    def end(self) -> None:
        """From now on every statement is refused."""
        self._ended = True

    def check_keepable(self) -> None:
        """Raise `StoreError` if a statement failed and its error went no further than the block."""
        if self._failed:
            raise StoreError("a statement of this transaction failed and its error was swallowed: nothing was kept")

    def _admit(self, sql: str, params: Params) -> Statement:
        self._check()
        statement = parse(sql)
        statement.admit(params)
        return statement

    def _check(self) -> None:
        if self._ended:
            raise StoreError("this transaction has ended")
        if self._failed:
            raise StoreError("an earlier statement of this transaction failed: it can only be left")
        if asyncio.current_task() is not self._owner:
            raise StoreError("a transaction belongs to the task that opened it")

    @abstractmethod
    async def _rows(self, statement: Statement, params: Params, *, first: bool) -> list[Row]: ...

    @abstractmethod
    async def _count(self, statement: Statement, params: Params) -> int: ...

    @abstractmethod
    async def _notify(self, channel: str, payload: str) -> None: ...


T = TypeVar("T", bound=EngineTransaction)


class EngineDatabase(ABC, Generic[T]):
    """A `Database` but for what only an engine can do."""

    def __init__(self) -> None:
        self._wakeups = Wakeups()
        self._in_transaction: set[asyncio.Task[Any] | None] = set()
        self._closed = False

    async def fetch_one(self, sql: str, /, **params: Value) -> Row | None:
        """See `Statements`."""
        rows = await self._rows(self._admit(sql, params), params, first=True)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, /, **params: Value) -> list[Row]:
        """See `Statements`."""
        return await self._rows(self._admit(sql, params), params, first=False)

    async def execute(self, sql: str, /, **params: Value) -> int:
        """See `Statements`."""
        return await self._count(self._admit(sql, params), params)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """See `Database`."""
        return self._transaction()

    @asynccontextmanager
    async def _transaction(self, *, migrating: bool = False) -> AsyncGenerator[T]:
        self._check("a transaction cannot be opened inside another one of the same task: pass the open one on")
        transaction = await self._begin(migrating=migrating)
        task = asyncio.current_task()
        self._in_transaction.add(task)
        try:
            try:
                yield transaction
                transaction.check_keepable()
                await transaction.run_last()
            except BaseException:
                transaction.end()
                await self._roll_back(transaction)
                raise
            transaction.end()
            await self._commit(transaction)
        finally:
            self._in_transaction.discard(task)
            await self._release(transaction)

    async def migrate(self, migrations: Sequence[Migration]) -> None:
        """See `Database`."""
        rooms = by_room(migrations)
        async with self._transaction(migrating=True) as transaction:
            await transaction.execute(LEDGER)
            for room, steps in rooms.items():
                applied = {row["version"]: row["sha256"] for row in await transaction.fetch_all(APPLIED, room=room)}
                for step in outstanding(room, steps, applied):
                    for statement in step.statements:
                        await transaction.execute(statement)
                    await transaction.execute(RECORD, room=room, version=step.version, sha256=step.sha256)

    async def notify(self, channel: str, payload: str = LOOK_AGAIN) -> None:
        """See `Database`."""
        check_wakeup(channel, payload)
        self._check("inside a transaction, notify through it: the wake-up must not come before the commit")
        await self._notify(channel, payload)

    @asynccontextmanager
    async def subscribe(self, channel: str, only: str | None = None) -> AsyncIterator[Subscription]:
        """See `Database`."""
        check_wakeup(channel, only or LOOK_AGAIN)
        if self._closed:
            raise StoreUnavailable("the database was closed")
        waiting = self._wakeups.add(channel, only)
        try:
            await self._hear()
            yield waiting
        finally:
            self._wakeups.remove(channel, waiting, only)
            self._unheard()

    def _admit(self, sql: str, params: Params) -> Statement:
        self._check("inside a transaction, run the statement through it")
        statement = parse(sql)
        statement.admit(params)
        return statement

    def _check(self, nested: str) -> None:
        if self._closed:
            raise StoreUnavailable("the database was closed")
        if self._in_transaction and asyncio.current_task() in self._in_transaction:
            raise StoreError(nested)

    @abstractmethod
    async def _rows(self, statement: Statement, params: Params, *, first: bool) -> list[Row]: ...

    @abstractmethod
    async def _count(self, statement: Statement, params: Params) -> int: ...

    @abstractmethod
    async def _notify(self, channel: str, payload: str) -> None: ...

    @abstractmethod
    async def _begin(self, *, migrating: bool) -> T:
        """Open a transaction; nothing is held if this raises. `migrating` keeps every other process out."""

    @abstractmethod
    async def _commit(self, transaction: T) -> None:
        """Keep it, whatever is cancelled meanwhile. Where this raises, nothing is left open."""

    @abstractmethod
    async def _roll_back(self, transaction: T) -> None:
        """Undo it, whatever is cancelled meanwhile; never raises for want of a connection."""

    @abstractmethod
    async def _release(self, transaction: T) -> None:
        """Give back what `_begin` took."""

    @abstractmethod
    async def _hear(self) -> None:
        """Begin to hear other processes, if that has not begun; heard from its return on."""

    @abstractmethod
    def _unheard(self) -> None:
        """Somebody stopped listening; perhaps nobody does now."""
