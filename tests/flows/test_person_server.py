"""A person server's whole ways: from a stranger's first request to tokens, with people at their browsers in between."""

from __future__ import annotations

import asyncio

import pytest

from tests.plugins.people import (
    PROVIDER,
    PS,
    RESOURCE,
    AgentParty,
    Browser,
    World,
    body,
    claims_of,
    error_of,
    granted,
    requirement,
)
from tests.plugins.signing import Issuer, cnf, new_key

pytestmark = pytest.mark.anyio

HOUR = 3600


async def test_it_publishes_the_floor(world: World) -> None:
    """PS-01, PS-02, PS-05 (§11.2.2): and every endpoint it names is on its own host."""
    browser = Browser(world)
    document = body((await browser.get("/.well-known/aauth-person.json")).answer)
    assert document["issuer"] == PS and document["accept_signature_algs"] == ["Ed25519", "ES256"]
    assert document["person_token_endpoint"] == f"{PS}/person"
    assert document["auth_token_endpoint"] == f"{PS}/token"
    for name in ("mission", "permission", "audit", "interaction"):
        assert document[f"{name}_endpoint"] == f"{PS}/{name}"
    assert not {"token_endpoint", "mission_control_endpoint"} & document.keys()
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


async def test_an_auth_token_says_what_it_must_and_nothing_else(world: World) -> None:
    """PS-34, §9.4.1; F25: no `agent`, no `act`; `sub` as in the person token; account copied (§11.11)."""
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token, account="ada@work.example"), token)
    await browser.open_next()
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
    first = await granted(agent, browser, token, "orders.read", "orders.read")
    assert claims_of(first)["exp"] == claims_of(token)["exp"]
    step_up = await granted(agent, browser, first, "orders.read orders.place", "orders.place")
    assert claims_of(step_up)["exp"] == claims_of(first)["exp"]


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


async def test_a_person_may_take_longer_than_a_resource_token_lives(world: World) -> None:
    """*Waits*: the resource token counts when the request arrives; after that only presented and agent token."""
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token), token)
    world.clock.pass_(1500)
    await browser.sign_in()
    await browser.open_next()
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
    await browser.open_next()
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
    assert await world.server.steward.agents() == []  # a refusal binds nobody
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
    world.clock.pass_(1)
    other = await agent.ask_auth_token(agent.challenged(token, "orders.place"), token)
    assert other.header("location") != first.header("location")
    page = await browser.get("/")
    assert page.text.count("wants to use your Orders") == 2
    await browser.open_next()
    assert browser.page is not None and "one" in browser.page.text and "two" not in browser.page.text
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
    await browser.open_next()
    await browser.decide("approved", "orders.read")
    assert (await agent.poll(answer)).status == 200


async def test_a_poll_that_waits_is_answered_by_the_decision(world: World) -> None:
    """§11.8.3: `Prefer: wait` holds the poll, and the decision ends it."""
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token), token)
    held = asyncio.create_task(agent.poll(answer, headers=[("prefer", "wait=30")]))
    await browser.open_next()
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
    await browser.open_next()
    await browser.decide("approved", "orders.read")
    assert (await asyncio.wait_for(held, 10)).status == 200


async def test_a_question_that_a_browser_came_for_waits_on_its_home_page(world: World) -> None:
    """Also of an agent that is nobody's yet; a person who lost the page finds it again."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    await browser.open_interaction(answer)
    await browser.sign_up()
    other = Browser(world)
    await other.sign_up("Eve")
    assert "Nothing waits for you" in (await other.get("/")).text
    assert "planner wants to act as you at Orders" in (await browser.open_next()).text
    await browser.decide("approved")
    assert (await agent.poll(answer)).status == 200


async def test_the_agents_of_a_person_who_is_switched_off_get_nothing(world: World) -> None:
    """F57: what they hold has ended, and what they ask is refused."""
    agent, _, token = await world.introduced()
    waiting = await agent.ask_auth_token(agent.challenged(token, "orders.place"), token)
    await world.server.accounts.set_disabled("Ada", True)
    assert error_of(await agent.ask_person_token()) == (403, "denied")
    stale = await agent.ask_auth_token(agent.challenged(token), token)
    assert error_of(stale) == (400, "revoked_presented_token")
    assert error_of(await agent.poll(waiting)) == (403, "denied")


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
    await browser.open_next()
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
    first = await granted(agent, browser, token, "orders.read", "orders.read")
    ada = await world.server.accounts.find("ada")
    assert ada is not None
    by_jti = {issued.jti: issued for issued in await world.server.steward.issued(ada.id)}
    person, auth = by_jti[claims_of(token)["jti"]], by_jti[claims_of(first)["jti"]]
    assert (person.typ, person.aud, person.exp) == ("aa-person+jwt", RESOURCE, claims_of(token)["exp"])
    assert (auth.typ, auth.presented_jti, auth.scope) == ("aa-auth+jwt", person.jti, frozenset({"orders.read"}))
    assert {auth.agent_iss, auth.agent_sub, auth.jkt} == {PROVIDER, agent.sub, agent.key.public.thumbprint}
    accepted = await world.database.fetch_all("SELECT iss, jti, sub FROM person_agent_tokens")
    assert [(row["iss"], row["jti"], row["sub"]) for row in accepted] == [
        (PROVIDER, claims_of(agent.token)["jti"], agent.sub)
    ]
    kept = await world.database.fetch_all("SELECT * FROM person_issued")
    assert not any(part in str([dict(row) for row in kept]) for part in token.split(".")[1:])
    assert [(a.iss, a.sub, a.person) for a in await world.server.steward.agents()] == [(PROVIDER, agent.sub, ada.id)]
