"""A person server: it represents people to the rest of the protocol, and issues tokens bounded by what they allowed.

draft-11 §7, Appendix B: both token endpoints in three-party, consent on its own pages, and the pending requests
between.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from .. import accounts as people
from .. import decisions as queue
from .. import deferred as waiting_room
from ..accounts import Accounts
from ..audit import MIGRATIONS as AUDIT_TABLES
from ..audit import Checkpoints, Regularly
from ..callers import Agent
from ..compatibility import read_by
from ..discovery import Discovery
from ..egress import Egress, Http
from ..keys import Keys
from ..operations import Metrics
from ..outbound import Outbound
from ..protocol.identifiers import NO_LOOPBACK, LoopbackProfile, check_server_identifier
from ..protocol.jose import ALGORITHMS
from ..protocol.messages import Answer, Refusal, json_answer
from ..protocol.problems import Problem
from ..protocol.tokens import (
    DEFAULT_CEILINGS,
    PERSON_DWK,
    Ceilings,
)
from ..replay import ReplayCache
from ..revocation import MIGRATIONS as REVOCATION_TABLES
from ..serving import Request, Routes
from ..store import Database, StoreError
from ..trust import Trust
from . import records
from .asked import Asked, owner_of
from .building import DEFAULT_TERMS, Built, Ground, Terms
from .pages.arrival import Arrival
from .pages.before import Before
from .pages.decision import Decision
from .pages.governed import Governed
from .pages.home import Home
from .pages.signing import Signing
from .requests import (
    ClarificationResponse,
    Declared,
    read_action,
    read_auth_token_request,
    read_person_token_request,
)
from .routes import routes
from .rules import RuleBook

PUBLISHED_FOR: Final = ("cache-control", "public, max-age=300")
KEYS_PUBLISHED_FOR: Final = ("cache-control", "public, max-age=300, s-maxage=60")
"""A verifier that meets an unknown key asks again, and gets no copy that a cache on the way has kept (§11.4)."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How the server names itself, to programs in its metadata and to people on its pages."""

    name: str = "Your person server"
    description: str | None = None


class PersonServer:
    """The person server `issuer`; one database holds the people of one.

    - `trust`: the agent providers whose agents are served, and the resources they may be taken to; no defaults.
    - `discovery`: finds the keys and metadata of both, and serves this server's own keys to itself.
    - `tenant`: the organization whose people these are, if it is one's: told to every resource (draft-11 §13.10).
    - `accounts`: the people; made on the same database where none is given.
    - `rules`: what is decided before a person is asked; where none are given, those on record (`set_rules`).
    - `checkpoints`: ties the audit log together, under a key of its own; none are made where it is not given.
    - `outbound`: how resources are told of revocations; a client of its own where none is given.
    - `path_prefix`: a path that a proxy in front of this server stripped.
    - `older_forms`: what is read of peers that have not caught up, by name (`aauthkit.compatibility`).

    `start` it before the first `answer`, `close` it at the end. `steward` is for whoever runs it.
    """

    def __init__(
        self,
        issuer: str,
        *,
        keys: Keys,
        database: Database,
        discovery: Discovery,
        trust: Trust,
        tenant: str | None = None,
        accounts: Accounts | None = None,
        loopback: LoopbackProfile = NO_LOOPBACK,
        shown: Shown = Shown(),
        terms: Terms = DEFAULT_TERMS,
        path_prefix: str = "",
        ceilings: Ceilings = DEFAULT_CEILINGS,
        older_forms: Iterable[str] = (),
        rules: RuleBook | None = None,
        outbound: Outbound | None = None,
        checkpoints: Checkpoints | None = None,
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
        ground = Ground(
            issuer=issuer,
            keys=keys,
            database=database,
            discovery=discovery,
            accounts=self.accounts,
            tenant=tenant,
            trust=replace(trust, person_servers=frozenset({issuer})),
            loopback=loopback,
            terms=terms,
            ceilings=ceilings,
            older_forms=read_by(issuer, older_forms),
            path_prefix=path_prefix,
            clock=clock,
            random_bytes=random_bytes,
        )
        self._ground = ground
        self._regularly = Regularly(checkpoints) if checkpoints is not None else None
        self._own_http = Http(Egress(loopback=loopback)) if outbound is None else None
        built = Built(ground, rules, outbound or Outbound(self._own_http or Http(), clock=clock), replay)
        self.audit, self.steward = built.audit, built.steward
        self.steward.watch(self.accounts)
        self._outbox, self._revocations, self._deferred = built.outbox, built.revocations, built.deferred
        self._intake, self._accepted, self._governing = built.intake, built.accepted, built.governing
        self._room, self._clarifying = built.room, built.clarifying
        self._desk = built.desk(shown.name)
        self._routes = self._make_routes(built)

    def _make_routes(self, built: Built) -> Routes:
        return routes(
            self,
            arrival=Arrival(self._desk),
            decision=Decision(self._desk, built.deciding, self._clarifying),
            before=Before(self._desk, built.errands),
            home=Home(self._desk, built.revoking),
            governed=Governed(self._desk, self.steward),
            signing=Signing(self._desk),
            revocations=self._revocations,
        )

    async def start(self) -> None:
        """Bring the tables up to date, read what was revoked, serve the own keys.

        Raises `ValueError` for another server's database, and `StoreError`.
        """
        migrations = (
            *waiting_room.MIGRATIONS,
            *queue.MIGRATIONS,
            *people.MIGRATIONS,
            *REVOCATION_TABLES,
            *AUDIT_TABLES,
            *records.MIGRATIONS,
        )
        await self._ground.database.migrate(migrations)
        await self.audit.begin()
        if self._regularly is not None:
            self._regularly.start()
        async with self._ground.database.transaction() as tx:
            owner = await records.claim_database(tx, self.issuer)
        if owner != self.issuer:
            raise ValueError(f"this database holds the people of {owner}, not of {self.issuer}")
        await self._outbox.start()
        await self._revocations.start()
        self._ground.discovery.serve_locally(self.issuer, PERSON_DWK, self.keys.jwks)

    async def answer(self, request: Request) -> Answer:
        """The answer to any request to this server."""
        if not self._routes.serves(request.path) and "text/html" in (request.header("accept") or ""):
            return self._desk.pages.problem(Problem("not_found"))
        return await self._routes.answer(request)

    def observed_by(self, metrics: Metrics) -> None:
        """Count requests, decisions, tokens and revocations in `metrics` from now on."""
        self._routes.observe = metrics.request
        self.audit.observe = metrics.event

    async def ready(self) -> Mapping[str, str]:
        """What keeps this server from working; empty where nothing does."""
        try:
            await self._ground.database.fetch_one("SELECT issuer FROM person_server")
        except StoreError as error:
            return {"database": type(error).__name__}
        return {}

    async def gauges(self) -> Mapping[str, float]:
        """How much waits: requests for their people, revocations for their resources."""
        return {
            "requests_waiting": await self._deferred.count_open(self._ground.database),
            "revocations_waiting": await self._outbox.count_waiting(),
        }

    async def deliver_revocations(self) -> None:
        """Tell resources now what they are to be told; a server that runs does so by itself."""
        await self._outbox.deliver_due()

    async def close(self) -> None:
        """Let go of other processes' news. Database and discovery belong to whoever made them."""
        await self._revocations.close()
        await self._outbox.close()
        if self._regularly is not None:
            await self._regularly.close()
        if self._own_http is not None:
            await self._own_http.aclose()

    # Published

    async def metadata(self, _request: Request) -> Answer:
        """/.well-known/aauth-person.json (draft-11 §11.2.2): the floor, where to revoke, and the server's name."""
        document = {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/.well-known/jwks.json",
            "person_token_endpoint": f"{self.issuer}/person",
            "auth_token_endpoint": f"{self.issuer}/token",
            "mission_endpoint": f"{self.issuer}/mission",
            "permission_endpoint": f"{self.issuer}/permission",
            "audit_endpoint": f"{self.issuer}/audit",
            "interaction_endpoint": f"{self.issuer}/interaction",
            "revocation_endpoint": self._revocations.endpoint,
            "accept_signature_algs": list(ALGORITHMS),
            "name": self.shown.name,
        }
        if self.shown.description is not None:
            document["description"] = self.shown.description
        return json_answer(200, document, PUBLISHED_FOR)

    async def jwks(self, _request: Request) -> Answer:
        """/.well-known/jwks.json."""
        return json_answer(200, self.keys.jwks(), KEYS_PUBLISHED_FOR)

    # Endpoints for agents

    async def person_token(self, request: Request) -> Answer:
        """POST to the person token endpoint (draft-11 §7.1)."""
        agent, verified = await self._intake.agent(request, note=False)
        try:
            wanted = read_person_token_request(await request.read_json(verified.digest()), self._ground.loopback)
            asked = await self._intake.identity(agent, wanted)
            proof = await self._intake.proof(verified)
            return await self._room.ask(request, asked, agent, proof, ask_anyway=wanted.declared.ask_anyway)
        except Refusal:
            await self._accepted.note(agent)  # its token was accepted, whatever was wrong with the rest
            raise

    async def auth_token(self, request: Request) -> Answer:
        """POST to the auth token endpoint (draft-11 §7.2)."""
        agent, verified = await self._intake.agent(request, note=False)
        try:
            wanted = read_auth_token_request(await request.read_json(verified.digest()))
            asked = await self._intake.scope(agent, wanted.resource_token, wanted.presented_token, wanted.declared)
            proof = await self._intake.proof(verified)
            return await self._room.ask(request, asked, agent, proof, ask_anyway=wanted.declared.ask_anyway)
        except Refusal:
            await self._accepted.note(agent)
            raise

    async def propose(self, request: Request) -> Answer:
        """POST to the mission endpoint (draft-11 §8.1)."""
        return await self._govern(request, self._governing.proposal)

    async def change_mission(self, request: Request, s256: str) -> Answer:
        """POST to a mission's own URL (draft-11 §8.4, §8.5)."""

        async def change(agent: Agent, body: Mapping[str, Any]) -> Asked:
            return await self._governing.change(agent, s256, body)

        return await self._govern(request, change)

    async def permission(self, request: Request) -> Answer:
        """POST to the permission endpoint (draft-11 §7.7)."""
        return await self._govern(request, self._governing.permission)

    async def interaction(self, request: Request) -> Answer:
        """POST to the interaction endpoint (draft-11 §7.6)."""
        agent, verified = await self._intake.agent(request)
        asked = await self._governing.interaction(agent, await request.read_json(verified.digest()))
        own = await self._room.relay_own(request, asked, agent)
        if own is not None:
            return own
        return await self._room.ask(request, asked, agent, await self._intake.proof(verified), ask_anyway=False)

    async def record(self, request: Request) -> Answer:
        """POST to the audit endpoint (draft-11 §7.8)."""
        agent, verified = await self._intake.agent(request)
        await self._room.check_agent(agent)
        return await self._governing.audit(agent, await request.read_json(verified.digest()))

    async def _govern(self, request: Request, read: Callable[[Agent, Mapping[str, Any]], Awaitable[Asked]]) -> Answer:
        agent, verified = await self._intake.agent(request)
        asked = await read(agent, await request.read_json(verified.digest()))
        return await self._room.ask(request, asked, agent, await self._intake.proof(verified), ask_anyway=False)

    async def poll(self, request: Request, pending: str) -> Answer:
        """GET of a pending URL (draft-11 §11.8.3)."""
        agent, _ = await self._intake.agent(request)
        await self._room.check_person(await records.person_of(self._ground.database, agent.iss, agent.sub))
        return await self._room.poll(request, pending, agent)

    async def act(self, request: Request, pending: str) -> Answer:
        """POST to a pending URL: what an agent says to its person's question (draft-11 §7.5.2)."""
        agent, verified = await self._intake.agent(request)
        body = await request.read_json(verified.digest())
        await self._clarifying.check_addressed(pending, agent)
        await self._room.check_agent(agent)
        action = read_action(body)
        if isinstance(action, ClarificationResponse):
            return await self._room.look(await self._clarifying.answer(pending, agent, action.text))
        other = await self._intake.scope(agent, action.resource_token, action.presented_token, Declared())
        return await self._room.look(await self._clarifying.substitute(pending, agent, other, action.justification))

    async def cancel(self, request: Request, pending: str) -> Answer:
        """DELETE of a pending URL: the agent withdraws (draft-11 §7.5.2.3)."""
        agent, _ = await self._intake.agent(request)
        await self._deferred.cancel(pending, owner_of(agent))
        return Answer(204, (("cache-control", "no-store"),))
