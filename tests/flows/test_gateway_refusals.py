"""What a gateway must never let through, each through the real proxy: byte for byte where it is about bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from aauthkit import hop
from tests.plugins.gateways import SHAPES, Street, street
from tests.plugins.resources import API
from tests.plugins.signing import Signer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
ENVOYS = ["grpc-h1", "http-h1"]
SMUGGLED = b"GET /health?smuggled HTTP/1.1\r\nhost: api.example\r\n\r\n"


@pytest.fixture(name="street", params=SHAPES)
async def every_street(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Street]:
    async with street(tmp_path, request.param) as made:
        yield made


@pytest.fixture(name="envoy", params=ENVOYS)
async def envoy_street(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Street]:
    async with street(tmp_path, request.param) as made:
        yield made


def head(there: Street, target: str = "/agents", method: str = "GET", **knobs: Any) -> list[tuple[str, str]]:
    """The fields of a good signature of an agent, without those that say where the message ends."""
    signer: Signer = knobs.pop("signer", None) or there.world.agent()
    signed = signer.sign(method, API + target, **knobs)
    return [(name, value) for name, value in signed.headers if name not in ("host", "content-length")]


async def raw(there: Street, message: bytes) -> bytes:
    """What the proxy answers to these very bytes over TLS, until it closes or is silent."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", there.port, ssl=there.trust, server_hostname="api.example"
    )
    writer.write(message)
    await writer.drain()
    answer = b""
    with contextlib.suppress(TimeoutError, ssl.SSLError, ConnectionError):
        async with asyncio.timeout(1.5):
            while chunk := await reader.read(65536):
                answer += chunk
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answer


def message(target: str, fields: list[tuple[str, str]], method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


HOST = ("host", "api.example")


async def test_f67_forged_facts_never_arrive_at_any_level(street: Street) -> None:
    """F67: forged `x-aauth-*` of a stranger, an agent, a person and a grant."""
    forged = [
        ("x-aauth-scope", "admin"),
        ("X-AAUTH-SUB", "boss"),
        ("x-AAuth-Hop", "e30.e30.e30"),
        (hop.HEADER, "again"),
    ]
    for signer, path in (
        (None, "/health"),
        (street.world.agent(), "/agents"),
        (street.world.person(), "/me"),
        (street.world.grant("orders.read"), "/orders"),
    ):
        answer = await street.send(signer, path, more=forged)
        assert answer.status_code == 200, answer.text
        family = [name for name in answer.json()["headers"] if name.replace("_", "-").startswith("x-aauth")]
        assert family == [hop.HEADER]


async def test_f67_a_forged_name_with_an_underscore_never_arrives(envoy: Street) -> None:
    """F67: what a CGI would read as the same name."""
    for name in ("x_aauth_scope", "X_AAUTH-scope", "x-aauth_hop"):
        answer = await raw(envoy, message("/agents", [HOST, *head(envoy), (name, "admin")]))
        assert status_of(answer) == 400
    assert envoy.origin.seen == []


@pytest.mark.parametrize("name", ["signature", "signature-input", "signature-key"])
async def test_a_second_field_of_the_signature_is_refused(street: Street, name: str) -> None:
    """Another's beside one's own, on lines of their own and joined: it does not verify, and neither counts alone."""
    other = {n: v for n, v in street.world.agent(name="boss").sign("GET", f"{API}/agents").headers}
    answer = await street.send(street.world.agent(), "/agents", more=[(name, other[name])])
    assert answer.status_code in (400, 401) and street.origin.seen == []


async def test_fields_that_came_twice_are_what_was_signed_or_refused(street: Street) -> None:
    twice = [("accept-language", "de"), ("accept-language", "en")]
    components = ["@method", "@authority", "@path", "signature-key", "accept-language"]
    if street.shape.startswith("http"):
        return  # a field the proxy was not told of does not travel: it is refused as missing
    signer = street.world.agent()
    answer = await street.send(signer, "/agents", headers=twice, components=components)
    assert answer.status_code == 200, answer.text
    before = len(street.origin.seen)
    answer = await street.send(
        signer, "/agents", headers=twice, components=components, more=[("accept-language", "fr")]
    )
    assert answer.status_code == 401 and len(street.origin.seen) == before


async def test_host_against_the_absolute_form(envoy: Street) -> None:
    """RFC 9112 §3.2.2: the target's authority counts; it is another resource's, or it is this one's."""
    fields = head(envoy)
    answer = await raw(envoy, message("https://other.example/agents", [HOST, *fields]))
    assert status_of(answer) in (400, 404, 421)
    answer = await raw(envoy, message(f"{API}/agents", [("host", "other.example"), *fields]))
    assert status_of(answer) in (200, 400, 404, 421)
    for each in envoy.origin.seen:
        assert each["target"] == "/agents" and each["caller"]["level"] == "agent"


async def test_two_hosts_are_refused(envoy: Street) -> None:
    for hosts in (["api.example", "other.example"], ["other.example", "api.example"]):
        answer = await raw(envoy, message("/agents", [*(("host", each) for each in hosts), *head(envoy)]))
        assert status_of(answer) in (400, 404, 421)
    assert envoy.origin.seen == []


async def test_host_against_authority_over_http2(tmp_path: Path) -> None:
    """The authority counts, and a Host beside it changes nothing that was verified."""
    async with street(tmp_path, "grpc-h2") as there:
        for authority, host, passes in (
            ("other.example", "api.example", False),
            ("api.example", "other.example", True),
            ("nobody.example", "api.example", False),
        ):
            status = await over_http2(there, authority, [("host", host), *head(there)])
            assert status == 200 if passes else status in (400, 404, 421), (authority, host, status)
        assert all(each["caller"]["sub"] == "aauth:planner@agents.example" for each in there.origin.seen)


async def over_http2(there: Street, authority: str, fields: list[tuple[str, str]]) -> int:
    trust = there.trust
    trust.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", there.port, ssl=trust, server_hostname="api.example")
    unchecked = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
    connection = h2.connection.H2Connection(unchecked)
    connection.initiate_connection()
    pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", authority), (":path", "/agents")]
    connection.send_headers(1, [*pseudo, *fields], end_stream=True)
    writer.write(connection.data_to_send())
    status = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            while not status and (data := await reader.read(65536)):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        status = int(dict(event.headers)[b":status"])
                    elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                        status = 400
    writer.close()
    return status


async def test_a_port_in_the_authority_is_no_other_resource(street: Street) -> None:
    """The configured authority counts: what was signed for it passes, what was signed for a port does not."""
    answer = await street.send(street.world.agent(), "/agents", host="api.example:8443")
    assert answer.status_code == 200, answer.text
    signed = street.world.agent().sign("GET", "https://api.example:8443/agents")
    fields = [(n, v) for n, v in signed.headers if n != "host"]
    answer = await street.send(None, "/agents", host="api.example:8443", more=fields)
    assert answer.status_code == 401


TARGETS = [
    ("/agents?a=1&b=2", "/agents?b=2&a=1"),
    ("/agents?a=1", "/agents?a=1&a=1"),
    ("/agents?a=%20", "/agents?a=+"),
    ("/agents?a=%2f", "/agents?a=%2F"),
    ("/agents", "/agents?a=1"),
    ("/agents?a=1", "/agents"),
    ("/agents", "/me"),
    ("/agents", "/agents;x=1"),
    ("/agents", "//agents"),
    ("/agents", "/./agents"),
    ("/agents", "/x/../agents"),
    ("/agents", "/%61gents"),
    ("/agents", "/agents%00"),
    ("/health", "/health/../agents"),
    ("/health", "/agents/..;/health"),
]


async def test_another_target_than_was_signed_is_refused(street: Street) -> None:
    """Queries re-ordered, doubled and re-encoded; paths that some reader would normalise into one another."""
    for signed, sent in TARGETS:
        answer = await street.send(street.world.agent(), signed, sent_path=sent)
        assert answer.status_code in (400, 401, 403), (signed, sent, answer.status_code)
    assert street.origin.seen == []


async def test_a_body_that_does_not_come_whole_is_not_served(envoy: Street) -> None:
    body = b'{"item": "lamp"}'
    for path in ("/orders", "/payments"):
        fields = head(envoy, path, "POST", body=body, signer=envoy.world.grant("orders.place"))
        await raw(envoy, message(path, [HOST, *fields, ("content-length", "16")], "POST", body[:9]))
    assert envoy.origin.seen == []


FRAMES: list[tuple[list[tuple[str, str]], bytes]] = [
    ([("content-length", "4"), ("transfer-encoding", "chunked")], b"0\r\n\r\n"),
    ([("transfer-encoding", "chunked"), ("content-length", "0")], b"0\r\n\r\n"),
    ([("content-length", "0"), ("content-length", "53")], b""),
    ([("content-length", "0, 53")], b""),
    ([("content-length", "+0")], b""),
    ([("content-length", "0x0")], b""),
    ([("transfer-encoding", "xchunked")], b"0\r\n\r\n"),
    ([("transfer-encoding", "chunked, identity")], b"0\r\n\r\n"),
    ([("transfer-encoding", "chunked"), ("transfer-encoding", "identity")], b"0\r\n\r\n"),
    ([("transfer-encoding", "\x0bchunked")], b"0\r\n\r\n"),
    ([("transfer-encoding ", "chunked")], b"0\r\n\r\n"),
    ([("transfer-encoding", "chunked")], b"0;x=\n\r\n\r\n"),
    ([("transfer-encoding", "chunked")], b"0;" + b"x" * 20_000 + b"\r\n\r\n"),
    ([("transfer-encoding", "chunked")], b"-1\r\n\r\n"),
    ([("transfer-encoding", "chunked")], b"0\nX: \r\n\r\n"),
    ([("transfer-encoding", "chunked")], b"fffffffffffffffff\r\n"),
]


async def test_nothing_is_smuggled_behind_a_good_request(envoy: Street) -> None:
    """Whatever proxy and origin make of a message, no request arrives that was not decided on as itself."""

    async def one(fields: list[tuple[str, str]], body: bytes) -> None:
        for method, target in (("GET", "/agents"), ("POST", "/orders")):
            await raw(envoy, message(target, [HOST, *head(envoy, target, method), *fields], method, body + SMUGGLED))

    await asyncio.gather(*(one(fields, body) for fields, body in FRAMES))
    decided = [each for each in envoy.told if each.outcome in ("passed", "open")]
    assert (
        0 < len(envoy.origin.seen) <= len(decided)
    )  # one that breaks off after its head is decided on, and not served
    for each in envoy.origin.seen:
        assert hop.HEADER in each["headers"] and "smuggled" not in each["body"]
        assert (each["caller"] is None) == (each["target"] == "/health?smuggled")


async def test_a_token_of_another_resource_on_the_same_gateway_opens_nothing(street: Street) -> None:
    answer = await street.send(street.world.person(aud="https://other.example"), "/me")
    assert answer.status_code == 401 and "invalid_jwt" in answer.headers["signature-error"]
    answer = await street.send(street.world.grant("orders.read", aud="https://other.example"), "/orders")
    assert answer.status_code == 401 and "invalid_jwt" in answer.headers["signature-error"]
    assert street.origin.seen == []


async def test_f70_a_scope_that_is_a_part_of_the_needed_one_or_longer_is_another(street: Street) -> None:
    """F70."""
    for scope in ("orders.readall", "orders.rea"):
        answer = await street.send(street.world.grant(scope), "/orders")
        assert answer.status_code == 401 and "auth-token" in answer.headers["aauth-requirement"]
    assert street.origin.seen == []


async def test_f69_rules_that_were_joined_do_not_let_everybody_in(tmp_path: Path) -> None:
    """F69: each require counts, and an allow lets in only whom it names."""
    rules = """
      - {name: ours, require: 'agent.provider == "https://agents.example"'}
      - {name: planners, require: 'agent.id == "aauth:planner@agents.example"'}
      - {name: here, allow: 'request.route == "GET /agents"'}
"""
    async with street(tmp_path, "grpc-h1", rules=rules) as there:
        for name, status in (("planner", 200), ("writer", 403)):
            assert (await there.send(there.world.agent(name=name), "/agents")).status_code == status
        assert len(there.origin.seen) == 1


async def test_f71_no_path_is_open_that_no_line_names(street: Street) -> None:
    """F71: 401 unsigned, 403 signed."""
    for path in ("/admin", "/", "/health/", "/HEALTH", "/orders/1"):
        assert (await street.send(None, path)).status_code == 401
        assert (await street.send(street.world.agent(), path)).status_code == 403
    assert (await street.send(None, "/health", "POST")).status_code == 401
    assert street.origin.seen == []


async def test_a_refusal_says_the_public_reason_and_an_id_and_no_more(street: Street) -> None:
    answer = await street.send(street.world.agent(name="writer"), "/agents")
    told = json.loads(answer.text)
    assert set(told) <= {"title", "status", "error", "detail", "instance", "type"}
    assert street.told[-1].correlation == told["instance"] and street.told[-1].rule == "no writers"
