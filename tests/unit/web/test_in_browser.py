"""The shared pages in a real Chromium, at a phone's width and a desk's: with a script, without, and under attack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.unit.web.site import PASSWORD, Site, serve

pytestmark = pytest.mark.anyio

PHONE = {"width": 390, "height": 844}
NARROW = {"width": 320, "height": 640}
DESK = {"width": 1280, "height": 800}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serve() as running:
        yield running


@pytest.fixture
async def browser(chromium_path: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield started
        await started.close()


async def open_page(browser: Browser, **options: Any) -> tuple[Page, list[str]]:
    """A page of a new browser profile, and the list of what it complains about."""
    context = await browser.new_context(viewport=PHONE, **options)
    page = await context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page, complaints


async def sign_in(page: Page, site: Site) -> None:
    await page.goto(f"{site.origin}/signin")
    await page.get_by_label("Name").fill("Ada")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("button", name="Deny")).to_be_visible()


@pytest.mark.parametrize("script", [True, False], ids=["with a script", "without"])
async def test_a_person_signs_in_and_decides(browser: Browser, site: Site, script: bool) -> None:
    page, complaints = await open_page(browser, java_script_enabled=script)
    await sign_in(page, site)
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    await expect(page.get_by_role("button", name="Copy")).to_have_count(1 if script else 0)
    await page.get_by_label("Place orders").check()
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", name="What waits for you")).to_be_visible()
    (form,) = site.decided
    assert form["scope"] == ["orders.read", "orders.place"]
    assert (form["memory"], form["decision"]) == (["once"], ["approve"])
    assert complaints == []


async def test_the_button_shows_how_many_are_ticked_without_a_script(browser: Browser, site: Site) -> None:
    page, _ = await open_page(browser, java_script_enabled=False)
    await sign_in(page, site)
    button = page.get_by_role("button", name="Approve")
    one_of_two = await button.screenshot()
    await page.get_by_label("Place orders").check()
    assert await button.screenshot() != one_of_two
    session = await page.context.new_cdp_session(page)
    tree = await session.send("Accessibility.getFullAXTree")
    names = {node["name"]["value"] for node in tree["nodes"] if node.get("role", {}).get("value") == "button"}
    assert names == {"Approve", "Deny", "Sign out"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_page_fits_loads_nothing_foreign_and_breaks_no_policy(
    browser: Browser, site: Site, scheme: Any
) -> None:
    page, complaints = await open_page(browser, color_scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    site.waiting = 200
    for path in ("/kind", "/hostile", "/signin", "/"):
        await page.goto(site.origin + path)
        for size in (NARROW, PHONE, DESK):
            await page.set_viewport_size(size)
            wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide == 0, (path, size)
    assert complaints == []
    assert all(url.startswith(site.origin + "/") for url in asked)


async def test_what_is_touched_is_44_pixels_high(browser: Browser, site: Site) -> None:
    page, _ = await open_page(browser)
    await sign_in(page, site)
    for target in await page.locator("button, summary, label.tick, .choice label, a.product, input[type=text]").all():
        box = await target.bounding_box()
        assert box is not None
        assert box["height"] >= 44, await target.inner_text()


async def test_a_page_in_front_of_somebody_says_so(browser: Browser, site: Site) -> None:
    page, complaints = await open_page(browser)
    await page.clock.install()
    await sign_in(page, site)
    async with page.expect_response(lambda response: response.url.endswith("/alive")) as answered:
        await page.goto(site.origin)
    assert (await answered.value).status == 204
    assert site.beats == 1
    async with page.expect_response(lambda response: response.url.endswith("/alive")):
        await page.clock.run_for(5000)
    assert site.beats == 2
    assert complaints == []


async def test_a_page_that_nobody_sees_does_not(browser: Browser, site: Site) -> None:
    page, _ = await open_page(browser)
    await page.clock.install()
    await sign_in(page, site)
    await page.add_init_script("Object.defineProperty(document, 'visibilityState', { get: () => 'hidden' })")
    await page.goto(site.origin)
    await page.clock.run_for(20_000)
    await page.goto(f"{site.origin}/kind")
    assert site.beats == 0


async def test_what_waits_appears_without_reloading(browser: Browser, site: Site) -> None:
    page, _ = await open_page(browser)
    await sign_in(page, site)
    await page.clock.install()
    await page.goto(site.origin)
    await page.evaluate("window.stillHere = true")
    await expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    site.waiting = 2
    await page.clock.run_for(3000)
    await expect(page.get_by_text("Request 2")).to_be_visible()
    assert await page.title() == "2 waiting · Example Person Server"
    assert await page.evaluate("window.stillHere")


async def test_the_code_is_copied(browser: Browser, site: Site) -> None:
    page, _ = await open_page(browser, permissions=["clipboard-read", "clipboard-write"])
    await sign_in(page, site)
    await page.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "A1B2-C3D4"


async def test_a_page_of_ours_is_not_shown_in_a_frame(browser: Browser, site: Site) -> None:
    """F77, draft-11 §13.13."""
    page, complaints = await open_page(browser)
    await sign_in(page, site)
    await page.goto(f"{site.foreign}/evil")
    (frame,) = page.frames[1:]
    assert await frame.get_by_role("button").count() == 0
    assert any("frame-ancestors" in complaint for complaint in complaints)


async def test_a_form_of_a_foreign_page_decides_nothing_even_with_the_right_token(browser: Browser, site: Site) -> None:
    """F77."""
    page, _ = await open_page(browser)
    await sign_in(page, site)
    token = await page.locator("input[name=csrf]").first.get_attribute("value")
    await page.goto(f"{site.foreign}/evil?token={token}")
    await page.get_by_role("button", name="Go").click()
    await expect(page.get_by_role("heading", name="This form was not accepted")).to_be_visible()
    assert site.outcomes == {"access_denied": 1}
    assert not site.decided


async def test_a_strangers_script_link_and_image_do_nothing(browser: Browser, site: Site) -> None:
    page, complaints = await open_page(browser)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    await sign_in(page, site)
    await page.goto(f"{site.origin}/hostile")
    assert await page.locator(".says img, .says a, .says script, .says form, .says h1").count() == 0
    for voice in await page.locator(".says").all():
        await voice.hover()
    assert dialogs == []
    assert complaints == []
