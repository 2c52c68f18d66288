"""A server that takes revocations, and the issuers that send them; each part of a request can be broken on purpose."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aauthkit.discovery import Discovery
from aauthkit.egress import Http
from aauthkit.protocol.jose import parse_json
from aauthkit.protocol.messages import Answer, json_answer
from aauthkit.protocol.tokens import AGENT_DWK, PERSON_DWK, RESOURCE_DWK
from aauthkit.revocation import Downstream, Revocations
from aauthkit.serving import Request, Route, Routes
from aauthkit.store import Database
from aauthkit.trust import Trust
from tests.plugins.signing import NOW, Issuer, Signer
from tests.plugins.tls import Clock

PS = "https://ps.example"
PROVIDER = "https://agents.example"
STRANGER = "https://evil.example"
DAY = 86_400


@dataclass
class Party:
    """A server that revokes what it issued, at `recipient`."""

    issuer: Issuer
    dwk: str
    recipient: Recipient

    @property
    def iss(self) -> str:
        return self.issuer.iss

    def request(self, jti: object = "t-1", exp: object = NOW + 3600, **knobs: Any) -> Request:
        """A revocation; `knobs` as of `sign`, or a `body` of its own, or another `signer`."""
        body = knobs.pop("body", None)
        if body is None:
            body = json.dumps({"jti": jti, "exp": exp}).encode()
        signer = knobs.pop("signer", None) or Signer.server(self.issuer, self.dwk)
        url = f"{self.recipient.server}{self.recipient.revocations.path}"
        return signer.sign("POST", url, body=body, **{"now": int(self.recipient.clock()), **knobs})

    async def revoke(self, jti: object = "t-1", exp: object = NOW + 3600, **knobs: Any) -> Answer:
        return await self.recipient.send(self.request(jti, exp, **knobs))

    async def poll(self, pending: Answer, *, wait: int = 0, **knobs: Any) -> Answer:
        """A poll of the pending URL that `pending` names."""
        location = pending.header("location")
        assert location is not None, pending.body
        signer = knobs.pop("signer", None) or Signer.server(self.issuer, self.dwk)
        headers = (("prefer", f"wait={wait}"),) if wait else ()
        now = int(self.recipient.clock())
        return await self.recipient.send(signer.sign("GET", location, headers=headers, now=now, **knobs))


@dataclass
class Recipient:
    """A server with nothing but a revocation endpoint, and the parties it knows the keys of."""

    revocations: Revocations
    discovery: Discovery
    clock: Clock
    routes: Routes = field(init=False)

    def __post_init__(self) -> None:
        self.routes = Routes(*self.revocations.routes)

    @property
    def server(self) -> str:
        return self.revocations.server

    async def send(self, request: Request) -> Answer:
        return await self.routes.answer(request)

    def party(self, iss: str = PROVIDER, dwk: str = AGENT_DWK) -> Party:
        """A server whose keys are at hand."""
        issuer = Issuer(iss)
        self.discovery.serve_locally(iss, dwk, issuer.jwks)
        return Party(issuer, dwk, self)


def trusting(*providers: str, resources: Sequence[str] = ()) -> Trust:
    return Trust(agent_providers=frozenset(providers), resources=frozenset(resources))


@asynccontextmanager
async def receiving(
    database: Database | None, clock: Clock | None = None, *, start: bool = True, **more: Any
) -> AsyncIterator[Recipient]:
    """A person server's endpoint that has started; `more` as of `Revocations`."""
    clock = clock or Clock(NOW)
    discovery = more.pop("discovery", None) or Discovery(Http(), clock=clock)
    settings: dict[str, Any] = {
        "dwks": {AGENT_DWK, RESOURCE_DWK},
        "trust": trusting(PROVIDER),
        "longest": DAY,
        "clock": clock,
    }
    revocations = Revocations(more.pop("server", PS), database, discovery=discovery, **{**settings, **more})
    if start:
        await revocations.start()
    try:
        yield Recipient(revocations, discovery, clock)
    finally:
        await revocations.close()


def error_of(answer: Answer) -> tuple[int, str]:
    """Status and `error`."""
    return answer.status, parse_json(answer.body)["error"]


def done(answer: Answer) -> bool:
    """Whether this is the empty 200, with no Content-Type (draft-11 §11.12.3)."""
    return (answer.status, answer.body, answer.values("content-type")) == (200, b"", [])


class Downriver:
    """A cascade that goes as it is told: it waits for `gate`, and reports `outcome`, or fails with `error`."""

    def __init__(self, *outcome: Downstream) -> None:
        self.outcome = list(outcome)
        self.calls: list[tuple[str, str, int]] = []
        self.gate: Callable[[], Awaitable[Any]] | None = None
        self.error: Exception | None = None

    async def __call__(self, iss: str, jti: str, exp: int) -> Sequence[Downstream]:
        self.calls.append((iss, jti, exp))
        if self.gate is not None:
            await self.gate()
        if self.error is not None:
            raise self.error
        return list(self.outcome)


def report_of(answer: Answer) -> Mapping[str, Any]:
    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    return parse_json(answer.body)


class Published:
    """A role under its own name: metadata with a `revocation_endpoint`, a JWKS, and the endpoint."""

    def __init__(self, recipient: Recipient, dwk: str = PERSON_DWK) -> None:
        server = recipient.server
        endpoints = ("auth_token_endpoint", "person_token_endpoint")
        self.metadata = {
            "issuer": server,
            "jwks_uri": f"{server}/jwks.json",
            **{name: f"{server}/{name}" for name in endpoints},
            "revocation_endpoint": recipient.revocations.endpoint,
        }
        self.routes = Routes(Route("GET", f"/.well-known/{dwk}", self._document), *recipient.revocations.routes)

    async def _document(self, _request: Request) -> Answer:
        return json_answer(200, self.metadata)

    async def answer(self, request: Request) -> Answer:
        return await self.routes.answer(request)


__all__ = [
    "AGENT_DWK",
    "DAY",
    "PERSON_DWK",
    "PROVIDER",
    "PS",
    "RESOURCE_DWK",
    "STRANGER",
    "Downriver",
    "Party",
    "Published",
    "Recipient",
    "done",
    "error_of",
    "receiving",
    "report_of",
    "trusting",
]
