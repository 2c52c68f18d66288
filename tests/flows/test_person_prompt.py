"""How an agent wants its person met, whom it expects, and of which organization they are (draft-11 §7.1, §7.2.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from aauthkit.store import Database
from tests.plugins.people import RESOURCE, Browser, World, body, claims_of, error_of, granted, requirement

pytestmark = pytest.mark.anyio


async def test_prompt_login_has_the_person_sign_in_afresh(world: World) -> None:
    """§7.2.1: whoever is signed in does so again before this question, and for this question."""
    agent, browser, token = await world.introduced()
    world.clock.pass_(5)
    answer = await agent.ask_auth_token(agent.challenged(token), token, prompt="login")
    assert answer.status == 202
    page = await browser.open_next()
    assert page.has_form("/signin") and "sign in again" in page.text
    world.clock.pass_(5)
    page = await browser.submit("/signin", name="Ada", password="correct horse, battery staple")
    assert page.url.startswith("/decide/") and "See your orders" in page.text
    await browser.decide("approved", "orders.read")
    assert (await agent.poll(answer)).status == 200
    await browser.get("/")
    assert browser.page is not None and not browser.page.has_form("/signin")


async def test_a_form_of_before_does_not_decide_what_wants_a_fresh_sign_in(world: World) -> None:
    """§7.2.1: the rule is kept where it is decided, whatever page was open."""
    agent, browser, token = await world.introduced()
    world.clock.pass_(5)
    answer = await agent.ask_auth_token(agent.challenged(token), token)
    page = await browser.open_next()
    joined = await agent.ask_auth_token(agent.challenged(token), token, prompt="login")
    assert joined.header("location") == answer.header("location")
    page = await browser.decide("approved", "orders.read")
    assert page.has_form("/signin")
    assert (await agent.poll(answer)).status == 202


async def test_prompt_select_account_lets_the_person_choose(world: World) -> None:
    """§7.2.1: an agent without a person: as whoever is signed in, or as somebody else."""
    browser = Browser(world)
    await browser.sign_up("Ada")
    await browser.submit("/signout")
    await browser.sign_up("Bob")
    world.clock.pass_(5)
    agent = world.agent()
    answer = await agent.ask_person_token(prompt="select_account")
    page = await browser.open_interaction(answer)
    assert "Who answers?" in page.text and "Bob" in page.text
    fields = dict(page.form("/decide/").fields)
    path = page.url.partition("?")[0]
    early = await browser.post(path, [("csrf", fields["csrf"]), ("seen", "0"), ("verdict", "approved")])
    assert "Who answers?" in early.text
    world.clock.pass_(5)
    page = await browser.post(f"{path}/account", [("csrf", fields["csrf"]), ("as", "other")])
    assert page.has_form("/signin")
    page = await browser.submit("/signin", name="Ada", password="correct horse, battery staple")
    assert page.url == path and "New agent" in page.text
    await browser.decide("approved", memory="kept")
    assert (await agent.poll(answer)).status == 200
    names = {account.id: account.name for account in await world.server.accounts.list()}
    assert names[(await world.server.steward.agents())[0].person] == "Ada"


async def test_prompt_select_account_as_who_is_signed_in(world: World) -> None:
    browser = Browser(world)
    await browser.sign_up("Ada")
    world.clock.pass_(5)
    agent = world.agent()
    answer = await agent.ask_person_token(prompt="select_account consent")
    page = await browser.open_interaction(answer)
    csrf = dict(page.form("/decide/").fields)["csrf"]
    page = await browser.post(page.form("/decide/").action, [("csrf", csrf), ("as", "me")])
    await browser.decide("approved", memory="kept")
    assert (await agent.poll(answer)).status == 200


async def test_an_agent_that_has_its_person_leaves_no_choice_of_account(world: World) -> None:
    """§13.14: it is asked anyway, and of its own person."""
    agent, browser, token = await world.introduced()
    await granted(agent, browser, token, "orders.read", "orders.read")
    world.clock.pass_(5)
    answer = await agent.ask_auth_token(agent.challenged(token), token, prompt="select_account")
    assert answer.status == 202
    page = await browser.open_next()
    assert "Who answers?" not in page.text
    csrf = dict(page.form("/decide/").fields)["csrf"]
    refused = await browser.post(f"{page.url}/account", [("csrf", csrf), ("as", "other")])
    assert refused.status == 400
    await browser.get(page.url)
    await browser.decide("approved", "orders.read")
    assert (await agent.poll(answer)).status == 200


@pytest.mark.parametrize("value", ["none login", "none consent", "None", "create", "consent  login"])
async def test_none_stands_alone_and_other_values_are_unknown(world: World, value: str) -> None:
    """§7.2.1: 400 `invalid_request`; with `none` alone and nobody needed it is 200."""
    agent, _, _ = await world.introduced()
    assert error_of(await agent.ask_person_token(prompt=value)) == (400, "invalid_request")
    assert (await agent.ask_person_token(prompt="none")).status == 200


async def test_hints_are_shown_as_the_agents_and_choose_nothing(world: World) -> None:
    """PS-10, PS-33, PS-40, F53, §7.2.1: the resource's hint comes from the resource token, the agent's from itself."""
    agent, browser, token = await world.introduced()
    asked = agent.challenged(token, login_hint="eve@corp.example")
    hints = {"login_hint": "eve@corp.example", "tenant": "corp", "domain_hint": "<b>corp.example</b>"}
    answer = await agent.ask_auth_token(asked, token, **hints)
    page = await browser.open_next()
    agents = page.html.partition('class="says agent"')[2].partition("</section>")[0]
    resources = page.html.partition('class="says resource"')[2].partition("</section>")[0]
    assert "eve@corp.example" in agents and "corp" in agents and "<b>" not in agents and "a hint" in agents
    assert "eve@corp.example" in resources and "Ada" in resources and "domain" not in resources
    await browser.decide("approved", "orders.read")
    claims = claims_of(body(await agent.poll(answer))["auth_token"])
    assert claims["sub"] == claims_of(token)["sub"] and "tenant" not in claims


@pytest.mark.parametrize("name", ["login_hint", "tenant", "domain_hint"])
async def test_a_hint_out_of_form_is_refused(world: World, name: str) -> None:
    agent = world.agent()
    for value in ("", 7, ["x"], "x" * 513):
        assert error_of(await agent.ask_person_token(**{name: value})) == (400, "invalid_request")


@pytest.fixture
async def organization(database: Database) -> AsyncIterator[World]:
    """A person server whose people are an organization's."""
    world = World(database, tenant="corp.example")
    await world.server.start()
    yield world
    await world.close()


async def test_the_organization_is_told_to_every_resource_and_is_no_part_of_who_it_is(organization: World) -> None:
    """PS-11, PS-34, §7.1.2, §13.10, §14.1: person token, resource token and auth token say the same tenant."""
    agent, browser, token = await organization.introduced()
    assert claims_of(token)["tenant"] == "corp.example"
    auth = agent.challenged(token, tenant="corp.example")
    answer = await agent.ask_auth_token(auth, token)
    await browser.open_next()
    await browser.decide("approved", "orders.read", memory="kept")
    claims = claims_of(body(await agent.poll(answer))["auth_token"])
    assert (claims["tenant"], claims["sub"]) == ("corp.example", claims_of(token)["sub"])
    for lie in ({}, {"tenant": "other.example"}):
        refused = await agent.ask_auth_token(agent.challenged(token, **lie), token)
        assert error_of(refused) == (400, "invalid_resource_token")


async def test_without_the_interaction_capability_nobody_is_sent_anywhere(world: World) -> None:
    """PS-12, §7.1: `user_unreachable` where the person is needed and no page of theirs is open."""
    agent = world.agent()
    for able in ([], ["clarification"], ["payment"], None):
        assert error_of(await agent.ask_person_token(capabilities=able)) == (403, "user_unreachable")
    answer = await agent.ask_person_token(capabilities=["interaction", "unheard-of"])
    found = requirement(answer)
    assert found is not None and found.value == "interaction"


async def test_the_first_person_token_for_a_place_shows_the_place_in_its_own_words(world: World) -> None:
    """PS-12, §7.1, §13.8: name and description of the resource's metadata, and how it serves."""
    agent, browser = world.agent(), Browser(world)
    await browser.sign_up()
    for mode, words in (("auth-token", "asked next"), ("agent-token", "without asking again")):
        world.publish_resource(access_mode=mode)
        world.server = world.make_server(world.database)
        await world.server.start()
        answer = await agent.ask_person_token(RESOURCE)
        page = await browser.open_interaction(answer)
        assert "Orders" in page.text and "Keeps" in page.text and words in page.text
        await agent.send("DELETE", answer.header("location") or "")
