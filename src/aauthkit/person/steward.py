"""What whoever runs a person server does beside it: look at its records, stop agents, end missions, set rules.

Nothing but the database is needed for it, so that a command line does it beside the running server, which sees it with
the next request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import decisions as queue
from .. import deferred as waiting_room
from ..accounts import Accounts
from ..audit import MIGRATIONS as AUDIT_TABLES
from ..audit import AuditLog
from ..deferred import Deferred
from ..protocol.problems import Problem
from ..revocation import MIGRATIONS as REVOCATION_TABLES
from ..revocation import Delivery, RevocationOutbox
from ..store import Database
from . import missions, records
from .asked import Asked
from .consent import Kind
from .facts import facts_of
from .missions import Entry, OwnMission, Reason
from .questions import LIFETIME, Questions
from .records import BoundAgent, Issued
from .revoking import Revoking
from .rules import RuleBook, StoredRules, set_rules, sha256_on_record

MAX_RECORDINGS = 10_000


class Steward:
    """The steward of the person server `issuer`, on its database. Given no `revoking`, it makes its own."""

    def __init__(
        self,
        issuer: str,
        database: Database,
        *,
        outbox: RevocationOutbox | None = None,
        revoking: Revoking | None = None,
        audit: AuditLog | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._clock = clock
        self._outbox = outbox or RevocationOutbox(issuer, database, clock=clock)
        self.audit = audit or AuditLog(issuer, database, clock=clock)
        if revoking is None:
            questions = Questions(database, Deferred(issuer, database, clock=clock), lifetime=LIFETIME)
            revoking = Revoking(database, questions, self._outbox, self.audit, clock=clock)
        self._revoking = revoking

    async def prepare(self) -> None:
        """Bring the tables up to date, where the server has not been started yet. Raises `StoreError`."""
        shared = (*waiting_room.MIGRATIONS, *queue.MIGRATIONS, *REVOCATION_TABLES)
        await self._database.migrate((*shared, *AUDIT_TABLES, *records.MIGRATIONS))
        await self.audit.begin()

    def watch(self, accounts: Accounts) -> None:
        """Have what the agents of a person hold end when `accounts` switches them off."""
        accounts.when_switched(self._revoking.switched)

    # Agents

    async def agents(self, person: str | None = None) -> Sequence[BoundAgent]:
        """The agents that have a person, newest first; those of the account `person` if given."""
        return await records.agents(self._database, person)

    async def bind(self, agent_iss: str, agent_sub: str, person: str) -> None:
        """Make `person` the agent's ahead of its first request (draft-11 §13.14); a rule never does this.

        Raises `Problem` 400 where it has another person.
        """
        async with self._database.transaction() as tx:
            if await records.bind_agent(tx, agent_iss, agent_sub, person, int(self._clock())) != person:
                raise Problem("invalid_request", "this agent has another person; release it first")
            self.audit.note(tx, "agent", agent=agent_sub, provider=agent_iss, person=person, became="bound")

    async def stop(self, person: str, agent_iss: str, agent_sub: str) -> None:
        """Stop an agent: whatever it has ends here and at its resources, and it gets nothing until it is started.

        Raises `Problem` 404 for an agent that is not this person's.
        """
        async with self._database.transaction() as tx:
            await self._revoking.stop(tx, person, agent_iss, agent_sub, int(self._clock()))

    async def start(self, person: str, agent_iss: str, agent_sub: str) -> None:
        """Let a stopped agent ask again; what was allowed before stands. Raises `Problem` 404 as `stop`."""
        async with self._database.transaction() as tx:
            await self._revoking.start(tx, person, agent_iss, agent_sub)

    async def release(self, person: str, agent_iss: str, agent_sub: str) -> None:
        """Let an agent have no person any more (draft-11 §13.14). Raises `Problem` 404 as `stop`."""
        async with self._database.transaction() as tx:
            await self._revoking.release(tx, person, agent_iss, agent_sub, int(self._clock()))

    async def deliveries(self, agent_iss: str | None = None, agent_sub: str | None = None) -> Sequence[Delivery]:
        """What resources were told, or are still to be told, of tokens that ended; those of one agent if given."""
        found = await self._outbox.deliveries()
        if agent_iss is None or agent_sub is None:
            return found
        tokens = await records.ended_tokens(self._database, agent_iss, agent_sub, int(self._clock()))
        own = {one.jti for one in tokens}
        return [delivery for delivery in found if delivery.jti in own]

    # Tokens and missions

    async def issued(self, person: str | None = None) -> Sequence[Issued]:
        """The tokens on record, newest first; those of the account `person` if given. Never the tokens themselves."""
        return await records.issued(self._database, person)

    async def missions(self, person: str) -> Sequence[OwnMission]:
        """The missions of the account `person`, newest first."""
        return await missions.of_person(self._database, person)

    async def mission_log(self, s256: str) -> Sequence[Entry]:
        """What happened in a mission, in order (draft-11 §8.3)."""
        return await missions.entries(self._database, s256)

    async def end_mission(self, person: str, s256: str, reason: Reason = "revoked") -> None:
        """End a mission of a person's, with all that was issued under it (draft-11 §8.6). Raises `Problem` 404."""
        async with self._database.transaction() as tx:
            await self._revoking.end_mission(tx, person, s256, reason, int(self._clock()))

    # Rules

    async def rules(self) -> RuleBook:
        """The rules in force. Raises `PolicyError` where an older release set what this one cannot read."""
        return await StoredRules().book(self._database, await sha256_on_record(self._database))

    async def set_rules(self, book: RuleBook) -> None:
        """Put rules in force, in every process of this server, with the next request; an empty book clears them."""
        async with self._database.transaction() as tx:
            await set_rules(tx, book, int(self._clock()))
            self.audit.note(tx, "rules", sha256=book.sha256, names=[rule.name for rule in book.rules])

    async def recordings(self) -> Sequence[Mapping[str, Any]]:
        """What was decided, newest first, as rules would have seen it: level, facts, outcome, and who decided."""
        rows = await self._database.fetch_all(
            f"SELECT * FROM person_decisions ORDER BY decided DESC, id LIMIT {MAX_RECORDINGS}"
        )
        return [await self._recording(row) for row in rows]

    async def _recording(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        shown = json.loads(row["shown"])
        outcome = shown.pop("verdict", "approved")
        shown.pop("new_agent", None)
        asked = Asked.read(shown)
        mission = await missions.by_s256(self._database, asked.mission) if asked.mission is not None else None
        kind: Kind = asked.kind
        return {
            "level": kind,
            "facts": facts_of(asked, row["person"], mission, {}, row["decided"]),
            "outcome": outcome,
            "by": row["decided_by"] if row["decided_by"].startswith("rule ") else "person",
            "at": row["decided"],
        }
