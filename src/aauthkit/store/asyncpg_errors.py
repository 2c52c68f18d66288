"""What PostgreSQL's and its driver's errors mean.

Their own messages quote the row that was refused, so they are never passed on, not even as a cause.
"""

from __future__ import annotations

import re

import asyncpg

from .errors import Conflict, StoreBusy, StoreError, StoreUnavailable
from .statements import Statement

DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, ValueError)
"""What a call of the driver can raise; a `TimeoutError` is an `OSError`."""


class ConnectionLost(StoreUnavailable):
    """The connection ended, so that another one may do better."""


_BUSY = {"40001", "40P01", "55P03"}
"""Serialization failure, deadlock, lock not to be had in time."""
_LOST = {"57P01", "57P02", "57P03", "57P05"}
"""Shut down, crashed, starting up, idle for too long."""
_READ_ONLY = "25006"
_OUT_OF_REACH = ("08", "28", "3D", "53", "57", "58")
"""Classes: connections, authorization, no such database, resources (disk among them), operators, the system."""
_OUR_OWN_SQL = "42"
"""Syntax errors and unknown names: the message quotes the statement, never a value."""
_ARGUMENT = re.compile(r"invalid input for query argument \$(\d+)")


def _server_failure(error: asyncpg.PostgresError, what: object) -> StoreError:
    state = error.sqlstate or ""
    said = str(error.args[0]) if error.args else ""
    argument = _ARGUMENT.match(said)
    if argument and isinstance(what, Statement):
        return StoreError(f":{what.names[int(argument[1]) - 1]} is not of the type that stands there [{what}]")
    parts = [type(error).__name__.removesuffix("Error"), state]
    parts += [said] if state.startswith(_OUR_OWN_SQL) else []
    parts += [part for part in (error.table_name, error.column_name, error.constraint_name) if part]
    words = f"{' '.join(parts)} [{what}]"
    if isinstance(error, asyncpg.UniqueViolationError):
        return Conflict(words)
    if state in _BUSY or isinstance(error, asyncpg.InvalidCachedStatementError):
        return StoreBusy(words)
    if state.startswith("08") or state in _LOST:
        return ConnectionLost(words)
    if state.startswith(_OUT_OF_REACH) or state == _READ_ONLY:
        return StoreUnavailable(words)
    return StoreError(words)


def failure_of(error: Exception, what: object) -> StoreError:
    """The store's error for the driver's; `what` was asked of it."""
    if isinstance(error, asyncpg.PostgresError):
        return _server_failure(error, what)
    if isinstance(error, TimeoutError):
        return StoreUnavailable(f"the database did not answer in time [{what}]")
    if isinstance(error, ValueError):
        return StoreError(f"the driver refuses this: {type(error).__name__} [{what}]")
    return ConnectionLost(f"the database is out of reach: {type(error).__name__} [{what}]")
