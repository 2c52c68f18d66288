"""The keys of honest issuers: found, kept, renewed, and kept again (draft-11 §11.4)."""

from __future__ import annotations

import asyncio
import threading

import pytest

from aauthkit.discovery import Discovery, DiscoveryFailed
from aauthkit.protocol.tokens import AGENT_DWK, PERSON_DWK
from tests.plugins.discovering import Discover, refused
from tests.plugins.tls import Clock, Internet, IssuerServer, Reply, json_reply, signing_key

pytestmark = pytest.mark.anyio


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


async def test_keys_that_are_wanted_first_while_the_metadata_is_renewed_wait_for_it(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    """§11.4: the metadata may not be asked for twice in a minute, and is on its way already."""
    issuer = await internet.issuer("agents.example")
    discovery, gate = discover(), asyncio.Event()
    await discovery.metadata(issuer.iss, AGENT_DWK)
    clock.advance(3600)
    issuer.replies[issuer.metadata_path] = json_reply(issuer.metadata)
    issuer.replies[issuer.metadata_path].gate = gate
    renewing = asyncio.create_task(discovery.metadata(issuer.iss, AGENT_DWK))
    while issuer.metadata_fetches < 2:
        await asyncio.sleep(0.001)
    waiters = [asyncio.create_task(discovery.key(issuer.iss, AGENT_DWK, issuer.kid)) for _ in range(3)]
    await asyncio.sleep(0.01)
    gate.set()
    assert {key.kid for key in await asyncio.gather(*waiters)} == {issuer.kid}
    assert (await renewing).issuer == issuer.iss
    assert (issuer.metadata_fetches, issuer.jwks_fetches) == (2, 1)


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
    issuer = await internet.issuer("agents.example")
    discovery = discover(fetch_seconds=60)
    await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    issuer.replies[issuer.metadata_path] = Reply(gate=asyncio.Event())
    clock.advance(3601)
    assert discovery.cached_key(issuer.iss, AGENT_DWK, issuer.kid) is None
    assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).kid == issuer.kid
    assert discovery.cached_key(issuer.iss, AGENT_DWK, issuer.kid) is not None
    assert (await discovery.metadata(issuer.iss, AGENT_DWK)).issuer == issuer.iss
    monkeypatch.setattr("aauthkit.discovery.discovery.STALE_PATIENCE", 60)
    async with asyncio.timeout(10):
        assert (await discovery.metadata(issuer.iss, AGENT_DWK)).issuer == issuer.iss
        assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).kid == issuer.kid
        while issuer.metadata_fetches < 2:
            await asyncio.sleep(0.001)
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


async def test_keys_that_moved_are_found_and_those_known_serve_until_then(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    issuer, discovery = await known(internet, discover)
    issuer.metadata["jwks_uri"] = f"{issuer.iss}/moved.json"
    issuer.replies["/jwks.json"] = Reply(404)
    for fetches in (0, 1):
        clock.advance(61)
        await refused(discovery, issuer.iss, "next")
        assert issuer.count("/moved.json") == fetches
        assert (await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)).kid == issuer.kid
    new = signing_key("next")
    issuer.replies["/moved.json"] = json_reply({"keys": [new.public.jwk]})
    clock.advance(61)
    assert (await discovery.key(issuer.iss, AGENT_DWK, new.kid)).same_key(new.public)
    assert (await refused(discovery, issuer.iss, issuer.kid)).code == "unknown_key"


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


async def test_closing_ends_fetches_and_waits_and_what_is_known_stays_known(
    internet: Internet, discover: Discover
) -> None:
    issuer, discovery = await known(internet, discover)
    slow = await internet.issuer("slow.example")
    slow.replies[slow.metadata_path] = Reply(gate=asyncio.Event())
    slow_discovery = discover()
    waiters = [asyncio.create_task(refused(slow_discovery, slow.iss, slow.kid)) for _ in range(3)]
    while not slow.requests:
        await asyncio.sleep(0.001)
    await slow_discovery.aclose()
    assert [failure.unreachable for failure in await asyncio.gather(*waiters)] == [True] * 3
    assert len(slow.requests) == 1
    slow.replies.clear()
    assert (await slow_discovery.key(slow.iss, AGENT_DWK, slow.kid)).kid == slow.kid
    await discovery.aclose()
    assert discovery.cached_key(issuer.iss, AGENT_DWK, issuer.kid) is not None


async def test_a_jwks_that_was_being_fetched_at_the_close_keeps_its_minute(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    issuer = await internet.issuer("agents.example")
    issuer.replies[issuer.jwks_path] = Reply(gate=asyncio.Event())
    discovery = discover()
    waiter = asyncio.create_task(refused(discovery, issuer.iss, issuer.kid))
    while not issuer.jwks_fetches:
        await asyncio.sleep(0.001)
    await discovery.aclose()
    assert (await waiter).unreachable
    issuer.replies.clear()
    assert (await refused(discovery, issuer.iss, issuer.kid)).retry_after == 60
    clock.advance(60)
    await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)


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
