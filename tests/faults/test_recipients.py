"""Resources that are to be told of a revocation and are down, slow, or lie: the outbox goes on to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from aauthkit.egress import EgressError
from aauthkit.protocol.messages import Answer
from tests.plugins.people import AgentParty, Browser, World, body, claims_of
from tests.plugins.signing import Issuer

pytestmark = pytest.mark.anyio

GOOD: Final = "https://good.example"
BAD: Final = "https://bad.example"
Behaviour = Callable[[], Awaitable[Answer]]


def behave(world: World, host: str, behaviour: Behaviour) -> list[str]:
    """A resource that does this when it is told of a revocation; what it was told."""
    resource = Issuer(host)
    world.network.publish(
        resource, "aauth-resource.json", access_mode="auth-token", revocation_endpoint=f"{host}/revoke"
    )
    told: list[str] = []
    send = world.network.send

    async def behaving(method: str, url: str, *rest: Any, **more: Any) -> Answer:
        if url.startswith(f"{host}/") and method == "POST":
            told.append(url)
            return await behaviour()
        return await send(method, url, *rest, **more)

    world.network.send = behaving  # type: ignore[method-assign]
    return told


async def recorded() -> Answer:
    return Answer(200, ())


async def down() -> Answer:
    raise EgressError("out of reach", "unreachable")


async def served(world: World, *places: str) -> tuple[AgentParty, Browser, dict[str, str]]:
    """An agent with a token for each of these places: `jti` by place."""
    agent, browser, _ = await world.introduced()
    tokens: dict[str, str] = {}
    for place in places:
        answer = await agent.ask_person_token(place)
        await browser.open_next()
        await browser.decide("approved", memory="kept")
        tokens[place] = claims_of(body(await agent.poll(answer))["person_token"])["jti"]
    return agent, browser, tokens


async def stop(world: World) -> None:
    """Its person stops the agent: every resource is to be told."""
    (agent,) = await world.server.steward.agents()
    await world.server.steward.stop(agent.person, agent.iss, agent.sub)


async def delivered(world: World, place: str) -> tuple[str, int]:
    """How the word to a place stands, and how often it was tried."""
    (one,) = [each for each in await world.server.steward.deliveries() if each.recipient == place]
    return one.state, one.attempts


async def until_delivered(world: World, place: str, state: str = "recorded") -> None:
    while (await delivered(world, place))[0] != state:
        await asyncio.sleep(0.01)


async def test_f86_one_that_is_down_is_tried_until_its_token_ends(world: World) -> None:
    """Ever more rarely, for an hour; then there is nothing left to revoke."""
    told_good, told = behave(world, GOOD, recorded), behave(world, BAD, down)
    await served(world, GOOD, BAD)
    await stop(world)
    await until_delivered(world, GOOD)
    assert len(told_good) == 1
    while not told:
        await asyncio.sleep(0.01)
    for _ in range(58):
        world.clock.pass_(60)
        await world.server.deliver_revocations()
    state, attempts = await delivered(world, BAD)
    assert state == "waiting" and attempts >= 10 and len(told) == attempts
    assert len(told_good) == 1, "whoever was told is not told again"
    world.clock.pass_(240)
    await world.server.deliver_revocations()
    assert [one.recipient for one in await world.server.steward.deliveries() if one.recipient == BAD] == []


async def test_f86_one_that_comes_back_is_told(world: World) -> None:
    """The next try finds it, whichever process makes it."""
    now: dict[str, Behaviour] = {"behaviour": down}

    async def changing() -> Answer:
        return await now["behaviour"]()

    told = behave(world, BAD, changing)
    await served(world, BAD)
    await stop(world)
    while not told or (await delivered(world, BAD))[1] < 1:
        await asyncio.sleep(0.01)
    now["behaviour"] = recorded
    again = world.make_server(world.database)
    await again.start()
    world.clock.pass_(600)
    await again.deliver_revocations()
    await until_delivered(world, BAD)


async def test_f86_a_slow_one_holds_up_nobody(world: World) -> None:
    """It answers nothing at all while everybody else is told, and the agent is stopped at once."""
    answered = asyncio.Event()

    async def slow() -> Answer:
        await answered.wait()
        return Answer(200, ())

    told, told_good = behave(world, BAD, slow), behave(world, GOOD, recorded)
    agent, _, _ = await served(world, BAD, GOOD)
    await stop(world)
    await until_delivered(world, GOOD)
    assert len(told_good) == len(told) == 1 and (await delivered(world, BAD))[0] == "waiting"
    assert (await agent.ask_person_token(GOOD)).status == 403
    answered.set()
    await until_delivered(world, BAD)


LIES: Final[dict[str, tuple[int, tuple[tuple[str, str], ...], bytes]]] = {
    "says it is done, in HTML": (200, (("content-type", "text/html"),), b"<h1>revoked</h1>"),
    "says it is done, with a report that is none": (200, (("content-type", "application/json"),), b'{"downstream": 7}'),
    "sends the server elsewhere": (302, (("location", "https://evil.example/revoke"),), b""),
    "says it waits, and not where": (202, (), b""),
    "says it waits, on another's host": (202, (("location", "https://evil.example/pending/1"),), b""),
    "refuses with an error of its own": (400, (("content-type", "application/json"),), b'{"error": "go away"}'),
    "asks for patience of years": (503, (("retry-after", "999999999"),), b""),
}


@pytest.mark.parametrize("lie", LIES)
async def test_f86_one_that_lies_is_not_believed_and_is_told_again(quick_world: World, lie: str) -> None:
    """The token stays revoked here whatever it says, and the word to it waits for its next turn."""
    world = quick_world
    status, headers, content = LIES[lie]

    async def lying() -> Answer:
        return Answer(status, headers, content)

    told = behave(world, BAD, lying)
    agent, _, tokens = await served(world, BAD)
    await stop(world)
    while not told or (await delivered(world, BAD))[1] < 1:
        await asyncio.sleep(0.01)
    while not [one for one in await world.server.steward.deliveries() if one.recipient == BAD and one.reason]:
        await asyncio.sleep(0.01)
    assert (await delivered(world, BAD))[0] == "waiting"
    assert not [url for url in world.network.asked if "evil.example" in url]
    row = await world.database.fetch_one("SELECT revoked FROM person_issued WHERE jti = :jti", jti=tokens[BAD])
    assert row is not None and row["revoked"] is not None
    assert (await agent.ask_person_token(BAD)).status == 403
    tried = len(told)
    world.clock.pass_(1200)
    await world.server.deliver_revocations()
    assert len(told) > tried
