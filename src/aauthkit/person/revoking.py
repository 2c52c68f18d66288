"""What ends with a token or with a person's word: tokens of ours that rest on it, and requests that wait under it.

draft-11 §11.12.4. Each step is part of the transaction that records why. A token that ended here is refused where it is
presented to this server (`revoked_presented_token`), and its resource is told: the word to it is put into the outbox in
the same transaction, and delivered until it arrives or the token has expired.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from ..audit import AuditLog
from ..deferred import PendingRequest
from ..protocol.problems import Problem
from ..protocol.tokens import AGENT_DWK, RESOURCE_DWK
from ..revocation import Downstream, Revocation, RevocationOutbox
from ..store import Database, Transaction
from . import consents, missions, noes, records
from .asked import Asked
from .consents import Decision
from .missions import OwnMission, Reason
from .questions import Questions, Which

NOBODY: Final = ""
"""In place of the `sub` of an agent token that was revoked before it was ever shown here."""
WHY: Final[Mapping[Which, str]] = {
    "agent_token": "the agent token it was asked with was revoked by the agent's provider",
    "resource_token": "the resource token it was asked with was withdrawn by its resource",
    "presented_token": "the presented token it was asked with was revoked",
    "mission": "the mission it belongs to was ended",
    "agent": "the person stopped the agent",
    "errand": "the resource could not finish what it needed of the person",
    "person": "the account of the person it acts for was switched off",
}
"""What the agent reads beside `revoked` (draft-11 §11.9.4)."""


class Revoking:
    """Carries revocations and take-backs through the records of one person server."""

    def __init__(
        self,
        database: Database,
        questions: Questions,
        outbox: RevocationOutbox,
        audit: AuditLog,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._questions = questions
        self._outbox = outbox
        self._audit = audit
        self._clock = clock

    async def cascade(self, iss: str, jti: str, _exp: int) -> Sequence[Downstream]:
        """Tell the resources of what ended with this agent token, and return when each has ended (§11.12.3)."""
        sub = await records.agent_of_token(self._database, iss, jti)
        if not sub:
            return ()
        tokens = await records.ended_tokens(self._database, iss, sub, int(self._clock()))
        return await self._outbox.finish({(one.aud, one.jti) for one in tokens})

    async def revoked(self, tx: Transaction, revocation: Revocation) -> None:
        """What changes with a revocation that arrived: the effect of the revocation endpoint (draft-11 §11.12.4)."""
        now = int(self._clock())
        self._audit.note(tx, "revocation", received=revocation.jti, iss=revocation.iss, exp=revocation.exp)
        if revocation.dwk == AGENT_DWK:
            await self._agent_token(tx, revocation, now)
        else:
            await self._resource_token(tx, revocation, now)

    async def _agent_token(self, tx: Transaction, revocation: Revocation, now: int) -> None:
        """By agent identity: whatever was issued to its `sub` ends; the person it acts for stays its person.

        The token's own record is claimed first: an answer that is under way with it is waited for, and one that begins
        now waits for this, and finds it revoked.
        """
        await records.note_agent_token(tx, revocation.iss, revocation.jti, NOBODY, revocation.exp)
        sub = await records.agent_of_token(tx, revocation.iss, revocation.jti)
        if sub in (None, NOBODY):
            return
        assert sub is not None
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
            self._audit.note(tx, "decision", id=decision, kind=place.kind, verdict="taken back", by=f"person {person}")
            await noes.note(tx, place, taken.standing.granted, now)
            await self.withdraw(tx, place.agent_iss, place.agent_sub, [decision], now)
        return found

    async def withdraw(
        self, tx: Transaction, agent_iss: str, agent_sub: str, decisions: Collection[str], now: int
    ) -> None:
        """End the tokens that rest on decisions which the person undid."""
        await self._end(tx, agent_iss, agent_sub, now, decisions=decisions)

    async def stop(self, tx: Transaction, person: str, agent_iss: str, agent_sub: str, now: int) -> None:
        """Stop an agent of this person's: nothing it has or asks is good any more, until it is started again.

        Raises `Problem` 404 for an agent that is not theirs.
        """
        await self._check_theirs(tx, person, agent_iss, agent_sub)
        await records.stop(tx, agent_iss, agent_sub, person, now)
        self._audit.note(tx, "agent", agent=agent_sub, provider=agent_iss, person=person, became="stopped")
        await self._end(tx, agent_iss, agent_sub, now, everything="agent")

    async def start(self, tx: Transaction, person: str, agent_iss: str, agent_sub: str) -> None:
        """Let a stopped agent ask again. Raises `Problem` 404 for an agent that is not theirs."""
        await self._check_theirs(tx, person, agent_iss, agent_sub)
        await records.start(tx, agent_iss, agent_sub, person)
        self._audit.note(tx, "agent", agent=agent_sub, provider=agent_iss, person=person, became="started")

    async def release(self, tx: Transaction, person: str, agent_iss: str, agent_sub: str, now: int) -> None:
        """Undo the binding of an agent to this person: it may be bound anew, by whoever agrees to it (§13.14).

        What it has ends, and so do its missions and what was allowed. Raises `Problem` 404 as `stop`.
        """
        await self._check_theirs(tx, person, agent_iss, agent_sub)
        await self._end(tx, agent_iss, agent_sub, now, everything="agent")
        for mission in await missions.running_of(tx, agent_iss, agent_sub):
            await missions.end(tx, mission.s256, "revoked", now)
        await consents.close_all(tx, person, agent_iss, agent_sub, now)
        await records.start(tx, agent_iss, agent_sub, person)
        await records.unbind(tx, agent_iss, agent_sub)
        self._audit.note(tx, "agent", agent=agent_sub, provider=agent_iss, person=person, became="released")

    async def switched(self, tx: Transaction, person: str, disabled: bool) -> None:
        """The account of a person was switched off, or on again: whatever their agents have ends with it.

        What they allowed and their missions stand, for when they come back; until then nobody acts on them.
        """
        now = int(self._clock())
        self._audit.note(tx, "person", person=person, became="switched off" if disabled else "switched on")
        for agent_iss, agent_sub in await records.agents_of(tx, person) if disabled else []:
            await self._end(tx, agent_iss, agent_sub, now, everything="person")

    async def _check_theirs(self, tx: Transaction, person: str, agent_iss: str, agent_sub: str) -> None:
        if await records.person_of(tx, agent_iss, agent_sub) != person:
            raise Problem("not_found")

    async def end_mission(self, tx: Transaction, person: str, s256: str, reason: Reason, now: int) -> OwnMission:
        """End a mission of this person's, with the tokens issued under it and what waits for it (§8.6, §11.12.4).

        Raises `Problem` 404 for one that is not theirs. One that has ended stays as it ended.
        """
        mission = await missions.one_of_person(tx, person, s256)
        if mission is None:
            raise Problem("not_found")
        # Before the mission, as everywhere.
        await self._questions.hold(tx, mission.agent_iss, mission.agent_sub, now)
        if await missions.end(tx, s256, reason, now):
            self._audit.note(tx, "mission", mission=s256, person=person, became="ended", reason=reason)
            await self.after_mission(tx, mission, now)
        return mission

    async def after_mission(self, tx: Transaction, mission: OwnMission, now: int) -> None:
        """What ends with a mission that has just ended."""
        await self._end(tx, mission.agent_iss, mission.agent_sub, now, mission=mission.s256)

    async def _end(
        self,
        tx: Transaction,
        agent_iss: str,
        agent_sub: str,
        now: int,
        *,
        agent_jti: str | None = None,
        decisions: Collection[str] | None = None,
        mission: str | None = None,
        everything: Which | None = None,
    ) -> None:
        """End tokens of an agent's, and what waits under them or with them.

        Those that rest on one of `decisions`, or belong to `mission`, if given; else all. What waits ends as well where
        it was asked with the agent token `agent_jti`, belongs to `mission`, or if it is `everything`.
        """
        waiting = await self._questions.waiting_of(tx, agent_iss, agent_sub, now)
        await records.hold_agent(tx, agent_iss, agent_sub, self._database.for_update)
        live = await records.live_tokens(tx, agent_iss, agent_sub, now)
        if decisions is not None:
            live = [one for one in live if not set(decisions).isdisjoint(one.decisions)]
        if mission is not None:
            live = [one for one in live if one.mission == mission]
        await records.revoke(tx, sorted(one.jti for one in live), now)
        for one in live:
            await self._outbox.put(tx, one.aud, RESOURCE_DWK, one.jti, one.exp)
        if live:
            self._audit.note(tx, "revocation", agent=agent_sub, ended=sorted(one.jti for one in live))
        ended = {one.jti for one in live}
        for pending in waiting:
            asked = Asked.read(pending.data)
            if everything is not None:
                await self._questions.call_off(tx, pending, everything)
            elif mission is not None and asked.mission == mission and not _ends_it(pending, asked):
                await self._questions.call_off(tx, pending, "mission")
            elif agent_jti is not None and asked.bounds.agent_jti == agent_jti:
                await self._questions.call_off(tx, pending, "agent_token")
            elif asked.bounds.presented_jti in ended:
                await self._questions.call_off(tx, pending, "presented_token")


def _ends_it(pending: PendingRequest, asked: Asked) -> bool:
    """Whether this is the completion by which the mission has just ended (draft-11 §8.5)."""
    return asked.kind == "completion" and pending.state == "decided"
