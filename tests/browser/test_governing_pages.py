"""Missions, actions, questions, errands and lists in a real Chromium, at a desk and on a phone (draft-11 §7, §8)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.async_api import Browser, Page, expect

from aauthkit.protocol.missions import format_time
from tests.browser.test_person_pages import SIZES, arrive, browser, open_page, sign_up, world
from tests.plugins.people import RESOURCE, AgentParty, World, body, error_of

pytestmark = pytest.mark.anyio
__all__ = ["browser", "world"]

TRIP = "# Plan Japan vacation\n\nFor **two adults**, around $5k. Propose an itinerary before booking anything."


async def fits(page: Page) -> None:
    """Nothing is wider than the screen."""
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    await page.wait_for_load_state("load")
    assert not await page.evaluate(wide), page.url


async def next_question(page: Page, world: World) -> None:
    await page.goto(world.ps_issuer)
    await page.get_by_role("link", name="Look at it").first.click()
    await expect(page.get_by_role("button", name="Not now: it may ask again")).to_be_visible()
    await fits(page)


async def mission_of(page: Page, world: World) -> tuple[AgentParty, dict[str, Any]]:
    """An agent whose mission was approved with one tool less, in this browser."""
    agent = world.agent()
    proposed = {
        "description": TRIP,
        "capabilities": ["interaction", "clarification"],
        "tools": [{"name": "WebSearch", "description": "Search the web"}, {"name": "BookHotel"}],
        "resources": [RESOURCE],
        "limits": {"tokens": 20, "amounts": {"price": {"each": 500}}},
        "expires_at": format_time(int(world.clock()) + 30 * 86400),
    }
    answer = await agent.send("POST", "/mission", proposed)
    await arrive(page, answer)
    await sign_up(page)
    await expect(page.get_by_role("heading", name="planner proposes a mission")).to_be_visible()
    await expect(page.get_by_text("price, as the agent states it: at most 500 each time")).to_be_visible()
    await page.get_by_role("checkbox", name="BookHotel").uncheck()
    await page.get_by_text("after a week").click()
    await page.get_by_text("Other words, other limits").click()
    await fits(page)
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", name="You approved")).to_be_visible()
    return agent, body(await agent.poll(answer))


@pytest.mark.parametrize("size", SIZES)
async def test_a_mission_is_governed_from_its_approval_to_its_end(world: World, browser: Browser, size: str) -> None:
    """PS-40, PS-82, PS-87, §7.6, §7.7, §8: every kind of question can be read and answered; the lists lead to it."""
    page, complaints = await open_page(browser, SIZES[size])
    agent, mission = await mission_of(page, world)
    named = {"mission_s256": mission["s256"]}
    email = {
        "action": "SendEmail",
        "parameters": {"to": "ada@example.com", "body": "word " * 300, "n": [1, 2]},
        **named,
    }
    answer = await agent.send("POST", "/permission", email)
    await next_question(page, world)
    await expect(page.get_by_text("[1, 2]")).to_be_visible()
    await page.get_by_role("button", name="Allow").click()
    await expect(page.get_by_text("may do what it asked about")).to_be_visible()
    assert body(await agent.poll(answer)) == {"permission": "granted"}
    asked = {"type": "question", "question": "Aisle or **window**?", **named}
    answer = await agent.send("POST", "/interaction", asked)
    await next_question(page, world)
    await page.get_by_label("Your answer").fill("Window.")
    await page.get_by_role("button", name="Send the answer").click()
    await expect(page.get_by_text("gets your answer")).to_be_visible()
    assert body(await agent.poll(answer)) == {"answer": "Window."}
    path = f"/mission/{mission['s256']}"
    await agent.send("POST", path, {"action": "update", "description": "# Another hotel"})
    await next_question(page, world)
    await expect(page.get_by_text("Plan Japan vacation")).to_be_visible()
    await page.get_by_role("button", name="Accept").click()
    await agent.send("POST", path, {"action": "completion", "summary": "All is booked."})
    await next_question(page, world)
    await page.get_by_role("button", name="No, it goes on").click()
    await page.goto(f"{world.ps_issuer}/missions")
    await fits(page)
    await page.get_by_role("link", name="What happened in it").click()
    await expect(page.get_by_text("A change was accepted")).to_be_visible()
    await fits(page)
    await page.get_by_role("button", name="End it").click()
    await expect(page.get_by_text("ended by you")).to_be_visible()
    assert error_of(await agent.ask_person_token(**named)) == (403, "mission_terminated")
    assert complaints == []


@pytest.mark.parametrize("size", SIZES)
async def test_an_agent_is_stopped_and_started_and_a_resource_needs_the_person_first(
    world: World,
    browser: Browser,
    size: str,
) -> None:
    """F83, §7.2.3, §11.12.3, §13.14."""
    page, complaints = await open_page(browser, SIZES[size])
    agent, mission = await mission_of(page, world)
    token = mission["person_tokens"][RESOURCE]
    errand = {"url": f"{RESOURCE}/connect", "code": "Q7K2-M9P4"}
    asked = agent.challenged(token, interaction=errand, mission_s256=mission["s256"])
    answer = await agent.ask_auth_token(asked, token)
    await next_question(page, world)
    await expect(page.get_by_role("heading", name="Orders needs you first")).to_be_visible()
    callbacks: list[str] = []

    async def resource(route: Any) -> None:
        callbacks.append(route.request.url.partition("callback=")[2])
        await route.fulfill(status=200, content_type="text/html", body="<h1>Connect</h1>")

    await page.route(f"{RESOURCE}/**", resource)
    await page.get_by_role("button", name="Go there").click()
    await expect(page.get_by_role("heading", name="Connect")).to_be_visible()
    await page.goto(unquote(callbacks[0]))
    await expect(page.get_by_text("See your orders")).to_be_visible()
    await page.get_by_role("button", name="Deny").click()
    assert error_of(await agent.poll(answer)) == (403, "denied")
    await page.goto(f"{world.ps_issuer}/agents")
    await fits(page)
    await page.get_by_role("button", name="Stop it").click()
    await expect(page.get_by_text(re.compile("cannot be told|is being told"))).to_be_visible()
    assert error_of(await agent.ask_person_token()) == (403, "denied")
    await page.get_by_role("button", name="Start it again").click()
    await page.get_by_role("button", name="Let it go: it is no longer mine").click()
    await expect(page.get_by_text("No agent acts for you yet")).to_be_visible()
    assert complaints == []
