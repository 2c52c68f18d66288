"""A gateway among its parties, for tests: its file, its gate on a world's issuers, and an origin behind it."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx2

from aauthkit.asgi import Asgi, Receive, Scope, Send, request_of, send_answer
from aauthkit.egress import Egress
from aauthkit.gateway import Configuration, Gate, read_configuration
from aauthkit.gateway.envoy import configuration as envoy_configuration
from aauthkit.gateway.ext_authz import METHOD, SERVICE, message
from aauthkit.gateway.grpc_check import GrpcCheck, GrpcServer
from aauthkit.gateway.http_check import HttpCheck
from aauthkit.gateway.own_paths import OwnPaths
from aauthkit.gateway.verdicts import Decision
from aauthkit.hop import facts_of
from aauthkit.protocol.messages import Answer
from aauthkit.resource.behind import HOP, BehindGateway, caller_behind
from aauthkit.resource.routes import JWKS_PATH, METADATA_PATH
from aauthkit.serving import Request
from tests.plugins.commands import own_ports
from tests.plugins.envoying import envoy
from tests.plugins.resources import API, World
from tests.plugins.serving import served
from tests.plugins.signing import NOW, Signer
from tests.plugins.tls import Authority

FILE = """
resources:
  - identifier: https://api.example
    upstream: http://127.0.0.1:{port}
    path_prefix: /api
    keys: api.jwks
    scopes:
      orders.read: See your orders
      orders.place: Place orders for you
      orders.readall: See everybody's orders
    person_servers: [https://ps.example]
    agent_providers: [https://agents.example]
    open: [GET /health]
    routes:
      - match: GET /agents
        need: {{level: agent}}
      - match: GET /me
        need: {{level: person}}
      - match: GET /orders
        need: {{level: grant, scope: [orders.read]}}
      - match: POST /orders
        need: {{level: grant, scope: [orders.place]}}
        body: signed
      - match: POST /payments
        need: {{level: grant, scope: [orders.place]}}
        body: buffer
      - match: POST /held
        need: {{level: grant, scope: [orders.place]}}
        body: buffer
        deliver: "202"
{more}
    rules:
{rules}
  - identifier: https://other.example
    upstream: http://127.0.0.1:{port}
    path_prefix: /other
    keys: other.jwks
    person_servers: [https://ps.example]
    agent_providers: [https://agents.example]
    routes:
      - match: GET /agents
        need: {{level: agent}}
"""
RULES = """
      - name: no writers
        deny: agent.id == "aauth:writer@agents.example"
        reason: writers do not come in here
"""


def configured(folder: Path, rules: str = RULES, port: int = 8000, more: str = "") -> Configuration:
    """The file's configuration; `more` stands behind the routes of the first resource."""
    return read_configuration(FILE.format(rules=rules, port=port, more=more), folder=folder)


def gate_of(world: World, folder: Path, rules: str = RULES, port: int = 8000, more: str = "", **options: Any) -> Gate:
    settings: dict[str, Any] = {"egress": Egress(), "discovery": world.discovery(), "clock": lambda: NOW, **options}
    return Gate(configured(folder, rules, port, more), **settings)


class Origin:
    """An application that cannot be changed, behind the middleware: it says what it was told."""

    def __init__(self, gate: Gate, identifier: str = API, clock: Any = lambda: NOW) -> None:
        self.seen: list[dict[str, Any]] = []
        keys = gate.guarded[identifier].keys
        self.app = BehindGateway(self._serve, gateway=identifier, origin=identifier, keys=keys.jwks, clock=clock)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        caller = caller_behind(scope)
        said = {
            "caller": facts_of(caller) if caller is not None else None,
            "headers": [name.decode() for name, _ in scope["headers"]],
            "body": body.decode(),
            "kind": scope[HOP].body,
            "target": f"{scope['path']}?{scope['query_string'].decode()}".rstrip("?"),
        }
        self.seen.append(said)
        content = json.dumps(said).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": content})


@dataclass
class Street:
    """A proxy, the check and the origin, each on a port of its own."""

    world: World
    gate: Gate
    origin: Origin
    port: int
    upstream: int
    trust: ssl.SSLContext
    shape: str
    http2: bool = False
    checking: AsyncExitStack = field(default_factory=AsyncExitStack)
    told: list[Decision] = field(default_factory=list)

    async def stop_check(self) -> None:
        """End the decision service, and it alone."""
        await self.checking.aclose()

    async def send(self, signer: Signer | None, path: str, method: str = "GET", **knobs: Any) -> httpx2.Response:
        """A request through the proxy, exactly as it was signed.

        `host`, `more` and `sent` change what is sent: its authority, further fields, another body or path.
        """
        host, more = knobs.pop("host", "api.example"), knobs.pop("more", ())
        sent, sent_path = knobs.pop("sent", knobs.get("body", b"")), knobs.pop("sent_path", path)
        request = signer.sign(method, API + path, **knobs) if signer else None
        headers = [(n, v) for n, v in (request.headers if request else ()) if n not in ("host", "content-length")]
        async with httpx2.AsyncClient(verify=self.trust, http2=self.http2) as client:
            built = client.build_request(
                method,
                f"https://127.0.0.1:{self.port}/",
                headers=[("host", host), *headers, *more],
                content=sent or None,
                extensions={"sni_hostname": "api.example", "target": sent_path.encode()},
            )
            return await client.send(built)


SHAPES = ["grpc-h1", "grpc-h2", "http-h1", "http-h2", "agentgateway"]


@asynccontextmanager
async def street(folder: Path, shape: str, **settings: Any) -> AsyncIterator[Street]:
    """Everything from the client's side of the proxy to the origin. `settings` are those of `gate_of`."""
    folder.mkdir(exist_ok=True)
    world, authority, port, told = World(), Authority(folder), next(own_ports), list[Decision]()
    files = authority.files("api.example")
    async with AsyncExitStack() as stack:
        later: list[Origin] = []

        async def origin(scope: Any, receive: Any, send: Any) -> None:
            await later[0].app(scope, receive, send)

        upstream = await stack.enter_async_context(served(origin, lifespan="off"))
        gate = gate_of(world, folder, port=upstream, observers=[told.append], **settings)
        later.append(Origin(gate))
        await gate.start()
        stack.push_async_callback(gate.close)
        own = await stack.enter_async_context(served(Asgi(OwnPaths(gate)), lifespan="off"))
        checking = await stack.enter_async_context(AsyncExitStack())
        if shape.startswith("http"):
            check = await checking.enter_async_context(served(HttpCheck(gate), lifespan="off"))
        else:
            server = GrpcServer(GrpcCheck(gate), "127.0.0.1:0")
            await server.start()
            checking.push_async_callback(server.close)
            check = server.port
        if shape == "agentgateway":
            proxy = Agentgateway(gate, check, own)
            port = await stack.enter_async_context(served(proxy, authority, "api.example", lifespan="off"))
            stack.push_async_callback(proxy.close)
        else:
            config = envoy_configuration(
                gate.configuration,
                listen=("127.0.0.1", port),
                check=("127.0.0.1", check),
                own=("127.0.0.1", own),
                grpc=shape.startswith("grpc"),
                certificate=(str(files.certificate), str(files.key)),
            )
            await stack.enter_async_context(envoy(folder, config, port))
        trust = ssl.create_default_context(cafile=str(authority.ca_file))
        http2 = shape.endswith("h2")
        yield Street(world, gate, later[0], port, upstream, trust, shape, http2, checking, told)


class Agentgateway:
    """Asks as agentgateway 1.4 does, of which there is no package, and does what the answer says.

    Fields that came twice are joined with a comma and a space, and there is no map of raw ones; `host` is gone, and
    `:authority` there with its port or, every other time, without; the context names the resource; the body is packed.
    """

    def __init__(self, gate: Gate, check: int, own: int) -> None:
        self._gate = gate
        self._own = own
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{check}")
        self._ask = self._channel.unary_unary(
            f"/{SERVICE}/{METHOD}",
            request_serializer=message("CheckRequest").SerializeToString,
            response_deserializer=message("CheckResponse").FromString,
        )
        self._asked = 0

    async def close(self) -> None:
        await self._channel.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = request_of(scope, receive)
        host = (request.header("host") or "").partition(":")[0]
        found = [one for one in self._gate.configuration.resources if one.identifier == f"https://{host}"]
        if not found:
            await send_answer(Answer(404), send)
            return
        body = await request.read(2**20)
        own = (METADATA_PATH, JWKS_PATH)
        if request.path in own or request.path.startswith("/aauth/"):
            await self._pass(
                f"http://127.0.0.1:{self._own}{found[0].path_prefix}", request, request.headers, body, send
            )
            return
        try:
            said = await self._ask(self.question(found[0].identifier, request, body))
        except grpc.aio.AioRpcError:
            await send_answer(Answer(403), send)  # failureMode: deny
            return
        if said.status.code != 0:
            denied = said.denied_response
            fields = tuple((one.header.key.decode(), one.header.value.decode("latin-1")) for one in denied.headers)
            await send_answer(Answer(denied.status.code, fields, denied.body), send)
            return
        set_anew = [(one.header.key.decode(), one.header.value.decode()) for one in said.ok_response.headers]
        gone = {*said.ok_response.headers_to_remove, *(name for name, _ in set_anew)}
        headers = tuple((name, value) for name, value in request.headers if name not in gone)
        await self._pass(found[0].upstream, request, (*headers, *set_anew), body, send)

    def question(self, identifier: str, request: Request, body: bytes) -> Any:
        joined: dict[str, str] = {}
        for name, value in request.headers:
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        host = joined.pop("host", "")
        asked = message("CheckRequest")()
        asked.attributes.context_extensions.add(key=b"resource", value=identifier.encode())
        http = asked.attributes.request.http
        self._asked += 1
        named = host if self._asked % 2 else host.partition(":")[0]
        pseudo = {":authority": named, ":method": request.method, ":path": request.target, ":scheme": "https"}
        for name, value in {**pseudo, **joined}.items():
            http.headers.add(key=name.encode(), value=value.encode("latin-1"))
        http.method, http.path, http.host = request.method, request.target.encode(), named.encode()
        http.raw_body, http.size = body, len(body)
        return asked

    async def _pass(self, to: str, request: Request, headers: Any, body: bytes, send: Send) -> None:
        async with httpx2.AsyncClient(trust_env=False) as client:
            kept = [(n, v) for n, v in headers if n not in ("content-length", "transfer-encoding", "connection")]
            prefix = to.partition("://")[2].partition("/")[2]
            target = f"/{prefix}{request.target}" if prefix else request.target
            built = client.build_request(
                request.method, to, headers=kept, content=body or None, extensions={"target": target.encode()}
            )
            response = await client.send(built)
            fields = tuple((n.lower(), v) for n, v in response.headers.multi_items() if n.lower() != "content-length")
            await send_answer(Answer(response.status_code, fields, response.content), send)
