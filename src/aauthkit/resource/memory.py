"""What a resource remembers, opened: revocations always; with a store sessions, questions and held calls too."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..discovery import Discovery
from ..protocol.identifiers import LoopbackProfile
from ..protocol.tokens import HOUR, PERSON_DWK
from ..revocation import Revocations
from ..store import Database, open_database
from ..trust import Trust
from .challenges import Challenges
from .delivery import Deliveries
from .interactions import Handlers, Interactions
from .records import MIGRATIONS
from .sessions import Sessions

REVOKE: Final = "/revoke"

Store = str | Path | Database
"""Where a resource keeps its records: a path, a URL, or a database that is open already."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the rooms of one resource share. `path` is where its own endpoints stand, `outside` how others see that."""

    identifier: str
    path: str
    outside: str
    trust: Trust
    challenges: Challenges
    loopback: LoopbackProfile
    window: int
    session_lifetime: int
    accept_base64url: bool = False
    clock: Callable[[], float] = time.time
    random_bytes: Callable[[int], bytes] = field(default=secrets.token_bytes, repr=False)


class Memory:
    """The records of one resource, in the event loop that started it."""

    def __init__(self, store: Store | None, settings: Settings, discovery: Discovery) -> None:
        self._store = store
        self._settings = settings
        self._database: Database | None = None
        self._starting = asyncio.Lock()
        # Without a store there is nothing to read, and revocations are forgotten when the process ends.
        self.started = store is None
        self.revocations = self._revocations(None, discovery) if store is None else None
        self.sessions: Sessions | None = None
        self.interactions: Interactions | None = None
        self.deliveries: Deliveries | None = None

    async def start(self, discovery: Discovery, handlers: Handlers | None) -> None:
        """Open the store, once, and read what is on record. Raises `StoreError`."""
        async with self._starting:
            if self.started:
                return
            database = await self._open()
            self.revocations = self._revocations(database, discovery)
            await self.revocations.start()
            await database.migrate(MIGRATIONS)
            self._furnish(database, handlers)
            self.started = True

    async def _open(self) -> Database:
        assert self._store is not None
        if isinstance(self._store, str | Path):
            # A call must be known to have begun before it runs, also after a loss of power.
            self._database = await open_database(self._store, durable=True)
            return self._database
        return self._store

    def _revocations(self, database: Database | None, discovery: Discovery) -> Revocations:
        each = self._settings
        return Revocations(
            each.identifier,
            database,
            dwks=(PERSON_DWK,),
            trust=each.trust,
            discovery=discovery,
            longest=HOUR,
            path=f"{each.path}{REVOKE}",
            loopback=each.loopback,
            window=each.window,
            accept_base64url=each.accept_base64url,
            clock=each.clock,
            random_bytes=each.random_bytes,
        )

    def _furnish(self, database: Database, handlers: Handlers | None) -> None:
        each = self._settings
        self.sessions = Sessions(
            each.identifier,
            database,
            lifetime=each.session_lifetime,
            clock=each.clock,
            random_bytes=each.random_bytes,
        )
        self.deliveries = Deliveries(
            each.identifier,
            database,
            each.challenges,
            path=each.outside,
            clock=each.clock,
            random_bytes=each.random_bytes,
        )
        if handlers is not None:
            self.interactions = Interactions(
                each.identifier,
                database,
                self.sessions,
                handlers,
                path=each.outside,
                clock=each.clock,
                random_bytes=each.random_bytes,
            )

    async def close(self) -> None:
        """Let the calls that run come to their end, and close what was opened here. It may be started again."""
        async with self._starting:
            if self._store is None or not self.started:
                return
            self.started = False
            if self.deliveries is not None:
                await self.deliveries.close()
            if self.revocations is not None:
                await self.revocations.close()
            database, self._database = self._database, None
            if database is not None:
                await database.close()

    @property
    def the_sessions(self) -> Sessions:
        """The sessions. Raises `ValueError` for a resource without a store."""
        if self.sessions is None:
            raise ValueError("sessions are on record: give the resource a store")
        return self.sessions

    @property
    def the_interactions(self) -> Interactions:
        """The open questions. Raises `ValueError` for a resource without a page of its own."""
        if self.interactions is None:
            raise ValueError("this resource has no page of its own: name one with interaction()")
        return self.interactions

    @property
    def the_revocations(self) -> Revocations:
        """The revocations, read from the store."""
        assert self.revocations is not None, "start() comes first"
        return self.revocations
