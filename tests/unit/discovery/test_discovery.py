"""Keys and metadata of honest issuers: found, kept, renewed, and kept again (draft-11 §11.2, §11.4)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from aauthkit.discovery import Discovery, DiscoveryFailed
from aauthkit.egress import Egress
from aauthkit.protocol.identifiers import LoopbackProfile
from aauthkit.protocol.tokens import ACCESS_DWK, AGENT_DWK, PERSON_DWK, RESOURCE_DWK
from tests.plugins.tls import Clock, Internet, IssuerServer, Reply, json_reply, signing_key

pytestmark = pytest.mark.anyio

Discover = Callable[..., Discovery]


async def refused(discovery: Discovery, iss: str, kid: str, dwk: str = AGENT_DWK) -> DiscoveryFailed:
    with pytest.raises(DiscoveryFailed) as caught:
        await discovery.key(iss, dwk, kid)
    return caught.value


async def known(internet: Internet, discover: Discover) -> tuple[IssuerServer, Discovery]:
    """An issuer whose key was fetched once."""
    issuer = await internet.issuer("agents.example")
    discovery = discover()
    await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    return issuer, discovery


async def test_a_key_is_found_by_metadata_then_jwks_then_kid(internet: Internet, discover: Discover) -> None:
    """Signature-Keys §3.6: and the fetch carries no signature, token or cookie (§7.3)."""
    issuer = await internet.issuer("agents.example")
    discovery = discover()
    key = await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    assert key.same_key(issuer.key.public)
    assert [(r.method, r.target) for r in issuer.requests] == [
        ("GET", "/.well-known/aauth-agent.json"),
        ("GET", "/jwks.json"),
    ]
    names = {name for request in issuer.requests for name, _ in request.headers}
    assert names == {"host", "accept", "accept-encoding", "connection", "user-agent"}


async def test_F34_the_second_request_with_the_same_issuer_makes_no_fetch(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    """§11.4: nor does the thousandth, within the hour."""
    issuer, discovery = await known(internet, discover)
    for _ in range(1000):
        clock.advance(3)
        await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
        assert (await discovery.metadata(issuer.iss, AGENT_DWK)).issuer == issuer.iss
    assert (issuer.metadata_fetches, issuer.jwks_fetches) == (1, 1)


async def test_F34_many_waiters_share_one_fetch_and_one_who_leaves_ends_nothing(
    internet: Internet, discover: Discover
) -> None:
    issuer = await internet.issuer("agents.example")
    gate = asyncio.Event()
    issuer.replies[issuer.jwks_path] = json_reply(issuer.jwks)
    issuer.replies[issuer.jwks_path].gate = gate
    discovery = discover()
    waiters = [asyncio.create_task(discovery.key(issuer.iss, AGENT_DWK, issuer.kid)) for _ in range(50)]
    while not issuer.jwks_fetches:
        await asyncio.sleep(0.001)
    waiters[0].cancel()
    waiters[7].cancel()
    gate.set()
    found = await asyncio.gather(*waiters, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in found] == [i in (0, 7) for i in range(50)]
    assert (issuer.metadata_fetches, issuer.jwks_fetches) == (1, 1)


async def test_a_fetch_all_of_whose_waiters_left_is_kept(internet: Internet, discover: Discover) -> None:
    issuer = await internet.issuer("agents.example")
    gate = asyncio.Event()
    issuer.replies[issuer.metadata_path] = json_reply(issuer.metadata)
    issuer.replies[issuer.metadata_path].gate = gate
    discovery = discover()
    waiter = asyncio.create_task(discovery.key(issuer.iss, AGENT_DWK, issuer.kid))
    while not issuer.metadata_fetches:
        await asyncio.sleep(0.001)
    waiter.cancel()
    await asyncio.wait({waiter})
    gate.set()
    assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).kid == issuer.kid
    assert (issuer.metadata_fetches, issuer.jwks_fetches) == (1, 1)


async def test_a_cached_key_is_given_at_once_from_any_thread(internet: Internet, discover: Discover) -> None:
    issuer = await internet.issuer("agents.example")
    discovery = discover()
    assert discovery.cached_key(issuer.iss, AGENT_DWK, issuer.kid) is None
    key = await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    assert discovery.cached_key(issuer.iss, AGENT_DWK, issuer.kid) == key
    assert await asyncio.to_thread(discovery.cached_key, issuer.iss, AGENT_DWK, issuer.kid) == key
    assert discovery.cached_key(issuer.iss, AGENT_DWK, "other") is None
    assert discovery.cached_key(issuer.iss, PERSON_DWK, issuer.kid) is None
    assert discovery.cached_key("https://other.example", AGENT_DWK, issuer.kid) is None
    assert len(issuer.requests) == 2


@pytest.mark.parametrize(
    ("headers", "fresh"),
    [
        ((), 3600),
        ((("cache-control", "max-age=7200"),), 7200),
        ((("cache-control", "no-store"),), 60),
        ((("cache-control", "max-age=9999999"),), 86399),
    ],
)
async def test_a_jwks_is_fetched_again_when_http_says_that_it_is_stale(
    internet: Internet, discover: Discover, clock: Clock, headers: tuple[tuple[str, str], ...], fresh: int
) -> None:
    issuer = await internet.issuer("agents.example")
    issuer.jwks_headers = headers
    discovery = discover()
    await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    clock.advance(fresh - 1)
    assert discovery.cached_key(issuer.iss, AGENT_DWK, issuer.kid) is not None
    await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    assert issuer.jwks_fetches == 1
    clock.advance(2)
    assert discovery.cached_key(issuer.iss, AGENT_DWK, issuer.kid) is None
    await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    assert issuer.jwks_fetches == 2


async def test_a_key_that_was_withdrawn_is_refused_once_the_jwks_is_stale(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    issuer, discovery = await known(internet, discover)
    old = issuer.kid
    issuer.rotate("next")
    clock.advance(3601)
    failure = await refused(discovery, issuer.iss, old)
    assert (failure.code, failure.unreachable, failure.retry_after) == ("unknown_key", False, None)


async def test_F33_a_rotated_key_is_found_by_one_more_fetch_within_the_floor_of_a_minute(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    """§11.4: an unknown kid refreshes, at most once a minute, and does not touch the metadata that is still fresh."""
    issuer, discovery = await known(internet, discover)
    old = await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    new = issuer.rotate("next")
    issuer.jwks["keys"].append(old.jwk)
    clock.advance(59)
    failure = await refused(discovery, issuer.iss, new.kid)
    assert (failure.code, failure.unreachable) == ("unknown_key", False)
    assert issuer.jwks_fetches == 1
    clock.advance(1)
    assert (await discovery.key(issuer.iss, AGENT_DWK, new.kid)).same_key(new.public)
    assert (await discovery.key(issuer.iss, AGENT_DWK, old.kid or "")).same_key(old)
    assert (issuer.metadata_fetches, issuer.jwks_fetches) == (1, 2)


async def test_F33_a_new_key_under_an_old_kid_is_found_once_a_signature_failed(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    """Signature-Keys §7.2, silent re-keying: one refresh, within the floor."""
    issuer = await internet.issuer("agents.example")
    issuer.rotate("one", kid="main")
    discovery = discover()
    first = await discovery.key(issuer.iss, AGENT_DWK, "main")
    issuer.rotate("two", kid="main")
    assert await discovery.key(issuer.iss, AGENT_DWK, "main", failed=first) == first
    assert issuer.jwks_fetches == 1
    clock.advance(60)
    second = await discovery.key(issuer.iss, AGENT_DWK, "main", failed=first)
    assert second.same_key(signing_key("two").public)
    assert await discovery.key(issuer.iss, AGENT_DWK, "main", failed=first) == second
    assert issuer.jwks_fetches == 2


async def test_F33_a_key_that_is_gone_after_a_signature_failed_is_unknown(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    issuer, discovery = await known(internet, discover)
    old = await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    issuer.rotate("next")
    clock.advance(61)
    with pytest.raises(DiscoveryFailed) as caught:
        await discovery.key(issuer.iss, AGENT_DWK, old.kid or "", failed=old)
    assert caught.value.code == "unknown_key"


async def test_stale_keys_serve_while_an_issuer_is_down_and_are_discarded_after_a_day(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    """§11.4: a failed fetch leaves the cached keys in force, for 24 hours at most."""
    issuer, discovery = await known(internet, discover)
    await issuer.stop()
    for _ in range(23):
        clock.advance(3600)
        assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).kid == issuer.kid
        assert discovery.cached_key(issuer.iss, AGENT_DWK, issuer.kid) is not None
    clock.advance(3600)
    assert discovery.cached_key(issuer.iss, AGENT_DWK, issuer.kid) is None
    failure = await refused(discovery, issuer.iss, issuer.kid)
    assert (failure.code, failure.unreachable) == ("unknown_key", True)
    assert failure.retry_after is not None and 60 <= failure.retry_after <= 3600
    await issuer.start()
    clock.advance(3600)
    assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).kid == issuer.kid


async def test_who_has_a_stale_key_waits_a_moment_for_a_hanging_issuer_and_the_next_not_at_all(
    internet: Internet, discover: Discover, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aauthkit.discovery.discovery.STALE_PATIENCE", 0.01)
    issuer, discovery = await known(internet, discover)
    issuer.replies[issuer.metadata_path] = Reply(gate=asyncio.Event())
    clock.advance(3601)
    assert discovery.cached_key(issuer.iss, AGENT_DWK, issuer.kid) is None
    assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).kid == issuer.kid
    assert discovery.cached_key(issuer.iss, AGENT_DWK, issuer.kid) is not None
    assert (await discovery.metadata(issuer.iss, AGENT_DWK)).issuer == issuer.iss
    assert issuer.metadata_fetches == 2


async def test_a_failing_issuer_is_asked_ever_less_often_and_one_success_forgives_all(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    """§11.4: exponential backoff, never below a minute."""
    issuer = await internet.issuer("agents.example")
    issuer.replies[issuer.metadata_path] = Reply(503)
    discovery = discover()
    asked: list[float] = []
    begun = clock()
    for _ in range(1000):
        await refused(discovery, issuer.iss, issuer.kid)
        if issuer.metadata_fetches > len(asked):
            asked.append(clock() - begun)
        clock.advance(10)
    assert asked == [0, 60, 180, 420, 900, 1860, 3780, 7380]
    del issuer.replies[issuer.metadata_path]
    clock.advance(3600)
    await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    issuer.replies[issuer.jwks_path] = Reply(503)
    clock.advance(60)
    await refused(discovery, issuer.iss, "other")
    clock.advance(60)
    await refused(discovery, issuer.iss, "other")
    assert issuer.jwks_fetches == 3


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("document", ["metadata_path", "jwks_path"])
async def test_an_issuer_in_trouble_is_out_of_reach_and_the_caller_is_told_when_to_come_back(
    internet: Internet, discover: Discover, status: int, document: str
) -> None:
    issuer = await internet.issuer("agents.example")
    issuer.replies[getattr(issuer, document)] = Reply(status, body=b'{"secret": 1}')
    failure = await refused(discover(), issuer.iss, issuer.kid)
    assert (failure.code, failure.unreachable, failure.retry_after) == ("unknown_key", True, 60)
    assert "secret" not in failure.reason


@pytest.mark.parametrize(
    "reply",
    [
        Reply(404),
        Reply(401),
        Reply(204),
        Reply(body=b"<html>secret</html>"),
        Reply(body=b'{"keys": "secret"}'),
        Reply(body=b'["secret"]'),
        Reply(body=b'{"keys": [], "keys": []}'),
        Reply(body=b'{"issuer": NaN}'),
        Reply(body=b"[" * 5000),
        Reply(body=b"\xff\xfe"),
    ],
)
@pytest.mark.parametrize("document", ["metadata_path", "jwks_path"])
async def test_an_issuer_without_usable_documents_is_not_worth_coming_back_to(
    internet: Internet, discover: Discover, reply: Reply, document: str
) -> None:
    issuer = await internet.issuer("agents.example")
    issuer.replies[getattr(issuer, document)] = reply
    failure = await refused(discover(), issuer.iss, issuer.kid)
    assert (failure.unreachable, failure.retry_after) == (False, None)
    assert failure.code in ("unknown_key", "issuer_missing")
    assert "secret" not in failure.reason


async def test_a_name_without_address_and_a_closed_port_are_out_of_reach(
    internet: Internet, discover: Discover
) -> None:
    issuer = await internet.issuer("agents.example")
    await issuer.stop()
    discovery = discover()
    for iss in (issuer.iss, "https://nowhere.example"):
        failure = await refused(discovery, iss, "kid")
        assert (failure.code, failure.unreachable, failure.retry_after) == ("unknown_key", True, 60)


async def test_a_failure_is_remembered_and_asks_nobody_again_within_the_minute(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    issuer = await internet.issuer("agents.example")
    issuer.replies[issuer.metadata_path] = Reply(503)
    discovery = discover()
    await refused(discovery, issuer.iss, issuer.kid)
    del issuer.replies[issuer.metadata_path]
    clock.advance(45)
    failure = await refused(discovery, issuer.iss, issuer.kid)
    assert (failure.unreachable, failure.retry_after) == (True, 15)
    assert issuer.metadata_fetches == 1
    clock.advance(15)
    await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)


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
    assert (issuer.metadata_fetches, issuer.count("/.well-known/aauth-person.json")) == (2, 2)


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


async def test_keys_that_moved_are_found_and_those_known_serve_until_then(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    issuer, discovery = await known(internet, discover)
    issuer.metadata["jwks_uri"] = f"{issuer.iss}/moved.json"
    issuer.replies["/jwks.json"] = Reply(404)
    clock.advance(61)
    await refused(discovery, issuer.iss, "next")
    clock.advance(61)
    assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).kid == issuer.kid
    await refused(discovery, issuer.iss, "next")
    assert issuer.count("/moved.json") == 0
    clock.advance(120)
    await refused(discovery, issuer.iss, "next")
    assert issuer.count("/moved.json") == 1
    assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).kid == issuer.kid
    issuer.replies["/moved.json"] = json_reply(issuer.jwks)
    clock.advance(3600)
    assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).kid == issuer.kid
    assert issuer.count("/moved.json") == 2


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


async def test_a_clock_that_was_set_back_neither_freezes_nor_revives_a_cache(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    clock.advance(10 * 365 * 86400)
    issuer, discovery = await known(internet, discover)
    clock.advance(-10 * 365 * 86400)
    issuer.rotate("next")
    assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).kid == issuer.kid
    assert issuer.jwks_fetches == 2
    clock.advance(-1)
    assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).kid == issuer.kid
    assert issuer.jwks_fetches == 2


async def test_after_its_end_discovery_begins_no_fetch_and_leaves_nobody_waiting(
    internet: Internet, discover: Discover
) -> None:
    issuer = await internet.issuer("agents.example")
    issuer.replies[issuer.metadata_path] = Reply(gate=asyncio.Event())
    discovery = discover()
    waiter = asyncio.create_task(refused(discovery, issuer.iss, issuer.kid))
    while not issuer.requests:
        await asyncio.sleep(0.001)
    await discovery.aclose()
    assert (await waiter).unreachable
    assert (await refused(discovery, "https://other.example", "kid")).unreachable
    assert issuer.connections == 1


async def test_one_discovery_serves_threads_through_the_loop_it_lives_on(
    internet: Internet, discover: Discover
) -> None:
    """Synchronous callers cross over with the portal's own means; `cached_key` they call directly."""
    issuer = await internet.issuer("agents.example")
    discovery = discover()
    loop = asyncio.get_running_loop()
    found: list[str | None] = []

    def caller() -> None:
        found.append(
            asyncio.run_coroutine_threadsafe(discovery.key(issuer.iss, AGENT_DWK, issuer.kid), loop).result(5).kid
        )

    threads = [threading.Thread(target=caller) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        await asyncio.sleep(0.001)
    assert found == [issuer.kid] * 8
    assert issuer.jwks_fetches == 1
