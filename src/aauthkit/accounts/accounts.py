"""The people of one server: signing up and in, invitations, and one session for each browser."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ..protocol.jose import b64url_encode
from ..protocol.messages import Answer
from ..protocol.problems import Problem
from ..serving import Request
from ..store import Conflict, Database, Row, StoreBusy, Transaction
from .cookies import cookie_name, read_cookie, set_cookie
from .names import check_name, fold_name, name_key
from .passwords import Argon2id, Hasher, Passwords, check_password, normalize
from .posts import check_origin, check_token, csrf_of
from .records import Records, SessionRecord
from .throttle import Subject, account_subject, address_subject, in_words
from .values import NO_DATA, Account, AccountError, Session

INVITATION_LIFETIME: Final = 7 * 24 * 3600
"""Seconds an invitation can be used, unless told otherwise."""
SESSION_LIFETIME: Final = 12 * 3600
"""Seconds after which a person signs in again."""
VISIT_LIFETIME: Final = 2 * 3600
"""Seconds a session lasts in which nobody has signed in."""
MAX_DATA: Final = 16 * 1024
"""Most that a session keeps, in bytes of JSON."""
LONGEST_ALIVE: Final = 300
"""Longest time, in seconds, for which a page is taken to be open without a word from it."""
MAX_AHEAD: Final = 300
"""Seconds by which another process's clock may be ahead of this one's."""
FORGET_EVERY: Final = 60
"""Seconds between two sweeps of what is over."""

WhenSwitched = Callable[[Transaction, str, bool], Awaitable[None]]
"""What a role does when an account, by its identifier, is switched off (`True`) or on."""

_WRONG: Final = "Name or password is wrong."


class Accounts:
    """The accounts and sessions of the server `issuer`, on `database` (bring it to `MIGRATIONS` first).

    Sign-up without an invitation is open in the loopback profile only, unless `open_sign_up` says otherwise. No account
    comes with the server, and no password but one that somebody chose (F89).
    """

    def __init__(
        self,
        database: Database,
        *,
        issuer: str,
        loopback: bool = False,
        open_sign_up: bool | None = None,
        session_lifetime: int = SESSION_LIFETIME,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        hasher: Hasher | None = None,
    ) -> None:
        self.issuer = issuer
        self.loopback = loopback
        self.open_sign_up = loopback if open_sign_up is None else open_sign_up
        self._lifetime = session_lifetime
        self._cookie = cookie_name(issuer, loopback=loopback)
        self._records = Records(database, issuer)
        self._clock = clock
        self._random = random_bytes
        self._hasher = hasher
        self._passwords_: Passwords | None = None
        self._secret_: bytes | None = None
        self._when_switched: list[WhenSwitched] = []
        self._swept = 0

    # People

    async def sign_up(self, name: str, password: str, *, invite: str | None = None, peer: str | None = None) -> Account:
        """Make an account. `peer` is the address of the browser; leave it out at the command line.

        Raises `AccountError`: `closed`, `invite`, `name`, `weak`, `taken`, `throttled`.
        """
        if invite is None and not self.open_sign_up:
            raise AccountError("closed", "Accounts are made by invitation here. Ask whoever runs this server for one.")
        shown = check_name(name)
        chosen = check_password(password, shown)
        now = self._now()
        address = [address_subject(peer)] if peer is not None else []
        await self._count(address, now)
        if invite is not None and not await self._records.has_invitation(invite, now):
            raise AccountError("invite", "This invitation is not known, was used already, or has expired.")
        if await self._records.find(fold_name(shown)) is not None:
            raise AccountError("taken", "Somebody has this name already. Choose another.")
        account = await self._add(shown, await self._passwords.hash(chosen), invite)
        await self._forgive(address=address)
        return account

    async def _add(self, name: str, encoded: str, invite: str | None) -> Account:
        now = self._now()
        account = Account(b64url_encode(self._random(16)), name, now)
        async with self._records.database.transaction() as tx:
            if invite is not None and not await self._records.use_invitation(tx, invite, now):
                raise AccountError("invite", "This invitation is not known, was used already, or has expired.")
            if not await self._records.add_account(tx, account, fold_name(name)):
                raise AccountError("taken", "Somebody has this name already. Choose another.")
            await self._records.set_hash(tx, account.id, encoded, now)
        return account

    async def sign_in(self, name: str, password: str, *, peer: str | None) -> Account:
        """The account of a name and its password; `bind` makes it the session's.

        A wrong password and an unknown name cost the same work and say the same. Each attempt counts before it is made,
        for the account and for the address it came from. Raises `AccountError`: `credentials`, `throttled`, `disabled`.
        """
        account, address = [account_subject(name)], [address_subject(peer)]
        await self._count([*account, *address], self._now())
        found = await self._records.credentials(name_key(name))
        encoded = found.hash if found is not None else None
        right = await self._passwords.matches(encoded, password)
        if found is None or encoded is None or not right:
            raise AccountError("credentials", _WRONG)
        await self._forgive(account=account, address=address)
        if found.account.disabled:
            raise AccountError("disabled", "This account is switched off. Ask whoever runs this server.")
        if self._passwords.outdated(encoded):
            fresh = await self._passwords.hash(normalize(password))
            await self._records.renew_hash(found.account.id, encoded, fresh)
        return found.account

    async def set_password(self, name: str, password: str) -> None:
        """Give an account another password, and end its sessions.

        Raises `AccountError`: `unknown`, `weak`, `throttled`.
        """
        account = await self._known(name)
        encoded = await self._passwords.hash(check_password(password, account.name))
        async with self._records.database.transaction() as tx:
            await self._records.set_hash(tx, account.id, encoded, self._now())
            await self._records.end_sessions(tx, account.id)
            await self._records.forgive_all(tx, account_subject(name))

    def when_switched(self, effect: WhenSwitched) -> None:
        """Have `effect` be part of every switching off and on, in the same transaction."""
        self._when_switched.append(effect)

    async def set_disabled(self, name: str, disabled: bool) -> None:
        """Switch an account off, which ends its sessions, or on again. Raises `AccountError`: `unknown`."""
        account = await self._known(name)
        async with self._records.database.transaction() as tx:
            await self._records.set_disabled(tx, account.id, disabled)
            if disabled:
                await self._records.end_sessions(tx, account.id)
            if account.disabled != disabled:
                for effect in self._when_switched:
                    await effect(tx, account.id, disabled)

    async def invite(self, lifetime: int = INVITATION_LIFETIME) -> str:
        """An invitation, good for one account within `lifetime` seconds. It is told here once and kept as a hash."""
        secret = b64url_encode(self._random(24))
        now = self._now()
        await self._records.add_invitation(secret, now + lifetime, now)
        return secret

    async def find(self, name: str) -> Account | None:
        """The account with this name, in whatever case."""
        return await self._records.find(name_key(name))

    async def account(self, account_id: str, tx: Transaction | None = None) -> Account | None:
        """The account with this identifier, as `tx` finds it where one is given: of the database `is_on` says."""
        return await self._records.account(tx or self._records.database, account_id)

    def is_on(self, database: Database) -> bool:
        """Whether the accounts are kept in this very database."""
        return self._records.database is database

    async def list(self) -> Sequence[Account]:
        """Every account, in the order of their making."""
        return await self._records.accounts()

    # Sessions

    async def session(self, request: Request) -> Session:
        """The session of the request's browser, or a fresh one in which nobody has signed in.

        A fresh one costs no record until `save` or `bind`; its forms work all the same, for two hours.
        """
        now = self._now()
        cookie = read_cookie(request, self._cookie)
        if cookie is not None:
            record = await self._records.session(cookie, now)
            if record is not None:
                return _session(cookie, record)
            begun = await self._visit_begun(cookie, now)
            if begun is not None and not await self._records.visit_ended(self._records.database, cookie):
                return _session(cookie, self._visit(cookie, begun))
        random = b64url_encode(self._random(24))
        visit = f"{random}.{now}.{await self._visit_mac(random, now)}"
        return replace(_session(visit, self._visit(visit, now)), fresh=True)

    async def bind(self, session: Session, account: Account) -> Session:
        """Sign `account` in: a new session with a new identifier and form token; the old one is over (no fixation).

        What the session kept goes along, unless another person was signed in before. Raises `AccountError` `disabled`.
        """
        now = self._now()
        session_id = b64url_encode(self._random(32))
        async with self._records.database.transaction() as tx:
            current = await self._records.account(tx, account.id)
            if current is None or current.disabled:
                raise AccountError("disabled", "This account is switched off. Ask whoever runs this server.")
            old = await self._end(tx, session)
            mine = session.account is None or session.account.id == account.id
            goes_along = old if mine and old is not None and old["account"] in (None, account.id) else None
            handle = b64url_encode(self._random(16)) if goes_along is None else goes_along["handle"]
            data = NO_DATA if goes_along is None else json.loads(goes_along["data"])
            record = SessionRecord(handle, current, data, now, now + self._lifetime)
            await self._records.add_session(
                tx, session_id, record, 0 if goes_along is None else goes_along["alive_until"]
            )
        await self._sweep(now)
        return replace(_session(session_id, record), fresh=True)

    async def save(self, session: Session, data: Mapping[str, Any]) -> Session:
        """Keep `data`, which JSON can hold, in the session instead of what was there.

        Raises `Problem` 403 where the session has ended meanwhile, `ValueError` where `data` is too large.
        """
        if len(json.dumps(dict(data))) > MAX_DATA:
            raise ValueError(f"a session keeps {MAX_DATA} bytes at most")
        now = self._now()
        try:
            saved = await self._save(session, data, now)
        except Conflict:
            # Put on record by another tab at the same moment; or its handle went over to the session of a sign-in.
            saved = await self._save(session, data, now)
        if not saved:
            raise Problem("access_denied", "this session has ended")
        await self._sweep(now)
        return replace(session, data=dict(data))

    async def _save(self, session: Session, data: Mapping[str, Any], now: int) -> bool:
        async with self._records.database.transaction() as tx:
            if await self._records.save_data(tx, session.id, data, now):
                return True
            return await self._put_on_record(tx, session, data, now)

    async def _put_on_record(self, tx: Transaction, session: Session, data: Mapping[str, Any], now: int) -> bool:
        """False for a session that was on record and is so no more."""
        if session.account is not None or session.expires <= now or await self._records.visit_ended(tx, session.id):
            return False
        visit = SessionRecord(session.handle, None, data, session.created, session.expires)
        await self._records.add_session(tx, session.id, visit)
        return True

    async def _end(self, tx: Transaction, session: Session) -> Row | None:
        """End a session and answer its record; a visit is remembered as ended, or its cookie would revive it."""
        if session.account is None:
            await self._records.end_visit(tx, session.id, session.expires)
        return await self._records.take_session(tx, session.id)

    async def sign_out(self, session: Session) -> None:
        """End the session; send `cookies(session, clear=True)` with the answer."""
        async with self._records.database.transaction() as tx:
            await self._end(tx, session)

    def cookies(self, session: Session, *, clear: bool = False) -> Sequence[tuple[str, str]]:
        """The `Set-Cookie` fields that put the session into the browser, or take it out."""
        seconds = 0 if clear else max(session.expires - self._now(), 0)
        return [set_cookie(self._cookie, "" if clear else session.id, seconds)]

    def with_session(self, answer: Answer, session: Session) -> Answer:
        """`answer`, with the cookie of a session that the browser does not hold yet."""
        return answer.with_headers(*self.cookies(session)) if session.fresh else answer

    def check_post(
        self, request: Request, session: Session, form: Mapping[str, str] | Mapping[str, Sequence[str]]
    ) -> None:
        """Return if a page of this server posted the form in this session; raise `Problem` 403 otherwise (F77).

        The form carries `session.csrf` in `CSRF_FIELD`; the request's `Origin` is this server (draft-11 §13.13).
        """
        check_origin(request, self.issuer)
        check_token(session.csrf, form)

    async def keep_alive(self, session: Session, seconds: int) -> None:
        """Note that a page of this session is open in front of the person for the next `seconds`.

        Only of sessions on record: those that were saved or signed in.
        """
        await self._records.keep_alive(session.id, self._now() + min(max(seconds, 0), LONGEST_ALIVE))

    async def page_alive(self, account_id: str, tx: Transaction | None = None) -> bool:
        """Whether a page is open in any session of this account; inside a transaction, through it."""
        return await self._records.account_alive(tx or self._records.database, account_id, self._now())

    async def session_alive(self, handle: str) -> bool:
        """Whether a page is open in the session with this handle, signed in or not."""
        return await self._records.handle_alive(handle, self._now())

    # Inside

    def _now(self) -> int:
        return int(self._clock())

    @property
    def _passwords(self) -> Passwords:
        if self._passwords_ is None:
            self._passwords_ = Passwords(self._hasher or Argon2id(random_bytes=self._random))
        return self._passwords_

    async def _known(self, name: str) -> Account:
        account = await self.find(name)
        if account is None:
            raise AccountError("unknown", "No account has this name.")
        return account

    async def _count(self, subjects: Sequence[Subject], now: int) -> None:
        await self._sweep(now)
        async with self._records.database.transaction() as tx:
            waits = [await self._records.count_attempt(tx, subject, now) for subject in subjects]
            wait = max(waits, default=0)
            if wait:  # leaves the transaction, so that what did not happen is not counted
                raise AccountError("throttled", f"Too many attempts. Try again in {in_words(wait)}.", retry_after=wait)

    async def _forgive(self, *, account: Sequence[Subject] = (), address: Sequence[Subject]) -> None:
        """After success: an account's attempts are forgotten, of an address's only this one.

        Otherwise whoever has an account could clear the way for guesses at others.
        """
        async with self._records.database.transaction() as tx:
            for subject in account:
                await self._records.forgive_all(tx, subject)
            for subject in address:
                await self._records.forgive(tx, subject)

    async def _sweep(self, now: int) -> None:
        if abs(now - self._swept) < FORGET_EVERY:
            return
        self._swept = now
        try:
            await self._records.forget(now)
        except StoreBusy:
            self._swept = 0  # whoever comes next tries again

    async def _visit_mac(self, random: str, begun: int) -> str:
        if self._secret_ is None:
            self._secret_ = (await self._records.secret(b64url_encode(self._random(32)))).encode()
        return b64url_encode(hmac.digest(self._secret_, f"{random}.{begun}".encode(), hashlib.sha256))

    async def _visit_begun(self, cookie: str, now: int) -> int | None:
        """When a session of ours that is on no record began; None where the cookie is not one, or its time is up."""
        random, _, rest = cookie.partition(".")
        begun, _, mac = rest.partition(".")
        if not begun.isdecimal() or len(begun) > 12 or not now - VISIT_LIFETIME < int(begun) <= now + MAX_AHEAD:
            return None
        return int(begun) if hmac.compare_digest(mac, await self._visit_mac(random, int(begun))) else None

    def _visit(self, session_id: str, begun: int) -> SessionRecord:
        handle = b64url_encode(hmac.digest(session_id.encode(), b"aauthkit handle", hashlib.sha256)[:16])
        return SessionRecord(handle, None, NO_DATA, begun, begun + VISIT_LIFETIME)


def _session(session_id: str, record: SessionRecord) -> Session:
    return Session(
        id=session_id,
        csrf=csrf_of(session_id),
        handle=record.handle,
        account=record.account,
        data=record.data,
        created=record.created,
        expires=record.expires,
    )
