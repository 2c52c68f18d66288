"""The engine of a deployment of several replicas: a pool of connections to PostgreSQL, through asyncpg."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import asyncpg

from .asyncpg_errors import DRIVER_ERRORS, ConnectionLost, failure_of
from .database import Row
from .errors import StoreBusy, StoreError, StoreUnavailable
from .finishing import finish
from .listening import CHANNEL, Listener
from .statements import Statement
from .transactions import MIGRATION_SECONDS, EngineDatabase, EngineTransaction, Params

_MIGRATION_LOCK = int.from_bytes(b"aauthkit")
"""The number of the advisory lock under which tables are made."""


async def _rows(connection: Any, statement: Statement, params: Params, first: bool, timeout: float | None) -> list[Row]:
    arguments = [params[name] for name in statement.names]
    try:
        if first:
            record = await connection.fetchrow(statement.numbered, *arguments, timeout=timeout)
            return [] if record is None else [dict(record)]
        return [dict(record) for record in await connection.fetch(statement.numbered, *arguments, timeout=timeout)]
    except DRIVER_ERRORS as error:
        failure = failure_of(error, statement)
    raise failure


async def _count(connection: Any, statement: Statement, params: Params, timeout: float | None) -> int:
    arguments = [params[name] for name in statement.names]
    try:
        status = await connection.execute(statement.numbered, *arguments, timeout=timeout)
    except DRIVER_ERRORS as error:
        failure = failure_of(error, statement)
    else:
        words = status.split()
        return int(words[-1]) if words[0] in {"INSERT", "UPDATE", "DELETE"} else 0
    raise failure


async def _run(connection: Any, sql: str, *arguments: object, timeout: float | None = None) -> str:
    try:
        return str(await connection.execute(sql, *arguments, timeout=timeout))
    except DRIVER_ERRORS as error:
        failure = failure_of(error, sql)
    raise failure


async def _notify(connection: Any, channel: str, payload: str) -> None:
    await _run(connection, "SELECT pg_notify($1, $2)", CHANNEL, f"{channel}\n{payload}")


async def _roll_back(connection: Any) -> None:
    try:
        await connection.execute("ROLLBACK")
    except DRIVER_ERRORS:
        _drop(connection)


def _drop(connection: Any) -> None:
    # The pool takes a dead connection back by itself, after which it cannot be ended once more.
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


async def _commit(connection: Any) -> None:
    try:
        status = await _run(connection, "COMMIT")
    except BaseException:
        await _roll_back(connection)
        raise
    if status != "COMMIT":
        raise StoreError("PostgreSQL did not keep the transaction")


class PostgresTransaction(EngineTransaction):
    """One connection, between BEGIN and COMMIT."""

    def __init__(self, connection: Any, timeout: float | None) -> None:
        super().__init__()
        self.connection = connection
        self._timeout = timeout

    async def _rows(self, statement: Statement, params: Params, *, first: bool) -> list[Row]:
        return await _rows(self.connection, statement, params, first, self._timeout)

    async def _count(self, statement: Statement, params: Params) -> int:
        return await _count(self.connection, statement, params, self._timeout)

    async def _notify(self, channel: str, payload: str) -> None:
        await _notify(self.connection, channel, payload)


class PostgresDatabase(EngineDatabase[PostgresTransaction]):
    """A `Database` on a server, at READ COMMITTED."""

    def __init__(self, pool: Any, listener: Callable[[Any], Listener], *, busy_seconds: float) -> None:
        super().__init__()
        self._pool = pool
        self._listener = listener(self._wakeups)
        self._busy_seconds = busy_seconds

    @property
    def for_update(self) -> str:
        """See `Database`."""
        return " FOR UPDATE"

    async def close(self) -> None:
        """See `Database`."""
        if self._closed:
            return
        self._check("a database cannot be closed inside a transaction of the same task")
        self._closed = True
        self._wakeups.close()
        await self._listener.close()
        await self._pool.close()

    async def _acquire(self) -> Any:
        try:
            async with asyncio.timeout(self._busy_seconds):
                return await self._pool.acquire()
        except DRIVER_ERRORS as error:
            failure = failure_of(error, "connect")
            if isinstance(error, TimeoutError) and self._pool.get_size() == self._pool.get_max_size():
                failure = StoreBusy(f"every connection has been in use for {self._busy_seconds:g} s")
            elif isinstance(failure, ConnectionLost):
                # A new connection failed: unlike an old one, there is no other that may do better.
                failure = StoreUnavailable(str(failure))
        raise failure

    @asynccontextmanager
    async def _borrowed(self) -> AsyncGenerator[Any]:
        connection = await self._acquire()
        try:
            yield connection
        finally:
            await self._give_back(connection)

    async def _give_back(self, connection: Any) -> None:
        async def give_back() -> None:
            try:
                await self._pool.release(connection)
            except DRIVER_ERRORS:
                _drop(connection)

        await finish(give_back())

    async def _rows(self, statement: Statement, params: Params, *, first: bool) -> list[Row]:
        for _ in range(self._stale_connections if statement.reads else 0):
            async with self._borrowed() as connection:
                with suppress(ConnectionLost):
                    return await _rows(connection, statement, params, first, None)
        async with self._borrowed() as connection:
            return await _rows(connection, statement, params, first, None)

    @property
    def _stale_connections(self) -> int:
        """How many connections may turn out to be dead, one after another, before a new one is made."""
        return int(self._pool.get_max_size())

    async def _count(self, statement: Statement, params: Params) -> int:
        async with self._borrowed() as connection:
            return await _count(connection, statement, params, None)

    async def _notify(self, channel: str, payload: str) -> None:
        async with self._borrowed() as connection:
            await _notify(connection, channel, payload)

    async def _begin(self, *, migrating: bool) -> PostgresTransaction:
        connection = await self._open()
        if not migrating:
            return PostgresTransaction(connection, None)
        try:
            await _run(connection, f"SET LOCAL lock_timeout = '{MIGRATION_SECONDS:.0f}s'")
            await _run(connection, "SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK, timeout=MIGRATION_SECONDS)
        except BaseException:
            await self._abandon(connection)
            raise
        return PostgresTransaction(connection, MIGRATION_SECONDS)

    async def _open(self) -> Any:
        for _ in range(self._stale_connections):
            with suppress(ConnectionLost):
                return await self._open_once()
        return await self._open_once()

    async def _open_once(self) -> Any:
        connection = await self._acquire()
        try:
            await _run(connection, "BEGIN")
        except BaseException:
            await self._abandon(connection)
            raise
        return connection

    async def _abandon(self, connection: Any) -> None:
        await finish(_roll_back(connection))
        await self._give_back(connection)

    async def _commit(self, transaction: PostgresTransaction) -> None:
        await finish(_commit(transaction.connection))

    async def _roll_back(self, transaction: PostgresTransaction) -> None:
        await finish(_roll_back(transaction.connection))

    async def _release(self, transaction: PostgresTransaction) -> None:
        await self._give_back(transaction.connection)

    async def _hear(self) -> None:
        await self._listener.start()

    def _unheard(self) -> None:
        """The connection stays: the next subscriber is not far."""


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


async def _plain_sums(connection: Any) -> None:
    # PostgreSQL sums a BIGINT column to a NUMERIC; here it is an int, as on SQLite.
    await connection.set_type_codec("numeric", schema="pg_catalog", format="text", encoder=str, decoder=_number)


async def _keep_session(_connection: object) -> None:
    """Nothing to reset: no session setting is ever changed, so giving a connection back costs no round trip."""


async def open_postgresql(
    url: str,
    *,
    durable: bool,
    busy_seconds: float,
    statement_seconds: float,
    pool_size: int,
    heartbeat_seconds: float,
    jitter: Callable[[], float],
) -> PostgresDatabase:
    """Connect to the database that `url` names. Raises as `open_database` does."""
    settings = {
        "application_name": "aauthkit",
        "default_transaction_isolation": "read committed",
        "lock_timeout": f"{busy_seconds * 1000:.0f}",
    }
    if durable:
        settings["synchronous_commit"] = "on"
    connecting = {"timeout": busy_seconds, "command_timeout": statement_seconds, "server_settings": settings}
    pool = None
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=0,
            max_size=pool_size,
            init=_plain_sums,
            reset=_keep_session,
            statement_cache_size=512,
            max_cached_statement_lifetime=0,
            **connecting,
        )
        async with pool.acquire() as connection:
            await connection.execute("SELECT 1")
    except DRIVER_ERRORS as error:
        failure = failure_of(error, "connect")
    except BaseException:
        if pool is not None:
            pool.terminate()
        raise
    else:
        listener = partial(
            Listener, partial(asyncpg.connect, url, **connecting), heartbeat_seconds=heartbeat_seconds, jitter=jitter
        )
        return PostgresDatabase(pool, listener, busy_seconds=busy_seconds)
    if pool is not None:
        pool.terminate()
    raise failure
