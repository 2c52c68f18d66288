"""How a statement on SQLite waits for another process without stopping this one, and what SQLite's errors mean."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from .errors import Conflict, StoreBusy, StoreError, StoreUnavailable

T = TypeVar("T")

SQLITE_ERRORS = (sqlite3.Error, sqlite3.Warning)
"""What the module raises: more than one statement in a string was a `Warning` up to Python 3.11."""

_FIRST_PAUSE = 0.000_5
_LONGEST_PAUSE = 0.004
"""Seconds. Short, since SQLite keeps no queue, so who asks seldom would starve, and one task of a process waits."""

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_TAKEN = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID}
_OUT_OF_REACH = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR


def failure_of(error: Exception, what: object) -> StoreError:
    """The store's error for SQLite's. SQLite's own words quote no values, only names."""
    code = _code(error)
    words = f"{error} [{what}]"
    if code in _TAKEN:
        return Conflict(words)
    if code & 0xFF in _BUSY:
        return StoreBusy(words)
    if code & 0xFF in _OUT_OF_REACH:
        return StoreUnavailable(words)
    return StoreError(words)


@dataclass(frozen=True, slots=True)
class Patience:
    """Tries again while another process holds the file, for `seconds` at most."""

    seconds: float
    monotonic: Callable[[], float]
    jitter: Callable[[], float]
    """A number from 0 to 1, so that two waiting processes do not ask in step."""

    def refuse(self, error: Exception, what: object) -> None:
        """Raise what an error of SQLite's means, unless it is that the file is not free: then `until_free` is next.

        No other statement is tried again: SQLite may have ended the transaction it was part of.
        """
        failure = failure_of(error, what)
        if not isinstance(failure, StoreBusy):
            raise failure from None

    async def until_free(self, act: Callable[[], T], what: object, seconds: float | None = None) -> T:
        """What `act` returns once the file is free. Raises `StoreBusy`, or at once what any other failure means."""
        deadline: float | None = None
        pause = _FIRST_PAUSE
        while True:
            try:
                return act()
            except SQLITE_ERRORS as error:
                failure = failure_of(error, what)
            now = self.monotonic()
            if deadline is None:
                deadline = now + (self.seconds if seconds is None else seconds)
            if not isinstance(failure, StoreBusy) or now >= deadline:
                raise failure
            await asyncio.sleep(pause * (0.5 + self.jitter()))
            pause = min(2 * pause, _LONGEST_PAUSE)
