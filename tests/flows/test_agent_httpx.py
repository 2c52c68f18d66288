"""`agent.transport()` and `agent.sync_transport()` in a client of the user's own: httpx and httpx2, async and sync.

The flow is the one that tests/flows/test_agent.py walks through; here it is shown that nothing is lost on the way from
one library to the other: requests, bodies, redirects, errors, and what a response says of itself.
"""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import httpx
import httpx2
import pytest

from aauthkit.agent import Agent, Denied
from aauthkit.callers import Grant
from aauthkit.protocol.headers import interaction_required
from tests.plugins.simulators import Parties, Pieces, deferred, grant, json_body, problem
from tests.plugins.tls import Reply

pytestmark = pytest.mark.anyio

ORDERS = "https://api.example/orders"
CODE = "A1B2-C3D4"


@dataclass
class Own:
    """A client of the user's own, with one face for both kinds."""

    library: Any
    client: Any
    sync: bool

    async def request(self, method: str, url: str, **settings: Any) -> Any:
        call = functools.partial(self.client.request, method, url, **settings)
        return await anyio.to_thread.run_sync(call) if self.sync else await call()

    async def get(self, url: str, **settings: Any) -> Any:
        return await self.request("GET", url, **settings)

    async def close(self) -> None:
        if self.sync:
            await anyio.to_thread.run_sync(self.client.close)
        else:
            await self.client.aclose()


def own(agent: Agent, library: Any, inner: Any, sync: bool, **settings: Any) -> Own:
    if sync:
        client = library.Client(transport=agent.sync_transport(inner), **settings)
    else:
        client = library.AsyncClient(transport=agent.transport(inner), **settings)
    return Own(library, client, sync)


OpenOwn = Callable[..., Own]
WAYS = [(httpx, False), (httpx, True), (httpx2, False), (httpx2, True)]


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0].__name__}-{'sync' if way[1] else 'async'}")
async def open_own(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[OpenOwn]:
    """Opens clients with the agent's own way out; the test runs with each library, asynchronous and synchronous."""
    opened: list[Own] = []
    library, sync = request.param

    def open_own(agent: Agent, inner: Any = None, **settings: Any) -> Own:
        opened.append(own(agent, library, inner, sync, **settings))
        return opened[-1]

    yield open_own
    for client in opened:
        await client.close()


def levels(parties: Parties) -> list[str]:
    return [type(verified.caller).__name__ for verified in parties.resource.seen]


async def test_f43_a_client_of_ones_own_meets_every_challenge_by_401(parties: Parties, open_own: OpenOwn) -> None:
    """F43, §6.4, §6.5: agent token, person token, auth token, and the next call is one request."""
    http = open_own(parties.agent())
    response = await http.get(ORDERS, params={"year": "2026"})
    assert isinstance(response, http.library.Response)
    assert (response.status_code, response.json()["scope"]) == (200, ["orders.read"])
    assert response.extensions["aauth"]["granted"] == {"orders.read"}
    assert levels(parties) == ["Agent", "Person", "Grant"]
    assert (await http.get(ORDERS)).status_code == 200
    assert levels(parties)[3:] == ["Grant"]


async def test_f43_a_client_of_ones_own_meets_a_challenge_by_202(parties: Parties, open_own: OpenOwn) -> None:
    """F43, §6.5.1: the call is held by the resource, and its result is the response."""
    parties.resource.needs["/orders"] = grant("orders.read", deferred=True)
    http = open_own(parties.agent())
    response = await http.request("POST", ORDERS, json={"item": "lamp"})
    assert response.status_code == 200
    assert json.loads(response.json()["body"]) == {"item": "lamp"}
    assert [held.runs for held in parties.resource.held.values()] == [1]


async def test_f43_a_client_of_ones_own_brings_the_person(parties: Parties, open_own: OpenOwn) -> None:
    """F43, §11.6.3: the interaction of a 202 is shown, whichever library asked."""
    parties.ps.waits, parties.ps.requirement = 1, interaction_required("https://person.example/i", CODE)
    assert (await open_own(parties.agent()).get(ORDERS)).status_code == 200
    assert [errand.code for errand in parties.errands] == [CODE]


async def test_a_202_that_is_not_the_protocols_is_the_callers_untouched(parties: Parties, open_own: OpenOwn) -> None:
    """§11.8.2: without AAuth-Requirement and not in the whole form; MCP answers notifications so."""
    parties.resource.replies["/queue"] = Reply(202, (("content-type", "text/plain"),), b"noted")
    response = await open_own(parties.agent()).request("POST", "https://api.example/queue", content=b"{}")
    assert (response.status_code, response.text) == (202, "noted")
    assert parties.ps.person_requests == 0


async def test_a_body_that_comes_in_pieces_is_signed_and_sent_again(parties: Parties, open_own: OpenOwn) -> None:
    """§11.3.3: what can be read once is digested and kept for the second request."""
    http = open_own(parties.agent())
    pieces = Pieces(b'{"item":', b' "lamp"}')
    body = iter(pieces.pieces) if http.sync else pieces
    response = await http.request("POST", ORDERS, content=body, headers={"content-type": "application/json"})
    assert response.json()["body"] == '{"item": "lamp"}'


async def test_a_redirect_starts_from_the_unsigned_request(parties: Parties, open_own: OpenOwn) -> None:
    """A 307 to the same resource carries the body again, signed anew for its own path."""
    moved = Reply(307, (("location", "/orders"),), b"")
    parties.resource.script["/old"] = [moved]
    http = open_own(parties.agent(), follow_redirects=True)
    pieces = Pieces(b"a", b"b")
    body = iter(pieces.pieces) if http.sync else pieces
    response = await http.request("POST", "https://api.example/old", content=body)
    assert response.json()["body"] == "ab"
    assert "signature" not in response.request.headers


async def test_a_body_streams_through(parties: Parties, open_own: OpenOwn) -> None:
    """A response is handed on as it comes."""
    http = open_own(parties.agent())
    if http.sync:

        def read() -> bytes:
            with http.client.stream("GET", ORDERS) as response:
                return b"".join(response.iter_bytes(4))

        content = await anyio.to_thread.run_sync(read)
    else:
        async with http.client.stream("GET", ORDERS) as response:
            content = b"".join([piece async for piece in response.aiter_bytes(4)])
    assert json.loads(content)["level"] == "Grant"


async def test_a_no_is_the_agents_error_in_either_library(parties: Parties, open_own: OpenOwn) -> None:
    """§11.9.4: typed, and not an error of HTTP."""
    parties.ps.replies["/person_token_endpoint"] = problem("denied")
    with pytest.raises(Denied):
        await open_own(parties.agent()).get(ORDERS)


async def test_an_error_of_the_network_is_one_of_the_library_that_asked(parties: Parties, open_own: OpenOwn) -> None:
    http = open_own(parties.agent())
    assert (await http.get(ORDERS)).status_code == 200
    await parties.resource.stop()
    with pytest.raises(http.library.ConnectError):
        await http.get(ORDERS)


# A transport of httpx as the one that sends


class _Mapped(httpx.AsyncHTTPTransport):
    """httpx's own transport, to where a name is served; the certificate is still checked against the name."""

    def __init__(self, parties: Parties) -> None:
        super().__init__(verify=parties.egress().tls())
        self._names = parties.internet.names

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        address, port = self._names[request.url.host]
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        request.url = request.url.copy_with(host=address, port=port)
        return await super().handle_async_request(request)


class _MappedSync(httpx.HTTPTransport):
    def __init__(self, parties: Parties) -> None:
        super().__init__(verify=parties.egress().tls())
        self._names = parties.internet.names

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        address, port = self._names[request.url.host]
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        request.url = request.url.copy_with(host=address, port=port)
        return super().handle_request(request)


@pytest.fixture
def inner_of(parties: Parties) -> Callable[[bool], Any]:
    return lambda sync: _MappedSync(parties) if sync else _Mapped(parties)


async def test_a_transport_of_httpx_sends_what_was_signed(
    parties: Parties, open_own: OpenOwn, inner_of: Callable[[bool], Any]
) -> None:
    """The user's own way out: proxies, certificates and limits stay theirs; the resource verifies every byte."""
    sync = isinstance(open_own(parties.agent()).client, httpx.Client | httpx2.Client)
    http = open_own(parties.agent(), inner_of(sync))
    response = await http.request("POST", f"{ORDERS}?a=b%20c&d=", json={"item": "lämp"})
    assert response.status_code == 200
    assert isinstance(parties.resource.seen[-1].caller, Grant)
    assert parties.resource.requests[-1].target == "/orders?a=b%20c&d="


async def test_what_the_users_transport_raises_reaches_them_as_it_was(
    parties: Parties, open_own: OpenOwn, inner_of: Callable[[bool], Any]
) -> None:
    """Also a poll that was lost on its way is made again (§6.5.1), whatever library lost it."""
    sync = isinstance(open_own(parties.agent()).client, httpx.Client | httpx2.Client)
    parties.resource.needs["/orders"] = grant("orders.read", deferred=True)
    http = open_own(parties.agent(), inner_of(sync))
    parties.resource.script["/pending/0"] = [Reply(raw=b"")]
    assert (await http.get(ORDERS)).status_code == 200
    await parties.resource.stop()
    with pytest.raises(http.library.ConnectError):
        await http.get(ORDERS)


async def test_a_whole_form_202_of_a_resource_is_followed(parties: Parties, open_own: OpenOwn) -> None:
    """§11.8.2: Location, Retry-After and a status make a 202 the protocol's, also where nothing is required."""
    parties.resource.script["/orders"] = [deferred("/pending/x")]
    parties.resource.script["/pending/x"] = [json_body({"level": "done"})]
    assert (await open_own(parties.agent()).get(ORDERS)).json() == {"level": "done"}
