"""The queue of what waits for a decision: opened by agents, joined by equal ones, looked at and decided on pages.

A question is a pending request (`deferred`) with what its server knows of it besides: whose agent asks, which browser
came with its code, and how it was decided. Records of both are written in one transaction. What a question is about is
its server's own: a `Matter`, which the queue keeps and gives back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from .deferred import CHANNEL, KEPT_AFTER_END, Deferred, PendingRequest
from .protocol.problems import Problem, ProblemCode
from .store import Conflict, Database, Migration, Row, Statements, Transaction

LIFETIME: Final = 1800
"""Seconds a question waits for its person, unless the server is told otherwise."""
MAX_OPEN: Final = 32
"""Questions that one agent may have open at once."""
TRY_AGAIN: Final = 60
"""Seconds after which an agent with too many open questions may ask again."""
MAX_LISTED: Final = 200
KEPT: Final = 7 * 24 * 3600
"""Seconds that a question is kept after its time, for the pages that still show it."""

State = Literal["open", "decided", "expired", "withdrawn", "revoked", "failed"]
Which = str
"""What ended a question before its time: a token by its parameter's name, or another reason of its server's."""

MIGRATIONS: Final = (
    Migration(
        room="decisions",
        version=1,
        statements=(
            """CREATE TABLE questions (
                pending TEXT PRIMARY KEY,
                page TEXT NOT NULL UNIQUE,
                joined TEXT NOT NULL UNIQUE,
                agent_iss TEXT NOT NULL,
                agent_sub TEXT NOT NULL,
                person TEXT,
                browser TEXT,
                mission TEXT,
                created BIGINT NOT NULL,
                expires BIGINT NOT NULL,
                verdict TEXT,
                ended TEXT
            )""",
            "CREATE INDEX questions_person ON questions (person, created)",
            "CREATE INDEX questions_browser ON questions (browser)",
            "CREATE INDEX questions_agent ON questions (agent_iss, agent_sub, created)",
            "CREATE INDEX questions_expires ON questions (expires)",
        ),
    ),
)


class Matter(Protocol):
    """What a question is about, all of it verified: a copy taken when the agent asked."""

    @property
    def kind(self) -> str:
        """Which sort of decision it takes."""

    @property
    def agent_iss(self) -> str:
        """The provider of the agent that asks."""

    @property
    def agent_sub(self) -> str:
        """The agent that asks."""

    @property
    def mission(self) -> str | None:
        """The mission it belongs to, by its `s256`."""

    @property
    def until(self) -> int | None:
        """When there is nothing left to decide, in seconds since the epoch; `None` where no time is named."""

    def joins(self, owner: str) -> str:
        """The name of this question: equal for what one answer serves."""

    def kept(self) -> dict[str, Any]:
        """As JSON."""

    def renewed_by(self, other: Any) -> Any | None:
        """This matter resting on whatever makes `other`, which is equal to it, live longer; `None` if nothing does."""


M = TypeVar("M", bound=Matter)


class Collided(Exception):
    """Two questions became equal in the same moment; whoever catches this asks again and joins."""


@dataclass(frozen=True, slots=True)
class Question(Generic[M]):
    """A question as a page sees it. `asked` is there while it is open, `verdict` once it was decided.

    `told` says that the agent has fetched its answer. `browser` is the handle of the session that used its code last;
    `person` whose agent asks, or who decided; `ended` why it was called off, where it was.
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
    asked: M | None = field(repr=False)
    verdict: Mapping[str, Any] | None = field(repr=False)
    ended: Which | None = None


_SELECT: Final = """SELECT r.*, p.state AS state, p.ended_as AS ended_as, p.data AS data, p.code AS code,
    p.code_used AS code_used FROM questions r JOIN pending p ON p.id = r.pending"""
_IS_OPEN: Final = "p.state = 'open' AND p.expires > :now"


def _state(row: Row, now: float) -> State:
    if row["ended"] is not None:
        return "revoked"
    if row["verdict"] is not None:
        return "decided"
    if row["state"] == "open":
        return "open" if row["expires"] > now else "expired"
    endings: dict[str, State] = {"cancelled": "withdrawn", "expired": "expired"}
    return endings.get(row["ended_as"] or "", "failed")


def waits(pending: PendingRequest, now: float) -> bool:
    """Whether a request may still be joined: its answer, if there is one, was not fetched yet."""
    return pending.state == "decided" or (pending.state == "open" and pending.expires > now)


class Decisions(Generic[M]):
    """The questions of one server, on its own table and that of `deferred`. `read` is the inverse of `Matter.kept`."""

    def __init__(
        self,
        database: Database,
        deferred: Deferred,
        read: Callable[[Mapping[str, Any]], M],
        *,
        lifetime: int = LIFETIME,
        max_open: int = MAX_OPEN,
    ) -> None:
        self._database = database
        self._deferred = deferred
        self._read = read
        self._lifetime = lifetime
        self._max_open = max_open

    # Agents

    async def open(self, tx: Transaction, asked: M, owner: str, person: str | None, now: int) -> PendingRequest:
        """The pending request for this question: the one that waits for an equal one, or a new one.

        Raises `Problem` 429 for an agent that has too many open, and `Collided`.
        """
        joined = await self._join(tx, asked, owner, now)
        return joined if joined is not None else await self._add(tx, asked, owner, person, now)

    async def _add(self, tx: Transaction, asked: M, owner: str, person: str | None, now: int) -> PendingRequest:
        if await self._count_open(tx, asked, now) >= self._max_open:
            raise Problem("slow_down", "too many of this agent's requests wait for their person", retry_after=TRY_AGAIN)
        lifetime = self._lifetime if asked.until is None else max(0, min(self._lifetime, asked.until - now))
        pending = await self._deferred.open(tx, kind=asked.kind, owner=owner, data=asked.kept(), lifetime=lifetime)
        added = await tx.execute(
            """INSERT INTO questions (pending, page, joined, agent_iss, agent_sub, person, mission, created, expires)
               VALUES (:pending, :page, :joined, :agent_iss, :agent_sub, :person, :mission, :created, :expires)
               ON CONFLICT (joined) DO NOTHING""",
            pending=pending.id,
            page=pending.page,
            joined=asked.joins(owner),
            agent_iss=asked.agent_iss,
            agent_sub=asked.agent_sub,
            person=person,
            mission=asked.mission,
            created=pending.created,
            expires=pending.expires,
        )
        if not added:
            raise Collided
        return pending

    async def _join(self, tx: Transaction, asked: M, owner: str, now: int) -> PendingRequest | None:
        """The request that an equal question waits in, now resting on whichever tokens live longer."""
        joined = asked.joins(owner)
        row = await tx.fetch_one("SELECT pending FROM questions WHERE joined = :joined", joined=joined)
        if row is None:
            return None
        pending = await self._deferred.lock(tx, row["pending"])
        if pending is None or not waits(pending, now):
            # Its name is free again; the record stays for whoever still looks at its page.
            await tx.execute("UPDATE questions SET joined = pending WHERE joined = :joined", joined=joined)
            return None
        renewed: M | None = self._read(pending.data).renewed_by(asked)
        if renewed is None:
            return pending
        await self._deferred.update(tx, pending, renewed.kept())
        return await self._deferred.lock(tx, pending.id)

    async def substitute(self, tx: Transaction, pending: PendingRequest, asked: M) -> None:
        """Put another request of the same owner in the place of one that waits (draft-11 §7.5.2.2). Raises `Collided`.

        Where an equal one waits already, that one keeps its name and is joined by what comes next.
        """
        await self._deferred.update(tx, pending, asked.kept())
        joined = asked.joins(pending.owner)
        row = await tx.fetch_one("SELECT pending FROM questions WHERE joined = :joined", joined=joined)
        if row is None:
            try:
                await tx.execute(
                    "UPDATE questions SET joined = :joined WHERE pending = :id", joined=joined, id=pending.id
                )
            except Conflict as error:
                raise Collided from error
        elif row["pending"] != pending.id:
            await tx.execute("UPDATE questions SET joined = pending WHERE pending = :id", id=pending.id)

    async def _count_open(self, tx: Transaction, asked: M, now: int) -> int:
        row = await tx.fetch_one(
            f"""SELECT count(*) AS total FROM questions r JOIN pending p ON p.id = r.pending
                WHERE r.agent_iss = :iss AND r.agent_sub = :sub AND r.created > CAST(:now AS BIGINT) - :lifetime
                AND {_IS_OPEN}""",
            iss=asked.agent_iss,
            sub=asked.agent_sub,
            now=now,
            lifetime=self._lifetime + 1,
        )
        return row["total"] if row is not None else 0

    # Pages

    def _question(self, row: Row, now: float) -> Question[M]:
        kept = json.loads(row["data"])
        names = ("pending", "page", "agent_iss", "agent_sub", "person", "browser", "created", "expires", "code")
        return Question(
            **{name: row[name] for name in names},
            state=_state(row, now),
            code_used=bool(row["code_used"]),
            told=row["ended_as"] == "answered",
            asked=self._read(kept) if kept else None,
            verdict=json.loads(row["verdict"]) if row["verdict"] is not None else None,
            ended=row["ended"],
        )

    async def find(self, tx: Statements, page: str, now: int) -> Question[M] | None:
        """The question whose interaction URL ends in `page`."""
        row = await tx.fetch_one(f"{_SELECT} WHERE r.page = :page", page=page)
        return self._question(row, now) if row is not None else None

    async def find_held(self, tx: Transaction, page: str, now: int) -> Question[M] | None:
        """As `find`, with all the requests of its agent held until the transaction ends."""
        found = await self.find(tx, page, now)
        if found is None or not self._database.for_update:
            return found
        await self.hold(tx, found.agent_iss, found.agent_sub, now)
        return await self.find(tx, page, now)

    async def by_pending(self, tx: Statements, pending: str, now: int) -> Question[M] | None:
        """The question of a pending request."""
        row = await tx.fetch_one(f"{_SELECT} WHERE r.pending = :pending", pending=pending)
        return self._question(row, now) if row is not None else None

    async def waiting_for(self, tx: Statements, person: str, browser: str, now: int) -> list[Question[M]]:
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
        return sorted((self._question(row, now) for row in (*theirs, *brought)), key=lambda question: question.created)

    async def arrive(self, tx: Transaction, pending: str, browser: str) -> None:
        """The session with this handle came with the code; no earlier one may decide any more."""
        await tx.execute("UPDATE questions SET browser = :browser WHERE pending = :id", browser=browser, id=pending)

    async def settle(self, tx: Transaction, question: Question[M], person: str, verdict: Mapping[str, Any]) -> None:
        """Keep how a question was decided, for the pages that still show it."""
        await tx.execute(
            "UPDATE questions SET person = :person, verdict = :verdict WHERE pending = :pending",
            person=person,
            verdict=json.dumps(verdict),
            pending=question.pending,
        )

    async def belong_to(self, tx: Transaction, agent_iss: str, agent_sub: str, person: str) -> None:
        """An agent has its person now: what else it asked before waits for them."""
        await tx.execute(
            "UPDATE questions SET person = :person WHERE agent_iss = :iss AND agent_sub = :sub AND person IS NULL",
            person=person,
            iss=agent_iss,
            sub=agent_sub,
        )

    # Several at once

    async def locked(self, tx: Transaction, pending: str) -> PendingRequest | None:
        """A request that has not ended, held until the transaction does."""
        found = await self._deferred.lock(tx, pending)
        return found if found is not None and found.state != "ended" else None

    async def hold(self, tx: Transaction, agent_iss: str, agent_sub: str, now: int) -> list[str]:
        """An agent's requests that have not ended, oldest first, held until the transaction does.

        Whoever changes several of them, or one of them and decisions, holds them all first: two that took them
        crosswise would wait for each other.
        """
        lock = f"{self._database.for_update} OF p" if self._database.for_update else ""
        rows = await tx.fetch_all(
            f"""SELECT r.pending FROM questions r JOIN pending p ON p.id = r.pending
                WHERE r.agent_iss = :iss AND r.agent_sub = :sub AND r.created > CAST(:now AS BIGINT) - :lifetime
                AND p.state <> 'ended' ORDER BY r.created, r.pending{lock}""",
            iss=agent_iss,
            sub=agent_sub,
            now=now,
            lifetime=self._lifetime + KEPT_AFTER_END,
        )
        return [row["pending"] for row in rows]

    async def waiting_of(self, tx: Transaction, agent_iss: str, agent_sub: str, now: int) -> list[PendingRequest]:
        """As `hold`, with what is on record of each."""
        found = [await self.locked(tx, pending) for pending in await self.hold(tx, agent_iss, agent_sub, now)]
        return [pending for pending in found if pending is not None]

    async def call_off(
        self, tx: Transaction, pending: PendingRequest, which: Which, error: ProblemCode = "revoked"
    ) -> None:
        """End a question since what it rests on is gone: who polls reads `revoked`, or `error` (draft-11 §11.9.4)."""
        if pending.outcome is not None and "error" in pending.outcome:
            return
        with suppress(Problem):  # one that was approved meets the same when its answer is fetched
            await self._deferred.decide(tx, pending.id, {"error": error, "which": which})
        await tx.execute("UPDATE questions SET ended = :which WHERE pending = :id", which=which, id=pending.id)
        await tx.notify(CHANNEL, pending.id)


async def forget(tx: Transaction, now: int) -> None:
    """Discard questions that nothing can ask for any more."""
    await tx.execute("DELETE FROM questions WHERE expires < :before", before=now - KEPT)


__all__ = [
    "KEPT",
    "LIFETIME",
    "MAX_LISTED",
    "MAX_OPEN",
    "MIGRATIONS",
    "TRY_AGAIN",
    "Collided",
    "Decisions",
    "Matter",
    "Question",
    "State",
    "Which",
    "forget",
    "waits",
]
