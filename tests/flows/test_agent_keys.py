"""The key that signs changes with the agent token, unless something is bound to it (§5.2, §7.1, §7.9, §13.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aauthkit.agent import Agent, AgentTokenUnavailable, Pending
from aauthkit.protocol.headers import APPROVAL_PENDING, interaction_required
from aauthkit.protocol.tokens import (
    AGENT_TYP,
    AUTH_TYP,
    PERSON_TYP,
    AgentToken,
    AuthToken,
    PersonToken,
    read_token,
)
from tests.plugins.signing import new_key
from tests.plugins.simulators import OpenClient, Parties, deferred, grant, json_body, problem
from tests.plugins.tls import Received, Reply
from tests.plugins.world import PS, World

pytestmark = pytest.mark.anyio

AGENT_URL = "https://api.example/agent"
PERSON_URL = "https://api.example/person"
ORDERS = "https://api.example/orders"
PAGE = interaction_required("https://person.example/i/1", "A1B2-C3D4")
HOUR = 3600


def keys(parties: Parties, *paths: str) -> list[str]:
    """The key of each request to the resource, or of those to these paths only."""
    signed = [one for one in parties.resource.requests if not paths or one.target in paths]
    return [_key(field) for one in signed if (field := one.header("signature-key")) is not None]


def _key(field: str) -> str:
    token = read_token(field.split('"')[1], {AGENT_TYP, PERSON_TYP, AUTH_TYP})
    assert isinstance(token, AgentToken | PersonToken | AuthToken)
    return token.cnf.thumbprint


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def test_ag_11_a_new_key_signs_once_the_agent_token_is_over(parties: Parties, open_client: OpenClient) -> None:
    """AG-11, AG-52, §7.1, §7.9: resource and person server take it; each token is asked for anew when it is needed."""
    agent = parties.agent()
    http = open_client(agent)
    first = agent.thumbprint
    for url in (ORDERS, PERSON_URL):
        assert (await http.get(url)).status == 200
    assert set(keys(parties)) == {first}
    for hours in range(1, 4):
        parties.clock.advance(HOUR)
        assert (await http.get(ORDERS)).status == 200
        assert parties.provider.refreshes == parties.ps.person_requests == parties.ps.auth_requests == 1 + hours
    assert len(set(keys(parties))) == 4
    assert agent.thumbprint == keys(parties)[-1] != first
    assert {verified.key.alg for verified in parties.resource.seen} == {"Ed25519"}
    by_person_server = [verified.key.thumbprint for verified in parties.ps.seen]
    assert set(by_person_server) == set(keys(parties))


async def test_ag_01_the_endpoints_are_those_that_the_metadata_names(parties: Parties, open_client: OpenClient) -> None:
    """AG-01, §11.2.2: `auth_token_endpoint` and `person_token_endpoint`, and no `token_endpoint`."""
    parties.ps.metadata["token_endpoint"] = f"{parties.ps.iss}/token"
    await open_client(parties.agent()).get(ORDERS)
    asked = [one.target for one in parties.ps.requests if one.method == "POST"]
    assert asked == ["/person_token_endpoint", "/auth_token_endpoint"]


async def test_a_key_stays_while_a_pending_request_is_bound_to_it(parties: Parties, tmp_path: Path) -> None:
    """F42, §13.2: in this process or, by what is kept on disk, in another; after the decision the key changes."""
    agent = parties.agent(pending_folder=tmp_path)
    parties.ps.waits, parties.ps.requirement = 10**6, PAGE
    slow(parties)
    async with agent.client(wait=30) as http:
        with pytest.raises(Pending) as raised:
            await http.get(PERSON_URL)
        bound = agent.thumbprint
        parties.clock.advance(HOUR - 200)
        assert (await http.get(AGENT_URL)).status_code == 200
        assert (agent.thumbprint, parties.provider.refreshes) == (bound, 2)
        assert set(keys(parties)) == {bound}
        parties.ps.open["/pending/0"].polls = 0
        await raised.value
        assert (await http.get(PERSON_URL)).status_code == 200
        assert set(keys(parties)) == {bound}
        parties.clock.advance(HOUR)
        parties.ps.waits = 0
        assert (await http.get(AGENT_URL)).status_code == 200
        assert agent.thumbprint == keys(parties)[-1] != bound


def slow(parties: Parties) -> None:
    """Each poll at the person server is 10 seconds after the last."""
    honest = parties.ps._respond

    def respond(request: Received) -> Reply:
        reply = honest(request)
        fields = tuple(one for one in reply.headers if one[0] != "retry-after")
        return reply if reply.status != 202 else Reply(202, (*fields, ("retry-after", "10")), reply.body)

    parties.ps._respond = respond


async def test_a_key_stays_while_a_resource_holds_a_call_that_is_bound_to_it(parties: Parties) -> None:
    """F42, §6.5.1: the polls of a held call come from the `agent_jkt` key, hours later too."""
    parties.resource.needs["/orders"] = grant("orders.read", deferred=True)
    agent, gate = parties.agent(), asyncio.Event()

    def busy(request: Received) -> Reply:
        parties.resource.verify(request)
        reply = deferred("/pending/0", retry_after=5)
        reply.gate = gate
        return reply

    async with agent.client() as http:
        await http.get(PERSON_URL)
        parties.resource.script["/pending/0"] = [busy]
        ordering = asyncio.create_task(http.post(ORDERS, content=b"chair"))
        await until(lambda: parties.resource.count("/pending/0") == 1)
        bound = agent.thumbprint
        parties.clock.advance(HOUR)
        assert (await http.get(AGENT_URL)).status_code == 200
        assert agent.thumbprint == bound
        gate.set()
        assert (await ordering).json()["body"] == "chair"
        assert set(keys(parties)) == {bound}
        parties.clock.advance(HOUR)
        await http.get(AGENT_URL)
        assert agent.thumbprint != bound


async def test_a_key_stays_while_a_challenge_is_met_that_is_bound_to_it(parties: Parties) -> None:
    """F42, §6.7.3 step 4: the resource token names it."""
    agent, gate = parties.agent(), asyncio.Event()

    def held(request: Received) -> Reply:
        reply = parties.ps.serve(request)
        reply.gate = gate
        return reply

    async with agent.client() as http:
        await http.get(AGENT_URL)
        bound = agent.thumbprint
        parties.ps.script["/auth_token_endpoint"] = [held]
        reading = asyncio.create_task(http.get(ORDERS))
        await until(lambda: parties.ps.auth_requests == 1)
        parties.clock.advance(HOUR - 200)
        assert (await http.get(AGENT_URL)).status_code == 200
        assert agent.thumbprint == bound
        gate.set()
        assert (await reading).status_code == 200
        assert set(keys(parties)) == {bound}


async def test_a_call_in_flight_goes_on_with_the_key_that_it_began_with(parties: Parties) -> None:
    """F42: another call changed the key meanwhile; what is challenged then is met under the first."""
    agent, gate = parties.agent(), asyncio.Event()

    def held(request: Received) -> Reply:
        reply = parties.resource.serve(request)
        reply.gate = gate
        return reply

    async with agent.client() as http:
        await http.get(AGENT_URL)
        first = agent.thumbprint
        parties.resource.script["/orders"] = [held]
        reading = asyncio.create_task(http.get(ORDERS))
        await until(lambda: parties.resource.count("/orders") == 1)
        parties.clock.advance(HOUR)
        assert (await http.get(AGENT_URL)).status_code == 200
        assert agent.thumbprint != first
        gate.set()
        assert (await reading).status_code == 200
        assert set(keys(parties, "/orders")) == {first}
        assert (await http.get(ORDERS)).status_code == 200
        assert keys(parties, "/orders")[-1] == agent.thumbprint


async def test_the_key_with_a_token_goes_on_while_the_provider_gives_none(
    parties: Parties, open_client: OpenClient
) -> None:
    """Until it has expired; then the call fails, and the next one that gets a token has a new key."""
    agent = parties.agent()
    http = open_client(agent)
    await http.get(AGENT_URL)
    first = agent.thumbprint
    parties.clock.advance(HOUR - 100)
    refused = problem("server_error", status=503)
    parties.provider.script["/refresh"] = [refused] * 9
    assert (await http.get(AGENT_URL)).status == 200
    assert agent.thumbprint == first
    parties.clock.advance(100)
    with pytest.raises(AgentTokenUnavailable):
        await http.get(AGENT_URL)
    parties.provider.script.clear()
    assert (await http.get(AGENT_URL)).status == 200
    assert agent.thumbprint != first


async def test_many_calls_at_once_change_the_key_once(parties: Parties, open_client: OpenClient) -> None:
    """F41, F42."""
    http = open_client(parties.agent())
    await http.get(ORDERS)
    parties.clock.advance(HOUR)
    answers = await asyncio.gather(*(http.get(ORDERS) for _ in range(30)))
    assert {answer.status for answer in answers} == {200}
    assert (parties.provider.refreshes, parties.ps.person_requests, parties.ps.auth_requests) == (2, 2, 2)
    assert len(set(keys(parties))) == 2


async def test_ag_51_a_session_token_is_the_agents_whatever_its_key(parties: Parties, open_client: OpenClient) -> None:
    """AG-51, §6.3: it goes on being used, and is covered, after the key changed."""
    parties.resource.metadata["access_mode"] = "session-token"
    parties.resource.script["/agent"] = [json_body({"ok": 1}, ("aauth-access", "mine"))]
    http = open_client(parties.agent())
    for _ in range(3):
        assert (await http.get(AGENT_URL)).status == 200
        parties.clock.advance(HOUR)
    sent = [one.header("authorization") for one in parties.resource.requests if one.target == "/agent"]
    assert sent == [None, "AAuth mine", "AAuth mine"]
    assert len(set(keys(parties, "/agent"))) == 3
    assert "authorization" in parties.resource.seen[-1].covered


async def test_a_wait_that_outlived_a_change_of_keys_is_resumed_under_its_own(parties: Parties, tmp_path: Path) -> None:
    """§13.2: two agents' processes; one changed the key before it could know of the other's pending request."""
    parties.ps.waits, parties.ps.requirement = 10**6, APPROVAL_PENDING
    slow(parties)
    folders: dict[str, Any] = {"pending_folder": tmp_path / "pending", "shared_folder": tmp_path / "shared"}
    one: Agent = parties.agent(durable=new_key(), **folders)
    async with one.client(wait=30) as http:
        with pytest.raises(Pending):
            await http.get(PERSON_URL)
    bound = one.thumbprint
    (tmp_path / "pending").rename(tmp_path / "aside")
    other: Agent = parties.agent(durable=new_key(), **folders)
    parties.clock.advance(HOUR - 200)
    async with other.client() as http:
        await http.get(AGENT_URL)
        assert other.thumbprint != bound
        (tmp_path / "aside").rename(tmp_path / "pending")
        parties.ps.open["/pending/0"].polls = 0
        assert (await http.get(PERSON_URL)).status_code == 200
    assert keys(parties, "/person")[-1] == bound
    assert parties.ps.person_requests == 1
    assert list((tmp_path / "pending").iterdir()) == []


async def test_a_pending_request_resumed_with_another_key_is_refused(quick_real_world: World) -> None:
    """§13.2: by the person server, as one that does not exist, although it is the same agent."""
    planner, ada = await quick_real_world.enrol("planner"), await quick_real_world.person("Ada")
    call = planner.get("/me")
    errand = await planner.errand()
    (pending,) = planner.agent.pending()
    thief = await quick_real_world.by_hand("planner")
    for method in ("GET", "DELETE"):
        assert (await thief.send(method, pending._wait.location)).status == 404
    assert pending._wait.location.startswith(f"{PS}/")
    await ada.comes(errand)
    await ada.approves()
    assert (await call).status == 200
