"""What is asked twice: joined while it waits, answered again where the answer was lost, asked anew where it must be."""

from __future__ import annotations

import asyncio

import pytest

from aauthkit.protocol.messages import Answer
from tests.plugins.people import AgentParty, Browser, World, body, claims_of, error_of, granted
from tests.plugins.signing import new_key

pytestmark = pytest.mark.anyio


def auth_token(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    token: str = body(answer)["auth_token"]
    return token


async def decided(
    world: World, memory: str = "once", **parameters: object
) -> tuple[AgentParty, Browser, str, str, Answer]:
    """An agent whose request was approved: agent, browser, person token, resource token, the 202."""
    agent, browser, token = await world.introduced()
    resource_token = agent.challenged(token, "orders.read orders.place")
    waiting = await agent.ask_auth_token(resource_token, token, **parameters)
    await browser.open_next()
    await browser.decide("approved", "orders.read", memory=memory)
    return agent, browser, token, resource_token, waiting


@pytest.mark.parametrize("memory", ["once", "today", "kept"])
async def test_a_lost_token_is_given_again(world: World, memory: str) -> None:
    """The same resource token by the same key: the very same token, no question; its URL stays 410 (§13.2)."""
    agent, _, token, resource_token, waiting = await decided(world, memory)
    lost = auth_token(await agent.poll(waiting))
    world.clock.pass_(60)
    for _ in range(2):
        again = await agent.ask_auth_token(resource_token, token)
        assert auth_token(again) == lost
        assert body(again)["expires_in"] == claims_of(lost)["exp"] - int(world.clock())
        assert error_of(await agent.poll(waiting)) == (410, "gone")
    assert [one.jti for one in await world.server.steward.issued() if one.resource_jti] == [claims_of(lost)["jti"]]


async def test_a_lost_token_that_nobody_waited_for_is_given_again(world: World) -> None:
    """Also where an earlier decision answered at once; another resource token gets another token."""
    agent, browser, token = await world.introduced()
    await granted(agent, browser, token, "orders.read", "orders.read")
    resource_token = agent.challenged(token)
    lost = auth_token(await agent.ask_auth_token(resource_token, token))
    world.clock.pass_(10)
    assert auth_token(await agent.ask_auth_token(resource_token, token)) == lost
    other = auth_token(await agent.ask_auth_token(agent.challenged(token), token))
    assert claims_of(other)["jti"] != claims_of(lost)["jti"]


async def test_a_lost_token_is_given_again_by_another_process(world: World) -> None:
    """F85."""
    agent, _, token, resource_token, waiting = await decided(world)
    lost = auth_token(await agent.poll(waiting))
    world.server = world.make_server(world.database)
    await world.server.start()
    assert auth_token(await agent.ask_auth_token(resource_token, token)) == lost


async def test_a_lost_token_asked_for_with_prompt_is_given_again(world: World) -> None:
    """§7.2.1: the person was asked, and is not asked twice for one answer; another request asks them."""
    agent, _, token, resource_token, waiting = await decided(world, "kept", prompt="consent")
    lost = auth_token(await agent.poll(waiting))
    again = await agent.ask_auth_token(resource_token, token, prompt="consent")
    assert auth_token(again) == lost
    other = agent.challenged(token, "orders.read orders.place")
    assert (await agent.ask_auth_token(other, token, prompt="consent")).status == 202


async def test_prompt_asks_although_the_same_resource_token_was_answered(world: World) -> None:
    """F81, §7.2.1: an answer that nobody was asked for is no answer to `prompt=consent`; the later answer then is."""
    agent, browser, token = await world.introduced()
    await granted(agent, browser, token, "orders.read orders.place", "orders.read")
    resource_token = agent.challenged(token, "orders.read orders.place")
    first = auth_token(await agent.ask_auth_token(resource_token, token))
    waiting = await agent.ask_auth_token(resource_token, token, prompt="consent")
    assert waiting.status == 202
    assert (await agent.ask_auth_token(resource_token, token, prompt="consent")).header("location") == waiting.header(
        "location"
    )
    await browser.open_next()
    await browser.decide("approved", "orders.read", "orders.place", memory="kept")
    second = auth_token(await agent.poll(waiting))
    assert set(claims_of(second)["scope"].split()) == {"orders.read", "orders.place"}
    assert claims_of(first)["scope"] == "orders.read"
    assert auth_token(await agent.ask_auth_token(resource_token, token, prompt="consent")) == second
    assert auth_token(await agent.ask_auth_token(resource_token, token)) == second


async def test_a_lost_token_is_not_given_to_anybody_else(world: World) -> None:
    """§6.7.2 step 2: a resource token names the key; another agent, or another key, gets nothing for it."""
    agent, browser, token, resource_token, waiting = await decided(world, "kept")
    lost = auth_token(await agent.poll(waiting))
    other, _, others = await world.introduced(world.agent("buyer"), browser)
    assert error_of(await other.ask_auth_token(resource_token, others)) == (400, "invalid_resource_token")
    thief = AgentParty(world, "buyer", key=agent.key)
    assert error_of(await thief.ask_auth_token(resource_token, token)) == (400, "invalid_presented_token")
    agent.renew(new_key())
    assert error_of(await agent.ask_auth_token(resource_token, token)) == (400, "invalid_resource_token")
    assert lost


async def test_a_lost_token_is_given_no_longer_than_its_resource_token_lives(world: World) -> None:
    agent, _, token, resource_token, waiting = await decided(world)
    auth_token(await agent.poll(waiting))
    world.clock.pass_(300)
    assert error_of(await agent.ask_auth_token(resource_token, token)) == (400, "expired_resource_token")


async def test_a_lost_token_that_has_expired_is_not_given(world: World) -> None:
    """What is issued then is a token of its own, or nothing."""
    agent, browser, token = await world.introduced(world.agent(exp=int(world.clock()) + 100))
    resource_token = agent.challenged(token)
    waiting = await agent.ask_auth_token(resource_token, token)
    await browser.open_next()
    await browser.decide("approved", "orders.read", memory="kept")
    lost = auth_token(await agent.poll(waiting))
    assert claims_of(lost)["exp"] == int(world.clock()) + 100
    world.clock.pass_(100)
    agent.claims = {}
    agent.renew()
    assert error_of(await agent.ask_auth_token(resource_token, token)) == (400, "expired_presented_token")


async def test_a_lost_token_that_was_taken_back_is_not_given(world: World) -> None:
    """F81: the person is asked again."""
    agent, browser, token = await world.introduced()
    world.clock.pass_(1)
    resource_token = agent.challenged(token)
    waiting = await agent.ask_auth_token(resource_token, token)
    await browser.open_next()
    await browser.decide("approved", "orders.read", memory="kept")
    auth_token(await agent.poll(waiting))
    await browser.get("/allowed")
    await browser.submit("/allowed/")  # the newest stands first
    assert (await agent.ask_auth_token(resource_token, token)).status == 202


async def test_a_lost_refusal_is_a_new_question(world: World) -> None:
    """`denied` is said once (§11.9.4); what comes after it is a request of its own."""
    agent, browser, token = await world.introduced()
    resource_token = agent.challenged(token)
    waiting = await agent.ask_auth_token(resource_token, token)
    await browser.open_next()
    await browser.decide("denied")
    assert error_of(await agent.poll(waiting)) == (403, "denied")
    again = await agent.ask_auth_token(resource_token, token)
    assert again.status == 202 and again.header("location") != waiting.header("location")


async def test_the_same_resource_token_joins_its_request(world: World) -> None:
    """Also at once, also where the person has decided and the answer was not fetched: then it is the answer."""
    agent, browser, token = await world.introduced()
    resource_token = agent.challenged(token, "orders.read orders.place")
    waiting = await agent.ask_auth_token(resource_token, token)
    answers = await asyncio.gather(*(agent.ask_auth_token(resource_token, token) for _ in range(4)))
    assert {answer.header("location") for answer in answers} == {waiting.header("location")}
    assert (await browser.get("/")).text.count("wants to use your Orders") == 1
    await browser.open_next()
    await browser.decide("approved", "orders.read")
    first = auth_token(await agent.ask_auth_token(resource_token, token))
    assert claims_of(first)["scope"] == "orders.read"
    assert auth_token(await agent.ask_auth_token(resource_token, token)) == first


async def test_a_refusal_that_was_not_fetched_is_the_answer_to_a_repeat(world: World) -> None:
    agent, browser, token = await world.introduced()
    resource_token = agent.challenged(token)
    waiting = await agent.ask_auth_token(resource_token, token)
    await browser.open_next()
    await browser.decide("denied")
    assert error_of(await agent.ask_auth_token(resource_token, token)) == (403, "denied")
    assert error_of(await agent.poll(waiting)) == (410, "gone")


async def test_every_resource_token_that_waited_has_its_answer(world: World) -> None:
    """Two that joined one request: each of them, brought again, gets the token the request was answered with."""
    agent, browser, token = await world.introduced()
    first, second = agent.challenged(token), agent.challenged(token)
    waiting = await agent.ask_auth_token(first, token)
    assert (await agent.ask_auth_token(second, token)).header("location") == waiting.header("location")
    await browser.open_next()
    await browser.decide("approved", "orders.read")
    lost = auth_token(await agent.poll(waiting))
    assert auth_token(await agent.ask_auth_token(first, token)) == lost
    assert auth_token(await agent.ask_auth_token(second, token)) == lost


async def test_polls_that_come_too_fast_are_told_so_and_held_ones_never(world: World) -> None:
    """§11.9.4 `slow_down`, with Retry-After; the decision is not kept back by it."""
    agent, browser, token = await world.introduced()
    waiting = await agent.ask_auth_token(agent.challenged(token), token)
    answers = [await agent.poll(waiting) for _ in range(30)]
    assert answers[0].status == 202
    assert error_of(answers[-1]) == (429, "slow_down") and answers[-1].header("retry-after")
    held = asyncio.create_task(agent.poll(waiting, headers=[("prefer", "wait=30")]))
    await browser.open_next()
    await browser.decide("approved", "orders.read")
    assert (await asyncio.wait_for(held, 10)).status == 200
