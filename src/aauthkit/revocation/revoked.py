"""The tokens revoked at one server: on record first, in memory for every look, the same in every process."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

from ..protocol.problems import Problem
from ..protocol.tokens import SIGNATURE_WINDOW
from ..store import Database, StoreError, StoreUnavailable, Subscription, Transaction
from .limits import DEFAULT_LIMITS, RevocationLimits
from .outcomes import Revocation
from .records import MIGRATIONS, RevokedRecords

log = logging.getLogger("aauthkit.revocation")

CHANNEL: Final = "revoked"
LOOK_AGAIN: Final = 60.0
"""Seconds after which the records are read again without having been woken."""
PAUSES: Final = (0.2, 1.0, 5.0, 15.0)
"""Seconds before records that were out of reach are looked for again, each time they are; the last for ever."""
FORGET_EVERY: Final = 60
LONGEST_WAIT: Final = 3600
"""Most seconds that an issuer without room left is told to wait."""

Effect = Callable[[Transaction, Revocation], Awaitable[None]]
"""Told of a new revocation inside the transaction that records it, so that both are kept or neither.

It runs once for each token. Wake whoever waits for what it changes through `tx.notify`.
"""


class RevokedTokens:
    """Which tokens `server` was told are revoked, by `(iss, jti)` (draft-11 §11.12.1).

    Without a database it forgets when the process ends. With one, `start` it: until then nothing can be said of any
    token, and `is_revoked` raises. An entry is kept until its token's `exp` plus `window` seconds.
    """

    def __init__(
        self,
        server: str,
        database: Database | None,
        *,
        effect: Effect | None = None,
        limits: RevocationLimits = DEFAULT_LIMITS,
        window: int = SIGNATURE_WINDOW,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if effect is not None and database is None:
            raise ValueError("an effect is recorded with the revocation: it needs a database")
        self._db = database
        self._records = RevokedRecords(server)
        self._channel = f"{CHANNEL} {server}"
        self._effect = effect
        self._limits = limits
        self._window = window
        self._clock = clock
        self._known: dict[str, dict[str, int]] = {}
        self._total = 0
        self._forgot = self._pruned = 0.0
        self._loaded = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        if database is None:
            self._loaded.set()

    def is_revoked(self, iss: str, jti: str) -> bool:
        """Whether the issuer revoked this token. Plain, from memory; may be asked from any thread."""
        if not self._loaded.is_set():
            raise RuntimeError("the revocations on record have not been read: start this server first")
        known = self._known.get(iss)
        return known is not None and jti in known

    def __len__(self) -> int:
        return self._total

    async def start(self) -> None:
        """Bring the table up to date, read it, and follow what other processes record. Raises `StoreError`."""
        if self._db is None or self._following is not None:
            return
        await self._db.migrate(MIGRATIONS)
        following = asyncio.create_task(self._follow(self._db), name="aauthkit-revoked")
        loaded = asyncio.create_task(self._loaded.wait())
        try:
            await asyncio.wait({following, loaded}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loaded.cancel()
        if following.done():
            following.result()
        self._following = following

    async def close(self) -> None:
        """Stop following other processes; what is known stays known."""
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.wait({following})

    # What is recorded.

    def check_room(self, iss: str, jti: str) -> None:
        """Return if one more revocation of this issuer may be held. Raises `Problem` 429 (draft-11 §11.12.3).

        One that is held already takes no room.
        """
        known = self._known.get(iss, {})
        if jti in known:
            return
        if len(known) >= self._limits.entries_per_issuer or self._total >= self._limits.entries:
            self._prune(every=1)
            known = self._known.get(iss, {})
        if len(known) >= self._limits.entries_per_issuer:
            wait = math.ceil(min(known.values()) + self._window + 1 - self._clock())
            raise Problem("rate_limited", _FULL, retry_after=min(max(wait, 1), LONGEST_WAIT))
        if self._total >= self._limits.entries:
            raise Problem("rate_limited", "this server can hold no more revocations", retry_after=LONGEST_WAIT)

    async def record(self, revocation: Revocation) -> bool:
        """Put a revocation on record, whoever says so; `False` if it was there, or its token ended long ago.

        From the return on, every look in this process finds it, and in others as soon as they are woken.
        """
        now = self._clock()
        held = self._known.get(revocation.iss, {}).get(revocation.jti, 0)
        if revocation.exp + self._window <= now or held >= revocation.exp:
            return False
        self._prune()
        if self._db is None:
            return self._remember(revocation.iss, revocation.jti, revocation.exp)
        await self._forget(self._db, now)
        async with self._db.transaction() as tx:
            new = await self._records.add(tx, revocation.iss, revocation.jti, revocation.exp, int(now))
            if new and self._effect is not None:
                await self._effect(tx, revocation)
            await tx.notify(self._channel, json.dumps([revocation.iss, revocation.jti, revocation.exp]))
        self._remember(revocation.iss, revocation.jti, revocation.exp)
        return new

    def _remember(self, iss: str, jti: str, exp: int) -> bool:
        known = self._known.setdefault(iss, {})
        new = jti not in known
        self._total += new
        known[jti] = max(exp, known.get(jti, 0))
        return new

    async def _forget(self, database: Database, now: float) -> None:
        if now - self._forgot >= FORGET_EVERY:
            self._forgot = now
            await self._records.forget(database, int(now) - self._window)

    def _prune(self, every: float = FORGET_EVERY) -> None:
        """Drop from memory what has ended, once in a while. No table changes under a look from another thread."""
        now = self._clock()
        if now - self._pruned < every:
            return
        self._pruned = now
        ended = int(now) - self._window
        kept = {iss: {j: exp for j, exp in known.items() if exp > ended} for iss, known in self._known.items()}
        self._known = {iss: known for iss, known in kept.items() if known}
        self._total = sum(map(len, self._known.values()))

    # What other processes record.

    async def _follow(self, database: Database) -> None:
        """Keep memory as the records are. Ends with an error only if they cannot be read at the start."""
        failures = 0
        while True:
            try:
                async with database.subscribe(self._channel) as subscription:
                    await self._load(database)
                    self._loaded.set()
                    failures = 0
                    await self._hear(database, subscription)
            except StoreError as error:
                if not self._loaded.is_set():
                    raise
                if failures == 0:
                    level = logging.INFO if isinstance(error, StoreUnavailable) else logging.ERROR
                    log.log(level, "revocations by other processes are not heard for now: %s", error)
                await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1

    async def _hear(self, database: Database, subscription: Subscription) -> None:
        while True:
            heard = await subscription.wait(LOOK_AGAIN)
            self._prune()
            if not heard or "" in heard:
                await self._load(database)
                continue
            try:
                for payload in heard:
                    iss, jti, exp = json.loads(payload)
                    if exp + self._window > self._clock():
                        self._remember(iss, jti, exp)
            except (ValueError, TypeError):  # somebody else's news: what is on record is what counts
                await self._load(database)

    async def _load(self, database: Database) -> None:
        ended = int(self._clock()) - self._window
        for iss, jti, exp in await self._records.alive(database, ended):
            self._remember(iss, jti, exp)


_FULL: Final = "the caller has as many revocations on record as are accepted from it"
