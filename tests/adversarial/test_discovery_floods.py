"""Issuers and strangers that cost too much: size, time, number (faults F29, F31, F90; Signature-Keys §7.2, §7.3)."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from contextlib import suppress
from itertools import pairwise

import pytest

from aauthkit.discovery import DiscoveryFailed
from aauthkit.protocol.tokens import AGENT_DWK
from tests.plugins.discovering import Answers, Discover, refused
from tests.plugins.tls import Clock, Internet, Received, Reply, json_reply, signing_key

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("document", ["metadata_path", "jwks_path"])
async def test_F29_a_document_without_end_is_refused(internet: Internet, discover: Discover, document: str) -> None:
    """64 KiB of metadata and 256 KiB of JWKS, announced or not."""
    server = await internet.issuer("agents.example")
    honest = server.metadata if document == "metadata_path" else server.jwks
    size = 64 * 1024 if document == "metadata_path" else 256 * 1024
    for length in (True, False):
        body = json.dumps({**honest, "padding": "x" * size}).encode()
        server.replies[getattr(server, document)] = Reply(body=body, length=length)
        assert (await refused(discover(), server.iss, server.kid)).code == "unknown_key"
    body = json.dumps({**honest, "padding": ""}).encode()
    padded = body.replace(b'"padding": ""', b'"padding": "' + b"x" * (size - len(body)) + b'"')
    server.replies[getattr(server, document)] = Reply(body=padded)
    assert (await discover().key(server.iss, AGENT_DWK, server.kid)).kid == server.kid


@pytest.mark.parametrize("document", ["metadata_path", "jwks_path"])
async def test_F29_a_document_that_drips_is_cut_off_as_a_whole(
    internet: Internet, discover: Discover, document: str
) -> None:
    server = await internet.issuer("agents.example")
    server.replies[getattr(server, document)] = Reply(body=b" " * 1000, drip=0.02)
    failure = await refused(discover(fetch_seconds=0.2), server.iss, server.kid)
    assert (failure.code, failure.unreachable, failure.retry_after) == ("unknown_key", True, 60)


@pytest.mark.parametrize("document", ["metadata_path", "jwks_path"])
async def test_F29_a_bomb_is_never_unpacked(internet: Internet, discover: Discover, document: str) -> None:
    server = await internet.issuer("agents.example")
    honest = server.metadata if document == "metadata_path" else server.jwks
    body = gzip.compress(json.dumps({**honest, "padding": "0" * 5_000_000}).encode())
    server.replies[getattr(server, document)] = Reply(headers=(("content-encoding", "gzip"),), body=body)
    failure = await refused(discover(), server.iss, server.kid)
    assert (failure.code, failure.unreachable) == ("unknown_key", False)


async def test_F29_ten_thousand_invented_issuers_leave_memory_and_fetches_bounded_and_good_entries_in_place(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    """Signature-Keys §7.2: cache entries are made by strangers, so they are bounded, and what they cost others is."""
    good = await internet.issuer("agents.example")
    resolver = Answers([])
    discovery = discover(None, resolver, max_strangers=64)
    await discovery.key(good.iss, AGENT_DWK, good.kid)
    for number in range(10_000):
        failure = await refused(discovery, f"https://a{number}.invented.example")
        assert (failure.code, failure.unreachable) == ("unknown_key", True)
        if number == 5_000:
            clock.advance(61)
    assert len(resolver.asked) == 2 * 64
    assert len(discovery._shelves) == 65
    assert (await discovery.key(good.iss, AGENT_DWK, good.kid)).kid == good.kid
    assert len(good.requests) == 2


async def test_F29_no_invented_issuer_is_fetched_again_within_its_minute_by_being_pushed_out(
    discover: Discover, clock: Clock
) -> None:
    resolver = Answers([])
    discovery = discover(None, resolver, max_strangers=4)
    for _ in range(5):
        for number in range(10):
            await refused(discovery, f"https://a{number}.invented.example")
        clock.advance(10)
    assert sorted(resolver.asked) == [f"a{number}.invented.example" for number in range(4)]


async def test_F29_invented_issuers_that_do_publish_push_out_only_what_was_used_longest_ago(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    """An attacker with a wildcard certificate has as many good documents as they like, and as many keys in each."""
    good = await internet.issuer("agents.example")
    idle = await internet.issuer("idle.example")
    keys = {"keys": [signing_key(str(number)).public.jwk for number in range(20)]}

    def respond(request: Received) -> Reply:
        iss = f"https://{request.header('host')}"
        return json_reply(keys if "jwks" in request.target else {"issuer": iss, "jwks_uri": f"{iss}/jwks.json"})

    evil = await internet.serve("*.evil.example", respond)
    names = {f"a{number}.evil.example": ("127.0.0.1", evil.port) for number in range(30)}
    discovery = discover(internet.egress(names=internet.names | names), max_issuers=8, max_strangers=64, max_keys=100)
    for issuer in (good, idle):
        await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    for host in names:
        clock.advance(1)
        await discovery.key(f"https://{host}", AGENT_DWK, signing_key("3").kid)
        assert discovery.cached_key(good.iss, AGENT_DWK, good.kid) is not None
        assert len(discovery._shelves._proven) <= 8
        assert discovery._shelves._keys() <= 100
    assert discovery.cached_key(idle.iss, AGENT_DWK, idle.kid) is None
    assert len(good.requests) == 2


async def test_F29_the_fetches_under_way_are_bounded_and_known_issuers_are_not_held_up(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    good = await internet.issuer("agents.example")
    gate = asyncio.Event()
    slow = await internet.serve("*.slow.example", lambda _: Reply(404, gate=gate))
    names = {f"a{number}.slow.example": ("127.0.0.1", slow.port) for number in range(20)}
    discovery = discover(internet.egress(names=internet.names | names), max_fetches=8)
    await discovery.key(good.iss, AGENT_DWK, good.kid)
    waiting = [asyncio.create_task(refused(discovery, f"https://{host}")) for host in names]
    while len(slow.requests) < 8:
        await asyncio.sleep(0.001)
    new = good.rotate("next")
    clock.advance(61)
    assert (await discovery.key(good.iss, AGENT_DWK, new.kid)).kid == new.kid
    gate.set()
    failures = await asyncio.gather(*waiting)
    assert (len(slow.requests), sum(failure.unreachable for failure in failures)) == (8, 12)


async def test_F29_nothing_is_fetched_that_nobody_asked_for(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    """No refresh in the background: once the answer is there, no task is left and no fetch begins."""
    server = await internet.issuer("agents.example")
    before = asyncio.all_tasks()
    discovery = discover()
    await discovery.key(server.iss, AGENT_DWK, server.kid)
    clock.advance(10 * 86400)
    for _ in range(20):
        await asyncio.sleep(0)
    left = {task.get_coro().__qualname__ for task in asyncio.all_tasks() - before}  # type: ignore[union-attr]
    assert not [name for name in left if name.startswith("Discovery")]
    assert len(server.requests) == 2


async def test_F31_a_storm_of_unknown_kids_costs_one_fetch(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    """§11.4: at most one JWKS fetch a minute and issuer, whatever arrives; the junk is refused."""
    server = await internet.issuer("agents.example")
    discovery = discover()
    for number in range(20):
        failure = await refused(discovery, server.iss, f"junk-{number}")
        assert (failure.code, failure.unreachable) == ("unknown_key", False)
    assert (server.metadata_fetches, server.jwks_fetches) == (1, 1)
    junk = [refused(discovery, server.iss, f"junk-{number}") for number in range(200)]
    await asyncio.gather(*junk)
    assert server.jwks_fetches == 1


async def test_F31_never_two_fetches_within_a_minute_over_an_hour_of_junk(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    server = await internet.issuer("agents.example")
    server.jwks_headers = (("cache-control", "no-store, max-age=0"),)
    discovery = discover()
    fetched: list[float] = []
    for number in range(720):
        key = await discovery.key(server.iss, AGENT_DWK, server.kid)
        with suppress(DiscoveryFailed):
            await discovery.key(server.iss, AGENT_DWK, f"junk-{number}")
        await discovery.key(server.iss, AGENT_DWK, server.kid, failed=key)
        if server.jwks_fetches > len(fetched):
            fetched.append(clock())
        assert server.jwks_fetches == len(fetched)
        clock.advance(5)
    assert len(fetched) == 60
    assert min(later - earlier for earlier, later in pairwise(fetched)) >= 60


async def test_F90_while_one_fetch_hangs_other_issuers_are_found_as_ever(
    internet: Internet, discover: Discover
) -> None:
    """Nothing blocks the loop: no fetch, no look-up."""
    slow = await internet.issuer("slow.example")
    gate = asyncio.Event()
    slow.replies[slow.metadata_path] = Reply(404, gate=gate)
    good = await internet.issuer("agents.example")
    discovery = discover()
    hanging = asyncio.create_task(refused(discovery, slow.iss))
    while not slow.requests:
        await asyncio.sleep(0.001)
    assert (await discovery.key(good.iss, AGENT_DWK, good.kid)).kid == good.kid
    assert not hanging.done()
    gate.set()
    assert (await hanging).code == "unknown_key"


async def test_F90_while_a_name_server_hangs_others_are_answered(internet: Internet, discover: Discover) -> None:
    good = await internet.issuer("agents.example")
    entered, release = threading.Semaphore(0), threading.Event()

    def resolver(host: str, port: int) -> list[str]:
        entered.release()
        release.wait(30)
        return []

    discovery = discover(None, resolver)
    hanging = [asyncio.create_task(refused(discovery, f"https://a{number}.hanging.example")) for number in range(8)]
    while not entered.acquire(blocking=False):
        await asyncio.sleep(0.001)
    assert (await discovery.key(good.iss, AGENT_DWK, good.kid)).kid == good.kid
    assert await asyncio.to_thread(lambda: "other work in threads") == "other work in threads"
    assert not any(task.done() for task in hanging)
    release.set()
    assert all(failure.unreachable for failure in await asyncio.gather(*hanging))


async def test_F29_room_for_a_stranger_is_made_by_the_one_asked_longest_ago(discover: Discover, clock: Clock) -> None:
    resolver = Answers([])
    discovery = discover(None, resolver, max_strangers=2)
    for seconds, name in ((0, "a"), (10, "b"), (55, "a"), (10, "c"), (0, "d")):
        clock.advance(seconds)
        await refused(discovery, f"https://{name}.invented.example")
    assert [host[0] for host in resolver.asked] == ["a", "b", "a", "c"]


async def test_F31_an_issuer_pushed_out_by_others_keeps_its_minute(
    internet: Internet, discover: Discover, clock: Clock
) -> None:
    issuers = [await internet.issuer(f"{name}.example") for name in ("one", "two", "three")]
    discovery = discover(max_issuers=2)
    for issuer in issuers:
        await discovery.key(issuer.iss, AGENT_DWK, issuer.kid)
    first = issuers[0]
    assert (await refused(discovery, first.iss, first.kid)).unreachable
    assert first.jwks_fetches == 1
    clock.advance(60)
    await discovery.key(first.iss, AGENT_DWK, first.kid)
    assert first.jwks_fetches == 2
