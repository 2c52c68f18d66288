"""A person server: it represents people to the rest of the protocol, and issues tokens bounded by what they allowed.

draft-11 §7, Appendix B: both token endpoints in three-party, consent on its own pages, and the pending requests
between.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from .. import accounts as people
from .. import deferred as waiting_room
from ..accounts import Accounts
from ..callers import Agent
from ..deferred import Deferred
from ..discovery import Discovery, DiscoveryFailed
from ..keys import Keys
from ..parameters import RETRY_UNREACHABLE, ParameterVerifier
from ..protocol.identifiers import NO_LOOPBACK, LoopbackProfile, check_server_identifier
from ..protocol.jose import ALGORITHMS
from ..protocol.messages import Answer, json_answer
from ..protocol.metadata import Metadata
from ..protocol.problems import Problem
from ..protocol.tokens import (
    AGENT_DWK,
    AGENT_TYP,
    DEFAULT_CEILINGS,
    PERSON_DWK,
    RESOURCE_DWK,
    AuthToken,
    Ceilings,
    PersonToken,
    ResourceToken,
    Token,
    TokenRejected,
)
from ..replay import ReplayCache
from ..serving import Request, Routes
from ..store import Database
from ..trust import Trust
from ..verification import Accepts, Verified, Verifier
from ..web import Pages
from . import records
from .asked import ask_identity, ask_scope, owner_of
from .deciding import Deciding
from .issuing import Issuing
from .pages.arrival import Arrival
from .pages.decision import Decision
from .pages.desk import Desk
from .pages.home import Home
from .pages.signing import Signing
from .questions import LIFETIME, Questions
from .quota import ResourceQuota
from .records import BoundAgent, Issued
from .requests import read_auth_token_request, read_person_token_request
from .routes import routes
from .waiting import Room

ACCEPTS: Final = Accepts(schemes=("jwt",), token_types=frozenset({AGENT_TYP}))
"""What every protocol endpoint of a person server takes (draft-11 §7)."""
MAX_REMEMBERED: Final = 4096
PUBLISHED_FOR: Final = ("cache-control", "public, max-age=300")
FORGET_EVERY: Final = 60
"""Seconds between two sweeps of what is over."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How the server names itself, to programs in its metadata and to people on its pages."""

    name: str = "Your person server"
    description: str | None = None


class PersonServer:
    """The person server `issuer`; one database holds the people of one.

    - `trust`: the agent providers whose agents are served, and the resources they may be taken to; no defaults.
    - `discovery`: finds the keys and metadata of both, and serves this server's own keys to itself.
    - `accounts`: the people; made on the same database where none is given.
    - `path_prefix`: a path that a proxy in front of this server stripped.
    - `question_lifetime`: seconds a request waits for its person.

    `start` it before the first `answer`.
    """

    def __init__(
        self,
        issuer: str,
        *,
        keys: Keys,
        database: Database,
        discovery: Discovery,
        trust: Trust,
        accounts: Accounts | None = None,
        loopback: LoopbackProfile = NO_LOOPBACK,
        shown: Shown = Shown(),
        question_lifetime: int = LIFETIME,
        path_prefix: str = "",
        ceilings: Ceilings = DEFAULT_CEILINGS,
        replay: ReplayCache | None = None,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.issuer = check_server_identifier(issuer, loopback)
        self.keys = keys
        self.shown = shown
        self.accounts = accounts or Accounts(
            database, issuer=issuer, loopback=issuer in loopback.origins, clock=clock, random_bytes=random_bytes
        )
        self._database = database
        self._discovery = discovery
        self._loopback = loopback
        self._prefix = path_prefix
        self._clock = clock
        self._trust = own = replace(trust, person_servers=frozenset({issuer}))
        self._verifier = Verifier(
            issuer,
            discovery=discovery,
            trust=own,
            loopback=loopback,
            ceilings=ceilings,
            replay=replay,
            clock=clock,
        )
        self._parameters = ParameterVerifier(discovery, own, loopback=loopback, ceilings=ceilings, clock=clock)
        self._deferred = Deferred(issuer, database, clock=clock, random_bytes=random_bytes)
        self._questions = Questions(database, self._deferred, lifetime=question_lifetime)
        issuing = Issuing(issuer, keys, for_update=database.for_update, clock=clock, random_bytes=random_bytes)
        self._room = Room(
            issuer,
            database,
            deferred=self._deferred,
            questions=self._questions,
            issuing=issuing,
            accounts=self.accounts,
            clock=clock,
        )
        self._quota = ResourceQuota()
        self._noted: dict[tuple[str, str], int] = {}
        self._swept = 0
        deciding = Deciding(
            database, deferred=self._deferred, questions=self._questions, clock=clock, random_bytes=random_bytes
        )
        self._desk = self._make_desk()
        self._routes = self._make_routes(deciding)

    def _make_desk(self) -> Desk:
        in_profile = self.issuer in self._loopback.origins
        return Desk(
            issuer=self.issuer,
            database=self._database,
            deferred=self._deferred,
            questions=self._questions,
            accounts=self.accounts,
            discovery=self._discovery,
            pages=Pages("aauthkit.person", self.shown.name, loopback=in_profile, clock=self._clock),
            clock=self._clock,
        )

    def _make_routes(self, deciding: Deciding) -> Routes:
        return routes(
            self,
            arrival=Arrival(self._desk),
            decision=Decision(self._desk, deciding),
            home=Home(self._desk),
            signing=Signing(self._desk),
        )

    async def start(self) -> None:
        """Bring the tables up to date and serve the own keys. Raises `ValueError` for another server's database."""
        migrations = (*waiting_room.MIGRATIONS, *people.MIGRATIONS, *records.MIGRATIONS)
        await self._database.migrate(migrations)
        async with self._database.transaction() as tx:
            owner = await records.claim_database(tx, self.issuer)
        if owner != self.issuer:
            raise ValueError(f"this database holds the people of {owner}, not of {self.issuer}")
        self._discovery.serve_locally(self.issuer, PERSON_DWK, self.keys.jwks)

    async def answer(self, request: Request) -> Answer:
        """The answer to any request to this server."""
        if not self._routes.serves(request.path) and "text/html" in (request.header("accept") or ""):
            return self._desk.pages.problem(Problem("not_found"))
        return await self._routes.answer(request)

    async def close(self) -> None:
        """Nothing is held open: database and discovery belong to whoever made them."""

    # Published

    async def metadata(self, _request: Request) -> Answer:
        """/.well-known/aauth-person.json (draft-11 §11.2.2): the floor, and the server's name."""
        document = {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/.well-known/jwks.json",
            "person_token_endpoint": f"{self.issuer}/person",
            "auth_token_endpoint": f"{self.issuer}/token",
            "accept_signature_algs": list(ALGORITHMS),
            "name": self.shown.name,
        }
        if self.shown.description is not None:
            document["description"] = self.shown.description
        return json_answer(200, document, PUBLISHED_FOR)

    async def jwks(self, _request: Request) -> Answer:
        """/.well-known/jwks.json."""
        return json_answer(200, self.keys.jwks(), PUBLISHED_FOR)

    # Endpoints for agents

    async def person_token(self, request: Request) -> Answer:
        """POST to the person token endpoint (draft-11 §7.1)."""
        agent, verified = await self._agent(request)
        wanted = read_person_token_request(await request.read_json(verified.digest()), self._loopback)
        if not self._trust.admits_server(wanted.resource, RESOURCE_DWK):
            raise Problem("denied", "this server takes no agent to that resource")
        self._quota.admit(agent.sub, wanted.resource, self._clock())
        asked = ask_identity(
            agent,
            wanted.resource,
            wanted.declared,
            metadata=await self._resource_if_published(wanted.resource),
            provider=await self._provider(agent.iss),
        )
        return await self._room.ask(request, asked, agent, ask_anyway=wanted.declared.ask_anyway)

    async def auth_token(self, request: Request) -> Answer:
        """POST to the auth token endpoint (draft-11 §7.2)."""
        agent, verified = await self._agent(request)
        wanted = read_auth_token_request(await request.read_json(verified.digest()))
        pair = await self._parameters.verify_pair(
            wanted.resource_token,
            wanted.presented_token,
            aud=self.issuer,
            ps=self.issuer,
            key=agent.key,
            admit=_check_served,
        )
        await self._check_presented(agent, pair.presented)
        asked = ask_scope(
            agent,
            pair.resource,
            pair.presented,
            wanted.declared,
            metadata=await self._resource_of(pair.resource),
            provider=await self._provider(agent.iss),
        )
        return await self._room.ask(request, asked, agent, ask_anyway=wanted.declared.ask_anyway)

    async def poll(self, request: Request, pending: str) -> Answer:
        """GET of a pending URL (draft-11 §11.8.3)."""
        agent, _ = await self._agent(request)
        await self._room.check_person(await records.person_of(self._database, agent.iss, agent.sub))
        return await self._room.poll(request, pending, agent)

    async def act(self, request: Request, pending: str) -> Answer:
        """POST to a pending URL: an answer to a question, and none is open (draft-11 §7.5.2)."""
        agent, verified = await self._agent(request)
        body = await request.read_json(verified.digest())
        found = await self._deferred.find(self._database, pending)
        if found is None or found.owner != owner_of(agent):
            raise Problem("not_found")
        if found.state == "ended":
            raise Problem("gone", "this request has ended")
        if body.get("action") not in ("clarification_response", "updated_request"):
            raise Problem("invalid_request", "action is missing or not one that is known")
        raise Problem("invalid_request", "this request waits for its person, not for its agent")

    async def cancel(self, request: Request, pending: str) -> Answer:
        """DELETE of a pending URL: the agent withdraws (draft-11 §7.5.2.3)."""
        agent, _ = await self._agent(request)
        await self._deferred.cancel(pending, owner_of(agent))
        return Answer(204, (("cache-control", "no-store"),))

    # For whoever runs the server

    async def agents(self, person: str | None = None) -> Sequence[BoundAgent]:
        """The agents that have a person, newest first; those of the account `person` if given."""
        return await records.agents(self._database, person)

    async def issued(self, person: str | None = None) -> Sequence[Issued]:
        """The tokens on record, newest first; those of the account `person` if given. Never the tokens themselves."""
        return await records.issued(self._database, person)

    # Who asks, and about what

    async def _agent(self, request: Request) -> tuple[Agent, Verified]:
        """The agent that signed, if it is one of this server's (draft-11 §5.3.3, §7)."""
        verified = await self._verifier.verify(request.as_signed(self.issuer, prefix=self._prefix), ACCEPTS)
        agent = verified.caller
        assert isinstance(agent, Agent)
        if agent.parent_agent is not None:
            raise Problem("invalid_request", "a sub-agent does not ask for itself: its parent does")
        if agent.ps != self.issuer:
            raise Problem("invalid_request", "the agent token does not name this server as the agent's person server")
        await self._note(agent)
        return agent, verified

    async def _note(self, agent: Agent) -> None:
        """Put an accepted agent token on record, once (draft-11 §11.12.4 Records)."""
        name = (agent.iss, agent.jti)
        now = int(self._clock())
        if name in self._noted:
            return
        async with self._database.transaction() as tx:
            await records.note_agent_token(tx, agent.iss, agent.jti, agent.sub, agent.exp)
            if now - self._swept >= FORGET_EVERY:
                await records.forget(tx, now)
        self._swept = now if now - self._swept >= FORGET_EVERY else self._swept
        if len(self._noted) >= MAX_REMEMBERED:
            self._noted.clear()
        self._noted[name] = agent.exp

    async def _check_presented(self, agent: Agent, presented: PersonToken | AuthToken) -> None:
        """The presented token is one this server issued, to this very agent, for the person it acts for (§13.14)."""
        record = await records.find_issued(self._database, presented.jti)
        person = await records.person_of(self._database, agent.iss, agent.sub)
        if record is None or (record.agent_iss, record.agent_sub) != (agent.iss, agent.sub) or record.person != person:
            raise Problem("invalid_presented_token", "presented_token: not one that was issued to this agent")

    async def _resource_if_published(self, resource: str) -> Metadata | None:
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

    async def _provider(self, issuer: str) -> Metadata | None:
        """What an agent provider says of itself; a page names it by its host where it says nothing."""
        try:
            return await self._discovery.metadata(issuer, AGENT_DWK)
        except DiscoveryFailed:
            return None


def _check_served(token: Token) -> None:
    """What a resource token may not ask of this server, and what it must (draft-11 §6.7.1)."""
    assert isinstance(token, ResourceToken)
    if token.interaction is not None:
        raise TokenRejected("an interaction of the resource's own is not served here")
    if token.mission_s256 is not None:
        raise TokenRejected("missions are not served here")
    if not token.scope:
        raise TokenRejected("it names no scope")
