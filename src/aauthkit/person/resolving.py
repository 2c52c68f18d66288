"""The answers to requests that were decided and give no token, by kind of question (draft-11 §7.6 to §8.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..accounts import Accounts
from ..callers import Agent
from ..protocol.jose import b64url_encode
from ..protocol.messages import Answer, json_answer
from ..store import Transaction
from . import missions
from .asked import Asked
from .issuing import Issuing
from .judging import GRANTED

FOR_THE_PERSON: Final = ("interaction", "payment")
"""What this server can do where it reaches the person: where a page of theirs is open (draft-11 §8.2)."""


class Resolving:
    """Makes answers of outcomes, for one person server."""

    def __init__(self, issuing: Issuing, accounts: Accounts) -> None:
        self._issuing = issuing
        self._accounts = accounts

    async def answer(self, tx: Transaction, asked: Asked, agent: Agent, outcome: Mapping[str, Any]) -> Answer:
        """The terminal answer of a request that was allowed."""
        match asked.kind:
            case "mission":
                return await self._mission(tx, asked, agent, outcome["mission"])
            case "update":
                return json_answer(200, {"s256": outcome["s256"]})
            case "permission":
                return json_answer(200, GRANTED)
            case "question":
                return json_answer(200, {"answer": outcome["answer"]})
        return json_answer(200, {"status": "completed"})

    async def _mission(self, tx: Transaction, asked: Asked, agent: Agent, s256: str) -> Answer:
        """The mission, in the bytes that were kept, with what opens its resources (draft-11 §8.2)."""
        own = await missions.by_s256(tx, s256)
        assert own is not None
        reached = await self._accounts.page_alive(own.person, tx)
        body: dict[str, Any] = {
            "s256": s256,
            "mission": b64url_encode(own.blob),
            "capabilities": list(FOR_THE_PERSON) if reached else [],
        }
        if own.read().approved_resources:
            body["person_tokens"] = await self._issuing.person_tokens(tx, asked, agent, own)
        return json_answer(200, body)
