"""Limits: how many calls, or how much in all, one caller may make in a span of time.

At the level of an agent whoever is counted is the agent identifier; above it, where no agent identifier reaches a
resource (draft-11 §C.1.6), it is the person, the account and the mission, and the key as a second bound. A counter is
in the resource's store, and so survives a refreshed token and a restart, and is one for every replica.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..callers import Agent, Caller, Grant, Person, Pseudonym
from ..policy import Amount, Facts, Undecided
from ..protocol.problems import Problem
from ..store import Database, Migration
from .rules import Level

PARTS: Final = 1_000_000
"""Amounts are counted in millionths, since a store has whole numbers."""
MAX_TOTAL: Final = 2**62 // PARTS

TABLES: Final = Migration(
    room="gateway",
    version=1,
    statements=(
        """CREATE TABLE gateway_counters (
            resource TEXT NOT NULL,
            rule TEXT NOT NULL,
            holder TEXT NOT NULL,
            begun BIGINT NOT NULL,
            ends BIGINT NOT NULL,
            counted BIGINT NOT NULL,
            PRIMARY KEY (resource, rule, holder)
        )""",
        "CREATE INDEX gateway_counters_ends ON gateway_counters (ends)",
    ),
)
_COUNT: Final = """
    INSERT INTO gateway_counters (resource, rule, holder, begun, ends, counted)
    VALUES (:resource, :rule, :holder, :begun, :ends, :step)
    ON CONFLICT (resource, rule, holder) DO UPDATE SET
        counted = CASE WHEN gateway_counters.begun = excluded.begun THEN gateway_counters.counted ELSE 0 END
            + excluded.counted,
        begun = excluded.begun, ends = excluded.ends
    WHERE CASE WHEN gateway_counters.begun = excluded.begun THEN gateway_counters.counted ELSE 0 END
        + excluded.counted <= CAST(:most AS BIGINT)
    RETURNING counted
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` in `per` seconds, of calls or of what `amounts` say of each; on `levels` and `routes` alone.

    `of_key` is the bound of one key of a caller, where there is one.
    """

    name: str
    most: float
    per: int
    levels: tuple[Level, ...]
    routes: tuple[str, ...] = ()
    amounts: Mapping[Level, Amount] | None = None
    of_key: float | None = None

    def applies(self, level: str, route: str) -> bool:
        """Whether a request of this level at this route counts."""
        return level in self.levels and (not self.routes or route in self.routes)


def holder_of(caller: Caller) -> str:
    """Who a counter belongs to, as a hash: it is a key, and nobody needs to read it."""
    match caller:
        case Agent():
            who: list[Any] = ["agent", caller.iss, caller.sub]
        case Person() | Grant():
            account = caller.account if isinstance(caller, Grant) else None
            who = ["person", caller.person.ps, caller.person.sub, account, caller.mission_s256]
        case Pseudonym():
            who = ["key", caller.thumbprint]
        case _:
            raise TypeError(f"no limit counts a {type(caller).__name__}")
    return hashlib.sha256(json.dumps(who).encode()).hexdigest()


class Counters:
    """The counters of one resource in its store."""

    def __init__(self, resource: str, database: Database) -> None:
        self._resource = resource
        self._db = database
        self._forgot = 0

    async def start(self) -> None:
        """Make the table. Raises `StoreError`."""
        await self._db.migrate((TABLES,))

    async def take(
        self, limits: Sequence[Limit], level: str, route: str, caller: Caller, facts: Facts, now: float
    ) -> None:
        """Count one request on every limit that applies, all or none. Raises `LimitReached`, `StoreError`."""
        asked = [
            (limit, holder, most, _step(limit, level, facts))
            for limit in limits
            if limit.applies(level, route)
            for holder, most in _holders(limit, caller)
        ]
        if not asked:
            return
        async with self._db.transaction() as tx:
            if int(now) // 60 != self._forgot:
                self._forgot = int(now) // 60
                await tx.execute("DELETE FROM gateway_counters WHERE ends < :now", now=int(now))
            for limit, holder, most, step in sorted(asked, key=lambda each: (each[0].name, each[1])):
                begun = int(now) // limit.per * limit.per
                counted = step <= int(most * PARTS) and await tx.fetch_one(
                    _COUNT,
                    resource=self._resource,
                    rule=limit.name,
                    holder=holder,
                    begun=begun,
                    ends=begun + limit.per,
                    step=step,
                    most=int(most * PARTS),
                )
                if not counted:
                    raise LimitReached(limit, retry_after=max(1, int(begun + limit.per - now)))


class LimitReached(Problem):
    """429 that names the limit (RFC 6585 §4)."""

    def __init__(self, limit: Limit, *, retry_after: int) -> None:
        super().__init__("access_denied", f"the limit {limit.name} is reached", status=429, retry_after=retry_after)
        self.limit = limit


class NoAmount(Problem):
    """A body that does not say how much is asked for, as a number."""

    def __init__(self, limit: Limit) -> None:
        super().__init__("access_denied", f"the limit {limit.name} needs an amount, and the body names none")
        self.limit = limit


def _holders(limit: Limit, caller: Caller) -> list[tuple[str, float]]:
    holders = [(holder_of(caller), limit.most)]
    if limit.of_key is not None and not isinstance(caller, Pseudonym):
        holders.append((holder_of(Pseudonym(caller.proof.cnf)), limit.of_key))  # type: ignore[union-attr]
    return holders


def _step(limit: Limit, level: str, facts: Facts) -> int:
    if limit.amounts is None:
        return PARTS
    try:
        amount = next(each for name, each in limit.amounts.items() if name == level).of(facts)
    except Undecided as error:
        raise NoAmount(limit) from error
    if not 0 <= amount <= MAX_TOTAL:
        raise NoAmount(limit)
    return round(amount * PARTS)
