"""A resource behind a real, plain Envoy: on a port, with a path prefix that it strips, and another Host upstream."""

# Annotations are evaluated as they stand: the routes below name needs that are local to `application`.

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI

from aauthkit.callers import Agent, Grant
from aauthkit.egress import Egress, Http
from aauthkit.protocol.identifiers import LoopbackProfile
from aauthkit.protocol.messages import Answer
from aauthkit.resource import Resource
from aauthkit.resource.fastapi import install, protect
from aauthkit.serving import Request
from tests.plugins.envoying import configuration, envoy
from tests.plugins.resources import World, asked, requirement
from tests.plugins.serving import reserved, served
from tests.plugins.signing import NOW, Signer
from tests.plugins.tls import Authority

pytestmark = pytest.mark.anyio

PREFIX = "/v1"
PATHS = ["/agent/a;role=x", "/agent/a%2Fb", "/agent//a/../b", "/agent/a?x=1&x=2", "/agent/%E2%82%AC", "/agent/a%20b"]


def application(resource: Resource) -> FastAPI:
    app = FastAPI()
    install(app, resource)
    agent, reading = resource.agent(), resource.grant("orders.read")
    holding = resource.grant("orders.place", deliver="202", digest=True)

    def who(name: str, caller: Annotated[Agent, protect(agent)]) -> dict[str, str]:
        return {"sub": caller.sub}

    def orders(grant: Annotated[Grant, protect(reading)]) -> list[str]:
        return sorted(grant.scope)

    def place(order: dict[str, Any], grant: Annotated[Grant, protect(holding)]) -> dict[str, Any]:
        return {**order, "for": grant.person.sub}

    app.get("/agent/{name:path}")(who)
    app.get("/orders")(orders)
    app.post("/place")(place)
    return app


@dataclass
class Scene:
    """A resource under `identifier`, reached through Envoy."""

    identifier: str
    world: World
    http: Http

    async def send(self, request: Request) -> Answer:
        url = f"{self.identifier}{request.target}"
        body = await request.read(2**20)
        return await self.http.send(request.method, url, request.headers, body, timeout=20, limit=2**20, guarded=False)

    async def call(self, signer: Signer, path: str, method: str = "GET", body: bytes = b"") -> Answer:
        return await self.send(signer.sign(method, f"{self.identifier}{path}", body=body))

    def person(self) -> Signer:
        return self.world.person(self.identifier)

    def grant(self, scope: str) -> Signer:
        return self.world.grant(scope, self.identifier)


Start = Callable[..., Any]


@pytest.fixture
async def behind(tmp_path: Path, authority: Authority) -> AsyncIterator[Start]:
    """Starts the application and an Envoy in front of it."""
    async with AsyncExitStack() as stack:

        async def start(*, tls: bool, root_path: str, path_prefix: str, host: str | None) -> Scene:
            with reserved() as free:
                port = free.getsockname()[1]
            identifier = "https://api.example" if tls else f"http://api.localhost:{port}"
            if tls:
                egress = Egress(names={"api.example": ("127.0.0.1", port)}, ca_file=authority.ca_file)
            else:
                egress = Egress(loopback=LoopbackProfile(frozenset({identifier})))
            world = World()
            resource = world.resource(
                identifier,
                egress=egress,
                path_prefix=path_prefix,
                store=tmp_path / "api.db",
                authorization="auth-token",
            )
            upstream = await stack.enter_async_context(served(application(resource), root_path=root_path))
            files = authority.files("api.example") if tls else None
            config = configuration(port, upstream, strip=PREFIX, host=host, files=files)
            await stack.enter_async_context(envoy(tmp_path, config, port))
            http = Http(egress)
            stack.push_async_callback(http.aclose)
            return Scene(identifier, world, http)

        yield start


WAYS = [
    pytest.param({"tls": True, "root_path": PREFIX, "path_prefix": "", "host": None}, id="tls, root_path"),
    pytest.param(
        {"tls": True, "root_path": "", "path_prefix": PREFIX, "host": "upstream.internal:8080"}, id="tls, other Host"
    ),
    pytest.param({"tls": False, "root_path": "", "path_prefix": PREFIX, "host": None}, id="a port, path_prefix"),
    pytest.param(
        {"tls": False, "root_path": PREFIX, "path_prefix": PREFIX, "host": "upstream.internal:8080"},
        id="a port, both, other Host",
    ),
]


@pytest.mark.parametrize("way", WAYS)
async def test_the_signed_target_survives_the_proxy(behind: Start, way: dict[str, Any]) -> None:
    """design: the configured authority is what is verified, and a stripped prefix belongs to what was signed; F05."""
    scene: Scene = await behind(**way)
    for path in PATHS:
        answer = await scene.call(scene.world.agent(), f"{PREFIX}{path}")
        assert (answer.status, json.loads(answer.body)) == (200, {"sub": "aauth:planner@agents.example"}), path
    unprefixed = await scene.send(
        Request("GET", f"{PREFIX}/orders", scene.grant("orders.read").sign("GET", f"{scene.identifier}/orders").headers)
    )
    assert (unprefixed.status, unprefixed.header("signature-error")) == (401, "error=invalid_signature")


@pytest.mark.parametrize("way", WAYS[1:3])
async def test_a_request_for_another_host_is_not_relayed_here(behind: Start, way: dict[str, Any]) -> None:
    """F06, F68: whatever Host the proxy sends on."""
    scene: Scene = await behind(**way)
    elsewhere = scene.world.agent().sign("GET", f"https://other.example{PREFIX}/agent/x")
    headers = tuple(field for field in elsewhere.headers if field[0] != "host")
    answer = await scene.send(Request("GET", elsewhere.target, headers))
    assert (answer.status, answer.header("signature-error")) == (401, "error=invalid_signature")


@pytest.mark.parametrize("way", [WAYS[1], WAYS[3]])
async def test_its_own_endpoints_answer_where_its_metadata_says(behind: Start, way: dict[str, Any]) -> None:
    """F92: metadata, keys, authorization endpoint, and a pending URL, all through the proxy."""
    scene: Scene = await behind(**way)
    url = f"{scene.identifier}/.well-known/aauth-resource.json"
    metadata = json.loads((await scene.http.send("GET", url, timeout=20, limit=2**20, guarded=False)).body)
    assert metadata["issuer"] == scene.identifier
    assert metadata["authorization_endpoint"] == f"{scene.identifier}{PREFIX}/aauth/authorize"
    path = metadata["authorization_endpoint"].removeprefix(scene.identifier)
    authorized = await scene.call(scene.person(), path, "POST", b'{"scope":"orders.read"}')
    assert authorized.status == 200
    assert json.loads(authorized.body).keys() == {"resource_token"}
    assert asked(await scene.call(scene.person(), f"{PREFIX}/orders")) == "auth-token"

    held = await scene.call(scene.person(), f"{PREFIX}/place", "POST", b'{"item":"lamp"}')
    assert held.status == 202
    assert requirement(held) is not None
    pending = (held.header("location") or "").removeprefix(scene.identifier)
    assert pending.startswith(f"{PREFIX}/aauth/held/")
    signer = scene.grant("orders.place")
    for _ in range(2):
        done = await scene.call(signer, pending)
        assert (done.status, json.loads(done.body)) == (200, {"item": "lamp", "for": "p-1"})
    revocation = metadata["revocation_endpoint"].removeprefix(scene.identifier)
    body = json.dumps({"jti": "x", "exp": NOW + 60}).encode()
    issuer = Signer.server(scene.world.ps, "aauth-person.json")
    assert (await scene.call(issuer, revocation, "POST", body)).status == 200
