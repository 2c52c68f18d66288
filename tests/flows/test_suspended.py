"""An agent that its provider suspends or ends, with everybody real: provider, person server, API, person (F57)."""

from __future__ import annotations

import asyncio

import pytest

from aauthkit.agent import AgentTokenUnavailable
from tests.plugins.world import OTHER, World

pytestmark = pytest.mark.anyio


async def told(world: World, name: str) -> None:
    """Return once the person server has recorded the revocation of every token that this agent has."""
    while {one.state for one in await world.provider.revocations(name)} != {"recorded"}:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("verb", ["suspend", "end"])
async def test_f57_a_stopped_agent_reaches_nothing_new_and_says_why(real_world: World, verb: str) -> None:
    """F57; draft-11 §11.12.4, §11.12.5: its unexpired agent token is refused at the person server, and not renewed."""
    planner = await real_world.enrol("planner")
    ada = await real_world.person("Ada")
    await real_world.acquainted(planner, ada, "orders.read")
    await real_world.serve(OTHER)
    await getattr(real_world.provider, verb)("planner")
    await told(real_world, "planner")
    with pytest.raises(AgentTokenUnavailable, match="access_denied"):
        await planner.get(f"{OTHER}/orders")
    assert planner.opened == 1, "nobody was asked anything"


async def test_f57_within_the_hour_a_stopped_agent_reaches_nothing_at_all(real_world: World) -> None:
    """F57: what it holds for a resource expires, and nothing takes its place."""
    planner = await real_world.enrol("planner")
    await real_world.acquainted(planner, await real_world.person("Ada"), "orders.read")
    await real_world.provider.suspend("planner")
    await told(real_world, "planner")
    await real_world.pass_time(3600)
    with pytest.raises(AgentTokenUnavailable):
        await planner.get("/orders")


async def test_a_resumed_agent_goes_on_with_a_fresh_token_and_the_same_consent(real_world: World) -> None:
    """draft-11 §11.12.4: the binding of agent and person is not altered (§13.14)."""
    planner = await real_world.enrol("planner")
    await real_world.acquainted(planner, await real_world.person("Ada"), "orders.read")
    await real_world.provider.suspend("planner")
    await told(real_world, "planner")
    await real_world.provider.resume("planner")
    await real_world.pass_time(3600)
    assert (await planner.get("/orders")).status == 200
    assert planner.opened == 1


async def test_two_agents_are_two_agents(real_world: World) -> None:
    planner, scout = await real_world.enrol("planner"), await real_world.enrol("scout")
    ada = await real_world.person("Ada")
    await real_world.acquainted(planner, ada, "orders.read")
    await real_world.acquainted(scout, ada, "orders.read")
    await real_world.provider.end("planner")
    await told(real_world, "planner")
    await real_world.pass_time(3600)
    assert (await scout.get("/orders")).status == 200
    assert [(agent.name, agent.state) for agent in await real_world.provider.agents()] == [
        ("planner", "ended"),
        ("scout", "active"),
    ]
