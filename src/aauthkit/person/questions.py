"""The questions that wait for a person: opened by agents, joined by equal ones, looked at and decided on pages.

A question is a pending request (`deferred`) with what a person server knows of it besides: whose agent asks, which
browser came with its code, and how it was decided. Records of both are written in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from ..deferred import Deferred, PendingRequest
from ..protocol.problems import Problem
from ..store import Database, Row, Statements, Transaction
from .asked import Asked
from .records import MAX_LISTED

LIFETIME: Final = 1800
"""Seconds a question waits for its person, unless the server is told otherwise."""
MAX_OPEN: Final = 32
"""Questions that one agent may have open at once."""
TRY_AGAIN: Final = 60
"""Seconds after which an agent with too many open questions may ask again."""

State = Literal["open", "decided", "expired", "withdrawn", "failed"]


class Collided(Exception):
    """Two equal questions were opened in the same moment; whoever catches this asks again and joins."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question as a page sees it. `asked` is there while it is open, `verdict` once it was decided.

    `told` says that the agent has fetched its answer. `browser` is the handle of the session that used its code last;
    `person` whose agent asks, or who decided.
    """

    pending: str = field(repr=False)
    page: str = field(repr=False)
    agent_iss: str
    agent_sub: str
    person: str | None
    browser: str | None
    created: int
    expires: int
    state: State
    code: str = field(repr=False)
    code_used: bool
    told: bool
    asked: Asked | None = field(repr=False)
    verdict: Mapping[str, Any] | None = field(repr=False)


_SELECT: Final = """SELECT r.*, p.state AS state, p.ended_as AS ended_as, p.data AS data, p.code AS code,
    p.code_used AS code_used FROM person_requests r JOIN pending p ON p.id = r.pending"""
_IS_OPEN: Final = "p.state = 'open' AND p.expires > :now"


def _state(row: Row, now: float) -> State:
    if row["verdict"] is not None:
        return "decided"
    if row["state"] == "open":
        return "open" if row["expires"] > now else "expired"
    endings: dict[str, State] = {"cancelled": "withdrawn", "expired": "expired"}
    return endings.get(row["ended_as"] or "", "failed")


def _question(row: Row, now: float) -> Question:
    kept = json.loads(row["data"])
    names = ("pending", "page", "agent_iss", "agent_sub", "person", "browser", "created", "expires", "code")
    return Question(
        **{name: row[name] for name in names},
        state=_state(row, now),
        code_used=bool(row["code_used"]),
        told=row["ended_as"] == "answered",
        asked=Asked.read(kept) if kept else None,
        verdict=json.loads(row["verdict"]) if row["verdict"] is not None else None,
    )


class Questions:
    """The questions of one person server, on its own tables and those of `deferred`."""

    def __init__(self, database: Database, deferred: Deferred, *, lifetime: int, max_open: int = MAX_OPEN) -> None:
        self._database = database
        self._deferred = deferred
        self._lifetime = lifetime
        self._max_open = max_open

    async def open(self, tx: Transaction, asked: Asked, owner: str, person: str | None, now: int) -> PendingRequest:
        """The pending request for this question: the one that waits for an equal one, or a new one.

        Raises `Problem` 429 for an agent that has too many open, and `Collided`.
        """
        joined = asked.joins(owner)
        waiting = await self._join(tx, joined, asked, now)
        if waiting is not None:
            return waiting
        if await self._count_open(tx, asked, now) >= self._max_open:
            raise Problem("slow_down", "too many of this agent's requests wait for their person", retry_after=TRY_AGAIN)
        pending = await self._deferred.open(
            tx, kind=asked.kind, owner=owner, data=asked.kept(), lifetime=self._lifetime
        )
        added = await tx.execute(
            """INSERT INTO person_requests (pending, page, joined, agent_iss, agent_sub, person, created, expires)
               VALUES (:pending, :page, :joined, :agent_iss, :agent_sub, :person, :created, :expires)
               ON CONFLICT (joined) DO NOTHING""",
            pending=pending.id,
            page=pending.page,
            joined=joined,
            agent_iss=asked.agent_iss,
            agent_sub=asked.agent_sub,
            person=person,
            created=pending.created,
            expires=pending.expires,
        )
        if not added:
            raise Collided
        return pending

    async def _join(self, tx: Transaction, joined: str, asked: Asked, now: int) -> PendingRequest | None:
        """The request that an equal question waits in, now resting on whichever tokens live longer."""
        row = await tx.fetch_one("SELECT pending FROM person_requests WHERE joined = :joined", joined=joined)
        if row is None:
            return None
        pending = await self._deferred.lock(tx, row["pending"])
        if pending is None or pending.state == "ended" or (pending.state == "open" and pending.expires <= now):
            # Its name is free again; the record stays for whoever still looks at its page.
            await tx.execute("UPDATE person_requests SET joined = pending WHERE joined = :joined", joined=joined)
            return None
        before = Asked.read(pending.data)
        if asked.bounds.ends > before.bounds.ends:
            kept = replace(before, bounds=asked.bounds).kept()
            await self._deferred.update(tx, pending, kept)
            return replace(pending, data=kept)
        return pending

    async def _count_open(self, tx: Transaction, asked: Asked, now: int) -> int:
        row = await tx.fetch_one(
            f"""SELECT count(*) AS total FROM person_requests r JOIN pending p ON p.id = r.pending
                WHERE r.agent_iss = :iss AND r.agent_sub = :sub AND r.created > CAST(:now AS BIGINT) - :lifetime
                AND {_IS_OPEN}""",
            iss=asked.agent_iss,
            sub=asked.agent_sub,
            now=now,
            lifetime=self._lifetime + 1,
        )
        return row["total"] if row is not None else 0

    async def find(self, tx: Statements, page: str, now: int, lock: str = "") -> Question | None:
        """The question whose interaction URL ends in `page`; `lock` is the database's `for_update`."""
        row = await tx.fetch_one(f"{_SELECT} WHERE r.page = :page{lock}", page=page)
        return _question(row, now) if row is not None else None

    async def by_pending(self, tx: Statements, pending: str, now: int) -> Question | None:
        """The question of a pending request."""
        row = await tx.fetch_one(f"{_SELECT} WHERE r.pending = :pending", pending=pending)
        return _question(row, now) if row is not None else None

    async def waiting_for(self, tx: Statements, person: str, browser: str, now: int) -> list[Question]:
        """What waits for this person, oldest first: of their agents, and what their browser came for with a code."""
        theirs = await tx.fetch_all(
            f"""{_SELECT} WHERE r.person = :person AND r.created > CAST(:now AS BIGINT) - :lifetime AND {_IS_OPEN}
                ORDER BY r.created, r.pending LIMIT {MAX_LISTED}""",
            person=person,
            now=now,
            lifetime=self._lifetime + 1,
        )
        brought = await tx.fetch_all(
            f"""{_SELECT} WHERE r.browser = :browser AND r.person IS NULL AND {_IS_OPEN}
                ORDER BY r.created, r.pending LIMIT {MAX_LISTED}""",
            browser=browser,
            now=now,
        )
        return sorted((_question(row, now) for row in (*theirs, *brought)), key=lambda question: question.created)

    async def arrive(self, tx: Transaction, pending: str, browser: str) -> None:
        """The session with this handle came with the code; no earlier one may decide any more."""
        await tx.execute(
            "UPDATE person_requests SET browser = :browser WHERE pending = :pending", browser=browser, pending=pending
        )

    async def settle(self, tx: Transaction, question: Question, person: str, verdict: Mapping[str, Any]) -> None:
        """Keep how a question was decided, for the pages that still show it."""
        await tx.execute(
            "UPDATE person_requests SET person = :person, verdict = :verdict WHERE pending = :pending",
            person=person,
            verdict=json.dumps(verdict),
            pending=question.pending,
        )

    async def belong_to(self, tx: Transaction, agent_iss: str, agent_sub: str, person: str) -> None:
        """An agent has its person now: what else it asked before waits for them."""
        await tx.execute(
            """UPDATE person_requests SET person = :person
               WHERE agent_iss = :iss AND agent_sub = :sub AND person IS NULL""",
            person=person,
            iss=agent_iss,
            sub=agent_sub,
        )
