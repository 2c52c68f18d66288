"""The decisions of people, on record: what was asked, shown and granted, what of it stands, and how long it is kept.

Plain SQL on the tables of `records`. What the rules are is in `consent`; every function takes the transaction it is
part of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..protocol.identifiers import format_scope, parse_scope
from ..store import Row, Statements, Transaction
from .consent import DAY, Revised, Standing
from .records import MAX_LISTED, Place

KEPT: Final = 365 * DAY
"""Seconds that a decision is kept after it is over, with what was shown: the evidence of who allowed what."""
LONGEST: Final = DAY + 3600
"""Seconds after which a decision that is not kept until it is taken back is over, whatever became of it."""

_AT_PLACE: Final = """person = :person AND agent_iss = :agent_iss AND agent_sub = :agent_sub AND resource = :resource
    AND kind = :kind AND account = :account AND mission = :mission AND over IS NULL"""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision as a person sees it in a list; `by` is the rule that made it, or the session of the person."""

    id: str
    place: Place
    standing: Standing
    shown: Mapping[str, Any] = field(repr=False)
    by: str = ""


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


async def standing(tx: Statements, place: Place, lock: str = "") -> list[Standing]:
    """The decisions of a place that were not taken back, newest first; `lock` is the database's `for_update`."""
    rows = await tx.fetch_all(
        f"""SELECT id, asked, granted, memory, decided, jkt, ends FROM person_decisions
            WHERE {_AT_PLACE} ORDER BY number DESC, id{lock}""",
        **place.params(),
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
        """INSERT INTO person_decisions (id, person, agent_iss, agent_sub, resource, kind, account, mission, asked,
                                         granted, memory, decided, number, decided_by, shown, over)
           VALUES (:id, :person, :agent_iss, :agent_sub, :resource, :kind, :account, :mission, :asked,
                   :granted, :memory, :decided, :number, :by, :shown, :over)""",
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


async def close_all(tx: Transaction, person: str, agent_iss: str, agent_sub: str, now: int) -> None:
    """Note that nothing this person ever allowed an agent stands any more."""
    await tx.execute(
        """UPDATE person_decisions SET over = :now
           WHERE person = :person AND agent_iss = :iss AND agent_sub = :sub AND over IS NULL""",
        person=person,
        iss=agent_iss,
        sub=agent_sub,
        now=now,
    )


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
            AND (memory = 'kept' OR decided > CAST(:now AS BIGINT) - {LONGEST})
            ORDER BY decided DESC, id LIMIT {MAX_LISTED}""",
        person=person,
        now=now,
    )
    return [_decision(row) for row in rows]


def _decision(row: Row) -> Decision:
    place = Place(
        row["person"],
        row["agent_iss"],
        row["agent_sub"],
        row["resource"],
        row["kind"],
        row["account"] or None,
        row["mission"] or None,
    )
    return Decision(row["id"], place, _standing(row), json.loads(row["shown"]), row["decided_by"])


async def take_back(tx: Transaction, person: str, decision: str, now: int) -> Decision | None:
    """End a decision of this person's; `None` where there is none such, or it is over."""
    row = await tx.fetch_one(
        """UPDATE person_decisions SET over = :now WHERE id = :id AND person = :person AND over IS NULL RETURNING *""",
        id=decision,
        person=person,
        now=now,
    )
    return _decision(row) if row is not None else None


async def find(tx: Statements, person: str, decision: str) -> Decision | None:
    """A decision of this person's, over or not; `None` for anybody else's."""
    row = await tx.fetch_one(
        "SELECT * FROM person_decisions WHERE id = :id AND person = :person", id=decision, person=person
    )
    return _decision(row) if row is not None else None


async def forget(tx: Transaction, now: int, kept: int = KEPT) -> None:
    """Close what has run out by itself, and discard what has been over for `kept` seconds."""
    await tx.execute(
        """UPDATE person_decisions SET over = :now
           WHERE over IS NULL AND memory <> 'kept' AND decided < CAST(:now AS BIGINT) - :longest""",
        now=now,
        longest=LONGEST,
    )
    await tx.execute("DELETE FROM person_decisions WHERE over < :before", before=now - kept)
