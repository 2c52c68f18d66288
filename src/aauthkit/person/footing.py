"""What is on record around a request before it is judged, read by one statement."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..store import Statements
from .asked import Asked


@dataclass(frozen=True, slots=True)
class Footing:
    """The records a request stands on, as its transaction found them.

    - `person`: whom the agent acts for (draft-11 §13.14); `stopped`: the person stopped it.
    - `sub`: the person's directed identifier at the resource, where there is one (§14.1).
    - `rules`: the SHA-256 of the rules on record, where there are any.
    - `presented_revoked`: the presented token ended before its time; `agent_revoked`: an agent token it rests on was
      revoked, by what any process has recorded.
    - `answered`: the token that this resource token was answered with before, by its `jti`; `prompted`: that answer was
      asked for by `prompt=consent`.
    """

    person: str | None
    stopped: bool
    sub: str | None = field(repr=False)
    rules: str | None
    presented_revoked: bool
    agent_revoked: bool
    answered: str | None
    prompted: bool


async def footing_of(tx: Statements, asked: Asked, bearing: str) -> Footing:
    """What `asked` stands on now; `bearing` is the agent token, by its `jti`, that its agent comes with."""
    bounds = asked.bounds
    row = await tx.fetch_one(
        """SELECT a.person, s.since AS stopped, p.sub, r.sha256 AS rules, i.revoked, t.issued AS answered, t.prompted,
                  EXISTS (SELECT 1 FROM revoked_tokens v WHERE v.server = o.issuer AND v.iss = :iss
                          AND v.jti IN (:asking, :bearing)) AS agent_revoked
           FROM person_server o
           LEFT JOIN person_agents a ON a.agent_iss = :iss AND a.agent_sub = :sub
           LEFT JOIN person_stops s ON s.agent_iss = :iss AND s.agent_sub = :sub
           LEFT JOIN person_subjects p ON p.person = a.person AND p.resource = :resource
           LEFT JOIN person_rules r ON r.only_one = 1
           LEFT JOIN person_issued i ON i.jti = :presented
           LEFT JOIN person_resource_tokens t ON t.iss = :resource AND t.jti = :brought
           WHERE o.only_one = 1""",
        iss=asked.agent_iss,
        sub=asked.agent_sub,
        resource=asked.resource,
        presented=bounds.presented_jti,
        brought=bounds.resource_jti,
        asking=bounds.agent_jti,
        bearing=bearing,
    )
    assert row is not None
    return Footing(
        person=row["person"],
        stopped=row["stopped"] is not None,
        sub=row["sub"],
        rules=row["rules"],
        presented_revoked=row["revoked"] is not None,
        agent_revoked=bool(row["agent_revoked"]),
        answered=row["answered"],
        prompted=bool(row["prompted"]),
    )
