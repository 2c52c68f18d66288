"""What a person server remembers, as plain SQL: agents and their person, tokens accepted, brought and issued.

Its decisions are in `consents`, its requests in `questions`. Tokens themselves are never kept. Every function takes the
transaction it is part of, so that a decision and its effects, a token and its record, commit together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ..protocol.identifiers import format_scope, parse_scope
from ..store import Row, Statements, Transaction
from .consent import Kind
from .tables import MIGRATIONS

KEPT: Final = 7 * 24 * 3600
"""Seconds that the record of a token is kept after its expiry; the draft asks for clock skew only (draft-11 §7.1)."""
BROUGHT_KEPT: Final = 3600
"""Seconds that a resource token is remembered after its expiry, from which on nobody can bring it again."""
MAX_LISTED: Final = 200


@dataclass(frozen=True, slots=True)
class Place:
    """What a decision is remembered for, but for its scope: person, agent, resource, kind, account and mission."""

    person: str
    agent_iss: str
    agent_sub: str
    resource: str
    kind: Kind
    account: str | None = None
    mission: str | None = None

    def params(self) -> dict[str, str]:
        """As parameters of a statement; no account is the empty one, which no resource can name."""
        return {
            "person": self.person,
            "agent_iss": self.agent_iss,
            "agent_sub": self.agent_sub,
            "resource": self.resource,
            "kind": self.kind,
            "account": self.account or "",
            "mission": self.mission or "",
        }


@dataclass(frozen=True, slots=True)
class BoundAgent:
    """An agent and the one person it acts for (draft-11 §13.14). Times are in seconds since the epoch."""

    iss: str
    sub: str
    person: str
    since: int
    stopped: int | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """The record of a token that left (draft-11 §7.1 Retention, §11.12.4 Records).

    `decisions`: all it rests on, those of its presented token included. `revoked`: when it ended before its time.
    """

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
    revoked: int | None = None
    mission: str | None = None


@dataclass(frozen=True, slots=True)
class Brought:
    """A resource token that an agent brought here: the request it waits in, and the token it was answered with.

    `prompted`: whether the answer was asked for by `prompt=consent`.
    """

    pending: str | None
    issued: str | None
    prompted: bool


def _issued(row: Row) -> Issued:
    names = ("jti", "typ", "person", "agent_iss", "agent_sub", "jkt", "aud", "sub", "issued", "exp", "agent_jti")
    return Issued(
        **{name: row[name] for name in names},
        scope=parse_scope(row["scope"]),
        account=row["account"] or None,
        decisions=tuple(row["decisions"].split()),
        presented_jti=row["presented_jti"],
        resource_jti=row["resource_jti"],
        revoked=row["revoked"],
        mission=row["mission"],
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


async def agent_of_token(tx: Statements, iss: str, jti: str) -> str | None:
    """The `sub` of an agent token that was accepted, `None` for one that never came here."""
    row = await tx.fetch_one("SELECT sub FROM person_agent_tokens WHERE iss = :iss AND jti = :jti", iss=iss, jti=jti)
    return row["sub"] if row is not None else None


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


async def unbind(tx: Transaction, agent_iss: str, agent_sub: str) -> None:
    """Let an agent have no person any more: whoever agrees to it next becomes its person (draft-11 §13.14)."""
    await tx.execute(
        "DELETE FROM person_agents WHERE agent_iss = :iss AND agent_sub = :sub", iss=agent_iss, sub=agent_sub
    )


async def agents(tx: Statements, person: str | None = None) -> list[BoundAgent]:
    """The agents that have a person, newest first; those of one person if given."""
    theirs = "" if person is None else "WHERE a.person = :person"
    rows = await tx.fetch_all(
        f"""SELECT a.*, s.since AS stopped FROM person_agents a
            LEFT JOIN person_stops s ON s.agent_iss = a.agent_iss AND s.agent_sub = a.agent_sub
            {theirs} ORDER BY a.since DESC LIMIT {MAX_LISTED}""",
        **_named(person),
    )
    return [BoundAgent(row["agent_iss"], row["agent_sub"], row["person"], row["since"], row["stopped"]) for row in rows]


def _named(person: str | None) -> dict[str, str]:
    """One person as a parameter; a condition that holds for everybody keeps SQLite from the index: it is left out."""
    return {} if person is None else {"person": person}


async def stop(tx: Transaction, agent_iss: str, agent_sub: str, person: str, now: int) -> bool:
    """Stop an agent until its person starts it again; whether this was what stopped it."""
    stopped = await tx.execute(
        """INSERT INTO person_stops (person, agent_iss, agent_sub, since) VALUES (:person, :iss, :sub, :now)
           ON CONFLICT (agent_iss, agent_sub) DO NOTHING""",
        person=person,
        iss=agent_iss,
        sub=agent_sub,
        now=now,
    )
    return bool(stopped)


async def start(tx: Transaction, agent_iss: str, agent_sub: str, person: str) -> bool:
    """Let a stopped agent of this person's go on; whether it was stopped."""
    started = await tx.execute(
        "DELETE FROM person_stops WHERE agent_iss = :iss AND agent_sub = :sub AND person = :person",
        iss=agent_iss,
        sub=agent_sub,
        person=person,
    )
    return bool(started)


async def is_stopped(tx: Statements, agent_iss: str, agent_sub: str) -> bool:
    """Whether an agent is stopped, whatever token it comes with."""
    row = await tx.fetch_one(
        "SELECT since FROM person_stops WHERE agent_iss = :iss AND agent_sub = :sub", iss=agent_iss, sub=agent_sub
    )
    return row is not None


async def hold_agent(tx: Transaction, agent_iss: str, agent_sub: str, lock: str) -> str | None:
    """As `person_of`, with the binding held until the transaction ends; `lock` is the database's `for_update`.

    Whoever issues to an agent and whoever ends what it has wait for each other here, so that no token slips between.
    """
    row = await tx.fetch_one(
        f"SELECT person FROM person_agents WHERE agent_iss = :iss AND agent_sub = :sub{lock}",
        iss=agent_iss,
        sub=agent_sub,
    )
    return row["person"] if row is not None else None


async def agents_of(tx: Statements, person: str) -> list[tuple[str, str]]:
    """Every agent of a person's, by provider and identifier."""
    rows = await tx.fetch_all(
        "SELECT agent_iss, agent_sub FROM person_agents WHERE person = :person ORDER BY agent_iss, agent_sub",
        person=person,
    )
    return [(row["agent_iss"], row["agent_sub"]) for row in rows]


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
                                      exp, decisions, agent_jti, presented_jti, resource_jti, mission)
           VALUES (:jti, :typ, :person, :agent_iss, :agent_sub, :jkt, :aud, :sub, :scope, :account, :issued, :exp,
                   :decisions, :agent_jti, :presented_jti, :resource_jti, :mission)""",
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
        mission=issued.mission,
    )


async def find_issued(tx: Statements, jti: str) -> Issued | None:
    """The record of a token of ours."""
    row = await tx.fetch_one("SELECT * FROM person_issued WHERE jti = :jti", jti=jti)
    return _issued(row) if row is not None else None


async def find_issued_to(tx: Statements, jti: str, agent_iss: str, agent_sub: str) -> Issued | None:
    """The same, if it was issued to this agent for the person it acts for now (draft-11 §13.14)."""
    row = await tx.fetch_one(
        """SELECT i.* FROM person_issued i
           JOIN person_agents a ON a.agent_iss = i.agent_iss AND a.agent_sub = i.agent_sub AND a.person = i.person
           WHERE i.jti = :jti AND i.agent_iss = :iss AND i.agent_sub = :sub""",
        jti=jti,
        iss=agent_iss,
        sub=agent_sub,
    )
    return _issued(row) if row is not None else None


async def issued(tx: Statements, person: str | None = None) -> list[Issued]:
    """The tokens on record, newest first; those of one person if given."""
    theirs = "" if person is None else "WHERE person = :person"
    rows = await tx.fetch_all(
        f"SELECT * FROM person_issued {theirs} ORDER BY issued DESC, jti LIMIT {MAX_LISTED}", **_named(person)
    )
    return [_issued(row) for row in rows]


async def live_tokens(tx: Statements, agent_iss: str, agent_sub: str, now: int) -> list[Issued]:
    """What was issued to an agent and has neither expired nor been revoked."""
    rows = await tx.fetch_all(
        """SELECT * FROM person_issued
           WHERE agent_iss = :iss AND agent_sub = :sub AND exp > :now AND revoked IS NULL ORDER BY exp, jti""",
        iss=agent_iss,
        sub=agent_sub,
        now=now,
    )
    return [_issued(row) for row in rows]


async def ended_tokens(tx: Statements, agent_iss: str, agent_sub: str, now: int) -> list[Issued]:
    """What was issued to an agent and ended before its time, as long as it would have lived."""
    rows = await tx.fetch_all(
        """SELECT * FROM person_issued
           WHERE agent_iss = :iss AND agent_sub = :sub AND exp > :now AND revoked IS NOT NULL ORDER BY exp, jti""",
        iss=agent_iss,
        sub=agent_sub,
        now=now,
    )
    return [_issued(row) for row in rows]


async def revoke(tx: Transaction, tokens: Iterable[str], now: int) -> None:
    """Note that these tokens of ours, named by their `jti`, ended before their time; the first time stands."""
    for jti in tokens:
        await tx.execute(
            "UPDATE person_issued SET revoked = :now WHERE jti = :jti AND revoked IS NULL", jti=jti, now=now
        )


async def find_brought(tx: Statements, iss: str, jti: str) -> Brought | None:
    """What became of a resource token that was brought here before."""
    row = await tx.fetch_one("SELECT * FROM person_resource_tokens WHERE iss = :iss AND jti = :jti", iss=iss, jti=jti)
    return Brought(row["pending"], row["issued"], bool(row["prompted"])) if row is not None else None


async def note_waiting(tx: Transaction, iss: str, jti: str, exp: int, *, pending: str, prompted: bool) -> None:
    """A resource token waits in this request from now on, whatever it was answered with before."""
    await tx.execute(
        """INSERT INTO person_resource_tokens AS known (iss, jti, pending, prompted, exp)
           VALUES (:iss, :jti, :pending, :prompted, :exp)
           ON CONFLICT (iss, jti) DO UPDATE SET pending = excluded.pending, issued = NULL,
               prompted = CASE WHEN known.pending = excluded.pending AND known.prompted = 1 THEN 1
                               ELSE excluded.prompted END""",
        iss=iss,
        jti=jti,
        pending=pending,
        prompted=int(prompted),
        exp=exp,
    )


async def note_answered(tx: Transaction, iss: str, jti: str, exp: int, *, issued: str) -> None:
    """A resource token was answered at once, with this token, since earlier decisions allowed it."""
    await tx.execute(
        """INSERT INTO person_resource_tokens (iss, jti, issued, prompted, exp)
           VALUES (:iss, :jti, :issued, 0, :exp)
           ON CONFLICT (iss, jti) DO UPDATE SET issued = excluded.issued, prompted = 0""",
        iss=iss,
        jti=jti,
        issued=issued,
        exp=exp,
    )


async def answer_waiting(tx: Transaction, pending: str, issued: str) -> None:
    """Every resource token that waited in this request was answered with that token."""
    await tx.execute(
        "UPDATE person_resource_tokens SET issued = :issued WHERE pending = :pending", pending=pending, issued=issued
    )


async def forget(tx: Transaction, now: int) -> None:
    """Discard what nothing can ask for any more (draft-11 §11.12.4)."""
    for table, column, kept in (
        ("person_agent_tokens", "exp", KEPT),
        ("person_issued", "exp", KEPT),
        ("person_resource_tokens", "exp", BROUGHT_KEPT),
    ):
        await tx.execute(f"DELETE FROM {table} WHERE {column} < :before", before=now - kept)


__all__ = ["MIGRATIONS", "BoundAgent", "Brought", "Issued", "Place"]
