"""What a person server remembers, as plain SQL: agents and their person, tokens, requests, decisions.

Tokens themselves are never kept. Every method takes the transaction it is part of, so that a decision and its
effects, a token and its record, commit together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..protocol.identifiers import format_scope, parse_scope
from ..store import Migration, Row, Statements, Transaction
from .consent import Kind, Memory, Revised, Standing

KEPT: Final = 7 * 24 * 3600
"""Seconds that the record of a token is kept after its expiry; the draft asks for clock skew only (draft-11 §7.1)."""
MAX_LISTED: Final = 200

MIGRATIONS: Final = (
    Migration(
        room="person",
        version=1,
        statements=(
            "CREATE TABLE person_server (only_one BIGINT PRIMARY KEY, issuer TEXT NOT NULL)",
            """CREATE TABLE person_agents (
                agent_iss TEXT NOT NULL,
                agent_sub TEXT NOT NULL,
                person TEXT NOT NULL,
                since BIGINT NOT NULL,
                PRIMARY KEY (agent_iss, agent_sub)
            )""",
            "CREATE INDEX person_agents_person ON person_agents (person)",
            """CREATE TABLE person_subjects (
                person TEXT NOT NULL,
                resource TEXT NOT NULL,
                sub TEXT NOT NULL UNIQUE,
                since BIGINT NOT NULL,
                PRIMARY KEY (person, resource)
            )""",
            """CREATE TABLE person_agent_tokens (
                iss TEXT NOT NULL,
                jti TEXT NOT NULL,
                sub TEXT NOT NULL,
                exp BIGINT NOT NULL,
                PRIMARY KEY (iss, jti)
            )""",
            "CREATE INDEX person_agent_tokens_exp ON person_agent_tokens (exp)",
            """CREATE TABLE person_issued (
                jti TEXT PRIMARY KEY,
                typ TEXT NOT NULL,
                person TEXT NOT NULL,
                agent_iss TEXT NOT NULL,
                agent_sub TEXT NOT NULL,
                jkt TEXT NOT NULL,
                aud TEXT NOT NULL,
                sub TEXT NOT NULL,
                scope TEXT NOT NULL,
                account TEXT NOT NULL,
                issued BIGINT NOT NULL,
                exp BIGINT NOT NULL,
                decisions TEXT NOT NULL,
                agent_jti TEXT NOT NULL,
                presented_jti TEXT,
                resource_jti TEXT,
                upstream_iss TEXT,
                upstream_jti TEXT,
                access_server TEXT
            )""",
            "CREATE INDEX person_issued_agent ON person_issued (agent_iss, agent_sub, exp)",
            "CREATE INDEX person_issued_person ON person_issued (person, issued)",
            "CREATE INDEX person_issued_exp ON person_issued (exp)",
            """CREATE TABLE person_requests (
                pending TEXT PRIMARY KEY,
                page TEXT NOT NULL UNIQUE,
                joined TEXT NOT NULL UNIQUE,
                agent_iss TEXT NOT NULL,
                agent_sub TEXT NOT NULL,
                person TEXT,
                browser TEXT,
                created BIGINT NOT NULL,
                expires BIGINT NOT NULL,
                verdict TEXT
            )""",
            "CREATE INDEX person_requests_person ON person_requests (person, created)",
            "CREATE INDEX person_requests_browser ON person_requests (browser)",
            "CREATE INDEX person_requests_agent ON person_requests (agent_iss, agent_sub, created)",
            "CREATE INDEX person_requests_expires ON person_requests (expires)",
            """CREATE TABLE person_decisions (
                id TEXT PRIMARY KEY,
                person TEXT NOT NULL,
                agent_iss TEXT NOT NULL,
                agent_sub TEXT NOT NULL,
                resource TEXT NOT NULL,
                kind TEXT NOT NULL,
                account TEXT NOT NULL,
                asked TEXT NOT NULL,
                granted TEXT NOT NULL,
                memory TEXT NOT NULL,
                decided BIGINT NOT NULL,
                number BIGINT NOT NULL,
                decided_by TEXT NOT NULL,
                shown TEXT NOT NULL,
                jkt TEXT,
                ends BIGINT,
                over BIGINT
            )""",
            """CREATE INDEX person_decisions_standing
                ON person_decisions (person, agent_iss, agent_sub, resource, kind, account) WHERE over IS NULL""",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Place:
    """What a decision is remembered for, but for its scope: person, agent, resource, kind and account."""

    person: str
    agent_iss: str
    agent_sub: str
    resource: str
    kind: Kind
    account: str | None = None

    def params(self) -> dict[str, str]:
        """As parameters of a statement; no account is the empty one, which no resource can name."""
        return {
            "person": self.person,
            "agent_iss": self.agent_iss,
            "agent_sub": self.agent_sub,
            "resource": self.resource,
            "kind": self.kind,
            "account": self.account or "",
        }


_AT_PLACE: Final = """person = :person AND agent_iss = :agent_iss AND agent_sub = :agent_sub AND resource = :resource
    AND kind = :kind AND account = :account AND over IS NULL"""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision as a person sees it in a list: `allowed` was granted, for `place`."""

    id: str
    place: Place
    standing: Standing
    shown: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class BoundAgent:
    """An agent and the one person it acts for (draft-11 §13.14). `since` is in seconds since the epoch."""

    iss: str
    sub: str
    person: str
    since: int


@dataclass(frozen=True, slots=True)
class Issued:
    """The record of a token that left (draft-11 §7.1 Retention, §11.12.4 Records)."""

    jti: str
    typ: str
    person: str
    agent_iss: str
    agent_sub: str
    jkt: str
    aud: str
    sub: str
    scope: frozenset[str]
    account: str | None
    issued: int
    exp: int
    agent_jti: str
    decisions: tuple[str, ...] = ()
    presented_jti: str | None = None
    resource_jti: str | None = None


def _standing(row: Row) -> Standing:
    return Standing(
        id=row["id"],
        asked=parse_scope(row["asked"]),
        granted=parse_scope(row["granted"]),
        memory=row["memory"],
        decided=row["decided"],
        key=row["jkt"],
        ends=row["ends"],
    )


def _issued(row: Row) -> Issued:
    names = ("jti", "typ", "person", "agent_iss", "agent_sub", "jkt", "aud", "sub", "issued", "exp", "agent_jti")
    return Issued(
        **{name: row[name] for name in names},
        scope=parse_scope(row["scope"]),
        account=row["account"] or None,
        decisions=tuple(row["decisions"].split()),
        presented_jti=row["presented_jti"],
        resource_jti=row["resource_jti"],
    )


async def claim_database(tx: Transaction, issuer: str) -> str:
    """Make these tables `issuer`'s, unless they are another's; whose they are is what comes back."""
    await tx.execute(
        "INSERT INTO person_server (only_one, issuer) VALUES (1, :issuer) ON CONFLICT (only_one) DO NOTHING",
        issuer=issuer,
    )
    row = await tx.fetch_one("SELECT issuer FROM person_server")
    assert row is not None
    owner: str = row["issuer"]
    return owner


# Agents and people.


async def note_agent_token(tx: Statements, iss: str, jti: str, sub: str, exp: int) -> None:
    """Record an agent token that was accepted (draft-11 §11.12.4)."""
    await tx.execute(
        """INSERT INTO person_agent_tokens (iss, jti, sub, exp) VALUES (:iss, :jti, :sub, :exp)
           ON CONFLICT (iss, jti) DO NOTHING""",
        iss=iss,
        jti=jti,
        sub=sub,
        exp=exp,
    )


async def person_of(tx: Statements, agent_iss: str, agent_sub: str) -> str | None:
    """The person an agent acts for, or `None` while it has none (draft-11 §13.14)."""
    row = await tx.fetch_one(
        "SELECT person FROM person_agents WHERE agent_iss = :iss AND agent_sub = :sub", iss=agent_iss, sub=agent_sub
    )
    return row["person"] if row is not None else None


async def bind_agent(tx: Transaction, agent_iss: str, agent_sub: str, person: str, now: int) -> str:
    """Make `person` the agent's, if it has none yet; its person is what comes back (draft-11 §13.14)."""
    await tx.execute(
        """INSERT INTO person_agents (agent_iss, agent_sub, person, since) VALUES (:iss, :sub, :person, :now)
           ON CONFLICT (agent_iss, agent_sub) DO NOTHING""",
        iss=agent_iss,
        sub=agent_sub,
        person=person,
        now=now,
    )
    bound = await person_of(tx, agent_iss, agent_sub)
    assert bound is not None
    return bound


async def agents(tx: Statements, person: str | None = None) -> list[BoundAgent]:
    """The agents that have a person, newest first; those of one person if given."""
    rows = await tx.fetch_all(
        f"""SELECT * FROM person_agents WHERE CAST(:person AS TEXT) IS NULL OR person = :person
            ORDER BY since DESC LIMIT {MAX_LISTED}""",
        person=person,
    )
    return [BoundAgent(row["agent_iss"], row["agent_sub"], row["person"], row["since"]) for row in rows]


async def subject(tx: Transaction, person: str, resource: str, fresh: str, now: int) -> str:
    """The directed identifier of a person at a resource; `fresh` becomes it where there is none (draft-11 §14.1)."""
    await tx.execute(
        """INSERT INTO person_subjects (person, resource, sub, since) VALUES (:person, :resource, :sub, :now)
           ON CONFLICT (person, resource) DO NOTHING""",
        person=person,
        resource=resource,
        sub=fresh,
        now=now,
    )
    row = await tx.fetch_one(
        "SELECT sub FROM person_subjects WHERE person = :person AND resource = :resource",
        person=person,
        resource=resource,
    )
    assert row is not None
    sub: str = row["sub"]
    return sub


async def knows_place(tx: Statements, person: str, resource: str) -> bool:
    """Whether an agent of this person was at the resource before."""
    row = await tx.fetch_one(
        "SELECT 1 AS known FROM person_subjects WHERE person = :person AND resource = :resource",
        person=person,
        resource=resource,
    )
    return row is not None


# Tokens.


async def note_issued(tx: Transaction, issued: Issued) -> None:
    """Record a token before it leaves."""
    await tx.execute(
        """INSERT INTO person_issued (jti, typ, person, agent_iss, agent_sub, jkt, aud, sub, scope, account, issued,
                                      exp, decisions, agent_jti, presented_jti, resource_jti)
           VALUES (:jti, :typ, :person, :agent_iss, :agent_sub, :jkt, :aud, :sub, :scope, :account, :issued, :exp,
                   :decisions, :agent_jti, :presented_jti, :resource_jti)""",
        jti=issued.jti,
        typ=issued.typ,
        person=issued.person,
        agent_iss=issued.agent_iss,
        agent_sub=issued.agent_sub,
        jkt=issued.jkt,
        aud=issued.aud,
        sub=issued.sub,
        scope=format_scope(issued.scope),
        account=issued.account or "",
        issued=issued.issued,
        exp=issued.exp,
        decisions=" ".join(issued.decisions),
        agent_jti=issued.agent_jti,
        presented_jti=issued.presented_jti,
        resource_jti=issued.resource_jti,
    )


async def find_issued(tx: Statements, jti: str) -> Issued | None:
    """The record of a token of ours."""
    row = await tx.fetch_one("SELECT * FROM person_issued WHERE jti = :jti", jti=jti)
    return _issued(row) if row is not None else None


async def issued(tx: Statements, person: str | None = None) -> list[Issued]:
    """The tokens on record, newest first; those of one person if given."""
    rows = await tx.fetch_all(
        f"""SELECT * FROM person_issued WHERE CAST(:person AS TEXT) IS NULL OR person = :person
            ORDER BY issued DESC, jti LIMIT {MAX_LISTED}""",
        person=person,
    )
    return [_issued(row) for row in rows]


async def forget(tx: Transaction, now: int) -> None:
    """Discard what nothing can ask for any more (draft-11 §11.12.4)."""
    for table, column in (("person_agent_tokens", "exp"), ("person_issued", "exp"), ("person_requests", "expires")):
        await tx.execute(f"DELETE FROM {table} WHERE {column} < :before", before=now - KEPT)


# Decisions.


async def standing(tx: Statements, place: Place, lock: str = "") -> list[Standing]:
    """The decisions of a place that were not taken back, newest first; `lock` is the database's `for_update`."""
    rows = await tx.fetch_all(
        f"SELECT * FROM person_decisions WHERE {_AT_PLACE} ORDER BY number DESC, id{lock}", **place.params()
    )
    return [_standing(row) for row in rows]


async def note_decision(
    tx: Transaction, place: Place, decision: Standing, *, by: str, shown: Mapping[str, Any], over: int | None
) -> None:
    """Record a decision with what the person was shown; `by` is the session it was made in.

    A refusal is on record as well, and over at once: it answers this request and no other.
    """
    # Numbered, since two decisions may fall into one second.
    last = await tx.fetch_one(
        f"SELECT COALESCE(MAX(number), 0) AS last FROM person_decisions WHERE {_AT_PLACE}", **place.params()
    )
    await tx.execute(
        """INSERT INTO person_decisions (id, person, agent_iss, agent_sub, resource, kind, account, asked, granted,
                                         memory, decided, number, decided_by, shown, over)
           VALUES (:id, :person, :agent_iss, :agent_sub, :resource, :kind, :account, :asked, :granted,
                   :memory, :decided, :number, :by, :shown, :over)""",
        number=1 + (last["last"] if last is not None else 0),
        **place.params(),
        id=decision.id,
        asked=format_scope(decision.asked),
        granted=format_scope(decision.granted),
        memory=decision.memory,
        decided=decision.decided,
        by=by,
        shown=json.dumps(shown),
        over=over,
    )


async def revise(tx: Transaction, revised: Sequence[Revised], now: int) -> None:
    """Write down what is left of earlier decisions."""
    for one in revised:
        await tx.execute(
            "UPDATE person_decisions SET asked = :asked, granted = :granted, over = :over WHERE id = :id",
            id=one.id,
            asked=format_scope(one.asked),
            granted=format_scope(one.granted),
            over=None if one.granted else now,
        )


async def close(tx: Transaction, decisions: Sequence[str], now: int) -> None:
    """Note that the time of these decisions is over, so that the number that must be looked at stays small."""
    for decision in decisions:
        await tx.execute("UPDATE person_decisions SET over = :now WHERE id = :id", id=decision, now=now)


async def use_once(tx: Transaction, decision: str, jkt: str, ends: int) -> None:
    """The first token of a grant for once is issued: to this key, ending then."""
    await tx.execute(
        "UPDATE person_decisions SET jkt = :jkt, ends = :ends WHERE id = :id AND ends IS NULL",
        id=decision,
        jkt=jkt,
        ends=ends,
    )


async def allowed(tx: Statements, person: str, now: int) -> list[Decision]:
    """What a person allowed and did not take back, newest first."""
    rows = await tx.fetch_all(
        f"""SELECT * FROM person_decisions WHERE person = :person AND over IS NULL
            AND (memory = 'kept' OR decided > CAST(:now AS BIGINT) - 86400)
            ORDER BY decided DESC, id LIMIT {MAX_LISTED}""",
        person=person,
        now=now,
    )
    return [_decision(row) for row in rows]


def _decision(row: Row) -> Decision:
    place = Place(
        row["person"], row["agent_iss"], row["agent_sub"], row["resource"], row["kind"], row["account"] or None
    )
    return Decision(row["id"], place, _standing(row), json.loads(row["shown"]))


async def take_back(tx: Transaction, person: str, decision: str, now: int) -> Decision | None:
    """End a decision of this person's; `None` where there is none such, or it is over."""
    row = await tx.fetch_one(
        """UPDATE person_decisions SET over = :now WHERE id = :id AND person = :person AND over IS NULL RETURNING *""",
        id=decision,
        person=person,
        now=now,
    )
    return _decision(row) if row is not None else None


__all__ = ["MIGRATIONS", "BoundAgent", "Decision", "Issued", "Memory", "Place"]
