"""The gateway with a real Envoy in front and a real origin behind: over TLS, HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from aauthkit import hop
from aauthkit.gateway import Gate
from aauthkit.gateway.envoy import configuration
from aauthkit.gateway.http_check import HttpCheck
from tests.plugins.commands import own_ports
from tests.plugins.envoying import envoy
from tests.plugins.gateways import Origin, gate_of
from tests.plugins.resources import API, World
from tests.plugins.serving import served
from tests.plugins.signing import NOW, Signer
from tests.plugins.tls import Authority

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


@dataclass
class Street:
    """Envoy, the check and the origin, each on a port of its own."""

    world: World
    gate: Gate
    origin: Origin
    port: int
    upstream: int
    trust: ssl.SSLContext
    http2: bool = False

    async def send(self, signer: Signer | None, path: str, method: str = "GET", **knobs: Any) -> httpx2.Response:
        """A request through Envoy, exactly as it was signed; `host` and `more` change what is sent."""
        host, more = knobs.pop("host", "api.example"), knobs.pop("more", ())
        body = knobs.get("body", b"")
        request = signer.sign(method, API + path, **knobs) if signer else None
        headers = [(n, v) for n, v in (request.headers if request else ()) if n not in ("host", "content-length")]
        async with httpx2.AsyncClient(verify=self.trust, http2=self.http2) as client:
            built = client.build_request(
                method,
                f"https://127.0.0.1:{self.port}{path}",
                headers=[("host", host), *headers, *more],
                content=body or None,
                extensions={"sni_hostname": "api.example"},
            )
            return await client.send(built)


@pytest.fixture(params=[False, True], ids=["h1", "h2"])
async def street(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Street]:
    world = World()
    authority = Authority(tmp_path)
    files = authority.files("api.example")
    port = next(own_ports)
    async with AsyncExitStack() as stack:
        later: list[Origin] = []

        async def origin(scope: Any, receive: Any, send: Any) -> None:
            await later[0].app(scope, receive, send)

        upstream = await stack.enter_async_context(served(origin, lifespan="off"))
        gate = gate_of(world, tmp_path, port=upstream)
        later.append(Origin(gate))
        await gate.start()
        stack.push_async_callback(gate.close)
        check = await stack.enter_async_context(served(HttpCheck(gate), lifespan="off"))
        config = configuration(
            gate.configuration,
            listen=("127.0.0.1", port),
            check=("127.0.0.1", check),
            certificate=(str(files.certificate), str(files.key)),
        )
        await stack.enter_async_context(envoy(tmp_path, config, port))
        trust = ssl.create_default_context(cafile=str(authority.ca_file))
        yield Street(world, gate, later[0], port, upstream, trust, bool(request.param))


async def test_only_who_has_what_a_route_needs_gets_through(street: Street) -> None:
    for signer, path, status, said in (
        (None, "/orders", 401, "person-token"),
        (street.world.agent(), "/me", 401, "person-token"),
        (street.world.person(), "/orders", 401, "auth-token"),
    ):
        answer = await street.send(signer, path)
        assert answer.status_code == status and said in answer.headers["aauth-requirement"], answer.text
    assert street.origin.seen == []
    answer = await street.send(street.world.grant("orders.read"), "/orders?year=2026&x=%20y")
    assert answer.status_code == 200, answer.text
    assert answer.json()["caller"]["scope"] == "orders.read"


async def test_f67_the_origin_sees_verified_facts_and_nothing_forged(street: Street) -> None:
    """F67."""
    forged = [("x-aauth-scope", "admin"), (hop.HEADER, "forged"), ("X-AAuth-Agent", "aauth:boss@agents.example")]
    answer = await street.send(street.world.agent(), "/agents", more=forged)
    assert answer.status_code == 200, answer.text
    assert answer.json()["caller"]["sub"] == "aauth:planner@agents.example"
    family = [name for name in answer.json()["headers"] if name.startswith("x-aauth")]
    assert family == [hop.HEADER]
    assert not {"signature", "signature-input", "signature-key"} & set(answer.json()["headers"])


async def test_a_rules_no_is_403_and_names_the_rule(street: Street) -> None:
    answer = await street.send(street.world.agent(name="writer"), "/agents")
    assert answer.status_code == 403 and answer.json()["detail"] == "writers do not come in here"


async def test_the_path_is_signed_as_it_is_sent_and_nothing_normalises_it(street: Street) -> None:
    """F07, F08."""
    for path in ("/agents?b=2&a=1&", "/agents?q=%2Fx%20y;p=1"):
        assert (await street.send(street.world.agent(), path)).status_code == 200
    for path in ("//agents", "/agents/", "/a%67ents", "/x/../agents"):
        answer = await street.send(street.world.agent(), path)
        assert answer.status_code in (400, 401, 404), (path, answer.status_code)


async def test_f68_another_resources_authority_leads_there_and_not_here(street: Street) -> None:
    """F68."""
    answer = await street.send(street.world.agent(), "/agents", host="other.example")
    assert answer.status_code == 401 and "invalid_signature" in answer.headers["signature-error"]
    answer = await street.send(street.world.agent(), "/agents", host="nobody.example")
    assert answer.status_code == 404


async def test_a_signed_body_arrives_whole_and_a_changed_one_is_not_served(street: Street) -> None:
    placed = street.world.grant("orders.place")
    answer = await street.send(placed, "/orders", "POST", body=b'{"item": "lamp"}')
    assert answer.status_code == 200 and answer.json()["body"] == '{"item": "lamp"}', answer.text
    seen = len(street.origin.seen)
    request = placed.sign("POST", f"{API}/orders", body=b'{"item": "lamp"}', now=NOW)
    headers = [(n, v) for n, v in request.headers if n not in ("host", "content-length")]
    async with httpx2.AsyncClient(verify=street.trust, http2=street.http2) as client:
        built = client.build_request(
            "POST",
            f"https://127.0.0.1:{street.port}/orders",
            headers=[("host", "api.example"), *headers],
            content=b'{"item": "sofa"}',
            extensions={"sni_hostname": "api.example"},
        )
        answer = await client.send(built)
    assert answer.status_code != 200 and len(street.origin.seen) == seen


async def test_a_call_around_the_gateway_is_refused(street: Street) -> None:
    request = street.world.agent().sign("GET", f"{API}/agents")
    async with httpx2.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{street.upstream}/agents", headers=list(request.headers))
    assert answer.status_code == 403 and street.origin.seen == []


async def test_open_paths_are_open_and_stripped(street: Street) -> None:
    answer = await street.send(None, "/health", more=[(hop.HEADER, "forged")])
    assert answer.status_code == 200 and answer.json()["caller"] is None, answer.text
