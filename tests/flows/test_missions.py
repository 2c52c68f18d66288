"""Missions from proposal to end, as an agent and its person go through them (draft-11 §8)."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.protocol.jose import b64url_decode, parse_json
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.missions import format_time, mission_s256, read_blob
from tests.plugins.people import RESOURCE, AgentParty, Browser, World, body, claims_of, error_of

pytestmark = pytest.mark.anyio

TRIP = "# Plan a trip\n\nTo Japan, for **two**."
ABLE = ["interaction", "clarification"]


async def propose(agent: AgentParty, **members: Any) -> Answer:
    return await agent.send("POST", "/mission", {"description": TRIP, "capabilities": ABLE, **members})


async def approved(
    world: World, agent: AgentParty | None = None, browser: Browser | None = None, **members: Any
) -> tuple[AgentParty, Browser, dict[str, Any]]:
    """An agent whose mission was approved as proposed: agent, browser, and what the agent was answered."""
    agent, browser = agent or world.agent(), browser or Browser(world)
    answer = await propose(agent, **members)
    assert answer.status == 202, answer.body
    await browser.open_interaction(answer)
    if browser.page is not None and browser.page.has_form("/signin"):
        await browser.sign_up()
    await browser.submit("/decide/", "approved")
    answer = await agent.poll(answer)
    assert answer.status == 200, answer.body
    return agent, browser, body(answer)


async def test_a_mission_is_approved_and_its_bytes_are_what_was_hashed(world: World) -> None:
    """PS-81, PS-82, PS-83, §8.2, §8.2.1: the blob as it is kept, its digest, no approver in it."""
    tools = [{"name": "WebSearch", "description": "Search the web"}]
    _, _, mission = await approved(world, tools=tools, resources=[RESOURCE])
    blob = b64url_decode(mission["mission"])
    assert mission_s256(blob) == mission["s256"]
    read = read_blob(blob, s256=mission["s256"])
    assert read.agent == "aauth:planner@agents.example" and read.description == TRIP
    assert [tool.name for tool in read.approved_tools] == ["WebSearch"]
    assert read.approved_resources == (RESOURCE,)
    assert not {"approver", "capabilities", "expires_at"} & parse_json(blob).keys()
    assert mission["capabilities"] == ["interaction", "payment"]


async def test_each_approved_resource_comes_with_a_person_token_of_the_mission(world: World) -> None:
    """PS-88, §8.1, §8.2: bound to the agent's key, with no second question."""
    agent, _, mission = await approved(world, resources=[RESOURCE])
    claims = claims_of(mission["person_tokens"][RESOURCE])
    assert claims["mission_s256"] == mission["s256"] and claims["aud"] == RESOURCE
    assert claims["cnf"]["jwk"]["x"] == agent.key.public.jwk["x"]
    again = await agent.ask_person_token(mission_s256=mission["s256"])
    assert again.status == 200 and claims_of(body(again)["person_token"])["mission_s256"] == mission["s256"]


async def test_a_scope_inside_a_mission_is_still_for_the_person(world: World) -> None:
    """F55, §8.3, §11.10: the mission opens the resource, not what may be done there."""
    agent, browser, mission = await approved(world, resources=[RESOURCE])
    token = mission["person_tokens"][RESOURCE]
    asked = agent.challenged(token, "orders.read orders.place", mission_s256=mission["s256"])
    answer = await agent.ask_auth_token(asked, token)
    assert answer.status == 202
    await browser.open_next()
    await browser.decide("approved", "orders.read", memory="kept")
    granted = claims_of(body(await agent.poll(answer))["auth_token"])
    assert (granted["scope"], granted["mission_s256"]) == ("orders.read", mission["s256"])


async def test_consent_of_one_mission_is_none_of_another_or_of_none(world: World) -> None:
    """§8: what was agreed to for a mission is remembered for that mission."""
    agent, browser, mission = await approved(world, resources=[RESOURCE])
    token = mission["person_tokens"][RESOURCE]
    asked = agent.challenged(token, mission_s256=mission["s256"])
    answer = await agent.ask_auth_token(asked, token)
    await browser.open_next()
    await browser.decide("approved", "orders.read", memory="kept")
    assert (await agent.poll(answer)).status == 200
    same = await agent.ask_auth_token(agent.challenged(token, mission_s256=mission["s256"]), token)
    assert same.status == 200
    assert (await agent.ask_person_token()).status == 202


async def test_the_person_approves_less_in_other_words(world: World) -> None:
    """§8.2: fewer tools and resources, tighter limits, another description, an end."""
    agent, browser = world.agent(), Browser(world)
    tools = [{"name": "Search"}, {"name": "Book", "description": "Book *anything*"}]
    answer = await propose(agent, tools=tools, resources=[RESOURCE], limits={"tokens": 9})
    await browser.open_interaction(answer)
    await browser.sign_up()
    await browser.submit(
        "/decide/",
        "approved",
        tool=["Search"],
        resource=[],
        description="Only look.",
        ends="day",
        **{"limit-tokens": "2"},
    )
    mission = body(await agent.poll(answer))
    read = read_blob(b64url_decode(mission["mission"]))
    assert (read.description, [tool.name for tool in read.approved_tools]) == ("Only look.", ["Search"])
    assert read.approved_resources == () and "person_tokens" not in mission
    assert read.members["limits"] == {"tokens": 2}
    assert read.expires_at == int(world.clock()) + 24 * 3600


async def test_an_update_is_accepted_and_its_digest_is_of_the_kept_bytes(world: World) -> None:
    """PS-87, §8.4, §13.12: the mission keeps its name, and the person sees both."""
    agent, browser, mission = await approved(world)
    path = f"/mission/{mission['s256']}"
    answer = await agent.send("POST", path, {"action": "update", "description": "No hotel: another one."})
    assert answer.status == 202
    page = await browser.open_next()
    assert "Plan a trip" in page.html and "No hotel" in page.html
    await browser.submit("/decide/", "approved")
    digest = body(await agent.poll(answer))["s256"]
    assert digest != mission["s256"]
    second = await agent.send("POST", path, {"action": "update", "description": "And a museum."})
    page = await browser.open_next()
    assert "No hotel" in page.html and "And a museum" in page.html
    await browser.submit("/decide/", "denied")
    assert error_of(await agent.poll(second)) == (403, "denied")


async def test_only_the_person_ends_a_mission_that_is_done(world: World) -> None:
    """PS-84, PS-85, PS-90, §8.5, §8.6, §8.8: proposed, declined, accepted; final from then on."""
    agent, browser, mission = await approved(world, resources=[RESOURCE])
    path = f"/mission/{mission['s256']}"
    done = {"action": "completion", "summary": "Booked."}
    answer = await agent.send("POST", path, done)
    await browser.open_next()
    await browser.submit("/decide/", "denied")
    assert error_of(await agent.poll(answer)) == (403, "denied")
    assert (await agent.ask_person_token(mission_s256=mission["s256"])).status == 200
    answer = await agent.send("POST", path, done)
    await browser.open_next()
    await browser.submit("/decide/", "approved")
    assert (await agent.poll(answer)).status == 200
    for over in (
        await agent.send("POST", path, done),
        await agent.send("POST", path, {"action": "update", "description": "More."}),
        await agent.ask_person_token(mission_s256=mission["s256"]),
        await agent.send("POST", "/permission", {"action": "x", "mission_s256": mission["s256"]}),
        await agent.send("POST", "/audit", {"action": "x", "mission_s256": mission["s256"]}),
    ):
        assert error_of(over) == (403, "mission_terminated")
        assert body(over)["mission_status"] == "terminated" and body(over)["termination_reason"] == "completed"


async def test_a_mission_past_its_end_is_over_on_every_path(world: World) -> None:
    """PS-89, §8.2: tokens end with it, and afterwards nothing acts on it."""
    soon = int(world.clock()) + 600
    agent, browser, mission = await approved(world, resources=[RESOURCE], expires_at=format_time(soon))
    token = mission["person_tokens"][RESOURCE]
    assert claims_of(token)["exp"] == soon
    asked = agent.challenged(token, mission_s256=mission["s256"])
    waiting = await agent.ask_auth_token(asked, token)
    world.clock.pass_(601)
    answer = await agent.ask_person_token(mission_s256=mission["s256"])
    assert error_of(answer) == (403, "mission_terminated") and body(answer)["termination_reason"] == "expired"
    assert waiting.status == 202
    await browser.get("/")
    assert (await agent.poll(waiting)).status != 200


async def test_another_agents_mission_is_as_if_it_were_none(world: World) -> None:
    """PS-86, F59, §8.7: one answer in status, error, body and headers, at every endpoint."""
    _, browser, mission = await approved(world)
    other = world.agent("writer")
    await world.introduced(other, browser)
    unknown = mission_s256(b"{}")
    for path, more in (
        (None, {"action": "update", "description": "x"}),
        (None, {"action": "completion", "summary": "x"}),
        ("/person", {"resource": RESOURCE}),
        ("/permission", {"action": "x"}),
        ("/audit", {"action": "x"}),
        ("/interaction", {"type": "question", "question": "x"}),
    ):
        answers = []
        for s256 in (mission["s256"], unknown):
            named = {} if path is None else {"mission_s256": s256}
            answers.append(await other.send("POST", path or f"/mission/{s256}", {**more, **named}))
        theirs, nobodys = answers
        assert error_of(theirs) == (404, "mission_not_found")
        assert (theirs.status, theirs.headers, theirs.body) == (nobodys.status, nobodys.headers, nobodys.body)


@pytest.mark.parametrize(
    "sent",
    [{}, {"action": "approve"}, {"action": "update"}, {"action": "completion"}, {"description": "x"}, {"action": 1}],
)
async def test_a_missions_own_url_takes_two_actions_and_no_other(world: World, sent: dict[str, Any]) -> None:
    """PS-86, §8: missing or unknown is 400, before anything is said of the mission."""
    agent, _, mission = await approved(world)
    assert error_of(await agent.send("POST", f"/mission/{mission['s256']}", sent)) == (400, "invalid_request")
    assert error_of(await agent.send("POST", "/mission/x", {"action": "update", "description": "x"})) == (
        400,
        "invalid_request",
    )


async def test_a_permission_is_asked_unless_the_mission_approved_the_tool(world: World) -> None:
    """F58, §7.7.2, §8.2: granted, denied with 200, or the person decides."""
    agent, browser, mission = await approved(world, tools=[{"name": "Search"}])
    named = {"mission_s256": mission["s256"]}
    at_once = await agent.send("POST", "/permission", {"action": "Search", **named})
    assert (at_once.status, body(at_once)) == (200, {"permission": "granted"})
    for button, said in (("approved", "granted"), ("denied", "denied")):
        answer = await agent.send("POST", "/permission", {"action": "SendEmail", "parameters": {"to": "x"}, **named})
        assert answer.status == 202
        page = await browser.open_next()
        assert "SendEmail" in page.html
        await browser.submit("/decide/", button)
        assert body(await agent.poll(answer))["permission"] == said


async def test_limits_are_checked_before_anybody_is_asked(world: World) -> None:
    """§8.2: the limit is named, and what was refused was never shown."""
    agent, browser, mission = await approved(
        world,
        tools=[{"name": "Pay"}],
        resources=[RESOURCE],
        limits={"permissions": 3, "tokens": 2, "amounts": {"price": {"each": 100, "total": 150}}},
    )
    named = {"mission_s256": mission["s256"]}

    async def pay(price: object) -> dict[str, Any]:
        return body(await agent.send("POST", "/permission", {"action": "Pay", "parameters": {"price": price}, **named}))

    assert (await pay(101)) == {"permission": "denied", "reason": "amounts: price is at most 100 each time"}
    assert (await pay("many"))["permission"] == "denied"
    assert (await pay(100)) == {"permission": "granted"}
    assert (await pay(60))["reason"] == "amounts: price is at most 150 in all"
    assert (await pay(50)) == {"permission": "granted"}
    assert (await pay(0)) == {"permission": "granted"}
    assert (await pay(0))["reason"] == "permissions: this mission may ask for at most 3"
    assert (await agent.ask_person_token(**named)).status == 200
    over = await agent.ask_person_token(**named)
    assert error_of(over) == (403, "denied") and "at most 2" in body(over)["detail"]
    page = await browser.get("/")
    assert "Nothing waits for you" in page.html


async def test_a_question_is_answered_in_the_persons_words(world: World) -> None:
    """§7.6.2: 200 with the answer; an empty one is not sent."""
    agent, browser, mission = await approved(world)
    sent = {"type": "question", "question": "Aisle or window?", "mission_s256": mission["s256"]}
    answer = await agent.send("POST", "/interaction", sent)
    await browser.open_next()
    page = await browser.submit("/decide/", "approved", answer="")
    assert "Nothing was sent" in page.html
    await browser.submit("/decide/", "approved", answer="The window, please.")
    assert body(await agent.poll(answer)) == {"answer": "The window, please."}


async def test_a_relay_brings_the_person_to_the_other_page(world: World) -> None:
    """PS-95, §7.6.2, §11.6.3.2: with the code, and terminal once they went."""
    agent, browser, _ = await approved(world)
    sent = {"type": "payment", "url": "https://booking.example/confirm", "code": "X7K2-M9P4"}
    answer = await agent.send("POST", "/interaction", sent)
    page = await browser.open_next()
    assert "booking.example" in page.html
    await browser.submit("/decide/", "approved")
    assert browser.left == "https://booking.example/confirm?code=X7K2-M9P4"
    assert (await agent.poll(answer)).status == 200


@pytest.mark.parametrize("sort", ["completion", "", None, "claims"])
async def test_an_interaction_is_of_three_types(world: World, sort: object) -> None:
    """PS-84, PS-95, §7.6.1."""
    agent, _, _ = await approved(world)
    assert error_of(await agent.send("POST", "/interaction", {"type": sort, "url": "https://a.example/x"})) == (
        400,
        "invalid_request",
    )


async def test_what_was_done_is_taken_into_the_log_in_order(world: World) -> None:
    """PS-80, §7.8, §8.3: 201, and the mission's log says what happened, one after the other."""
    agent, _, mission = await approved(world, resources=[RESOURCE], tools=[{"name": "Search"}])
    named = {"mission_s256": mission["s256"]}
    assert (await agent.send("POST", "/permission", {"action": "Search", **named})).status == 200
    record = {"action": "Search", "result": {"found": 12}, **named}
    answer = await agent.send("POST", "/audit", record)
    assert (answer.status, answer.body) == (201, b"")
    log = await world.server.steward.mission_log(mission["s256"])
    assert [entry.number for entry in log] == list(range(1, len(log) + 1))
    assert [entry.kind for entry in log] == ["approved", "token", "permission", "audit"]
    assert log[-1].entry == {"action": "Search", "result": {"found": 12}}
    assert error_of(await agent.send("POST", "/audit", {"action": "Search"})) == (400, "invalid_request")
