"""Resource-managed authorization: a person decides at the application's own page (draft-11 §6.2, §7.3).

An agent without a session gets 202 with a page and a code. Whoever arrives there with the code is handed over to the
application, which knows its people and asks them; what it says is what the agent's next poll gets: a session, or why
not. The code decides nothing (§11.6.3.1).
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..callbacks import CallbackError, with_error
from ..callers import Agent, Caller
from ..deferred import Deferred, PendingRequest, Waiting
from ..protocol.headers import interaction_required
from ..protocol.identifiers import format_scope
from ..protocol.jose import b64url_encode
from ..protocol.messages import Answer, json_answer
from ..protocol.problems import Problem
from ..serving import Request
from ..store import Database, Transaction
from .holders import Binding, binding_of, read_binding
from .pages import Ending
from .sessions import ACCESS, Presented, SessionGrant, SessionRefused, Sessions, read_grant

log = logging.getLogger("aauthkit.resource")

LIFETIME: Final = 3600
"""Seconds a person has, from the agent's request on."""
NEW_CODE_AFTER: Final = 600
"""Seconds after which the agent gets a fresh code, where whoever used the last one has not decided."""
MAX_ASKED: Final = 10
"""Different questions of one agent that may be open at once."""
KIND: Final = "session"
_OUTCOMES: Final[Mapping[CallbackError, str]] = {
    "access_denied": "denied",
    "user_abandoned": "abandoned",
    "server_error": "server_error",
    "temporarily_unavailable": "server_error",
    "interaction_expired": "expired",
}
_ENDINGS: Final[Mapping[CallbackError, Ending]] = {
    "access_denied": "declined",
    "user_abandoned": "abandoned",
    "server_error": "failed",
    "temporarily_unavailable": "failed",
    "interaction_expired": "expired",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked for, and by whom: `caller` as it was verified, the scope and the account it wants a session for."""

    caller: Caller
    scope: frozenset[str] = frozenset()
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """A person who came with a good code. `id` is what the application ends the visit with; it is a secret.

    `agent` and `provider` are known where an agent token was shown, `ps` is the person server that stands behind it.
    """

    id: str = field(repr=False)
    agent: str | None
    provider: str | None
    ps: str | None
    scope: frozenset[str]
    account: str | None


Page = Callable[[Visit], str | Answer | Awaitable[str | Answer]]
"""The application's page for a visit: a URL to send the browser to, or the answer itself."""
AtOnce = Callable[[Ask], SessionGrant | Awaitable[SessionGrant | None] | None]
"""Grants a session without asking anybody, or gives `None` where a person is to be asked (draft-11 §6.2)."""


@dataclass(frozen=True, slots=True)
class Handlers:
    """What the application gave: its page, and whom it lets in without one."""

    page: Page
    at_once: AtOnce | None = None


class Interactions:
    """The open questions of one resource; `path` is where its pages and pending URLs stand, seen from outside."""

    def __init__(
        self,
        resource: str,
        database: Database,
        sessions: Sessions,
        handlers: Handlers,
        *,
        path: str,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.handlers = handlers
        self.deferred = Deferred(resource, database, path=f"{path}/pending", clock=clock, random_bytes=random_bytes)
        self.page_url = f"{resource}{path}/interaction"
        self.database = database
        self._resource = resource
        self._db = database
        self._sessions = sessions
        self._clock = clock
        self._random = random_bytes

    # What an agent gets.

    async def ask(self, ask: Ask) -> Answer | Presented:
        """The 202 for whoever has no session, or the session that it has after all. Raises `Problem` 429.

        The same question asked again joins the one that is open; a session whose token was lost is given out again.
        """
        await self._sessions.refresh()
        granted = await _awaited(self.handlers.at_once(ask)) if self.handlers.at_once is not None else None
        if granted is not None:
            return await self._open_at_once(ask, granted)
        lost, pending = await self._join_or_open(ask)
        if lost is not None:
            try:
                return await self._sessions.recover(lost, ask.caller)
            except SessionRefused:
                pending = (await self._join_or_open(ask, anew=True))[1]
        assert pending is not None
        return self.deferred.pending_answer(pending, self._waiting(pending))

    async def _open_at_once(self, ask: Ask, granted: SessionGrant) -> Presented:
        async with self._db.transaction() as tx:
            session_id = await self._sessions.open(tx, binding_of(ask.caller), granted)
        return await self._sessions.recover(session_id, ask.caller)

    async def _join_or_open(self, ask: Ask, *, anew: bool = False) -> tuple[str | None, PendingRequest | None]:
        """The session that was granted and never used, or the open question."""
        binding = binding_of(ask.caller)
        name = {"resource": self._resource, "binding": binding.text(), "wanted": _wanted(ask)}
        async with self._db.transaction() as tx:
            row = await self._asked(tx, name)
            if row["session"] is not None and not anew:
                return row["session"], None
            known = await self.deferred.find(tx, row["pending"]) if row["pending"] is not None else None
            if known is not None and known.state != "ended" and known.expires > self._clock():
                return None, known
            pending = await self.deferred.open(
                tx, kind=KIND, owner=binding.text(), data=_data(ask, binding), lifetime=LIFETIME
            )
            await tx.execute(
                """UPDATE resource_asked SET pending = :pending, session = NULL, expires = :expires
                   WHERE resource = :resource AND binding = :binding AND wanted = :wanted""",
                pending=pending.id,
                expires=pending.expires,
                **name,
            )
        return None, pending

    async def _asked(self, tx: Transaction, name: Mapping[str, str]) -> Mapping[str, Any]:
        """The record of this question, made where there is none, and held until the transaction ends."""
        now = int(self._clock())
        await tx.execute(
            "DELETE FROM resource_asked WHERE resource = :resource AND expires <= :now",
            resource=self._resource,
            now=now,
        )
        new = await tx.execute(
            """INSERT INTO resource_asked (resource, binding, wanted, expires)
               VALUES (:resource, :binding, :wanted, :expires) ON CONFLICT (resource, binding, wanted) DO NOTHING""",
            expires=now + LIFETIME,
            **name,
        )
        if new:
            await self._check_room(tx, name["binding"])
        row = await tx.fetch_one(
            f"""SELECT pending, session FROM resource_asked
                WHERE resource = :resource AND binding = :binding AND wanted = :wanted{self._db.for_update}""",
            **name,
        )
        assert row is not None
        return row

    async def _check_room(self, tx: Transaction, binding: str) -> None:
        row = await tx.fetch_one(
            "SELECT count(*) AS total FROM resource_asked WHERE resource = :resource AND binding = :binding",
            resource=self._resource,
            binding=binding,
        )
        if row is not None and row["total"] > MAX_ASKED:
            raise Problem("rate_limited", "this agent has as many questions open as are kept for one")

    def _waiting(self, pending: PendingRequest) -> Waiting:
        if pending.code_used or pending.state != "open":
            return Waiting(status="interacting" if pending.state == "open" else "pending")
        return Waiting(interaction_required(f"{self.page_url}/{pending.page}", pending.code), retry_after=0)

    async def poll(self, request: Request, pending_id: str, caller: Caller) -> Answer:
        """The answer to a poll by `caller`: 404 to all but the one who asked, with the key it asked with (§13.2)."""
        await self._sessions.refresh()
        pending = await self.deferred.find(self._db, pending_id)
        if pending is None or pending.kind != KIND or not read_binding(pending.owner).polls(caller):
            raise Problem("not_found")
        return await self.deferred.answer_poll(
            request, pending_id, pending.owner, describe=self._describe, resolve=self._resolve
        )

    async def _describe(self, pending: PendingRequest) -> Waiting:
        visited = pending.data.get("visited")
        if pending.code_used and visited is not None and visited + NEW_CODE_AFTER <= self._clock():
            async with self._db.transaction() as tx:
                locked = await self.deferred.lock(tx, pending.id)
                if locked is not None and locked.state == "open" and locked.code_used:
                    pending = await self.deferred.renew_code(tx, locked)
        return self._waiting(pending)

    async def _resolve(self, pending: PendingRequest, tx: Transaction) -> Answer:
        outcome = pending.outcome or {}
        if "grant" not in outcome:
            return Problem(outcome.get("error", "server_error")).answer()
        grant = read_grant(outcome["grant"])
        session_id = await self._sessions.open(tx, read_binding(pending.owner), grant)
        await tx.execute(
            "UPDATE resource_asked SET session = :session WHERE resource = :resource AND pending = :pending",
            session=session_id,
            resource=self._resource,
            pending=pending.id,
        )
        return authorized(grant.scope, self._sessions.token(session_id))

    async def cancel(self, pending_id: str, caller: Caller) -> Answer:
        """The agent withdraws its question."""
        pending = await self.deferred.find(self._db, pending_id)
        if pending is None or pending.kind != KIND or not read_binding(pending.owner).polls(caller):
            raise Problem("not_found")
        await self.deferred.cancel(pending_id, pending.owner)
        return Answer(204, (("cache-control", "no-store"),))

    # What the application says.

    async def arrive(self, pending: PendingRequest, code: str, callback: str | None) -> Visit:
        """Use the code, once. Raises `Problem` where it is not good."""
        visit_id = b64url_encode(self._random(24))

        async def note(arrived: PendingRequest, tx: Transaction) -> None:
            seen = {"visit": _digest(visit_id), "callback": callback, "visited": int(self._clock())}
            await self.deferred.update(tx, arrived, {**arrived.data, **seen})

        arrived = await self.deferred.use_code(pending.page, code, then=note)
        await self.deferred.wake(arrived)
        data = arrived.data
        return Visit(
            f"{arrived.page}.{visit_id}",
            data["agent"],
            data["provider"],
            data["ps"],
            frozenset(data["scope"]),
            data["account"],
        )

    async def complete(self, visit: str, grant: SessionGrant) -> str:
        """The person agreed: the agent gets a session. Gives the URL to send the browser to.

        Raises `Problem` `not_found` for an identifier that was not given out, `gone` after another decision.
        """
        return await self._decide(visit, {"grant": grant.text()}, None)

    async def decline(self, visit: str, error: CallbackError = "access_denied") -> str:
        """It ends without a session, and `error` says why (draft-11 §7.3.1). As `complete` otherwise."""
        return await self._decide(visit, {"error": _OUTCOMES[error]}, error)

    async def _decide(self, visit: str, outcome: Mapping[str, Any], error: CallbackError | None) -> str:
        page, _, secret = visit.partition(".")
        async with self._db.transaction() as tx:
            pending = await self.deferred.find_page(tx, page)
            if pending is None or pending.kind != KIND or pending.data.get("visit") != _digest(secret):
                raise Problem("not_found", "no such visit")
            callback = pending.data.get("callback")
            if self.has_expired(pending):
                error = "interaction_expired"
            else:
                await self.deferred.decide(tx, pending.id, outcome)
        await self.deferred.wake(pending)
        return self.way_back(callback, error)

    def has_expired(self, pending: PendingRequest) -> bool:
        """Whether nobody decided in time."""
        return pending.ended_as == "expired" or (pending.state == "open" and pending.expires <= self._clock())

    def way_back(self, callback: str | None, error: CallbackError | None) -> str:
        """Where a browser goes at the end: the callback, else a page of this resource's own (draft-11 §7.3)."""
        if callback is not None:
            return with_error(callback, error)
        return f"{self.page_url}/ended?as={_ENDINGS[error] if error is not None else 'authorized'}"


def authorized(scope: frozenset[str], token: str) -> Answer:
    """200 with a session token (draft-11 §6.6.1)."""
    return json_answer(200, {"status": "authorized", "scope": format_scope(scope)}, (ACCESS, token))


def _wanted(ask: Ask) -> str:
    return hashlib.sha256(json.dumps([sorted(ask.scope), ask.account]).encode()).hexdigest()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _data(ask: Ask, binding: Binding) -> dict[str, Any]:
    agent = ask.caller if isinstance(ask.caller, Agent) else None
    ps = agent.ps if agent is not None else (binding.names[0] if binding.kind == "person" else None)
    return {
        "agent": agent.sub if agent is not None else None,
        "provider": agent.iss if agent is not None else None,
        "ps": ps,
        "scope": sorted(ask.scope),
        "account": ask.account,
    }


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
