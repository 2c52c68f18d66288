"""The pages of a person server in a real Chromium, at a desk and on a phone, with and without a script."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.async_api import Browser, Page, async_playwright, expect

from aauthkit.asgi import Asgi
from aauthkit.protocol.identifiers import LoopbackProfile
from aauthkit.protocol.messages import Answer
from aauthkit.store import open_database
from tests.plugins.people import PASSWORD, AgentParty, World, body, claims_of, error_of, requirement

pytestmark = pytest.mark.anyio

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}
SIZES = {"phone": PHONE, "desk": DESK}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A person server in the loopback profile, behind a real HTTP server."""
    listening = socket.create_server(("127.0.0.1", 0))
    issuer = f"http://person.localhost:{listening.getsockname()[1]}"
    database = await open_database("sqlite://:memory:")
    made = World(database, issuer=issuer, loopback=LoopbackProfile(frozenset({issuer})))
    await made.server.start()
    config = uvicorn.Config(Asgi(made.server), http="h11", log_level="warning", lifespan="off", ws="none")
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve(sockets=[listening]))
    while not running.started:
        await asyncio.sleep(0.01)
    yield made
    running.should_exit = running.force_exit = True
    await task
    await made.close()
    await database.close()


@pytest.fixture
async def browser(chromium_path: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield started
        await started.close()


async def open_page(browser: Browser, size: dict[str, int] = PHONE, **options: Any) -> tuple[Page, list[str]]:
    """A page of a new browser profile, and what it complains about."""
    context = await browser.new_context(viewport=size, **options)  # type: ignore[arg-type]
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page, complaints


async def arrive(page: Page, answer: Answer, callback: str | None = None) -> None:
    """Open the link of a 202 and press its one button."""
    found = requirement(answer)
    assert found is not None
    url = f"{found.text('url')}?code={found.text('code')}"
    await page.goto(f"{url}&callback={callback}" if callback else url)
    await expect(page.get_by_text(found.text("code"))).to_be_visible()
    await page.get_by_role("button", name="See what it asks for").click()


async def sign_up(page: Page, name: str = "Ada") -> None:
    await page.get_by_role("link", name="Make an account").click()
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Make the account").click()


async def introduced(world: World, page: Page) -> tuple[AgentParty, str]:
    """An agent that may act as the person, and its person token."""
    agent = world.agent()
    answer = await agent.ask_person_token()
    await arrive(page, answer)
    await sign_up(page)
    await page.get_by_label("until I take it back").check()
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", name="You approved")).to_be_visible()
    return agent, body(await agent.poll(answer))["person_token"]


@pytest.mark.parametrize("size", SIZES)
async def test_a_first_visit_with_two_decisions(world: World, browser: Browser, size: str) -> None:
    """Link, code, account, identity; the second question appears on the open page; less is approved."""
    page, complaints = await open_page(browser, SIZES[size])
    agent = world.agent()
    answer = await agent.ask_person_token(justification="I need **last month’s** orders.", device="Chrome on Mac")
    await arrive(page, answer)
    await expect(page.get_by_text("An agent is waiting for your answer")).to_be_visible()
    await sign_up(page)
    await expect(page.get_by_role("heading", name="planner wants to act as you at Orders")).to_be_visible()
    await expect(page.get_by_text("New agent, first time here.")).to_be_visible()
    await page.get_by_label("until I take it back").check()
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("planner may act as you at Orders, until you take it back.")).to_be_visible()

    token = body(await agent.poll(answer))["person_token"]
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.read orders.place"), token)
    found = requirement(answer)
    assert found is not None and found.value == "approval"  # the agent opens nothing twice
    await page.get_by_role("link", name="Look at it").click()
    await page.get_by_label("See your orders").check()
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("planner may do 1 of 2 things")).to_be_visible()
    granted = body(await agent.poll(answer))["auth_token"]
    assert claims_of(granted)["scope"] == "orders.read"
    await expect(page.get_by_text("The agent knows.")).to_be_visible()
    assert complaints == []


async def test_everything_works_without_a_script(world: World, browser: Browser) -> None:
    page, _ = await open_page(browser, java_script_enabled=False)
    agent, token = await introduced(world, page)
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.read orders.place"), token)
    found = requirement(answer)
    assert found is not None and found.value == "approval"
    await page.reload()  # what the page does by itself every few seconds
    await page.get_by_role("link", name="Look at it").click()
    button = page.get_by_role("button", name="Approve")
    untouched = await button.screenshot()
    await page.get_by_label("Place orders for you").check()
    assert await button.screenshot() != untouched  # it says how many are ticked
    await button.click()
    assert claims_of(body(await agent.poll(answer))["auth_token"])["scope"] == "orders.place"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_fits_a_phone_and_can_be_touched(world: World, browser: Browser, scheme: Any) -> None:
    """390 pixels wide, nothing beyond the edge, 44 pixels to touch; long words and names break."""
    long = "Verylongwordwithoutanyspace" * 8
    world.publish_resource(name=long, description=long)
    page, complaints = await open_page(browser, PHONE, color_scheme=scheme)
    agent = world.agent("p" * 200)
    answer = await agent.ask_person_token(justification=long, device="D" * 64, platform="self-hosted")
    await arrive(page, answer)

    async def check(heading: str) -> None:
        await expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
        wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, page.url
        for target in await page.locator("button:visible, a.button, summary, label.tick, .choice label").all():
            box = await target.bounding_box()
            assert box is not None and box["height"] >= 44, (page.url, await target.inner_text())

    await check("Sign in")
    await page.get_by_role("link", name="Make an account").click()
    await check("Make an account")
    await page.get_by_label("Name").fill("Ada " + "Longname" * 6)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Make the account").click()
    await page.get_by_text("Details", exact=True).click()
    await check("wants to act as you at")
    await page.get_by_role("button", name="Approve").click()
    await check("You approved")
    token = body(await agent.poll(answer))["person_token"]
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.read orders.place", account=long), token)
    await page.goto(world.ps_issuer)
    await check("What waits for you")
    await page.get_by_role("link", name="Look at it").click()
    await check("wants to use your")
    await page.get_by_role("button", name="Deny").click()
    await check("You denied")
    await page.goto(f"{world.ps_issuer}/allowed")
    await check("What your agents may do")
    await page.goto(f"{world.ps_issuer}/decide/nothing")
    await check("There is nothing here")
    assert error_of(await agent.poll(answer)) == (403, "denied")
    assert not [complaint for complaint in complaints if "404" not in complaint]


async def test_deny_is_as_near_as_approve(world: World, browser: Browser) -> None:
    """Side by side, alike in height, and what allows least is chosen beforehand."""
    for size in SIZES.values():
        page, _ = await open_page(browser, size)
        answer = await world.agent(f"agent{size['width']}").ask_person_token()
        await arrive(page, answer)
        await sign_up(page, f"Ada {size['width']}")
        approve = await page.get_by_role("button", name="Approve").bounding_box()
        deny = await page.get_by_role("button", name="Deny").bounding_box()
        assert approve is not None and deny is not None
        assert approve["y"] == deny["y"] and approve["height"] == deny["height"]
        await expect(page.get_by_label("this once")).to_be_checked()


async def test_the_two_voices_look_different(world: World, browser: Browser) -> None:
    """PS-40, draft-11 §7.4: the resource's block is solid, the agent's quoted, dashed, on another ground."""
    page, _ = await open_page(browser)
    await arrive(page, await world.agent().ask_person_token(justification="because"))
    await sign_up(page)
    style = "(element) => { const s = getComputedStyle(element); return [s.borderTopStyle, s.backgroundColor]; }"
    resource = await page.locator(".says.resource").evaluate(style)
    agent = await page.locator(".says.agent").evaluate(style)
    assert resource[0] == "solid" and agent[0] == "dashed" and resource[1] != agent[1]
    await expect(page.locator(".says.agent blockquote")).to_contain_text("because")
    await expect(page.locator(".says.agent")).to_contain_text("planner claims")


async def wants_more(world: World, page: Page, scope: str) -> tuple[AgentParty, str, Answer]:
    """An agent that answers questions, with a request for `scope` before its person: agent, person token, the 202."""
    agent, token = await introduced(world, page)
    answer = await agent.ask_auth_token(
        agent.challenged(token, scope),
        token,
        capabilities=["interaction", "clarification"],
        justification="I need last month’s orders to propose what to buy.",
    )
    await page.get_by_role("link", name="Look at it").click()
    return agent, token, answer


@pytest.mark.parametrize("size", SIZES)
async def test_a_person_asks_the_agent_before_they_decide(world: World, browser: Browser, size: str) -> None:
    """§7.5: the small form, the question at the agent, the answer on the open page by itself, the decision."""
    page, complaints = await open_page(browser, SIZES[size])
    agent, _, answer = await wants_more(world, page, "orders.read orders.place")
    await page.get_by_text("Ask planner something first").click()
    field = page.get_by_label("Your question")
    box = await page.get_by_role("button", name="Ask", exact=True).bounding_box()
    assert box is not None and box["height"] >= 44
    await field.fill("Why do you need to place orders?")
    await page.get_by_role("button", name="Ask", exact=True).click()
    await expect(page.get_by_text("Why do you need to place orders?")).to_be_in_viewport()
    await expect(page.get_by_text("planner has been asked.")).to_be_visible()
    await expect(field).to_have_count(0)
    await page.get_by_label("See your orders").check()

    asked = await agent.poll(answer)
    assert body(asked)["clarification"] == "Why do you need to place orders?"
    await agent.say(answer, clarification_response="To buy what runs out *before* it has run out.")
    await expect(page.get_by_text("To buy what runs out before it has run out.")).to_be_visible()
    await expect(page.locator("#talk .says.agent")).to_contain_text("planner answers")
    await expect(page.get_by_label("See your orders")).to_be_checked()  # what was ticked meanwhile stays
    await expect(page.get_by_text("Ask planner something else")).to_be_visible()
    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("planner may do 1 of 2 things")).to_be_visible()
    assert claims_of(body(await agent.poll(answer))["auth_token"])["scope"] == "orders.read"
    assert complaints == []


async def test_an_open_page_shows_that_the_agent_asks_for_something_else(world: World, browser: Browser) -> None:
    """§7.5.2.2: it loads anew by itself, and what is ticked then is what is asked for now."""
    page, complaints = await open_page(browser)
    agent, token, answer = await wants_more(world, page, "orders.read orders.place")
    await page.get_by_text("Ask planner something first").click()
    await page.get_by_label("Your question").fill("Would reading do?")
    await page.get_by_role("button", name="Ask", exact=True).click()
    less = {"resource_token": agent.challenged(token, "orders.read"), "presented_token": token}
    await expect(page.get_by_text("planner has been asked.")).to_be_visible()
    assert (await agent.say(answer, "updated_request", **less, justification="It would.")).status == 202
    await expect(page.get_by_text("planner changed what it asks for.")).to_be_visible()
    await expect(page.get_by_label("Place orders for you")).to_have_count(0)
    await page.get_by_label("See your orders").check()
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("planner may do what it asked for")).to_be_visible()
    assert complaints == []


async def test_a_question_is_asked_and_answered_without_a_script(world: World, browser: Browser) -> None:
    page, _ = await open_page(browser, java_script_enabled=False)
    agent, token = await introduced(world, page)
    answer = await agent.ask_auth_token(
        agent.challenged(token, "orders.read"), token, capabilities=["interaction", "clarification"]
    )
    await page.reload()
    await page.get_by_role("link", name="Look at it").click()
    await page.get_by_text("Ask planner something first").click()
    await page.get_by_label("Your question").fill("Why?")
    await page.get_by_role("button", name="Ask", exact=True).click()
    look = page.get_by_role("link", name="See whether it has answered")
    for _ in range(2):
        await look.click()
        await expect(page.get_by_text("planner has been asked.")).to_be_visible()
    await agent.say(answer, clarification_response="Because.")
    await look.click()
    await expect(page.get_by_text("Because.")).to_be_visible()
    await page.get_by_label("See your orders").check()
    await page.get_by_role("button", name="Approve").click()
    assert (await agent.poll(answer)).status == 200


async def test_an_open_page_says_that_the_request_was_called_off(world: World, browser: Browser) -> None:
    """§11.12.5, F57: the agent's provider stops the agent while its question is on the screen."""
    page, _ = await open_page(browser)
    agent, _, answer = await wants_more(world, page, "orders.read")
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    await world.revoke(agent.token)
    await expect(page.get_by_role("heading", name="This request has been called off")).to_be_visible()
    await expect(page.get_by_text("agent’s provider has stopped this agent")).to_be_visible()
    agent.renew()
    assert error_of(await agent.poll(answer)) == (403, "revoked")


async def test_a_page_that_is_closed_is_not_waited_for(world: World, browser: Browser) -> None:
    """`approval` while the page lives; after it, the next poll says where to send the person."""
    page, _ = await open_page(browser)
    agent, token = await introduced(world, page)
    answer = await agent.ask_auth_token(agent.challenged(token), token)
    found = requirement(answer)
    assert found is not None and found.value == "approval"
    await page.close()
    world.clock.pass_(60)
    found = requirement(await agent.poll(answer))
    assert found is not None and found.value == "interaction"


async def test_a_second_tab_cannot_decide_again(world: World, browser: Browser) -> None:
    """F82: the other tab, still open, is told what was decided."""
    page, _ = await open_page(browser)
    answer = await world.agent().ask_person_token()
    await arrive(page, answer)
    await sign_up(page)
    other = await page.context.new_page()
    await other.goto(page.url)
    await page.get_by_role("button", name="Deny").click()
    await other.get_by_role("button", name="Approve").click()
    await expect(other.get_by_role("heading", name="Decided already")).to_be_visible()
    await expect(other.get_by_role("heading", name="You denied")).to_be_visible()


async def test_what_was_allowed_is_taken_back(world: World, browser: Browser) -> None:
    """F81."""
    page, complaints = await open_page(browser)
    agent, _ = await introduced(world, page)
    await page.get_by_role("link", name="Take it back").click()
    await page.get_by_role("button", name="Take it back").click()
    await expect(page.get_by_text("No agent may do anything without asking you first.")).to_be_visible()
    assert (await agent.ask_person_token()).status == 202
    assert complaints == []


async def test_the_browser_goes_back_to_the_agent(world: World, browser: Browser) -> None:
    """draft-11 §7.3: the policy of the page lets the redirect after its form through, and no other."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\nconnection: close\r\n\r\nback"
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as agent_side:
        callback = f"http://127.0.0.1:{agent_side.sockets[0].getsockname()[1]}/back"
        page, complaints = await open_page(browser)
        await arrive(page, await world.agent().ask_person_token(), callback)
        await sign_up(page)
        await page.get_by_role("button", name="Deny").click()
        await expect(page.get_by_text("back")).to_be_visible()
        assert page.url == f"{callback}?error=access_denied"
        assert not [complaint for complaint in complaints if "Content Security Policy" in complaint]


async def test_the_session_cookie_of_the_loopback_profile(world: World, browser: Browser) -> None:
    """Without `Secure`, which some programs drop over http; never readable by a script."""
    page, _ = await open_page(browser)
    await introduced(world, page)
    (cookie,) = await page.context.cookies()
    assert cookie["httpOnly"] and not cookie["secure"] and cookie["sameSite"] == "Lax"
    assert not cookie["name"].startswith("__Host-")
    assert await page.evaluate("document.cookie") == ""
