"""What an issuer publishes: documents by role, where its keys stand, keys that cannot be used (§11.2, §11.4)."""

from __future__ import annotations

import asyncio

import pytest

from aauthkit.discovery import DiscoveryFailed
from aauthkit.egress import Egress
from aauthkit.protocol.identifiers import LoopbackProfile
from aauthkit.protocol.tokens import ACCESS_DWK, AGENT_DWK, PERSON_DWK, RESOURCE_DWK
from tests.plugins.discovering import Discover, refused
from tests.plugins.tls import Clock, Internet, Reply, json_reply, signing_key

pytestmark = pytest.mark.anyio


async def test_a_key_that_cannot_be_used_has_its_own_code_and_harms_no_neighbour(
    internet: Internet, discover: Discover
) -> None:
    """§11.4: no other member of the JWKS need be usable; §11.3.4 step 6 for the one that is named."""
    issuer = await internet.issuer("agents.example")
    jwk = issuer.key.public.jwk
    issuer.jwks["keys"] = [
        None,
        "a string",
        {"kid": ""},
        {"kid": 7},
        {"kid": "k" * 300, **{k: v for k, v in jwk.items() if k != "kid"}},
        {**jwk, "kid": "polymorphic", "alg": "EdDSA"},
        {**jwk, "kid": "silent", "alg": None},
        {**jwk, "kid": "odd", "alg": ["Ed25519"]},
        {**jwk, "kid": "rsa", "kty": "RSA", "alg": "RS256"},
        {**jwk, "kid": "wrong", "crv": "P-256"},
        {**jwk, "kid": "short", "x": "AAAA"},
        {**jwk, "kid": "twice"},
        {**signing_key("other").public.jwk, "kid": "twice"},
        signing_key("es", "ES256").public.jwk,
        jwk,
    ]
    discovery = discover()
    assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).same_key(issuer.key.public)
    es = signing_key("es", "ES256")
    assert (await discovery.key(issuer.iss, AGENT_DWK, es.kid)).same_key(es.public)
    codes = {kid: (await refused(discovery, issuer.iss, kid)).code for kid in ("polymorphic", "silent", "odd", "rsa")}
    assert set(codes.values()) == {"unsupported_algorithm"}
    codes = {kid: (await refused(discovery, issuer.iss, kid)).code for kid in ("wrong", "short", "twice")}
    assert set(codes.values()) == {"invalid_key"}
    assert (await refused(discovery, issuer.iss, "k" * 300)).code == "unknown_key"
    assert issuer.jwks_fetches == 1


async def test_a_key_that_could_not_be_used_is_looked_for_again_after_a_minute(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    issuer = await internet.issuer("agents.example")
    good, issuer.jwks = issuer.jwks, {"keys": [{**issuer.key.public.jwk, "alg": "EdDSA"}]}
    discovery = discover()
    assert (await refused(discovery, issuer.iss, issuer.kid)).code == "unsupported_algorithm"
    issuer.jwks = good
    clock.advance(60)
    assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).kid == issuer.kid


async def test_one_origin_with_two_roles_and_one_jwks_is_fetched_once(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    """§11.4: at most one JWKS fetch a minute and issuer, however many of its documents lead to it."""
    issuer = await internet.issuer("both.example", AGENT_DWK)
    person = {name: f"{issuer.iss}/{name}" for name in ("auth_token_endpoint", "person_token_endpoint", "jwks_uri")}
    person |= {"issuer": issuer.iss, "jwks_uri": issuer.metadata["jwks_uri"]}
    issuer.replies["/.well-known/aauth-person.json"] = json_reply(person)
    discovery = discover()
    await discovery.metadata(issuer.iss, PERSON_DWK)
    for dwk in (AGENT_DWK, PERSON_DWK):
        assert (await discovery.key(issuer.iss, dwk, issuer.kid)).kid == issuer.kid
    clock.advance(3601)
    for dwk in (PERSON_DWK, AGENT_DWK):
        assert (await discovery.key(issuer.iss, dwk, issuer.kid)).kid == issuer.kid
    assert issuer.jwks_fetches == 2
    assert (issuer.metadata_fetches, issuer.count("/.well-known/aauth-person.json")) == (1, 2)


async def test_a_role_that_joins_late_takes_the_keys_that_are_still_fresh(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    issuer = await internet.issuer("both.example", AGENT_DWK)
    document = {"issuer": issuer.iss, "jwks_uri": issuer.metadata["jwks_uri"]}
    issuer.replies["/.well-known/aauth-resource.json"] = json_reply(document)
    discovery = discover()
    await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    clock.advance(1800)
    assert (await discovery.key(issuer.iss, RESOURCE_DWK, issuer.kid)).kid == issuer.kid
    assert issuer.jwks_fetches == 1


async def test_two_roles_asked_for_at_once_share_one_jwks_fetch(internet: Internet, discover: Discover) -> None:
    issuer = await internet.issuer("both.example", AGENT_DWK)
    document = {"issuer": issuer.iss, "jwks_uri": issuer.metadata["jwks_uri"]}
    issuer.replies["/.well-known/aauth-resource.json"] = json_reply(document)
    gate = asyncio.Event()
    issuer.replies[issuer.jwks_path] = json_reply(issuer.jwks)
    issuer.replies[issuer.jwks_path].gate = gate
    discovery = discover()
    asked = [asyncio.create_task(discovery.key(issuer.iss, dwk, issuer.kid)) for dwk in (AGENT_DWK, RESOURCE_DWK)]
    while not issuer.jwks_fetches:
        await asyncio.sleep(0.001)
    gate.set()
    assert [key.kid for key in await asyncio.gather(*asked)] == [issuer.kid] * 2
    assert issuer.jwks_fetches == 1


async def test_a_key_published_since_is_found_also_by_a_role_that_joins_late(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    issuer = await internet.issuer("both.example", AGENT_DWK)
    document = {"issuer": issuer.iss, "jwks_uri": issuer.metadata["jwks_uri"]}
    issuer.replies["/.well-known/aauth-resource.json"] = json_reply(document)
    discovery = discover()
    await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    new = issuer.rotate("next")
    clock.advance(120)
    assert (await discovery.key(issuer.iss, RESOURCE_DWK, new.kid)).same_key(new.public)
    assert issuer.jwks_fetches == 2


async def test_keys_at_another_host_need_its_admission_for_this_issuer(internet: Internet, discover: Discover) -> None:
    """Signature-Keys §7.3, sixth point."""
    issuer = await internet.issuer("agents.example")
    keys = await internet.issuer("keys.example")
    issuer.metadata["jwks_uri"] = "https://keys.example/jwks.json"
    keys.jwks = issuer.jwks
    for admitted in ({}, {"https://other.example": frozenset({"keys.example"})}):
        failure = await refused(discover(internet.egress(jwks_hosts=admitted)), issuer.iss, issuer.kid)
        assert (failure.code, failure.unreachable) == ("unknown_key", False)
    assert keys.connections == 0
    discovery = discover(internet.egress(jwks_hosts={issuer.iss: frozenset({"keys.example"})}))
    assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).kid == issuer.kid
    assert keys.jwks_fetches == 1


async def test_another_port_is_another_origin(internet: Internet, discover: Discover) -> None:
    issuer = await internet.issuer("agents.example")
    issuer.metadata["jwks_uri"] = "https://agents.example:8443/jwks.json"
    assert (await refused(discover(), issuer.iss, issuer.kid)).code == "unknown_key"
    assert issuer.jwks_fetches == 0
    discovery = discover(internet.egress(jwks_hosts={issuer.iss: frozenset({"agents.example:8443"})}))
    await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    issuer.metadata["jwks_uri"] = "https://AGENTS.example:443/jwks.json"
    await discover().key(issuer.iss, AGENT_DWK, issuer.kid)


async def test_metadata_is_cached_and_a_refresh_asks_at_most_once_a_minute(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    api = await internet.issuer("api.example", RESOURCE_DWK)
    api.metadata["name"] = "one"
    discovery = discover()
    assert (await discovery.metadata(api.iss, RESOURCE_DWK)).text("name") == "one"
    api.metadata["name"] = "two"
    assert (await discovery.metadata(api.iss, RESOURCE_DWK)).text("name") == "one"
    assert (await discovery.metadata(api.iss, RESOURCE_DWK, refresh=True)).text("name") == "one"
    clock.advance(60)
    assert (await discovery.metadata(api.iss, RESOURCE_DWK)).text("name") == "one"
    assert (await discovery.metadata(api.iss, RESOURCE_DWK, refresh=True)).text("name") == "two"
    assert (api.metadata_fetches, api.jwks_fetches) == (2, 0)
    await api.stop()
    clock.advance(3601)
    assert (await discovery.metadata(api.iss, RESOURCE_DWK)).text("name") == "two"
    clock.advance(86400)
    with pytest.raises(DiscoveryFailed) as caught:
        await discovery.metadata(api.iss, RESOURCE_DWK)
    assert caught.value.unreachable


async def test_metadata_that_is_not_there_is_said_so_and_not_asked_for_again(
    internet: Internet, discover: Discover
) -> None:
    api = await internet.issuer("api.example", RESOURCE_DWK)
    api.replies[api.metadata_path] = Reply(404)
    discovery = discover()
    for _ in range(3):
        with pytest.raises(DiscoveryFailed) as caught:
            await discovery.metadata(api.iss, RESOURCE_DWK)
        assert (caught.value.code, caught.value.unreachable) == ("unknown_key", False)
    assert api.metadata_fetches == 1


async def test_a_resource_that_publishes_no_keys_has_metadata_but_no_key(
    internet: Internet, discover: Discover
) -> None:
    api = await internet.issuer("api.example", RESOURCE_DWK)
    del api.metadata["jwks_uri"]
    discovery = discover()
    assert (await discovery.metadata(api.iss, RESOURCE_DWK)).jwks_uri is None
    for _ in range(2):
        assert (await refused(discovery, api.iss, "kid", RESOURCE_DWK)).code == "unknown_key"
    assert len(api.requests) == 1


@pytest.mark.parametrize("dwk", [AGENT_DWK, PERSON_DWK, ACCESS_DWK, RESOURCE_DWK])
async def test_each_role_has_its_own_document(internet: Internet, discover: Discover, dwk: str) -> None:
    issuer = await internet.issuer("server.example", dwk)
    assert (await discover().key(issuer.iss, dwk, issuer.kid)).kid == issuer.kid


async def test_own_keys_are_taken_as_they_are_now_and_never_fetched(internet: Internet, discover: Discover) -> None:
    issuer = await internet.issuer("agents.example")
    discovery = discover()
    mine = {"keys": [signing_key("one").public.jwk]}
    discovery.serve_locally(issuer.iss, AGENT_DWK, lambda: mine)
    one, two = signing_key("one"), signing_key("two")
    assert (await discovery.key(issuer.iss, AGENT_DWK, one.kid)).same_key(one.public)
    assert discovery.cached_key(issuer.iss, AGENT_DWK, two.kid) is None
    assert (await refused(discovery, issuer.iss, two.kid)).code == "unknown_key"
    mine["keys"].append(two.public.jwk)
    found = discovery.cached_key(issuer.iss, AGENT_DWK, two.kid)
    assert found is not None and found.same_key(two.public)
    mine["keys"].append({**one.public.jwk, "kid": "bad", "alg": "EdDSA"})
    assert discovery.cached_key(issuer.iss, AGENT_DWK, "bad") is None
    assert (await refused(discovery, issuer.iss, "bad")).code == "unsupported_algorithm"
    assert issuer.connections == 0


async def test_an_issuer_of_the_loopback_profile_is_found_over_http(internet: Internet, discover: Discover) -> None:
    key = signing_key("person")
    documents: dict[str, object] = {"/jwks.json": {"keys": [key.public.jwk]}}
    server = await internet.serve("person.localhost", lambda request: json_reply(documents[request.target]), tls=False)
    iss = f"http://person.localhost:{server.port}"
    endpoints = {"auth_token_endpoint": f"{iss}/a", "person_token_endpoint": f"{iss}/p", "jwks_uri": f"{iss}/jwks.json"}
    documents[f"/.well-known/{PERSON_DWK}"] = {"issuer": iss, **endpoints}
    discovery = discover(Egress(loopback=LoopbackProfile(frozenset({iss}))))
    assert (await discovery.key(iss, PERSON_DWK, key.kid)).same_key(key.public)
    assert (await refused(discover(Egress()), iss, key.kid, PERSON_DWK)).code == "unknown_key"
    assert len(server.requests) == 2


async def test_who_has_stale_metadata_waits_a_moment_for_a_hanging_server_and_the_next_not_at_all(
    internet: Internet, discover: Discover, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await internet.issuer("api.example", RESOURCE_DWK)
    discovery = discover(fetch_seconds=60)
    await discovery.metadata(api.iss, RESOURCE_DWK)
    api.replies[api.metadata_path] = Reply(gate=asyncio.Event())
    clock.advance(3601)
    monkeypatch.setattr("aauthkit.discovery.discovery.STALE_PATIENCE", 0.01)
    assert (await discovery.metadata(api.iss, RESOURCE_DWK)).issuer == api.iss
    monkeypatch.setattr("aauthkit.discovery.discovery.STALE_PATIENCE", 60)
    async with asyncio.timeout(10):
        assert (await discovery.metadata(api.iss, RESOURCE_DWK)).issuer == api.iss
