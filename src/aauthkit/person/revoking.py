"""What ends with a token or with a person's word: tokens of ours that rest on it, and requests that wait under it.

draft-11 §11.12.4. Each step is part of the transaction that records why. A token that ended here is refused where it is
presented to this server (`revoked_presented_token`); its resource takes it until its `exp`, or until it is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

from ..protocol.tokens import AGENT_DWK
from ..revocation import Revocation
from ..store import Transaction
from . import consents, records
from .asked import Asked
from .consents import Decision
from .questions import Questions, Which

WHY: Final[Mapping[Which, str]] = {
    "agent_token": "the agent token it was asked with was revoked by the agent's provider",
    "resource_token": "the resource token it was asked with was withdrawn by its resource",
    "presented_token": "the presented token it was asked with was revoked",
    "mission": "the mission it belongs to was ended",
    "agent": "the person stopped the agent",
}
"""What the agent reads beside `revoked` (draft-11 §11.9.4)."""


class Revoking:
    """Carries revocations and take-backs through the records of one person server."""

    def __init__(self, questions: Questions, *, clock: Callable[[], float] = time.time) -> None:
        self._questions = questions
        self._clock = clock

    async def revoked(self, tx: Transaction, revocation: Revocation) -> None:
        """What changes with a revocation that arrived: the effect of the revocation endpoint (draft-11 §11.12.4)."""
        now = int(self._clock())
        if revocation.dwk == AGENT_DWK:
            await self._agent_token(tx, revocation, now)
        else:
            await self._resource_token(tx, revocation, now)

    async def _agent_token(self, tx: Transaction, revocation: Revocation, now: int) -> None:
        """By agent identity: whatever was issued to its `sub` ends; the person it acts for stays its person."""
        sub = await records.agent_of_token(tx, revocation.iss, revocation.jti)
        if sub is None:
            return
        await self._end(tx, revocation.iss, sub, now, agent_jti=revocation.jti)

    async def _resource_token(self, tx: Transaction, revocation: Revocation, now: int) -> None:
        brought = await records.find_brought(tx, revocation.iss, revocation.jti)
        if brought is None or brought.pending is None:
            return
        pending = await self._questions.locked(tx, brought.pending)
        if pending is not None and Asked.read(pending.data).bounds.resource_jti == revocation.jti:
            await self._questions.call_off(tx, pending, "resource_token")

    async def take_back(self, tx: Transaction, person: str, decision: str, now: int) -> Decision | None:
        """End a decision of this person's, and what rests on it; `None` where there is none such.

        One that is over already stays as it is.
        """
        found = await consents.find(tx, person, decision)
        if found is None:
            return None
        place = found.place
        await self._questions.hold(tx, place.agent_iss, place.agent_sub, now)  # before the decision, as everywhere
        taken = await consents.take_back(tx, person, decision, now)
        if taken is not None:
            await self.withdraw(tx, place.agent_iss, place.agent_sub, [decision], now)
        return found

    async def withdraw(
        self, tx: Transaction, agent_iss: str, agent_sub: str, decisions: Collection[str], now: int
    ) -> None:
        """End the tokens that rest on decisions which the person undid."""
        await self._end(tx, agent_iss, agent_sub, now, decisions=decisions)

    async def _end(
        self,
        tx: Transaction,
        agent_iss: str,
        agent_sub: str,
        now: int,
        *,
        agent_jti: str | None = None,
        decisions: Collection[str] | None = None,
    ) -> None:
        """End an agent's tokens (those that rest on one of `decisions`, if given), and what waits under one of them."""
        waiting = await self._questions.waiting_of(tx, agent_iss, agent_sub, now)
        live = await records.live_tokens(tx, agent_iss, agent_sub, now)
        ended = {one.jti for one in live if decisions is None or not set(decisions).isdisjoint(one.decisions)}
        await records.revoke(tx, sorted(ended), now)
        for pending in waiting:
            bounds = Asked.read(pending.data).bounds
            if agent_jti is not None and bounds.agent_jti == agent_jti:
                await self._questions.call_off(tx, pending, "agent_token")
            elif bounds.presented_jti in ended:
                await self._questions.call_off(tx, pending, "presented_token")
