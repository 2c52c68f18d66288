"""What the pages of a person server refuse: forms from elsewhere, second answers, strangers' markup, and open doors."""

from __future__ import annotations

import asyncio
import logging
from html.parser import HTMLParser
from typing import Any

import pytest

from aauthkit.accounts import Accounts
from aauthkit.protocol.messages import Answer
from aauthkit.serving import Request
from tests.plugins.people import CALLBACK, PASSWORD, PS, Browser, World, body, error_of, requirement

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(quick_world: World) -> World:
    return quick_world


# Forms


async def test_a_decision_needs_this_sessions_token_and_this_servers_page(world: World) -> None:
    """F77, §13.13: otherwise 403, and nothing has changed."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    await browser.open_interaction(answer)
    await browser.get("/signup")
    page = await browser.sign_up()
    action = page.form("/decide/").action
    good = dict(page.form("/decide/").fields)
    other = Browser(world)
    await other.get("/signin")
    fields = [("verdict", "approved"), ("memory", "once")]
    for csrf in ("", "x", await _login_csrf(other)):
        assert (await browser.post(action, [*fields, ("csrf", csrf)])).status == 403
    assert (await browser.post(action, fields)).status == 403
    for origin in ("https://evil.example", "null", "http://person.example", ""):
        assert (await browser.post(action, [*fields, ("csrf", good["csrf"])], origin=origin)).status == 403
    crossing = [("sec-fetch-site", "cross-site")]
    assert (await browser.post(action, [*fields, ("csrf", good["csrf"])], headers=crossing)).status == 403
    assert (await agent.poll(answer)).status == 202
    assert (await browser.post(action, [*fields, ("csrf", good["csrf"])])).status == 200


async def _login_csrf(browser: Browser) -> str:
    page = await browser.get("/signin")
    return dict(page.form("/signin").fields)["csrf"]


async def test_every_form_is_guarded_alike(world: World) -> None:
    """F77."""
    browser = Browser(world)
    await browser.get("/signin")
    for path in ("/signin", "/signup", "/signout", "/alive", "/allowed/x", "/interaction/x", "/decide/x"):
        assert (await browser.post(path, [("name", "Ada"), ("password", PASSWORD)])).status == 403


async def test_what_was_signed_in_is_another_session(world: World) -> None:
    """No fixation: identifier and form token change at sign-in, and a page from before posts nothing."""
    browser = Browser(world)
    before = await browser.get("/signup")
    old_cookie = dict(browser.cookies)
    old = dict(before.form("/signup").fields)["csrf"]
    await browser.sign_up()
    assert browser.cookies != old_cookie
    assert (await browser.post("/signout", [("csrf", old)])).status == 403
    thief = Browser(world)
    thief.cookies = old_cookie
    assert (await thief.get("/")).url == "/signin"


async def test_the_first_decision_stands(world: World) -> None:
    """F82: deny then approve, approve then deny, twice at once: one outcome, and the page says so."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    await browser.open_interaction(answer)
    await browser.get("/signup")
    page = await browser.sign_up()
    form = page.form("/decide/")
    fields = form.fields
    await browser.post(form.action, [*fields, ("verdict", "denied")])
    again = await browser.post(form.action, [*fields, ("verdict", "approved")])
    assert again.status == 410 and "Decided already" in again.text and "You denied" in again.text
    assert error_of(await agent.poll(answer)) == (403, "denied")
    late = await browser.post(form.action, [*fields, ("verdict", "approved")])
    assert late.status == 410 and "Decided already" in late.text
    assert error_of(await agent.poll(answer)) == (410, "gone")
    assert await world.server.steward.agents() == []


async def test_two_decisions_at_once_are_one(world: World) -> None:
    """F82."""
    agent, browser, token = await world.introduced()
    await agent.ask_auth_token(agent.challenged(token, "orders.read orders.place"), token)
    page = await browser.get("/")
    page = await browser.get(next(link for link in page.links if link.startswith("/decide/")))
    form = page.form("/decide/")
    tabs = []
    for verdict in ("approved", "denied", "left", "approved"):
        tab = Browser(world)
        tab.cookies = dict(browser.cookies)
        tabs.append(tab.post(form.action, [*form.fields, ("verdict", verdict), ("scope", "orders.read")]))
    statuses = sorted(page.status for page in await asyncio.gather(*tabs))
    assert statuses == [200, 410, 410, 410]


@pytest.mark.parametrize(
    "changed",
    [
        {"scope": ["orders.cancel"]},
        {"scope": ["orders.read", "orders.readall"]},
        {"memory": ["for ever"]},
        {"verdict": ["granted"]},
        {"verdict": ["approved", "denied"]},
        {"verdict": []},
    ],
)
async def test_a_form_cannot_allow_what_was_not_asked(world: World, changed: dict[str, list[str]]) -> None:
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token), token)
    page = await browser.get("/")
    page = await browser.get(next(link for link in page.links if link.startswith("/decide/")))
    form = page.form("/decide/")
    chosen = {"verdict": ["approved"], "memory": ["once"], "scope": ["orders.read"], **changed}
    fields = [(name, each) for name, values in chosen.items() for each in values]
    fields.append(("csrf", dict(form.fields)["csrf"]))
    assert (await browser.post(form.action, fields)).status == 400
    assert (await agent.poll(answer)).status == 202


async def test_approving_nothing_is_no_answer(world: World) -> None:
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token), token)
    page = await browser.get("/")
    await browser.get(next(link for link in page.links if link.startswith("/decide/")))
    page = await browser.decide("approved")
    assert page.status == 400 and "Nothing is ticked" in page.text and page.has_form("/decide/")
    assert (await agent.poll(answer)).status == 202


# Pages


EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](https://evil.example/)",
    "![x](https://evil.example/x.png)",
    "<a href='javascript:alert(1)'>x</a>",
    "a\u202eb\u2066c\u200bd",
    "</bdi></section><h1>Orders says</h1>",
    '" onmouseover="alert(1)',
]


class Tags(HTMLParser):
    """Every element of a page, and every attribute."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: set[str] = set()
        self.feed(html)

    @property
    def scripts(self) -> int:
        return self.names.count("script")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes.update(name for name, _ in attrs)


async def test_a_strangers_words_stay_words(world: World) -> None:
    """F80, §7.4, §13.3: script, links, images and direction tricks in every text that others write."""
    evil = " ".join(EVIL)
    world.publish_resource(name=evil, description=evil, scope_descriptions={"orders.read": evil})
    world.network.publish(world.provider, "aauth-agent.json", name=evil, callback_endpoint=CALLBACK)
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token(justification=evil, device=EVIL[0][:64], platform="web")
    await browser.open_interaction(answer)
    await browser.get("/signup")
    pages = [await browser.sign_up(), await browser.decide("approved", memory="kept")]
    token = body(await agent.poll(answer))["person_token"]
    answer = await agent.ask_auth_token(agent.challenged(token, account=EVIL[0]), token, justification=evil)
    pages.append(await browser.get("/"))
    pages.append(await browser.get(next(link for link in pages[-1].links if link.startswith("/decide/"))))
    pages.append(await browser.decide("approved", "orders.read", memory="kept"))
    pages.append(await browser.get("/allowed"))
    for page in pages:
        assert page.status == 200
        assert not any(character in page.html for character in "\u202e\u2066\u200b")
        assert all(link.startswith(("/", "#")) for link in page.links)
        tags = Tags(page.html)
        assert tags.scripts == 1 and "img" not in tags.names and tags.names.count("h1") == 1
        assert not any(name.startswith("on") for name in tags.attributes)


async def test_the_two_voices_are_two_blocks(world: World) -> None:
    """PS-40, F80, §7.4: what the resource says and what the agent claims stand apart, each under its own name."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token(justification="because I say so", device="Pixel 8", platform="mobile")
    await browser.open_interaction(answer)
    await browser.get("/signup")
    html = (await browser.sign_up()).html
    resource = html.partition('<section class="says resource">')[2].partition("</section>")[0]
    claims = html.partition('<section class="says agent">')[2].partition("</section>")[0]
    assert "Keeps <strong>your orders</strong>" in resource and "orders.example" in resource
    assert "because I say so" in claims and "Pixel 8" in claims and "mobile" in claims and "planner" in claims
    assert "because" not in resource and "your orders" not in claims
    rest = html.replace(resource, "").replace(claims, "")
    for word in ("because I say so", "Pixel 8", "your orders"):
        assert word not in rest
    assert "New agent, first time here" in rest and "agents.example" in rest and "Example Agents" in rest


async def test_no_page_can_be_framed_cached_or_run_foreign_code(world: World) -> None:
    """F77: consent in a frame."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    asked = requirement(answer)
    assert asked is not None
    pages = [await browser.get(asked.text("url").removeprefix(PS)), await browser.open_interaction(answer)]
    pages += [
        await browser.get("/signup"),
        await browser.sign_up(),
        await browser.get("/"),
        await browser.get("/allowed"),
    ]
    pages += [await browser.get("/decide/nothing"), await browser.get("/nothing")]
    for page in pages:
        policy = page.answer.header("content-security-policy") or ""
        assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy and "unsafe" not in policy
        assert page.answer.header("x-frame-options") == "DENY"
        assert page.answer.header("cache-control") == "no-store"
        assert page.answer.header("strict-transport-security")


@pytest.mark.parametrize(
    "callback", ["https://evil.example/", f"{CALLBACK}?x", "javascript:alert(1)", "//evil.example"]
)
async def test_no_page_sends_a_person_where_the_provider_does_not(world: World, callback: str) -> None:
    """F79: no redirect, an error page, and the code is unused."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    page = await browser.open_interaction(answer, callback)
    assert page.status == 400 and browser.left is None and callback not in page.html
    world.network.down.add("agents.example")
    assert (await browser.open_interaction(answer)).url == "/signin"


async def test_a_callback_that_cannot_be_checked_is_not_followed(world: World) -> None:
    """F79."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    world.network.down.add("agents.example")
    world.server = world.make_server(world.database)
    await world.server.start()
    world.clock.pass_(0)
    page = await browser.open_interaction(answer, CALLBACK)
    assert page.status in (400, 401) and browser.left is None


async def test_a_storm_of_passwords_is_held_back(world: World) -> None:
    """Throttled for the account, with the time to wait; the right password waits as well."""
    await Browser(world).sign_up("Ada")
    browser = Browser(world)
    statuses = [(await browser.sign_in("Ada", f"guess number {number}")).status for number in range(8)]
    assert statuses[0] == 403 and statuses[-1] == 429
    assert browser.page is not None and browser.page.answer.header("retry-after")
    assert (await browser.sign_in("Ada")).status == 429
    unknown = Browser(world, "203.0.113.9")
    known = Browser(world, "203.0.113.10")
    world.clock.pass_(4000)
    first = await unknown.sign_in("Nobody", "wrong password")
    second = await known.sign_in("Ada", "wrong password")
    assert (first.status, _without_secrets(first.html)) == (second.status, _without_secrets(second.html))


def _without_secrets(html: str) -> list[str]:
    return [
        line
        for line in html.splitlines()
        if "csrf" not in line and "data-token" not in line and 'name="name"' not in line
    ]


async def test_without_configuration_everything_is_closed(world: World) -> None:
    """F89: nobody has an account, no header makes one somebody, and sign-up needs an invitation."""
    closed = Accounts(world.database, issuer=PS, clock=world.clock)
    assert not closed.open_sign_up and len(await closed.list()) == 0
    headers = [("x-user", "ada"), ("x-forwarded-user", "ada"), ("authorization", "Basic YWRhOmFkYQ==")]
    request = Request("GET", "/", (("host", "person.example"), *headers))
    assert (await world.server.answer(request)).header("location") == "/signin"


async def test_nothing_secret_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """F87: no token, code, cookie, password or form token in any log, at any level."""
    with caplog.at_level(logging.DEBUG):
        agent, browser = world.agent(), Browser(world)
        answer = await agent.ask_person_token()
        asked = requirement(answer)
        await browser.open_interaction(answer)
        await browser.get("/signup")
        await browser.sign_up()
        csrf = dict(browser.page.form("/decide/").fields)["csrf"] if browser.page else ""
        await browser.decide("approved", memory="kept")
        token = body(await agent.poll(answer))["person_token"]
        resource_token = agent.challenged(token, sub="somebody-else")
        await agent.ask_auth_token(resource_token, token)
        await agent.ask_auth_token(resource_token, token[:-4] + "AAAA")
        await browser.sign_in("Ada", "a wrong password")
    assert asked is not None
    secrets = [PASSWORD, "a wrong password", asked.text("code"), asked.text("url").rpartition("/")[2], csrf]
    secrets += [*browser.cookies.values(), (answer.header("location") or "").rpartition("/")[2]]
    secrets += [part for one in (token, resource_token, agent.token) for part in one.split(".")[1:]]
    assert all(secrets) and not any(secret in caplog.text for secret in secrets)


async def test_a_fault_of_ours_is_a_bare_500(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """F91, §11.9.2: the page says that it is ours; nothing of the fault goes out."""
    browser = Browser(world)
    await browser.sign_up()

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the inside of the machine")

    world.server._desk.questions.waiting_for = fail  # type: ignore[method-assign, assignment]
    page = await browser.get("/")
    assert page.status == 500 and "Something went wrong here" in page.text and "machine" not in page.html
    assert "the inside of the machine" in caplog.text


async def test_a_slow_issuer_holds_up_nobody_else(world: World) -> None:
    """F90: while one fetch hangs, other requests are answered."""
    agent, _, _ = await world.introduced()
    hanging, release = asyncio.Event(), asyncio.Event()
    send = world.network.send

    async def slow(method: str, url: str, *rest: Any, **more: Any) -> Answer:
        if "slow.example" in url:
            hanging.set()
            await release.wait()
        return await send(method, url, *rest, **more)

    world.network.send = slow  # type: ignore[method-assign]
    waiting = asyncio.create_task(world.agent("other").ask_person_token("https://slow.example"))
    await hanging.wait()
    assert (await agent.ask_person_token()).status == 200
    assert (await Browser(world).get("/signin")).status == 200
    assert not waiting.done()
    release.set()
    assert (await waiting).status == 202
