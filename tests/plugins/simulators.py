"""The parties an agent meets, over real TLS and under their real names: honest until a knob is turned.

Each checks what it is sent as the real one would, so that an honest run also shows that the agent does right. What it
answers can be replaced whole (`replies`), token by token (`claims`), or by a function.

    parties = await Parties.open(internet, clock)
    parties.resource.needs["/orders"] = Scope({"orders.read"})
    parties.ps.auth_claims["sub"] = "somebody else"
    agent = parties.agent()
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from typing import Any

import anyio.to_thread
import pytest

from aauthkit.agent import Agent, Callback, Errand
from aauthkit.callers import Agent as AgentCaller
from aauthkit.callers import Caller, Delegate, Grant, Person
from aauthkit.discovery import Discovery
from aauthkit.egress import Egress, Http
from aauthkit.protocol.headers import Requirement, parse_capabilities
from aauthkit.protocol.identifiers import format_scope
from aauthkit.protocol.jose import SigningKey, parse_json
from aauthkit.protocol.messages import Answer, SignedRequest
from aauthkit.protocol.problems import Problem, SignatureFailure
from aauthkit.protocol.tokens import (
    AGENT_DWK,
    AGENT_TYP,
    AUTH_TYP,
    PERSON_DWK,
    PERSON_TYP,
    RESOURCE_DWK,
    RESOURCE_TYP,
    AuthToken,
    PersonToken,
    ResourceToken,
    read_token,
)
from aauthkit.serving import verify_digest
from aauthkit.trust import ANY, Trust
from aauthkit.verification import Accepts, Verified, Verifier
from tests.plugins.signing import Issuer
from tests.plugins.tls import Authority, Clock, Internet, IssuerServer, Received, Reply

PROVIDER = "agents.example"
PERSON_SERVER = "person.example"
RESOURCE = "api.example"

Respond = Callable[[Received], Reply]


def reply_of(answer: Answer) -> Reply:
    return Reply(answer.status, answer.headers, answer.body)


def problem(code: Any, detail: str | None = None, **more: Any) -> Reply:
    return reply_of(Problem(code, detail, **more).answer())


def json_body(value: Mapping[str, Any], *headers: tuple[str, str], status: int = 200) -> Reply:
    fields = (("content-type", "application/json"), ("cache-control", "no-store"), *headers)
    return Reply(status, fields, json.dumps(value).encode())


def challenge(requirement: Requirement, *headers: tuple[str, str], status: int = 401) -> Reply:
    return Reply(status, (requirement.header(), ("content-type", "text/plain"), *headers), b"no")


def deferred(location: str, requirement: Requirement | None = None, *, retry_after: int = 0, **body: Any) -> Reply:
    """A 202 in the whole form of draft-11 §11.8.2."""
    fields = [("location", location), ("retry-after", str(retry_after))]
    if requirement is not None:
        fields.append(requirement.header())
    return json_body({"status": "pending", **body}, *fields, status=202)


class Party(IssuerServer):
    """A server under its own name that verifies what it is sent, with the keys of the others at hand."""

    def __init__(self, authority: Authority, host: str, dwk: str, clock: Clock, accepts: Accepts) -> None:
        super().__init__(authority, host, dwk)
        self._respond = self._guarded
        self.clock = clock
        self.accepts = accepts
        self.issuer = Issuer(self.iss, self.key)
        self._discovery = Discovery(Http(), clock=clock)
        trust = Trust(agent_providers=ANY, person_servers=ANY, resources=ANY, access_servers=ANY)
        self.verifier = Verifier(self.iss, discovery=self._discovery, trust=trust, clock=clock)
        self.script: dict[str, list[Reply | Respond]] = {}
        """Answers by path that come first, each once."""
        self.seen: list[Verified] = []
        """Every request whose signature held."""

    def know(self, *others: Party) -> None:
        """Take the others' keys from them directly."""
        for other in others:
            self._discovery.serve_locally(other.iss, other.dwk, lambda other=other: other.jwks)

    def verify(self, request: Received, accepts: Accepts | None = None) -> Caller:
        signed = SignedRequest(request.method, "https", self.host, request.target, request.headers)
        verified = self.verifier.verify_now(signed, accepts or self.accepts)
        verify_digest(verified.digest(), request.body)
        self.seen.append(verified)
        return verified.caller

    def _guarded(self, request: Received) -> Reply:
        path = request.target.partition("?")[0]
        waiting = self.script.get(path)
        try:
            if waiting:
                scripted = waiting.pop(0)
                return scripted(request) if callable(scripted) else scripted
            if path in self.replies or path in (self.metadata_path, self.jwks_path):
                return self._reply(request)
            return self.serve(request)
        except SignatureFailure as failure:
            refused = reply_of(failure.answer())
            return Reply(
                refused.status, (*refused.headers, ("date", formatdate(self.clock(), usegmt=True))), refused.body
            )

    def serve(self, request: Received) -> Reply:
        raise NotImplementedError


class ProviderSimulator(Party):
    """An agent provider that refreshes any agent's token."""

    def __init__(self, authority: Authority, clock: Clock) -> None:
        super().__init__(authority, PROVIDER, AGENT_DWK, clock, Accepts(("jkt-jwt",)))
        self.metadata["refresh_endpoint"] = f"{self.iss}/refresh"
        self.lifetime = 3600
        self.claims: dict[str, Any] = {}
        self.agent_name = "planner"
        self.ps: str | None = f"https://{PERSON_SERVER}"

    @property
    def refreshes(self) -> int:
        return self.count("/refresh")

    def serve(self, request: Received) -> Reply:
        caller = self.verify(request)
        assert isinstance(caller, Delegate)
        now = int(self.clock())
        claims = {"exp": now + self.lifetime, "ps": self.ps, **self.claims}
        token = self.issuer.agent_token(caller.key, name=self.agent_name, now=now, **claims)
        return json_body({"agent": f"aauth:{self.agent_name}@{self.host}", "agent_token": token, "expires_in": 3600})


@dataclass
class Open:
    """A request that waits at the person server: what it will be answered with, and after how many polls."""

    answer: Respond
    polls: int
    requirement: Requirement | None


class PersonServerSimulator(Party):
    """A person server whose person says yes. `person_claims` and `auth_claims` make its tokens lie.

    `grants`: the most that is granted. `waits`: how many polls a request takes, with `requirement` in the 202s.
    """

    def __init__(self, authority: Authority, clock: Clock) -> None:
        super().__init__(authority, PERSON_SERVER, PERSON_DWK, clock, Accepts(("jwt",), frozenset({AGENT_TYP})))
        self.sub = "p-1"
        self.person_claims: dict[str, Any] = {}
        self.auth_claims: dict[str, Any] = {}
        self.grants: frozenset[str] | None = None
        self.waits = 0
        self.requirement: Requirement | None = None
        self.location = "/pending/{}"
        self.open: dict[str, Open] = {}
        self.bodies: list[tuple[str, dict[str, Any]]] = []

    @property
    def person_requests(self) -> int:
        return self.count("/person_token_endpoint")

    @property
    def auth_requests(self) -> int:
        return self.count("/auth_token_endpoint")

    def serve(self, request: Received) -> Reply:
        caller = self.verify(request)
        assert isinstance(caller, AgentCaller)
        path = request.target.partition("?")[0]
        if path in self.open:
            return self._polled(path, request)
        body = parse_json(request.body)
        self.bodies.append((path, body))
        issue = self._person if path == "/person_token_endpoint" else self._auth
        if self.waits == 0:
            return issue(caller, body)
        location = self.location.format(len(self.open))
        where = "/" + location.removeprefix("https://").partition("/")[2] if "://" in location else location
        self.open[where] = Open(lambda _: issue(caller, body), self.waits, self.requirement)
        return deferred(location, self.requirement)

    def _polled(self, path: str, request: Received) -> Reply:
        waiting = self.open[path]
        waiting.polls -= 1
        return waiting.answer(request) if waiting.polls < 0 else deferred(path, waiting.requirement)

    def _person(self, caller: AgentCaller, body: Mapping[str, Any]) -> Reply:
        if caller.exp <= self.clock():
            return problem("expired")
        now = int(self.clock())
        claims = {"exp": min(now + 3600, caller.exp), "sub": self.sub, **self.person_claims}
        key = claims.pop("key", caller.key)
        token = _by(self.issuer, claims).person_token(key, claims.pop("aud", body["resource"]), now=now, **claims)
        return json_body({"person_token": token, "expires_in": 3600})

    def _auth(self, caller: AgentCaller, body: Mapping[str, Any]) -> Reply:
        asked = read_token(body["resource_token"], {RESOURCE_TYP})
        presented = read_token(body["presented_token"], {PERSON_TYP, AUTH_TYP})
        assert isinstance(asked, ResourceToken)
        assert isinstance(presented, PersonToken | AuthToken)
        if asked.presented_jti != presented.jti or asked.agent_jkt != caller.key.thumbprint:
            return problem("invalid_resource_token")
        if asked.exp <= self.clock():
            return problem("expired_resource_token")
        now = int(self.clock())
        scope = asked.scope if self.grants is None else asked.scope & self.grants
        claims = {
            "exp": min(now + 3600, presented.exp, caller.exp),
            "sub": presented.sub,
            "scope": format_scope(scope),
            "account": asked.account,
            **self.auth_claims,
        }
        key, aud, granted = claims.pop("key", caller.key), claims.pop("aud", asked.iss), claims.pop("scope")
        token = _by(self.issuer, claims).auth_token(key, aud, granted, now=now, **claims)
        return json_body({"auth_token": token, "expires_in": 3600})


def _by(issuer: Issuer, claims: dict[str, Any]) -> Issuer:
    """The issuer, or one that signs with another key under the same name: a forgery."""
    forger = claims.pop("forged_by", None)
    return issuer if forger is None else Issuer(issuer.iss, SigningKey(forger.alg, forger.secret))


@dataclass(frozen=True)
class Needs:
    """What a route needs: `agent`, `person` or `grant` with a scope; `optional` is asked for besides."""

    level: str = "grant"
    scope: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    deferred: bool = False


def grant(*scope: str, optional: Sequence[str] = (), deferred: bool = False) -> Needs:
    return Needs("grant", frozenset(scope), frozenset(optional), deferred)


AGENT = Needs("agent")
PERSON = Needs("person")


@dataclass
class HeldInvocation:
    """A request that was answered 202 and waits for its auth token (draft-11 §6.5.1)."""

    needs: Needs
    request: Received
    results: dict[str, Reply] = field(default_factory=dict)
    runs: int = 0


class ResourceSimulator(Party):
    """A resource. `needs` says what each path needs; `resource_claims` makes its resource tokens lie."""

    def __init__(self, authority: Authority, clock: Clock, host: str = RESOURCE) -> None:
        accepts = Accepts(("jwt",), frozenset({AGENT_TYP, PERSON_TYP, AUTH_TYP}), body=False)
        super().__init__(authority, host, RESOURCE_DWK, clock, accepts)
        self.needs: dict[str, Needs] = {"/agent": AGENT, "/person": PERSON, "/orders": grant("orders.read")}
        self.resource_claims: dict[str, Any] = {}
        self.held: dict[str, HeldInvocation] = {}
        self.served: list[tuple[Received, Caller]] = []
        self.ps = f"https://{PERSON_SERVER}"

    def serve(self, request: Received) -> Reply:
        path = request.target.partition("?")[0]
        caller = self.verify(request)
        assert "interaction" in parse_capabilities([request.header("aauth-capabilities") or ""])
        if path in self.held:
            return self._polled(self.held[path], caller, path)
        needs = self.needs[path]
        refused = self._challenge(needs, caller)
        if refused is None:
            return self._run(request, caller)
        if needs.deferred and "auth-token" in (dict(refused.headers).get("aauth-requirement") or ""):
            location = f"/pending/{len(self.held)}"
            self.held[location] = HeldInvocation(needs, request)
            return deferred(location, Requirement("auth-token", self._token_params(needs, caller)))
        return refused

    def _run(self, request: Received, caller: Caller) -> Reply:
        self.served.append((request, caller))
        scope = sorted(caller.scope) if isinstance(caller, Grant) else []
        return json_body({"level": type(caller).__name__, "scope": scope, "body": request.body.decode()})

    def _polled(self, held: HeldInvocation, caller: Caller, path: str) -> Reply:
        if not isinstance(caller, Grant) or not held.needs.scope <= caller.scope:
            return deferred(path, Requirement("auth-token", self._token_params(held.needs, caller)))
        if caller.jti not in held.results:
            held.runs += 1
            held.results[caller.jti] = self._run(held.request, caller)
        return held.results[caller.jti]

    def _challenge(self, needs: Needs, caller: Caller) -> Reply | None:
        if needs.level == "agent":
            return None if isinstance(caller, AgentCaller) else challenge(Requirement("agent-token"))
        if isinstance(caller, AgentCaller):
            return challenge(Requirement("person-token"))
        if needs.level == "person" or (isinstance(caller, Grant) and needs.scope <= caller.scope):
            return None
        return challenge(Requirement("auth-token", self._token_params(needs, caller)))

    def _token_params(self, needs: Needs, caller: Caller) -> dict[str, Any]:
        return {"resource-token": self.resource_token(needs, caller)}

    def resource_token(self, needs: Needs, caller: Caller, **lies: Any) -> str:
        """A resource token for what `caller` presented; `lies` and `resource_claims` replace any claim."""
        assert isinstance(caller, Person | Grant)
        held = caller.scope if isinstance(caller, Grant) else frozenset()
        claims: dict[str, Any] = {
            "aud": caller.person.ps,
            "sub": caller.person.sub,
            "presented_jti": caller.jti,
            "agent_jkt": caller.key.thumbprint,
            "scope": format_scope(needs.scope | needs.optional | held),
            **self.resource_claims,
            **lies,
        }
        return _by(self.issuer, claims).resource_token(now=int(self.clock()), **claims)


class Sleeper:
    """Sleep that moves the clock instead of waiting."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)
        await asyncio.sleep(0)


@dataclass
class Parties:
    """One of each party, and the agents among them."""

    internet: Internet
    clock: Clock
    provider: ProviderSimulator
    ps: PersonServerSimulator
    resource: ResourceSimulator
    sleeper: Sleeper
    errands: list[Errand] = field(default_factory=list)

    @classmethod
    async def open(cls, internet: Internet, clock: Clock) -> Parties:
        authority = internet.authority
        provider = ProviderSimulator(authority, clock)
        ps = PersonServerSimulator(authority, clock)
        resource = ResourceSimulator(authority, clock)
        for party in (provider, ps, resource):
            await internet.add(party.host, party)
            party.know(provider, ps, resource)
        return cls(internet, clock, provider, ps, resource, Sleeper(clock))

    async def another_resource(self, host: str) -> ResourceSimulator:
        other = ResourceSimulator(self.internet.authority, self.clock, host)
        other.know(self.provider, self.ps, other)
        await self.internet.add(host, other)
        return other

    def egress(self, **more: Any) -> Egress:
        """Where the parties are; the certificates are read once for a whole run, which takes most of the time."""
        return self.internet.egress(ssl_context=_tls(self.internet.authority), **more)

    def agent(self, **settings: Any) -> Agent:
        """An agent of the provider, with the person server; what the person is shown lands in `errands`."""
        defaults: dict[str, Any] = {
            "provider": self.provider.iss,
            "person_server": self.ps.iss,
            "durable": SigningKey.generate(os.urandom),
            "egress": self.egress(),
            "person": Callback(self.errands.append),
            "clock": self.clock,
            "sleep": self.sleeper,
        }
        name = settings.pop("agent", f"aauth:{self.provider.agent_name}@{PROVIDER}")
        return Agent(name, **{**defaults, **settings})


@cache
def _tls(authority: Authority) -> ssl.SSLContext:
    return Egress(ca_file=authority.ca_file).tls()


@dataclass(frozen=True)
class Outcome:
    """A response, read whole, from either client."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    aauth: Mapping[str, Any]

    def json(self) -> Any:
        return json.loads(self.content)


class AgentClient:
    """One of an agent's clients, asynchronous or synchronous, with one face, so that one test serves both."""

    def __init__(self, agent: Agent, sync: bool, **settings: Any) -> None:
        self.client: Any = agent.sync_client(**settings) if sync else agent.client(**settings)
        self.sync = sync

    async def request(self, method: str, url: str, **settings: Any) -> Outcome:
        if self.sync:
            settings = {name: _plain(value) for name, value in settings.items()}
            return _outcome(await anyio.to_thread.run_sync(lambda: self.client.request(method, url, **settings)))
        return _outcome(await self.client.request(method, url, **settings))

    async def get(self, url: str, **settings: Any) -> Outcome:
        return await self.request("GET", url, **settings)

    async def post(self, url: str, **settings: Any) -> Outcome:
        return await self.request("POST", url, **settings)

    async def aclose(self) -> None:
        if self.sync:
            await anyio.to_thread.run_sync(self.client.close)
        else:
            await self.client.aclose()


class Pieces:
    """A body in pieces that can be read once, in the form that the client wants."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def _plain(value: Any) -> Any:
    return iter(value.pieces) if isinstance(value, Pieces) else value


def _outcome(response: Any) -> Outcome:
    aauth = response.extensions.get("aauth", {})
    return Outcome(response.status_code, dict(response.headers), response.content, aauth)


OpenClient = Callable[..., AgentClient]


@pytest.fixture(params=["async", "sync"])
async def open_client(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[OpenClient]:
    """Opens clients of an agent; the test runs with asynchronous ones and again with synchronous ones."""
    opened: list[AgentClient] = []

    def open_client(agent: Agent, **settings: Any) -> AgentClient:
        opened.append(AgentClient(agent, request.param == "sync", **settings))
        return opened[-1]

    yield open_client
    for client in opened:
        await client.aclose()


@pytest.fixture
async def parties(internet: Internet, clock: Clock) -> Parties:
    """An agent provider, a person server and a resource, honest for now."""
    return await Parties.open(internet, clock)
