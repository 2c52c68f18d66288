"""Accounts on each engine, with a clock that is moved by hand and a hasher that counts."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from aauthkit.accounts import MIGRATIONS, Accounts
from aauthkit.accounts.passwords import Argon2id
from aauthkit.store import Database


class HandClock:
    """Epoch seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000

    def __call__(self) -> float:
        return self.now


class CountingHasher(Argon2id):
    """The real argon2id with the least of parameters; counts what it is asked, and how much of it at once."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.hashed = 0
        self.compared = 0
        self.at_once = 0
        self.threads: set[int] = set()
        self._running = 0
        self._lock = threading.Lock()

    def _begin(self) -> None:
        with self._lock:
            self._running += 1
            self.at_once = max(self.at_once, self._running)
            self.threads.add(threading.get_ident())

    def _end(self) -> None:
        with self._lock:
            self._running -= 1

    def hash(self, password: str) -> str:
        self._begin()
        self.hashed += 1
        try:
            return super().hash(password)
        finally:
            self._end()

    def matches(self, encoded: str, password: str) -> bool:
        self._begin()
        self.compared += 1
        try:
            return super().matches(encoded, password)
        finally:
            self._end()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
async def make(database: Database, clock: HandClock, hasher: CountingHasher) -> Callable[..., Accounts]:
    """Makes `Accounts` of one server on the test's database, as each of several processes would."""
    await database.migrate(MIGRATIONS)

    def make(issuer: str = "https://person.example", **options: object) -> Accounts:
        return Accounts(database, issuer=issuer, clock=clock, hasher=hasher, **options)

    return make


@pytest.fixture
async def accounts(make: Callable[..., Accounts]) -> Accounts:
    """Of a server at `https://person.example` whose sign-up is open."""
    return make(open_sign_up=True)
