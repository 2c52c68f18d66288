"""Edges of an agent's client: origins, redirects, streams, cancellation, many calls at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from aauthkit.agent import NoResourceIdentifier, OutsideOrigins
from aauthkit.agent.origins import origins_of
from aauthkit.protocol.identifiers import NO_LOOPBACK
from tests.plugins.simulators import AGENT, OpenClient, Parties, Pieces, json_body

pytestmark = pytest.mark.anyio

AGENT_URL = "https://api.example/agent"
ORDERS = "https://api.example/orders"


async def test_an_origin_outside_is_not_called(parties: Parties, open_client: OpenClient) -> None:
    other = await parties.another_resource("other.example")
    http = open_client(parties.agent(), origins=["https://api.example"])
    assert (await http.get(AGENT_URL)).status == 200
    before = parties.provider.refreshes
    for url in ("https://other.example/agent", "https://other.example/.well-known/aauth-resource.json"):
        with pytest.raises(OutsideOrigins) as raised:
            await http.get(url)
        assert raised.value.origin == "https://other.example"
    assert other.requests == [] and parties.provider.refreshes == before


async def test_a_redirect_that_would_carry_a_token_away_ends_at_the_edge_of_the_origins(
    parties: Parties, open_client: OpenClient
) -> None:
    """§13.2: nothing is sent to where it leads."""
    other = await parties.another_resource("other.example")
    parties.resource.script["/agent"] = [json_body({}, ("location", "https://other.example/agent"), status=307)]
    http = open_client(parties.agent(), origins=["https://api.example"], follow_redirects=True)
    with pytest.raises(OutsideOrigins):
        await http.post(AGENT_URL, content=b"x")
    assert other.requests == []


async def test_a_redirect_that_would_carry_a_token_away_takes_none_along(
    parties: Parties, open_client: OpenClient
) -> None:
    """The other origin is a resource of its own, and begins with what it asks for itself."""
    other = await parties.another_resource("other.example")
    parties.resource.needs["/orders"] = AGENT
    http = open_client(parties.agent(), follow_redirects=True)
    parties.resource.script["/person"] = [json_body({}, ("location", "https://other.example/person"), status=307)]
    assert (await http.get("https://api.example/person")).status == 200
    for verified in other.seen:
        assert getattr(verified.caller, "aud", "https://other.example") == "https://other.example"


def test_an_origin_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(NoResourceIdentifier):
        origins_of(["https://api.example:8443"], NO_LOOPBACK)


async def test_a_thousand_concurrent_calls_on_one_client(parties: Parties) -> None:
    """One agent token, one person token and one auth token serve them all."""
    agent = parties.agent()
    async with agent.client(timeout=120) as http:
        responses = await asyncio.gather(*(http.get(ORDERS) for _ in range(1000)))
    assert {response.status_code for response in responses} == {200}
    assert (parties.provider.refreshes, parties.ps.person_requests, parties.ps.auth_requests) == (1, 1, 1)


@pytest.mark.filterwarnings("ignore:.*unclosed:ResourceWarning")  # a connection that was just being made
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_call_can_be_cancelled_at_any_point_and_the_next_one_works(parties: Parties) -> None:
    """At each of its awaits in turn."""
    for steps in (*range(0, 40, 3), *range(40, 200, 17)):
        agent = parties.agent()
        async with agent.client() as http:
            call = asyncio.create_task(http.get(ORDERS))
            for _ in range(steps):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert (await http.get(ORDERS)).status_code == 200


async def test_no_lock_is_held_during_a_stream(parties: Parties) -> None:
    """Calls go on, to the same resource, while a response of it is being read; streaming in both directions."""
    async with parties.agent().client() as http:
        pieces: AsyncIterator[bytes] = Pieces(b"a", b"b").__aiter__()
        async with http.stream("POST", ORDERS, content=pieces) as response:
            assert (await http.get(ORDERS)).status_code == 200
            assert (await http.get(AGENT_URL)).status_code == 200
            assert b'"body": "ab"' in await response.aread()
