"""Missions on record: the blob as it was approved, its log in order, what was counted, and how it ended (draft-11 §8).

Plain SQL on the tables of `records`; every function takes the transaction it is part of. A mission is looked up by its
owner and identifier together, so that one that is not there and one that is another's take the same way (§8.7).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ..protocol.jose import b64url_encode
from ..protocol.missions import Mission, read_blob
from ..protocol.problems import Problem
from ..store import Row, Statements, Transaction
from .limits import MEMBER, NO_LIMITS, Limits, read_limits
from .records import MAX_LISTED

Reason = Literal["completed", "revoked", "expired", "superseded", "administrative"]
"""Why a mission ended (draft-11 §8.6); never a state, and never undone."""
EntryKind = Literal[
    "approved", "token", "update", "permission", "audit", "interaction", "clarification", "completion", "ended"
]
MAX_LOG: Final = 10_000
"""Entries that one mission may have; an agent that wants more has a mission nobody oversees."""
PARTS: Final = 1_000_000
"""Counts are kept as whole numbers of millionths, which add up exactly."""
KEPT: Final = 365 * 24 * 3600
"""Seconds that a mission is kept after it ended."""


@dataclass(frozen=True, slots=True)
class OwnMission:
    """A mission with who owns it, and how it ended if it did. Times are seconds since the epoch.

    `capabilities`: what the agent said at its approval that it can do (draft-11 §7.2.1).
    """

    s256: str
    person: str
    agent_iss: str
    agent_sub: str
    blob: bytes = field(repr=False)
    approved: int
    expires: int | None
    capabilities: frozenset[str]
    ended: int | None = None
    reason: str | None = None

    def read(self) -> Mission:
        """What the blob says: it was written here, so that whatever resources it names were admitted then."""
        return read_blob(self.blob, s256=self.s256, loopback=None)

    def read_limits(self) -> Limits:
        """The limits in the blob."""
        member = self.read().members.get(MEMBER)
        return read_limits(member, None) if member is not None else NO_LIMITS

    def ended_as(self, now: float) -> str | None:
        """Why the mission is over, or `None` while it is active (draft-11 §8.2, `expires_at`)."""
        if self.ended is not None:
            return self.reason
        return "expired" if self.expires is not None and now >= self.expires else None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a mission's log. `s256`: the digest of an accepted update's bytes."""

    number: int
    at: int
    kind: str
    entry: Mapping[str, Any] = field(repr=False)
    s256: str | None = None


def not_found() -> Problem:
    """No such mission, or not this agent's: one answer (draft-11 §8.7)."""
    return Problem("mission_not_found")


def terminated(reason: str | None) -> Problem:
    """The mission is over for good (draft-11 §8.8)."""
    further = {"mission_status": "terminated", **({"termination_reason": reason} if reason else {})}
    return Problem("mission_terminated", members=further)


def _own(row: Row) -> OwnMission:
    names = ("s256", "person", "agent_iss", "agent_sub", "approved", "expires", "ended", "reason")
    capabilities = frozenset(row["capabilities"].split())
    return OwnMission(**{name: row[name] for name in names}, blob=row["blob"].encode(), capabilities=capabilities)


async def add(tx: Transaction, mission: OwnMission) -> None:
    """Put an approved mission on record."""
    await tx.execute(
        """INSERT INTO person_missions (s256, person, agent_iss, agent_sub, blob, approved, expires, capabilities)
           VALUES (:s256, :person, :agent_iss, :agent_sub, :blob, :approved, :expires, :capabilities)""",
        s256=mission.s256,
        person=mission.person,
        agent_iss=mission.agent_iss,
        agent_sub=mission.agent_sub,
        blob=mission.blob.decode(),
        approved=mission.approved,
        expires=mission.expires,
        capabilities=" ".join(sorted(mission.capabilities)),
    )


async def find(
    tx: Statements, s256: str, agent_iss: str, agent_sub: str, person: str | None, *, lock: str = ""
) -> OwnMission | None:
    """A mission of this agent and the person it acts for; `None` for any other, in the same one statement."""
    row = await tx.fetch_one(
        f"""SELECT * FROM person_missions
            WHERE s256 = :s256 AND agent_iss = :iss AND agent_sub = :sub AND person = :person{lock}""",
        s256=s256,
        iss=agent_iss,
        sub=agent_sub,
        person=person or "",
    )
    return _own(row) if row is not None else None


async def require_active(
    tx: Statements, s256: str, agent_iss: str, agent_sub: str, person: str | None, now: float, *, lock: str = ""
) -> OwnMission:
    """As `find`, for a mission that runs. Raises `Problem` 404 or 403 (draft-11 §8.7, §8.8)."""
    mission = await find(tx, s256, agent_iss, agent_sub, person, lock=lock)
    if mission is None:
        raise not_found()
    reason = mission.ended_as(now)
    if reason is not None:
        raise terminated(reason)
    return mission


async def of_person(tx: Statements, person: str) -> list[OwnMission]:
    """A person's missions, newest first."""
    rows = await tx.fetch_all(
        f"SELECT * FROM person_missions WHERE person = :person ORDER BY approved DESC, s256 LIMIT {MAX_LISTED}",
        person=person,
    )
    return [_own(row) for row in rows]


async def one_of_person(tx: Statements, person: str, s256: str, lock: str = "") -> OwnMission | None:
    """A mission of this person's, whichever agent has it."""
    row = await tx.fetch_one(
        f"SELECT * FROM person_missions WHERE s256 = :s256 AND person = :person{lock}", s256=s256, person=person
    )
    return _own(row) if row is not None else None


async def exists(tx: Statements, s256: str) -> bool:
    """Whether there is a mission of this name, whoever has it."""
    return await by_s256(tx, s256) is not None


async def by_s256(tx: Statements, s256: str) -> OwnMission | None:
    """A mission that this server itself has named before; never for a name that came over the wire."""
    row = await tx.fetch_one("SELECT * FROM person_missions WHERE s256 = :s256", s256=s256)
    return _own(row) if row is not None else None


async def running_of(tx: Statements, agent_iss: str, agent_sub: str) -> list[OwnMission]:
    """The missions of an agent that have not ended."""
    rows = await tx.fetch_all(
        "SELECT * FROM person_missions WHERE agent_iss = :iss AND agent_sub = :sub AND ended IS NULL ORDER BY s256",
        iss=agent_iss,
        sub=agent_sub,
    )
    return [_own(row) for row in rows]


async def end(tx: Transaction, s256: str, reason: Reason, now: int) -> bool:
    """End a mission for good; whether this was what ended it (draft-11 §8.6)."""
    ended = await tx.execute(
        "UPDATE person_missions SET ended = :now, reason = :reason WHERE s256 = :s256 AND ended IS NULL",
        s256=s256,
        reason=reason,
        now=now,
    )
    if ended:
        await tx.execute(
            "UPDATE person_decisions SET over = :now WHERE mission = :s256 AND mission <> '' AND over IS NULL",
            s256=s256,
            now=now,
        )
        await log(tx, s256, "ended", {"reason": reason}, now)
    return bool(ended)


async def log(tx: Transaction, s256: str, kind: EntryKind, entry: Mapping[str, Any], now: int) -> str | None:
    """Append to a mission's log, in order; the digest of what was appended (draft-11 §8.3, §8.4).

    Raises `Problem` 429 for a log that is full.
    """
    # The mission's own row is what two writers wait at: numbers are given one after the other.
    await tx.execute("UPDATE person_missions SET approved = approved WHERE s256 = :s256", s256=s256)
    last = await tx.fetch_one(
        "SELECT COALESCE(MAX(number), 0) AS last FROM person_mission_log WHERE mission = :s256", s256=s256
    )
    number = 1 + (last["last"] if last is not None else 0)
    if number > MAX_LOG and kind != "ended":
        raise Problem("slow_down", "the log of this mission is full: end it, and propose another", retry_after=3600)
    text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    digest = b64url_encode(hashlib.sha256(text.encode()).digest()) if kind == "update" else None
    await tx.execute(
        """INSERT INTO person_mission_log (mission, number, at, kind, entry, s256)
           VALUES (:mission, :number, :at, :kind, :entry, :digest)""",
        mission=s256,
        number=number,
        at=now,
        kind=kind,
        entry=text,
        digest=digest,
    )
    return digest


async def entries(tx: Statements, s256: str, kind: EntryKind | None = None) -> list[Entry]:
    """A mission's log, oldest first; of one kind if given."""
    rows = await tx.fetch_all(
        f"""SELECT * FROM person_mission_log WHERE mission = :s256 AND (CAST(:kind AS TEXT) IS NULL OR kind = :kind)
            ORDER BY number LIMIT {MAX_LOG + 1}""",
        s256=s256,
        kind=kind,
    )
    return [Entry(row["number"], row["at"], row["kind"], json.loads(row["entry"]), row["s256"]) for row in rows]


async def counts(tx: Statements, s256: str) -> dict[str, float]:
    """What was counted against a mission's limits, by counter."""
    rows = await tx.fetch_all("SELECT name, used FROM person_mission_counts WHERE mission = :s256", s256=s256)
    return {row["name"]: row["used"] / PARTS for row in rows}


async def count(tx: Transaction, s256: str, added: Mapping[str, float]) -> None:
    """Add to the counts of a mission."""
    for name, value in sorted(added.items()):
        await tx.execute(
            """INSERT INTO person_mission_counts AS known (mission, name, used) VALUES (:mission, :name, :value)
               ON CONFLICT (mission, name) DO UPDATE SET used = known.used + excluded.used""",
            mission=s256,
            name=name,
            value=round(value * PARTS),
        )


async def forget(tx: Transaction, now: int, kept: int = KEPT) -> None:
    """Close what has expired, and discard what has been over for `kept` seconds."""
    rows = await tx.fetch_all(
        "SELECT s256 FROM person_missions WHERE ended IS NULL AND expires < :now LIMIT 100", now=now
    )
    for row in rows:
        await end(tx, row["s256"], "expired", now)
    old = await tx.fetch_all("SELECT s256 FROM person_missions WHERE ended < :before LIMIT 100", before=now - kept)
    for row in old:
        for table, column in (
            ("person_mission_log", "mission"),
            ("person_mission_counts", "mission"),
            ("person_missions", "s256"),
        ):
            await tx.execute(f"DELETE FROM {table} WHERE {column} = :s256", s256=row["s256"])
