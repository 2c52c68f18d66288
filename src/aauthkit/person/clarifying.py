"""Questions to an agent: put by the person on the decision page, answered at the pending URL (draft-11 §7.5).

While a question is open it is the agent's turn, and it may answer, or put another request in the place of the one that
waits. Where it lets the time pass the question lapses, and it is the person's turn again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ..callers import Agent
from ..deferred import Deferred, PendingRequest
from ..protocol.problems import Problem
from ..store import Database
from . import logbook, records
from .asked import Asked, owner_of
from .conversation import ANSWER_WITHIN, Turn
from .deciding import Decider, may_see
from .questions import Collided, Questions

NOT_ASKED: Final = "no question is open: this request waits for its person"


class Clarifying:
    """Carries questions and answers, for one person server. `within`: seconds an agent has to answer."""

    def __init__(
        self,
        database: Database,
        *,
        deferred: Deferred,
        questions: Questions,
        within: int = ANSWER_WITHIN,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._deferred = deferred
        self._questions = questions
        self._within = within
        self._clock = clock

    async def ask(self, page: str, decider: Decider, question: str) -> None:
        """Put a question to the agent whose request is on this page.

        Raises `Problem`: 404 where it is not theirs, 410 where it is over, 400 where the agent may not be asked now.
        """
        now = int(self._clock())
        async with self._database.transaction() as tx:
            found = await self._questions.find_held(tx, page, now)
            if found is None or not may_see(found, decider.browser, decider.person):
                raise Problem("not_found")
            if found.state != "open" or found.asked is None:
                raise Problem("gone", "this request was decided already, or is over")
            if await records.person_of(tx, found.agent_iss, found.agent_sub) not in (None, decider.person):
                raise Problem("not_found")
            if not found.asked.may_be_asked(now):
                raise Problem("invalid_request", "the agent takes no question, or no further one")
            pending = await self._deferred.lock(tx, found.pending)
            assert pending is not None
            turn = Turn(decider.person, question, now, min(now + self._within, pending.expires))
            asked = found.asked.with_question(turn)
            await self._deferred.update(tx, pending, asked.kept())
            await logbook.note_turn(tx, asked, now)
        await self._deferred.wake(pending)

    async def check_addressed(self, pending_id: str, agent: Agent) -> None:
        """Return if this is a request of the agent's that has not ended; raise `Problem` 404 or 410 otherwise."""
        _owned(await self._deferred.find(self._database, pending_id), agent)

    async def answer(self, pending_id: str, agent: Agent, text: str) -> PendingRequest:
        """Take the agent's answer to the open question (draft-11 §7.5.2.1). Raises `Problem`.

        The same one come again is no second answer: what was lost was our 202.
        """
        now = int(self._clock())
        async with self._database.transaction() as tx:
            pending = _owned(await self._deferred.lock(tx, pending_id), agent)
            asked = Asked.read(pending.data)
            if pending.state == "decided" or _last(asked).answer == text:
                return pending  # the person did not wait, or it was taken before
            self._check_turn(pending, asked, now)
            answered = asked.with_answer(text, now)
            await self._deferred.update(tx, pending, answered.kept())
            await logbook.note_turn(tx, answered, now)
        await self._deferred.wake(pending)
        return pending

    async def substitute(self, pending_id: str, agent: Agent, other: Asked, words: str | None) -> PendingRequest:
        """Put the agent's other request in the place of the one that waits (draft-11 §7.5.2.2).

        `other` is verified as any request; here it is compared with the one it replaces. Raises `Problem`.
        """
        try:
            pending = await self._substitute(pending_id, agent, other, words)
        except Collided as error:
            raise Problem("server_error", "equal requests collided", status=503, retry_after=1) from error
        await self._deferred.wake(pending)
        return pending

    async def _substitute(self, pending_id: str, agent: Agent, other: Asked, words: str | None) -> PendingRequest:
        now = int(self._clock())
        async with self._database.transaction() as tx:
            pending = _owned(await self._deferred.lock(tx, pending_id), agent)
            asked = Asked.read(pending.data)
            taken = asked.open_turn(now) is None and asked.bounds.resource_jti == other.bounds.resource_jti
            if pending.state == "decided" or taken:
                return pending
            self._check_turn(pending, asked, now)
            check_same(asked, other)
            replaced = asked.replaced_by(other, words, now)
            await self._questions.substitute(tx, pending, replaced)
            await logbook.note_turn(tx, replaced, now)
        return pending

    def _check_turn(self, pending: PendingRequest, asked: Asked, now: int) -> None:
        if pending.expires <= now:
            raise Problem("gone", "nobody decided in time")
        if asked.open_turn(now) is None:
            late = bool(asked.conversation) and asked.conversation[-1].answered is None
            raise Problem("invalid_request", "the time for an answer is over: poll on" if late else NOT_ASKED)


def _owned(pending: PendingRequest | None, agent: Agent) -> PendingRequest:
    if pending is None or pending.owner != owner_of(agent):
        raise Problem("not_found")
    if pending.state == "ended":
        raise Problem("gone", "this request has ended")
    return pending


def _last(asked: Asked) -> Turn:
    return asked.conversation[-1] if asked.conversation else Turn("", "", 0, 0)


def check_same(asked: Asked, other: Asked) -> None:
    """Return if `other` may replace `asked`; raise `Problem` 400 otherwise (draft-11 §7.5.2.2).

    `ps` and `agent_jkt` are this server's and the owner's key for both: that was verified with each of them.
    """
    if asked.kind != "scope":
        raise Problem("invalid_request", "this request has no resource token that could be replaced")
    pairs = {
        "iss": (asked.resource, other.resource),
        "sub": (asked.sub, other.sub),
        "tenant": (asked.tenant, other.tenant),
        "mission_s256": (asked.mission, other.mission),
    }
    different = [name for name, (before, after) in pairs.items() if before != after]
    if different:
        raise Problem("invalid_resource_token", "it differs from the one it replaces in: " + ", ".join(different))


__all__ = ["NOT_ASKED", "Clarifying", "check_same"]
