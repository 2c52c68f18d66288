"""What agents bring to a person server, verified: who asks, and about what (draft-11 §5.3.3, §7.1, §7.2.1, §7.5.2.2).

Every request of an agent comes in here. Where a person may have to be asked, what comes out is one `Asked`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from .. import decisions
from ..audit import Evidence
from ..callers import Agent
from ..compatibility import NONE, OlderForm
from ..discovery import Discovery, DiscoveryFailed
from ..parameters import RETRY_UNREACHABLE, ParameterVerifier
from ..protocol.identifiers import NO_LOOPBACK, LoopbackProfile
from ..protocol.metadata import Metadata
from ..protocol.problems import Problem
from ..protocol.tokens import (
    AGENT_DWK,
    AGENT_TYP,
    DEFAULT_CEILINGS,
    RESOURCE_DWK,
    AuthToken,
    Ceilings,
    PersonToken,
    ResourceToken,
    Token,
    TokenRejected,
)
from ..replay import ReplayCache
from ..serving import Request
from ..store import Database
from ..trust import Trust
from ..verification import Accepts, Verified, Verifier, never_revoked
from . import answers, consents, missions, records
from .accepted import Accepted
from .asked import Asked, ask_identity, ask_scope
from .missions import OwnMission
from .quota import Misses, ResourceQuota
from .records import Issued
from .requests import Declared, PersonTokenRequest
from .revoking import WHY

log = logging.getLogger("aauthkit.person")

ACCEPTS: Final = Accepts(schemes=("jwt",), token_types=frozenset({AGENT_TYP}))
"""What every endpoint for agents takes (draft-11 §7)."""
FORGET_EVERY: Final = 60
"""Seconds between two sweeps of what is over."""


class Intake:
    """Verifies the requests of agents to the person server `issuer`, which trusts `trust`.

    `is_revoked` is asked about agent tokens and resource tokens. `decisions_kept`: seconds that a decision is kept once
    it is over; what nothing can ask for any more is discarded now and then as agents come.
    """

    def __init__(
        self,
        issuer: str,
        database: Database,
        *,
        accepted: Accepted,
        discovery: Discovery,
        trust: Trust,
        loopback: LoopbackProfile = NO_LOOPBACK,
        ceilings: Ceilings = DEFAULT_CEILINGS,
        older_forms: frozenset[OlderForm] = NONE,
        replay: ReplayCache | None = None,
        is_revoked: Callable[[str, str], bool] = never_revoked,
        path_prefix: str = "",
        decisions_kept: int = consents.KEPT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self._database = database
        self._discovery = discovery
        self._trust = trust
        self._loopback = loopback
        self._prefix = path_prefix
        self._decisions_kept = decisions_kept
        self._clock = clock
        self._verifier = Verifier(
            issuer,
            discovery=discovery,
            trust=trust,
            loopback=loopback,
            ceilings=ceilings,
            replay=replay,
            accept_base64url=OlderForm.BASE64URL_SIGNATURE in older_forms,
            is_revoked=is_revoked,
            clock=clock,
        )
        self._parameters = ParameterVerifier(
            discovery, trust, loopback=loopback, ceilings=ceilings, is_revoked=is_revoked, clock=clock
        )
        self._quota = ResourceQuota()
        self._misses = Misses()
        self._accepted = accepted
        self._swept = 0

    async def agent(self, request: Request, *, note: bool = True) -> tuple[Agent, Verified]:
        """The agent that signed, if it is one of this server's (draft-11 §5.3.3, §7).

        Its token is put on record here, or with the answer by whoever says `note=False` (`Accepted`).
        """
        verified = await self._verifier.verify(request.as_signed(self.issuer, prefix=self._prefix), ACCEPTS)
        agent = verified.caller
        assert isinstance(agent, Agent)
        if agent.parent_agent is not None:
            raise Problem("invalid_request", "a sub-agent does not ask for itself: its parent does")
        if agent.ps != self.issuer:
            raise Problem("invalid_request", "the agent token does not name this server as the agent's person server")
        await self._sweep()
        if note:
            await self._accepted.note(agent)
        return agent, verified

    async def proof(self, verified: Verified) -> Evidence:
        """What proves a request of an agent, with the provider's key as it is now (draft-11 §13.17)."""
        agent = verified.caller
        assert isinstance(agent, Agent)
        try:
            key = await self._discovery.key(agent.iss, AGENT_DWK, agent.proof.kid)
        except DiscoveryFailed:
            key = None
        return Evidence.of(verified, key)

    async def identity(self, agent: Agent, wanted: PersonTokenRequest) -> Asked:
        """The question whether the agent may act at a resource as its person (draft-11 §7.1). Raises `Problem`."""
        if not self._trust.admits_server(wanted.resource, RESOURCE_DWK):
            raise Problem("denied", "this server takes no agent to that resource")
        self._quota.admit(agent.sub, wanted.resource, self._clock())
        mission = await self.mission(agent, wanted.mission)
        return ask_identity(
            agent,
            wanted.resource,
            within(wanted.declared, mission),
            metadata=await self.resource_if_published(wanted.resource),
            provider=await self.provider(agent.iss),
            mission=mission.read() if mission is not None else None,
        )

    async def mission(self, agent: Agent, s256: str | None) -> OwnMission | None:
        """The mission an agent names, which runs and is its own; `None` where it names none (draft-11 §8.7, §8.8).

        Raises `Problem` 404 for one that is not, with nothing to tell it from one that does not exist.
        """
        if s256 is None:
            return None
        now = self._clock()
        self._misses.check(agent.sub, now)
        person = await records.person_of(self._database, agent.iss, agent.sub)
        try:
            return await missions.require_active(self._database, s256, agent.iss, agent.sub, person, now)
        except Problem as problem:
            if problem.code == "mission_not_found":
                log.warning("agent %s named a mission that is not its own", agent.sub)
                self._misses.count(agent.sub, now)
            raise

    async def scope(self, agent: Agent, resource_token: str, presented_token: str, declared: Declared) -> Asked:
        """The question what the agent may do at the resource that sent it here (draft-11 §6.7.2, §7.2).

        Raises `Problem`.
        """
        pair = await self._parameters.verify_pair(
            resource_token, presented_token, aud=self.issuer, ps=self.issuer, key=agent.key, admit=_check_served
        )
        interaction = pair.resource.interaction
        if interaction is not None and not self._discovery.admits_page(interaction["url"]):
            raise Problem("invalid_resource_token", "nobody is sent to the url of its claim interaction")
        record = await self._presented(agent, pair.presented)
        mission = await self.mission(agent, pair.resource.mission_s256)  # draft-11 §6.7.2 step 4
        return ask_scope(
            agent,
            pair.resource,
            pair.presented,
            within(declared, mission),
            record=record,
            metadata=await self._resource_of(pair.resource),
            provider=await self.provider(agent.iss),
            mission=mission.read() if mission is not None else None,
        )

    async def _sweep(self) -> None:
        """Discard now and then what nothing can ask for any more."""
        now = int(self._clock())
        if now - self._swept < FORGET_EVERY:
            return
        self._swept = now
        async with self._database.transaction() as tx:
            await records.forget(tx, now)
            await decisions.forget(tx, now)
            await consents.forget(tx, now, self._decisions_kept)
            await missions.forget(tx, now, self._decisions_kept)
            await answers.forget(tx, now)

    async def _presented(self, agent: Agent, presented: PersonToken | AuthToken) -> Issued:
        """The record of a token this server issued, to this very agent, for the person it acts for (§13.14).

        Raises `Problem` `invalid_presented_token`, or `revoked_presented_token` for one that ended before its time.
        """
        record = await records.find_issued_to(self._database, presented.jti, agent.iss, agent.sub)
        if record is None:
            raise Problem("invalid_presented_token", "presented_token: not one that was issued to this agent")
        if record.revoked is not None:
            raise Problem("revoked_presented_token", WHY["presented_token"])
        return record

    async def resource_if_published(self, resource: str) -> Metadata | None:
        """What a resource says of itself, or nothing: it need not publish a document (draft-11 §11.2.4)."""
        try:
            return await self._discovery.metadata(resource, RESOURCE_DWK)
        except DiscoveryFailed as error:
            if error.code in ("issuer_missing", "issuer_mismatch"):
                raise Problem("invalid_request", f"resource: {error.reason}") from error
            return None

    async def _resource_of(self, token: ResourceToken) -> Metadata:
        """The metadata of a resource that asks, which names every scope it asks for (draft-11 §11.10)."""
        try:
            metadata = await self._discovery.metadata(token.iss, RESOURCE_DWK)
        except DiscoveryFailed as error:
            if error.unreachable:
                raise Problem(
                    "server_error",
                    "the resource's metadata cannot be reached",
                    status=503,
                    retry_after=error.retry_after or RETRY_UNREACHABLE,
                ) from error
            raise Problem("invalid_resource_token", f"the resource's metadata: {error.reason}") from error
        unknown = sorted(token.scope - metadata.scope_descriptions.keys())
        if unknown:
            raise Problem("invalid_resource_token", "its scope_descriptions do not name: " + " ".join(unknown)[:512])
        return metadata

    async def provider(self, issuer: str) -> Metadata | None:
        """What an agent provider says of itself; a page names it by its host where it says nothing."""
        try:
            return await self._discovery.metadata(issuer, AGENT_DWK)
        except DiscoveryFailed:
            return None


def within(declared: Declared, mission: OwnMission | None) -> Declared:
    """What an agent says of itself, completed by what it said when its mission was approved (draft-11 §7.2.1)."""
    return declared if mission is None else declared.within(mission.capabilities)


def _check_served(token: Token) -> None:
    """What a resource token must say for this server to answer it (draft-11 §6.7.1)."""
    assert isinstance(token, ResourceToken)
    if not token.scope:
        raise TokenRejected("it names no scope")
