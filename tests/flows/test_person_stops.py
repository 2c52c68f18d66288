"""An agent that its person stops, starts again, releases; a mission that its person ends (draft-11 §8.6, §11.12.4)."""

from __future__ import annotations

import pytest

from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import Problem
from tests.flows.test_missions import approved, propose
from tests.plugins.people import PROVIDER, RESOURCE, AgentParty, Browser, World, body, claims_of, error_of, granted

pytestmark = pytest.mark.anyio

REVOKE = f"{RESOURCE}/revoke"


@pytest.fixture
async def told(world: World) -> World:
    """A world whose resource takes revocations."""
    world.publish_resource(revocation_endpoint=REVOKE)
    world.network.posts[REVOKE] = Answer(200, ())
    return world


async def stop(world: World, agent: AgentParty, browser: Browser) -> None:
    person = (await world.server.steward.agents())[0].person
    await world.server.steward.stop(person, PROVIDER, agent.sub)


async def test_a_stopped_agent_is_refused_everywhere_also_with_a_fresh_token(told: World) -> None:
    """PS-111, F57: until it is started again; what it holds is revoked at its resource."""
    agent, browser, token = await told.introduced()
    auth = await granted(agent, browser, token, "orders.read", "orders.read")
    waiting = await agent.ask_auth_token(agent.challenged(token, "orders.place"), token)
    assert waiting.status == 202
    await stop(told, agent, browser)
    assert error_of(await agent.poll(waiting)) == (403, "revoked")
    told.clock.pass_(1)
    agent.renew()
    for answer in (
        await agent.ask_person_token(),
        await agent.ask_person_token("https://other.example"),
        await agent.send("POST", "/permission", {"action": "x"}),
        await propose(agent),
        await agent.send("POST", "/interaction", {"type": "question", "question": "x"}),
    ):
        assert error_of(answer) == (403, "denied")
    await told.server.deliver_revocations()
    assert {sent["jti"] for _, sent in told.network.sent} == {claims_of(token)["jti"], claims_of(auth)["jti"]}
    states = {one.state for one in await told.server.steward.deliveries(PROVIDER, agent.sub)}
    assert states == {"recorded"}


async def test_a_started_agent_asks_anew_and_what_was_allowed_stands(told: World) -> None:
    agent, browser, _ = await told.introduced()
    await stop(told, agent, browser)
    person = (await told.server.steward.agents())[0].person
    assert (await told.server.steward.agents())[0].stopped is not None
    await told.server.steward.start(person, PROVIDER, agent.sub)
    assert (await told.server.steward.agents())[0].stopped is None
    assert (await agent.ask_person_token()).status == 200


async def test_nobody_stops_anothers_agent(told: World) -> None:
    agent, _, _ = await told.introduced()
    other = Browser(told)
    await other.sign_up("Bob")
    for act in (told.server.steward.stop, told.server.steward.start, told.server.steward.release):
        with pytest.raises(Problem) as caught:
            await act("bob", PROVIDER, agent.sub)
        assert caught.value.code == "not_found"
    assert (await agent.ask_person_token()).status == 200


async def test_a_released_agent_may_get_another_person(told: World) -> None:
    """§13.14: what it had ends, and whoever agrees to it next is its person."""
    agent, _, token = await told.introduced()
    person = (await told.server.steward.agents())[0].person
    await told.server.steward.release(person, PROVIDER, agent.sub)
    assert await told.server.steward.agents() == []
    stale = await agent.ask_auth_token(agent.challenged(token), token)
    assert error_of(stale)[0] == 400
    bob = Browser(told)
    answer = await agent.ask_person_token()
    assert answer.status == 202
    await bob.open_interaction(answer)
    await bob.sign_up("Bob")
    await bob.decide("approved")
    assert (await agent.poll(answer)).status == 200
    assert (await told.server.steward.agents())[0].person != person


async def test_a_mission_that_its_person_ends_takes_its_tokens_along(told: World) -> None:
    """PS-113, §8.6, §11.12.4: tokens of the mission are revoked, others stay, what waits ends `revoked`."""
    agent, browser, mission = await approved(told, resources=[RESOURCE])
    token = mission["person_tokens"][RESOURCE]
    outside = await agent.ask_person_token()
    await browser.open_next()
    await browser.decide("approved", memory="kept")
    plain = body(await agent.poll(outside))["person_token"]
    waiting = await agent.ask_auth_token(agent.challenged(token, mission_s256=mission["s256"]), token)
    person = (await told.server.steward.agents())[0].person
    await told.server.steward.end_mission(person, mission["s256"], "revoked")
    assert error_of(await agent.poll(waiting)) == (403, "revoked")
    over = await agent.ask_person_token(mission_s256=mission["s256"])
    assert error_of(over) == (403, "mission_terminated") and body(over)["termination_reason"] == "revoked"
    await told.server.deliver_revocations()
    assert [sent["jti"] for _, sent in told.network.sent] == [claims_of(token)["jti"]]
    assert (await agent.ask_auth_token(agent.challenged(plain), plain)).status == 202


async def test_the_provider_is_answered_when_every_resource_was_told(told: World) -> None:
    """PS-110, PS-111, §11.12.3: 200, empty, once the cascade has ended; the resource has it by then."""
    agent, browser, token = await told.introduced()
    auth = await granted(agent, browser, token, "orders.read", "orders.read")
    answer = await told.revoke(agent.token)
    assert (answer.status, answer.body) == (200, b"")
    assert {sent["jti"] for _, sent in told.network.sent} == {claims_of(token)["jti"], claims_of(auth)["jti"]}
    told.network.sent.clear()
    assert (await told.revoke(agent.token)).status == 200
    assert told.network.sent == []


async def test_what_could_not_be_told_is_told_at_the_repeat(told: World) -> None:
    """PS-114, §11.12.3: unavailable is terminal for this answer, and tried again with the next."""
    agent, _, token = await told.introduced()
    told.network.posts[REVOKE] = Answer(500, ())
    assert (await told.revoke(agent.token)).status == 200
    assert [one.state for one in await told.server.steward.deliveries(PROVIDER, agent.sub)] == ["waiting"]
    told.network.posts[REVOKE] = Answer(200, ())
    told.network.sent.clear()
    assert (await told.revoke(agent.token)).status == 200
    assert [sent["jti"] for _, sent in told.network.sent] == [claims_of(token)["jti"]]
    assert [one.state for one in await told.server.steward.deliveries(PROVIDER, agent.sub)] == ["recorded"]


async def test_a_resource_without_an_endpoint_is_said_to_have_none(world: World) -> None:
    """PS-114, §11.12.3: `revocation_unsupported`."""
    agent, _, _ = await world.introduced()
    assert (await world.revoke(agent.token)).status == 200
    assert [one.state for one in await world.server.steward.deliveries(PROVIDER, agent.sub)] == [
        "revocation_unsupported"
    ]


async def test_what_is_taken_back_is_revoked_at_the_resource(told: World) -> None:
    agent, browser, token = await told.introduced()
    auth = await granted(agent, browser, token, "orders.read", "orders.read")
    page = await browser.get("/allowed")
    forms = [form for form in page.links if form]
    assert forms is not None
    await browser.submit("/allowed/")
    await told.server.deliver_revocations()
    assert claims_of(auth)["jti"] in {sent["jti"] for _, sent in told.network.sent}
