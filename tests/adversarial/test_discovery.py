"""Issuers that lie, and addresses that are not theirs (faults F26 to F28, F30, F32, F33; Signature-Keys §7.3)."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_network
from typing import Any

import pytest

from aauthkit.discovery import DiscoveryFailed
from aauthkit.egress import EgressError, Http
from aauthkit.protocol.tokens import AGENT_DWK
from tests.plugins.discovering import Answers, Discover, refused
from tests.plugins.tls import Clock, Internet, IssuerServer, Reply, json_reply

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("issuer", "code"),
    [
        ("https://evil.test", "issuer_mismatch"),
        ("https://agents.example/", "issuer_mismatch"),
        ("https://AGENTS.example", "issuer_mismatch"),
        ("https://agents.example:443", "issuer_mismatch"),
        ("http://agents.example", "issuer_mismatch"),
        (["https://agents.example"], "issuer_mismatch"),
        ("", "issuer_mismatch"),
        (None, "issuer_missing"),
        (..., "issuer_missing"),
    ],
)
async def test_F26_metadata_of_another_issuer_or_of_none_is_refused_by_byte_equality(
    internet: Internet, discover: Discover, issuer: Any, code: str
) -> None:
    """§11.2: and the keys it points to are not even fetched."""
    server = await internet.issuer("agents.example")
    if issuer is ...:
        del server.metadata["issuer"]
    else:
        server.metadata["issuer"] = issuer
    failure = await refused(discover(), server.iss, server.kid)
    assert (failure.code, failure.unreachable) == (code, False)
    assert "evil" not in failure.reason
    assert server.jwks_fetches == 0


async def test_F26_an_issuer_that_begins_to_lie_loses_neither_its_good_keys_nor_gains_new_ones(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    server = await internet.issuer("agents.example")
    discovery = discover()
    await discovery.key(server.iss, AGENT_DWK, server.kid)
    good = server.kid
    server.metadata["issuer"] = "https://evil.test"
    evil = server.rotate("evil")
    clock.advance(3601)
    assert (await discovery.key(server.iss, AGENT_DWK, good)).kid == good
    assert (await refused(discovery, server.iss, evil.kid)).code == "unknown_key"
    assert server.jwks_fetches == 1


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
async def test_F27_an_issuer_at_a_private_address_is_refused_without_a_connection(
    internet: Internet, discover: Discover, address: str
) -> None:
    """Signature-Keys §7.3: the caller gets an ordinary refusal, and the answer does not say what lies there."""
    server = await internet.issuer("inner.example")
    resolver = Answers([address])
    failure = await refused(discover(internet.egress(names={}), resolver), server.iss, server.kid)
    assert (failure.code, failure.unreachable) == ("unknown_key", False)
    assert failure.reason == "the issuer's documents cannot be fetched"
    assert (resolver.asked, server.connections) == (["inner.example"], 0)


async def test_F27_one_private_address_among_public_ones_refuses_the_name(
    internet: Internet, discover: Discover
) -> None:
    server = await internet.issuer("inner.example")
    for answers in (["2d00::1", "127.0.0.1"], ["127.0.0.1", "2d00::1"], ["127.0.0.1"] * 9):
        failure = await refused(discover(internet.egress(names={}), Answers(answers)), server.iss, server.kid)
        assert not failure.unreachable
    assert server.connections == 0


@pytest.mark.parametrize(
    "jwks_uri",
    [
        "http://agents.example/jwks.json",
        "https://trap.example/jwks.json",
        "https://agents.example.trap.example/jwks.json",
        "https://agents.example@trap.example/jwks.json",
        "https://trap.example\\@agents.example/jwks.json",
        "https://127.0.0.1/jwks.json",
        "https://[::1]/jwks.json",
        "https://localhost/jwks.json",
        "//trap.example/jwks.json",
        "file:///etc/passwd",
        "/jwks.json",
        "",
        7,
        None,
    ],
)
async def test_F27_a_jwks_uri_that_leads_elsewhere_is_not_followed(
    internet: Internet, discover: Discover, jwks_uri: object
) -> None:
    server = await internet.issuer("agents.example")
    trap = await internet.issuer("trap.example")
    server.metadata["jwks_uri"] = jwks_uri
    failure = await refused(discover(), server.iss, server.kid)
    assert (failure.code, failure.unreachable) == ("unknown_key", False)
    assert "trap" not in failure.reason
    assert (trap.connections, server.jwks_fetches) == (0, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("document", ["metadata_path", "jwks_path"])
async def test_F27_a_redirect_is_not_followed(
    internet: Internet, discover: Discover, status: int, document: str
) -> None:
    server = await internet.issuer("agents.example")
    trap = await internet.issuer("trap.example")
    trap.metadata, trap.jwks = server.metadata, server.jwks
    path = getattr(server, document)
    for location in (f"https://trap.example{path}", "http://127.0.0.1:9/", f"{server.iss}/elsewhere"):
        server.replies[path] = Reply(status, (("location", location),), json.dumps(server.jwks).encode())
        failure = await refused(discover(), server.iss, server.kid)
        assert (failure.code, failure.unreachable) == ("unknown_key", False)
    assert trap.connections == 0
    assert server.count("/elsewhere") == 0


async def test_F28_the_connection_goes_to_the_very_address_that_was_checked(
    internet: Internet, discover: Discover
) -> None:
    """Signature-Keys §7.3: one look-up for each connection, and TLS still checks the name."""
    good = IssuerServer(internet.authority, "agents.example")
    await good.start("127.0.0.2")
    trap = IssuerServer(internet.authority, "agents.example")
    trap.port = good.port
    await trap.start("127.0.0.1")
    resolver = Answers(["127.0.0.2"], ["127.0.0.1"])
    egress = internet.egress(names={}, networks=(ip_network("127.0.0.2/32"),))
    url = f"https://agents.example:{good.port}/jwks.json"
    async with Http(egress, resolver=resolver) as http:
        assert (await http.send("GET", url, [("connection", "close")], timeout=30, limit=4096)).status == 200
        assert resolver.asked == ["agents.example"]
        with pytest.raises(EgressError) as caught:
            await http.send("GET", url, timeout=30, limit=4096)
        assert caught.value.kind == "refused"
    assert (good.connections, trap.connections) == (1, 0)
    await good.stop()
    await trap.stop()


async def test_F28_a_name_that_answers_public_first_and_loopback_second_reaches_nothing(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    """The first address is admitted, as a public one is, and nobody listens there."""
    trap = await internet.issuer("rebind.example")
    resolver = Answers(["127.0.0.9"], ["127.0.0.1"])
    discovery = discover(internet.egress(names={}, networks=(ip_network("127.0.0.9/32"),)), resolver)
    first = await refused(discovery, trap.iss, trap.kid)
    assert (first.unreachable, resolver.asked) == (True, ["rebind.example"])
    clock.advance(61)
    second = await refused(discovery, trap.iss, trap.kid)
    assert (second.unreachable, resolver.asked) == (False, ["rebind.example"] * 2)
    assert trap.connections == 0


@pytest.mark.parametrize(
    "iss",
    [
        "http://agents.example",
        "https://agents.example:8443",
        "https://agents.example/path",
        "https://agents.example/",
        "https://AGENTS.example",
        "https://agents.example?x",
        "https://user@agents.example",
        "https://127.0.0.1",
        "https://[::1]",
        "agents.example",
        "",
        "https://" + "a" * 600,
        None,
        7,
    ],
)
async def test_F30_what_is_not_a_server_identifier_is_refused_before_any_fetch(discover: Discover, iss: Any) -> None:
    resolver = Answers(["127.0.0.1"])
    discovery = discover(None, resolver)
    failure = await refused(discovery, iss)
    assert (failure.code, failure.unreachable) == ("unknown_key", False)
    with pytest.raises(DiscoveryFailed):
        await discovery.metadata(iss, AGENT_DWK)
    assert resolver.asked == []
    assert len(discovery._shelves) == 0


@pytest.mark.parametrize("dwk", ["openid-configuration", "../../secret", "", "aauth-agent.json/..", "AAUTH-agent.json"])
async def test_F20_keys_come_only_from_the_four_documents(internet: Internet, discover: Discover, dwk: str) -> None:
    server = await internet.issuer("agents.example")
    assert (await refused(discover(), server.iss, server.kid, dwk)).code == "unknown_key"
    assert server.connections == 0


@pytest.mark.parametrize("status", [None, 500, 404, 200])
async def test_F32_a_stranger_who_names_an_unknown_kid_while_an_issuer_is_down_evicts_nothing(
    internet: Internet, discover: Discover, clock: Clock, status: int | None
) -> None:
    """§11.4: the good agent is served, the stranger gets `unknown_key`."""
    server = await internet.issuer("agents.example")
    discovery = discover()
    await discovery.key(server.iss, AGENT_DWK, server.kid)
    if status is None:
        await server.stop()
    else:
        server.replies = {path: Reply(status, body=b"{}") for path in (server.metadata_path, server.jwks_path)}
    for _ in range(5):
        clock.advance(600)
        failure = await refused(discovery, server.iss, "stranger")
        assert failure.code == "unknown_key"
        assert failure.unreachable == (status in (None, 500))
        assert (await discovery.key(server.iss, AGENT_DWK, server.kid)).kid == server.kid


async def test_F32_a_bad_signature_while_an_issuer_is_down_evicts_nothing(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    server = await internet.issuer("agents.example")
    discovery = discover()
    key = await discovery.key(server.iss, AGENT_DWK, server.kid)
    await server.stop()
    clock.advance(61)
    assert await discovery.key(server.iss, AGENT_DWK, server.kid, failed=key) == key
    assert discovery.cached_key(server.iss, AGENT_DWK, server.kid) == key


async def test_F32_an_empty_jwks_is_an_answer_and_takes_the_keys_back(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    server = await internet.issuer("agents.example")
    discovery = discover()
    await discovery.key(server.iss, AGENT_DWK, server.kid)
    server.jwks = {"keys": []}
    clock.advance(61)
    await refused(discovery, server.iss, "stranger")
    assert (await refused(discovery, server.iss, server.kid)).code == "unknown_key"


async def test_F33_an_issuer_whose_metadata_names_another_jwks_uri_each_time_is_fetched_no_more_often(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    server = await internet.issuer("agents.example")
    server.metadata_headers = (("cache-control", "no-store"),)
    discovery = discover()
    for number in range(120):
        server.metadata["jwks_uri"] = f"{server.iss}/.well-known/{number}.json"
        server.replies[f"/.well-known/{number}.json"] = json_reply(server.jwks)
        await discovery.key(server.iss, AGENT_DWK, server.kid)
        await refused(discovery, server.iss, f"junk-{number}")
        clock.advance(5)
    assert len(server.requests) - server.metadata_fetches <= 10
    issuer = discovery._shelves.proven(server.iss)
    assert issuer is not None
    assert len(issuer.tries) + len(issuer.key_sets) <= 5


async def test_F91_a_fault_of_our_own_is_not_reported_as_a_bad_key(
    internet: Internet, discover: Discover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes out as itself, for each who waits: an answer of 500, never 401."""
    server = await internet.issuer("agents.example")
    discovery = discover()

    def broken(document: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("aauthkit.discovery.discovery.read_keys", broken)
    waiters = [discovery.key(server.iss, AGENT_DWK, server.kid) for _ in range(3)]
    found = await asyncio.gather(*waiters, return_exceptions=True)
    assert [type(one) for one in found] == [ZeroDivisionError] * 3


async def test_F87_nothing_that_was_fetched_stands_in_a_failure_or_in_the_log(
    internet: Internet, discover: Discover, caplog: pytest.LogCaptureFixture
) -> None:
    server = await internet.issuer("agents.example")
    caplog.set_level("DEBUG", logger="aauthkit")
    for body in (b"internal-page", b'{"issuer": "internal-page"}', b'{"keys": "internal-page"}'):
        for path in (server.metadata_path, server.jwks_path):
            server.replies = {path: Reply(body=body)}
            failure = await refused(discover(), server.iss)
            assert "internal-page" not in f"{failure}{failure.reason}{failure.__cause__}"
    assert "discovery of https://agents.example failed" in caplog.text
    assert "internal-page" not in caplog.text
