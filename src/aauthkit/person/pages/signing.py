"""Signing in, signing up, signing out, and the sign of life of an open page."""

from __future__ import annotations

from typing import Any, Final

from ...accounts import Account, AccountError, Session
from ...protocol.messages import Answer
from ...serving import Request
from .desk import BEATING, Desk, as_page
from .visit import is_afresh, next_of, signed_in, with_next

_STATUS: Final = {"throttled": 429, "credentials": 403, "disabled": 403, "closed": 403, "invite": 403, "taken": 409}
MAX_INVITE: Final = 128


class Signing:
    """/signin, /signup, /signout and /alive."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    @as_page
    async def sign_in_page(self, request: Request) -> Answer:
        """GET /signin."""
        session = await self.desk.accounts.session(request)
        if session.account is not None and not is_afresh(session):
            return self.desk.go(next_of(session), session)
        return await self._sign_in_form(session)

    @as_page
    async def sign_in(self, request: Request) -> Answer:
        """POST /signin."""
        session = await self.desk.accounts.session(request)
        form = await request.read_form()
        self.desk.accounts.check_post(request, session, form)
        name, password = form.get("name", ""), form.get("password", "")
        try:
            account = await self.desk.accounts.sign_in(name, password, peer=request.peer)
            return await self._enter(session, account)
        except AccountError as error:
            return await self._sign_in_form(session, error, name)

    @as_page
    async def sign_up_page(self, request: Request) -> Answer:
        """GET /signup; an invitation comes as `?invite=`."""
        session = await self.desk.accounts.session(request)
        if session.account is not None:
            return self.desk.go(next_of(session), session)
        return await self._sign_up_form(session, request.query.get("invite", "")[:MAX_INVITE])

    @as_page
    async def sign_up(self, request: Request) -> Answer:
        """POST /signup: make an account, and sign in."""
        session = await self.desk.accounts.session(request)
        form = await request.read_form()
        self.desk.accounts.check_post(request, session, form)
        name, invite = form.get("name", ""), form.get("invite", "")[:MAX_INVITE]
        try:
            account = await self.desk.accounts.sign_up(
                name, form.get("password", ""), invite=invite or None, peer=request.peer
            )
            return await self._enter(session, account)
        except AccountError as error:
            return await self._sign_up_form(session, invite, error, name)

    @as_page
    async def sign_out(self, request: Request) -> Answer:
        """POST /signout."""
        session = await self.desk.accounts.session(request)
        self.desk.accounts.check_post(request, session, await request.read_form())
        await self.desk.accounts.sign_out(session)
        answer = self.desk.pages.see_other("/signin")
        return answer.with_headers(*self.desk.accounts.cookies(session, clear=True))

    async def alive(self, request: Request) -> Answer:
        """POST /alive: a page of this session is open in front of somebody."""
        session = await self.desk.accounts.session(request)
        self.desk.accounts.check_post(request, session, await request.read_form())
        await self.desk.accounts.keep_alive(session, BEATING)
        return Answer(204, (("cache-control", "no-store"),))

    async def _enter(self, session: Session, account: Account) -> Answer:
        """A new session with a new identifier, on the page the person was going to (no fixation)."""
        bound = await self.desk.accounts.bind(session, account)
        path = next_of(bound)
        if signed_in(bound.data) != dict(bound.data):
            bound = await self.desk.accounts.save(bound, signed_in(bound.data))
        return self.desk.go(path, bound)

    async def _sign_in_form(self, session: Session, error: AccountError | None = None, name: str = "") -> Answer:
        return await self._form("signin.html", session, error, name=name, open_sign_up=self.desk.accounts.open_sign_up)

    async def _sign_up_form(
        self, session: Session, invite: str, error: AccountError | None = None, name: str = ""
    ) -> Answer:
        may = bool(invite) or self.desk.accounts.open_sign_up
        return await self._form("signup.html", session, error, name=name, invite=invite, may=may)

    async def _form(self, template: str, session: Session, error: AccountError | None, **context: Any) -> Answer:
        status = 200 if error is None else _STATUS.get(error.kind, 400)
        retry = error.retry_after if error is not None else None
        headers = [("retry-after", str(retry))] if retry is not None else []
        return await self.desk.show(
            template,
            session,
            status=status,
            headers=headers,
            error=error,
            deciding=next_of(session).startswith("/decide/"),
            afresh=is_afresh(session),
            **context,
        )


async def to_sign_in_afresh(desk: Desk, session: Session, path: str) -> Answer:
    """Send a person to sign in again, whoever is signed in, and then on to `path` (draft-11 §7.2.1, `prompt=login`)."""
    kept = await desk.accounts.save(session, with_next(session.data, path, afresh=True))
    return desk.go("/signin", kept)


async def to_sign_in(desk: Desk, session: Session, path: str) -> Answer:
    """Send a browser in which nobody has signed in to do so, and remember where it was going."""
    kept = await desk.accounts.save(session, with_next(session.data, path)) if path != "/" else session
    return desk.go("/signin", kept)
