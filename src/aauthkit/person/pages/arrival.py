"""Arriving with a code: one button, whose POST alone consumes it (draft-11 §11.6.3.1, §13.5).

Chat and mail programs fetch links, so a GET changes nothing; and nothing of the request is shown before the code was
used, so that neither a leaked address nor a guess tells anything.
"""

from __future__ import annotations

from typing import Final

from ...accounts import Session
from ...deferred import PendingRequest
from ...discovery import DiscoveryFailed
from ...protocol.identifiers import fold_code
from ...protocol.messages import Answer
from ...protocol.problems import Problem
from ...protocol.tokens import AGENT_DWK
from ...serving import Request
from ...store import Transaction
from ...web import Words
from ..callbacks import CallbackRefused, check_callback
from ..questions import Question
from .desk import READING, Desk, as_page
from .visit import Visit, with_visit

MAX_CODE: Final = 64
WRONG_CODE: Final = "That is not the code. After a few wrong ones the request ends."

BAD_CALLBACK: Final = Words(
    "This link is not as it should be",
    "It asks us to send you on to an address that the agent's provider does not name.",
    "You were not sent there. The request itself is still waiting, and its code is unused.",
    "Do not follow that link again. Ask the agent for a new one, or tell its provider.",
)
UNCHECKED_CALLBACK: Final = Words(
    "We cannot check this link just now",
    "It asks us to send you on to another address, and the agent's provider is not answering.",
    "You were not sent there. The request itself is still waiting, and its code is unused.",
    "Try the link again in a minute.",
)


class Arrival:
    """/interaction/{page}."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    @as_page
    async def look(self, request: Request, page: str) -> Answer:
        """GET: the button, with the code to compare; whoever is inside already goes on to the question."""
        session = await self.desk.accounts.session(request)
        question = await self._question(page)
        if self._is_inside(question, session):
            return self.desk.go(f"/decide/{page}", session)
        _check_open(question)
        code = request.query.get("code", "")[:MAX_CODE]
        callback = request.query.get("callback", "")
        return self._button(session, page, _as_shown(code), callback)

    def _button(
        self, session: Session, page: str, code: str, callback: str, *, status: int = 200, error: str | None = None
    ) -> Answer:
        answer = self.desk.pages.page(
            "arrival.html", status, session=session, page=page, code=code, callback=callback, error=error
        )
        return self.desk.accounts.with_session(answer, session)

    @as_page
    async def enter(self, request: Request, page: str) -> Answer:
        """POST: consume the code, once; from here on the question belongs to this session."""
        session = await self.desk.accounts.session(request)
        form = await request.read_form()
        self.desk.accounts.check_post(request, session, form)
        question = await self._question(page)
        if self._is_inside(question, session):
            return self.desk.pages.page("inside.html", 410, session=session, page=page)
        _check_open(question)
        callback = form.get("callback") or None
        if callback is not None:
            words = await self._check_callback(callback, question)
            if words is not None:
                return self.desk.pages.problem(Problem("invalid_request"), words, session=session)
        code = form.get("code", "")[:MAX_CODE]
        try:
            return await self._use(session, page, Visit(_as_shown(code), callback), code)
        except Problem as refusal:
            again = await self._question(page)
            if refusal.code != "invalid_code" or again.state != "open" or again.code_used:
                raise
            return self._button(session, page, "", callback or "", status=refusal.status, error=WRONG_CODE)

    async def _use(self, session: Session, page: str, visit: Visit, code: str) -> Answer:
        # The session is on record and its page open before the code is gone: a poll in between sees somebody there.
        kept = await self.desk.accounts.save(session, with_visit(session.data, page, visit))
        await self.desk.accounts.keep_alive(kept, READING)

        async def arrive(pending: PendingRequest, tx: Transaction) -> None:
            await self.desk.questions.arrive(tx, pending.id, kept.handle)

        pending = await self.desk.deferred.use_code(page, code, then=arrive)
        await self.desk.deferred.wake(pending)
        return self.desk.go(f"/decide/{page}", kept)

    async def _question(self, page: str) -> Question:
        question = await self.desk.questions.find(self.desk.database, page, self.desk.now)
        if question is None:
            raise Problem("not_found")
        return question

    def _is_inside(self, question: Question, session: Session) -> bool:
        """Whether this browser came with the code already; a fresh one, which the agent shows now, is compared anew."""
        return question.browser == session.handle and (question.code_used or question.state != "open")

    async def _check_callback(self, callback: str, question: Question) -> Words | None:
        """What to say of a callback that nobody may be sent to (F79); `None` where it is good."""
        try:
            provider = await self.desk.discovery.metadata(question.agent_iss, AGENT_DWK)
            check_callback(callback, provider)
        except DiscoveryFailed:
            return UNCHECKED_CALLBACK
        except CallbackRefused:
            return BAD_CALLBACK
        return None


def _check_open(question: Question) -> None:
    if question.state == "expired":
        raise Problem("expired")
    if question.state != "open":
        raise Problem("gone")


def _as_shown(code: str) -> str:
    """A code as the agent's screen shows it."""
    folded = fold_code(code)
    return f"{folded[:4]}-{folded[4:]}" if len(folded) == 8 else folded
