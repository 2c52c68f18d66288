"""Rules that answer before a person is asked (draft-11 §7.7.2, §8.5, §13.14; autonomous authorization)."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.person.rules import EMPTY, read_rules
from tests.flows.test_missions import approved, propose
from tests.plugins.people import PROVIDER, RESOURCE, AgentParty, Browser, World, body, claims_of, error_of

pytestmark = pytest.mark.anyio

READ = """
[[rule]]
name = "orders may be read"
kinds = ["identity", "scope"]
resource = "https://orders.example"
when = 'agent.provider == "https://agents.example" && request.kind in ["identity", "scope"]'
then = "may decide"
"""
NEVER_CANCEL = """
[[rule]]
name = "nothing is cancelled"
kinds = ["scope"]
scope = ["orders.cancel"]
then = "never"
reason = "orders are never cancelled by an agent"
"""


async def bound(world: World, rules: str) -> tuple[AgentParty, Browser]:
    """An agent whose person was named ahead, and rules in force; nobody is awake."""
    browser = Browser(world)
    await browser.sign_up()
    person = (await world.server.accounts.list())[0].id
    agent = world.agent()
    await world.server.steward.bind(PROVIDER, agent.sub, person)
    await world.server.steward.set_rules(read_rules(rules))
    return agent, browser


async def scope(agent: AgentParty, token: str, asked: str = "orders.read", **parameters: Any) -> Any:
    return await agent.ask_auth_token(agent.challenged(token, asked), token, **parameters)


async def test_where_a_rule_may_decide_no_page_is_opened(world: World) -> None:
    """An agent works with no person awake: 200 at once, and the record says which rule."""
    agent, browser = await bound(world, READ)
    identity = await agent.ask_person_token(capabilities=[])
    assert identity.status == 200
    token = body(identity)["person_token"]
    granted = await scope(agent, token, capabilities=[])
    assert claims_of(body(granted)["auth_token"])["scope"] == "orders.read"
    page = await browser.get("/")
    assert "Nothing waits for you" in page.html


async def test_a_rule_never_gives_an_agent_its_person(world: World) -> None:
    """§13.14: an unbound agent waits for a person, whatever the rules say."""
    await world.server.steward.set_rules(read_rules(READ))
    assert (await world.agent().ask_person_token()).status == 202


async def test_never_wins_and_is_said_with_its_public_reason(world: World) -> None:
    """403 `denied` with `detail`, at the first request and wherever the value is among others."""
    agent, _ = await bound(world, READ + NEVER_CANCEL)
    token = body(await agent.ask_person_token())["person_token"]
    for asked in ("orders.cancel", "orders.read orders.cancel"):
        answer = await scope(agent, token, asked)
        assert error_of(answer) == (403, "denied")
        assert body(answer)["detail"] == "orders are never cancelled by an agent"
    assert (await scope(agent, token)).status == 200


async def test_never_holds_for_remembered_consent_and_what_waits(world: World) -> None:
    """Each path: remembered consent, refresh, and a request whose person said yes already."""
    agent, browser, token = await world.introduced()
    answer = await scope(agent, token, "orders.cancel")
    await browser.open_next()
    await browser.decide("approved", "orders.cancel", memory="kept")
    assert (await agent.poll(answer)).status == 200
    waiting = await scope(agent, token, "orders.cancel orders.place")
    await browser.open_next()
    await browser.decide("approved", "orders.cancel", "orders.place", memory="kept")
    await world.server.steward.set_rules(read_rules(NEVER_CANCEL))
    assert error_of(await agent.poll(waiting)) == (403, "denied")
    assert error_of(await scope(agent, token, "orders.cancel")) == (403, "denied")
    await world.server.steward.set_rules(EMPTY)
    assert (await scope(agent, token, "orders.cancel")).status == 200


async def test_never_holds_for_another_request_in_its_place_and_for_updates(world: World) -> None:
    """§7.5.2.2, §8.4: what an agent puts in the place of a request is judged as the first; so is a mission's update."""
    agent, browser, token = await world.introduced()
    never = NEVER_CANCEL + '[[rule]]\nname = "as it is"\nkinds = ["update"]\nthen = "never"\n'
    await world.server.steward.set_rules(read_rules(never))
    waiting = await scope(agent, token, capabilities=["interaction", "clarification"])
    await browser.open_next()
    await browser.ask("Nothing else?")
    more = agent.challenged(token, "orders.read orders.cancel")
    answer = await agent.say(waiting, "updated_request", resource_token=more, presented_token=token)
    assert answer.status == 202
    await browser.open_next()
    await browser.decide("approved", "orders.read", "orders.cancel")
    assert error_of(await agent.poll(waiting)) == (403, "denied")
    world.clock.pass_(120)
    planner, _, mission = await approved(world, world.agent("planner-2"), browser)
    sent = {"action": "update", "description": "x"}
    assert error_of(await planner.send("POST", f"/mission/{mission['s256']}", sent)) == (403, "denied")


async def test_a_persons_no_beats_what_a_rule_may_decide(world: World) -> None:
    """Denied, unticked or taken back: from then on the person is asked, until they say yes."""
    agent, browser = await bound(world, READ)
    token = body(await agent.ask_person_token())["person_token"]
    assert (await scope(agent, token)).status == 200
    asked = await scope(agent, token, prompt="consent")
    assert asked.status == 202
    await browser.open_next()
    await browser.decide("denied")
    assert error_of(await agent.poll(asked)) == (403, "denied")
    again = await scope(agent, token)
    assert again.status == 202
    await browser.open_next()
    await browser.decide("approved", "orders.read", memory="once")
    assert (await agent.poll(again)).status == 200


async def test_must_ask_wins_over_may_decide(world: World) -> None:
    ask = '[[rule]]\nname = "ask"\nkinds = ["scope"]\nwhen = "size(grant.scope) > 1"\nthen = "must ask"\n'
    agent, _ = await bound(world, READ + ask)
    token = body(await agent.ask_person_token())["person_token"]
    assert (await scope(agent, token, "orders.read orders.place")).status == 202
    assert (await scope(agent, token, "orders.place")).status == 200


async def test_a_rule_that_cannot_be_decided_denies(world: World) -> None:
    """An error of the engine is no yes, though it gives a truthy value."""
    when = "action.parameters.price < 10.0"
    rule = f'[[rule]]\nname = "cheap"\nkinds = ["permission"]\nwhen = "{when}"\nthen = "may decide"\n'
    agent, _ = await bound(world, rule)
    free = await agent.send("POST", "/permission", {"action": "Pay", "parameters": {"price": 3}})
    assert body(free) == {"permission": "granted"}
    for parameters in ({}, {"price": "3"}):
        answer = body(await agent.send("POST", "/permission", {"action": "Pay", "parameters": parameters}))
        assert answer == {"permission": "denied", "reason": "the rule cheap could not be decided"}


async def test_missions_and_updates_by_rule(world: World) -> None:
    """A mission and its updates may be decided; its completion is for the person alone (§8.5)."""
    rule = """
[[rule]]
name = "small missions"
kinds = ["mission", "update"]
when = 'request.kind == "update" || mission.resources.all(r, r == "https://orders.example")'
then = "may decide"
"""
    agent, _ = await bound(world, rule)
    answer = await propose(agent, resources=[RESOURCE])
    assert answer.status == 200
    s256 = body(answer)["s256"]
    assert RESOURCE in body(answer)["person_tokens"]
    update = await agent.send("POST", f"/mission/{s256}", {"action": "update", "description": "x"})
    assert update.status == 200 and len(body(update)["s256"]) == 43
    done = await agent.send(
        "POST", f"/mission/{s256}", {"action": "completion", "summary": "x", "capabilities": ["interaction"]}
    )
    assert done.status == 202
    log = await world.server.steward.mission_log(s256)
    assert log[0].entry["by"].startswith("rule small missions ")


async def test_nobody_to_ask_and_prompt_none_is_user_unreachable(world: World) -> None:
    """PS-12, §7.1: `prompt=none` that would need the person is 403, and never a page."""
    agent = world.agent()
    assert error_of(await agent.ask_person_token(prompt="none")) == (403, "user_unreachable")
    known, _, _ = await world.introduced()
    assert (await known.ask_person_token(prompt="none")).status == 200


async def test_rules_of_one_process_are_in_force_in_all(world: World) -> None:
    agent, _ = await bound(world, READ)
    other = world.make_server(world.database)
    await other.start()
    await other.steward.set_rules(EMPTY)
    assert (await agent.ask_person_token()).status == 202


async def test_a_tool_of_the_mission_is_asked_about_where_a_rule_says_so(world: World) -> None:
    agent, _, mission = await approved(world, tools=[{"name": "Search"}])
    ask = '[[rule]]\nname = "ask"\nkinds = ["permission"]\nthen = "must ask"\n'
    await world.server.steward.set_rules(read_rules(ask))
    sent = {"action": "Search", "mission_s256": mission["s256"]}
    assert (await agent.send("POST", "/permission", sent)).status == 202
