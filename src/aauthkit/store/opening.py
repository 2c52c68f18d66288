"""From a URL to the engine that serves it."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from .database import Database
from .errors import StoreError
from .patience import Patience
from .sqlite import open_sqlite

_MEMORY = {"sqlite://", "sqlite://:memory:", "sqlite:///:memory:"}


async def open_database(
    url: str | Path,
    *,
    durable: bool = False,
    busy_seconds: float = 5.0,
    statement_seconds: float = 30.0,
    poll_seconds: float = 0.1,
    heartbeat_seconds: float = 15.0,
    pool_size: int = 10,
    monotonic: Callable[[], float] = time.monotonic,
    jitter: Callable[[], float] = random.random,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> Database:
    """Open the database at `url`.

    A path, `sqlite:///relative/path`, `sqlite:////absolute/path`, `sqlite://:memory:`, or
    `postgresql://user:password@host/name`, which needs the extra `aauthkit[server]`.

    `durable`: a commit also waits for the disk, so that it outlives a loss of power; a killed process loses nothing
    either way. On SQLite without it, the last moments before a loss of power may be gone. PostgreSQL without it does
    as the server's own `synchronous_commit` says, which by default waits.

    `busy_seconds`: the longest wait for a lock, a connection, or the pen, before `StoreBusy`. `statement_seconds`:
    the longest a statement may take on PostgreSQL. `poll_seconds`: how often SQLite is asked, while somebody is
    subscribed, whether another process committed. `heartbeat_seconds`: how often a silent listening connection to
    PostgreSQL is tried.

    Raises `StoreError` for a URL or file that cannot be used, `StoreUnavailable` for a database out of reach.
    """
    text = str(url)
    if text.startswith(("postgresql://", "postgres://")):
        try:
            from .postgresql import open_postgresql
        except ModuleNotFoundError as error:
            if error.name != "asyncpg":
                raise
            raise StoreError("PostgreSQL needs the extra: pip install 'aauthkit[server]'") from error
        return await open_postgresql(
            text,
            durable=durable,
            busy_seconds=busy_seconds,
            statement_seconds=statement_seconds,
            pool_size=pool_size,
            heartbeat_seconds=heartbeat_seconds,
            jitter=jitter,
        )
    return await open_sqlite(
        _path_of(url),
        durable=durable,
        patience=Patience(busy_seconds, monotonic, jitter),
        poll_seconds=poll_seconds,
        origin=random_bytes(12).hex(),
    )


def _path_of(url: str | Path) -> Path | None:
    """The file a URL names, or None for memory."""
    text = str(url)
    if text in _MEMORY:
        return None
    if isinstance(url, Path):
        return url
    if text.startswith("sqlite:///") and "?" not in text:
        return Path(text.removeprefix("sqlite:///"))
    scheme, separator, _ = text.partition("://")
    if separator:
        raise StoreError(
            f"a {scheme}:// URL of this form names no database here; use a path, sqlite:///path, or postgresql://host/name"
        )
    if not text or text == ":memory:":
        raise StoreError("name a file, or sqlite://:memory: for a database that is gone when it is closed")
    return Path(text)
