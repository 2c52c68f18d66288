"""A resource's page is brought to the person by their person server, and by the agent where that cannot (§11.6.3.2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aauthkit.agent import Callback, Denied, Errand, MissionTerminated, NobodyToAsk
from aauthkit.protocol.headers import APPROVAL_PENDING, interaction_required
from aauthkit.protocol.jose import parse_json
from tests.flows.test_agent_mission_refusals import Approving
from tests.plugins.simulators import AGENT, OpenClient, Parties, deferred, json_body, problem
from tests.plugins.tls import Received, Reply

pytestmark = pytest.mark.anyio

URL = "https://api.example/agent"
PAGE = ("https://api.example/i/1", "A1B2-C3D4")


class Relaying:
    """A resource that wants the person at a page of its own until `done`, and a person server with `first` and `polls`
    for a relay. `withdrawn` counts relays that the agent took back."""

    def __init__(self, parties: Parties, first: Reply, *polls: Reply, done_after: int = 0) -> None:
        self.parties = parties
        self.first, self.polls = first, list(polls)
        self.done_after = done_after
        self.asked: list[dict[str, Any]] = []
        self.looked = self.withdrawn = 0
        parties.ps.metadata["interaction_endpoint"] = f"{parties.ps.iss}/interaction"
        parties.ps.script["/interaction"] = [self._relayed] * 5
        parties.ps.script["/relay/1"] = [self._looked] * 200
        parties.resource.needs["/agent"] = AGENT
        parties.resource.script["/agent"] = [deferred("/pending/q", interaction_required(*PAGE))]
        parties.resource.script["/pending/q"] = [self._polled] * 500

    def _relayed(self, request: Received) -> Reply:
        self.parties.ps.verify(request)
        self.asked.append(parse_json(request.body))
        return self.first

    def _looked(self, request: Received) -> Reply:
        self.parties.ps.verify(request)
        if request.method == "DELETE":
            self.withdrawn += 1
            return Reply(204, (), b"")
        self.looked += 1
        return self.polls.pop(0) if self.polls else deferred("/relay/1", APPROVAL_PENDING)

    def _polled(self, request: Received) -> Reply:
        self.parties.resource.verify(request)
        self.done_after -= 1
        waits = self.done_after >= 0 or self.polls
        return deferred("/pending/q", interaction_required(*PAGE)) if waits else json_body({"done": 1})


TAKEN = deferred("/relay/1", APPROVAL_PENDING)
ENGAGED = json_body({"status": "completed"})


async def settled(relaying: Relaying, count: int = 1) -> None:
    async with asyncio.timeout(10):
        while relaying.withdrawn < count:
            await asyncio.sleep(0.01)


async def test_the_person_server_brings_the_person_and_the_agent_does_not(
    parties: Parties, open_client: OpenClient
) -> None:
    """§7.6.2, §11.6.3.2: asked once, with url and code; what is done is for the resource's pending URL to say."""
    relaying = Relaying(parties, TAKEN, ENGAGED, done_after=3)
    assert (await open_client(parties.agent()).get(URL)).json() == {"done": 1}
    assert parties.errands == []
    assert relaying.asked == [{"type": "interaction", "url": PAGE[0], "code": PAGE[1], "capabilities": ["interaction"]}]


async def test_a_relay_that_nobody_needs_any_more_is_withdrawn(parties: Parties, open_client: OpenClient) -> None:
    """§7.5.2.3: the resource was done first."""
    relaying = Relaying(parties, TAKEN, done_after=3)
    assert (await open_client(parties.agent()).get(URL)).status == 200
    await settled(relaying)
    assert parties.errands == []


async def test_a_relay_that_has_done_all_it_can_at_once_is_enough(parties: Parties, open_client: OpenClient) -> None:
    """§7.6.2: a terminal answer of the relay is no answer of the resource's."""
    Relaying(parties, ENGAGED, done_after=5)
    assert (await open_client(parties.agent()).get(URL)).json() == {"done": 1}
    assert parties.errands == []


@pytest.mark.parametrize(
    "refused",
    [
        problem("interaction_unavailable"),
        problem("user_unreachable"),
        problem("invalid_request"),
        problem("server_error"),
        Reply(404, (), b""),
        deferred("https://elsewhere.example/relay"),
    ],
    ids=["424", "unreachable", "400", "500", "404", "elsewhere"],
)
async def test_where_it_cannot_the_agent_sends_the_person_itself(
    parties: Parties, open_client: OpenClient, refused: Reply
) -> None:
    """§7.6.3: 424 is not the end; nor is anything else that goes wrong on this way."""
    relaying = Relaying(parties, refused, done_after=2)
    assert (await open_client(parties.agent()).get(URL)).status == 200
    assert [(one.url, one.code) for one in parties.errands] == [PAGE]
    assert len(relaying.asked) == 1


async def test_a_relay_that_would_send_the_person_to_the_person_server_first_is_taken_back(
    parties: Parties, open_client: OpenClient
) -> None:
    """§11.6.3.2: the agent can bring them to the resource's page as well, with one way less."""
    first = deferred("/relay/1", interaction_required("https://person.example/i/2", "B1B2-C3D4"))
    relaying = Relaying(parties, first, done_after=2)
    assert (await open_client(parties.agent()).get(URL)).status == 200
    assert [one.url for one in parties.errands] == [PAGE[0]]
    await settled(relaying)


@pytest.mark.parametrize(
    "end",
    [
        problem("abandoned"),
        problem("expired"),
        problem("interaction_unavailable"),
        problem("gone"),
        deferred("/relay/1", interaction_required("https://person.example/i/2", "B1B2-C3D4")),
    ],
    ids=["abandoned", "expired", "424", "gone", "sends away"],
)
async def test_where_a_relay_ends_without_the_person_the_agent_sends_them_itself(
    parties: Parties, open_client: OpenClient, end: Reply
) -> None:
    """§7.6.2, §11.6.3.2: once, however long the resource waits then."""
    Relaying(parties, TAKEN, TAKEN, end, done_after=60)
    assert (await open_client(parties.agent()).get(URL)).status == 200
    assert [one.url for one in parties.errands] == [PAGE[0]]


async def test_a_person_who_does_not_go_there_has_denied_it(parties: Parties, open_client: OpenClient) -> None:
    """§11.9.4: the agent does not send them once more."""
    Relaying(parties, TAKEN, problem("denied"), done_after=500)
    with pytest.raises(Denied):
        await open_client(parties.agent()).get(URL)
    assert parties.errands == []


async def test_without_the_endpoint_nothing_is_asked(parties: Parties, open_client: OpenClient) -> None:
    """§11.2.2."""
    relaying = Relaying(parties, TAKEN)
    del parties.ps.metadata["interaction_endpoint"]
    assert (await open_client(parties.agent()).get(URL)).status == 200
    assert (len(parties.errands), relaying.asked) == (1, [])


async def test_a_client_may_choose_not_to_relay(parties: Parties, open_client: OpenClient) -> None:
    relaying = Relaying(parties, TAKEN)
    assert (await open_client(parties.agent(), relay=False).get(URL)).status == 200
    assert (len(parties.errands), relaying.asked) == (1, [])


async def test_a_page_that_the_browser_comes_back_from_is_opened_by_the_agent(
    parties: Parties, open_client: OpenClient
) -> None:
    """§7.3: with a callback the person is at this application; a relay could not bring them back to it."""
    errands: list[Errand] = []
    relaying = Relaying(parties, TAKEN)
    channel = Callback(errands.append, callback="https://app.example/back")
    assert (await open_client(parties.agent(), person=channel).get(URL)).status == 200
    assert (len(errands), relaying.asked) == (1, [])


async def test_an_agent_with_no_way_to_a_person_relays_too(parties: Parties, open_client: OpenClient) -> None:
    """§11.7: its person server may have one; where that has none either, nobody can be asked."""
    relaying = Relaying(parties, TAKEN, ENGAGED, done_after=3)
    assert (await open_client(parties.agent(person=None)).get(URL)).status == 200
    assert "capabilities" not in relaying.asked[0]
    Relaying(parties, problem("user_unreachable"), done_after=3)
    with pytest.raises(NobodyToAsk):
        await open_client(parties.agent(person=None)).get(URL)


@pytest.mark.parametrize(("chosen", "said"), [({"max_wait": 90}, 90), ({"wait": 30}, 30), ({}, None)])
async def test_how_long_the_relay_may_take_is_said(
    parties: Parties, open_client: OpenClient, chosen: dict[str, Any], said: int | None
) -> None:
    """§7.6.1: `max_wait`, in seconds; what the call itself waits for where nothing else is chosen."""
    relaying = Relaying(parties, ENGAGED, done_after=1)
    assert (await open_client(parties.agent(), **chosen).get(URL)).status == 200
    assert relaying.asked[0].get("max_wait") == said


async def test_a_relay_within_a_mission_names_it(parties: Parties) -> None:
    """AG-31, AG-64, §7.6.1."""
    relaying, approving = Relaying(parties, ENGAGED, done_after=1), Approving(parties)
    mission = await parties.agent().mission("A trip.")
    async with mission.client() as http:
        assert (await http.get(URL)).status_code == 200
    assert [one["mission_s256"] for one in relaying.asked] == [approving.s256]


async def test_a_relay_that_finds_the_mission_ended_ends_the_call(parties: Parties) -> None:
    """AG-34, §7.6.2, §8.8: the person is not sent there for a mission that is over."""
    over = problem("mission_terminated", members={"termination_reason": "revoked"})
    Relaying(parties, over, done_after=9)
    Approving(parties)
    mission = await parties.agent().mission("A trip.")
    async with mission.client() as http:
        with pytest.raises(MissionTerminated):
            await http.get(URL)
    assert mission.ended == "revoked" and parties.errands == []
