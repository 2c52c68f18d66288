"""A person's decision and all it changes, in one transaction (draft-11 §13.13, §13.14).

Decided once; by the agent's own person, or by the person whose browser came with the code; with what was shown kept as
evidence. The first approval makes the person the agent's, and nobody else after that.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..audit import AuditLog
from ..deferred import Deferred
from ..protocol.jose import b64url_encode
from ..protocol.problems import Problem
from ..store import Database, Transaction
from . import consents, logbook, missions, noes, records
from .asked import Asked
from .consent import TOKENS, Memory, Standing, revise
from .granting import NOTHING_MORE, Given, Granting
from .judging import beyond_limits
from .questions import Question, Questions
from .revoking import Revoking

Verdict = Literal["approved", "denied", "left"]
"""What a person does with a question: allow it in whole or part, refuse it, or end it without an answer."""
OUTCOMES: Final[dict[Verdict, dict[str, str]]] = {
    "approved": {"verdict": "approved"},
    "denied": {"error": "denied"},
    "left": {"error": "abandoned"},
}
"""What the pending request keeps of each; the error is the one the agent reads (draft-11 §11.9.4)."""


@dataclass(frozen=True, slots=True)
class Decider:
    """Who decides: an account, in the browser session with this handle, in which they signed in at `signed_in`."""

    person: str
    browser: str
    signed_in: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """What they chose. `granted` is a part of what was asked, and empty unless approved.

    `changes` tells which of an agent's requests they had before them (`Asked.changes`); `given` is what a yes carries.
    """

    verdict: Verdict
    granted: frozenset[str] = frozenset()
    memory: Memory = "once"
    changes: int = 0
    given: Given = NOTHING_MORE


class Changed(Exception):
    """The agent replaced its request since the page was loaded: what was chosen is about another one."""


class SignInAgain(Exception):
    """The agent asked that its person sign in afresh, and they have not since (draft-11 §7.2.1, `prompt=login`)."""


class Beyond(Exception):
    """A limit of the mission stands against a yes; its text names it."""


def may_see(question: Question, browser: str, person: str | None) -> bool:
    """Whether a question is this browser's business: it came with the code, or its person is whose agent asks.

    An agent that has a person shows nothing to anybody else, whatever code they came with (§13.14).
    """
    if question.person is not None and person is not None:
        return question.person == person
    return question.browser == browser


def must_sign_in(question: Question, signed_in: int) -> bool:
    """Whether the person has to sign in anew before they decide this."""
    return question.asked is not None and "login" in question.asked.prompt and signed_in <= question.created


class Deciding:
    """Makes decisions stick, for one person server."""

    def __init__(
        self,
        database: Database,
        *,
        deferred: Deferred,
        questions: Questions,
        revoking: Revoking,
        granting: Granting,
        audit: AuditLog,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._database = database
        self._deferred = deferred
        self._questions = questions
        self._revoking = revoking
        self._granting = granting
        self._audit = audit
        self._clock = clock
        self._random = random_bytes

    async def decide(self, page: str, decider: Decider, choice: Choice) -> None:
        """Settle the question of a page, once.

        Raises `Problem`: 404 where it is not theirs, 410 where it is over; `Changed`, `SignInAgain`, and `Beyond`.
        """
        now = int(self._clock())
        async with self._database.transaction() as tx:
            question = await self._questions.find_held(tx, page, now)
            if question is None or not may_see(question, decider.browser, decider.person):
                raise Problem("not_found")
            if question.state != "open" or question.asked is None:
                raise Problem("gone", "this request was decided already, or is over")
            asked = question.asked
            if asked.changes != choice.changes:
                raise Changed
            if must_sign_in(question, decider.signed_in):
                raise SignInAgain
            if choice.verdict == "approved" and asked.errand_open:
                raise Problem("invalid_request", "the resource needs something of the person first")
            known = await records.person_of(tx, asked.agent_iss, asked.agent_sub)
            if choice.verdict == "approved" and known is None:
                bound = await records.bind_agent(tx, asked.agent_iss, asked.agent_sub, decider.person, now)
                await self._questions.belong_to(tx, asked.agent_iss, asked.agent_sub, bound)
            else:
                bound = known or decider.person
            if bound != decider.person:
                raise Problem("not_found")
            await self._check_mission(tx, asked, decider, choice)
            pending = await self._deferred.decide(tx, question.pending, OUTCOMES[choice.verdict])
            await self._note(tx, asked, decider, choice, now, new_agent=known is None)
            outcome = await self._carry_out(tx, asked, decider, choice)
            if outcome != OUTCOMES[choice.verdict]:
                await self._deferred.amend(tx, pending, outcome)
            await self._questions.settle(tx, question, decider.person, _verdict(asked, choice, now))
            await self._deferred.wake_with(tx, pending)

    async def _check_mission(self, tx: Transaction, asked: Asked, decider: Decider, choice: Choice) -> None:
        """Nothing is decided for a mission that has ended (draft-11 §8.8), and nothing allowed beyond its limits.

        They were looked at before anybody was asked; others may have been answered since.
        """
        if asked.mission is None:
            return
        mission = await missions.require_active(
            tx,
            asked.mission,
            asked.agent_iss,
            asked.agent_sub,
            decider.person,
            self._clock(),
            lock=self._database.for_update,
        )
        if choice.verdict == "approved":
            used = await missions.counts(tx, mission.s256)
            reason = beyond_limits(asked, mission, used, self._clock())
            if reason is not None:
                raise Beyond(reason)

    async def _carry_out(self, tx: Transaction, asked: Asked, decider: Decider, choice: Choice) -> Mapping[str, Any]:
        """The effects of an answer; what the pending request is to keep is what comes back."""
        now, by = self._clock(), f"person {decider.person}"
        if choice.verdict == "approved":
            if asked.kind != "completion":  # which ends the log
                await logbook.note(tx, asked, "granted", int(now), by=by, granted=sorted(choice.granted))
            return await self._granting.carry_out(tx, asked, decider.person, choice.given, now, by=by)
        await logbook.note(tx, asked, choice.verdict, int(now), by=by)
        return OUTCOMES[choice.verdict]

    async def _note(
        self, tx: Transaction, asked: Asked, decider: Decider, choice: Choice, now: int, *, new_agent: bool
    ) -> None:
        """Put the decision on record, and change what it replaces."""
        place = asked.place(decider.person)
        if choice.verdict != "left":
            yes = (choice.granted if asked.kind in TOKENS else asked.values) if choice.verdict == "approved" else ()
            await noes.clear(tx, place, yes)
            await noes.note(tx, place, asked.values.difference(yes), now)
        if choice.verdict != "left":
            standing = await consents.standing(tx, place, self._database.for_update)
            await consents.close(tx, [one.id for one in standing if one.is_over(now)], now)
            held = [one for one in standing if not one.is_over(now)]
            revised = revise(held, asked.scope, choice.granted)
            await consents.revise(tx, revised, now)
            if choice.verdict == "denied" and revised:
                ended = [one.id for one in revised if not one.granted]
                await self._revoking.withdraw(tx, asked.agent_iss, asked.agent_sub, ended, now)
        decision = Standing(
            id=b64url_encode(self._random(16)),
            asked=asked.scope,
            granted=choice.granted,
            memory=choice.memory,
            decided=now,
        )
        shown = {**asked.shown(), "verdict": choice.verdict, "new_agent": new_agent}
        over = None if choice.verdict == "approved" and asked.kind in TOKENS else now
        await consents.note_decision(tx, place, decision, by=decider.browser, shown=shown, over=over)
        self._audit.note(
            tx,
            "decision",
            id=decision.id,
            kind=asked.kind,
            verdict=choice.verdict,
            by=f"person {decider.person}",
            agent=asked.agent_sub,
            resource=asked.resource or None,
            asked=sorted(asked.values),
            granted=sorted(choice.granted) if asked.kind in TOKENS else None,
            account=asked.account,
            mission=asked.mission,
            memory=choice.memory,
            evidence=asked.evidence,
        )


def _verdict(asked: Asked, choice: Choice, now: int) -> dict[str, Any]:
    """What a page still says after the request is over."""
    return {
        "verdict": choice.verdict,
        "granted": sorted(choice.granted),
        "memory": choice.memory,
        "at": now,
        "asked": asked.shown(),
    }
