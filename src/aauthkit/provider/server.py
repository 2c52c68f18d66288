"""The agent provider: enrols agents and issues their agent tokens (draft-11 §5).

How an agent proves who it is the draft leaves open; docs/enrollment.md describes the interface served here. Every
proof is made by the durable key: enrolment and its polls are signed by it (`hwk`), a refresh is signed by the ephemeral
key to which it delegates (`jkt-jwt`). A public key that somebody merely knows opens nothing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from .. import deferred
from ..callers import Delegate, Pseudonym
from ..deferred import PendingRequest, Waiting
from ..discovery import Discovery
from ..egress import Egress, Http
from ..keys import KeyFile, Keys
from ..operations import Metrics
from ..outbound import Outbound
from ..pacing import Pace
from ..protocol.headers import APPROVAL_PENDING
from ..protocol.identifiers import (
    NO_LOOPBACK,
    AgentIdentifier,
    LoopbackProfile,
    check_endpoint,
    check_server_identifier,
    host_of,
)
from ..protocol.jose import ALGORITHMS, PublicKey, b64url_encode
from ..protocol.messages import Answer, json_answer
from ..protocol.minting import mint_agent_token
from ..protocol.problems import Problem
from ..protocol.tokens import AGENT_DWK, MAX_AGENT_LIFETIME, Ceilings
from ..revocation import Delivery, RevocationOutbox, Revoker
from ..serving import Request
from ..store import Database, StoreError, Transaction
from ..trust import Issuers, Trust, admits
from ..verification import Accepts, Verified, Verifier
from . import records, routes
from .asking import EnrollmentAsk, check_apart, read_ask
from .enrollments import REQUEST_LIFETIME, EnrollmentRequest, Enrollments
from .evidence import Evidence, EvidenceRefused, EvidenceVerifier, approved_by_a_person
from .limits import Limits, network_of
from .records import AgentRecord, IssuedToken

TOKEN_LIFETIME: Final = 3600
"""Seconds an agent token lives where nothing else is configured; the ceiling is a day (draft-11 §5.3.1)."""
NONCE_LIFETIME: Final = 300
"""Seconds in which a nonce must be used."""
MAX_DELEGATION: Final = 600
"""Longest delegation taken at a refresh, in seconds: for so long a stolen ephemeral key could refresh itself."""
FORGET_EVERY: Final = 60
KEYS_PUBLISHED_FOR: Final = ("cache-control", "public, max-age=300, s-maxage=60")
"""A shared cache between here and a verifier must not hide a key until after it signs (`keys.PUBLISHED_BEFORE`)."""

ENROLLING: Final = Accepts(schemes=("hwk",))
REFRESHING: Final = Accepts(schemes=("jkt-jwt",))
DEFAULT_LIMITS: Final = Limits()
BY_A_PERSON: Final[Mapping[str, EvidenceVerifier]] = {"person": approved_by_a_person}


class AgentProvider:
    """The agent provider `issuer`, whose agents are `aauth:name@host`.

    - `person_servers`: which `ps` an agent may be given; no default, and `ANY` is written out.
    - `token_lifetime`: of an agent token, in seconds, at most a day.
    - `evidence`: what an agent may show at enrolment, by its `type`; in itself only a person's approval.
    - `callback_endpoint`, `localhost_callback_allowed`: as the metadata has them (draft-11 §11.2.1).
    - `discovery`: where other roles run beside this one, so that they find its keys without a fetch.
    - `egress`: how person servers are reached, where revocations go.

    `start` before the first `answer`, `close` at the end. From `pending` to `revocations` is for its operator.
    """

    def __init__(
        self,
        issuer: str,
        *,
        keys: Keys,
        database: Database,
        person_servers: Issuers,
        discovery: Discovery | None = None,
        egress: Egress | None = None,
        loopback: LoopbackProfile = NO_LOOPBACK,
        name: str | None = None,
        token_lifetime: int = TOKEN_LIFETIME,
        request_lifetime: int = REQUEST_LIFETIME,
        callback_endpoint: str | None = None,
        localhost_callback_allowed: bool = False,
        evidence: Mapping[str, EvidenceVerifier] = BY_A_PERSON,
        limits: Limits = DEFAULT_LIMITS,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        _check_lifetime(token_lifetime, keys)
        self.issuer = check_server_identifier(issuer, loopback)
        self.name = name
        if callback_endpoint is not None:
            check_endpoint(callback_endpoint, issuer, loopback)
        self._callback_endpoint = callback_endpoint
        self._localhost_callback_allowed = localhost_callback_allowed
        self._keys = keys
        self._db = database
        self._person_servers = person_servers
        self._token_lifetime = token_lifetime
        self._evidence = dict(evidence)
        self._loopback = loopback
        self._clock = clock
        self._random = random_bytes
        self._limits = limits
        self._asks = Pace(limits.asks_per_minute, clock)
        self._refreshes = Pace(limits.refreshes_per_minute, clock)
        self._forgot = 0.0
        self._http = Http(egress or Egress(loopback=loopback))
        self._own_discovery = Discovery(self._http, clock=clock)
        self._discovery = discovery or self._own_discovery
        self._verifier = Verifier(
            issuer,
            discovery=self._discovery,
            trust=Trust(),  # neither scheme served here names an issuer
            loopback=loopback,
            ceilings=Ceilings(agent=MAX_DELEGATION),
            clock=clock,
        )
        self.enrollments = Enrollments(
            issuer, database, limits=limits, lifetime=request_lifetime, clock=clock, random_bytes=random_bytes
        )
        self._records = self.enrollments.records
        outbound = Outbound(self._http, clock=clock)
        revoker = Revoker(issuer, AGENT_DWK, keys, discovery=self._discovery, outbound=outbound, loopback=loopback)
        self._outbox = RevocationOutbox(issuer, database, revoker=revoker, clock=clock)
        self.routes = routes.table(self)

    async def start(self) -> None:
        """Bring the tables up to date, let roles of the same process find this one's keys, and send revocations."""
        await self._db.migrate((*deferred.MIGRATIONS, *records.MIGRATIONS))
        self._discovery.serve_locally(self.issuer, AGENT_DWK, self._keys.jwks)
        await self._outbox.start()

    async def close(self) -> None:
        """Close what this provider opened; the database is its owner's. Revocations go on at the next start."""
        await self._outbox.close()
        await self._own_discovery.aclose()
        await self._http.aclose()

    def observed_by(self, metrics: Metrics) -> None:
        """Count requests in `metrics` from now on."""
        self.routes.observe = metrics.request

    async def ready(self) -> Mapping[str, str]:
        """What keeps this provider from working; empty where nothing does."""
        try:
            await self._db.fetch_one("SELECT 1 AS alive")
        except StoreError as error:
            return {"database": type(error).__name__}
        return {}

    async def gauges(self) -> Mapping[str, float]:
        """How much waits: revocations for their person servers."""
        return {"revocations_waiting": await self._outbox.count_waiting()}

    async def answer(self, request: Request) -> Answer:
        """The answer to `request`, on any path of this provider."""
        return await self.routes.answer(request)

    # What it publishes.

    async def metadata(self, _request: Request) -> Answer:
        """`aauth-agent.json` (draft-11 §11.2.1) with the three endpoints of docs/enrollment.md."""
        document: dict[str, Any] = {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}{routes.JWKS}",
            "accept_signature_algs": list(ALGORITHMS),
            "enrollment_endpoint": f"{self.issuer}{routes.ENROLLMENT}",
            "enrollment_nonce_endpoint": f"{self.issuer}{routes.NONCE}",
            "enrollment_evidence_types": sorted(self._evidence),
            "refresh_endpoint": f"{self.issuer}{routes.REFRESH}",
            "localhost_callback_allowed": self._localhost_callback_allowed,
        }
        optional = {"name": self.name, "callback_endpoint": self._callback_endpoint}
        document |= {member: value for member, value in optional.items() if value is not None}
        return json_answer(200, document, ("cache-control", "public, max-age=3600"))

    async def jwks(self, _request: Request) -> Answer:
        """The keys that agent tokens are verified against."""
        return json_answer(200, self._keys.jwks(), KEYS_PUBLISHED_FOR)

    # What it serves.

    async def nonce(self, request: Request) -> Answer:
        """A nonce for the durable key that signed; it replaces the one that key had."""
        self._asks.admit(network_of(request.peer))
        durable, _ = await self._signed_by_durable(request)
        await self._forget()
        now = int(self._clock())
        nonce = b64url_encode(self._random(24))
        expires = now + NONCE_LIFETIME
        async with self._db.transaction() as tx:
            kept = await self._records.put_nonce(
                tx, durable.thumbprint, nonce, expires=expires, now=now, limit=self._limits.nonces
            )
        if not kept:
            raise Problem("rate_limited", "too many enrolments begin at once", retry_after=60)
        return json_answer(200, {"nonce": nonce, "expires_in": NONCE_LIFETIME})

    async def enroll(self, request: Request) -> Answer:
        """An agent token, or 202 until a person has decided (docs/enrollment.md)."""
        self._asks.admit(network_of(request.peer))
        durable, body = await self._signed_by_durable(request)
        ask = read_ask(body or {}, durable, self._loopback)
        if ask.evidence_type not in self._evidence:
            raise Problem("invalid_request", "evidence: the types served are " + ", ".join(sorted(self._evidence)))
        if ask.ps is not None and not admits(self._person_servers, ask.ps):
            raise Problem("invalid_request", "ps: agents of this provider may not have that person server")
        if not await self._records.use_nonce(self._db, durable.thumbprint, ask.nonce, int(self._clock())):
            raise Problem("invalid_request", "nonce: not one of this key's, used before, or expired")
        agent = await self.enrollments.standing(ask, durable)
        if agent is None:
            if await self._judge(ask, durable) == "needs_person":
                pending = await self.enrollments.open(ask, durable, request.peer)
                return self.enrollments.deferred.pending_answer(pending, _waiting())
            agent = await self.enrollments.admit(ask, durable)
        return await self._token_for(durable, ask.key)

    async def _judge(self, ask: EnrollmentAsk, durable: PublicKey) -> str:
        shown = Evidence(ask.evidence_type, ask.evidence, durable, ask.nonce, ask.name, ask.ps)
        try:
            return await self._evidence[ask.evidence_type](shown)
        except EvidenceRefused as error:
            raise Problem("access_denied", f"evidence: {error}") from error

    async def poll(self, request: Request, pending_id: str) -> Answer:
        """What became of an enrolment, to the durable key that asked (draft-11 §11.8)."""
        durable, _ = await self._signed_by_durable(request)
        return await self.enrollments.deferred.answer_poll(
            request, pending_id, durable.thumbprint, describe=self._describe, resolve=self._resolve
        )

    async def withdraw(self, request: Request, pending_id: str) -> Answer:
        """End an enrolment that its durable key takes back."""
        durable, _ = await self._signed_by_durable(request)
        await self.enrollments.withdraw(pending_id, durable.thumbprint)
        return Answer(204, (("cache-control", "no-store"),))

    async def refresh(self, request: Request) -> Answer:
        """A fresh agent token for the same agent, bound to the key that signed (Signature-Keys §3.5)."""
        verified = await self._verifier.verify(request.as_signed(self.issuer), REFRESHING)
        assert isinstance(verified.caller, Delegate)
        await _read_body(request, verified)
        durable = verified.caller.durable
        check_apart(verified.key, durable)
        agent = await self._records.agent_of_key(self._db, durable.thumbprint)
        if agent is None:
            raise Problem("access_denied", "this durable key is not enrolled here")
        return await self._token_for(durable, verified.key)

    # How it does so.

    async def _signed_by_durable(self, request: Request) -> tuple[PublicKey, dict[str, Any] | None]:
        """The durable key that signed, and the body where there is one. Raises `SignatureFailure`, `Problem`."""
        verified = await self._verifier.verify(request.as_signed(self.issuer), ENROLLING)
        assert isinstance(verified.caller, Pseudonym)
        return verified.key, await _read_body(request, verified)

    async def _token_for(self, durable: PublicKey, key: PublicKey) -> Answer:
        await self._forget()
        async with self._db.transaction() as tx:
            agent = await self._records.lock_agent_of_key(tx, durable.thumbprint)
            assert agent is not None
            self._check_may_have(agent)
            self._refreshes.admit(agent.name)
            return await self._issue(tx, agent, key)

    def _check_may_have(self, agent: AgentRecord) -> None:
        """Return if this agent is issued tokens now: policy is looked at each time (draft-11 §5.1)."""
        if agent.state != "active":
            raise Problem("access_denied", f"this agent is {agent.state}")
        if agent.ps is not None and not admits(self._person_servers, agent.ps):
            raise Problem("access_denied", "agents of this provider may no longer have that person server")

    async def _issue(self, tx: Transaction, agent: AgentRecord, key: PublicKey) -> Answer:
        """An agent token (draft-11 §5.3.1), on record before it leaves."""
        iat = int(self._clock())
        issued = IssuedToken(
            b64url_encode(self._random(16)), agent.name, key.thumbprint, iat, iat + self._token_lifetime
        )
        sub = str(AgentIdentifier(agent.name, host_of(self.issuer)))
        token = mint_agent_token(
            self._keys.current, iss=self.issuer, sub=sub, cnf=key, jti=issued.jti, iat=iat, exp=issued.exp, ps=agent.ps
        )
        await self._records.add_token(tx, issued)
        body = {"agent": sub, "agent_token": token, "expires_in": self._token_lifetime}
        return json_answer(200, body if agent.ps is None else {**body, "ps": agent.ps})

    async def _describe(self, _pending: PendingRequest) -> Waiting:
        return _waiting()

    async def _resolve(self, pending: PendingRequest, tx: Transaction) -> Answer:
        settled = await self.enrollments.settled(pending, tx)
        if settled.error is not None:
            return _ENDINGS[settled.error].answer()
        assert settled.agent is not None
        try:
            self._check_may_have(settled.agent)
        except Problem as refused:
            return refused.answer()
        return await self._issue(tx, settled.agent, settled.key)

    async def _forget(self) -> None:
        now = self._clock()
        if now - self._forgot >= FORGET_EVERY:
            self._forgot = now
            await self._records.forget(int(now))

    # For its operator.

    async def pending(self) -> list[EnrollmentRequest]:
        """The enrolments that wait for a person, oldest first."""
        return await self.enrollments.pending()

    async def approve(self, reference: str) -> AgentRecord:
        """Approve one, by its `id` or by a name that only one asks for. Raises `AdministrationError`."""
        return await self.enrollments.approve(reference)

    async def deny(self, reference: str) -> EnrollmentRequest:
        """Decline one, as in `approve`. Raises `AdministrationError`."""
        return await self.enrollments.deny(reference)

    async def agents(self) -> list[AgentRecord]:
        """Every agent there is or was, oldest first."""
        return await self.enrollments.agents()

    async def issued(self, name: str) -> list[IssuedToken]:
        """The agent tokens of one agent that have not expired."""
        return await self.enrollments.issued(name)

    async def suspend(self, name: str) -> AgentRecord:
        """Refuse an agent tokens until it is resumed, and revoke those it has. Raises `AdministrationError`."""
        return await self.enrollments.suspend(name)

    async def resume(self, name: str) -> AgentRecord:
        """Let a suspended agent have tokens again. Raises `AdministrationError`."""
        return await self.enrollments.resume(name)

    async def end(self, name: str) -> AgentRecord:
        """End an agent for good, and revoke its tokens; its name stays taken. Raises `AdministrationError`."""
        return await self.enrollments.end(name)

    async def revocations(self, name: str) -> list[Delivery]:
        """Which of an agent's unexpired tokens were revoked at its person server, and which are still to be."""
        return await self.enrollments.revocations(name)


def _check_lifetime(token_lifetime: int, keys: Keys) -> None:
    """Return if tokens of that lifetime may be issued, and are over before the key that signed them is gone."""
    if not 0 < token_lifetime <= MAX_AGENT_LIFETIME:
        raise ValueError(f"an agent token lives 1 to {MAX_AGENT_LIFETIME} s (draft-11 §5.3.1)")
    if isinstance(keys, KeyFile) and keys.lifetime < token_lifetime:
        raise ValueError(f"the key file drops a key {keys.lifetime} s after it signed; tokens live {token_lifetime} s")


_ENDINGS: Final = {
    "denied": Problem("denied", "the enrolment was declined"),
    "name_taken": Problem("name_taken"),
}


def _waiting() -> Waiting:
    return Waiting(APPROVAL_PENDING)


async def _read_body(request: Request, verified: Verified) -> dict[str, Any] | None:
    """The JSON body, compared with its covered digest, or `None` where there is none."""
    return await request.read_json(verified.digest()) if request.has_body else None
