"""What a resource or an agent needs of a person at another page: there and back (draft-11 §7.2.3, §7.3.1, §7.6.2)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from aauthkit.protocol.messages import Answer
from tests.flows.test_missions import approved
from tests.plugins.people import (
    CALLBACK,
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

CONNECT = f"{RESOURCE}/connect"
WANTED = {"url": CONNECT, "code": "Q7K2-M9P4"}


async def asked(world: World, callback: str | None = None) -> tuple[AgentParty, Browser, str, Answer]:
    """A request whose resource needs the person at its own page first, with the person in front of ours."""
    agent, browser, token = await world.introduced()
    world.clock.pass_(120)
    answer = await agent.ask_auth_token(agent.challenged(token, interaction=WANTED), token)
    assert answer.status == 202
    await browser.open_interaction(answer, callback)
    return agent, browser, token, answer


async def set_out(browser: Browser) -> str:
    """Go to the resource's page; the way back from there."""
    assert browser.page is not None
    form = next(form.action for form in browser.page.forms if form.action.endswith("/errand"))
    await browser.submit(form)
    assert browser.left is not None
    url = urlsplit(browser.left)
    assert f"{url.scheme}://{url.netloc}{url.path}" == CONNECT
    query = parse_qs(url.query)
    assert query["code"] == ["Q7K2-M9P4"]
    back = query["callback"][0]
    assert back.startswith(f"{browser.world.ps_issuer}/back/") and "?" not in back
    return back.removeprefix(browser.world.ps_issuer)


async def test_the_person_goes_to_the_resource_before_anything_is_decided(world: World) -> None:
    """§7.2.3: an interstitial, the resource's page with the standard callback, and only then the consent."""
    agent, browser, _, answer = await asked(world)
    page = browser.page
    assert page is not None and "needs you first" in page.text and "orders.example" in page.text
    assert "See your orders" not in page.text
    back = await set_out(browser)
    assert (await agent.poll(answer)).status == 202
    await browser.get(back)
    assert browser.page is not None and "See your orders" in browser.page.text
    await browser.decide("approved", "orders.read", memory="kept")
    assert claims_of(body(await agent.poll(answer))["auth_token"])["scope"] == "orders.read"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("access_denied", (403, "denied")),
        ("user_abandoned", (403, "abandoned")),
        ("interaction_expired", (408, "expired")),
        ("server_error", (500, "server_error")),
        ("temporarily_unavailable", (500, "server_error")),
        ("something_else", (500, "server_error")),
        ("", (500, "server_error")),
    ],
)
async def test_an_error_of_the_callback_ends_the_request_as_it_is_mapped(
    world: World, error: str, expected: tuple[int, str]
) -> None:
    """§7.3.1, Table 6: and nothing is decided."""
    agent, browser, _, answer = await asked(world)
    back = await set_out(browser)
    page = await browser.get(f"{back}?error={error}")
    assert "called off" in page.text
    assert error_of(await agent.poll(answer)) == expected
    assert error_of(await agent.poll(answer)) == (410, "gone")


async def test_the_error_is_passed_on_to_the_agents_own_callback(world: World) -> None:
    """§7.3.1."""
    _, browser, _, _ = await asked(world, CALLBACK)
    back = await set_out(browser)
    await browser.get(f"{back}?error=user_abandoned")
    assert browser.left == f"{CALLBACK}?error=user_abandoned"


async def test_the_way_back_is_for_the_browser_that_set_out_and_works_once(world: World) -> None:
    """§13.5: neither the agent nor another person comes back in its place."""
    agent, browser, _, answer = await asked(world)
    ticket = await set_out(browser)
    page, _, _ = ticket.removeprefix("/back/").partition(".")
    bob = Browser(world)
    assert (await bob.get(ticket)).status == 404
    await bob.sign_up("Bob")
    assert (await bob.get(ticket)).status == 404
    assert (await agent.send("GET", ticket)).status == 404
    assert (await browser.get(f"/back/{page}.guessed")).status == 404
    assert (await browser.get(ticket)).status == 200
    assert (await browser.get(f"{ticket}?error=access_denied")).status == 404
    assert (await agent.poll(answer)).status == 202


async def test_nothing_is_approved_before_the_person_has_been_there(world: World) -> None:
    """§7.2.3: not by the form of a page that was never shown, nor by what was allowed before, nor by a rule."""
    from aauthkit.person.rules import read_rules

    agent, browser, token = await world.introduced()
    first = await agent.ask_auth_token(agent.challenged(token), token)
    await browser.open_next()
    await browser.decide("approved", "orders.read", memory="kept")
    assert (await agent.poll(first)).status == 200
    rule = '[[rule]]\nname = "all"\nkinds = ["scope"]\nthen = "may decide"\n'
    await world.server.steward.set_rules(read_rules(rule))
    answer = await agent.ask_auth_token(agent.challenged(token, interaction=WANTED), token)
    assert answer.status == 202
    page = await browser.open_next()
    path = page.url
    fields = [("csrf", dict(page.form(f"{path}/errand").fields)["csrf"]), ("seen", "0"), ("verdict", "approved")]
    forged = await browser.post(path, [*fields, ("scope", "orders.read")])
    assert forged.status == 400
    assert (await agent.poll(answer)).status == 202
    await browser.post(path, [*fields[:2], ("verdict", "denied")])
    assert error_of(await agent.poll(answer)) == (403, "denied")


@pytest.mark.parametrize("url", ["https://127.0.0.1/x", "https://10.1.2.3/x", "https://localhost/x", "https://[::1]/x"])
async def test_nobody_is_sent_where_this_server_would_not_go(world: World, url: str) -> None:
    """§7.2.3: the egress policy holds for the interaction's url too."""
    agent, _, token = await world.introduced()
    wanted = {"url": url, "code": "Q7K2-M9P4"}
    answer = await agent.ask_auth_token(agent.challenged(token, interaction=wanted), token)
    assert error_of(answer) == (400, "invalid_resource_token")


# Relays


async def relay(agent: AgentParty, **members: Any) -> Answer:
    sent = {"type": "interaction", "url": "https://booking.example/confirm", "code": "X7K2-M9P4", **members}
    return await agent.send("POST", "/interaction", sent)


async def test_a_relay_without_an_open_page_is_unavailable_and_not_terminal(world: World) -> None:
    """PS-95, §7.6.2, §7.6.3: 424 for an agent that can direct its person itself, 403 for one that cannot."""
    agent, _, _ = await world.introduced()
    world.clock.pass_(120)
    assert error_of(await relay(agent, capabilities=["interaction"])) == (424, "interaction_unavailable")
    assert error_of(await relay(agent)) == (403, "user_unreachable")
    assert error_of(await relay(world.agent("stranger"), capabilities=["interaction"])) == (
        424,
        "interaction_unavailable",
    )


async def test_a_relay_says_interacting_once_the_person_looks_and_ends_when_they_go(world: World) -> None:
    """§7.6.2."""
    agent, browser, _ = await world.introduced()
    answer = await relay(agent)
    assert body(answer)["status"] == "pending"
    await browser.open_next()
    seen = await agent.poll(answer)
    assert (seen.status, body(seen)["status"]) == (202, "interacting")
    await browser.submit("/decide/", "approved")
    assert browser.left == "https://booking.example/confirm?code=X7K2-M9P4"
    assert (await agent.poll(answer)).status == 200


async def test_a_relay_is_held_for_max_wait_and_no_longer(world: World) -> None:
    """§7.6.1, §7.6.2: then it is terminal, and the person is offered it no more."""
    agent, browser, _ = await world.introduced()
    answer = await relay(agent, max_wait=60)
    await browser.open_next()
    world.clock.pass_(60)
    assert (await browser.submit("/decide/", "approved")).status == 410
    assert browser.left is None
    assert error_of(await agent.poll(answer)) == (408, "expired")


async def test_a_relay_of_this_servers_own_page_is_answered_by_the_request_itself(world: World) -> None:
    """§7.6.2: hosted here, so that the deferred response is authoritative; of this agent's requests only."""
    agent, browser, token = await world.introduced()
    world.clock.pass_(120)
    first = await agent.ask_auth_token(agent.challenged(token), token)
    found = requirement(first)
    assert found is not None
    own = {"url": found.text("url"), "code": found.text("code"), "capabilities": ["interaction"]}
    assert error_of(await relay(agent, **own)) == (424, "interaction_unavailable")
    await browser.get("/")
    answer = await relay(agent, **own)
    assert (answer.status, answer.header("location")) == (202, first.header("location"))
    await browser.open_next()
    await browser.decide("approved", "orders.read")
    assert "auth_token" in body(await agent.poll(answer))
    other = world.agent("writer")
    await world.introduced(other, browser)
    assert error_of(await relay(other, **own)) == (400, "invalid_request")
    nothing = {**own, "url": f"{world.ps_issuer}/interaction/nothing"}
    assert error_of(await relay(other, **nothing)) == (400, "invalid_request")


async def test_a_relay_and_its_answer_are_in_the_missions_log_without_the_code(world: World) -> None:
    """PS-80, §7.6.2, §8.3."""
    agent, browser, mission = await approved(world)
    answer = await relay(agent, mission_s256=mission["s256"], description="Pay there")
    await browser.open_next()
    await browser.submit("/decide/", "denied")
    assert error_of(await agent.poll(answer)) == (403, "denied")
    log = await world.server.steward.mission_log(mission["s256"])
    assert [(one.kind, one.entry.get("event")) for one in log[1:]] == [
        ("interaction", "asked"),
        ("interaction", "denied"),
    ]
    assert "X7K2" not in str([one.entry for one in log]) and "Pay there" in str(log[1].entry)
