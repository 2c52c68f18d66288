"""Waiting for a person: what a 202 says, and what a poll gives once they have decided.

draft-11 §7.5.1, §11.6.3, §11.6.4, §11.8, §11.9.4, §13.2. A request says `clarification` while its person waits for an
answer of the agent's, and `approval` only while a page is open in front of them, in which it appears by itself;
otherwise it says where to send them, with a code that was not used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from ..accounts import Accounts
from ..audit import Evidence, Keeping
from ..callers import Agent
from ..deferred import Deferred, PendingRequest, Waiting
from ..protocol.headers import APPROVAL_PENDING, Requirement, interaction_required
from ..protocol.messages import Answer, json_answer
from ..protocol.problems import Problem
from ..serving import Request
from ..store import Database, Transaction
from . import answers, logbook, missions, records
from .about import Relay
from .accepted import Accepted
from .asked import Asked, owner_of
from .consent import TOKENS
from .footing import Footing, footing_of
from .issuing import Issuing
from .judging import STOPPED, Judging
from .questions import Collided, Question, Questions
from .resolving import Resolving
from .revoking import WHY

ATTEMPTS: Final = 3
"""How often equal requests of one moment try to join each other."""
CLARIFICATION: Final = Requirement("clarification")
"""The person asks something, and the agent is to answer (draft-11 §7.5.1)."""


class _ReachUnknown(Exception):
    """The person has to be asked, and whether they can be was not looked up: a page of theirs may be open."""

    def __init__(self, person: str | None) -> None:
        super().__init__()
        self.person = person


class Room:
    """Where requests wait: opens them, says what they wait for, and hands out what was decided."""

    def __init__(
        self,
        issuer: str,
        database: Database,
        *,
        deferred: Deferred,
        questions: Questions,
        issuing: Issuing,
        accounts: Accounts,
        judging: Judging,
        accepted: Accepted,
        evidence: Keeping,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._judging = judging
        self._accepted = accepted
        self._evidence = evidence
        self._resolving = Resolving(issuing, accounts)
        self._issuer = issuer
        self._database = database
        self._deferred = deferred
        self._questions = questions
        self._issuing = issuing
        self._accounts = accounts
        self._one_database = accounts.is_on(database)
        self._clock = clock

    def page_url(self, page: str) -> str:
        """The interaction URL of a question: without query, since the code comes as one (draft-11 §11.6.3)."""
        return f"{self._issuer}/interaction/{page}"

    async def ask(self, request: Request, asked: Asked, agent: Agent, proof: Evidence, *, ask_anyway: bool) -> Answer:
        """The answer to a request at a token endpoint: what was decided before, or what comes of asking.

        Where the person's page is open the answer is held for the seconds the agent prefers (draft-11 §11.8.1).
        """
        asked = replace(asked, evidence=proof.id)
        if asked.kind == "relay" or not self._one_database:
            person = await records.person_of(self._database, asked.agent_iss, asked.agent_sub)
            await self.check_person(person)
            if asked.kind == "relay" and not await self._is_here(person):
                raise self._no_way(asked)
        reachable: bool | None = asked.reaches_person or None
        for _ in range(1 + ATTEMPTS):
            try:
                settled = await self._settle_or_open(asked, agent, proof, reachable=reachable, ask_anyway=ask_anyway)
            except Collided:
                continue
            except _ReachUnknown as unknown:
                reachable = await self._is_here(unknown.person)
                continue
            self._accepted.is_kept(agent)
            if isinstance(settled, Answer):
                return settled
            return await self.poll(request, settled.id, agent)
        raise Problem("server_error", "equal requests collided", status=503, retry_after=1)

    async def _is_here(self, person: str | None) -> bool:
        """Whether a page of the person's is open."""
        return person is not None and await self._accounts.page_alive(person)

    def _no_way(self, asked: Asked) -> Problem:
        """No page of the person's is open, to which another party's could be brought (draft-11 §7.6.2, §7.6.3)."""
        if asked.reaches_person:
            return Problem("interaction_unavailable", "no page of the person's is open here")
        return Problem("user_unreachable", "no page of the person's is open here, and the agent reaches them no better")

    async def relay_own(self, request: Request, asked: Asked, agent: Agent) -> Answer | None:
        """The answer to a relay of a page of this server's own: that of the request itself (draft-11 §7.6.2).

        `None` where it is another party's. Raises `Problem` for a page that is not of this agent's request.
        """
        relay = asked.about
        if not isinstance(relay, Relay) or not relay.url.startswith(f"{self._issuer}/"):
            return None
        page = relay.url.removeprefix(self.page_url(""))
        question = await self._questions.find(self._database, page, int(self._clock()))
        pending = await self._deferred.find(self._database, question.pending) if question is not None else None
        if pending is None or pending.owner != owner_of(agent):
            raise Problem("invalid_request", "url is no page of a request of this agent's")
        person = await records.person_of(self._database, agent.iss, agent.sub)
        await self.check_person(person)
        if person is None or not await self._accounts.page_alive(person):
            raise self._no_way(asked)
        return await self.poll(request, pending.id, agent)

    async def check_agent(self, agent: Agent) -> None:
        """Return if nothing is known against an agent and its person; raise `Problem` 403 otherwise."""
        await self.check_person(await records.person_of(self._database, agent.iss, agent.sub))
        if await records.is_stopped(self._database, agent.iss, agent.sub):
            raise Problem("denied", STOPPED)

    async def check_person(self, person: str | None, tx: Transaction | None = None) -> None:
        """Return if nothing is known against the person an agent acts for; raise `Problem` 403 otherwise."""
        if person is None:
            return
        account = await self._accounts.account(person, tx)
        if account is None or account.disabled:
            raise Problem("denied", "the account of the person this agent acts for is switched off")

    async def _settle_or_open(
        self, asked: Asked, agent: Agent, proof: Evidence, *, reachable: bool | None, ask_anyway: bool
    ) -> Answer | PendingRequest:
        """What was decided, or the request that waits. Raises `_ReachUnknown` where it depends on `reachable`."""
        now = int(self._clock())
        async with self._database.transaction() as tx:
            await self._accepted.note_in(tx, agent)
            if asked.mission is not None and self._database.for_update:
                await self._questions.hold(tx, asked.agent_iss, asked.agent_sub, now)  # before the mission
            footing = await footing_of(tx, asked, agent.jti)
            if self._one_database:
                await self.check_person(footing.person, tx)
            await self._evidence.keep(tx, proof)
            answer = await self._at_once(tx, asked, agent, footing, ask_anyway=ask_anyway)
            if answer is not None:
                return answer
            if "none" in asked.prompt:
                return Problem("user_unreachable", "the person has to be asked, and prompt=none forbids it").answer()
            if reachable is None:
                raise _ReachUnknown(footing.person)
            if not reachable:
                return Problem("user_unreachable", "the person has to be asked: declare interaction").answer()
            pending = await self._questions.ask(tx, asked, owner_of(agent), footing.person, now, prompted=ask_anyway)
            await logbook.note(tx, asked, "asked", now)
            await self._deferred.wake_with(tx, pending)  # whoever polls it learns that it was asked anew
            return pending

    async def _at_once(
        self, tx: Transaction, asked: Asked, agent: Agent, footing: Footing, *, ask_anyway: bool
    ) -> Answer | None:
        """The answer that needs nobody: what was decided before, by a person, a rule, or a mission's approval."""
        answer = self._issuing.refuse(asked, agent, footing, waited=False)
        if answer is not None:
            return answer
        judgement = await self._judging.judge(tx, asked, footing, waited=False)
        answer = judgement.refusal or await self._issuing.repeat(tx, asked, agent, footing, prompted=ask_anyway)
        if answer is None and asked.kind in answers.REPEATED:
            answer = await self._again(tx, asked, agent, footing.person)
        if answer is not None or ask_anyway or asked.errand_open:
            return answer
        if asked.kind in TOKENS:
            settled = await self._issuing.settle(tx, asked, agent, footing)
            if settled is not None:
                return settled
        outcome = await self._judging.grant(tx, asked, footing.person, judgement)
        return None if outcome is None else await self._yes(tx, asked, agent, footing, outcome)

    async def _again(self, tx: Transaction, asked: Asked, agent: Agent, person: str | None) -> Answer | None:
        """What an equal request was answered with a moment ago; `None` where it was not."""
        now = int(self._clock())
        outcome = await answers.find(tx, asked.joins(owner_of(agent)), now)
        if outcome is None:
            return None
        if "mission" in outcome:
            own = await missions.find(tx, outcome["mission"], agent.iss, agent.sub, person)
            if own is None or own.ended_as(now) is not None:
                return None
        return await self._resolving.answer(tx, asked, agent, outcome)

    async def poll(self, request: Request, pending_id: str, agent: Agent) -> Answer:
        """The answer to a poll by `agent`; 404 to anybody but who asked (draft-11 §13.2)."""

        async def resolve(pending: PendingRequest, tx: Transaction) -> Answer:
            return await self._resolve(pending, tx, agent)

        return await self._deferred.answer_poll(
            request, pending_id, owner_of(agent), describe=self.describe, resolve=resolve
        )

    async def describe(self, pending: PendingRequest) -> Waiting:
        """What a request waits for now (draft-11 §7.5.1, §11.6.3, §11.6.4)."""
        now = int(self._clock())
        question = await self._questions.by_pending(self._database, pending.id, now)
        assert question is not None
        here = await self.is_open_here(question)
        turn = question.asked.open_turn(now) if question.asked is not None else None
        if turn is not None and question.asked is not None:
            return Waiting(
                CLARIFICATION,
                status="interacting" if here else "pending",
                body={"clarification": turn.question, "timeout": turn.until - now},
                news=f"clarification {len(question.asked.conversation)}",
            )
        if here:
            return Waiting(APPROVAL_PENDING, status="interacting")
        if question.person is not None and await self._accounts.page_alive(question.person):
            return Waiting(APPROVAL_PENDING)
        if question.asked is not None and not question.asked.reaches_person:
            return Waiting(APPROVAL_PENDING)  # the agent can send nobody anywhere: it waits on the person's own page
        code = await self._unused_code(pending)
        return Waiting(interaction_required(self.page_url(pending.page), code))

    async def look(self, pending: PendingRequest) -> Answer:
        """The 202 to a message about a request that waits: after it the agent polls on (draft-11 §7.5.2.1)."""
        waiting = await self.describe(pending) if pending.state == "open" else Waiting()
        return self._deferred.pending_answer(pending, waiting)

    async def is_open_here(self, question: Question) -> bool:
        """Whether the browser that came with the question's code still shows a page."""
        return question.browser is not None and await self._accounts.session_alive(question.browser)

    async def _unused_code(self, pending: PendingRequest) -> str:
        """The code of a request, a fresh one where its page is gone (draft-11 §11.6.3.1, single use)."""
        if not pending.code_used:
            return pending.code
        async with self._database.transaction() as tx:
            locked = await self._deferred.lock(tx, pending.id)
            if locked is None or locked.state != "open" or not locked.code_used:
                return locked.code if locked is not None else pending.code
            return (await self._deferred.renew_code(tx, locked)).code

    async def _resolve(self, pending: PendingRequest, tx: Transaction, agent: Agent) -> Answer:
        """The terminal answer of a decided request, judged now (draft-11 §11.9.4)."""
        outcome = pending.outcome or {}
        error = outcome.get("error")
        if error is not None and outcome.get("which") == "errand":
            return Problem(error, WHY["errand"]).answer()
        if error == "invalid_code":
            return Problem("invalid_code", "wrong codes were tried too often").answer()
        if error == "denied" and pending.kind == "permission":
            return json_answer(200, {"permission": "denied"})  # draft-11 §7.7.2
        if error == "denied":
            return Problem("denied", "the person declined the request").answer()
        if error == "abandoned":
            return Problem("abandoned", "the person came and left it undecided").answer()
        if error == "revoked":
            return Problem("revoked", WHY[outcome["which"]]).answer()
        asked = Asked.read(pending.data)
        footing = await footing_of(tx, asked, agent.jti)
        answer = self._issuing.refuse(asked, agent, footing, waited=True)
        if answer is None:
            answer = (await self._judging.judge(tx, asked, footing, waited=True)).refusal
        if answer is not None:
            return answer
        return await self._yes(tx, asked, agent, footing, outcome, pending=pending.id)

    async def _yes(
        self,
        tx: Transaction,
        asked: Asked,
        agent: Agent,
        footing: Footing,
        outcome: Mapping[str, Any],
        *,
        pending: str | None = None,
    ) -> Answer:
        """The answer that a decision gives: a token, or what its kind of question has instead."""
        if asked.kind not in TOKENS:
            if asked.kind in answers.REPEATED:
                await answers.keep(tx, asked.joins(owner_of(agent)), outcome, int(self._clock()))
            return await self._resolving.answer(tx, asked, agent, outcome)
        answer = await self._issuing.settle(tx, asked, agent, footing, pending=pending)
        if answer is None:
            return Problem("denied", "what was allowed is over, or was taken back: ask again").answer()
        return answer
