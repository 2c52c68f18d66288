"""The course of a mission: talked about, lost on its way and found again, replaced, seen whole (draft-11 §7.5, §8)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from aauthkit.person.answers import FOR
from aauthkit.person.rules import read_rules
from aauthkit.protocol.jose import b64url_decode, b64url_encode
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.missions import read_blob
from tests.flows.test_missions import ABLE, TRIP, approved, propose
from tests.plugins.people import (
    PROVIDER,
    RESOURCE,
    AgentParty,
    Browser,
    World,
    body,
    claims_of,
    error_of,
    requirement,
)

pytestmark = pytest.mark.anyio


async def next_one(
    agent: AgentParty, browser: Browser, waiting: Answer, button: str = "approved", **form: Any
) -> Answer:
    """The person answers what waits for them, and the agent fetches it."""
    assert waiting.status == 202, waiting.body
    await browser.open_next()
    await browser.submit("/decide/", button, **form)
    return await agent.poll(waiting)


# Talk


async def test_a_mission_is_talked_about_before_it_is_approved(world: World) -> None:
    """§7.5, §8.1: five rounds at most; the agent's answers are its own words, and part of the mission's log."""
    agent, browser = world.agent(), Browser(world)
    answer = await propose(agent)
    await browser.open_interaction(answer)
    await browser.sign_up()
    for number in range(5):
        await browser.ask(f"Why {number}?")
        asked = await agent.poll(answer)
        found = requirement(asked)
        assert found is not None and found.value == "clarification"
        assert body(asked)["clarification"] == f"Why {number}?"
        said = await agent.say(answer, clarification_response=f"Because *{number}*.")
        assert said.status == 202
        await browser.get(browser.page.url)  # type: ignore[union-attr]
    page = browser.page
    assert page is not None and not page.has_form(f"{page.url}/ask") and "as often as" in page.text
    assert page.html.count("answers") >= 5
    await browser.submit("/decide/", "approved")
    mission = body(await agent.poll(answer))
    log = await world.server.steward.mission_log(mission["s256"])
    talk = log[0].entry["talk"]
    assert [turn["question"] for turn in talk] == [f"Why {number}?" for number in range(5)]
    assert talk[4]["answer"] == "Because *4*."


async def test_talk_within_a_mission_is_in_its_log_whatever_comes_of_the_request(world: World) -> None:
    """PS-84, §7.5, §8.3, §8.5: a completion is answered with a question, and the mission goes on."""
    agent, browser, mission = await approved(world)
    done = {"action": "completion", "summary": "Booked."}
    answer = await agent.send("POST", f"/mission/{mission['s256']}", done)
    await browser.open_next()
    await browser.ask("Which hotel?")
    assert body(await agent.poll(answer))["clarification"] == "Which hotel?"
    await agent.say(answer, clarification_response="The second one.")
    await agent.send("DELETE", answer.header("location") or "")
    log = await world.server.steward.mission_log(mission["s256"])
    assert [(one.kind, one.entry.get("event")) for one in log[1:]] == [
        ("completion", "asked"),
        ("clarification", "asked back"),
        ("clarification", "answered"),
    ]
    assert (await agent.send("POST", "/audit", {"action": "x", "mission_s256": mission["s256"]})).status == 201


# Capabilities


async def test_what_the_agent_can_do_is_remembered_for_the_mission_and_refreshed_by_a_request(world: World) -> None:
    """§7.1, §7.2.1, §8.2: as captured at the approval where a request says nothing; what it says holds for it alone."""
    agent, _, mission = await approved(world)
    world.clock.pass_(120)
    named = {"mission_s256": mission["s256"]}
    remembered = await agent.send("POST", "/permission", {"action": "one", **named})
    found = requirement(remembered)
    assert found is not None and found.value == "interaction"
    refreshed = await agent.send("POST", "/permission", {"action": "two", "capabilities": [], **named})
    assert error_of(refreshed) == (403, "user_unreachable")
    again = await agent.send("POST", "/permission", {"action": "three", **named})
    assert again.status == 202
    outside = await agent.send("POST", "/permission", {"action": "four"})
    assert error_of(outside) == (403, "user_unreachable")
    row = await world.database.fetch_one("SELECT capabilities FROM person_missions")
    assert row is not None and row["capabilities"].split() == sorted(ABLE)


async def test_the_servers_capabilities_say_whether_it_reaches_the_person_now(world: World) -> None:
    """PS-82, §8.2: outside the blob, and about this moment."""
    _, _, mission = await approved(world)
    assert mission["capabilities"] == ["interaction", "payment"]
    assert "capabilities" not in json.loads(b64url_decode(mission["mission"]))
    world.clock.pass_(120)
    rule = '[[rule]]\nname = "all"\nkinds = ["mission"]\nthen = "may decide"\n'
    await world.server.steward.set_rules(read_rules(rule))
    agent = world.agent("writer")
    person = (await world.server.accounts.list())[0].id
    await world.server.steward.bind(PROVIDER, agent.sub, person)
    assert body(await propose(agent, description="While they sleep"))["capabilities"] == []


# Lost on the way


async def test_a_lost_approval_is_given_again_and_nobody_is_asked(world: World) -> None:
    """§8.2: the same mission with a token for each resource, for a bounded time, to the same agent and key."""
    agent, _, mission = await approved(world, resources=[RESOURCE])
    again = await propose(agent, resources=[RESOURCE])
    assert again.status == 200 and body(again)["s256"] == mission["s256"]
    assert body(again)["mission"] == mission["mission"]
    assert claims_of(body(again)["person_tokens"][RESOURCE])["mission_s256"] == mission["s256"]
    assert (await propose(agent, resources=[RESOURCE], description="Something else")).status == 202
    person = (await world.server.accounts.list())[0].id
    assert len(await world.server.steward.missions(person)) == 1
    twin = world.agent()
    assert (await propose(twin, resources=[RESOURCE])).status == 202
    world.clock.pass_(FOR)
    assert (await propose(agent, resources=[RESOURCE])).status == 202


async def test_a_mission_that_has_ended_is_not_given_again(world: World) -> None:
    """PS-85, §8.6: an equal proposal is a new question then."""
    agent, _, mission = await approved(world)
    person = (await world.server.accounts.list())[0].id
    await world.server.steward.end_mission(person, mission["s256"])
    assert (await propose(agent)).status == 202


async def test_a_mission_by_a_rule_is_given_again_as_well(world: World) -> None:
    rule = '[[rule]]\nname = "all"\nkinds = ["mission"]\nthen = "may decide"\n'
    await world.server.steward.set_rules(read_rules(rule))
    await Browser(world).sign_up()
    agent, person = world.agent(), (await world.server.accounts.list())[0].id
    await world.server.steward.bind(PROVIDER, agent.sub, person)
    first, second = body(await propose(agent)), body(await propose(agent))
    assert first["s256"] == second["s256"]
    assert len(await world.server.steward.missions(person)) == 1


async def test_a_lost_update_and_a_lost_answer_are_given_again(world: World) -> None:
    """§7.6.2, §8.4: once accepted, it is accepted once; once answered, the person is not asked twice."""
    agent, browser, mission = await approved(world)
    path = f"/mission/{mission['s256']}"
    update = {"action": "update", "description": "Another hotel."}
    first = await next_one(agent, browser, await agent.send("POST", path, update))
    again = await agent.send("POST", path, update)
    assert again.status == 200 and body(again) == body(first)
    assert [one.kind for one in await world.server.steward.mission_log(mission["s256"])].count("update") == 1
    asked = {"type": "question", "question": "Window?", "mission_s256": mission["s256"]}
    first = await next_one(agent, browser, await agent.send("POST", "/interaction", asked), answer="Yes.")
    again = await agent.send("POST", "/interaction", asked)
    assert (again.status, body(again)) == (200, {"answer": "Yes."})
    world.clock.pass_(FOR)
    await browser.get("/")
    assert (await agent.send("POST", "/interaction", asked)).status == 202


async def test_a_permission_is_never_given_again_by_itself(world: World) -> None:
    """§7.7: doing the same once more is another act, for the person and for the limits."""
    agent, browser, mission = await approved(world)
    sent = {"action": "Pay", "parameters": {"price": 5}, "mission_s256": mission["s256"]}
    granted = await next_one(agent, browser, await agent.send("POST", "/permission", sent))
    assert body(granted) == {"permission": "granted"}
    assert (await agent.send("POST", "/permission", sent)).status == 202


async def test_an_accepted_completion_says_so_when_it_is_sent_again(world: World) -> None:
    """PS-84, PS-90, §8.8: the mission is over, and the reason is the answer that was lost."""
    agent, browser, mission = await approved(world)
    path, done = f"/mission/{mission['s256']}", {"action": "completion", "summary": "Booked."}
    assert (await next_one(agent, browser, await agent.send("POST", path, done))).status == 200
    again = await agent.send("POST", path, done)
    assert error_of(again) == (403, "mission_terminated") and body(again)["termination_reason"] == "completed"


# Replaced


async def test_a_mission_may_take_the_place_of_another(world: World) -> None:
    """PS-90, §8.4, §8.6: the person says so; the old one ends as superseded, with what was issued under it."""
    agent, browser, old = await approved(world, resources=[RESOURCE])
    token = old["person_tokens"][RESOURCE]
    waiting = await agent.send("POST", "/permission", {"action": "x", "mission_s256": old["s256"]})
    answer = await propose(agent, description="Another trip altogether.")
    links = [link for link in (await browser.get("/")).links if link.startswith("/decide/")]
    for link in links:
        page = await browser.get(link)
        if "Another trip altogether" in page.text and "takes the place" in page.text:
            break
    await browser.submit("/decide/", "approved", replaces=old["s256"])
    new = body(await agent.poll(answer))
    over = await agent.ask_person_token(mission_s256=old["s256"])
    assert error_of(over) == (403, "mission_terminated") and body(over)["termination_reason"] == "superseded"
    assert error_of(await agent.poll(waiting)) == (403, "revoked")
    stale = await agent.ask_auth_token(agent.challenged(token, mission_s256=old["s256"]), token)
    assert stale.status in (400, 403)
    log = await world.server.steward.mission_log(new["s256"])
    assert log[0].entry["replaces"] == old["s256"]


async def test_many_updates_are_shown_together_and_verifiable(world: World) -> None:
    """PS-87, §8.4, §13.12: each digest is of the bytes on record, and the person sees all that was accepted before."""
    agent, browser, mission = await approved(world)
    path = f"/mission/{mission['s256']}"
    digests = []
    for number in range(3):
        answer = await agent.send("POST", path, {"action": "update", "description": f"Change {number}."})
        page = await browser.open_next()
        assert [f"Change {n}." in page.text for n in range(3)] == [n <= number for n in range(3)]
        assert "Plan a trip" in page.text
        await browser.submit("/decide/", "approved")
        digests.append(body(await agent.poll(answer))["s256"])
    rows = await world.database.fetch_all(
        "SELECT entry, s256 FROM person_mission_log WHERE kind = 'update' ORDER BY number"
    )
    kept = [b64url_encode(hashlib.sha256(row["entry"].encode()).digest()) for row in rows]
    assert digests == kept == [row["s256"] for row in rows]


# Published


async def test_a_missions_own_url_is_below_the_endpoint_that_is_published(world: World) -> None:
    """PS-04, §11.2.2: `{mission_endpoint}/{mission_s256}`; reading is no operation of the agent's (§8.6)."""
    document = world.server
    metadata = body(await document.metadata(None))  # type: ignore[arg-type]
    assert "mission_control_endpoint" not in metadata
    agent, browser, mission = await approved(world)
    url = f"{metadata['mission_endpoint']}/{mission['s256']}"
    answer = await agent.send("POST", url, {"action": "update", "description": "x"})
    assert (await next_one(agent, browser, answer)).status == 200
    for method in ("GET", "DELETE", "PUT"):
        assert (await agent.send(method, url)).status == 405


async def test_the_bytes_of_a_mission_are_the_same_wherever_they_are_served(world: World) -> None:
    """PS-82, §8.2.1: to the agent, on record, and to whoever runs the server; without what nobody could see."""
    _, _, mission = await approved(world, description="Grüße, 東京 \u202e <b>&amp;")
    person = (await world.server.accounts.list())[0].id
    own = (await world.server.steward.missions(person))[0]
    assert own.blob == b64url_decode(mission["mission"])
    assert read_blob(own.blob, s256=mission["s256"]).description == "Grüße, 東京  <b>&amp;"


# On the person's pages


async def test_a_person_sees_their_missions_and_ends_one(world: World) -> None:
    """F83, §8.6: with what happened in it, in order, and the agent's words as such."""
    agent, browser, mission = await approved(world, tools=[{"name": "Search"}], limits={"tokens": 3})
    named = {"mission_s256": mission["s256"]}
    await agent.send("POST", "/permission", {"action": "Search", **named})
    await agent.send("POST", "/audit", {"action": "Look <b>", "description": "found *12*", **named})
    page = await browser.get("/missions")
    assert "running" in page.text and "Plan a trip" in page.text
    page = await browser.get(f"/missions/{mission['s256']}")
    assert "tokens asked for at most 3 times" in page.text and "Search" in page.text
    assert "The agent reports: Look <b>" in page.text and "<b>" not in page.html.partition("What happened")[2]
    await browser.submit(f"/missions/{mission['s256']}")
    assert browser.page is not None and "ended by you" in browser.page.text
    over = await agent.send("POST", "/permission", {"action": "Search", **named})
    assert error_of(over) == (403, "mission_terminated") and body(over)["termination_reason"] == "revoked"


async def test_a_person_stops_starts_and_lets_go_an_agent(world: World) -> None:
    """F83, §11.12.3, §13.14: and reads what each place said."""
    agent, browser, _ = await world.introduced()
    page = await browser.get("/agents")
    assert "planner" in page.text and "agents.example" in page.text
    await browser.submit("/agents/stop")
    assert error_of(await agent.ask_person_token()) == (403, "denied")
    await world.server.deliver_revocations()
    page = await browser.get("/agents")
    assert "stopped" in page.text and "orders.example cannot be told" in page.text
    await browser.submit("/agents/start")
    assert (await agent.ask_person_token()).status == 200
    await browser.get("/agents")
    page = await browser.submit("/agents/release")
    assert "No agent acts for you yet" in page.text
    assert (await agent.ask_person_token()).status == 202


async def test_their_forms_are_guarded_as_every_form(world: World) -> None:
    """F77, §13.13: the session's token, and an Origin that is this server's."""
    agent, browser, mission = await approved(world)
    fields = [("provider", PROVIDER), ("agent", agent.sub)]
    for path in ("/agents/stop", f"/missions/{mission['s256']}"):
        page = await browser.get(path.rpartition("/")[0])
        csrf = next(value for form in page.forms for name, value in form.fields if name == "csrf")
        assert (await browser.post(path, fields)).status == 403
        assert (await browser.post(path, [("csrf", csrf), *fields], origin="https://evil.example")).status == 403
        assert (await browser.post(path, [("csrf", csrf), *fields], origin="")).status == 403
    assert (await agent.ask_person_token(mission_s256=mission["s256"])).status == 202
    assert TRIP.startswith("# Plan")
