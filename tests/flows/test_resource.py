"""The API block of the README on FastAPI, under a real uvicorn with TLS, its issuers found over TLS as well."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from aauthkit.egress import Egress, Http
from aauthkit.protocol.headers import parse_requirement, parse_resource_links
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.tokens import RESOURCE_TYP, check_lifetime, read_token
from aauthkit.serving import Request
from tests.plugins.serving import raw_exchange, served
from tests.plugins.signing import Issuer, Signer, new_key
from tests.plugins.tls import Authority, Internet, IssuerServer, Reply

pytestmark = pytest.mark.anyio

API = "https://api.example"
BLOCK = """
from __future__ import annotations
from typing import Annotated
from fastapi import FastAPI
from aauthkit import ANY, Grant, KeyFile, Resource
from aauthkit.resource.fastapi import install, protect

app = FastAPI()
resource = Resource("https://api.example", keys=KeyFile("keys/api.jwks"),
                    scopes={"orders.read": "See your orders", "orders.place": "Place orders for you"},
                    person_servers=["https://ps.example"], agent_providers=ANY)   # no defaults: verified is not trusted
install(app, resource)                                # aauthkit.resource.fastapi; answers before a body is read
@app.get("/orders")
async def orders(grant: Annotated[Grant, protect(resource.grant("orders.read", optional=["orders.place"]))]):
    return {"person": grant.person.sub, "scope": sorted(grant.scope)}

@app.post("/orders")
async def place(order: dict, grant: Annotated[Grant, protect(resource.grant("orders.place", digest=True))]):
    return order

@app.get("/agent/{name:path}")
async def agent(name: str, who: Annotated[object, protect(resource.agent())]):
    return name
"""


@dataclass
class Scene:
    """The API, the servers that issue tokens for it, and an agent with a key."""

    http: Http
    port: int
    provider: IssuerServer
    ps: IssuerServer
    module: ModuleType

    def __post_init__(self) -> None:
        self.key = new_key()
        self.now = int(time.time())

    def agent(self) -> Signer:
        issuer = Issuer(self.provider.iss, self.provider.key)
        return Signer.token(self.key, issuer.agent_token(self.key.public, now=self.now))

    def person(self) -> Signer:
        issuer = Issuer(self.ps.iss, self.ps.key)
        return Signer.token(self.key, issuer.person_token(self.key.public, API, now=self.now))

    def grant(self, scope: str) -> Signer:
        issuer = Issuer(self.ps.iss, self.ps.key)
        return Signer.token(self.key, issuer.auth_token(self.key.public, API, scope, now=self.now))

    async def send(self, request: Request) -> Answer:
        body = await request.read(2**24)
        url = f"{API}{request.target}"
        return await self.http.send(request.method, url, request.headers, body, timeout=10, limit=2**20, guarded=False)

    async def call(self, signer: Signer, method: str, path: str, body: bytes = b"") -> Answer:
        return await self.send(signer.sign(method, f"{API}{path}", body=body, now=self.now))


@pytest.fixture
async def scene(
    internet: Internet, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    provider = await internet.issuer("agents.example")
    ps = await internet.issuer("ps.example", "aauth-person.json")
    names = {host: f"{address}:{port}" for host, (address, port) in internet.names.items()}
    (tmp_path / "egress.json").write_text(json.dumps({"names": names, "ca_file": str(authority.ca_file)}))
    monkeypatch.setenv("AAUTHKIT_EGRESS", str(tmp_path / "egress.json"))
    monkeypatch.chdir(tmp_path)
    module = ModuleType("the_api")
    monkeypatch.setitem(sys.modules, "the_api", module)
    exec(compile(BLOCK, "the_api", "exec"), module.__dict__)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(served(module.app, authority, "api.example"))
        http = Http(Egress(names={"api.example": ("127.0.0.1", port)}, ca_file=authority.ca_file))
        stack.push_async_callback(http.aclose)
        yield Scene(http, port, provider, ps, module)


async def test_an_agent_goes_from_unsigned_to_served_by_what_it_is_told(scene: Scene) -> None:
    """§6: each answer says what to bring next, and the last is the application's own."""
    unsigned = await scene.http.send("GET", f"{API}/orders", timeout=10, limit=2**20, guarded=False)
    assert unsigned.status == 401
    assert unsigned.header("signature-error") == "error=invalid_signature"
    assert str(unsigned.header("aauth-requirement")) == "requirement=person-token"
    assert parse_resource_links(unsigned.values("link")) == (API,)

    metadata = await scene.http.send(
        "GET", f"{API}/.well-known/aauth-resource.json", timeout=10, limit=2**20, guarded=False
    )
    assert json.loads(metadata.body)["access_mode"] == "auth-token"

    challenged = await scene.call(scene.person(), "GET", "/orders")
    asked = parse_requirement(challenged.values("aauth-requirement"))
    assert challenged.status == 401
    assert asked is not None
    token = read_token(asked.text("resource-token"), {RESOURCE_TYP})
    check_lifetime(token, time.time())
    assert (token.iss, token.aud, token.scope) == (  # type: ignore[union-attr]
        API,
        "https://ps.example",
        {"orders.read", "orders.place"},
    )
    jwks = await scene.http.send("GET", f"{API}/.well-known/jwks.json", timeout=10, limit=2**20, guarded=False)
    assert [key["kid"] for key in json.loads(jwks.body)["keys"]] == [token.kid]

    served_ = await scene.call(scene.grant("orders.read"), "GET", "/orders")
    assert served_.status == 200
    assert json.loads(served_.body) == {"person": "p-1", "scope": ["orders.read"]}


async def test_the_second_request_of_an_issuer_fetches_nothing(scene: Scene) -> None:
    """F34."""
    for _ in range(3):
        assert (await scene.call(scene.grant("orders.read"), "GET", "/orders")).status == 200
    assert (scene.ps.jwks_fetches, scene.ps.metadata_fetches) == (1, 1)


async def test_while_one_issuer_hangs_others_requests_are_answered(scene: Scene) -> None:
    """F90: a fetch waits beside them, not in front of them."""
    assert (await scene.call(scene.grant("orders.read"), "GET", "/orders")).status == 200
    gate = asyncio.Event()
    scene.provider.replies[scene.provider.metadata_path] = Reply(
        body=json.dumps(scene.provider.metadata).encode(), gate=gate
    )
    waiting = asyncio.create_task(scene.call(scene.agent(), "GET", "/agent/x"))
    while not scene.provider.metadata_fetches:
        await asyncio.sleep(0.01)
    assert (await scene.call(scene.grant("orders.read"), "GET", "/orders")).status == 200
    assert not waiting.done()
    gate.set()
    assert (await waiting).status == 200


async def test_an_issuer_out_of_reach_is_unknown_key_with_a_time_to_come_back(scene: Scene) -> None:
    """§11.3.4 step 5: the caller reads nothing of why."""
    await scene.provider.stop()
    answer = await scene.call(scene.agent(), "GET", "/agent/x")
    assert (answer.status, answer.header("signature-error")) == (401, "error=unknown_key")
    assert int(answer.header("retry-after") or "") > 0
    assert b"127.0.0.1" not in answer.body


async def test_a_body_is_bound_on_the_way(scene: Scene) -> None:
    """F13."""
    body = b'{"item":"lamp"}'
    good = await scene.call(scene.grant("orders.place"), "POST", "/orders", body)
    assert (good.status, good.body) == (200, body)
    signed = scene.grant("orders.place").sign("POST", f"{API}/orders", body=body, now=scene.now)
    changed = await scene.http.send(
        "POST", f"{API}/orders", signed.headers, b'{"item":"desk"}', timeout=10, limit=2**20, guarded=False
    )
    assert changed.header("signature-error") == "error=invalid_signature"


@pytest.mark.parametrize(
    "path", ["/agent/a;role=admin", "/agent/a%2Fb", "/agent//a/../b", "/agent/a?x=1&x=2", "/agent/a??"]
)
async def test_the_target_survives_the_server_as_it_was_sent(scene: Scene, path: str) -> None:
    """F05: path parameters, percent-encoding, `//`, dot segments and queries, through uvicorn with h11."""
    assert (await scene.call(scene.agent(), "GET", path)).status == 200


async def test_refused_uploads_are_answered_without_waiting_for_the_body(scene: Scene) -> None:
    """`Expect: 100-continue` is never answered with 100 for a request that is refused."""
    async with served(scene.module.app) as port:
        head = (
            b"POST /orders HTTP/1.1\r\nhost: api.example\r\ncontent-type: application/json\r\n"
            b"content-length: 1000000\r\nexpect: 100-continue\r\n\r\n"
        )
        answer = await raw_exchange(port, head)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"100 Continue" not in answer


@pytest.mark.parametrize(
    "line", [b"GET /agent/x#y HTTP/1.1", b"GET https://api.example/agent/x HTTP/1.1", b"OPTIONS * HTTP/1.1"]
)
async def test_a_target_of_another_form_is_400(scene: Scene, line: bytes) -> None:
    """Where the server shows it: uvicorn with h11 does."""
    async with served(scene.module.app) as port:
        answer = await raw_exchange(port, line + b"\r\nhost: api.example\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_behind_a_proxy_that_strips_a_prefix_and_rewrites_host(
    internet: Internet, authority: Authority, scene: Scene
) -> None:
    """The configured identifier is what is verified; uvicorn's `root_path` puts the prefix back."""
    async with served(scene.module.app, root_path="/v1") as port:
        signed = scene.grant("orders.read").sign("GET", f"{API}/v1/orders", now=scene.now)
        fields = [(name, value) for name, value in signed.headers if name != "host"]
        lines = ["GET /orders HTTP/1.1", "host: upstream.internal:8080", "connection: close"]
        message = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in fields), "", ""]).encode()
        answer = await raw_exchange(port, message)
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_websocket_handshake_under_a_protected_route_opens_nothing(scene: Scene) -> None:
    async with served(scene.module.app) as port:
        answer = await raw_exchange(
            port,
            b"GET /agent/x HTTP/1.1\r\nhost: api.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        )
    assert answer.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 403 "))
