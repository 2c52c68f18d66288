"""Session tokens: a resource's own credential, for its own consumption (draft-11 §6.3).

A token names a session that is on record, and is good only together with a signature by whoever it was bound to. A new
value replaces the one before it, which stays good for a minute, since requests may be under way with it.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..callers import Caller, Delegate, Session
from ..protocol.jose import b64url_encode
from ..store import Database, Row, Transaction
from .holders import Binding, binding_of, read_binding
from .sealing import NotSealedHere, Secrets

SESSION_LIFETIME: Final = 30 * 24 * 3600
"""Seconds a session lasts unless the resource says otherwise, however often its token was replaced."""
REPLACED_GOOD_FOR: Final = 60
"""Seconds for which a value that was replaced is still taken."""
ACCESS: Final = "aauth-access"
"""The response field that carries a session token."""


class SessionRefused(Exception):
    """A session token that opens nothing for who presented it. The message says why, and holds nothing of it."""


@dataclass(frozen=True, slots=True)
class SessionGrant:
    """What the resource grants with a session: its own `subject`, the scope, and whatever else it wants to know again.

    `claims` is JSON. A handler reads them all from its `Session`.
    """

    subject: str
    scope: frozenset[str] = frozenset()
    account: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def text(self) -> str:
        """As it is kept in a record."""
        content = {"subject": self.subject, "scope": sorted(self.scope), "account": self.account}
        return json.dumps({**content, "claims": dict(self.claims)})


def read_grant(text: str) -> SessionGrant:
    """A grant from its record."""
    content = json.loads(text)
    return SessionGrant(content["subject"], frozenset(content["scope"]), content["account"], content["claims"])


@dataclass(frozen=True, slots=True)
class Presented:
    """A session that a request has, and the value that replaces its token, where there is one."""

    session: Session
    replacement: str | None = field(default=None, repr=False)


class Sessions:
    """The sessions of `resource`; `lifetime` is in seconds."""

    def __init__(
        self,
        resource: str,
        database: Database,
        *,
        lifetime: int = SESSION_LIFETIME,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._resource = resource
        self._db = database
        self._lifetime = lifetime
        self._clock = clock
        self._random = random_bytes
        self._secrets = Secrets(resource, keep=lifetime, clock=clock, random_bytes=random_bytes)

    async def refresh(self) -> None:
        """Have a secret at hand that seals. Call before a transaction in which a session is opened."""
        await self._secrets.refresh(self._db)

    async def open(self, tx: Transaction, binding: Binding, grant: SessionGrant) -> str:
        """Put a session of whoever `binding` says on record, and give its identifier. `refresh` comes first."""
        now = int(self._clock())
        await tx.execute(
            "DELETE FROM resource_sessions WHERE resource = :resource AND expires <= :now",
            resource=self._resource,
            now=now,
        )
        session_id = b64url_encode(self._random(16))
        await tx.execute(
            """INSERT INTO resource_sessions (id, resource, binding, content, serial, renewed, used, expires)
               VALUES (:id, :resource, :binding, :content, 1, :now, 0, :expires)""",
            id=session_id,
            resource=self._resource,
            binding=binding.text(),
            content=grant.text(),
            now=now,
            expires=now + self._lifetime,
        )
        return session_id

    async def open_for(self, caller: Caller, grant: SessionGrant) -> str:
        """A new session of `caller`, as its session token."""
        await self.refresh()
        async with self._db.transaction() as tx:
            session_id = await self.open(tx, binding_of(caller), grant)
        return self.token(session_id)

    def token(self, session_id: str, serial: int = 1) -> str:
        """The session token of a session at that serial: what `AAuth-Access` carries."""
        return self._secrets.seal(json.dumps([session_id, serial]).encode())

    async def present(self, token: str, caller: Caller) -> Presented:
        """The session that `token` opens for `caller`, who signed the request with it. Raises `SessionRefused`."""
        await self.refresh()
        session_id, serial, fresh = await self._unseal(token)
        row = await self._find(session_id)
        self._check_serial(row, serial)
        presented = self._session(row, token, caller)
        if not row["used"]:
            await self._db.execute("UPDATE resource_sessions SET used = 1 WHERE id = :id", id=session_id)
        if serial < row["serial"]:
            return Presented(presented, self.token(session_id, row["serial"]))  # its replacement may have been lost
        return Presented(presented, None if fresh else await self._renew(session_id, serial))

    async def recover(self, session_id: str, caller: Caller) -> Presented:
        """A session whose token was given out and never came back: it was lost on its way. Raises `SessionRefused`."""
        await self.refresh()
        row = await self._find(session_id)
        if row["used"]:
            raise SessionRefused("its token was presented already")
        token = self.token(session_id, row["serial"])
        return Presented(self._session(row, token, caller), token)

    async def _unseal(self, token: str) -> tuple[str, int, bool]:
        try:
            try:
                content, fresh = self._secrets.unseal(token)
            except NotSealedHere as error:
                if not error.unknown or not await self._secrets.look_again(self._db):
                    raise
                content, fresh = self._secrets.unseal(token)
        except NotSealedHere as error:
            raise SessionRefused(str(error)) from error
        session_id, serial = json.loads(content)
        return session_id, serial, fresh

    async def _find(self, session_id: str) -> Row:
        row = await self._db.fetch_one(
            "SELECT * FROM resource_sessions WHERE id = :id AND resource = :resource",
            id=session_id,
            resource=self._resource,
        )
        if row is None or row["expires"] <= self._clock():
            raise SessionRefused("the session has ended")
        return row

    def _check_serial(self, row: Row, serial: int) -> None:
        if serial == row["serial"]:
            return
        if serial == row["serial"] - 1 and self._clock() < row["renewed"] + REPLACED_GOOD_FOR:
            return
        raise SessionRefused("the token was replaced by a newer one")

    def _session(self, row: Row, token: str, caller: Caller) -> Session:
        if isinstance(caller, Session | Delegate) or not read_binding(row["binding"]).holds(caller):
            raise SessionRefused("the token was given to somebody else")
        grant = read_grant(row["content"])
        return Session(
            row["id"], grant.subject, caller, token, row["expires"], grant.scope, grant.account, grant.claims
        )

    async def _renew(self, session_id: str, serial: int, grant: SessionGrant | None = None) -> str:
        """The next value. Of two that replace the same one at once, the later gives out what the earlier made."""
        row = await self._db.fetch_one(
            """UPDATE resource_sessions SET serial = serial + 1, renewed = :now, content = COALESCE(:content, content)
               WHERE id = :id AND serial = :serial RETURNING serial""",
            now=int(self._clock()),
            content=grant.text() if grant is not None else None,
            id=session_id,
            serial=serial,
        )
        current = row or await self._find(session_id)
        return self.token(session_id, current["serial"])

    async def replace(self, session: Session, grant: SessionGrant) -> str:
        """The next value of a session, which from now on grants this. Raises `SessionRefused` where it has ended."""
        await self.refresh()
        row = await self._find(session.id)
        return await self._renew(session.id, row["serial"], grant)

    async def end(self, session_id: str) -> None:
        """End a session: its token opens nothing any more, in no replica."""
        await self._db.execute(
            "DELETE FROM resource_sessions WHERE id = :id AND resource = :resource",
            id=session_id,
            resource=self._resource,
        )
