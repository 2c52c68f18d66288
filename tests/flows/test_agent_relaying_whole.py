"""A resource's own page brought to the person by a real person server, where a page of theirs is open (§11.6.3.2)."""

from __future__ import annotations

import asyncio

import pytest

from aauthkit.agent import Denied
from tests.flows.test_resource_whole import Shop
from tests.plugins.undertaking import Undertaking
from tests.plugins.world import OTHER, PS, World

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_the_person_goes_from_their_page_to_the_shops_and_the_call_goes_on(
    quick_real_world: World, sync: bool
) -> None:
    """AG-64, §7.6.2: the agent opens nothing itself; that the call is done, the shop says."""
    shop = Shop(quick_real_world)
    await shop.serve(access_mode="session-token")
    agent = await Undertaking.begin(quick_real_world)
    mission = await agent.mission(resources=[OTHER])

    def called() -> int:
        with mission.sync_client(person=agent.channel) as http:
            return http.get(f"{OTHER}/mine").status_code

    async def call() -> int:
        if sync:
            return await asyncio.to_thread(called)
        async with mission.client(person=agent.channel) as http:
            return (await http.get(f"{OTHER}/mine")).status_code

    calling = asyncio.ensure_future(call())
    page = await agent.person.finds()
    assert "other.example" in page.text
    page = await agent.person.presses(page.form("/decide/"), ("verdict", "approved"))
    assert page.url.startswith(f"{OTHER}/aauth/interaction/")
    connect = await agent.person.presses(page.forms[0])
    await agent.person.presses(connect.form("/connect/"))
    assert await calling == 200
    assert len(agent.errands) == 1  # that was the mission's own page
    kinds = [one.kind for one in await quick_real_world.ps.steward.mission_log(mission.s256)]
    assert "interaction" in kinds


async def test_a_person_who_does_not_go_there_ends_the_call(quick_real_world: World) -> None:
    """§11.9.4: "Do not go" is a no."""
    shop = Shop(quick_real_world)
    await shop.serve(access_mode="session-token")
    agent = await Undertaking.begin(quick_real_world)
    mission = await agent.mission(resources=[OTHER])
    async with mission.client(person=agent.channel) as http:
        calling = asyncio.ensure_future(http.get(f"{OTHER}/mine"))
        page = await agent.person.finds()
        await agent.person.presses(page.form("/decide/"), ("verdict", "denied"))
        with pytest.raises(Denied):
            await calling
    assert len(agent.errands) == 1


async def test_with_no_page_open_the_agent_sends_them_itself(quick_real_world: World) -> None:
    """§7.6.3: 424, and then the agent's own way."""
    shop = Shop(quick_real_world)
    await shop.serve(access_mode="session-token")
    agent = await Undertaking.begin(quick_real_world)
    async with agent.agent.client(person=agent.channel) as http:
        calling = asyncio.ensure_future(http.get(f"{OTHER}/mine"))
        errand = await agent.errand(calling)
        assert errand.url.startswith(f"{OTHER}/aauth/interaction/")
        assert quick_real_world.servers[PS].statuses("POST", "/interaction") == [424]
        page = await agent.person.opens(errand.url_with_code)
        connect = await agent.person.presses(page.forms[0])
        await agent.person.presses(connect.form("/connect/"))
        assert (await calling).status_code == 200
