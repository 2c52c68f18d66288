"""The gateway behind a real Envoy, asking over gRPC and HTTP, and behind agentgateway as it asks; over real TLS.

Every verdict in every shape; the origin behind it all is real.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from aauthkit import hop
from tests.plugins.gateways import SHAPES, Street, street
from tests.plugins.resources import API

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


@pytest.fixture(name="street", params=SHAPES)
async def a_street(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Street]:
    async with street(tmp_path, request.param) as made:
        yield made


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
        assert answer.status_code in (400, 403), (path, answer.status_code)


async def test_f68_another_authority_is_no_other_resources(street: Street) -> None:
    """F68: the name that TLS was opened for and the authority are one, or it is 421; so no tenant is another."""
    for host in ("other.example", "nobody.example"):
        answer = await street.send(street.world.agent(), "/agents", host=host)
        if street.shape == "agentgateway":
            assert answer.status_code in (401, 404)
        else:
            assert answer.status_code == 421
    assert street.origin.seen == []


async def test_a_signed_body_arrives_whole_and_a_changed_one_is_not_served(street: Street) -> None:
    placed = street.world.grant("orders.place")
    answer = await street.send(placed, "/orders", "POST", body=b'{"item": "lamp"}')
    assert answer.status_code == 200 and answer.json()["body"] == '{"item": "lamp"}', answer.text
    seen = len(street.origin.seen)
    answer = await street.send(placed, "/orders", "POST", body=b'{"item": "lamp"}', sent=b'{"item": "sofa"}')
    assert answer.status_code != 200 and len(street.origin.seen) == seen


async def test_a_buffered_body_is_compared_here_and_one_over_the_limit_is_413(street: Street) -> None:
    placed = street.world.grant("orders.place")
    answer = await street.send(placed, "/payments", "POST", body=b'{"item": "lamp"}')
    assert answer.status_code == 200 and answer.json()["kind"] == "buffered", answer.text
    answer = await street.send(placed, "/payments", "POST", body=b'{"item": "lamp"}', sent=b'{"item": "sofa"}')
    assert answer.status_code == 401 and "invalid_signature" in answer.headers["signature-error"]
    if street.shape != "agentgateway":
        answer = await street.send(placed, "/payments", "POST", body=b"x" * 70_000)
        assert answer.status_code == 413
    assert len(street.origin.seen) == 1


async def test_a_call_that_lacks_a_grant_is_held_and_runs_once_when_it_comes(street: Street) -> None:
    """§6.5.1: 202 with Location through the proxy, the poll at the gateway's own path, the call run upstream."""
    person = street.world.person()
    answer = await street.send(person, "/held", "POST", body=b'{"item": "lamp"}')
    assert answer.status_code == 202, answer.text
    assert "auth-token" in answer.headers["aauth-requirement"]
    path = answer.headers["location"].removeprefix(API)
    assert (await street.send(person, path)).status_code == 202
    other = street.world.grant("orders.place", sub="p-2")
    assert (await street.send(other, path)).status_code == 404
    assert street.origin.seen == []
    granted = street.world.grant("orders.place")
    for _ in range(2):
        answer = await street.send(granted, path)
        assert answer.status_code == 200 and answer.json()["body"] == '{"item": "lamp"}', answer.text
        assert answer.json()["caller"]["level"] == "grant"
    assert len(street.origin.seen) == 1
    (headers,) = [each["headers"] for each in street.origin.seen]
    assert [name for name in headers if name.startswith(("x-aauth", "signature"))] == [hop.HEADER]


async def test_the_resources_own_paths_are_answered_through_the_proxy(street: Street) -> None:
    answer = await street.send(None, "/.well-known/aauth-resource.json")
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["revocation_endpoint"] == f"{API}/aauth/revoke"
    keys = (await street.send(None, "/.well-known/jwks.json")).json()["keys"]
    assert [key["kid"] for key in keys] == [street.gate.guarded[API].keys.current.kid]
    assert (await street.send(None, "/aauth/revoke", "POST")).status_code in (400, 401, 415)
    assert (await street.send(None, "/aauth/../agents")).status_code in (400, 401, 404)
    assert street.origin.seen == []


async def test_a_call_around_the_gateway_is_refused(street: Street) -> None:
    request = street.world.agent().sign("GET", f"{API}/agents")
    async with httpx2.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{street.upstream}/agents", headers=list(request.headers))
    assert answer.status_code == 403 and street.origin.seen == []


async def test_open_paths_are_open_and_stripped(street: Street) -> None:
    answer = await street.send(None, "/health", more=[(hop.HEADER, "forged")])
    assert answer.status_code == 200 and answer.json()["caller"] is None, answer.text
