"""An agent's provider, a resource, and the person take back what they gave: what ends here at once (§11.12).

What the resources are told comes later; here the records say what they would be told of.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aauthkit.protocol.messages import Answer
from tests.plugins.people import (
    PROVIDER,
    PS,
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

RESOURCE_DWK = "aauth-resource.json"


def done(answer: Answer) -> bool:
    """The empty 200 with no Content-Type (§11.12.3)."""
    return (answer.status, answer.body, answer.values("content-type")) == (200, b"", [])


def refused(answer: Answer) -> bool:
    """401 `revoked_jwt` (§11.12.5)."""
    return answer.status == 401 and "error=revoked_jwt" in (answer.header("signature-error") or "")


async def every_endpoint(agent: AgentParty, waiting: Answer, resource_token: str, token: str) -> list[Answer]:
    """The answer of everything this server has for agents."""
    return [
        await agent.ask_person_token(),
        await agent.ask_auth_token(resource_token, token),
        await agent.poll(waiting),
        await agent.say(waiting, clarification_response="x"),
        await agent.send("DELETE", waiting.header("location") or ""),
    ]


async def issued_to(world: World, agent: AgentParty) -> dict[str, int | None]:
    """What was issued to an agent, by `jti`, and when it was revoked."""
    return {one.jti: one.revoked for one in await world.server.steward.issued() if one.agent_sub == agent.sub}


async def test_where_to_revoke_is_published(world: World) -> None:
    """PS-03, §11.2.2."""
    document = body((await Browser(world).get("/.well-known/aauth-person.json")).answer)
    assert document["revocation_endpoint"] == f"{PS}/revoke"


async def test_a_revoked_agent_token_is_refused_everywhere_at_once(world: World) -> None:
    """F57, PS-110, PS-111, §11.12.5: recorded, answered with an empty 200, and 401 `revoked_jwt` from then on."""
    agent, _, token = await world.introduced()
    resource_token = agent.challenged(token)
    waiting = await agent.ask_auth_token(resource_token, token)
    assert done(await world.revoke(agent.token))
    assert all(refused(answer) for answer in await every_endpoint(agent, waiting, resource_token, token))
    assert done(await world.revoke(agent.token))  # a repeat changes nothing
    assert refused(await agent.ask_person_token())


async def test_what_waits_under_a_revoked_agent_token_ends(world: World) -> None:
    """F57, §11.9.4, §11.12.5: 403 `revoked`, with which token; then 410; and the person is told."""
    agent, browser, token = await world.introduced()
    waiting = await agent.ask_auth_token(agent.challenged(token), token)
    await browser.open_next()
    page = browser.page
    assert page is not None
    await world.revoke(agent.token)
    agent.renew()  # what its provider issues later is verified on its own terms
    answer = await agent.poll(waiting)
    assert error_of(answer) == (403, "revoked") and "agent token" in body(answer)["detail"]
    assert error_of(await agent.poll(waiting)) == (410, "gone")
    assert "Nothing waits for you" in (await browser.get("/")).text
    assert "agent’s provider has stopped this agent" in (await browser.get(page.url)).text
    browser.page = page
    late = await browser.decide("approved", "orders.read")
    assert late.status == 410 and "This request has been called off" in late.text


async def test_a_request_that_was_approved_and_not_fetched_ends_too(world: World) -> None:
    """F57: no token leaves after the revocation, whenever the person decided."""
    agent, browser, token = await world.introduced()
    waiting = await agent.ask_auth_token(agent.challenged(token), token)
    await browser.open_next()
    await browser.decide("approved", "orders.read", memory="kept")
    await world.revoke(agent.token)
    agent.renew()
    assert error_of(await agent.poll(waiting)) == (403, "revoked")
    identity = await agent.ask_person_token(prompt="consent")
    await browser.open_next()
    await browser.decide("approved")
    await world.revoke(agent.token)
    agent.renew()
    assert error_of(await agent.poll(identity)) == (403, "revoked")


async def test_a_held_poll_is_told_of_the_revocation(world: World) -> None:
    agent, _, token = await world.introduced()
    waiting = await agent.ask_auth_token(agent.challenged(token), token)
    held = asyncio.create_task(agent.poll(waiting, headers=[("prefer", "wait=30")]))
    await asyncio.sleep(0.05)
    assert not held.done()
    await world.revoke(agent.token)
    assert error_of(await asyncio.wait_for(held, 10)) == (403, "revoked")


async def test_every_token_of_the_agent_ends_by_its_identity(world: World) -> None:
    """§11.12.4: whichever agent token it presented; the binding, what is remembered, and others' tokens stay."""
    agent, browser, token = await world.introduced()
    auth = await granted(agent, browser, token, "orders.read", "orders.read")
    buyer, _, other = await world.introduced(world.agent("buyer"), browser)
    first = agent.token
    agent.renew()
    second = body(await agent.ask_person_token())["person_token"]
    await world.revoke(first)
    now = int(world.clock())
    jtis = {claims_of(each)["jti"] for each in (token, auth, second)}
    assert await issued_to(world, agent) == dict.fromkeys(jtis, now)
    assert await issued_to(world, buyer) == {claims_of(other)["jti"]: None}
    # The agent's other token is good, what rests on the ended ones is not.
    for presented in (token, auth, second):
        answer = await agent.ask_auth_token(agent.challenged(presented), presented)
        assert error_of(answer) == (400, "revoked_presented_token")
    fresh = body(await agent.ask_person_token())["person_token"]
    assert claims_of(fresh)["sub"] == claims_of(token)["sub"]
    assert (await agent.ask_auth_token(agent.challenged(fresh), fresh)).status == 200
    assert [bound.sub for bound in await world.server.steward.agents()].count(agent.sub) == 1


async def test_a_request_with_a_token_that_ended_ends_with_it(world: World) -> None:
    """§11.9.4: also where the agent asked under an agent token that is still good."""
    agent, _, token = await world.introduced()
    first = agent.token
    agent.renew()
    waiting = await agent.ask_auth_token(agent.challenged(token), token)
    identity = await agent.ask_person_token("https://bare.example")
    await world.revoke(first)
    answer = await agent.poll(waiting)
    assert error_of(answer) == (403, "revoked") and "presented token" in body(answer)["detail"]
    assert (await agent.poll(identity)).status == 202  # nothing it rests on was revoked


async def test_a_token_that_never_came_here_is_recorded_as_well(world: World) -> None:
    """§11.12.3: there is no "not found"."""
    agent = world.agent()
    assert done(await world.revoke(agent.token))
    assert refused(await agent.ask_person_token())


async def test_a_revocation_holds_in_every_process_and_after_a_restart(world: World) -> None:
    """F85."""
    agent, _, _ = await world.introduced()
    other = world.make_server(world.database)
    await other.start()
    await world.revoke(agent.token)
    for _ in range(500):
        world.server, kept = other, world.server
        answer = await agent.ask_person_token()
        world.server = kept
        if refused(answer):
            break
        await asyncio.sleep(0.01)
    assert refused(answer)
    world.server = world.make_server(world.database)
    await world.server.start()
    assert refused(await agent.ask_person_token())


@pytest.mark.parametrize(
    ("issuer", "dwk", "expected"),
    [
        ("https://evil.example", "aauth-agent.json", (403, "unsupported_iss")),
        (PROVIDER, "aauth-person.json", (401, "invalid_key")),
        (PROVIDER, "aauth-access.json", (401, "invalid_key")),
    ],
)
async def test_only_who_issued_a_token_revokes_it(
    world: World, issuer: str, dwk: str, expected: tuple[int, str]
) -> None:
    """§11.12.1: by who signed; a stranger's revocation is theirs, and in no other role is any taken."""
    agent = world.agent()
    party = world.provider if issuer == PROVIDER else Issuer(issuer)
    world.network.publish(party, dwk)
    world.network.publish(world.provider, "aauth-agent.json")
    assert error_of(await world.revoke(agent.token, party, dwk)) == expected
    assert (await agent.ask_person_token()).status == 202


async def test_a_resource_revokes_nothing_but_its_own(world: World) -> None:
    """§11.12.1: keyed by `(iss, jti)`, so the same `jti` from another issuer is another token."""
    agent = world.agent()
    assert done(await world.revoke(agent.token, world.resource, RESOURCE_DWK))
    assert (await agent.ask_person_token()).status == 202


@pytest.mark.parametrize("knobs", [{"jti": ""}, {"jti": 7}, {"exp": "soon"}, {"exp": 9_999_999_999}])
async def test_a_revocation_out_of_form_records_nothing(world: World, knobs: dict[str, Any]) -> None:
    """§11.12.1, §11.12.3: 400 `invalid_request`, also for an `exp` beyond any token's."""
    agent = world.agent()
    assert error_of(await world.revoke(agent.token, **knobs)) == (400, "invalid_request")
    assert (await agent.ask_person_token()).status == 202


async def test_an_agent_revokes_nothing(world: World) -> None:
    agent = world.agent()
    answer = await agent.send("POST", "/revoke", {"jti": claims_of(agent.token)["jti"], "exp": int(world.clock()) + 60})
    assert answer.status == 401 and "unsupported_scheme" in (answer.header("signature-error") or "")


async def test_a_withdrawn_resource_token_gets_nothing(world: World) -> None:
    """PS-112, §11.12.4: before it came here, while it waits, and once it is approved."""
    agent, browser, token = await world.introduced()
    before = agent.challenged(token)
    assert done(await world.revoke(before, world.resource, RESOURCE_DWK))
    assert error_of(await agent.ask_auth_token(before, token)) == (400, "revoked_resource_token")

    while_it_waits = agent.challenged(token, "orders.place")
    waiting = await agent.ask_auth_token(while_it_waits, token)
    await world.revoke(while_it_waits, world.resource, RESOURCE_DWK)
    answer = await agent.poll(waiting)
    assert error_of(answer) == (403, "revoked") and "resource token" in body(answer)["detail"]
    assert error_of(await agent.ask_auth_token(while_it_waits, token)) == (400, "revoked_resource_token")

    approved = agent.challenged(token, "orders.cancel")
    waiting = await agent.ask_auth_token(approved, token)
    await browser.open_next()
    await browser.decide("approved", "orders.cancel")
    await world.revoke(approved, world.resource, RESOURCE_DWK)
    assert error_of(await agent.poll(waiting)) == (403, "revoked")


async def test_a_withdrawn_resource_token_says_so_even_when_it_has_expired(world: World) -> None:
    """§11.12.5: revoked, not expired."""
    agent, _, token = await world.introduced()
    resource_token = agent.challenged(token)
    await world.revoke(resource_token, world.resource, RESOURCE_DWK)
    world.clock.pass_(301)
    assert error_of(await agent.ask_auth_token(resource_token, token)) == (400, "revoked_resource_token")


async def test_a_request_goes_on_under_another_resource_token(world: World) -> None:
    """§11.12.4: what was joined by the same request under a token that is good is still asked."""
    agent, browser, token = await world.introduced()
    waiting = await agent.ask_auth_token(agent.challenged(token), token)
    second = agent.challenged(token)
    joined = await agent.ask_auth_token(second, token)
    assert joined.header("location") == waiting.header("location")
    await world.revoke(second, world.resource, RESOURCE_DWK)
    assert (await agent.poll(waiting)).status == 202
    await browser.open_next()
    await browser.decide("approved", "orders.read")
    assert (await agent.poll(waiting)).status == 200


async def test_what_a_person_takes_back_is_refused_here_from_then_on(world: World) -> None:
    """F81, §11.12.5: tokens that rest on it, and what waits under one of them; the rest of the agent's stays."""
    agent, browser, token = await world.introduced()
    world.clock.pass_(1)
    auth = await granted(agent, browser, token, "orders.read", "orders.read")
    world.clock.pass_(1)
    step_up = await granted(agent, browser, auth, "orders.read orders.place", "orders.read", "orders.place")
    waiting = await agent.ask_auth_token(agent.challenged(step_up, "orders.cancel"), step_up)
    page = await browser.get("/allowed")
    forms = {link: page.html.index(link) for link in {form.action for form in page.forms if "/allowed/" in form.action}}
    # The newest first: reading, placing, then acting as the person at all.
    place, read, _ = sorted(forms, key=lambda action: forms[action])
    await browser.submit(read)
    jtis = [claims_of(each)["jti"] for each in (token, auth, step_up)]
    kept = await issued_to(world, agent)
    assert [kept[jti] is None for jti in jtis] == [True, False, False]  # the step-up rests on what came before it
    assert error_of(await agent.poll(waiting)) == (403, "revoked")
    answer = await agent.ask_auth_token(agent.challenged(step_up), step_up)
    assert error_of(answer) == (400, "revoked_presented_token")
    again = await agent.ask_auth_token(agent.challenged(token, "orders.place"), token)
    assert again.status == 200  # by the decision that was not taken back
    await browser.get("/allowed")
    await browser.submit(place)
    asked = requirement(await agent.ask_auth_token(agent.challenged(token, "orders.place"), token))
    assert asked is not None


async def test_a_refusal_takes_back_what_it_was_about(world: World) -> None:
    """F81: asked anyway and denied, the agent cannot go on with the token it had by the earlier answer."""
    agent, browser, token = await world.introduced()
    waiting = await agent.ask_person_token(prompt="consent")
    await browser.open_next()
    await browser.decide("denied")
    assert error_of(await agent.poll(waiting)) == (403, "denied")
    answer = await agent.ask_auth_token(agent.challenged(token), token)
    assert error_of(answer) == (400, "revoked_presented_token")


async def test_less_than_before_leaves_the_request_it_answers_alone(world: World) -> None:
    """A step-up in which the earlier thing is unticked still yields what was allowed."""
    agent, browser, token = await world.introduced()
    auth = await granted(agent, browser, token, "orders.read", "orders.read")
    step_up = await granted(agent, browser, auth, "orders.read orders.place", "orders.place")
    assert claims_of(step_up)["scope"] == "orders.place"


async def test_many_things_ending_at_once_do_not_wait_for_each_other(world: World) -> None:
    """A revocation, a refusal, a take-back and decisions, all of one agent, in the same moment and two processes."""
    agent, browser, token = await world.introduced()
    await granted(agent, browser, token, "orders.read", "orders.read")
    other = world.make_server(world.database)
    await other.start()
    waiting = [
        await agent.ask_auth_token(agent.challenged(token, scope), token, prompt="consent")
        for scope in ("orders.read", "orders.place", "orders.cancel", "orders.read orders.place")
    ]
    links = [link for link in (await browser.get("/")).links if link.startswith("/decide/")]
    assert len(links) == 4
    tabs = []
    for link in links:
        tab = Browser(world)
        tab.cookies = browser.cookies
        await tab.get(link)
        tabs.append(tab)
    back = Browser(world)
    back.cookies = browser.cookies
    await back.get("/allowed")
    pages = await asyncio.gather(
        *(tab.decide(verdict) for tab, verdict in zip(tabs, ["denied", "denied", "left", "denied"], strict=True)),
        back.submit("/allowed/"),
    )
    assert {page.status for page in pages} <= {200, 410}
    await world.revoke(agent.token)
    agent.renew()
    answers = [await agent.poll(each) for each in waiting]
    assert {error_of(answer)[1] for answer in answers} <= {"denied", "abandoned", "revoked"}


async def test_a_fresh_key_finds_nothing_of_what_ended(world: World) -> None:
    """§13.2: another key is another owner."""
    agent, _, token = await world.introduced()
    waiting = await agent.ask_auth_token(agent.challenged(token), token)
    await world.revoke(agent.token)
    agent.renew(new_key())
    assert error_of(await agent.poll(waiting)) == (404, "not_found")
