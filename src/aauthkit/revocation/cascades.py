"""What a recipient does after it recorded a revocation: revoke downstream, and answer once that has ended.

draft-11 §11.12.3, §11.12.4. A cascade goes on when its caller hangs up, and is joined by a repeat. Where it takes
longer than the connection is held, its end is found at a pending URL, also after a restart.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..deferred import MIGRATIONS as PENDING_TABLES
from ..deferred import Deferred, PendingRequest, Waiting
from ..protocol.headers import parse_wait
from ..protocol.messages import Answer
from ..protocol.problems import Problem
from ..serving import Request
from ..store import Database, StoreError, Transaction
from .outcomes import Downstream, Revocation, finished

log = logging.getLogger("aauthkit.revocation")

HOLD: Final = 20
"""Seconds a revocation is held where the caller names none: one round trip downstream (draft-11 §11.12.3)."""
MAX_HELD: Final = 60
LIFETIME: Final = 3600
"""Seconds a cascade may take; after that its caller reads 408, and may revoke again."""
TAKE_OVER: Final = 60
"""Seconds after which a cascade of a process that may be gone is begun anew where its caller polls."""
KIND: Final = "revocation"

Cascade = Callable[[str, str, int], Awaitable[Sequence[Downstream]]]
"""Revokes downstream what hangs on the token `(iss, jti)` with that `exp`; returns when each has ended.

It is called again for a repeat, and after a crash: what succeeded is not done again, what did not is tried again, and
the outcome is told as it is now. It raises only for a fault of this server's own.
"""


@dataclass(eq=False)
class _Flight:
    """A cascade under way, and the pending requests that wait for its end."""

    task: asyncio.Task[Sequence[Downstream]]
    pending: dict[str, PendingRequest] = field(default_factory=dict)


def _owner(iss: str) -> str:
    """Whom a pending revocation belongs to: the identity that made it; no agent's owner is of this form."""
    return f"server {iss}"


def hold_of(request: Request) -> int:
    """The seconds for which this request is held (RFC 7240 §4.3)."""
    prefer = request.values("prefer")
    if not any("wait" in value.lower() for value in prefer):
        return HOLD
    return min(parse_wait(prefer), MAX_HELD)


class Cascades:
    """The cascades of one server. `reports`: whether the outcome is told to the caller, as an access server does."""

    def __init__(
        self,
        server: str,
        database: Database,
        cascade: Cascade,
        *,
        path: str,
        reports: bool,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._db = database
        self._cascade = cascade
        self._reports = reports
        self._clock = clock
        self._deferred = Deferred(server, database, path=path, clock=clock, random_bytes=random_bytes)
        self._flights: dict[tuple[str, str], _Flight] = {}
        self._settling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Go on with what a process that ended left open."""
        await self._db.migrate(PENDING_TABLES)
        for pending in await self._deferred.open_requests(self._db, KIND):
            self._resume(pending)

    async def close(self) -> None:
        """End what is under way; it is gone on with when this server starts again."""
        running = [*self._settling, *(flight.task for flight in self._flights.values())]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def run(self, request: Request, revocation: Revocation) -> Answer:
        """The answer once the cascade has ended, or 202 where that takes longer than the request is held."""
        flight = self._fly(revocation.iss, revocation.jti, revocation.exp)
        await asyncio.wait({flight.task}, timeout=hold_of(request))
        if flight.task.done() and not flight.task.cancelled():
            return self._answer(_outcome(flight.task))
        if not flight.pending:
            data = {"iss": revocation.iss, "jti": revocation.jti, "exp": revocation.exp}
            async with self._db.transaction() as tx:
                pending = await self._deferred.open(
                    tx, kind=KIND, owner=_owner(revocation.iss), data=data, lifetime=LIFETIME
                )
            self._settle_later(flight, pending)
        return self._deferred.pending_answer(next(iter(flight.pending.values())), Waiting())

    async def poll(self, request: Request, pending_id: str, iss: str) -> Answer:
        """The answer to a poll by the server `iss`; 404 for any but the one that revoked."""
        found = await self._deferred.find(self._db, pending_id)
        if found is None or found.kind != KIND:
            raise Problem("not_found")
        if found.owner == _owner(iss) and found.state == "open" and found.created + TAKE_OVER <= self._clock():
            self._resume(found)
        return await self._deferred.answer_poll(
            request, pending_id, _owner(iss), describe=_nothing_to_do, resolve=self._resolve
        )

    def _resume(self, pending: PendingRequest) -> None:
        """Run the cascade of an open request, unless this process does already."""
        flight = self._fly(pending.data["iss"], pending.data["jti"], pending.data["exp"])
        if pending.id not in flight.pending:
            self._settle_later(flight, pending)

    def _fly(self, iss: str, jti: str, exp: int) -> _Flight:
        name = (iss, jti)
        if name not in self._flights:

            def landed(_task: asyncio.Task[Any]) -> None:
                self._flights.pop(name, None)

            async def run() -> Sequence[Downstream]:
                return await self._cascade(iss, jti, exp)

            self._flights[name] = _Flight(asyncio.create_task(run(), name="aauthkit-cascade"))
            self._flights[name].task.add_done_callback(landed)
        return self._flights[name]

    def _settle_later(self, flight: _Flight, pending: PendingRequest) -> None:
        flight.pending[pending.id] = pending
        settling = asyncio.create_task(self._settle(flight.task, pending), name="aauthkit-cascade-end")
        self._settling.add(settling)
        settling.add_done_callback(self._settling.discard)

    async def _settle(self, task: asyncio.Task[Sequence[Downstream]], pending: PendingRequest) -> None:
        """Put the end of a cascade on record, for the next poll."""
        await asyncio.wait({task})
        if task.cancelled():
            return
        try:
            async with self._db.transaction() as tx:
                await self._deferred.decide(tx, pending.id, _outcome(task))
        except Problem:
            return  # another process settled it, or its time was over
        except StoreError as error:
            log.error("the end of a cascade was not recorded, a poll begins it anew: %s", error)
            return
        await self._deferred.wake(pending)

    async def _resolve(self, pending: PendingRequest, _tx: Transaction) -> Answer:
        assert pending.outcome is not None
        return self._answer(pending.outcome)

    def _answer(self, outcome: Mapping[str, Any]) -> Answer:
        if "error" in outcome:
            return Problem("server_error").answer()
        downstream = [Downstream(each["recipient"], each.get("error")) for each in outcome["downstream"]]
        return finished(downstream if self._reports else ())


def _outcome(task: asyncio.Task[Sequence[Downstream]]) -> dict[str, Any]:
    """How a cascade ended, as it is kept."""
    error = task.exception()
    if error is not None:
        log.error("a cascade failed", exc_info=error)
        return {"error": "server_error"}
    return {"downstream": [entry.document() for entry in task.result()]}


async def _nothing_to_do(_pending: PendingRequest) -> Waiting:
    return Waiting()
