"""Tokens out: what earlier decisions allow is minted and put on record in one transaction, then answered.

draft-11 §7.1.2, §9.4.1 (what a token says and how long), §7.1 Retention, §11.12.4 Records (what is kept of it), §14.1
(the directed `sub`). Every way to a token leads through `Issuing.settle`: first request, poll, and repeat.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final

from ..callers import Agent
from ..keys import Keys
from ..protocol.jose import b64url_encode
from ..protocol.messages import Answer, json_answer
from ..protocol.minting import mint_auth_token, mint_person_token
from ..protocol.problems import Problem
from ..protocol.tokens import AUTH_TYP, HOUR, PERSON_DWK, PERSON_TYP
from ..store import Transaction
from . import records
from .asked import Asked
from .consent import Covered, weigh
from .records import Issued

SUB_BYTES: Final = 16
JTI_BYTES: Final = 16


class Issuing:
    """Mints for one person server, `issuer`, under the current key of `keys`."""

    def __init__(
        self,
        issuer: str,
        keys: Keys,
        *,
        for_update: str = "",
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.issuer = issuer
        self._keys = keys
        self._for_update = for_update
        self._clock = clock
        self._random = random_bytes

    async def settle(self, tx: Transaction, asked: Asked, agent: Agent) -> Answer | None:
        """The answer that earlier decisions give: a token, or a refusal; `None` where the person has to be asked."""
        person = await records.person_of(tx, asked.agent_iss, asked.agent_sub)
        if person is None:
            return None
        now = self._clock()
        decisions = await records.standing(tx, asked.place(person), self._for_update)
        covered = weigh(asked.scope, decisions, now, agent.key.thumbprint)
        if covered is None:
            return None
        if not covered.granted:
            detail = "the person left this out when asked before; prompt=consent asks again"
            return Problem("denied", detail).answer()
        ends = min(int(now) + HOUR, asked.bounds.ends, covered.ends or asked.bounds.ends)
        if ends <= now:
            return Problem("expired", "decided, but a token this rests on has expired: ask again from the top").answer()
        for decision in covered.unused:
            await records.use_once(tx, decision, agent.key.thumbprint, ends)
        return await self._issue(tx, asked, agent, person, covered, int(now), ends)

    async def _issue(
        self, tx: Transaction, asked: Asked, agent: Agent, person: str, covered: Covered, now: int, ends: int
    ) -> Answer:
        sub = await records.subject(tx, person, asked.resource, b64url_encode(self._random(SUB_BYTES)), now)
        identity = asked.kind == "identity"
        issued = Issued(
            jti=b64url_encode(self._random(JTI_BYTES)),
            typ=PERSON_TYP if identity else AUTH_TYP,
            person=person,
            agent_iss=agent.iss,
            agent_sub=agent.sub,
            jkt=agent.key.thumbprint,
            aud=asked.resource,
            sub=sub,
            scope=frozenset() if identity else covered.granted,
            account=asked.account,
            issued=now,
            exp=ends,
            agent_jti=asked.bounds.agent_jti,
            decisions=tuple(decision.id for decision in covered.by),
            presented_jti=asked.bounds.presented_jti,
            resource_jti=asked.bounds.resource_jti,
        )
        await records.note_issued(tx, issued)
        name, token = self._mint(issued, asked, agent)
        return json_answer(200, {name: token, "expires_in": ends - now})

    def _mint(self, issued: Issued, asked: Asked, agent: Agent) -> tuple[str, str]:
        key = self._keys.current
        if asked.kind == "identity":
            return "person_token", mint_person_token(
                key,
                iss=self.issuer,
                aud=issued.aud,
                sub=issued.sub,
                cnf=agent.key,
                jti=issued.jti,
                iat=issued.issued,
                exp=issued.exp,
            )
        return "auth_token", mint_auth_token(
            key,
            iss=self.issuer,
            dwk=PERSON_DWK,
            aud=issued.aud,
            ps=self.issuer,
            sub=issued.sub,
            cnf=agent.key,
            jti=issued.jti,
            iat=issued.issued,
            exp=issued.exp,
            scope=issued.scope,
            account=issued.account,
            tenant=asked.tenant,
        )
