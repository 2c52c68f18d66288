"""Waits of hours: given up by the caller, joined by an equal call, resumed after a restart, withdrawn (§7.3, §11.8)."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from aauthkit.agent import Agent, Denied, Pending
from aauthkit.protocol.headers import interaction_required
from aauthkit.protocol.jose import SigningKey
from tests.plugins.simulators import OpenClient, Parties, deferred, grant, json_body, problem
from tests.plugins.tls import Received, Reply

pytestmark = pytest.mark.anyio

PERSON_URL = "https://api.example/person"
ORDERS = "https://api.example/orders"
AGENT_URL = "https://api.example/agent"
PAGE = interaction_required("https://person.example/i/1", "A1B2-C3D4")


def slow(parties: Parties, polls: int) -> None:
    """Whoever decides takes that many polls, 10 seconds apart."""
    parties.ps.waits, parties.ps.requirement = polls, PAGE
    honest = parties.ps._respond

    def patient(request: Received) -> Reply:
        reply = honest(request)
        if reply.status != 202:
            return reply
        fields = tuple(one for one in reply.headers if one[0] != "retry-after")
        return Reply(202, (*fields, ("retry-after", "10")), reply.body)

    parties.ps._respond = patient


def kept(parties: Parties, folder: Path, **settings: Any) -> Agent:
    return parties.agent(pending_folder=folder, **settings)


async def test_past_its_wait_a_call_is_pending_and_an_equal_one_joins_it(
    parties: Parties, open_client: OpenClient
) -> None:
    """F39: one request at the person server, one page for the person, however often the call is made."""
    slow(parties, 8)
    http = open_client(parties.agent(), wait=30)
    with pytest.raises(Pending) as raised:
        await http.get(PERSON_URL)
    pending = raised.value
    assert (pending.on, pending.resource, pending.requirement) == (parties.ps.iss, parties.resource.iss, "interaction")
    with pytest.raises(Pending) as again:
        await http.get(PERSON_URL)
    assert (again.value.id, again.value.since) == (pending.id, pending.since)
    assert (await http.get(PERSON_URL)).status == 200
    assert parties.ps.person_requests == 1
    assert len(parties.errands) == 1


async def test_a_pending_can_be_awaited_to_its_end(parties: Parties) -> None:
    slow(parties, 8)
    agent = parties.agent()
    async with agent.client(wait=30) as http:
        with pytest.raises(Pending) as raised:
            await http.get(PERSON_URL)
        assert [one.id for one in agent.pending()] == [raised.value.id]
        assert await raised.value is None
        assert agent.pending() == []
        assert (await http.get(PERSON_URL)).status_code == 200
    assert (parties.ps.person_requests, len(parties.errands)) == (1, 1)


async def test_f42_a_restarted_agent_resumes_under_the_key_that_is_bound(parties: Parties, tmp_path: Path) -> None:
    """F42, §13.2: nothing of it is asked again, and the person is shown nothing twice."""
    agent = kept(parties, tmp_path)
    async with agent.client() as http:
        await http.get(PERSON_URL)  # the person token is had at once
    slow(parties, 8)
    async with agent.client(wait=30) as http:
        with pytest.raises(Pending):
            await http.get(ORDERS)
    files = list(tmp_path.iterdir())
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600]
    restarted = kept(parties, tmp_path)
    assert restarted.thumbprint == agent.thumbprint
    (pending,) = restarted.pending()
    await pending
    assert (parties.ps.auth_requests, len(parties.errands)) == (1, 1)
    assert list(tmp_path.iterdir()) == []
    async with restarted.client() as http:
        assert (await http.get(ORDERS)).status_code == 200
    assert parties.ps.auth_requests == 1
    assert kept(parties, tmp_path).thumbprint != agent.thumbprint  # nothing is bound to it any more


async def test_an_equal_call_of_a_restarted_agent_joins(
    parties: Parties, open_client: OpenClient, tmp_path: Path
) -> None:
    agent = kept(parties, tmp_path)
    await open_client(agent).get(PERSON_URL)
    slow(parties, 8)
    with pytest.raises(Pending):
        await open_client(agent, wait=30).get(ORDERS)
    parties.ps.waits = 0
    assert (await open_client(kept(parties, tmp_path)).get(ORDERS)).status == 200
    assert (parties.ps.auth_requests, len(parties.errands)) == (1, 1)


async def test_a_pending_request_is_not_resumed_with_another_key(parties: Parties, tmp_path: Path) -> None:
    """§13.2: it is bound to the key that asked; an agent with another one does not know its URL."""
    slow(parties, 8)
    async with kept(parties, tmp_path).client(wait=30) as http:
        with pytest.raises(Pending):
            await http.get(PERSON_URL)
    other = kept(parties, tmp_path, key=SigningKey.generate(lambda size: b"k" * size))
    assert other.pending() == []
    polls = parties.ps.count("/pending/0")
    parties.ps.waits = 0
    async with other.client() as http:
        assert (await http.get(PERSON_URL)).status_code == 200
    assert parties.ps.count("/pending/0") == polls
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("status", [404, 410, 408])
async def test_what_has_ended_meanwhile_is_asked_for_anew(
    parties: Parties, open_client: OpenClient, tmp_path: Path, status: int
) -> None:
    slow(parties, 8)
    with pytest.raises(Pending):
        await open_client(kept(parties, tmp_path), wait=30).get(PERSON_URL)
    parties.ps.script["/pending/0"] = [Reply(status, (), b"")]
    parties.ps.waits = 0
    assert (await open_client(kept(parties, tmp_path)).get(PERSON_URL)).status == 200
    assert parties.ps.person_requests == 2


async def test_a_decision_that_fell_meanwhile_is_heard(parties: Parties, tmp_path: Path) -> None:
    slow(parties, 8)
    async with kept(parties, tmp_path).client(wait=30) as http:
        with pytest.raises(Pending) as raised:
            await http.get(PERSON_URL)
        parties.ps.script["/pending/0"] = [problem("denied")]
        with pytest.raises(Denied):
            await raised.value
    assert list(tmp_path.iterdir()) == []


async def test_a_pending_can_be_withdrawn(parties: Parties, tmp_path: Path) -> None:
    """§7.5.2.3: a signed DELETE."""
    slow(parties, 8)
    agent = kept(parties, tmp_path)
    async with agent.client(wait=30) as http:
        with pytest.raises(Pending) as raised:
            await http.get(PERSON_URL)
    parties.ps.script["/pending/0"] = [lambda request: (parties.ps.verify(request), Reply(204, (), b""))[1]]
    await raised.value.cancel()
    assert parties.ps.requests[-1].method == "DELETE"
    assert agent.pending() == [] and list(tmp_path.iterdir()) == []


# Held by the resource.


async def test_a_held_invocation_is_joined_by_the_same_call_and_runs_once(
    parties: Parties, open_client: OpenClient, tmp_path: Path
) -> None:
    """§6.5.1, AG-26: after a restart too; another body is another call."""
    agent = kept(parties, tmp_path)
    await open_client(agent).get(PERSON_URL)
    parties.resource.needs["/orders"] = grant("orders.read", deferred=True)
    slow(parties, 8)
    with pytest.raises(Pending):
        await open_client(agent, wait=30).post(ORDERS, content=b"chair")
    assert len(list(tmp_path.iterdir())) == 2
    parties.ps.waits = 0
    http = open_client(kept(parties, tmp_path))
    assert (await http.post(ORDERS, content=b"chair")).json()["body"] == "chair"
    assert parties.resource.held["/pending/0"].runs == 1
    assert parties.resource.count("/orders") == 1
    assert list(tmp_path.iterdir()) == []
    assert (await http.post(ORDERS, content=b"chair")).json()["body"] == "chair"  # a second order
    assert parties.resource.count("/orders") == 2


async def test_a_held_request_that_is_awaited_gives_its_response(parties: Parties, tmp_path: Path) -> None:
    page = interaction_required("https://api.example/login", "A1B2-C3D4")
    parties.resource.script["/agent"] = [deferred("/pending/a", page, retry_after=20)]
    parties.resource.script["/pending/a"] = [deferred("/pending/a", page, retry_after=20)] * 4 + [
        json_body({"done": True})
    ]
    agent = kept(parties, tmp_path)
    async with agent.client(wait=30) as http:
        with pytest.raises(Pending):
            await http.get(AGENT_URL)
    (pending,) = kept(parties, tmp_path).pending()
    response = await pending
    assert response.json() == {"done": True}
    assert len(parties.errands) == 1
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_is_not_a_pending_request_is_left_alone(parties: Parties, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    (tmp_path / "x.json").chmod(0o600)
    agent = kept(parties, tmp_path)
    assert agent.pending() == []
    assert "A1B2" not in repr(agent.pending())
