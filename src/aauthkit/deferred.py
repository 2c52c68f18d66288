"""202 and what follows, once for every server: pending URL, polls, codes, the end (draft-11 §11.8, §11.6.3.1, §13.2).

A pending request belongs to whoever it was given to and is 404 to everybody else. It is *open* until its server
decides it, *decided* until the next poll fetches the answer, then *ended*: 410 from there on. The decision commits with
its effects, and the answer with the end, so that a crash at any moment loses neither.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from .protocol.headers import Requirement, parse_wait
from .protocol.identifiers import new_code, same_code
from .protocol.jose import b64url_encode
from .protocol.messages import Answer, json_answer
from .protocol.problems import Problem
from .serving import Request
from .store import Database, Migration, Row, StoreBusy, StoreUnavailable, Transaction

log = logging.getLogger("aauthkit.deferred")

State = Literal["open", "decided", "ended"]

MAX_CODE_TRIES: Final = 5
"""Wrong codes after which a pending request has failed for good (draft-11 §11.6.3.1)."""
MAX_HELD: Final = 60
"""Longest a poll is held, in seconds."""
RETRY_AFTER: Final = 2
"""Seconds between polls of an agent that does not wait; one that waits may come back at once."""
KEPT_AFTER_END: Final = 24 * 3600
"""Seconds an ended record is kept, so that it answers 410 rather than 404."""
LOOK_AGAIN: Final = 5.0
"""Seconds after which a held poll looks at its record without having been woken, where few are held."""
LOOKS: Final = 200
"""Looks a second of all held polls together, which is what spaces them where many are held."""
POLLS_AT_ONCE: Final = 20
"""Polls of one open request that may come close together unheld; after that one a second, and 429 for the rest."""
HELD_AT_ONCE: Final = 4
"""Polls of one open request that one process holds together; any more are answered at once, and paced."""
MAX_KNOWN: Final = 10_000
"""Pending requests whose polls one process remembers."""
CHANNEL: Final = "pending"

MIGRATIONS: Final = (
    Migration(
        room="deferred",
        version=1,
        statements=(
            """CREATE TABLE pending (
                id TEXT PRIMARY KEY,
                server TEXT NOT NULL,
                kind TEXT NOT NULL,
                owner TEXT NOT NULL,
                state TEXT NOT NULL,
                data TEXT NOT NULL,
                outcome TEXT,
                ended_as TEXT,
                created BIGINT NOT NULL,
                expires BIGINT NOT NULL,
                page TEXT NOT NULL UNIQUE,
                code TEXT NOT NULL,
                code_used BIGINT NOT NULL,
                code_tries BIGINT NOT NULL
            )""",
            "CREATE INDEX pending_expires ON pending (server, expires)",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A pending request as it is on record. `page` names it in its interaction URL; `id` in its pending URL."""

    id: str = field(repr=False)
    kind: str
    owner: str
    state: State
    data: Mapping[str, Any] = field(repr=False)
    outcome: Mapping[str, Any] | None = field(repr=False)
    ended_as: str | None
    created: int
    expires: int
    page: str = field(repr=False)
    code: str = field(repr=False)
    code_used: bool
    code_tries: int


def _read(row: Row) -> PendingRequest:
    return PendingRequest(
        id=row["id"],
        kind=row["kind"],
        owner=row["owner"],
        state=row["state"],
        data=json.loads(row["data"]),
        outcome=json.loads(row["outcome"]) if row["outcome"] is not None else None,
        ended_as=row["ended_as"],
        created=row["created"],
        expires=row["expires"],
        page=row["page"],
        code=row["code"],
        code_used=bool(row["code_used"]),
        code_tries=row["code_tries"],
    )


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a 202 says: a requirement if any, the status, and further members of the body.

    `news` names what is told where the body alone does not, since something in it changes by itself.
    """

    requirement: Requirement | None = None
    status: Literal["pending", "interacting"] = "pending"
    body: Mapping[str, Any] = field(default_factory=dict)
    retry_after: int = RETRY_AFTER
    news: str | None = None


def _come_back(waiting: Waiting) -> Waiting:
    """What is told to an agent whose polls are held: it need not pause in between (draft-11 §11.8.2)."""
    return replace(waiting, retry_after=0) if waiting.retry_after == RETRY_AFTER else waiting


def _news(waiting: Waiting) -> str:
    """What an agent must act on, as one string; empty where it has only to wait."""
    requirement = waiting.requirement
    if requirement is None or requirement.value == "approval":
        return ""
    return waiting.news if waiting.news is not None else requirement.header()[1] + json.dumps(waiting.body)


@dataclass(slots=True)
class _Polls:
    """What this process knows of the polls of one request: what was told last, their pace, and how many it holds."""

    told: str = ""
    held: int = 0
    level: float = 0.0
    at: float = 0.0


Describe = Callable[[PendingRequest], Awaitable[Waiting]]
"""Asked for every 202: what the request waits for now."""
Resolve = Callable[[PendingRequest, Transaction], Awaitable[Answer]]
"""Asked once, when a poll finds the request decided: the terminal answer, made and recorded in the same transaction."""
Arrive = Callable[[PendingRequest, Transaction], Awaitable[None]]
"""Told that a person came with the code of this request."""


class Deferred:
    """The pending requests of one server, `server`, which is its identifier and the origin of its pending URLs."""

    def __init__(
        self,
        server: str,
        database: Database,
        *,
        path: str = "/pending",
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        choose: Callable[[str], str] = secrets.choice,
        max_held: float = MAX_HELD,
    ) -> None:
        self.server = server
        self.path = path
        self._db = database
        self._clock = clock
        self._random = random_bytes
        self._choose = choose
        self._max_held = max_held
        self._polls: dict[str, _Polls] = {}
        self._held = 0

    def url(self, pending: PendingRequest) -> str:
        """The pending URL, on this server's own origin."""
        return f"{self.server}{self.path}/{pending.id}"

    async def open(
        self, tx: Transaction, *, kind: str, owner: str, data: Mapping[str, Any], lifetime: int
    ) -> PendingRequest:
        """Put a request on record as open for `lifetime` seconds; only `owner` may poll it."""
        now = int(self._clock())
        await self._forget(tx, now)
        row = await tx.fetch_one(
            """INSERT INTO pending (id, server, kind, owner, state, data, created, expires, page, code, code_used,
                                    code_tries)
               VALUES (:id, :server, :kind, :owner, 'open', :data, :created, :expires, :page, :code, 0, 0)
               RETURNING *""",
            id=b64url_encode(self._random(24)),
            server=self.server,
            kind=kind,
            owner=owner,
            data=json.dumps(data),
            created=now,
            expires=now + lifetime,
            page=b64url_encode(self._random(16)),
            code=new_code(self._choose),
        )
        assert row is not None
        return _read(row)

    async def _forget(self, tx: Transaction, now: int) -> None:
        await tx.execute(
            "DELETE FROM pending WHERE server = :server AND expires < :before",
            server=self.server,
            before=now - KEPT_AFTER_END,
        )

    async def find(self, tx: Database | Transaction, pending_id: str) -> PendingRequest | None:
        """The request with this pending URL, whoever asks."""
        row = await tx.fetch_one(
            "SELECT * FROM pending WHERE id = :id AND server = :server", id=pending_id, server=self.server
        )
        return _read(row) if row is not None else None

    async def find_page(self, tx: Database | Transaction, page: str) -> PendingRequest | None:
        """The request with this interaction URL."""
        row = await tx.fetch_one(
            "SELECT * FROM pending WHERE page = :page AND server = :server", page=page, server=self.server
        )
        return _read(row) if row is not None else None

    async def lock(self, tx: Transaction, pending_id: str) -> PendingRequest | None:
        """As `find`, holding the record until the transaction ends."""
        row = await tx.fetch_one(
            f"SELECT * FROM pending WHERE id = :id AND server = :server{self._db.for_update}",
            id=pending_id,
            server=self.server,
        )
        return _read(row) if row is not None else None

    async def open_requests(self, tx: Database | Transaction, kind: str | None = None) -> list[PendingRequest]:
        """Every open request that has not expired, oldest first; of one `kind` if given."""
        rows = await tx.fetch_all(
            """SELECT * FROM pending WHERE server = :server AND state = 'open' AND expires > :now
                                           AND (CAST(:kind AS TEXT) IS NULL OR kind = :kind)
               ORDER BY created, id""",
            server=self.server,
            now=int(self._clock()),
            kind=kind,
        )
        return [_read(row) for row in rows]

    async def count_open(self, tx: Database | Transaction) -> int:
        """How many requests are open and have not expired."""
        row = await tx.fetch_one(
            "SELECT count(*) AS total FROM pending WHERE server = :server AND state = 'open' AND expires > :now",
            server=self.server,
            now=int(self._clock()),
        )
        return int(row["total"]) if row is not None else 0

    async def update(self, tx: Transaction, pending: PendingRequest, data: Mapping[str, Any]) -> None:
        """Replace what is on record about a request that has not ended."""
        await tx.execute(
            "UPDATE pending SET data = :data WHERE id = :id AND state <> 'ended'",
            data=json.dumps(data),
            id=pending.id,
        )

    async def decide(self, tx: Transaction, pending_id: str, outcome: Mapping[str, Any]) -> PendingRequest:
        """Settle an open request, once: the first decision stands. Raises `Problem` 410 for any other (F82)."""
        row = await tx.fetch_one(
            """UPDATE pending SET state = 'decided', outcome = :outcome
               WHERE id = :id AND server = :server AND state = 'open' AND expires > :now RETURNING *""",
            outcome=json.dumps(outcome),
            id=pending_id,
            server=self.server,
            now=int(self._clock()),
        )
        if row is None:
            raise Problem("gone", "this request was decided already, or has expired")
        return _read(row)

    async def amend(self, tx: Transaction, pending: PendingRequest, outcome: Mapping[str, Any]) -> None:
        """Say more of a decision, in the transaction that made it."""
        await tx.execute(
            "UPDATE pending SET outcome = :outcome WHERE id = :id AND state = 'decided'",
            outcome=json.dumps(outcome),
            id=pending.id,
        )

    async def end(self, tx: Transaction, pending: PendingRequest, ended_as: str) -> None:
        """Close a request for good; its pending URL answers 410 from now on."""
        await tx.execute(
            """UPDATE pending SET state = 'ended', ended_as = :ended_as, data = '{}', outcome = NULL
               WHERE id = :id AND state <> 'ended'""",
            ended_as=ended_as,
            id=pending.id,
        )

    async def wake(self, pending: PendingRequest) -> None:
        """Tell whoever polls, in this process or another, that something changed. Call after the commit.

        Records out of reach are no failure here: what was committed stands, and a poll that was not woken looks again
        by itself.
        """
        try:
            await self._db.notify(CHANNEL, pending.id)
        except (StoreBusy, StoreUnavailable) as error:
            log.warning("a held poll was not woken: %s", error)

    async def wake_with(self, tx: Transaction, pending: PendingRequest) -> None:
        """As `wake`, as part of the transaction that changes something: no commit of its own, and none is lost."""
        await tx.notify(CHANNEL, pending.id)

    async def use_code(self, page: str, code: str, *, then: Arrive | None = None) -> PendingRequest:
        """Consume the code at its page (draft-11 §11.6.3.1). Raises `Problem` `invalid_code`, `expired` or `not_found`.

        A wrong code counts; the fifth ends the request, and the agent reads `invalid_code`. The right one come again is
        no guess: it is refused and does not count. Who came with a good one is put on record by `then`, in the same
        transaction.
        """
        ended = False
        async with self._db.transaction() as tx:
            row = await tx.fetch_one(
                f"SELECT * FROM pending WHERE page = :page AND server = :server{self._db.for_update}",
                page=page,
                server=self.server,
            )
            if row is None:
                raise Problem("not_found", "there is no such page")
            pending = _read(row)
            if pending.ended_as == "expired" or (pending.state == "open" and pending.expires <= self._clock()):
                raise Problem("expired", "this request has timed out")
            if pending.state != "open":
                raise Problem("invalid_code", "this request has ended")
            right = same_code(code, pending.code)
            good = right and not pending.code_used
            if good:
                await tx.execute("UPDATE pending SET code_used = 1 WHERE id = :id", id=pending.id)
                pending = replace(pending, code_used=True)
                if then is not None:
                    await then(pending, tx)
            elif not right:
                ended = await self._count_wrong_code(tx, pending)
        if ended:
            await self.wake(pending)
        if not good:
            raise Problem("invalid_code", "the code is not known, or was used already")
        return pending

    async def _count_wrong_code(self, tx: Transaction, pending: PendingRequest) -> bool:
        """Whether this one was too many: then the request has failed for good."""
        tries = pending.code_tries + 1
        await tx.execute("UPDATE pending SET code_tries = :tries WHERE id = :id", tries=tries, id=pending.id)
        if tries < MAX_CODE_TRIES:
            return False
        await self.decide(tx, pending.id, {"error": "invalid_code"})
        return True

    async def renew_code(self, tx: Transaction, pending: PendingRequest) -> PendingRequest:
        """A fresh code for an open request whose last one was used up by a page that is gone."""
        row = await tx.fetch_one(
            "UPDATE pending SET code = :code, code_used = 0 WHERE id = :id AND state = 'open' RETURNING *",
            code=new_code(self._choose),
            id=pending.id,
        )
        if row is None:
            raise Problem("gone")
        return _read(row)

    def pending_answer(self, pending: PendingRequest, waiting: Waiting) -> Answer:
        """The 202 (draft-11 §11.8.2)."""
        self._tell(pending, waiting)
        headers = [("location", self.url(pending)), ("retry-after", str(waiting.retry_after))]
        if waiting.requirement is not None:
            headers.append(waiting.requirement.header())
        return json_answer(202, {"status": waiting.status, **waiting.body}, *headers)

    def _polls_of(self, pending_id: str) -> _Polls:
        """What is remembered of a request's polls; forgetting it costs one early answer.

        Not of those that are held: else all of them would be answered early, at once.
        """
        if pending_id not in self._polls and len(self._polls) - self._held >= MAX_KNOWN:
            self._polls = {name: polls for name, polls in self._polls.items() if polls.held}
        return self._polls.setdefault(pending_id, _Polls(at=self._clock()))

    def _tell(self, pending: PendingRequest, waiting: Waiting) -> None:
        self._polls_of(pending.id).told = _news(waiting)

    def _is_news(self, pending: PendingRequest, waiting: Waiting) -> bool:
        return bool(_news(waiting)) and self._polls_of(pending.id).told != _news(waiting)

    def _check_pace(self, pending: PendingRequest) -> None:
        """Return if the polls of an open request keep a pace; raise 429 otherwise (draft-11 §11.9.4 `slow_down`).

        Only of those that are answered at once: one that is held paces itself.
        """
        polls, now = self._polls_of(pending.id), self._clock()
        polls.level = max(0.0, polls.level - max(0.0, now - polls.at))
        polls.at = now
        if polls.level + 1 > POLLS_AT_ONCE:
            raise Problem("slow_down", "poll at Retry-After, or let the server hold the poll", retry_after=RETRY_AFTER)
        polls.level += 1

    async def answer_poll(
        self, request: Request, pending_id: str, owner: str, *, describe: Describe, resolve: Resolve
    ) -> Answer:
        """Answer a poll by `owner`, holding it for the seconds it prefers.

        404 for anybody else, and for an identifier that never was; 408 once after the time is up; 410 after the end.
        """
        answer = await self._poll_once(pending_id, owner, resolve)
        if isinstance(answer, Answer):
            return answer
        seconds = min(parse_wait(request.values("prefer")), self._max_held)
        polls = self._polls_of(pending_id)
        if seconds <= 0 or polls.held >= HELD_AT_ONCE:
            self._check_pace(answer)
            return self.pending_answer(answer, await describe(answer))
        polls.held += 1
        self._held += 1
        try:
            return await self._hold(pending_id, owner, seconds, describe, resolve)
        finally:
            polls.held -= 1
            self._held -= 1

    async def _hold(self, pending_id: str, owner: str, seconds: float, describe: Describe, resolve: Resolve) -> Answer:
        """The answer to a poll once it is decided, once there is news, or after `seconds`."""
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        async with self._db.subscribe(CHANNEL, pending_id) as subscription:
            while True:
                answer = await self._poll_once(pending_id, owner, resolve)
                if isinstance(answer, Answer):
                    return answer
                waiting = await describe(answer)
                remaining = until - clock()
                # What the agent must act on is not held back.
                if remaining <= 0 or self._is_news(answer, waiting):
                    return self.pending_answer(answer, _come_back(waiting))
                await subscription.wait(min(remaining, max(LOOK_AGAIN, self._held / LOOKS)))

    async def _poll_once(self, pending_id: str, owner: str, resolve: Resolve) -> Answer | PendingRequest:
        pending = await self.find(self._db, pending_id)
        if pending is None or pending.owner != owner:
            raise Problem("not_found")
        if pending.state == "ended":
            raise Problem("gone", "this request has ended")
        if pending.state == "open" and pending.expires > self._clock():
            return pending
        async with self._db.transaction() as tx:
            locked = await self.lock(tx, pending_id)
            if locked is None or locked.state == "ended":
                raise Problem("gone", "this request has ended")
            if locked.state == "open":
                await self.end(tx, locked, "expired")
                return Problem("expired", "nobody decided in time").answer()
            answer = await resolve(locked, tx)
            await self.end(tx, locked, "answered")
        return answer

    async def cancel(self, pending_id: str, owner: str) -> PendingRequest:
        """End a request that its owner withdraws (draft-11 §7.5.2.3). Raises `Problem` 404 or 410."""
        async with self._db.transaction() as tx:
            pending = await self.lock(tx, pending_id)
            if pending is None or pending.owner != owner:
                raise Problem("not_found")
            if pending.state == "ended":
                raise Problem("gone", "this request has ended")
            await self.end(tx, pending, "cancelled")
        await self.wake(pending)
        return pending
