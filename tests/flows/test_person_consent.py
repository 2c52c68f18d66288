"""What people do at a person server: answer, remember, take back, go on to where their agent waits."""

from __future__ import annotations

import pytest

from aauthkit.accounts import AccountError
from aauthkit.person import consents
from tests.plugins.people import (
    CALLBACK,
    PROVIDER,
    Browser,
    World,
    body,
    claims_of,
    error_of,
    granted,
    requirement,
)
from tests.plugins.signing import new_key

pytestmark = pytest.mark.anyio

HOUR = 3600


async def test_two_decisions_in_one_visit(world: World) -> None:
    """§11.6.4: while the person's page is alive the second request is `approval`, and appears there by itself."""
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.read orders.place"), token)
    asked = requirement(answer)
    assert answer.status == 202 and asked is not None and asked.value == "approval"
    assert browser.page is not None
    page = await browser.get(browser.page.url)  # what the open page does by itself
    assert "One more thing waits for you" in page.text
    await browser.get(next(link for link in page.links if link.startswith("/decide/")))
    await browser.decide("approved", "orders.read", memory="kept")
    terminal = await agent.poll(answer)
    claims = dict(claims_of(body(terminal)["auth_token"]))
    assert claims["scope"] == "orders.read"


async def test_what_was_allowed_is_not_asked_again_until_it_is_taken_back(world: World) -> None:
    """F81: remembered, looked up, taken back; and then asked again. §6.7.1, §11.11."""
    agent, browser, token = await world.introduced()
    await granted(agent, browser, token, "orders.read orders.place", "orders.read")
    world.clock.pass_(30 * 86400)
    agent.renew(new_key())
    renewed = await agent.ask_person_token()
    assert renewed.status == 200
    token = body(renewed)["person_token"]
    for asked in ("orders.read", "orders.read orders.place"):
        answer = await agent.ask_auth_token(agent.challenged(token, asked), token)
        assert claims_of(body(answer)["auth_token"])["scope"] == "orders.read"
    # What was left out then is not given now, and is not asked again either.
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.place"), token)
    assert error_of(answer) == (403, "denied")
    # Another account is another question.
    answer = await agent.ask_auth_token(agent.challenged(token, account="work"), token)
    assert answer.status == 202

    await browser.sign_in()
    page = await browser.get("/allowed")
    assert "See your orders" in page.text and "planner at Orders" in page.text
    assert "Place orders" not in page.text
    await browser.submit("/allowed/")
    await browser.submit("/allowed/")
    assert browser.page is not None and not browser.page.has_form("/allowed/")
    # The person token rests on what was taken back, so it opens nothing here any more.
    answer = await agent.ask_auth_token(agent.challenged(token), token)
    assert error_of(answer) == (400, "revoked_presented_token")
    assert (await agent.ask_person_token()).status == 202


async def test_prompt_consent_asks_anyway_and_the_new_answer_counts(world: World) -> None:
    """F81, §7.2.1."""
    agent, browser, token = await world.introduced()
    await granted(agent, browser, token, "orders.read orders.place", "orders.read", "orders.place")
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.read"), token, prompt="consent")
    assert answer.status == 202
    await browser.open_next()
    assert browser.page is not None and "allowed before" in browser.page.text
    await browser.decide("denied")
    assert error_of(await agent.poll(answer)) == (403, "denied")
    assert (await agent.ask_auth_token(agent.challenged(token, "orders.read"), token)).status == 202


async def test_what_is_unticked_later_is_allowed_no_more(world: World) -> None:
    agent, browser, token = await world.introduced()
    await granted(agent, browser, token, "orders.read", "orders.read")
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.read orders.place"), token)
    await browser.open_next()
    assert browser.page is not None
    ticked = [value for name, value in browser.page.form("/decide/").fields if name == "scope"]
    assert ticked == ["orders.read"]  # what was allowed before is on, what is new is off
    await browser.decide("approved", "orders.place")
    assert claims_of(body(await agent.poll(answer))["auth_token"])["scope"] == "orders.place"
    world.clock.pass_(HOUR)
    agent.renew()
    token = body(await agent.ask_person_token())["person_token"]
    assert (await agent.ask_auth_token(agent.challenged(token, "orders.read"), token)).status == 202


async def test_this_once_is_one_grant(world: World) -> None:
    """Until its first token expires the same key may have it again, with no later `exp`; then the person is asked."""
    agent, _, token = await world.introduced(memory="once")
    first = claims_of(token)
    world.clock.pass_(600)
    agent.renew()
    again = claims_of(body(await agent.ask_person_token())["person_token"])
    assert again["exp"] == first["exp"] and again["jti"] != first["jti"]
    kept, other_key = agent.key, new_key()
    agent.renew(other_key)
    assert (await agent.ask_person_token()).status == 202
    agent.renew(kept)
    world.clock.pass_(3000)
    agent.renew()
    assert (await agent.ask_person_token()).status == 202


async def test_for_a_day_is_a_day(world: World) -> None:
    agent, _, _ = await world.introduced(memory="today")
    world.clock.pass_(86399)
    agent.renew(new_key())
    assert (await agent.ask_person_token()).status == 200
    world.clock.pass_(1)
    agent.renew()
    assert (await agent.ask_person_token()).status == 202


async def test_what_was_shown_is_kept_with_the_decision(world: World) -> None:
    await world.introduced()
    ada = await world.server.accounts.find("Ada")
    assert ada is not None
    decision = (await consents.allowed(world.database, ada.id, int(world.clock())))[0]
    assert decision.shown["verdict"] == "approved" and decision.shown["new_agent"] is True
    assert decision.shown["described"]["name"] == "Orders"
    row = await world.database.fetch_one("SELECT decided_by FROM person_decisions")
    assert row is not None and row["decided_by"]


async def test_the_browser_goes_back_where_the_agent_waits(world: World) -> None:
    """§7.3, §7.3.1, Table 6: with what went wrong, if something did."""
    ends = {"approved": "", "denied": "?error=access_denied", "left": "?error=user_abandoned"}
    for number, (verdict, suffix) in enumerate(ends.items()):
        browser = Browser(world)
        answer = await world.agent(f"agent{number}").ask_person_token()
        await browser.open_interaction(answer, CALLBACK)
        await browser.get("/signup")
        await browser.sign_up(f"Person {number}")
        assert browser.page is not None
        policy = browser.page.answer.header("content-security-policy") or ""
        assert f"form-action 'self' {PROVIDER};" in policy  # the redirect after the form is let through
        await browser.decide(verdict)
        assert browser.left == f"{CALLBACK}{suffix}"


async def test_the_browser_goes_back_with_the_news_that_time_ran_out(world: World) -> None:
    """§7.3.1 `interaction_expired`; a loopback callback is good where the provider allows it."""
    browser = Browser(world)
    answer = await world.agent().ask_person_token()
    await browser.open_interaction(answer, "http://127.0.0.1:4567/back?state=1")
    await browser.get("/signup")
    await browser.sign_up()
    world.clock.pass_(1800)
    await browser.decide("approved")
    assert browser.left == "http://127.0.0.1:4567/back?state=1&error=interaction_expired"


async def test_a_resource_without_metadata_can_be_met(world: World) -> None:
    """§11.2.4: a resource need not publish a document; the page says so."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token("https://bare.example")
    await browser.open_interaction(answer)
    await browser.get("/signup")
    await browser.sign_up()
    assert browser.page is not None and "bare.example" in browser.page.text
    assert "It says nothing about itself" in browser.page.text
    await browser.decide("approved")
    assert (await agent.poll(answer)).status == 200


async def test_people_are_made_by_invitation_and_can_be_given_a_new_password(world: World) -> None:
    """F89: no built-in account, no open door outside the loopback profile."""
    world.server.accounts.open_sign_up = False
    browser = Browser(world)
    assert "by invitation" in (await browser.get("/signup")).text
    with pytest.raises(AccountError):
        await world.server.accounts.sign_up("Eve", "some words in a row")
    invitation = await world.server.accounts.invite()
    await browser.get(f"/signup?invite={invitation}")
    assert (await browser.sign_up("Ada")).url == "/"
    second = Browser(world)
    await second.get(f"/signup?invite={invitation}")
    assert (await second.sign_up("Eve")).status == 403
    await world.server.accounts.set_password("ada", "other words in a row")
    assert (await browser.get("/")).url == "/signin"  # the sessions are over
    assert (await browser.sign_in("Ada")).status == 403
    assert (await browser.sign_in("Ada", "other words in a row")).url == "/"
