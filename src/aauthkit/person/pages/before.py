"""What comes before a question: which account answers it, and what a resource needs of the person at its own page.

draft-11 §7.2.1 (`prompt=select_account`), §7.2.3 (resource-initiated interaction).
"""

from __future__ import annotations

from dataclasses import replace

from ...accounts import Account, Session
from ...protocol.identifiers import origin_of
from ...protocol.messages import Answer
from ...protocol.problems import Problem
from ...serving import Request
from ..asked import Asked
from ..callbacks import with_error
from ..deciding import Decider, may_see
from ..errands import Errands, read_error
from ..questions import Question
from .desk import READING, Desk, as_page
from .naming import names_of
from .signing import to_sign_in
from .visit import visit_to, with_next, with_visit

MAX_TICKET = 128


def decider_of(session: Session, account: Account) -> Decider:
    """Who decides in this session."""
    return Decider(account.id, session.handle, session.created)


def must_choose(session: Session, account: Account, question: Question) -> bool:
    """Whether the person is still to say as whom they decide; whoever signed in for it has said so.

    An agent that has its person leaves no choice (draft-11 §13.14).
    """
    if question.person is not None or question.asked is None or "select_account" not in question.asked.prompt:
        return False
    return session.created <= question.created and visit_to(session, question.page).chosen != account.id


async def show_errand(desk: Desk, session: Session, account: Account, question: Question, asked: Asked) -> Answer:
    """The page between: what the resource needs, and the way there."""
    assert asked.errand is not None
    callback = visit_to(session, question.page).callback
    origins = (origin_of(asked.errand.url), *((origin_of(callback),) if callback is not None else ()))
    return await desk.show(
        "errand.html",
        session,
        form_origins=origins,
        question=question,
        url=asked.errand.url,
        set_out=asked.errand.ticket is not None,
        new_agent=question.person is None,
        **names_of(asked),
    )


class Before:
    """/decide/{page}/account, /decide/{page}/errand and /back/{ticket}."""

    def __init__(self, desk: Desk, errands: Errands) -> None:
        self.desk = desk
        self._errands = errands

    @as_page
    async def choose(self, request: Request, page: str) -> Answer:
        """POST /decide/{page}/account: as whoever is signed in, or as somebody else."""
        session = await self.desk.accounts.session(request)
        form = await request.read_form()
        self.desk.accounts.check_post(request, session, form)
        if session.account is None:
            return await to_sign_in(self.desk, session, f"/decide/{page}")
        question = await self.desk.questions.find(self.desk.database, page, self.desk.now)
        if question is None or not may_see(question, session.handle, session.account.id):
            raise Problem("not_found")
        visit = visit_to(session, page)
        if form.get("as") == "me":
            chosen = replace(visit, chosen=session.account.id)
            kept = await self.desk.accounts.save(session, with_visit(session.data, page, chosen))
            return self.desk.go(f"/decide/{page}", kept)
        if form.get("as") != "other" or question.person is not None or question.state != "open":
            raise Problem("invalid_request", "the form holds an answer that the page does not offer")
        await self.desk.accounts.sign_out(session)
        strange = replace(request, headers=tuple(one for one in request.headers if one[0] != "cookie"))
        fresh = await self.desk.accounts.session(strange)
        kept = await self.desk.accounts.save(fresh, with_next(with_visit({}, page, visit), f"/decide/{page}"))
        async with self.desk.database.transaction() as tx:
            await self.desk.questions.arrive(tx, question.pending, kept.handle)
        await self.desk.accounts.keep_alive(kept, READING)
        return self.desk.go("/signin", kept)

    @as_page
    async def set_out(self, request: Request, page: str) -> Answer:
        """POST /decide/{page}/errand: to the resource's own page."""
        session = await self.desk.accounts.session(request)
        self.desk.accounts.check_post(request, session, await request.read_form())
        if session.account is None:
            return await to_sign_in(self.desk, session, f"/decide/{page}")
        url = await self._errands.set_out(page, decider_of(session, session.account))
        return Answer(303, (("location", url), ("cache-control", "no-store"), ("referrer-policy", "no-referrer")))

    @as_page
    async def come_back(self, request: Request, ticket: str) -> Answer:
        """GET /back/{ticket}: from the resource's page, where all went well or did not (draft-11 §7.3.1)."""
        session = await self.desk.accounts.session(request)
        if session.account is None or len(ticket) > MAX_TICKET:
            raise Problem("not_found")
        said = request.query.get("error")
        error = read_error(said) if said is not None else None
        page = await self._errands.come_back(ticket, decider_of(session, session.account), error)
        callback = visit_to(session, page).callback
        if error is not None and callback is not None:
            headers = (("cache-control", "no-store"), ("referrer-policy", "no-referrer"))
            return Answer(303, (("location", with_error(callback, error)), *headers))
        return self.desk.go(f"/decide/{page}", session)
