"""A resource among its issuers, for tests: signers of every level, and an ASGI client that hides nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aauthkit.discovery import Discovery
from aauthkit.egress import Egress, Http
from aauthkit.keys import FixedKey
from aauthkit.protocol.headers import Requirement, parse_requirement
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.tokens import RESOURCE_TYP, ResourceToken, read_token
from aauthkit.resource import Resource
from aauthkit.serving import Request
from tests.plugins.signing import NOW, Issuer, Signer, new_key

API = "https://api.example"
SCOPES = {
    "orders.read": "See your orders",
    "orders.place": "Place orders for you",
    "orders.cancel": "Cancel your orders",
    "orders.readall": "See everybody's orders",
}


@dataclass
class World:
    """One provider, one person server, one agent's key, and resources that know their keys without a fetch."""

    provider: Issuer = field(default_factory=lambda: Issuer("https://agents.example"))
    ps: Issuer = field(default_factory=lambda: Issuer("https://ps.example"))
    shop: Issuer = field(default_factory=lambda: Issuer("https://shop.example"))
    key: SigningKey = field(default_factory=new_key)
    resource_key: SigningKey = field(default_factory=new_key)

    def discovery(self) -> Discovery:
        discovery = Discovery(Http(Egress()), clock=lambda: NOW)
        discovery.serve_locally(self.provider.iss, "aauth-agent.json", self.provider.jwks)
        discovery.serve_locally(self.ps.iss, "aauth-person.json", self.ps.jwks)
        discovery.serve_locally(self.shop.iss, "aauth-resource.json", self.shop.jwks)
        return discovery

    def resource(self, identifier: str = API, **options: Any) -> Resource:
        settings: dict[str, Any] = {
            "keys": FixedKey(self.resource_key),
            "scopes": SCOPES,
            "person_servers": [self.ps.iss],
            "agent_providers": [self.provider.iss],
            "resources": [self.shop.iss],
            "egress": Egress(),
            "discovery": self.discovery(),
            "clock": lambda: NOW,
        }
        return Resource(identifier, **{**settings, **options})

    def agent(self, **claims: Any) -> Signer:
        return Signer.token(self.key, self.provider.agent_token(self.key.public, **claims))

    def person(self, aud: str = API, **claims: Any) -> Signer:
        return Signer.token(self.key, self.ps.person_token(self.key.public, aud, **claims))

    def grant(self, scope: str | None, aud: str = API, **claims: Any) -> Signer:
        return Signer.token(self.key, self.ps.auth_token(self.key.public, aud, scope, **claims))

    def bare(self) -> Signer:
        return Signer.bare(self.key)

    def server(self) -> Signer:
        return Signer.server(self.shop, "aauth-resource.json")

    def unsigned(self, method: str = "GET", target: str = "/orders") -> Request:
        return Request(method, target, (("host", "api.example"),))


def requirement(answer: Answer) -> Requirement | None:
    return parse_requirement(answer.values("aauth-requirement"))


def resource_token(answer: Answer) -> ResourceToken:
    """The resource token of a challenge, read and not verified."""
    asked = requirement(answer)
    assert asked is not None and asked.value == "auth-token", asked
    token = read_token(asked.text("resource-token"), {RESOURCE_TYP})
    assert isinstance(token, ResourceToken)
    return token


App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def scope_of(request: Request, **more: Any) -> dict[str, Any]:
    """The scope that an ASGI server makes of `request`."""
    path, _, query = request.target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "https",
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers],
        "client": ("192.0.2.7", 40000),
        "server": ("127.0.0.1", 8000),
        "state": {},
        **more,
    }


@dataclass
class Wire:
    """What went over the line between an ASGI application and its server."""

    chunks: list[bytes] = field(default_factory=list)
    disconnects: bool = False
    read: int = 0
    """Messages that the application asked for."""
    sent: list[Mapping[str, Any]] = field(default_factory=list)

    async def receive(self) -> dict[str, Any]:
        self.read += 1
        if self.chunks:
            chunk = self.chunks.pop(0)
            more = bool(self.chunks) or self.disconnects
            return {"type": "http.request", "body": chunk, "more_body": more}
        return {"type": "http.disconnect"}

    async def send(self, message: Mapping[str, Any]) -> None:
        self.sent.append(message)

    @property
    def answer(self) -> Answer:
        start, *bodies = self.sent
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in start["headers"])
        return Answer(start["status"], headers, b"".join(message.get("body", b"") for message in bodies))


async def exchange(app: App, request: Request, *, chunks: list[bytes] | None = None, **more: Any) -> Wire:
    """Send `request` through `app`, its body in `chunks` if they are given; `more` goes into the scope."""
    body = chunks if chunks is not None else [await request.read(2**24)]
    wire = Wire(list(body))
    await app(scope_of(request, **more), wire.receive, wire.send)
    return wire


async def ask(app: App, request: Request, **more: Any) -> Answer:
    """The answer of `app` to `request`."""
    return (await exchange(app, request, **more)).answer


async def get(app: App, signer: Signer | None, path: str, method: str = "GET", **more: Any) -> Answer:
    """The answer to a request without a body, signed by `signer` if there is one."""
    request = signer.sign(method, API + path) if signer is not None else Request(method, path, ())
    return await ask(app, request, **more)


def asked(answer: Answer) -> str | None:
    """The value of the requirement that an answer names, if it names one."""
    found = requirement(answer)
    return found.value if found is not None else None
