"""A key set that replicas share: in their database, each private key sealed under a secret that is not in it.

One replica rotates, under a lock; all publish the new key before any signs with it, since every replica reads the set
anew far more often than the two minutes a key is published before it signs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..protocol.jose import SigningKey
from ..store import Database, Migration, StoreError
from .documents import Documents
from .keyfile import KeyStanding, standing_of
from .keyset import LONGEST_LIFETIME, PUBLISHED_BEFORE, KeySet
from .private_files import KeyFileError
from .sealing import KEY, PASSPHRASE, Seal

log = logging.getLogger("aauthkit.keys")

CHANNEL: Final = "key-set"
LOOK_AGAIN: Final = 20.0
"""Seconds after which the set is read again without having been woken: well below `PUBLISHED_BEFORE`."""

MIGRATIONS: Final = (
    Migration(
        room="keys",
        version=1,
        statements=("CREATE TABLE key_sets (name TEXT PRIMARY KEY, document TEXT NOT NULL, changed BIGINT NOT NULL)",),
    ),
)


class StoredKeys:
    """The key set `name` of a database, made with a first key where there is none. `open` it, `close` it at the end.

    `seal` is what private keys are sealed under; without one the environment is asked, and without that it is refused:
    whoever has the database must not have the keys. Raises `KeyFileError`, `StoreError`.
    """

    def __init__(
        self,
        name: str,
        database: Database,
        *,
        lifetime: int = LONGEST_LIFETIME,
        seal: Seal | None = None,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.name = name
        self.lifetime = lifetime
        self._database = database
        self._documents = Documents(f"the key set {name}", seal)
        self._clock = clock
        self._random = random_bytes
        self._keys: KeySet | None = None
        self._following: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"StoredKeys({self.name!r})"

    async def open(self, *, make: bool = True) -> StoredKeys:
        """Read the set, or `make` it where there is none, and follow what other replicas change."""
        if self._documents.seal is None:
            raise KeyFileError(
                f"the key set {self.name} is kept in a database, where it has to be sealed: set {PASSPHRASE} or {KEY}"
            )
        await self._database.migrate(MIGRATIONS)
        if make:
            await self._make()
        await self._read()
        if self._following is None:
            self._following = asyncio.create_task(self._follow(), name="aauthkit-key-set")
        return self

    async def close(self) -> None:
        """Stop following; the keys stay as they were read last."""
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.wait({following})

    @property
    def current(self) -> SigningKey:
        """The key that signs now. Raises `RuntimeError` before `open`."""
        key = self._present().current.key
        assert key is not None
        return key

    def jwks(self) -> Mapping[str, Any]:
        """Next, current and previous keys, public parts only."""
        return self._present().jwks()

    def _present(self) -> KeySet:
        if self._keys is None:
            raise RuntimeError("the key set was not opened")
        return self._keys.at(self._clock(), self.lifetime)  # from what was read: a clock may also step back

    def standing(self) -> Sequence[KeyStanding]:
        """Every key that is published now, the newest first."""
        return [standing_of(entry, self.lifetime) for entry in self._present().entries]

    async def rotate(self, *, delay: int = PUBLISHED_BEFORE) -> str:
        """Publish a next key, which signs `delay` seconds from now, and tell its name; the one there is, if one waits.

        Replicas that rotate at once make one key between them.
        """
        now = int(self._clock())
        async with self._database.transaction() as tx:
            row = await tx.fetch_one(
                f"SELECT document FROM key_sets WHERE name = :name{self._database.for_update}", name=self.name
            )
            if row is None:
                raise KeyFileError(f"the database holds no key set {self.name}")
            keys, sealed = self._documents.read(row["document"])
            fresh = SigningKey.generate(self._random, keys.current.public.alg)
            try:
                changed = keys.rotated(fresh, now, delay=delay, lifetime=self.lifetime)
            except ValueError as error:
                raise KeyFileError(f"the key set {self.name}: {error}") from error
            await tx.execute(
                "UPDATE key_sets SET document = :document, changed = :now WHERE name = :name",
                document=self._documents.write(changed, sealed).decode(),
                now=now,
                name=self.name,
            )
            await tx.notify(CHANNEL, self.name)
        self._keys = changed
        assert changed.next is not None
        return changed.next.public.thumbprint

    async def _make(self) -> None:
        seal = self._documents.seal
        assert seal is not None
        now = int(self._clock())
        first = KeySet.first(SigningKey.generate(self._random), now)
        document = await asyncio.to_thread(lambda: self._documents.write(first, seal.fresh(self._random)))
        await self._database.execute(
            """INSERT INTO key_sets (name, document, changed) VALUES (:name, :document, :now)
               ON CONFLICT (name) DO NOTHING""",
            name=self.name,
            document=document.decode(),
            now=now,
        )

    async def _read(self) -> None:
        row = await self._database.fetch_one("SELECT document FROM key_sets WHERE name = :name", name=self.name)
        if row is None:
            raise KeyFileError(f"the database holds no key set {self.name}")
        keys, _ = await asyncio.to_thread(self._documents.read, row["document"])
        self._keys = keys

    async def _follow(self) -> None:
        while True:
            try:
                async with self._database.subscribe(CHANNEL) as subscription:
                    while True:
                        await self._read()
                        await subscription.wait(LOOK_AGAIN)
            except (StoreError, KeyFileError) as error:
                log.error("the key set %s cannot be read, and stays as it was: %s", self.name, error)
            with contextlib.suppress(TimeoutError):
                await asyncio.sleep(1.0)
