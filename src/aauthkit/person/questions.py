"""The questions that wait for a person, with the resource tokens that agents bring for them.

The queue itself is `decisions`; here is what a person server adds: the same resource token brought again leads to the
request it waits in, also where another took its place since.
"""

from __future__ import annotations

from ..decisions import LIFETIME, MAX_OPEN, Collided, Decisions, Which, waits
from ..decisions import Question as AnyQuestion
from ..deferred import Deferred, PendingRequest
from ..store import Database, Transaction
from . import records
from .asked import Asked

Question = AnyQuestion[Asked]


class Questions(Decisions[Asked]):
    """The questions of one person server."""

    def __init__(self, database: Database, deferred: Deferred, *, lifetime: int, max_open: int = MAX_OPEN) -> None:
        super().__init__(database, deferred, Asked.read, lifetime=lifetime, max_open=max_open)

    async def ask(
        self, tx: Transaction, asked: Asked, owner: str, person: str | None, now: int, *, prompted: bool = False
    ) -> PendingRequest:
        """As `open`, for a request that may have come with a resource token. `prompted`: with `prompt=consent`."""
        pending = await self._rejoin(tx, asked, owner, now)
        if pending is None:
            pending = await self.open(tx, asked, owner, person, now)
        await self._note_token(tx, asked, pending, prompted=prompted)
        return pending

    async def substitute(self, tx: Transaction, pending: PendingRequest, asked: Asked) -> None:
        """As in every queue; the resource token that came with it waits here from now on."""
        await super().substitute(tx, pending, asked)
        await self._note_token(tx, asked, pending)

    async def _note_token(
        self, tx: Transaction, asked: Asked, pending: PendingRequest, *, prompted: bool = False
    ) -> None:
        bounds = asked.bounds
        if bounds.resource_jti is not None and bounds.resource_exp is not None:
            await records.note_waiting(
                tx, asked.resource, bounds.resource_jti, bounds.resource_exp, pending=pending.id, prompted=prompted
            )

    async def _rejoin(self, tx: Transaction, asked: Asked, owner: str, now: int) -> PendingRequest | None:
        """The request that this very resource token waits in."""
        if asked.bounds.resource_jti is None:
            return None
        brought = await records.find_brought(tx, asked.resource, asked.bounds.resource_jti)
        if brought is None or brought.pending is None:
            return None
        pending = await self._deferred.lock(tx, brought.pending)
        return pending if pending is not None and pending.owner == owner and waits(pending, now) else None


__all__ = ["LIFETIME", "Collided", "Question", "Questions", "Which"]
