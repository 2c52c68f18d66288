"""`aauthkit doctor` on the real thing, over TLS, and on servers that misbehave, each fault with its mend."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from aauthkit.cli import main
from aauthkit.egress import Egress
from aauthkit.examining import Examination, examine_agent, examine_installed, examine_keys, examine_server, lines
from aauthkit.keys import KeyFile
from aauthkit.protocol.identifiers import LoopbackProfile
from aauthkit.protocol.problems import Problem, SignatureFailure
from aauthkit.protocol.tokens import PERSON_DWK, RESOURCE_DWK
from aauthkit.store import open_database
from tests.plugins.tls import Authority, Internet, IssuerServer, LoopbackServer, Received, Reply, json_reply
from tests.plugins.world import API, PROVIDER, PS, World, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

PEER = "https://peer.example"


def of(found: Examination, level: str, about: str = "") -> list[str]:
    """What was found at this level, about this."""
    return [each.text for each in found.all() if each.level == level and about in ("", each.about)]


def mends(found: Examination, about: str) -> list[str]:
    return [each.mend for each in found.all() if each.about == about and each.level == "bad"]


# The real thing


@pytest.fixture
async def present_world(authority: Authority, tmp_path: Path) -> AsyncIterator[World]:
    """Everybody, at the present time, as the Date of their answers has it."""
    database = await open_database("sqlite://:memory:")
    async with open_world(authority, tmp_path, database, clock=time.time) as world:
        yield world
    await database.close()


async def test_servers_and_an_agent_that_are_well_are_found_to_be_well(present_world: World) -> None:
    await present_world.admit("planner")
    agent = await examine_agent("planner", home=present_world.home, egress=present_world.egress)
    assert agent.well, "\n".join(lines(agent))
    assert not of(agent, "warning")
    (token,) = of(agent, "good", "token")
    assert token.startswith("the provider issues agent tokens to aauth:planner@agents.example; this one ends in")
    api = await examine_server(API, RESOURCE_DWK, present_world.egress)
    assert api.well and not of(api, "warning"), "\n".join(lines(api))
    whole = "\n".join(of(agent, "good") + of(api, "good"))
    for part in (
        "https alone; no loopback profile",
        f"{PS} verifies what this agent signs",
        "names agents.example, trusted, by trustme",
        "within 5 s of this machine's",
        f"it names itself {PS}",
        "its thumbprint), use ",
        "person_token_endpoint refuses an unsigned request as it should",
        "revocation_endpoint refuses an unsigned request as it should",
    ):
        assert part in whole
    assert "mapped to an address" in of(api, "open", "reachable")[0]


async def test_an_agent_whose_clock_is_ahead_is_told_who_refuses_it_and_where_that_is_logged(
    present_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await present_world.admit("planner")
    found = await examine_agent(
        "planner", home=present_world.home, egress=present_world.egress, clock=lambda: time.time() + 300
    )
    (refused,) = of(found, "bad", "signature")
    assert refused == f"{PS} refuses what this agent signs: error=clock_skew"
    (mend,) = mends(found, "signature")
    logged = [each.getMessage() for each in caplog.records if each.name == "aauthkit.refusals"]
    assert any(mend.removeprefix("its log says why, at ") in line and "clock.ahead" in line for line in logged)
    assert len(of(found, "bad", "clock")) == 2


async def test_the_command_examines_every_agent_of_the_machine_and_what_each_leans_on(
    present_world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await present_world.admit("planner")
    monkeypatch.setenv("AAUTHKIT_HOME", str(present_world.home))
    monkeypatch.setenv("AAUTHKIT_EGRESS", str(present_world.egress_file))
    code = await anyio.to_thread.run_sync(main, ["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (code, told["well"]) == (0, True)
    machine, agent = told["examined"]
    assert (machine["title"], agent["title"]) == ("this machine", "the agent planner")
    assert [each["title"] for each in agent["inside"]] == [f"the agent provider {PROVIDER}", f"the person server {PS}"]


async def test_a_key_file_that_is_not_the_one_published_is_told(present_world: World, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "ps.jwks"
    other = KeyFile(path)
    files = Examination("keys")
    kids = examine_keys(files, path)
    assert kids == {other.current.kid} and files.well
    found = await examine_server(PS, PERSON_DWK, present_world.egress, expected_kids=kids)
    assert of(found, "bad", "jwks") == [f"the key {other.current.kid} of the key file is not published"]


async def test_an_agent_of_a_name_that_is_not_kept_is_told_how_to_make_one(tmp_path: Path) -> None:
    found = await examine_agent("nobody", home=tmp_path, egress=Egress())
    assert not found.well and "aauthkit init" in mends(found, "file")[0]


async def test_f88_modes_that_let_others_read_are_to_be_mended(present_world: World) -> None:
    """F88."""
    await present_world.admit("planner")
    file = present_world.home / "agents" / "planner.json"
    file.chmod(0o644)
    file.parent.chmod(0o777)
    found = await examine_agent("planner", home=present_world.home, egress=present_world.egress)
    assert mends(found, "file") == [f"chmod 600 {file}", f"chmod go-w {file.parent}"]


# Servers that misbehave


@pytest.fixture
async def peer(internet: Internet) -> IssuerServer:
    """An honest person server, until one of its knobs is turned; its endpoints refuse as they should."""
    server = await internet.issuer("peer.example", PERSON_DWK)
    refused = SignatureFailure("invalid_signature", "unsigned").answer()
    for name in ("auth_token_endpoint", "person_token_endpoint"):
        path = server.metadata[name].removeprefix(PEER)
        server.replies[path] = Reply(refused.status, refused.headers, refused.body)
    return server


async def examined(internet: Internet, issuer: str = PEER, dwk: str = PERSON_DWK, **more: Any) -> Examination:
    return await examine_server(issuer, dwk, internet.egress(**more.pop("egress", {})), **more)


async def test_an_honest_server_is_well_but_for_the_date_it_does_not_send(
    internet: Internet, peer: IssuerServer
) -> None:
    found = await examined(internet)
    assert found.well, "\n".join(lines(found))
    assert of(found, "open", "clock") == ["its answers carry no Date"]


@pytest.mark.parametrize(("off", "level"), [(3, "good"), (12, "warning"), (-45, "bad"), (3600, "bad")])
async def test_a_clock_that_is_off_is_told_with_by_how_much(
    internet: Internet, peer: IssuerServer, off: int, level: str
) -> None:
    peer.metadata_headers = (("date", formatdate(time.time() + off, usegmt=True)),)
    (text,) = of(await examined(internet), level, "clock")
    assert level == "good" or ("ahead of" if off > 0 else "behind") in text


LIES: dict[str, tuple[dict[str, Any], str, str]] = {
    "another issuer": ({"issuer": "https://evil.example"}, "issuer", "names another issuer"),
    "an issuer with a slash": ({"issuer": f"{PEER}/"}, "issuer", "names another issuer"),
    "no issuer": ({"issuer": None}, "issuer", "names no issuer"),
    "an endpoint over http": ({"auth_token_endpoint": "http://peer.example/token"}, "metadata", "auth_token_endpoint"),
    "-10": (
        {"auth_token_endpoint": None, "token_endpoint": f"{PEER}/t"},
        "metadata",
        "this speaks -10 of the protocol",
    ),
    "no Ed25519": ({"accept_signature_algs": ["ES256"]}, "metadata", "lacks Ed25519"),
    "an endpoint nobody serves": ({"revocation_endpoint": f"{PEER}/gone"}, "endpoint", "POST to it is 404"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_metadata_that_lies_is_to_be_mended(internet: Internet, peer: IssuerServer, lie: str) -> None:
    """F26, F92."""
    members, about, said = LIES[lie]
    peer.metadata = {name: value for name, value in {**peer.metadata, **members}.items() if value is not None}
    found = await examined(internet)
    assert any(said in text for text in of(found, "bad", about)), "\n".join(lines(found))
    assert all(mends(found, about))


KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "no alg": ({"alg": None}, "alg none"),
    "EdDSA": ({"alg": "EdDSA"}, "alg EdDSA"),
    "no kid": ({"kid": None}, "no kid, so no token can name it"),
    "a private part": ({"d": "c2VjcmV0"}, "holds a private part"),
    "another curve": ({"crv": "X25519"}, "alg Ed25519"),
}


@pytest.mark.parametrize("fault", KEYS)
async def test_every_key_is_looked_at(internet: Internet, peer: IssuerServer, fault: str) -> None:
    """F11, F12, F88."""
    members, said = KEYS[fault]
    good = dict(peer.jwks["keys"][0])
    bad = {name: value for name, value in {**good, "kid": "second", **members}.items() if value is not None}
    peer.jwks = {"keys": [good, bad]}
    found = await examined(internet)
    assert any(said in text and text.startswith("key 2") for text in of(found, "bad", "jwks")), "\n".join(lines(found))
    assert any(text.startswith("key 1: Ed25519, kid ") for text in of(found, "good", "jwks"))
    assert "c2VjcmV0" not in "\n".join(lines(found))


async def test_one_kid_for_two_keys_and_a_long_cache_are_told(internet: Internet, peer: IssuerServer) -> None:
    key = dict(peer.jwks["keys"][0])
    peer.jwks = {"keys": [key, key]}
    peer.jwks_headers = (("cache-control", "public, max-age=604800"),)
    found = await examined(internet)
    assert any("stands twice" in text for text in of(found, "bad", "jwks"))
    assert any("604800 s" in text for text in of(found, "warning", "jwks"))


ANSWERS: dict[str, tuple[Reply, str, str]] = {
    "takes it": (json_reply({}, status=200), "bad", "took an unsigned request (200)"),
    "fails": (json_reply({}, status=500), "bad", "fails on an unsigned request (500)"),
    "401 bare": (json_reply({}, status=401), "bad", "without Signature-Error"),
    "400": (json_reply({}, status=400), "bad", "with 400"),
    "-10": (json_reply({"error": "invalid_request", "detail": "no signature"}, status=401), "bad", "this speaks -10"),
    "old code": (
        json_reply({}, ("signature-error", "error=invalid_request"), status=401),
        "warning",
        "with invalid_request",
    ),
    "torn field": (json_reply({}, ("signature-error", "((("), status=401), "bad", "Signature-Error"),
    "404": (Reply(404, (), Problem("not_found").answer().body), "bad", "is 404"),
}


@pytest.mark.parametrize("way", ANSWERS)
async def test_what_an_endpoint_says_to_strangers_is_judged(internet: Internet, peer: IssuerServer, way: str) -> None:
    """F14, F46."""
    reply, level, said = ANSWERS[way]
    peer.replies[peer.metadata["auth_token_endpoint"].removeprefix(PEER)] = reply
    assert any(said in text for text in of(await examined(internet), level, "endpoint"))


DOCUMENTS: dict[str, tuple[Reply, str, str]] = {
    "a redirect": (Reply(302, (("location", "https://else.example/"),)), "bad", "the answer is a redirect (302)"),
    "nothing": (Reply(404), "bad", "the answer is 404"),
    "a page": (Reply(200, (("content-type", "text/html"),), b"<html>"), "bad", "not a JSON object"),
}


@pytest.mark.parametrize("way", DOCUMENTS)
async def test_metadata_that_is_none_ends_the_look(internet: Internet, peer: IssuerServer, way: str) -> None:
    reply, level, said = DOCUMENTS[way]
    peer.replies[peer.metadata_path] = reply
    found = await examined(internet)
    assert any(said in text for text in of(found, level, "metadata"))
    assert not of(found, "good", "jwks")


# Certificates and reach


async def test_a_certificate_for_another_name_is_told_with_the_name_it_has(internet: Internet) -> None:
    await internet.issuer("peer.example", PERSON_DWK, certified="other.example")
    (text,) = of(await examined(internet), "bad", "certificate")
    assert "not trusted" in text and "names other.example" in text


async def test_a_certificate_of_a_root_nobody_knows_is_told(internet: Internet, peer: IssuerServer) -> None:
    found = await examined(internet, egress={"ca_file": None})
    assert any("not trusted" in text for text in of(found, "bad", "certificate"))
    assert "ca_file" in mends(found, "certificate")[0]


async def test_a_certificate_that_has_lapsed_is_told(internet: Internet, authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = authority._ca.issue_cert("peer.example", not_after=datetime.now(UTC) - timedelta(days=3))
    leaf.configure_cert(context)

    def gone(_request: Received) -> Reply:
        return Reply(404)

    await internet.add("peer.example", LoopbackServer(context, gone))
    (text,) = of(await examined(internet), "bad", "certificate")
    assert "expired" in text


async def test_a_server_that_is_not_there_is_told(internet: Internet) -> None:
    await internet.serve("peer.example", lambda _request: Reply(200))
    await internet.servers["peer.example"].stop()
    found = await examined(internet)
    assert of(found, "bad", "certificate") and of(found, "bad", "metadata")
    await internet.servers["peer.example"].start()


@pytest.mark.parametrize(
    ("addresses", "level", "said"),
    [
        (["10.0.0.7"], "bad", "nobody outside reaches peer.example: it resolves to 10.0.0.7 (private)"),
        (["127.0.0.1", "::1"], "bad", "127.0.0.1 (loopback), ::1 (loopback)"),
        (["93.184.215.14", "10.0.0.7"], "warning", "some of its addresses are not public: 10.0.0.7"),
    ],
)
async def test_a_name_that_leads_nowhere_public_is_told(addresses: list[str], level: str, said: str) -> None:
    unroutable = Egress(proxy="http://127.0.0.1:9")
    found = await examine_server(PEER, PERSON_DWK, unroutable, resolver=lambda _host, _port: addresses)
    assert any(said in text for text in of(found, level, "reachable"))


async def test_a_name_without_an_address_is_told() -> None:
    def none(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    found = await examine_server(PEER, PERSON_DWK, Egress(proxy="http://127.0.0.1:9"), resolver=none)
    assert of(found, "bad", "reachable") == ["peer.example has no address: no such name"]


# The loopback profile, and what is no identifier


async def test_a_loopback_profile_left_on_beside_https_is_to_be_mended(internet: Internet, peer: IssuerServer) -> None:
    profile = LoopbackProfile(frozenset({"http://person.localhost:8702"}))
    found = await examined(internet, egress={"loopback": profile})
    assert of(found, "bad", "profile")[0].endswith("http is accepted for http://person.localhost:8702")


@pytest.mark.parametrize("issuer", [f"{PEER}/", "https://Peer.example", "http://peer.example", "peer.example"])
async def test_what_is_no_identifier_is_told_before_anything_is_fetched(
    internet: Internet, peer: IssuerServer, issuer: str
) -> None:
    """F30."""
    found = await examined(internet, issuer)
    assert [each.about for each in found.findings] == ["identifier"]
    assert not peer.requests


def test_versions_are_told() -> None:
    found = examine_installed(server=True)
    assert found.well
    assert {each.about for each in found.findings} >= {"python", "aauthkit", "libraries", "ed25519"}
