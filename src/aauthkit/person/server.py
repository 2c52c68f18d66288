"""A person server: it represents people to the rest of the protocol, and issues tokens bounded by what they allowed.

draft-11 §7, Appendix B: both token endpoints in three-party, consent on its own pages, and the pending requests
between.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .. import accounts as people
from .. import decisions as queue
from .. import deferred as waiting_room
from ..accounts import Accounts
from ..audit import MIGRATIONS as AUDIT_TABLES
from ..audit import AuditLog, Checkpoints, Keeping, Regularly
from ..audit.evidence import KEPT as EVIDENCE_KEPT
from ..callers import Agent
from ..compatibility import OlderForm, read_by
from ..deferred import Deferred
from ..discovery import Discovery
from ..egress import Egress, Http
from ..keys import Keys
from ..outbound import Outbound
from ..protocol.identifiers import NO_LOOPBACK, LoopbackProfile, check_server_identifier
from ..protocol.jose import ALGORITHMS
from ..protocol.messages import Answer, json_answer
from ..protocol.problems import Problem
from ..protocol.tokens import (
    AGENT_DWK,
    DEFAULT_CEILINGS,
    PERSON_DWK,
    RESOURCE_DWK,
    Ceilings,
)
from ..replay import ReplayCache
from ..revocation import MIGRATIONS as REVOCATION_TABLES
from ..revocation import RevocationLimits, RevocationOutbox, Revocations, Revoker
from ..serving import Request, Routes
from ..store import Database
from ..trust import Trust
from ..web import Pages
from . import consents, records
from .asked import Asked, owner_of
from .clarifying import Clarifying
from .conversation import ANSWER_WITHIN
from .deciding import Deciding
from .governing import Governing
from .granting import Granting
from .intake import Intake
from .issuing import Issuing
from .judging import Judging
from .pages.arrival import Arrival
from .pages.decision import Decision
from .pages.desk import Desk
from .pages.home import Home
from .pages.signing import Signing
from .questions import LIFETIME, Questions
from .requests import (
    ClarificationResponse,
    Declared,
    read_action,
    read_auth_token_request,
    read_person_token_request,
)
from .revoking import Revoking
from .routes import routes
from .rules import FixedRules, RuleBook, StoredRules
from .steward import Steward
from .waiting import Room

PUBLISHED_FOR: Final = ("cache-control", "public, max-age=300")


@dataclass(frozen=True, slots=True)
class Shown:
    """How the server names itself, to programs in its metadata and to people on its pages."""

    name: str = "Your person server"
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a person server waits and remembers, in seconds, and how much it takes."""

    question: int = LIFETIME
    """A request waits for its person."""
    answer: int = ANSWER_WITHIN
    """An agent has to answer what its person asks."""
    decisions_kept: int = consents.KEPT
    """A decision that is over is kept as evidence."""
    evidence_kept: int = EVIDENCE_KEPT
    """What proves a request, its signature and token, is kept."""
    revocations: RevocationLimits = field(default_factory=RevocationLimits)
    """Revocations taken from one issuer."""


class PersonServer:
    """The person server `issuer`; one database holds the people of one.

    - `trust`: the agent providers whose agents are served, and the resources they may be taken to; no defaults.
    - `discovery`: finds the keys and metadata of both, and serves this server's own keys to itself.
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
        accounts: Accounts | None = None,
        loopback: LoopbackProfile = NO_LOOPBACK,
        shown: Shown = Shown(),
        terms: Terms = Terms(),
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
        self._database = database
        self._discovery = discovery
        self._loopback = loopback
        self._clock = clock
        self._random = random_bytes
        self._deferred = Deferred(issuer, database, clock=clock, random_bytes=random_bytes)
        self._questions = Questions(database, self._deferred, lifetime=terms.question)
        self._own_http = Http(Egress(loopback=loopback)) if outbound is None else None
        outbound = outbound or Outbound(self._own_http or Http(), clock=clock)
        revoker = Revoker(issuer, PERSON_DWK, keys, discovery=discovery, outbound=outbound, loopback=loopback)
        self._outbox = RevocationOutbox(issuer, database, revoker=revoker, clock=clock)
        self.audit = AuditLog(issuer, database, clock=clock)
        self._regularly = Regularly(checkpoints) if checkpoints is not None else None
        self._evidence = Keeping(issuer, database, kept=terms.evidence_kept, clock=clock)
        self._revoking = Revoking(database, self._questions, self._outbox, self.audit, clock=clock)
        self.steward = Steward(
            issuer, database, outbox=self._outbox, revoking=self._revoking, audit=self.audit, clock=clock
        )
        own = replace(trust, person_servers=frozenset({issuer}))
        self._older = read_by(issuer, older_forms)
        self._revocations = self._make_revocations(own, ceilings, terms.revocations, path_prefix)
        self._intake = Intake(
            issuer,
            database,
            discovery=discovery,
            trust=own,
            loopback=loopback,
            ceilings=ceilings,
            older_forms=self._older,
            replay=replay,
            is_revoked=self._revocations.is_revoked,
            path_prefix=path_prefix,
            decisions_kept=terms.decisions_kept,
            clock=clock,
        )
        self._granting = Granting(self._revoking, self.audit, random_bytes=random_bytes)
        self._governing = Governing(
            issuer,
            database,
            intake=self._intake,
            discovery=discovery,
            trust=own,
            loopback=loopback,
            clock=clock,
        )
        self._room = self._make_room(rules)
        self._clarifying = Clarifying(
            database, deferred=self._deferred, questions=self._questions, within=terms.answer, clock=clock
        )
        self._desk = self._make_desk()
        self._routes = self._make_routes()

    def _make_revocations(
        self, trust: Trust, ceilings: Ceilings, limits: RevocationLimits, path_prefix: str
    ) -> Revocations:
        """Agent providers revoke agent tokens here, resources their resource tokens (draft-11 §11.12.2)."""
        return Revocations(
            self.issuer,
            self._database,
            dwks=(AGENT_DWK, RESOURCE_DWK),
            trust=trust,
            discovery=self._discovery,
            longest=max(ceilings.agent, ceilings.resource),
            effect=self._revoking.revoked,
            cascade=self._revoking.cascade,
            path_prefix=path_prefix,
            limits=limits,
            loopback=self._loopback,
            accept_base64url=OlderForm.BASE64URL_SIGNATURE in self._older,
            clock=self._clock,
            random_bytes=self._random,
        )

    def _make_room(self, rules: RuleBook | None) -> Room:
        judging = Judging(
            granting=self._granting,
            audit=self.audit,
            rules=FixedRules(rules) if rules is not None else StoredRules(),
            for_update=self._database.for_update,
            clock=self._clock,
            random_bytes=self._random,
        )
        issuing = Issuing(
            self.issuer,
            self.keys,
            for_update=self._database.for_update,
            audit=self.audit,
            is_revoked=self._revocations.is_revoked,
            clock=self._clock,
            random_bytes=self._random,
        )
        return Room(
            self.issuer,
            self._database,
            deferred=self._deferred,
            questions=self._questions,
            issuing=issuing,
            accounts=self.accounts,
            evidence=self._evidence,
            judging=judging,
            clock=self._clock,
        )

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

    def _make_routes(self) -> Routes:
        deciding = Deciding(
            self._database,
            deferred=self._deferred,
            questions=self._questions,
            revoking=self._revoking,
            granting=self._granting,
            audit=self.audit,
            clock=self._clock,
            random_bytes=self._random,
        )
        return routes(
            self,
            arrival=Arrival(self._desk),
            decision=Decision(self._desk, deciding, self._clarifying),
            home=Home(self._desk, self._revoking),
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
        await self._database.migrate(migrations)
        await self.audit.begin()
        if self._regularly is not None:
            self._regularly.start()
        async with self._database.transaction() as tx:
            owner = await records.claim_database(tx, self.issuer)
        if owner != self.issuer:
            raise ValueError(f"this database holds the people of {owner}, not of {self.issuer}")
        await self._outbox.start()
        await self._revocations.start()
        self._discovery.serve_locally(self.issuer, PERSON_DWK, self.keys.jwks)

    async def answer(self, request: Request) -> Answer:
        """The answer to any request to this server."""
        if not self._routes.serves(request.path) and "text/html" in (request.header("accept") or ""):
            return self._desk.pages.problem(Problem("not_found"))
        return await self._routes.answer(request)

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
        return json_answer(200, self.keys.jwks(), PUBLISHED_FOR)

    # Endpoints for agents

    async def person_token(self, request: Request) -> Answer:
        """POST to the person token endpoint (draft-11 §7.1)."""
        agent, verified = await self._intake.agent(request)
        wanted = read_person_token_request(await request.read_json(verified.digest()), self._loopback)
        asked = await self._intake.identity(agent, wanted)
        proof = await self._intake.proof(verified)
        return await self._room.ask(request, asked, agent, proof, ask_anyway=wanted.declared.ask_anyway)

    async def auth_token(self, request: Request) -> Answer:
        """POST to the auth token endpoint (draft-11 §7.2)."""
        agent, verified = await self._intake.agent(request)
        wanted = read_auth_token_request(await request.read_json(verified.digest()))
        asked = await self._intake.scope(agent, wanted.resource_token, wanted.presented_token, wanted.declared)
        proof = await self._intake.proof(verified)
        return await self._room.ask(request, asked, agent, proof, ask_anyway=wanted.declared.ask_anyway)

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
        return await self._govern(request, self._governing.interaction)

    async def record(self, request: Request) -> Answer:
        """POST to the audit endpoint (draft-11 §7.8)."""
        agent, verified = await self._intake.agent(request)
        return await self._governing.audit(agent, await request.read_json(verified.digest()))

    async def _govern(self, request: Request, read: Callable[[Agent, Mapping[str, Any]], Awaitable[Asked]]) -> Answer:
        agent, verified = await self._intake.agent(request)
        asked = await read(agent, await request.read_json(verified.digest()))
        return await self._room.ask(request, asked, agent, await self._intake.proof(verified), ask_anyway=False)

    async def poll(self, request: Request, pending: str) -> Answer:
        """GET of a pending URL (draft-11 §11.8.3)."""
        agent, _ = await self._intake.agent(request)
        await self._room.check_person(await records.person_of(self._database, agent.iss, agent.sub))
        return await self._room.poll(request, pending, agent)

    async def act(self, request: Request, pending: str) -> Answer:
        """POST to a pending URL: what an agent says to its person's question (draft-11 §7.5.2)."""
        agent, verified = await self._intake.agent(request)
        body = await request.read_json(verified.digest())
        await self._clarifying.check_addressed(pending, agent)
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
