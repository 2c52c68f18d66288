"""The page of the supply chain in a real Chromium: a sentence, a word at the person server, and the plan, by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.plugins.supply_chain import Chain, open_chain

pytestmark = pytest.mark.anyio

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}
PASSWORD = "correct horse, battery staple"
APPEARS = 30_000
"""Milliseconds within which something stands on the open page by itself."""


@pytest.fixture(scope="module")
async def chain(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Chain]:
    async with open_chain(tmp_path_factory.mktemp("supply")) as opened:
        yield opened


@pytest.fixture
async def browser(chromium_path: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield started
        await started.close()


class Visit:
    """Somebody at the page; what their browser complained of is in `complaints`."""

    def __init__(self, chain: Chain, context: BrowserContext, page: Page, folder: Path) -> None:
        self.chain = chain
        self.context = context
        self.page = page
        self._folder = folder
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)

    async def shot(self, name: str) -> None:
        """A picture for whoever looks at the outcome, and nothing wider than the screen."""
        await self.page.screenshot(path=self._folder / f"{name}.png", full_page=True)
        assert await self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    async def person_server(self) -> Page:
        """What the page's link opens, beside it."""
        async with self.context.expect_page() as opened:
            await self.page.get_by_role("link", name="Answer there").click(timeout=APPEARS)
        return await opened.value

    async def arrive(self, name: str) -> Page:
        """Compare the code, and make an account."""
        answering = await self.person_server()
        code = await self.page.locator(".code span").inner_text()
        await expect(answering.locator(".code")).to_contain_text(code)
        await answering.get_by_role("button", name="See what it asks for").click()
        await answering.get_by_role("link", name="Make an account").click()
        await answering.get_by_label("Name").fill(name)
        await answering.get_by_label("Password").fill(PASSWORD)
        await answering.get_by_role("button", name="Make the account").click()
        await expect(answering.get_by_role("heading", level=1)).to_contain_text("buying-desk")
        return answering


async def visit(browser: Browser, chain: Chain, folder: Path, **settings: Any) -> Visit:
    context = await browser.new_context(**settings)
    at = Visit(chain, context, await context.new_page(), folder)
    await at.page.goto(chain.url("web"))
    return at


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(PHONE, "dark"), (DESK, "light")], ids=["phone at night", "desk by day"]
)
async def test_the_example_goes_all_the_way_while_the_page_stays_open(
    browser: Browser, chain: Chain, tmp_path: Path, viewport: dict[str, int], scheme: str
) -> None:
    """F84: progress, feed, figures and chain come by themselves, in front of whoever pressed one button."""
    at = await visit(browser, chain, tmp_path, viewport=viewport, color_scheme=scheme)
    await expect(at.page.get_by_role("heading", level=1)).to_have_text("What do you need?")
    await at.shot("empty")
    await at.page.get_by_role("button", name="Run the example").click()
    await expect(at.page.get_by_role("button", name="Work out a plan")).to_have_count(0)
    answering = await at.arrive(f"Ada {viewport['width']}")
    await expect(at.page.get_by_role("progressbar")).to_have_attribute("value", "1")
    await at.shot("asked")
    await answering.get_by_role("button", name="Approve", exact=True).click()
    await answering.get_by_role("link", name="Look at it").click(timeout=APPEARS)
    await expect(answering.get_by_text("Work out a plan for what you want to buy")).to_be_visible()
    await answering.get_by_role("checkbox").check()
    await answering.get_by_role("button", name="Approve").click()
    await expect(at.page.get_by_role("heading", name="The plan", exact=True)).to_be_visible(timeout=APPEARS)
    await expect(at.page.get_by_role("link", name="Answer there")).to_have_count(0)
    await expect(at.page.get_by_role("progressbar")).to_have_attribute("value", "5")
    figures = at.page.get_by_role("region", name="The plan", exact=True)
    await expect(figures).to_contain_text("168,495.20 €")
    await expect(figures.get_by_role("row")).to_have_count(5)
    chain_shown = at.page.get_by_role("region", name="Who called whom")
    await expect(chain_shown.get_by_text("not yet on behalf of you")).to_have_count(2)
    await expect(chain_shown.locator(".party strong")).to_have_text(
        ["You", "This page", "Supply-chain agent", "Market-analysis agent", "Pricing tool"]
    )
    ids = await at.page.locator(".feed li").evaluate_all("lines => lines.map(line => line.id)")
    assert len(set(ids)) == len(ids) >= 10
    await at.shot("done")
    await at.page.get_by_text("What the market is like").click()
    await expect(figures.get_by_role("cell", name="in 12 weeks").first).to_be_visible()
    await at.shot("market")
    assert at.complaints == []


async def test_a_sentence_that_is_being_typed_is_left_alone(browser: Browser, chain: Chain, tmp_path: Path) -> None:
    """What comes by itself does not take a half-typed sentence away; a no is shown, and the next one goes through."""
    at = await visit(browser, chain, tmp_path, viewport=DESK)
    await at.page.get_by_label("How many of what").fill("12 chairs")
    await at.page.keyboard.press("Enter")
    answering = await at.arrive("Bob")
    await answering.get_by_role("button", name="Deny", exact=True).click()
    await expect(at.page.get_by_role("alert")).to_contain_text("You said no", timeout=APPEARS)
    await expect(at.page.get_by_label("How many of what")).to_have_value("12 chairs")
    await at.shot("denied")
    await at.page.get_by_label("How many of what").fill("13 cha")
    async with at.page.expect_response(lambda answer: answer.url == at.page.url, timeout=APPEARS):
        pass
    await expect(at.page.get_by_label("How many of what")).to_have_value("13 cha")
    assert at.complaints == []


async def test_without_a_script_the_page_works_as_well(browser: Browser, chain: Chain, tmp_path: Path) -> None:
    """It loads itself anew while something is under way."""
    at = await visit(browser, chain, tmp_path, viewport=PHONE, java_script_enabled=False)
    await at.page.get_by_role("button", name="Run the example").click()
    await expect(at.page.locator("noscript meta[http-equiv=refresh]")).to_have_attribute("content", "3")
    await expect(at.page.get_by_role("link", name="Answer there")).to_be_visible(timeout=APPEARS)
    await at.page.get_by_role("button", name="Stop").click()
    await expect(at.page.get_by_role("alert")).to_contain_text("You stopped it.")
    await expect(at.page.get_by_role("button", name="Run the example")).to_be_visible()
