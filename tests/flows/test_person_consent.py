"""What people do at a person server: answer, remember, take back, go on to where their agent waits."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.accounts import AccountError
from aauthkit.person import Terms, consents
from tests.plugins.people import (
    CALLBACK,
    PROVIDER,
    AgentParty,
    Browser,
    World,
    body,
    claims_of,
    error_of,
    granted,
    requirement,
)
from tests.plugins.signing import Issuer, new_key

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


async def test_what_was_left_out_is_asked_again_where_it_is_asked_for_by_itself(world: World) -> None:
    """Unticked is no refusal for ever: beside what was granted it stays out in silence, alone it is a question.

    A refusal then answers that one question, and takes nothing back that was allowed.
    """
    agent, browser, token = await world.introduced()
    await granted(agent, browser, token, "orders.read orders.place", "orders.read")
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.place"), token)
    await browser.open_next()
    await browser.decide("denied")
    assert error_of(await agent.poll(answer)) == (403, "denied")
    for asked in ("orders.read", "orders.read orders.place"):
        answer = await agent.ask_auth_token(agent.challenged(token, asked), token)
        assert claims_of(body(answer)["auth_token"])["scope"] == "orders.read"
    again = await granted(agent, browser, token, "orders.place", "orders.place")
    assert claims_of(again)["scope"] == "orders.place"
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.read orders.place"), token)
    assert set(claims_of(body(answer)["auth_token"])["scope"].split()) == {"orders.read", "orders.place"}


async def test_consent_is_for_one_agent_place_account_and_scope(world: World) -> None:
    """F81, §6.7.1, §11.11: each of them another, and the person is asked."""
    agent, browser, token = await world.introduced()
    waiting = await agent.ask_auth_token(agent.challenged(token, account="work"), token)
    page = await browser.open_next()
    assert "For the account work" in page.text
    await browser.decide("approved", "orders.read", memory="kept")
    assert (await agent.poll(waiting)).status == 200

    async def asked(party: AgentParty, presented: str, **claims: Any) -> int:
        return (await party.ask_auth_token(party.challenged(presented, **claims), presented)).status

    assert await asked(agent, token, account="work") == 200
    for other in ({}, {"account": "home"}, {"account": "Work"}, {"account": "work", "scope": "orders.place"}):
        assert await asked(agent, token, **other) == 202, other
    buyer, _, buyers = await world.introduced(world.agent("buyer"), browser)
    assert await asked(buyer, buyers, account="work") == 202
    mail = Issuer("https://mail.example")
    scopes = {"orders.read": "Read what was ordered by mail"}
    world.network.publish(mail, "aauth-resource.json", scope_descriptions=scopes)
    identity = await agent.ask_person_token(mail.iss)
    for link in (await browser.get("/")).links:
        if link.startswith("/decide/") and "act as you" in (await browser.get(link)).text:
            await browser.decide("approved")
            break
    at_mail = body(await agent.poll(identity))["person_token"]
    assert await asked(agent, at_mail, account="work", issuer=mail) == 202


async def test_an_account_is_looked_up_and_taken_back_by_itself(world: World) -> None:
    """F81, §11.11: the list names the account of each; taking one back leaves the other."""
    agent, browser, token = await world.introduced()
    for account in ("work", "home"):
        world.clock.pass_(1)
        waiting = await agent.ask_auth_token(agent.challenged(token, account=account), token)
        assert f"account {account}" in (await browser.get("/")).text
        await browser.open_next()
        page = await browser.decide("approved", "orders.read", memory="kept")
        assert f"(account {account})" in page.text
        assert claims_of(body(await agent.poll(waiting))["auth_token"])["account"] == account
    page = await browser.get("/allowed")
    assert page.text.index("account home") < page.text.index("account work")
    await browser.submit("/allowed/")  # the newest stands first
    assert browser.page is not None and "account home" not in browser.page.text
    assert (await agent.ask_auth_token(agent.challenged(token, account="work"), token)).status == 200
    assert (await agent.ask_auth_token(agent.challenged(token, account="home"), token)).status == 202


async def test_what_was_taken_back_twice_was_taken_back(world: World) -> None:
    """F81: a second press, or one on an old page, finds it done; the list is what it is."""
    agent, browser, _ = await world.introduced()
    page = await browser.get("/allowed")
    for _ in range(2):
        browser.page = page
        after = await browser.submit("/allowed/")
        assert after.status == 200 and not after.has_form("/allowed/")
    assert (await agent.ask_person_token()).status == 202


async def test_what_is_over_is_looked_up_no_more_and_goes_in_the_end(world: World) -> None:
    """Evidence is kept as long as the server is told, then discarded, a little at a time as agents come."""
    world.options["terms"] = Terms(decisions_kept=1000)
    world.server = world.make_server(world.database)
    await world.server.start()
    agent, browser, _ = await world.introduced(memory="today")
    world.clock.pass_(2 * 86400)

    async def kept() -> int:
        agent.renew()
        await agent.ask_person_token(capabilities=None)
        return len(await world.database.fetch_all("SELECT id FROM person_decisions"))

    await browser.sign_in()
    assert not (await browser.get("/allowed")).has_form("/allowed/")
    assert await kept() == 1  # noted as over now
    world.clock.pass_(1000)
    assert await kept() == 1
    world.clock.pass_(61)
    assert await kept() == 0


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
