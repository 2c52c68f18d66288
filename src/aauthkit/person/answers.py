"""Answers that may have been lost on their way: the same request, come again soon, is answered as it was (draft-11 §8).

Only where that means the same: a mission that runs, an accepted update, a person's word. A permission is not among
them, since doing something once more is another act; nor a completion, after which the mission says how it ended
(§8.8). Tokens have their own way (`Issuing.repeat`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ..store import Statements, Transaction
from .consent import Kind

REPEATED: Final[frozenset[Kind]] = frozenset({"mission", "update", "question"})
FOR: Final = 300
"""Seconds for which an answer is given again."""


async def keep(tx: Transaction, joined: str, outcome: Mapping[str, Any], now: int) -> None:
    """Remember what the request of this name was answered with."""
    await tx.execute(
        """INSERT INTO person_answers (joined, outcome, until) VALUES (:joined, :outcome, :until)
           ON CONFLICT (joined) DO UPDATE SET outcome = excluded.outcome, until = excluded.until""",
        joined=joined,
        outcome=json.dumps(outcome),
        until=now + FOR,
    )


async def find(tx: Statements, joined: str, now: int) -> Mapping[str, Any] | None:
    """What it was answered with a moment ago."""
    row = await tx.fetch_one(
        "SELECT outcome FROM person_answers WHERE joined = :joined AND until > :now", joined=joined, now=now
    )
    if row is None:
        return None
    outcome: Mapping[str, Any] = json.loads(row["outcome"])
    return outcome


async def forget(tx: Transaction, now: int) -> None:
    """Discard those whose time is over."""
    await tx.execute("DELETE FROM person_answers WHERE until <= :now", now=now)
