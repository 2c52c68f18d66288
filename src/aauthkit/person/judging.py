"""What is decided before anybody is asked: stops, missions that ended, limits, rules, tools approved ahead.

Asked twice of every request: when it comes, and again when its answer is fetched, so that a stop or a rule made in
between is not outrun by a page that was open (draft-11 §8.2, §8.8, §11.12.4).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any, Final

from ..protocol.jose import b64url_encode
from ..protocol.messages import Answer, json_answer
from ..protocol.problems import Problem
from ..store import Transaction
from . import consents, logbook, missions, records
from .about import Action
from .asked import Asked
from .consent import TOKENS, Standing
from .granting import NOTHING_MORE, Granting
from .missions import OwnMission
from .rulings import DECIDABLE, NoRules, Rules, Ruling

STOPPED: Final = "the person stopped this agent"
GRANTED: Final = {"permission": "granted"}


def denied(asked: Asked, reason: str) -> Answer:
    """An immediate no: in the words of the permission endpoint where it is asked there (draft-11 §7.7.2)."""
    if asked.kind == "permission":
        return json_answer(200, {"permission": "denied", "reason": reason})
    return Problem("denied", reason).answer()


class Judging:
    """Judges requests, for one person server."""

    def __init__(
        self,
        *,
        granting: Granting,
        rules: Rules | None = None,
        for_update: str = "",
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._granting = granting
        self._rules = rules or NoRules()
        self._for_update = for_update
        self._clock = clock
        self._random = random_bytes

    async def refuse(self, tx: Transaction, asked: Asked, person: str | None, *, waited: bool) -> Answer | None:
        """The no that stands against a request, whoever is asked; `None` where nothing does.

        `waited`: it was decided by the person since, so that its limits were looked at before.
        """
        now = self._clock()
        if await records.is_stopped(tx, asked.agent_iss, asked.agent_sub):
            return Problem("denied", STOPPED).answer()
        mission = await self._mission(tx, asked, person)
        if isinstance(mission, Problem):
            return mission.answer()
        ruling = await self._rules.ruling(asked, person, int(now))
        if ruling is not None and ruling.level == "never":
            await logbook.note(tx, asked, "refused", int(now), by=ruling.by)
            return denied(asked, ruling.reason or f"the rule {ruling.rule} says no")
        if mission is None or waited:
            return None
        reason = await self._beyond_limits(tx, asked, mission, now)
        if reason is None:
            return None
        await logbook.note(tx, asked, "refused", int(now), limit=reason)
        return denied(asked, reason)

    async def _mission(self, tx: Transaction, asked: Asked, person: str | None) -> OwnMission | Problem | None:
        """The mission of a request, as it is now: the answer of §8.8 where it has ended since it was asked."""
        if asked.mission is None:
            return None
        found = await missions.find(tx, asked.mission, asked.agent_iss, asked.agent_sub, person, lock=self._for_update)
        if found is None:
            return missions.not_found()
        reason = found.ended_as(self._clock())
        return found if reason is None or asked.kind == "completion" else missions.terminated(reason)

    async def _beyond_limits(self, tx: Transaction, asked: Asked, mission: OwnMission, now: float) -> str | None:
        limits = mission.read_limits()
        used = await missions.counts(tx, mission.s256)
        if asked.kind in TOKENS:
            return limits.token(asked.resource, asked.scope if asked.kind == "scope" else frozenset(), used, now)
        if isinstance(asked.about, Action):
            return limits.permission(asked.about.action, asked.about.parameters, used, now)
        return None

    async def answer(self, tx: Transaction, asked: Asked, person: str | None) -> Answer | None:
        """The yes to an action that was approved with its mission (draft-11 §7.7, §8.2); `None` where there is none."""
        if not isinstance(asked.about, Action) or asked.mission is None or person is None:
            return None
        mission = await missions.find(tx, asked.mission, asked.agent_iss, asked.agent_sub, person)
        if mission is None or not mission.read().approves_tool(asked.about.action):
            return None
        now = self._clock()
        await self._granting.carry_out(tx, asked, person, NOTHING_MORE, now, by="mission")
        await logbook.note(tx, asked, "granted", int(now), by="mission")
        return json_answer(200, GRANTED)

    async def decide(self, tx: Transaction, asked: Asked, person: str | None) -> dict[str, Any] | None:
        """What a rule that may decide gives this request: the outcome; `None` where the person is asked.

        A rule never gives an agent its person: one that has none waits for somebody (draft-11 §13.14).
        """
        if person is None or asked.kind not in DECIDABLE:
            return None
        now = self._clock()
        ruling = await self._rules.ruling(asked, person, int(now))
        if ruling is None or ruling.level != "may decide":
            return None
        await self._note(tx, asked, person, ruling, int(now))
        outcome = await self._granting.carry_out(tx, asked, person, NOTHING_MORE, now, by=ruling.by)
        await logbook.note(tx, asked, "granted", int(now), by=ruling.by)
        return dict(outcome)

    async def _note(self, tx: Transaction, asked: Asked, person: str, ruling: Ruling, now: int) -> None:
        """Put a rule's decision on record beside those of people: for this once, with what a person would have seen."""
        decision = Standing(
            id=b64url_encode(self._random(16)), asked=asked.scope, granted=asked.scope, memory="once", decided=now
        )
        shown = {**asked.kept(), "verdict": "approved", "new_agent": False}
        over = None if asked.kind in TOKENS else now
        await consents.note_decision(tx, asked.place(person), decision, by=ruling.by, shown=shown, over=over)
