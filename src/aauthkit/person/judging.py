"""What is decided before anybody is asked: stops, missions that ended, limits, rules, tools approved ahead.

Asked twice of every request: when it comes, and again when its answer is fetched, so that a stop or a rule made in
between is not outrun by a page that was open (draft-11 §8.2, §8.8, §11.12.4).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ..audit import AuditLog
from ..protocol.jose import b64url_encode
from ..protocol.messages import Answer, json_answer
from ..protocol.problems import Problem
from ..store import Statements, Transaction
from . import consents, logbook, missions, noes
from .about import Action
from .asked import Asked
from .consent import TOKENS, Standing
from .facts import facts_of
from .footing import Footing
from .granting import NOTHING_MORE, Granting
from .missions import OwnMission
from .rules import RuleBook
from .rulings import DECIDABLE, Ruling

STOPPED: Final = "the person stopped this agent"
GRANTED: Final = {"permission": "granted"}


def denied(asked: Asked, reason: str) -> Answer:
    """An immediate no: in the words of the permission endpoint where it is asked there (draft-11 §7.7.2)."""
    if asked.kind == "permission":
        return json_answer(200, {"permission": "denied", "reason": reason})
    return Problem("denied", reason).answer()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of a request before anybody is asked: a refusal, or what rule and mission say of it."""

    refusal: Answer | None = None
    ruling: Ruling | None = None
    mission: OwnMission | None = None


class InForce(Protocol):
    """Where the rules are kept."""

    async def book(self, tx: Statements, sha256: str | None) -> RuleBook:
        """Those in force now; `sha256` is of those on record, as `tx` found them."""
        ...


class Judging:
    """Judges requests, for one person server."""

    def __init__(
        self,
        *,
        granting: Granting,
        rules: InForce,
        audit: AuditLog,
        for_update: str = "",
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._granting = granting
        self._rules = rules
        self._audit = audit
        self._for_update = for_update
        self._clock = clock
        self._random = random_bytes

    async def judge(self, tx: Transaction, asked: Asked, footing: Footing, *, waited: bool) -> Judgement:
        """What stands against a request or for it, before anybody is asked.

        `waited`: it was decided by the person since. A permission was counted then; a token is only when it is issued.
        """
        now, person = self._clock(), footing.person
        if footing.stopped:
            return Judgement(refusal=Problem("denied", STOPPED).answer())
        mission = await self._mission(tx, asked, person)
        if isinstance(mission, Problem):
            return Judgement(refusal=mission.answer())
        used = await missions.counts(tx, mission.s256) if mission is not None else {}
        ruling = await self._ruling(tx, asked, footing, mission, used, int(now))
        if ruling is not None and ruling.level == "never":
            await logbook.note(tx, asked, "refused", int(now), by=ruling.by)
            self._audit_of(tx, asked, "refused", person, by=ruling.by)
            return Judgement(refusal=denied(asked, ruling.reason or f"the rule {ruling.rule} says no"))
        if mission is not None and (not waited or asked.kind in TOKENS):
            reason = beyond_limits(asked, mission, used, now)
            if reason is not None:
                await logbook.note(tx, asked, "refused", int(now), limit=reason)
                self._audit_of(tx, asked, "refused", person, by=f"limit {reason}")
                return Judgement(refusal=denied(asked, reason))
        return Judgement(ruling=ruling, mission=mission)

    async def _ruling(
        self,
        tx: Transaction,
        asked: Asked,
        footing: Footing,
        mission: OwnMission | None,
        used: Mapping[str, float],
        now: int,
    ) -> Ruling | None:
        book = await self._rules.book(tx, footing.rules)
        return book.ruling(asked.kind, facts_of(asked, footing.person, mission, used, now)) if book.rules else None

    async def _mission(self, tx: Transaction, asked: Asked, person: str | None) -> OwnMission | Problem | None:
        """The mission of a request, as it is now: the answer of §8.8 where it has ended since it was asked."""
        if asked.mission is None:
            return None
        found = await missions.find(tx, asked.mission, asked.agent_iss, asked.agent_sub, person, lock=self._for_update)
        if found is None:
            return missions.not_found()
        reason = found.ended_as(self._clock())
        return found if reason is None or asked.kind == "completion" else missions.terminated(reason)

    async def grant(
        self, tx: Transaction, asked: Asked, person: str | None, judgement: Judgement
    ) -> Mapping[str, Any] | None:
        """The outcome of a request that nobody has to be asked about: an action whose tool was approved with the
        mission (draft-11 §8.2), or whatever a rule may decide; `None` where the person is asked.

        A rule never gives an agent its person: one that has none waits for somebody (draft-11 §13.14).
        """
        if person is None or (judgement.ruling is not None and judgement.ruling.level != "may decide"):
            return None
        if await noes.stand_against(tx, asked.place(person), asked.values):
            return None  # a person's no beats every yes but their own
        mission, ruling = judgement.mission, judgement.ruling
        by = ruling.by if ruling is not None and asked.kind in DECIDABLE else None
        if ruling is not None and by is not None:
            await self._note(tx, asked, person, ruling, int(self._clock()))
        elif isinstance(asked.about, Action) and mission is not None:
            by = "mission" if mission.read().approves_tool(asked.about.action) else None
        if by is None:
            return None
        now = self._clock()
        await logbook.note(tx, asked, "granted", int(now), by=by)
        self._audit_of(tx, asked, "approved", person, by=by)
        return await self._granting.carry_out(tx, asked, person, NOTHING_MORE, now, by=by)

    def _audit_of(self, tx: Transaction, asked: Asked, verdict: str, person: str | None, *, by: str) -> None:
        self._audit.note(
            tx,
            "decision",
            kind=asked.kind,
            verdict=verdict,
            by=by,
            person=person,
            agent=asked.agent_sub,
            resource=asked.resource or None,
            asked=sorted(asked.values),
            account=asked.account,
            mission=asked.mission,
            evidence=asked.evidence,
        )

    async def _note(self, tx: Transaction, asked: Asked, person: str, ruling: Ruling, now: int) -> None:
        """Put a rule's decision on record beside those of people: for this once, with what a person would have seen."""
        decision = Standing(
            id=b64url_encode(self._random(16)), asked=asked.scope, granted=asked.scope, memory="once", decided=now
        )
        shown = {**asked.shown(), "verdict": "approved", "new_agent": False}
        over = None if asked.kind in TOKENS else now
        await consents.note_decision(tx, asked.place(person), decision, by=ruling.by, shown=shown, over=over)


def beyond_limits(asked: Asked, mission: OwnMission, used: Mapping[str, float], now: float) -> str | None:
    """Why the mission's limits stand against a request; `None` where none does."""
    limits = mission.read_limits()
    if asked.kind in TOKENS:
        return limits.token(asked.resource, asked.scope if asked.kind == "scope" else frozenset(), used, now)
    if isinstance(asked.about, Action):
        return limits.permission(asked.about.action, asked.about.parameters, used, now)
    return None
