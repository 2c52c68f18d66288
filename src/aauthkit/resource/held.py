"""A held call as it is kept: what is needed to run it, and how it ended (draft-11 §6.5.1)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from ..protocol.messages import Answer, HeaderList
from ..store import Database, Row, Transaction
from .holders import Binding, read_binding
from .records import KEPT_AFTER_END

State = Literal["held", "running", "done", "ended"]

MAX_CALL: Final = 64 * 1024
"""Largest body that is held, in bytes; a larger one gets the 401 delivery."""
MAX_FIELDS: Final = 32 * 1024
"""Most that the fields of a held call may take, in characters."""
MAX_RESULT: Final = 1024 * 1024
"""Largest answer that is kept, in bytes."""

_NOT_HELD: Final = frozenset(
    {
        "signature",
        "signature-input",
        "signature-key",
        "aauth-capabilities",
        "prefer",
        "expect",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "traceparent",
        "tracestate",
    }
)
_NOT_KEPT: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})


@dataclass(frozen=True, slots=True)
class HeldCall:
    """A request as it will be run. `target` is as its sender wrote it; `place` is the adapter's own, and JSON."""

    method: str
    target: str
    headers: HeaderList = field(repr=False)
    body: bytes = field(repr=False)
    place: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def held(self) -> HeldCall:
        """Without what belonged to the message and not to the request: its signature, and the hop it came over."""
        kept = [(name, value) for name, value in self.headers if name not in _NOT_HELD]
        if self.body or self.method not in ("GET", "HEAD"):
            kept.append(("content-length", str(len(self.body))))
        return replace(self, headers=tuple(kept))

    def text(self) -> str:
        """As it is kept in a record."""
        body = base64.b64encode(self.body).decode()
        return json.dumps([self.method, self.target, self.headers, body, dict(self.place)])


def read_call(text: str) -> HeldCall:
    """A call from its record."""
    method, target, headers, body, place = json.loads(text)
    return HeldCall(method, target, tuple((name, value) for name, value in headers), base64.b64decode(body), place)


def kept_result(answer: Answer) -> str:
    """An answer as it is kept in a record."""
    headers = [(name, value) for name, value in answer.headers if name not in _NOT_KEPT]
    return json.dumps([answer.status, headers, base64.b64encode(answer.body).decode()])


def read_result(text: str) -> Answer:
    """An answer from its record."""
    status, headers, body = json.loads(text)
    return Answer(status, tuple((name, value) for name, value in headers), base64.b64decode(body))


@dataclass(frozen=True, slots=True)
class Held:
    """A held call on record. `presented` are the `jti` of the tokens that its resource tokens named.

    `asked_until` is when the last resource token lapses, `seen` when its runner last said that it lives, both in
    seconds since the epoch. `expires` ends the wait, or the time for which the result is kept.
    """

    id: str = field(repr=False)
    binding: Binding
    state: State
    call: HeldCall = field(repr=False)
    account: str | None
    presented: tuple[str, ...]
    asked_until: int
    token: tuple[str, str] | None
    result: Answer | None = field(repr=False)
    runner: str | None
    seen: int
    expires: int


_NOTHING: Final = HeldCall("", "", (), b"")


def _read(row: Row) -> Held:
    return Held(
        id=row["id"],
        binding=read_binding(row["binding"]),
        state=row["state"],
        call=read_call(row["call"]) if row["call"] else _NOTHING,
        account=row["account"],
        presented=tuple(json.loads(row["presented"])),
        asked_until=row["asked_until"],
        token=(row["token_iss"], row["token_jti"]) if row["token_jti"] is not None else None,
        result=read_result(row["result"]) if row["result"] is not None else None,
        runner=row["runner"],
        seen=row["seen"],
        expires=row["expires"],
    )


class HeldRecords:
    """The held calls of one resource, as SQL."""

    def __init__(self, resource: str, for_update: str) -> None:
        self._resource = resource
        self._for_update = for_update

    async def room(self, tx: Transaction, binding: Binding, now: int) -> tuple[int, int]:
        """How many calls and results of this caller are kept, and how many calls of all are held."""
        row = await tx.fetch_one(
            """SELECT count(*) AS every_one,
                      (SELECT count(*) FROM resource_held WHERE resource = :resource AND binding = :binding
                                                                AND expires > :now AND state <> 'ended') AS mine
               FROM resource_held WHERE resource = :resource AND state = 'held' AND expires > :now""",
            resource=self._resource,
            binding=binding.text(),
            now=now,
        )
        assert row is not None
        return row["mine"], row["every_one"]

    async def add(
        self,
        tx: Transaction,
        held_id: str,
        binding: Binding,
        call: HeldCall,
        *,
        account: str | None,
        presented: str,
        asked_until: int,
        now: int,
        expires: int,
    ) -> None:
        """Put a call on record as held."""
        await tx.execute(
            """INSERT INTO resource_held (id, resource, binding, state, call, account, presented, asked_until, seen,
                                          created, expires)
               VALUES (:id, :resource, :binding, 'held', :call, :account, :presented, :asked_until, :now, :now,
                       :expires)""",
            id=held_id,
            resource=self._resource,
            binding=binding.text(),
            call=call.text(),
            account=account,
            presented=json.dumps([presented]),
            asked_until=asked_until,
            now=now,
            expires=expires,
        )

    async def forget(self, tx: Transaction, now: int) -> None:
        """Drop the content of what is over, and after a day its record."""
        await tx.execute(
            """UPDATE resource_held SET state = 'ended', call = '', result = NULL
               WHERE resource = :resource AND expires <= :now AND state = 'done'""",
            resource=self._resource,
            now=now,
        )
        await tx.execute(
            "DELETE FROM resource_held WHERE resource = :resource AND expires <= :before",
            resource=self._resource,
            before=now - KEPT_AFTER_END,
        )

    async def find(self, database: Database, held_id: str) -> Held | None:
        """The held call with this pending URL."""
        row = await database.fetch_one(
            "SELECT * FROM resource_held WHERE id = :id AND resource = :resource", id=held_id, resource=self._resource
        )
        return _read(row) if row is not None else None

    async def lock(self, tx: Transaction, held_id: str) -> Held | None:
        """As `find`, holding the record until the transaction ends."""
        row = await tx.fetch_one(
            f"SELECT * FROM resource_held WHERE id = :id AND resource = :resource{self._for_update}",
            id=held_id,
            resource=self._resource,
        )
        return _read(row) if row is not None else None

    async def asked(self, tx: Transaction, held: Held, presented: str, asked_until: int) -> None:
        """A fresh resource token was made, which names the token `presented`."""
        await tx.execute(
            "UPDATE resource_held SET presented = :presented, asked_until = :asked_until WHERE id = :id",
            presented=json.dumps([*held.presented, presented]),
            asked_until=asked_until,
            id=held.id,
        )

    async def start(
        self, database: Database, held_id: str, token: tuple[str, str], runner: str, now: int, expires: int
    ) -> bool:
        """From here on the call may have run. False where it had begun, or ended, before."""
        return bool(
            await database.execute(
                """UPDATE resource_held SET state = 'running', token_iss = :iss, token_jti = :jti, runner = :runner,
                                            seen = :now, expires = :expires
                   WHERE id = :id AND state = 'held'""",
                iss=token[0],
                jti=token[1],
                runner=runner,
                now=now,
                expires=expires,
                id=held_id,
            )
        )

    async def beat(self, database: Database, held_id: str, runner: str, now: int) -> None:
        """Its runner lives."""
        await database.execute(
            "UPDATE resource_held SET seen = :now WHERE id = :id AND runner = :runner AND state = 'running'",
            now=now,
            id=held_id,
            runner=runner,
        )

    async def finish(self, tx: Database | Transaction, held_id: str, runner: str | None, answer: Answer) -> bool:
        """The call has ended with `answer`. False where somebody else wrote its end before."""
        return bool(
            await tx.execute(
                """UPDATE resource_held SET state = 'done', call = '', result = :result
                   WHERE id = :id AND runner = :runner AND state = 'running'""",
                result=kept_result(answer),
                id=held_id,
                runner=runner,
            )
        )

    async def end(self, tx: Transaction, held: Held, expires: int) -> None:
        """It ends without having run; its pending URL answers 410 from now on."""
        await tx.execute(
            """UPDATE resource_held SET state = 'ended', call = '', result = NULL, expires = :expires
               WHERE id = :id""",
            expires=expires,
            id=held.id,
        )
