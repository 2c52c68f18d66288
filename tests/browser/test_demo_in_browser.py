"""`aauthkit demo` with a person at it: the terminal tells them what to do, and a real Chromium is where they do it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import anyio.to_thread
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.plugins.commands import Commands, Ran, Running, all_gone

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]  # as long as a person takes

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}
PASSWORD = "correct horse, battery staple"
APPEARS = 30_000
"""Milliseconds within which the next question stands on the open page."""


@pytest.fixture
async def browser(chromium_path: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield started
        await started.close()


class Visit:
    """A person at the demonstration: what the terminal shows, and a browser of their own."""

    def __init__(self, demo: Running, page: Page, folder: Path) -> None:
        self.demo = demo
        self.page = page
        self._folder = folder
        self._shots = 0
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def told(self, pattern: str) -> re.Match[str]:
        return await anyio.to_thread.run_sync(self.demo.wait_for, pattern)

    async def shot(self, name: str) -> None:
        """A picture for whoever looks at the outcome, and nothing wider than the screen."""
        self._shots += 1
        await self.page.screenshot(path=self._folder / f"{self._shots}-{name}.png", full_page=True)
        assert await self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    async def arrive(self) -> None:
        """Open what the terminal shows, and compare the code."""
        shown = await self.told(r"(http://person\.localhost:\d+/interaction/\S+\?code=([0-9A-Z-]+))")
        await self.told(f"must show the code {shown[2]}")
        await self.page.goto(shown[1])
        await expect(self.page.locator(".code")).to_have_text(shown[2])
        await self.shot("arrival")
        await self.page.get_by_role("button", name="See what it asks for").click()

    async def sign_up(self) -> None:
        await self.page.get_by_role("link", name="Make an account").click()
        await self.enter("Make the account")

    async def enter(self, button: str) -> None:
        await self.page.get_by_label("Name").fill("Ada")
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.shot("account")
        await self.page.get_by_role("button", name=button).click()

    async def identity(self, button: str = "Approve") -> None:
        await expect(self.page.get_by_role("heading", level=1)).to_contain_text("wants to act as you at Corner Shop")
        await self.shot("identity")
        await self.page.get_by_role("button", name=button, exact=True).click()

    async def second(self) -> None:
        """The second question appears on the page that is open, and nothing is ticked."""
        await self.shot("between")
        await self.page.get_by_role("link", name="Look at it").click(timeout=APPEARS)
        await expect(self.page.get_by_role("heading", level=1)).to_contain_text("wants to use your Corner Shop")
        await expect(self.page.get_by_role("checkbox", checked=True)).to_have_count(0)

    async def decide(self, *ticked: str, button: str = "Approve") -> None:
        for words in ticked:
            await self.page.get_by_label(words).check()
        await self.shot("scope")
        await self.page.get_by_role("button", name=button).click()
        await expect(self.page.get_by_role("heading", level=1)).to_contain_text("You ")
        await self.shot("decided")

    async def mission(self) -> None:
        """The errand is proposed on the page that is open; this person has seen enough."""
        await self.told("8. An errand")
        await self.page.get_by_role("link", name="Look at it").click(timeout=APPEARS)
        await expect(self.page.get_by_role("heading", level=1)).to_contain_text("proposes a mission")
        await self.shot("mission")
        await self.page.get_by_role("button", name="Deny").click()
        await expect(self.page.get_by_role("heading", level=1)).to_contain_text("You denied")

    async def end(self) -> Ran:
        ran = await anyio.to_thread.run_sync(self.demo.end)
        await self.page.context.close()
        assert not self.complaints
        return ran


async def visit(browser: Browser, commands: Commands, viewport: dict[str, int]) -> Visit:
    if not (commands.root / "demo").exists():
        commands.settle_demo()
    demo = commands.start("demo", "--folder", "demo", "--show", "terminal")
    context = await browser.new_context(viewport=viewport)  # type: ignore[arg-type]
    return Visit(demo, await context.new_page(), commands.root)


async def test_a_stranger_makes_an_account_and_approves_less_than_was_asked(
    browser: Browser, commands: Commands
) -> None:
    at = await visit(browser, commands, DESK)
    await at.told("you are the person this agent wants to act for")
    await at.told("make an account: any name, and a password of 12 characters or more")
    await at.arrive()
    assert "█" in at.demo.err, "a QR code"
    await at.sign_up()
    await at.identity()
    await at.told("Less than both is fine")
    await at.second()
    await expect(at.page.get_by_text("claims")).to_be_visible()
    await expect(at.page.get_by_text("Corner Shop says")).to_be_visible()
    await at.decide("See your orders")
    await expect(at.page.get_by_text("may do 1 of 2 things")).to_be_visible()
    await at.mission()
    ran = await at.end()
    assert ran.code == 0, ran.err
    for said in (
        '"you may": ["orders.read"]',
        "two decisions in one visit; 1 of 2 things were granted",
        "6. What was not granted stays shut",
        "so it is: ",
        "its next call: 403 denied: the person stopped this agent",
        "2 decisions, 1 of 2 granted, ",
        "all as expected, ",
    ):
        assert said in ran.out
    assert ran.err.count("/interaction/") == 1, "nothing was opened twice"
    assert all_gone(commands.root / "demo")


async def test_at_a_phone_a_person_says_no_and_at_a_second_run_yes_to_all(browser: Browser, commands: Commands) -> None:
    at = await visit(browser, commands, PHONE)
    await at.arrive()
    await at.sign_up()
    await at.identity()
    await at.second()
    await at.decide("See your orders", button="Deny")
    first = await at.end()
    assert first.code == 0, first.err
    assert "✓ you said no, and so it is" in first.out
    assert "the shop knows whose agent this is, from before, and gives it no more than that" in first.out
    assert "5. From now on" not in first.out
    assert "7. What must fail, tried for real" in first.out
    assert "all as expected" in first.out.splitlines()[-1]

    at = await visit(browser, commands, PHONE)
    await at.arrive()
    await at.enter("Sign in")
    await at.identity()
    await at.second()
    await at.decide("See your orders", "Place orders for you")
    await at.mission()
    second = await at.end()
    assert second.code == 0, second.err
    assert "6. What was granted opens, at once" in second.out
    assert '"ordered": {"item": "lamp", "quantity": 1}' in second.out
    assert "2 of 2 granted" in second.out.splitlines()[-1]


async def test_who_turns_the_agent_away_is_not_told_that_something_is_wrong(
    browser: Browser, commands: Commands
) -> None:
    at = await visit(browser, commands, DESK)
    await at.arrive()
    await at.sign_up()
    await at.identity("Deny")
    ran = await at.end()
    assert ran.code == 0, ran.err
    assert "✓ you said no, and so it is" in ran.out
    assert "the shop never learned who you are" in ran.out
    assert "4. A grant" not in ran.out
    assert "Traceback" not in ran.err
    assert "aauthkit:" not in ran.err


async def test_a_grant_that_opens_something_else_is_taken_as_it_is(browser: Browser, commands: Commands) -> None:
    at = await visit(browser, commands, PHONE)
    await at.arrive()
    await at.sign_up()
    await at.identity()
    await at.second()
    await at.decide("Place orders for you")
    await at.mission()
    ran = await at.end()
    assert ran.code == 0, ran.err
    assert "what you allowed (orders.place) does not open the list of orders" in ran.out
    assert json.dumps({"ordered": {"item": "lamp", "quantity": 1}})[1:-1] in ran.out
