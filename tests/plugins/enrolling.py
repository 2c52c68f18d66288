"""Agents that want to be enrolled, and an agent provider to ask; each part of a request can be broken on purpose."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aauthkit.keys import FixedKey
from aauthkit.protocol.jose import SigningKey, parse_json
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.tokens import AGENT_TYP, AgentToken, read_token
from aauthkit.provider import AgentProvider
from aauthkit.serving import Request
from aauthkit.store import Database
from aauthkit.trust import ANY
from tests.plugins.signing import NOW, Signer, cnf, new_key
from tests.plugins.tls import Clock, signing_key

PROVIDER = "https://agents.example"
PERSON_SERVER = "https://person.example"
PROVIDER_KEY = signing_key(PROVIDER)


async def start_provider(database: Database, clock: Callable[[], float] | None = None, **more: Any) -> AgentProvider:
    """A provider that has started; `more` as of `AgentProvider`."""
    settings: dict[str, Any] = {"keys": FixedKey(PROVIDER_KEY), "person_servers": ANY, "clock": clock or Clock(NOW)}
    provider = AgentProvider(more.pop("issuer", PROVIDER), database=database, **{**settings, **more})
    await provider.start()
    return provider


@asynccontextmanager
async def serving(
    database: Database, clock: Callable[[], float] | None = None, **more: Any
) -> AsyncIterator[AgentProvider]:
    """`start_provider`, closed at the end."""
    provider = await start_provider(database, clock, **more)
    try:
        yield provider
    finally:
        await provider.close()


def body_of(answer: Answer) -> dict[str, Any]:
    return parse_json(answer.body)


def error_of(answer: Answer) -> tuple[int, str]:
    """Status and `error`."""
    return answer.status, body_of(answer)["error"]


def signature_error(answer: Answer) -> tuple[int, str]:
    """Status and `error` of a 401, which always carries Signature-Error (F14)."""
    assert f"error={body_of(answer)['error']}" in str(answer.header("signature-error"))
    return error_of(answer)


async def on_record(provider: AgentProvider) -> tuple[Any, ...]:
    """Everything an operator can see: to compare before and after."""
    names = [agent.name for agent in await provider.agents()]
    issued = [await provider.issued(name) for name in names]
    return await provider.agents(), await provider.pending(), issued


def token_of(answer: Answer) -> AgentToken:
    """The agent token of a 200, its signature verified."""
    assert answer.status == 200, answer.body
    token = read_token(body_of(answer)["agent_token"], {AGENT_TYP})
    assert isinstance(token, AgentToken)
    token.verify_signature(PROVIDER_KEY.public)
    return token


def target_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


@dataclass
class Applicant:
    """An agent with its two keys, asking `provider` for `name`."""

    provider: AgentProvider
    clock: Callable[[], float]
    name: str = "planner"
    durable: SigningKey = field(default_factory=new_key)
    key: SigningKey = field(default_factory=new_key)
    peer: str | None = "192.0.2.7"
    iss: str = PROVIDER

    def signed(self, method: str, path: str, **knobs: Any) -> Request:
        """A request by the durable key (`hwk`); `knobs` as of `sign`, or another `signer`."""
        signer = knobs.pop("signer", None) or Signer.bare(self.durable)
        request = signer.sign(method, f"{self.iss}{path}", **{"now": int(self.clock()), **knobs})
        return replace(request, peer=self.peer)

    async def send(self, request: Request) -> Answer:
        return await self.provider.answer(request)

    async def nonce(self) -> str:
        answer = await self.send(self.signed("POST", "/enrollment/nonce"))
        assert answer.status == 200, answer.body
        return str(body_of(answer)["nonce"])

    def asking(self, nonce: str, **members: Any) -> dict[str, Any]:
        """The body of an ask; `members` add, replace, or with `None` remove."""
        body = {"name": self.name, "nonce": nonce, "key": cnf(self.key.public)["jwk"], "evidence": {"type": "person"}}
        return {name: value for name, value in {**body, **members}.items() if value is not None}

    async def ask(self, *, knobs: dict[str, Any] | None = None, **members: Any) -> Answer:
        """A nonce, and the ask with it."""
        body = self.asking(members.pop("nonce", None) or await self.nonce(), **members)
        return await self.send(self.signed("POST", "/enrollment", body=json.dumps(body).encode(), **(knobs or {})))

    async def poll(self, pending: Answer, **knobs: Any) -> Answer:
        location = pending.header("location")
        assert location is not None, pending.body
        return await self.send(self.signed("GET", target_of(location), **knobs))

    async def refresh(self, key: SigningKey | None = None, *, lifetime: int = 300, **knobs: Any) -> Answer:
        """A refresh for `key`, or for the present one; `lifetime` is the delegation's."""
        signer = Signer.delegated(self.durable, key or self.key, now=int(self.clock()), lifetime=lifetime)
        return await self.send(self.signed("POST", "/refresh", **{"signer": signer, "body": b"{}", **knobs}))

    async def enrolled(self, **members: Any) -> AgentToken:
        """Ask, be approved, and fetch the token."""
        pending = await self.ask(**members)
        assert pending.status == 202, pending.body
        (request,) = [one for one in await self.provider.pending() if one.thumbprint == self.durable.kid]
        await self.provider.approve(request.id)
        return token_of(await self.poll(pending))

    def at(self, provider: AgentProvider) -> Applicant:
        """The same agent, asking another process of the provider."""
        return replace(self, provider=provider)
