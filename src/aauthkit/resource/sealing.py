"""Session tokens as bytes: sealed under the resource's own secret, which rotates (draft-11 §6.3).

A token says nothing to whoever holds it, and cannot be made or changed without the secret. It is a token68. The secrets
are in the resource's store, so that every replica and every restart opens what another one sealed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..protocol.jose import JoseError, b64url_decode, b64url_encode
from ..store import Database

ROTATE_AFTER: Final = 24 * 3600
"""Seconds for which a secret seals; it opens what it sealed for as long as a session may last."""
LOOK_AGAIN: Final = 1.0
"""Seconds between two looks for a secret that is not known here."""
MAX_SEALED: Final = 8192
"""Longest token that is looked at, in characters."""
_VERSION: Final = b"\x01"
_ID, _NONCE, _SECRET = 8, 12, 32


class NotSealedHere(Exception):
    """A value that no secret of this resource sealed. `unknown`: it names a secret that may be another replica's."""

    def __init__(self, *, unknown: bool = False) -> None:
        super().__init__("not sealed by this resource")
        self.unknown = unknown


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret; `created` is in seconds since the epoch."""

    id: bytes
    secret: bytes = field(repr=False)
    created: int


class Secrets:
    """The secrets of `resource`. `keep` is how long a secret must open what it sealed, in seconds."""

    def __init__(
        self,
        resource: str,
        *,
        keep: int,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._resource = resource
        self._keep = keep
        self._clock = clock
        self._random = random_bytes
        self._known: dict[bytes, Secret] = {}
        self._current: Secret | None = None
        self._looked = 0.0

    async def refresh(self, database: Database) -> None:
        """Make sure that a secret is at hand which seals now: that of the store, else a new one."""
        if self._current is None or self._current.created + ROTATE_AFTER <= self._clock():
            await self._rotate(database)
            await self._load(database)

    async def look_again(self, database: Database) -> bool:
        """Read the store for secrets of other replicas; at most once a second, whatever is presented."""
        now = self._clock()
        if now < self._looked + LOOK_AGAIN:
            return False
        await self._load(database)
        return True

    async def _rotate(self, database: Database) -> None:
        now = int(self._clock())
        async with database.transaction() as tx:
            row = await tx.fetch_one(
                "SELECT max(created) AS newest FROM resource_secrets WHERE resource = :resource",
                resource=self._resource,
            )
            newest = row["newest"] if row is not None else None
            if newest is not None and newest + ROTATE_AFTER > now:
                return
            await tx.execute(
                "DELETE FROM resource_secrets WHERE resource = :resource AND created < :before",
                resource=self._resource,
                before=now - ROTATE_AFTER - self._keep,
            )
            await tx.execute(
                "INSERT INTO resource_secrets (resource, id, secret, created) VALUES (:resource, :id, :secret, :now)",
                resource=self._resource,
                id=b64url_encode(self._random(_ID)),
                secret=b64url_encode(self._random(_SECRET)),
                now=now,
            )

    async def _load(self, database: Database) -> None:
        self._looked = self._clock()
        rows = await database.fetch_all(
            "SELECT id, secret, created FROM resource_secrets WHERE resource = :resource",
            resource=self._resource,
        )
        read = [Secret(b64url_decode(row["id"]), b64url_decode(row["secret"]), row["created"]) for row in rows]
        self._known = {secret.id: secret for secret in read}
        self._current = max(read, key=lambda secret: (secret.created, secret.id), default=None)

    def seal(self, content: bytes) -> str:
        """`content` as a token68. `refresh` comes first."""
        assert self._current is not None, "refresh() comes first"
        nonce = self._random(_NONCE)
        head = _VERSION + self._current.id
        sealed = AESGCM(self._current.secret).encrypt(nonce, content, self._bound_to(head))
        return b64url_encode(head + nonce + sealed)

    def unseal(self, token: str) -> tuple[bytes, bool]:
        """The content of `token`, and whether the secret that sealed it seals still. Raises `NotSealedHere`."""
        try:
            raw = b64url_decode(token) if len(token) <= MAX_SEALED else b""
        except JoseError as error:
            raise NotSealedHere from error
        head, nonce, sealed = raw[: 1 + _ID], raw[1 + _ID : 1 + _ID + _NONCE], raw[1 + _ID + _NONCE :]
        if len(nonce) != _NONCE or head[:1] != _VERSION:
            raise NotSealedHere
        secret = self._known.get(head[1:])
        if secret is None:
            raise NotSealedHere(unknown=True)
        try:
            content = AESGCM(secret.secret).decrypt(nonce, sealed, self._bound_to(head))
        except InvalidTag as error:
            raise NotSealedHere from error
        return content, secret is self._current

    def _bound_to(self, head: bytes) -> bytes:
        """What is authenticated beside the content: a token of one resource is none at another with the same store."""
        return b"aauth-session\0" + self._resource.encode() + b"\0" + head
