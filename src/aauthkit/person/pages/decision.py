"""The decision: who wants what, in two voices, and three answers; then what came of it (draft-11 §7.4, §13.13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from ...accounts import Account, Session
from ...protocol.identifiers import origin_of
from ...protocol.messages import Answer
from ...protocol.problems import Problem
from ...serving import Request
from .. import consents, missions, records
from ..about import Action, MissionProposal, Relay
from ..asked import Asked
from ..callbacks import CallbackError, with_error
from ..clarifying import Clarifying
from ..conversation import MAX_QUESTION, MAX_ROUNDS
from ..deciding import Beyond, Changed, Deciding, SignInAgain, Verdict, may_see, must_sign_in
from ..questions import Question
from .before import decider_of, must_choose, show_errand
from .choosing import NothingChosen, read_choice
from .desk import BEATING, READING, Desk, as_page
from .naming import editable, names_of, parameters_of, waiting_line
from .signing import to_sign_in, to_sign_in_afresh
from .visit import Visit, visit_to

_ERRORS: Final[dict[Verdict, CallbackError | None]] = {
    "approved": None,
    "denied": "access_denied",
    "left": "user_abandoned",
}
NOTHING_TICKED: Final = "Nothing is ticked. Tick what you allow, or choose Deny."
HAS_CHANGED: Final = "The agent has changed its request meanwhile. Nothing was decided: look at what it asks for now."
BEYOND: Final = "Nothing was decided: a limit of the mission stands against it."
NO_ANSWER: Final = "Nothing was sent: write an answer, or choose No answer."
NO_QUESTION: Final = f"Nothing was asked. Write a question of at most {MAX_QUESTION} characters."
NOT_TAKEN: Final = "Your question was not sent: the agent takes none just now."
MAX_RUNNING: Final = 10
"""Missions that a proposed one is offered to replace."""
REFRESH: Final = 5
"""Seconds after which a page that waits for news loads anew where there is no script."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One thing asked for: the resource's words for it, and whether it was allowed before."""

    value: str
    words: str
    before: bool


class Decision:
    """/decide/{page}."""

    def __init__(self, desk: Desk, deciding: Deciding, clarifying: Clarifying) -> None:
        self.desk = desk
        self._deciding = deciding
        self._clarifying = clarifying

    @as_page
    async def look(self, request: Request, page: str) -> Answer:
        """GET: the question, or what became of it."""
        session = await self.desk.accounts.session(request)
        if session.account is None:
            return await self._send_to_sign_in(session, page)
        question = await self._question(session, session.account, page)
        if question.state == "open" and question.asked is not None:
            first = await self._first(session, session.account, question, question.asked)
            if first is not None:
                return first
            open_for = READING if request.header("sec-fetch-mode") in (None, "navigate") else BEATING
            return await self._ask(session, session.account, question, question.asked, open_for=open_for)
        return await self._tell(session, session.account, question)

    @as_page
    async def decide(self, request: Request, page: str) -> Answer:
        """POST: the person's answer; the first one stands (F82)."""
        session = await self.desk.accounts.session(request)
        form = await request.read_form_lists()
        self.desk.accounts.check_post(request, session, form)
        if session.account is None:
            return await self._send_to_sign_in(session, page)
        question = await self._question(session, session.account, page)
        if question.state != "open" or question.asked is None:
            return await self._too_late(session, session.account, question, page)
        asked = question.asked
        if form.get("seen", ["0"]) != [str(asked.changes)]:
            return await self._again(session, session.account, page, HAS_CHANGED)
        try:
            choice = read_choice(form, asked, self.desk.now)
        except NothingChosen:
            error = NO_ANSWER if asked.kind == "question" else NOTHING_TICKED
            return await self._ask(session, session.account, question, asked, error=error)
        if must_choose(session, session.account, question):
            return self.desk.go(f"/decide/{page}", session)
        try:
            await self._deciding.decide(page, decider_of(session, session.account), choice)
        except Changed:
            return await self._again(session, session.account, page, HAS_CHANGED)
        except SignInAgain:
            return await to_sign_in_afresh(self.desk, session, f"/decide/{page}")
        except Beyond as limit:
            return await self._again(session, session.account, page, f"{BEYOND} It is this one: {limit}.")
        except Problem as refusal:
            if refusal.code != "gone":
                raise
            question = await self._question(session, session.account, page)
            return await self._too_late(session, session.account, question, page)
        await self.desk.accounts.keep_alive(session, BEATING)
        if choice.verdict == "approved" and isinstance(asked.about, Relay):
            return self._to_relayed(asked.about)
        callback = visit_to(session, page).callback
        if callback is not None:
            return self._back_to_agent(callback, _ERRORS[choice.verdict])
        return self.desk.go(f"/decide/{page}", session)

    @as_page
    async def ask(self, request: Request, page: str) -> Answer:
        """POST /decide/{page}/ask: the person asks the agent something first (draft-11 §7.5)."""
        session = await self.desk.accounts.session(request)
        form = await request.read_form()
        self.desk.accounts.check_post(request, session, form)
        if session.account is None:
            return await self._send_to_sign_in(session, page)
        question = await self._question(session, session.account, page)
        if question.state != "open" or question.asked is None:
            return await self._too_late(session, session.account, question, page)
        text = form.get("question", "").replace("\r\n", "\n").replace("\0", "").strip()
        if not 0 < len(text) <= MAX_QUESTION:
            return await self._again(session, session.account, page, NO_QUESTION)
        try:
            await self._clarifying.ask(page, decider_of(session, session.account), text)
        except Problem as refusal:
            if refusal.code == "not_found":
                raise
            return await self._again(session, session.account, page, NOT_TAKEN)
        await self.desk.accounts.keep_alive(session, READING)
        return self.desk.go(f"/decide/{page}#talk", session)

    async def _first(self, session: Session, account: Account, question: Question, asked: Asked) -> Answer | None:
        """What comes before the question itself: signing in afresh, choosing an account, an errand elsewhere."""
        path = f"/decide/{question.page}"
        if must_sign_in(question, session.created):
            return await to_sign_in_afresh(self.desk, session, path)
        if must_choose(session, account, question):
            return await self.desk.show("choose.html", session, page=question.page, **names_of(asked))
        if asked.errand_open:
            return await show_errand(self.desk, session, account, question, asked)
        if isinstance(asked.about, Relay) and question.browser != session.handle:
            # The agent is told that its person is looking at it (draft-11 §7.6.2).
            async with self.desk.database.transaction() as tx:
                await self.desk.questions.arrive(tx, question.pending, session.handle)
        return None

    async def _again(self, session: Session, account: Account, page: str, error: str) -> Answer:
        """The question as it stands now, and why what was sent about it was not used."""
        question = await self._question(session, account, page)
        if question.state != "open" or question.asked is None:
            return await self._too_late(session, account, question, page)
        return await self._ask(session, account, question, question.asked, error=error)

    async def _send_to_sign_in(self, session: Session, page: str) -> Answer:
        """Only who came with the code, or whose home page it stood on, gets further than the form."""
        if await self.desk.questions.find(self.desk.database, page, self.desk.now) is None:
            raise Problem("not_found")
        return await to_sign_in(self.desk, session, f"/decide/{page}")

    async def _question(self, session: Session, account: Account, page: str) -> Question:
        question = await self.desk.questions.find(self.desk.database, page, self.desk.now)
        if question is None or not may_see(question, session.handle, account.id):
            raise Problem("not_found")
        return question

    async def _ask(
        self,
        session: Session,
        account: Account,
        question: Question,
        asked: Asked,
        *,
        error: str | None = None,
        open_for: int = READING,
    ) -> Answer:
        visit = visit_to(session, question.page)
        if asked.about is not None:
            return await self._ask_about(session, account, question, asked, error=error, open_for=open_for)
        standing = await consents.standing(self.desk.database, asked.place(account.id))
        before = {value for one in standing if not one.is_over(self.desk.now) for value in one.granted}
        scopes = [Scope(value, words, value in before) for value, words in asked.described.scopes.items()]
        return await self.desk.show(
            "decision.html",
            session,
            status=200 if error is None else 400,
            open_for=open_for,
            form_origins=_form_origins(visit),
            scopes=scopes,
            new_place=not await records.knows_place(self.desk.database, account.id, asked.resource),
            error=error,
            **self._context(session, account, question, asked),
        )

    async def _ask_about(
        self,
        session: Session,
        account: Account,
        question: Question,
        asked: Asked,
        *,
        error: str | None,
        open_for: int,
    ) -> Answer:
        """The page of a question that no token answers, with the mission it belongs to as it stands (§13.12)."""
        visit = visit_to(session, question.page)
        mission = await missions.by_s256(self.desk.database, asked.mission) if asked.mission is not None else None
        updates = await missions.entries(self.desk.database, mission.s256, "update") if mission is not None else []
        relayed = (origin_of(asked.about.url),) if isinstance(asked.about, Relay) else ()
        return await self.desk.show(
            "governing.html",
            session,
            status=200 if error is None else 400,
            open_for=open_for,
            form_origins=(*_form_origins(visit), *relayed),
            mission=mission.read() if mission is not None else None,
            updates=updates,
            running=await self._running(account, asked),
            words=editable(asked.about.description) if isinstance(asked.about, MissionProposal) else "",
            parameters=parameters_of(asked.about.parameters) if isinstance(asked.about, Action) else (),
            error=error,
            **self._context(session, account, question, asked),
        )

    async def _running(self, account: Account, asked: Asked) -> list[tuple[str, str]]:
        """The agent's missions that a proposed one may replace, by the beginning of their words."""
        if not isinstance(asked.about, MissionProposal):
            return []
        found = await missions.running_of(self.desk.database, asked.agent_iss, asked.agent_sub)
        own = [one for one in found if one.person == account.id and one.ended_as(self.desk.now) is None]
        return [(one.s256, one.read().description) for one in own[:MAX_RUNNING]]

    def _context(self, session: Session, account: Account, question: Question, asked: Asked) -> dict[str, Any]:
        """What every page of a question shows."""
        return {
            "question": question,
            "code": visit_to(session, question.page).code if question.browser == session.handle else None,
            "new_agent": question.person is None,
            # What somebody else asked, before the agent had its person, is between them.
            "talk": [turn for turn in asked.conversation if turn.by == account.id],
            "may_ask": asked.may_be_asked(self.desk.now),
            "rounds_left": MAX_ROUNDS - len(asked.conversation),
            "longest_question": MAX_QUESTION,
            "now": self.desk.now,
            **names_of(asked),
        }

    async def _tell(self, session: Session, account: Account, question: Question, *, again: bool = False) -> Answer:
        """What became of a question, and what waits next."""
        verdict = question.verdict
        asked = Asked.read(verdict["asked"]) if verdict is not None else None
        waiting = await self.desk.questions.waiting_for(self.desk.database, account.id, session.handle, self.desk.now)
        return await self.desk.show(
            "decided.html",
            session,
            status=410 if again else 200,
            open_for=BEATING,
            refresh=REFRESH,
            question=question,
            verdict=verdict,
            again=again,
            waiting=[waiting_line(one) for one in waiting],
            callback=visit_to(session, question.page).callback,
            **(names_of(asked) if asked is not None else {}),
        )

    async def _too_late(self, session: Session, account: Account, question: Question, page: str) -> Answer:
        """A second answer, or one that came after the end: refused, and said so."""
        callback = visit_to(session, page).callback
        if question.state == "expired" and callback is not None:
            return self._back_to_agent(callback, "interaction_expired")
        return await self._tell(session, account, question, again=True)

    def _to_relayed(self, relay: Relay) -> Answer:
        """To the page of another party that the agent asked to bring the person to (draft-11 §11.6.3.2)."""
        url = relay.url if relay.code is None else f"{relay.url}?code={quote(relay.code, safe='')}"
        return Answer(303, (("location", url), ("cache-control", "no-store"), ("referrer-policy", "no-referrer")))

    def _back_to_agent(self, callback: str, error: CallbackError | None) -> Answer:
        """To the callback that was checked when the browser came with it (draft-11 §7.3, §7.3.1)."""
        headers = (("cache-control", "no-store"), ("referrer-policy", "no-referrer"))
        return Answer(303, (("location", with_error(callback, error)), *headers))


def _form_origins(visit: Visit) -> tuple[str, ...]:
    return (origin_of(visit.callback),) if visit.callback is not None else ()
