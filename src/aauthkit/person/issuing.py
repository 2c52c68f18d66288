"""Tokens out: what earlier decisions allow is minted and put on record in one transaction, then answered.

draft-11 §7.1.2, §9.4.1 (what a token says and how long), §7.1 Retention, §11.12.4 Records (what is kept of it), §14.1
(the directed `sub`). Every way to a new token leads through `Issuing.settle`: first request, poll, and repeat. Where an
answer may have been lost, `Issuing.repeat` gives it once more.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Final

from ..audit import AuditLog
from ..callers import Agent
from ..keys import Keys
from ..protocol.jose import b64url_encode
from ..protocol.messages import Answer, json_answer
from ..protocol.minting import mint_auth_token, mint_person_token
from ..protocol.problems import Problem, SignatureFailure
from ..protocol.tokens import AUTH_TYP, HOUR, PERSON_DWK, PERSON_TYP
from ..revocation.records import RevokedRecords
from ..store import Transaction
from ..verification import never_revoked
from . import consents, logbook, missions, records
from .asked import Asked
from .consent import Covered, weigh
from .footing import Footing, footing_of
from .judging import STOPPED
from .limits import TOKENS
from .missions import OwnMission
from .questions import Which
from .records import Issued
from .revoking import WHY

SUB_BYTES: Final = 16
JTI_BYTES: Final = 16


class Issuing:
    """Mints for one person server, `issuer`, under the current key of `keys`.

    `is_revoked` is asked about every token a new one would rest on, in the moment it is minted. `tenant` is the
    organization whose people these are, if they are one's (draft-11 §13.10).
    """

    def __init__(
        self,
        issuer: str,
        keys: Keys,
        *,
        for_update: str = "",
        audit: AuditLog,
        tenant: str | None = None,
        is_revoked: Callable[[str, str], bool] = never_revoked,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.issuer = issuer
        self._tenant = tenant
        self._revoked = RevokedRecords(issuer)
        self._keys = keys
        self._for_update = for_update
        self._audit = audit
        self._is_revoked = is_revoked
        self._clock = clock
        self._random = random_bytes

    def refuse(self, asked: Asked, agent: Agent, footing: Footing, *, waited: bool) -> Answer | None:
        """The refusal of a request that rests on a revoked token (draft-11 §11.12.5); `None` where none of them is.

        `waited`: its pending request ends with it; else the token itself is what the agent is told of.
        """
        which = self._revoked_of(asked, agent, footing)
        if which is None:
            return None
        return _revoked(which, waited=waited)

    def _revoked_of(self, asked: Asked, agent: Agent, footing: Footing) -> Which | None:
        bounds = asked.bounds
        remembered = self._is_revoked(agent.iss, agent.jti) or self._is_revoked(asked.agent_iss, bounds.agent_jti)
        if remembered or footing.agent_revoked:
            return "agent_token"
        if bounds.resource_jti is not None and self._is_revoked(asked.resource, bounds.resource_jti):
            return "resource_token"
        return "presented_token" if footing.presented_revoked else None

    async def repeat(
        self, tx: Transaction, asked: Asked, agent: Agent, footing: Footing, *, prompted: bool
    ) -> Answer | None:
        """The answer this resource token had before, equal in all its token says; `None` where it had none.

        With `prompt=consent` only where that answer was asked for so.
        """
        if footing.answered is None or (prompted and not footing.prompted):
            return None
        issued = await records.find_issued(tx, footing.answered)
        now = int(self._clock())
        if issued is None or issued.exp <= now or issued.revoked is not None or not _is_for(issued, agent):
            return None
        return self._answer(issued, asked.tenant, agent, now)

    async def settle(
        self, tx: Transaction, asked: Asked, agent: Agent, footing: Footing, *, pending: str | None = None
    ) -> Answer | None:
        """The answer that earlier decisions give: a token, or a refusal; `None` where the person has to be asked.

        `pending` names the request that waited for it, if one did.
        """
        person = footing.person
        if person is None:
            return None
        now = self._clock()
        decisions = await consents.standing(tx, asked.place(person), self._for_update)
        covered = weigh(asked.scope, decisions, now, agent.key.thumbprint)
        if covered is None:
            return None
        ends = min(int(now) + HOUR, asked.bounds.ends, covered.ends or asked.bounds.ends)
        if ends <= now:
            return Problem("expired", "decided, but a token this rests on has expired: ask again from the top").answer()
        refusal = await self._hold(tx, asked, agent, person, waited=pending is not None)
        if refusal is not None:
            return refusal
        for decision in covered.unused:
            await consents.use_once(tx, decision, agent.key.thumbprint, ends)
        issued = await self._issue(tx, asked, agent, footing, covered, int(now), ends)
        await self._note_answered(tx, asked, issued, pending)
        return self._answer(issued, asked.tenant, agent, int(now))

    async def _hold(self, tx: Transaction, asked: Asked, agent: Agent, person: str, *, waited: bool) -> Answer | None:
        """Keep the agent bound and going until the transaction ends; the refusal where it is not any more.

        Where a transaction is the only one that writes, what it found at its beginning is so until its end.
        """
        if not self._for_update:
            return None
        if await records.hold_agent(tx, asked.agent_iss, asked.agent_sub, self._for_update) != person:
            return Problem("denied", "the agent was released by its person").answer()
        if await records.is_stopped(tx, asked.agent_iss, asked.agent_sub):
            return Problem("denied", STOPPED).answer()
        for jti in {agent.jti, asked.bounds.agent_jti}:
            if await self._revoked.exp_of(tx, asked.agent_iss, jti) is not None:
                return _revoked("agent_token", waited=waited)
        return None

    async def person_tokens(self, tx: Transaction, asked: Asked, agent: Agent, own: OwnMission) -> dict[str, str]:
        """A person token for each resource approved with a mission (draft-11 §8.2).

        One that cannot be issued is left out, as §8.2 allows: the agent asks for it and learns why.
        """
        tokens: dict[str, str] = {}
        mission, limits = own.read(), own.read_limits()
        for resource in mission.approved_resources:
            if limits.token(resource, frozenset(), await missions.counts(tx, own.s256), self._clock()) is not None:
                continue
            at = asked.at(resource, mission)
            answer = await self.settle(tx, at, agent, await footing_of(tx, at, agent.jti))
            if answer is not None and answer.status == 200:
                tokens[resource] = json.loads(answer.body)["person_token"]
        return tokens

    async def _issue(
        self, tx: Transaction, asked: Asked, agent: Agent, footing: Footing, covered: Covered, now: int, ends: int
    ) -> Issued:
        person, sub = footing.person, footing.sub
        assert person is not None
        if sub is None:
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
            decisions=tuple(dict.fromkeys((*(one.id for one in covered.by), *asked.bounds.rests_on))),
            presented_jti=asked.bounds.presented_jti,
            resource_jti=asked.bounds.resource_jti,
            mission=asked.mission,
        )
        await records.note_issued(tx, issued)
        self._audit.note(
            tx,
            "token",
            jti=issued.jti,
            typ=issued.typ,
            person=person,
            agent=agent.sub,
            key=issued.jkt,
            resource=issued.aud,
            scope=sorted(issued.scope) or None,
            account=issued.account,
            mission=issued.mission,
            exp=issued.exp,
            decisions=list(issued.decisions),
            evidence=asked.evidence,
        )
        if asked.mission is not None:
            await missions.count(tx, asked.mission, {TOKENS: 1.0})
            await logbook.note(tx, asked, "issued", now, jti=issued.jti, granted=sorted(issued.scope))
        return issued

    async def _note_answered(self, tx: Transaction, asked: Asked, issued: Issued, pending: str | None) -> None:
        """So that the same resource token, brought again, is answered with the same token."""
        bounds = asked.bounds
        if pending is not None:
            await records.answer_waiting(tx, pending, issued.jti)
        elif bounds.resource_jti is not None and bounds.resource_exp is not None:
            await records.note_answered(tx, asked.resource, bounds.resource_jti, bounds.resource_exp, issued=issued.jti)

    def _answer(self, issued: Issued, tenant: str | None, agent: Agent, now: int) -> Answer:
        name, token = self._mint(issued, tenant, agent)
        return json_answer(200, {name: token, "expires_in": issued.exp - now})

    def _mint(self, issued: Issued, tenant: str | None, agent: Agent) -> tuple[str, str]:
        key = self._keys.current
        if issued.typ == PERSON_TYP:
            return "person_token", mint_person_token(
                key,
                iss=self.issuer,
                aud=issued.aud,
                sub=issued.sub,
                cnf=agent.key,
                jti=issued.jti,
                iat=issued.issued,
                exp=issued.exp,
                mission_s256=issued.mission,
                tenant=self._tenant,
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
            mission_s256=issued.mission,
            tenant=tenant,
        )


def _revoked(which: Which, *, waited: bool) -> Answer:
    """The refusal of a request that rests on a revoked token (draft-11 §11.12.5)."""
    if waited:
        return Problem("revoked", WHY[which]).answer()
    if which == "agent_token":
        return SignatureFailure("revoked_jwt", WHY[which]).answer()
    if which == "resource_token":
        return Problem("revoked_resource_token", WHY[which]).answer()
    return Problem("revoked_presented_token", WHY[which]).answer()


def _is_for(issued: Issued, agent: Agent) -> bool:
    """Whether a token was issued to this agent under the key it has now."""
    return (issued.agent_iss, issued.agent_sub, issued.jkt) == (agent.iss, agent.sub, agent.key.thumbprint)
