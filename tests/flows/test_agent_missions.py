"""Missions from the agent's side, at a real person server: proposed, kept, worked under, ended (draft-11 §8)."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import anyio.to_thread
import pytest

from aauthkit.agent import (
    Agent,
    Denied,
    Mission,
    MissionNotFound,
    MissionTerminated,
    MissionUnknown,
    Pending,
    UserUnreachable,
)
from aauthkit.protocol.headers import parse_capabilities
from aauthkit.protocol.jose import b64url_decode
from aauthkit.protocol.missions import mission_s256
from tests.plugins.tls import Clock
from tests.plugins.undertaking import TRIP, Undertaking
from tests.plugins.world import API, OTHER, PS, World

pytestmark = pytest.mark.anyio

DAY = 24 * 3600


async def end(agent: Undertaking, mission: Mission) -> None:
    """End a mission as its operator does."""
    steward = agent.world.ps.steward
    (bound,) = [one for one in await steward.agents() if one.sub == agent.agent.identifier]
    await steward.end_mission(bound.person, mission.s256, "administrative")


# Proposed and approved


async def test_a_mission_is_proposed_approved_and_what_was_approved_is_verified(real_world: World) -> None:
    """AG-32, AG-36, §8.1, §8.2: `s256` over the very bytes; tools, resources, limits, end; capabilities beside them."""
    agent = await Undertaking.begin(real_world)
    end = real_world.clock() + DAY
    mission = await agent.mission(
        tools={"Search": "Search the web", "Read": ""}, resources=[API], limits={"tokens": 5}, expires=end
    )
    assert mission_s256(mission.blob) == mission.s256
    assert (mission.description, mission.expires_at, mission.limits) == (TRIP, end, {"tokens": 5})
    assert [(tool.name, tool.description) for tool in mission.tools] == [("Search", "Search the web"), ("Read", "")]
    assert mission.resources == (API,) and mission.is_active and mission.ended is None
    assert mission.capabilities == {"interaction", "payment"}
    assert b"capabilities" not in mission.blob and b"approver" not in mission.blob
    assert len(agent.errands) == 1


async def test_the_person_approves_less_in_other_words(quick_real_world: World) -> None:
    """§8.2: what the agent holds is what was approved, not what it proposed."""
    agent = await Undertaking.begin(quick_real_world)
    mission = await agent.mission(("description", "Only look."), ("limit-tokens", "2"), limits={"tokens": 9})
    assert (mission.description, mission.limits) == ("Only look.", {"tokens": 2})


async def test_a_mission_that_is_declined_is_denied(quick_real_world: World) -> None:
    """§8.1, §11.9.4."""
    agent = await Undertaking.begin(quick_real_world)
    with pytest.raises(Denied):
        await agent.decided(agent.agent.mission(TRIP, person=agent.channel), "denied")
    assert agent.agent.missions() == []


async def test_an_agent_with_no_way_to_a_person_cannot_propose(quick_real_world: World) -> None:
    """§11.9.3."""
    agent = await Undertaking.begin(quick_real_world)
    with pytest.raises(UserUnreachable):
        await agent.agent.mission(TRIP, person=None)


async def test_a_question_to_the_proposal_is_answered(quick_real_world: World) -> None:
    """AG-50, §7.5, §8.1: the person asks back before they approve."""
    agent = await Undertaking.begin(quick_real_world)
    asked: list[str] = []
    proposing = asyncio.ensure_future(
        agent.agent.mission(TRIP, person=agent.channel, answer=lambda q: asked.append(q.text) or "In May.")
    )
    page = await agent.person.comes(await agent.errand(proposing))
    await agent.person.presses(page.form("/ask"), ("question", "When?"))
    async with asyncio.timeout(10):
        while not asked:
            await asyncio.sleep(0.02)
    async with asyncio.timeout(10):
        while "In May." not in (await agent.person.finds()).text:
            await asyncio.sleep(0.02)
    await agent.person.presses(agent.person.page.form("/decide/"), ("verdict", "approved"))
    assert (await proposing).is_active
    assert asked == ["When?"]


# Waiting


async def test_a_proposal_is_pending_and_goes_on_after_a_restart(quick_real_world: World) -> None:
    """§11.8: kept with its key, the person's page is shown once, and awaiting what is pending gives the mission."""
    agent = await Undertaking.begin(quick_real_world)
    with pytest.raises(Pending) as pending:
        await agent.agent.mission(TRIP, resources=[API], person=agent.channel, wait=0)
    assert (pending.value.on, pending.value.requirement) == (PS, "interaction")
    restarted = quick_real_world.restarted("planner").agent
    (waiting,) = restarted.pending()
    await agent.person.comes(agent.errands[0])
    await agent.person.presses(agent.person.page.form("/decide/"), ("verdict", "approved"))
    mission = await waiting
    assert mission.description == TRIP and mission.resources == (API,)
    assert restarted.pending() == [] and len(agent.errands) == 1


async def test_the_same_proposal_made_again_joins_the_one_that_waits(quick_real_world: World) -> None:
    """§11.8: also in another process of the agent."""
    agent = await Undertaking.begin(quick_real_world)
    with pytest.raises(Pending):
        await agent.agent.mission(TRIP, person=agent.channel, wait=0)
    again = asyncio.ensure_future(quick_real_world.restarted("planner").agent.mission(TRIP, person=agent.channel))
    await agent.person.comes(agent.errands[0])
    await agent.person.presses(agent.person.page.form("/decide/"), ("verdict", "approved"))
    assert (await again).description == TRIP
    assert len(agent.errands) == 1
    assert quick_real_world.servers[PS].count("POST", "/mission") == 1


async def test_a_proposal_is_withdrawn(quick_real_world: World) -> None:
    """§7.5.2.3."""
    agent = await Undertaking.begin(quick_real_world)
    with pytest.raises(Pending) as pending:
        await agent.agent.mission(TRIP, person=agent.channel, wait=0)
    await pending.value.cancel()
    assert agent.agent.pending() == []
    assert not await agent.person.has_questions()


async def test_missions_are_kept_on_disk_for_their_owner_alone(quick_real_world: World) -> None:
    """§8.2, F88: found after a restart, verified again; a file that was changed counts as not there."""
    agent = await Undertaking.begin(quick_real_world)
    mission = await agent.mission(tools=["Search"], resources=[API])
    path = quick_real_world.home / "missions" / "planner" / f"{mission.s256}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    restarted = quick_real_world.restarted("planner").agent
    (found,) = restarted.missions()
    assert (found.s256, found.blob, found.capabilities) == (mission.s256, mission.blob, mission.capabilities)
    assert restarted.resume_mission(mission.s256).tools == mission.tools
    path.write_text(path.read_text().replace('"mission": "ey', '"mission": "fy'))
    assert quick_real_world.restarted("planner").agent.missions() == []
    with pytest.raises(MissionUnknown):
        quick_real_world.restarted("planner").agent.resume_mission(mission.s256)
    mission.forget()
    assert not path.exists() and agent.agent.missions() == []


# Working under it


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_calls_under_a_mission_name_it_and_begin_with_the_tokens_that_came_along(
    real_world: World, sync: bool
) -> None:
    """AG-30, AG-31, AG-36, §7.1, §8.2, §8.3: no token is asked for; `mission_s256` is in it, and no AAuth-Mission."""
    agent = await Undertaking.begin(real_world)
    mission = await agent.mission(resources=[API])
    assert real_world.issuing() == (0, 0)
    if sync:
        with mission.sync_client() as http:
            response = await anyio.to_thread.run_sync(http.get, f"{API}/me")
    else:
        async with mission.client() as http:
            response = await http.get(f"{API}/me")
    assert response.status_code == 200
    assert real_world.issuing() == (0, 0)
    (called,) = [one for one in real_world.api.seen if one.path == "/me"]
    assert called.presented.jwt.claims["mission_s256"] == mission.s256
    assert not any("mission" in name for name, _ in called.headers)
    assert len(agent.errands) == 1


async def test_scope_within_a_mission_comes_with_its_name_in_every_token(real_world: World) -> None:
    """AG-31, F55, §8.3: person token, resource token and auth token; the person decides on the scope."""
    agent = await Undertaking.begin(real_world)
    mission = await agent.mission(resources=[API])
    async with agent.agent.client(mission=mission, person=agent.channel) as http:
        call = asyncio.ensure_future(http.get(f"{API}/orders"))
        await agent.person.finds()
        await agent.person.approves("orders.read", "orders.place")
        assert (await call).status_code == 200
    granted = [one.presented.jwt.claims for one in real_world.api.seen if one.signed and one.level == "aa-auth+jwt"]
    assert granted and {claims["mission_s256"] for claims in granted} == {mission.s256}
    assert real_world.issuing() == (0, 1)


async def test_a_resource_that_was_not_approved_is_asked_for(quick_real_world: World) -> None:
    """§8.1, §8.2: the list is no limit; the person is asked, and the token names the mission."""
    agent, world = await Undertaking.begin(quick_real_world), quick_real_world
    other = await world.serve(OTHER)
    mission = await agent.mission(resources=[API])
    async with mission.client(person=agent.channel) as http:
        call = asyncio.ensure_future(http.get(f"{OTHER}/me"))
        await agent.person.finds()
        await agent.person.approves()
        assert (await call).status_code == 200
    assert [one.presented.jwt.claims["mission_s256"] for one in other.seen if one.path == "/me"][-1] == mission.s256


async def test_tokens_of_a_mission_are_no_others(quick_real_world: World) -> None:
    """AG-31, §7.1, §8.3: one person token for each resource and mission, also on disk."""
    agent, world = await Undertaking.begin(quick_real_world), quick_real_world
    first = await agent.mission(resources=[API])
    second = await agent.mission(description="Another one.", resources=[API])
    named = []
    for mission in (first, second, first):
        async with mission.client() as http:
            assert (await http.get(f"{API}/me")).status_code == 200
        named.append(world.api.seen[-1].presented.jwt.claims["mission_s256"])
    assert named == [first.s256, second.s256, first.s256]
    plain = agent.traveller.get("/me")
    await agent.person.finds()
    await agent.person.approves()
    assert (await plain).status == 200
    assert "mission_s256" not in world.api.seen[-1].presented.jwt.claims
    restarted = world.restarted("planner").agent.resume_mission(second.s256)
    before = world.issuing()
    async with restarted.client() as http:
        assert (await http.get(f"{API}/me")).status_code == 200
    assert world.issuing() == before
    assert world.api.seen[-1].presented.jwt.claims["mission_s256"] == second.s256


async def test_capabilities_are_the_agents_and_the_missions(quick_real_world: World) -> None:
    """AG-10, §8.2, §11.7: united in the header; the person server is told the agent's own."""
    agent, world = await Undertaking.begin(quick_real_world), quick_real_world
    mission = await agent.mission(resources=[API])
    said = []
    for client in (
        mission.client(person=None),
        mission.client(person=agent.channel, answer=lambda _: "so"),
        agent.agent.client(person=agent.channel),
    ):
        async with client as http:
            await http.get(f"{API}/agent")
        value = next((value for name, value in world.api.seen[-1].headers if name == "aauth-capabilities"), "")
        said.append(parse_capabilities([value]))
    assert said == [{"interaction", "payment"}, {"interaction", "clarification", "payment"}, {"interaction"}]


# Changed, and ended


async def test_an_update_is_accepted_and_the_mission_keeps_its_name(real_world: World) -> None:
    """AG-35, §8.4: its own digest; kept with the mission, also after a restart; its tokens stay good."""
    agent = await Undertaking.begin(real_world)
    mission = await agent.mission(resources=[API])
    update = await agent.decided(mission.update("No hotel: another one."))
    assert update.description == "No hotel: another one."
    assert len(b64url_decode(update.s256)) == 32 and update.s256 != mission.s256
    assert mission.updates == (update,) == real_world.restarted("planner").agent.missions()[0].updates
    async with mission.client() as http:
        assert (await http.get(f"{API}/me")).status_code == 200
    with pytest.raises(Denied):
        await agent.decided(mission.update("And a museum."), "denied")
    assert mission.updates == (update,)


async def test_completion_is_proposed_and_only_the_person_ends_the_mission(real_world: World) -> None:
    """AG-33, AG-34, §8.5, §8.8: at the mission's own URL; declined it goes on; accepted it is over, and known to be."""
    agent = await Undertaking.begin(real_world)
    mission = await agent.mission(resources=[API])
    with pytest.raises(Denied):
        await agent.decided(mission.complete("Booked."), "denied")
    assert mission.is_active
    await agent.decided(mission.complete("Booked."))
    assert (mission.is_active, mission.ended) == (False, "completed")
    assert real_world.servers[PS].count("POST", f"/mission/{mission.s256}") == 2
    assert real_world.restarted("planner").agent.resume_mission(mission.s256).ended == "completed"
    before = len(real_world.servers[PS].seen)
    async with mission.client() as http:
        with pytest.raises(MissionTerminated) as over:
            await http.get(f"{API}/me")
    assert over.value.reason == "completed"
    for again in (mission.update("x"), mission.complete("x"), mission.permission("x"), mission.ask("x")):
        with pytest.raises(MissionTerminated):
            await again
    with pytest.raises(MissionTerminated):
        mission.audit("x")
    assert len(real_world.servers[PS].seen) == before


async def test_a_mission_that_somebody_ended_ends_every_call_under_it(quick_real_world: World) -> None:
    """AG-34, §8.7, §8.8: the reason is told, and remembered; the agent sends no more under it."""
    agent, world = await Undertaking.begin(quick_real_world), quick_real_world
    mission = await agent.mission(resources=[API])
    await end(agent, mission)
    with pytest.raises(MissionTerminated) as over:
        await mission.permission("SendEmail")
    assert over.value.reason == mission.ended == "administrative"
    assert not world.restarted("planner").agent.missions()[0].is_active
    async with mission.client() as http:
        with pytest.raises(MissionTerminated):
            await http.get(f"{API}/me")
    assert not [one for one in world.api.seen if one.path == "/me"]


async def test_a_call_learns_that_its_mission_has_ended(quick_real_world: World) -> None:
    """AG-34, §8.8: where a person token is asked for."""
    agent = await Undertaking.begin(quick_real_world)
    mission = await agent.mission()
    await end(agent, mission)
    async with mission.client() as http:
        with pytest.raises(MissionTerminated):
            await http.get(f"{API}/me")
    assert mission.ended == "administrative"


async def test_a_mission_past_its_end_has_expired(quick_real_world: World) -> None:
    """AG-34, §8.2, §8.8: known without asking; `expired` invites a new proposal."""
    agent, world = await Undertaking.begin(quick_real_world), quick_real_world
    assert isinstance(world.clock, Clock)
    mission = await agent.mission(resources=[API], expires=world.clock() + 600)
    world.clock.advance(601)
    assert mission.ended == "expired"
    with pytest.raises(MissionTerminated, match="propose a new one") as over:
        await mission.permission("x")
    assert over.value.reason == "expired"


async def test_another_agents_mission_is_not_found(quick_real_world: World, tmp_path: Path) -> None:
    """AG-34, §8.7: a mission URL can answer 404, which is an error of its own and ends nothing."""
    agent, world = await Undertaking.begin(quick_real_world), quick_real_world
    mission = await agent.mission()
    world.clock.advance(1)  # type: ignore[attr-defined]
    other = await Undertaking.begin(world, "writer", "Bob")
    await other.mission()
    kept = agent.agent._governance.standing.missions.get(mission.s256)
    other.agent._governance.standing.missions._known[mission.s256] = kept
    stolen = other.agent.resume_mission(mission.s256)
    with pytest.raises(MissionNotFound):
        await stolen.update("mine now")
    assert stolen.is_active


async def test_an_agent_that_keeps_nothing_has_its_missions_in_memory(quick_real_world: World) -> None:
    """§8.2."""
    agent = await Undertaking.begin(quick_real_world)
    plain = Agent.load(
        "planner",
        home=quick_real_world.home,
        egress=quick_real_world.egress,
        clock=quick_real_world.clock,
        missions_folder=None,
    )
    agent.agent = plain
    mission = await agent.mission()
    assert [one.s256 for one in plain.missions()] == [mission.s256]
    assert not (quick_real_world.home / "missions").exists()
