"""Agent tokens that were accepted, on record: each once, and with the answer where one is made in a transaction.

draft-11 §11.12.4 Records: so that whoever revokes a token later names an agent that is known here.
"""

from __future__ import annotations

from typing import Final

from ..callers import Agent
from ..store import Database, Transaction
from . import records

MAX_REMEMBERED: Final = 16_384
"""Agent tokens known again; one that was forgotten costs a statement that changes nothing."""


class Accepted:
    """Notes the agent tokens of one person server; in memory it knows again those that are on record for certain."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[tuple[str, str], None] = {}

    async def note(self, agent: Agent) -> None:
        """Put the agent's token on record now."""
        if (agent.iss, agent.jti) in self._noted:
            return
        async with self._database.transaction() as tx:
            await self.note_in(tx, agent)
        self.is_kept(agent)

    async def note_in(self, tx: Transaction, agent: Agent) -> None:
        """Put it on record with this transaction, of which it is the first statement: two may wait for each other."""
        if (agent.iss, agent.jti) not in self._noted:
            await records.note_agent_token(tx, agent.iss, agent.jti, agent.sub, agent.exp)

    def is_kept(self, agent: Agent) -> None:
        """The transaction that it was noted in was committed."""
        if len(self._noted) >= MAX_REMEMBERED:
            del self._noted[next(iter(self._noted))]
        self._noted[agent.iss, agent.jti] = None
