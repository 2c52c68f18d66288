"""Every no of a person, until they say yes to the same: no rule may decide what a person refused or took back."""

from __future__ import annotations

from collections.abc import Iterable

from ..store import Statements, Transaction
from .records import Place

_AT: str = """person = :person AND agent_iss = :agent_iss AND agent_sub = :agent_sub AND resource = :resource
    AND kind = :kind AND account = :account AND mission = :mission"""


async def note(tx: Transaction, place: Place, values: Iterable[str], now: int) -> None:
    """The person said no to these values: scope values, or the name of an action."""
    for value in sorted(values):
        await tx.execute(
            """INSERT INTO person_noes (person, agent_iss, agent_sub, resource, kind, account, mission, value, since)
               VALUES (:person, :agent_iss, :agent_sub, :resource, :kind, :account, :mission, :value, :now)
               ON CONFLICT DO NOTHING""",
            **place.params(),
            value=value,
            now=now,
        )


async def clear(tx: Transaction, place: Place, values: Iterable[str]) -> None:
    """The person said yes to these values."""
    for value in sorted(values):
        await tx.execute(f"DELETE FROM person_noes WHERE {_AT} AND value = :value", **place.params(), value=value)


async def stand_against(tx: Statements, place: Place, values: Iterable[str]) -> bool:
    """Whether the person said no to any of these values, and not yes since."""
    rows = await tx.fetch_all(f"SELECT value FROM person_noes WHERE {_AT}", **place.params())
    return not {row["value"] for row in rows}.isdisjoint(values)
