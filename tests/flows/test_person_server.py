"""A person server's whole ways: from a stranger's first request to tokens, with people at their browsers in between."""

from __future__ import annotations

import asyncio

import pytest

from aauthkit.accounts import AccountError
from aauthkit.person import records
from tests.plugins.people import (
    CALLBACK,
    PROVIDER,
    PS,
    RESOURCE,
    AgentParty,
    Browser,
    World,
    body,
    claims_of,
    error_of,
    requirement,
)
from tests.plugins.signing import Issuer, cnf, new_key

pytestmark = pytest.mark.anyio

HOUR = 3600


async def auth_token(world: World, agent: AgentParty, browser: Browser, token: str, asked: str, *granted: str) -> str:
    """The auth token the person lets the agent have, remembered until they take it back."""
    answer = await agent.ask_auth_token(agent.challenged(token, asked), token)
    if answer.status == 202:
        await open_next(browser)
        await browser.decide("approved", *granted, memory="kept")
        answer = await agent.poll(answer)
    assert answer.status == 200, answer.body
    value: str = body(answer)["auth_token"]
    return value


async def open_next(browser: Browser) -> None:
    """From home to the first question that waits."""
    page = await browser.get("/")
    await browser.get(next(link for link in page.links if link.startswith("/decide/")))


async def test_it_publishes_the_floor(world: World) -> None:
    """PS-01, PS-02, PS-05 (§11.2.2): and every endpoint it names is on its own host."""
    browser = Browser(world)
    document = body((await browser.get("/.well-known/aauth-person.json")).answer)
    assert document["issuer"] == PS and document["accept_signature_algs"] == ["Ed25519", "ES256"]
    assert document["person_token_endpoint"] == f"{PS}/person"
    assert document["auth_token_endpoint"] == f"{PS}/token"
    assert not {"token_endpoint", "mission_endpoint", "permission_endpoint", "interaction_endpoint"} & document.keys()
    keys = body((await browser.get(document["jwks_uri"].removeprefix(PS))).answer)["keys"]
    assert keys == [{**world.key.public.jwk, "use": "sig"}]
    assert not any("d" in key for key in keys)


async def test_a_stranger_gets_a_person_token_once_a_person_agreed(world: World) -> None:
    """PS-10, §7.1, §11.6.3, §11.8.2: 202, the page, the decision, the token."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    assert answer.status == 202 and body(answer) == {"status": "pending"}
    assert answer.header("cache-control") == "no-store" and answer.header("retry-after")
    location = answer.header("location") or ""
    assert location.startswith(f"{PS}/pending/")
    asked = requirement(answer)
    assert asked is not None and asked.value == "interaction"
    assert asked.text("url").startswith(f"{PS}/interaction/") and "?" not in asked.text("url")

    await browser.open_interaction(answer)
    await browser.sign_up("Ada")
    assert browser.page is not None and browser.page.url.startswith("/decide/")
    await browser.decide("approved")
    terminal = await agent.poll(answer)
    assert terminal.status == 200 and body(terminal)["expires_in"] == HOUR
    now = int(world.clock())
    claims = dict(claims_of(body(terminal)["person_token"]))
    assert claims.pop("jti") and claims.pop("sub")
    assert claims == {
        "iss": PS,
        "dwk": "aauth-person.json",
        "aud": RESOURCE,
        "cnf": cnf(agent.key.public),
        "iat": now,
        "exp": now + HOUR,
    }


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


async def test_an_auth_token_says_what_it_must_and_nothing_else(world: World) -> None:
    """PS-34, §9.4.1; F25: no `agent`, no `act`; `sub` as in the person token; account copied (§11.11)."""
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token, account="ada@work.example"), token)
    await open_next(browser)
    assert browser.page is not None and "ada@work.example" in browser.page.text
    await browser.decide("approved", "orders.read")
    claims = dict(claims_of(body(await agent.poll(answer))["auth_token"]))
    now = int(world.clock())
    assert claims.pop("jti")
    assert claims == {
        "iss": PS,
        "dwk": "aauth-person.json",
        "aud": RESOURCE,
        "ps": PS,
        "sub": claims_of(token)["sub"],
        "cnf": cnf(agent.key.public),
        "scope": "orders.read",
        "account": "ada@work.example",
        "iat": now,
        "exp": now + HOUR,
    }


async def test_a_token_never_outlives_what_it_rests_on(world: World) -> None:
    """PS-35, §7.1.2, §9.4.1: an hour, the agent token, the presented token, whichever is least."""
    agent, browser, token = await world.introduced(world.agent(exp=int(world.clock()) + 1000))
    assert claims_of(token)["exp"] == int(world.clock()) + 1000
    agent.claims = {}
    agent.renew()
    granted = await auth_token(world, agent, browser, token, "orders.read", "orders.read")
    assert claims_of(granted)["exp"] == claims_of(token)["exp"]
    step_up = await auth_token(world, agent, browser, granted, "orders.read orders.place", "orders.place")
    assert claims_of(step_up)["exp"] == claims_of(granted)["exp"]


async def test_a_code_works_once_and_a_page_that_is_gone_gets_a_fresh_one(world: World) -> None:
    """§11.6.3.1 single use; `approval` only while a page is alive."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    first = requirement(answer)
    await browser.open_interaction(answer)
    here = await agent.poll(answer)
    assert body(here) == {"status": "interacting"}
    now = requirement(here)
    assert now is not None and now.value == "approval"

    world.clock.pass_(600)
    later = await agent.poll(answer)
    second = requirement(later)
    assert first is not None and second is not None and second.value == "interaction"
    assert second.text("url") == first.text("url") and second.text("code") != first.text("code")
    assert requirement(await agent.poll(answer)) == second

    other = Browser(world)
    assert (await other.open_interaction(answer)).status == 410  # the first code
    await other.open_interaction(later)
    await other.sign_up("Ada")
    assert other.page is not None and other.page.url.startswith("/decide/")
    # Whoever came with the later code has the question now.
    page = await browser.get(f"/decide/{second.text('url').rpartition('/')[2]}")
    assert page.url == "/signin"
    await browser.get("/signup")
    assert (await browser.sign_up("Eve")).status == 404


async def test_a_sign_of_life_keeps_a_page_open(world: World) -> None:
    """A person who is still signing up is not asked for again."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    await browser.open_interaction(answer)
    for _ in range(10):
        assert (await browser.beat()).status == 204
        await browser.get("/signup")
        world.clock.pass_(15)
    found = requirement(await agent.poll(answer))
    assert found is not None and found.value == "approval"


async def test_what_was_allowed_is_not_asked_again_until_it_is_taken_back(world: World) -> None:
    """F81: remembered, looked up, taken back; and then asked again. §6.7.1, §11.11."""
    agent, browser, token = await world.introduced()
    await auth_token(world, agent, browser, token, "orders.read orders.place", "orders.read")
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
    assert (await agent.ask_auth_token(agent.challenged(token), token)).status == 202
    assert (await agent.ask_person_token()).status == 202


async def test_prompt_consent_asks_anyway_and_the_new_answer_counts(world: World) -> None:
    """F81, §7.2.1."""
    agent, browser, token = await world.introduced()
    await auth_token(world, agent, browser, token, "orders.read orders.place", "orders.read", "orders.place")
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.read"), token, prompt="consent")
    assert answer.status == 202
    await open_next(browser)
    assert browser.page is not None and "allowed before" in browser.page.text
    await browser.decide("denied")
    assert error_of(await agent.poll(answer)) == (403, "denied")
    assert (await agent.ask_auth_token(agent.challenged(token, "orders.read"), token)).status == 202


async def test_what_is_unticked_later_is_allowed_no_more(world: World) -> None:
    agent, browser, token = await world.introduced()
    await auth_token(world, agent, browser, token, "orders.read", "orders.read")
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.read orders.place"), token)
    await open_next(browser)
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
    agent, browser, token = await world.introduced(memory="once")
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


async def test_a_person_may_take_longer_than_a_resource_token_lives(world: World) -> None:
    """*Waits*: the resource token counts when the request arrives; after that only presented and agent token."""
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token), token)
    world.clock.pass_(1500)
    await browser.sign_in()
    await open_next(browser)
    await browser.decide("approved", "orders.read")
    terminal = await agent.poll(answer)
    assert claims_of(body(terminal)["auth_token"])["exp"] == claims_of(token)["exp"]


@pytest.mark.parametrize("memory", ["once", "kept"])
async def test_a_decision_outlives_the_tokens_it_was_asked_with(world: World, memory: str) -> None:
    """F56, §11.9.4: 408 `expired`, and no 200 with a dead token; a fresh request needs no question."""
    agent, browser, token = await world.introduced(world.agent(exp=int(world.clock()) + 1000))
    agent.claims = {}
    agent.renew()
    answer = await agent.ask_auth_token(agent.challenged(token), token)
    assert claims_of(token)["exp"] == int(world.clock()) + 1000
    await open_next(browser)
    await browser.decide("approved", "orders.read", memory=memory)
    world.clock.pass_(1000)
    assert error_of(await agent.poll(answer)) == (408, "expired")
    assert error_of(await agent.poll(answer)) == (410, "gone")
    token = body(await agent.ask_person_token())["person_token"]
    fresh = await agent.ask_auth_token(agent.challenged(token), token)
    assert claims_of(body(fresh)["auth_token"])["scope"] == "orders.read"


async def test_denied_is_said_once(world: World) -> None:
    """F82, §11.9.4, §13.2: 403 `denied`, then 410."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    await browser.open_interaction(answer)
    await browser.sign_up()
    await browser.decide("denied")
    assert browser.page is not None and "You denied" in browser.page.text
    assert error_of(await agent.poll(answer)) == (403, "denied")
    assert error_of(await agent.poll(answer)) == (410, "gone")
    assert await world.server.agents() == []  # a refusal binds nobody
    assert (await agent.ask_person_token()).status == 202


async def test_left_open_is_abandoned(world: World) -> None:
    """§11.9.4 `abandoned`."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    await browser.open_interaction(answer)
    await browser.sign_up()
    await browser.decide("left")
    assert error_of(await agent.poll(answer)) == (403, "abandoned")


async def test_a_request_nobody_decides_expires(world: World) -> None:
    """§11.9.4 `expired`, once; its page and its code say so too."""
    agent, browser, late = world.agent(), Browser(world), Browser(world)
    answer = await agent.ask_person_token()
    await browser.open_interaction(answer)
    await browser.sign_up()
    world.clock.pass_(1800)
    await browser.sign_in()
    asked = requirement(answer)
    assert asked is not None
    path = asked.text("url").removeprefix(PS)
    assert "This request has run out" in (await browser.get(path.replace("interaction", "decide"))).text
    assert (await late.get(f"{path}?code={asked.text('code')}")).status == 408
    assert error_of(await agent.poll(answer)) == (408, "expired")
    assert error_of(await agent.poll(answer)) == (410, "gone")


async def test_an_agent_may_withdraw(world: World) -> None:
    """§7.5.2.3: DELETE, then 410; the person is told."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    await browser.open_interaction(answer)
    await browser.sign_up()
    assert browser.page is not None
    page = browser.page.url
    location = answer.header("location") or ""
    assert (await agent.send("DELETE", location)).status == 204
    assert error_of(await agent.poll(answer)) == (410, "gone")
    assert error_of(await agent.send("DELETE", location)) == (410, "gone")
    assert (await browser.decide("approved")).status == 410
    assert "The agent withdrew its request" in (await browser.get(page)).text


async def test_an_equal_request_joins_the_one_that_waits(world: World) -> None:
    """One question for the person, whatever tokens it came with; another key's is another request."""
    agent, browser, token = await world.introduced()
    first = await agent.ask_auth_token(agent.challenged(token), token, justification="one")
    second = await agent.ask_auth_token(agent.challenged(token), token, justification="two")
    assert first.header("location") == second.header("location")
    other = await agent.ask_auth_token(agent.challenged(token, "orders.place"), token)
    assert other.header("location") != first.header("location")
    page = await browser.get("/")
    assert page.text.count("wants to use your Orders") == 2
    await browser.get(page.links[-2])
    await browser.decide("approved", "orders.read")
    assert (await agent.ask_auth_token(agent.challenged(token), token)).status == 200


async def test_equal_requests_of_one_moment_become_one(world: World) -> None:
    """Also where two processes take them."""
    agent = world.agent()
    other = world.make_server(world.database)
    await other.start()
    servers = [world.server, other] * 3

    async def ask(server: object) -> str | None:
        party = AgentParty(world, key=agent.key, token=agent.token)
        world.server = server  # type: ignore[assignment]
        return (await party.ask_person_token()).header("location")

    assert len({await ask(server) for server in servers}) == 1
    locations = await asyncio.gather(*(agent.ask_person_token() for _ in range(5)))
    assert len({answer.header("location") for answer in locations}) == 1


async def test_without_the_interaction_capability_a_person_must_be_there(world: World) -> None:
    """§11.9.3 `user_unreachable`; with the person's own page open they are reached without it."""
    stranger = world.agent("stranger")
    for capabilities in (None, [], ["payment"]):
        answer = await stranger.ask_person_token(capabilities=capabilities)
        assert error_of(answer) == (403, "user_unreachable")
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token), token, capabilities=None)
    asked = requirement(answer)
    assert answer.status == 202 and asked is not None and asked.value == "approval"
    world.clock.pass_(600)
    later = requirement(await agent.poll(answer))
    assert later is not None and later.value == "approval"  # it has nobody to send anywhere
    assert (await agent.ask_auth_token(agent.challenged(token, "orders.place"), token, capabilities=None)).status == 403
    await browser.sign_in()
    await open_next(browser)
    await browser.decide("approved", "orders.read")
    assert (await agent.poll(answer)).status == 200


async def test_a_poll_that_waits_is_answered_by_the_decision(world: World) -> None:
    """§11.8.3: `Prefer: wait` holds the poll, and the decision ends it."""
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token), token)
    held = asyncio.create_task(agent.poll(answer, headers=[("prefer", "wait=30")]))
    await open_next(browser)
    assert not held.done()
    await browser.decide("approved", "orders.read")
    assert (await asyncio.wait_for(held, 10)).status == 200


async def test_a_first_request_may_wait_as_well(world: World) -> None:
    """§11.8.1: held while the person's page is open, so that the agent need not poll at all."""
    agent, browser, token = await world.introduced()
    signed = agent.challenged(token)
    wait = [("prefer", "wait=30")]
    held = asyncio.create_task(
        agent.send(
            "POST",
            "/token",
            {"resource_token": signed, "presented_token": token, "capabilities": ["interaction"]},
            headers=wait,
        )
    )
    while not any(link.startswith("/decide/") for link in (await browser.get("/")).links):
        await asyncio.sleep(0.01)
    await open_next(browser)
    await browser.decide("approved", "orders.read")
    assert (await asyncio.wait_for(held, 10)).status == 200


async def test_nothing_is_lost_by_a_restart(world: World) -> None:
    """F85: pending requests, sessions, decisions and bindings are on record; another process goes on."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    await browser.open_interaction(answer)
    world.server = world.make_server(world.database)
    await world.server.start()
    await browser.sign_up()
    world.server = world.make_server(world.database)
    await world.server.start()
    await browser.decide("approved", memory="kept")
    world.server = world.make_server(world.database)
    await world.server.start()
    token = body(await agent.poll(answer))["person_token"]
    world.server = world.make_server(world.database)
    await world.server.start()
    assert error_of(await agent.poll(answer)) == (410, "gone")
    again = body(await agent.ask_person_token())["person_token"]
    assert claims_of(again)["sub"] == claims_of(token)["sub"]


async def test_a_person_is_another_at_each_resource_and_the_same_whatever_the_agent(world: World) -> None:
    """F25, §14.1."""
    mail = Issuer("https://mail.example")
    world.network.publish(mail, "aauth-resource.json", name="Mail")
    agent, browser, token = await world.introduced()
    second, _, other_token = await world.introduced(world.agent("buyer"), browser)
    assert claims_of(token)["sub"] == claims_of(other_token)["sub"]
    agent.renew(new_key())
    renewed = body(await agent.ask_person_token())["person_token"]
    assert claims_of(renewed)["sub"] == claims_of(token)["sub"]
    answer = await second.ask_person_token(mail.iss)
    await open_next(browser)
    await browser.decide("approved")
    at_mail = claims_of(body(await second.poll(answer))["person_token"])
    assert at_mail["aud"] == mail.iss and at_mail["sub"] != claims_of(token)["sub"]
    bob = Browser(world)
    stranger = world.agent("stranger")
    answer = await stranger.ask_person_token()
    await bob.open_interaction(answer)
    await bob.get("/signup")
    await bob.sign_up("Bob")
    await bob.decide("approved")
    assert claims_of(body(await stranger.poll(answer))["person_token"])["sub"] != claims_of(token)["sub"]


async def test_every_token_is_on_record(world: World) -> None:
    """PS-115, §7.1 Retention, §11.12.4 Records."""
    agent, browser, token = await world.introduced()
    granted = await auth_token(world, agent, browser, token, "orders.read", "orders.read")
    ada = await world.server.accounts.find("ada")
    assert ada is not None
    by_jti = {issued.jti: issued for issued in await world.server.issued(ada.id)}
    person, auth = by_jti[claims_of(token)["jti"]], by_jti[claims_of(granted)["jti"]]
    assert (person.typ, person.aud, person.exp) == ("aa-person+jwt", RESOURCE, claims_of(token)["exp"])
    assert (auth.typ, auth.presented_jti, auth.scope) == ("aa-auth+jwt", person.jti, frozenset({"orders.read"}))
    assert {auth.agent_iss, auth.agent_sub, auth.jkt} == {PROVIDER, agent.sub, agent.key.public.thumbprint}
    accepted = await world.database.fetch_all("SELECT iss, jti, sub FROM person_agent_tokens")
    assert [(row["iss"], row["jti"], row["sub"]) for row in accepted] == [
        (PROVIDER, claims_of(agent.token)["jti"], agent.sub)
    ]
    kept = await world.database.fetch_all("SELECT * FROM person_issued")
    assert not any(part in str([dict(row) for row in kept]) for part in token.split(".")[1:])
    assert [(a.iss, a.sub, a.person) for a in await world.server.agents()] == [(PROVIDER, agent.sub, ada.id)]


async def test_what_was_shown_is_kept_with_the_decision(world: World) -> None:
    agent, browser, _ = await world.introduced()
    ada = await world.server.accounts.find("Ada")
    assert ada is not None
    decision = (await records.allowed(world.database, ada.id, int(world.clock())))[0]
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
