"""What a yes changes beside itself, by kind of question: missions come into being, go on, and end (draft-11 §8).

Each effect is part of the transaction that records the decision, and yields what the pending request keeps as outcome,
from which the agent's answer is made when it comes for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..audit import AuditLog
from ..protocol.jose import b64url_encode
from ..protocol.missions import MAX_BLOB, Tool, mission_s256, write_blob
from ..protocol.problems import Problem
from ..store import Transaction
from . import consents, logbook, missions
from .about import Action, MissionCompletion, MissionProposal, MissionUpdate, Query
from .asked import Asked
from .consent import IDENTITY, Standing
from .limits import MEMBER
from .missions import OwnMission
from .records import Place
from .revoking import Revoking

APPROVED: Final[Mapping[str, Any]] = {"verdict": "approved"}
_A_MOMENT: Final = 0.001


@dataclass(frozen=True, slots=True)
class Terms:
    """What of a proposed mission is approved: other words, fewer tools and resources, tighter limits, an end.

    `replaces` names a mission of the same agent that ends with it, as superseded (draft-11 §8.4, §8.6).
    """

    description: str
    tools: tuple[str, ...]
    resources: tuple[str, ...]
    limits: Mapping[str, Any]
    expires: int | None
    replaces: str | None = None


def as_proposed(proposal: MissionProposal) -> Terms:
    """A proposal approved to the letter."""
    return Terms(
        proposal.description,
        tuple(tool.name for tool in proposal.tools),
        tuple(line.identifier for line in proposal.resources),
        proposal.limits,
        proposal.expires,
    )


@dataclass(frozen=True, slots=True)
class Given:
    """What a person gives with a yes, where a yes alone does not say it: a mission's terms, an answer in words."""

    terms: Terms | None = None
    answer: str | None = None


NOTHING_MORE: Final = Given()


class Granting:
    """Carries out a yes, for one person server."""

    def __init__(
        self, revoking: Revoking, audit: AuditLog, *, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._audit = audit
        self._revoking = revoking
        self._random = random_bytes

    async def carry_out(
        self, tx: Transaction, asked: Asked, person: str, given: Given, now: float, *, by: str
    ) -> Mapping[str, Any]:
        """The effects of a yes by `by`; what the pending request is to keep is what comes back."""
        match asked.about:
            case MissionProposal():
                s256 = await self._approve(tx, asked, asked.about, person, given, now, by=by)
                return {**APPROVED, "mission": s256}
            case MissionUpdate():
                assert asked.mission is not None
                entry = {"description": asked.about.description, "by": by}
                return {**APPROVED, "s256": await missions.log(tx, asked.mission, "update", entry, int(now))}
            case MissionCompletion():
                assert asked.mission is not None
                await self._revoking.end_mission(tx, person, asked.mission, "completed", int(now))
                return APPROVED
            case Action():
                await self._count(tx, asked, asked.about)
                return APPROVED
            case Query():
                return {**APPROVED, "answer": given.answer or ""}
        return APPROVED

    async def _approve(
        self,
        tx: Transaction,
        asked: Asked,
        proposal: MissionProposal,
        person: str,
        given: Given,
        now: float,
        *,
        by: str,
    ) -> str:
        terms = given.terms or as_proposed(proposal)
        blob = _blob(asked, proposal, terms, now)
        while await missions.exists(tx, mission_s256(blob)):  # equal in every word, approved in the same moment
            now += _A_MOMENT
            blob = _blob(asked, proposal, terms, now)
        if len(blob) > MAX_BLOB:
            raise Problem("invalid_request", f"what is approved is longer than {MAX_BLOB} bytes")
        s256 = mission_s256(blob)
        own = OwnMission(
            s256=s256,
            person=person,
            agent_iss=asked.agent_iss,
            agent_sub=asked.agent_sub,
            blob=blob,
            approved=int(now),
            expires=terms.expires,
            capabilities=_capabilities(asked),
        )
        await missions.add(tx, own)
        self._audit.note(tx, "mission", mission=s256, person=person, agent=asked.agent_sub, became="approved", by=by)
        said = {"by": by, "proposed": proposal.description, "replaces": terms.replaces, "talk": logbook.talk_of(asked)}
        kept = {name: value for name, value in said.items() if value}
        await missions.log(tx, s256, "approved", kept, int(now))
        if terms.replaces is not None:
            await self._supersede(tx, asked, person, terms.replaces, int(now))
        for resource in terms.resources:
            await self._let_in(tx, asked, person, resource, s256, int(now), by=by)
        return s256

    async def _supersede(self, tx: Transaction, asked: Asked, person: str, s256: str, now: int) -> None:
        """End the mission that this one replaces. Raises `Problem` for one that is not this agent's, or not active."""
        await missions.require_active(tx, s256, asked.agent_iss, asked.agent_sub, person, now)
        await self._revoking.end_mission(tx, person, s256, "superseded", now)

    async def _let_in(
        self, tx: Transaction, asked: Asked, person: str, resource: str, s256: str, now: int, *, by: str
    ) -> None:
        """A resource that was approved with the mission: its person token needs no further question (draft-11 §8.2)."""
        place = Place(person, asked.agent_iss, asked.agent_sub, resource, "identity", None, s256)
        decision = Standing(
            id=b64url_encode(self._random(16)), asked=IDENTITY, granted=IDENTITY, memory="kept", decided=now
        )
        shown = {**asked.shown(), "resource": resource, "verdict": "approved", "new_agent": False}
        await consents.note_decision(tx, place, decision, by=by, shown=shown, over=None)

    async def _count(self, tx: Transaction, asked: Asked, action: Action) -> None:
        if asked.mission is None:
            return
        mission = await missions.by_s256(tx, asked.mission)
        if mission is not None:
            await missions.count(tx, asked.mission, mission.read_limits().counted(action.parameters))


def _blob(asked: Asked, proposal: MissionProposal, terms: Terms, now: float) -> bytes:
    return write_blob(
        agent=asked.agent_sub,
        approved_at=now,
        description=terms.description,
        expires_at=terms.expires,
        approved_tools=_tools(proposal, terms.tools),
        approved_resources=terms.resources,
        further={MEMBER: dict(terms.limits)} if terms.limits else None,
    )


def _tools(proposal: MissionProposal, names: Sequence[str]) -> tuple[Tool, ...]:
    return tuple(Tool(tool.name, tool.description) for tool in proposal.tools if tool.name in names)


def _capabilities(asked: Asked) -> frozenset[str]:
    able = {"interaction": asked.reaches_person, "clarification": asked.answers_questions}
    return frozenset(name for name, can in able.items() if can)
