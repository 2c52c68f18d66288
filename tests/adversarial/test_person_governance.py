"""What only an agent's own person may bring about, and what no agent does for itself (draft-11 §8.7, §13.13)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.test_missions import approved, propose
from tests.plugins.people import PROVIDER, RESOURCE, AgentParty, Browser, World, body, claims_of, error_of, granted

pytestmark = pytest.mark.anyio


async def two_missions(world: World) -> tuple[AgentParty, Browser, dict[str, Any], dict[str, Any]]:
    """An agent with two missions that run, each with a person token for the same resource."""
    agent, browser, first = await approved(world, resources=[RESOURCE])
    answer = await propose(agent, resources=[RESOURCE], description="Another one.")
    await browser.open_next()
    await browser.submit("/decide/", "approved")
    second = body(await agent.poll(answer))
    assert first["s256"] != second["s256"]
    return agent, browser, first, second


# Another agent's


async def test_another_agents_mission_is_not_found_at_any_endpoint_and_left_as_it_was(world: World) -> None:
    """PS-86, F59, §8.7: also to an agent of the same person."""
    owner, browser, mission = await approved(world)
    other = world.agent("writer")
    await world.introduced(other, browser)
    for path, sent in (
        (f"/mission/{mission['s256']}", {"action": "completion", "summary": "done"}),
        ("/person", {"resource": RESOURCE, "mission_s256": mission["s256"]}),
        ("/permission", {"action": "Search", "mission_s256": mission["s256"]}),
        ("/audit", {"action": "Search", "mission_s256": mission["s256"]}),
        ("/interaction", {"type": "question", "question": "?", "mission_s256": mission["s256"]}),
    ):
        assert error_of(await other.send("POST", path, sent)) == (404, "mission_not_found")
    log = await world.server.steward.mission_log(mission["s256"])
    assert [entry.kind for entry in log] == ["approved"]
    assert (await owner.send("POST", "/audit", {"action": "x", "mission_s256": mission["s256"]})).status == 201


async def test_another_agents_pending_request_is_not_found(world: World) -> None:
    """F60, §13.2: not to poll, to answer, or to withdraw; also not for the same agent under another key."""
    owner, browser, mission = await approved(world)
    waiting = await owner.send("POST", "/permission", {"action": "x", "mission_s256": mission["s256"]})
    location = waiting.header("location") or ""
    other = world.agent("writer")
    await world.introduced(other, browser)
    twin = world.agent()
    for stranger in (other, twin):
        assert error_of(await stranger.poll(waiting)) == (404, "not_found")
        assert error_of(await stranger.send("DELETE", location)) == (404, "not_found")
        assert error_of(await stranger.say(waiting, clarification_response="yes")) == (404, "not_found")
    assert (await owner.poll(waiting)).status == 202


async def test_another_agents_consent_is_no_consent(world: World) -> None:
    """F53: what a person allowed one agent, a second one of theirs is asked about anew, with its own token only."""
    owner, browser, token = await world.introduced()
    await granted(owner, browser, token, "orders.read", "orders.read")
    other = world.agent("writer")
    await world.introduced(other, browser)
    own = body(await other.ask_person_token())["person_token"]
    assert (await other.ask_auth_token(other.challenged(own), own)).status == 202
    assert error_of(await other.ask_auth_token(other.challenged(token), token)) == (400, "invalid_presented_token")


# For itself


async def test_an_agent_decides_nothing_for_itself_by_any_endpoint(world: World) -> None:
    """§13.13: signed or not, with the code or without, no request of an agent's is a decision."""
    agent, _, mission = await approved(world)
    waiting = await agent.send("POST", "/permission", {"action": "x", "mission_s256": mission["s256"]})
    question = (await world.database.fetch_all("SELECT page FROM questions ORDER BY created DESC"))[0]["page"]
    pages = [f"{row['page']}" for row in await world.database.fetch_all("SELECT page FROM questions")]
    for page in {question, *pages}:
        for path, sent in (
            (f"/decide/{page}", {"verdict": "approved", "seen": "0"}),
            (f"/decide/{page}/ask", {"question": "?"}),
            (f"/decide/{page}/account", {"as": "me"}),
            (f"/decide/{page}/errand", {}),
            (f"/interaction/{page}", {"code": "0000-0000"}),
        ):
            assert (await agent.send("POST", path, sent)).status in (400, 403, 404, 415)
    for path in ("/agents/start", f"/missions/{mission['s256']}", "/allowed/x", "/signin", "/signup"):
        assert (await agent.send("POST", path, {"verdict": "approved"})).status in (400, 403, 404, 415)
    for sent in ({"action": "approve"}, {"action": "decide", "verdict": "approved"}, {"verdict": "approved"}):
        assert error_of(await agent.send("POST", waiting.header("location") or "", sent)) == (400, "invalid_request")
    assert (await agent.poll(waiting)).status == 202


async def test_a_second_person_cannot_claim_a_bound_agent(world: World) -> None:
    """§13.14: with the code of its next request in hand, whatever the request is for."""
    agent, ada, mission = await approved(world)
    bob = Browser(world)
    await bob.sign_up("Bob")
    named = {"mission_s256": mission["s256"], "capabilities": ["interaction"]}
    world.clock.pass_(120)  # Ada's page is gone, so that there is a code
    for path, sent in (
        ("/mission", {"description": "Mine now", "capabilities": ["interaction"]}),
        ("/permission", {"action": "x", **named}),
        ("/interaction", {"type": "question", "question": "Yours?", **named}),
        (f"/mission/{mission['s256']}", {"action": "completion", "summary": "x", **named}),
    ):
        answer = await agent.send("POST", path, sent)
        assert answer.status == 202
        await bob.open_interaction(answer)
        assert bob.page is not None and bob.page.status == 404
    assert {one.person for one in await world.server.steward.agents()} == {
        account.id for account in await world.server.accounts.list() if account.name == "Ada"
    }
    assert len((await ada.get("/")).links) > 4


async def test_a_stopped_agent_gets_nothing_anywhere_with_a_fresh_token(world: World) -> None:
    """F57, §11.12.4: nor may it write into a log, or answer a question."""
    agent, _, mission = await approved(world, tools=[{"name": "Search"}], resources=[RESOURCE])
    person = (await world.server.steward.agents())[0].person
    await world.server.steward.stop(person, PROVIDER, agent.sub)
    world.clock.pass_(1)
    named = {"mission_s256": mission["s256"]}
    for key in (None, "another"):
        agent.renew(world.agent("x").key if key else None)
        for path, sent in (
            ("/person", {"resource": RESOURCE, **named}),
            ("/permission", {"action": "Search", **named}),
            ("/audit", {"action": "Search", **named}),
            ("/interaction", {"type": "question", "question": "?", **named}),
            ("/interaction", {"type": "payment", "url": "https://pay.example/x", **named}),
            ("/mission", {"description": "x"}),
            (f"/mission/{mission['s256']}", {"action": "update", "description": "x"}),
        ):
            answer = await agent.send("POST", path, sent)
            assert answer.status == 403 and error_of(answer)[1] in ("denied", "user_unreachable"), (path, answer.body)
    assert [one.kind for one in await world.server.steward.mission_log(mission["s256"])][-1] != "audit"


# Missions between tokens


@pytest.mark.parametrize("lie", ["stripped", "invented", "swapped", "unknown"])
@pytest.mark.parametrize("presented", ["person token", "auth token"])
async def test_a_mission_is_neither_stripped_invented_nor_swapped(world: World, presented: str, lie: str) -> None:
    """F51, PS-31, §6.7.2: resource token and presented token name the same mission, or none."""
    agent, browser, first, second = await two_missions(world)
    token = first["person_tokens"][RESOURCE]
    mission: str | None = first["s256"]
    if lie == "invented":
        answer = await agent.ask_person_token()
        await browser.open_next()
        await browser.decide("approved", memory="kept")
        token, mission = body(await agent.poll(answer))["person_token"], None
    if presented == "auth token":
        named = {"mission_s256": mission} if mission is not None else {}
        answer = await agent.ask_auth_token(agent.challenged(token, **named), token)
        await browser.open_next()
        await browser.decide("approved", "orders.read", memory="kept")
        token = body(await agent.poll(answer))["auth_token"]
    said = {"stripped": {}, "invented": {"mission_s256": first["s256"]}, "swapped": {"mission_s256": second["s256"]}}
    claims = said.get(lie, {"mission_s256": "A" * 43})
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.place", **claims), token)
    assert error_of(answer) == (400, "invalid_resource_token")


async def test_a_mission_is_not_swapped_by_another_request_in_its_place(world: World) -> None:
    """PS-36, §7.5.2.2: both tokens of the new pair name another mission of the same agent."""
    agent, browser, first, second = await two_missions(world)
    token, other = first["person_tokens"][RESOURCE], second["person_tokens"][RESOURCE]
    asked = agent.challenged(token, "orders.read orders.place", mission_s256=first["s256"])
    waiting = await agent.ask_auth_token(asked, token, capabilities=["interaction", "clarification"])
    await browser.open_next()
    await browser.ask("Why both?")
    swapped = {
        "resource_token": agent.challenged(other, mission_s256=second["s256"]),
        "presented_token": other,
    }
    answer = await agent.say(waiting, "updated_request", **swapped)
    assert error_of(answer) == (400, "invalid_resource_token") and "mission_s256" in body(answer)["detail"]
    same = {"resource_token": agent.challenged(token, mission_s256=first["s256"]), "presented_token": token}
    assert (await agent.say(waiting, "updated_request", **same)).status == 202


async def test_a_resource_token_is_redeemed_with_the_token_it_names_and_no_other(world: World) -> None:
    """F51, PS-30, PS-31, §6.7.2 step 3: another token of the same agent, resource and person is not it."""
    agent, browser, token = await world.introduced()
    other = body(await agent.ask_person_token())["person_token"]
    assert claims_of(other)["jti"] != claims_of(token)["jti"]
    assert error_of(await agent.ask_auth_token(agent.challenged(token), other)) == (400, "invalid_resource_token")
    auth = await granted(agent, browser, token, "orders.read", "orders.read")
    assert error_of(await agent.ask_auth_token(agent.challenged(token), auth)) == (400, "invalid_resource_token")


# After the end


async def test_nothing_is_updated_after_termination(world: World) -> None:
    """PS-85, PS-87, §8.6: neither asked anew nor by what waited; and it does not become active again."""
    agent, browser, mission = await approved(world)
    path = f"/mission/{mission['s256']}"
    waiting = await agent.send("POST", path, {"action": "update", "description": "More."})
    page = await browser.open_next()
    person = (await world.server.steward.agents())[0].person
    await world.server.steward.end_mission(person, mission["s256"])
    over = await agent.send("POST", path, {"action": "update", "description": "More."})
    assert error_of(over) == (403, "mission_terminated") and body(over)["termination_reason"] == "revoked"
    answered = await browser.submit("/decide/", "approved")
    assert page.status == 200 and answered.status == 410
    assert error_of(await agent.poll(waiting)) == (403, "revoked")
    await world.server.steward.end_mission(person, mission["s256"], "administrative")
    again = await agent.send("POST", path, {"action": "completion", "summary": "x"})
    assert body(again)["termination_reason"] == "revoked"
    assert [one.kind for one in await world.server.steward.mission_log(mission["s256"])].count("update") == 0


async def test_what_waits_in_a_mission_ends_with_its_time(world: World) -> None:
    """PS-89, §8.2: a question lives no longer than its mission, and a late yes is none."""
    from aauthkit.protocol.missions import format_time

    agent, browser, mission = await approved(world, expires_at=format_time(int(world.clock()) + 600))
    waiting = await agent.send("POST", "/permission", {"action": "x", "mission_s256": mission["s256"]})
    await browser.open_next()
    world.clock.pass_(600)
    assert (await browser.submit("/decide/", "approved")).status == 410
    assert error_of(await agent.poll(waiting)) == (408, "expired")


async def test_limits_hold_where_many_requests_wait_at_once(world: World) -> None:
    """§8.2: asked before any was answered, they are counted one by one when they are."""
    agent, browser, mission = await approved(world, resources=[RESOURCE], limits={"permissions": 2, "tokens": 2})
    named = {"mission_s256": mission["s256"]}
    token = mission["person_tokens"][RESOURCE]
    waiting = [await agent.send("POST", "/permission", {"action": f"act {n}", **named}) for n in range(3)]
    said = []
    for _ in waiting:
        await browser.open_next()
        page = await browser.submit("/decide/", "approved")
        if page.status == 400:
            assert "at most 2" in page.text
            await browser.submit("/decide/", "denied")
        said.append(page.status)
    assert said == [200, 200, 400]
    outcomes = sorted([body(await agent.poll(one))["permission"] for one in waiting])
    assert outcomes == ["denied", "granted", "granted"]
    scopes = ["orders.read", "orders.place"]
    asked = [await agent.ask_auth_token(agent.challenged(token, one, **named), token) for one in scopes]
    for _ in scopes:
        page = await browser.open_next()
        await browser.submit("/decide/", "approved", scope=page.form("/decide/").options["scope"])
    statuses = sorted([(await agent.poll(one)).status for one in asked])
    assert statuses == [200, 403]


async def test_a_limit_on_tokens_holds_for_those_that_come_with_the_approval(world: World) -> None:
    """§8.2: a resource more than the limit allows is left out, and refused when it is asked for."""
    second = "https://other.example"
    agent, _, mission = await approved(world, resources=[RESOURCE, second], limits={"tokens": 1})
    assert len(mission["person_tokens"]) == 1
    left = next(one for one in (RESOURCE, second) if one not in mission["person_tokens"])
    answer = await agent.ask_person_token(left, mission_s256=mission["s256"])
    assert error_of(answer) == (403, "denied") and "tokens" in body(answer)["detail"]


async def test_an_agent_that_guesses_missions_is_held_back(world: World) -> None:
    """§8.7: repeated failures are limited, whether what it names exists or not."""
    agent, _, _ = await world.introduced()
    statuses = [(await agent.ask_person_token(mission_s256=f"{n:042}A")).status for n in range(62)]
    assert statuses[:60] == [404] * 60 and statuses[60:] == [429, 429]
    assert (await agent.ask_person_token()).status == 200
    world.clock.pass_(3601)
    agent.renew()
    assert (await agent.ask_person_token(mission_s256="A" * 43)).status == 404


async def test_a_proposal_does_not_say_what_it_replaces_for_the_person(world: World) -> None:
    """§8.6: only the person's form ends another mission, and only one of this agent's."""
    agent, browser, mission = await approved(world)
    answer = await propose(agent, description="Next", replaces=mission["s256"], mission_s256=mission["s256"])
    await browser.open_next()
    await browser.submit("/decide/", "approved")
    assert (await agent.poll(answer)).status == 200
    assert (await agent.send("POST", "/audit", {"action": "x", "mission_s256": mission["s256"]})).status == 201
    other = world.agent("writer")
    answer = await propose(other, description="Theirs")
    await browser.open_interaction(answer)
    page = await browser.submit("/decide/", "approved", replaces=mission["s256"])
    assert page.status == 404
    assert (await agent.send("POST", "/audit", {"action": "x", "mission_s256": mission["s256"]})).status == 201
