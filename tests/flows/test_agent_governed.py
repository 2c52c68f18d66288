"""Permissions, records and questions of an agent, at a real person server (draft-11 §7.6, §7.7, §7.8)."""

from __future__ import annotations

import asyncio
import json

import anyio.to_thread
import pytest

from aauthkit.agent import Abandoned, InteractionUnavailable, MissionTerminated, Pending
from tests.plugins.undertaking import TRIP, Undertaking
from tests.plugins.world import API, PS, World

pytestmark = pytest.mark.anyio


async def log_of(agent: Undertaking, s256: str) -> list[tuple[str, dict[str, object]]]:
    """A mission's log at the person server, without what came with the approval."""
    entries = await agent.world.ps.steward.mission_log(s256)
    return [(one.kind, dict(one.entry)) for one in entries if one.kind not in ("approved", "token")]


# Permission


@pytest.mark.parametrize(("verdict", "granted"), [("approved", True), ("denied", False)])
async def test_a_permission_is_granted_or_denied_by_the_person(real_world: World, verdict: str, granted: bool) -> None:
    """AG-31, §7.7: with its parameters before them; a denial is an answer and no error. Without a mission, too."""
    agent = await Undertaking.begin(real_world)
    asking = agent.agent.permission(
        "SendEmail", description="The *itinerary*.", parameters={"to": "pat@example.com"}, person=agent.channel
    )
    permission = await agent.decided(asking, verdict)
    assert (permission.action, permission.granted, bool(permission), permission.asked) == (
        "SendEmail",
        granted,
        granted,
        True,
    )


async def test_nobody_is_asked_about_a_tool_that_the_mission_approved(quick_real_world: World) -> None:
    """§7.7: only for actions not covered by approved tools."""
    agent = await Undertaking.begin(quick_real_world)
    mission = await agent.mission(tools=["Search"])
    permission = await mission.permission("Search")
    assert permission and not permission.asked
    assert quick_real_world.servers[PS].count("POST", "/permission") == 0
    other = await agent.decided(agent.agent.permission("Book", mission=mission))
    assert other and other.asked
    assert [kind for kind, _ in await log_of(agent, mission.s256)] == ["permission", "permission"]


async def test_a_limit_that_is_checked_with_a_permission_has_it_asked_for(quick_real_world: World) -> None:
    """§7.7.2, §8.2: also for an approved tool; the reason names the limit, and no person is asked."""
    agent = await Undertaking.begin(quick_real_world)
    mission = await agent.mission(tools=["Pay"], limits={"amounts": {"price": {"each": 100}}})
    granted = await mission.permission("Pay", parameters={"price": 100})
    denied = await mission.permission("Pay", parameters={"price": 101})
    assert granted and granted.asked
    assert (denied.granted, denied.reason) == (False, "amounts: price is at most 100 each time")


async def test_a_permission_is_pending_and_goes_on_after_a_restart(quick_real_world: World) -> None:
    """§7.7.2, §11.8: what is pending gives the permission."""
    agent = await Undertaking.begin(quick_real_world)
    mission = await agent.mission()
    with pytest.raises(Pending):
        await mission.permission("Book", wait=0)
    restarted = quick_real_world.restarted("planner").agent
    (pending,) = restarted.pending()
    await agent.person.finds()
    await agent.person.presses(agent.person.page.form("/decide/"), ("verdict", "approved"))
    permission = await pending
    assert permission and permission.action == "Book"


# Audit


async def test_what_was_done_is_recorded_in_order_and_nobody_waits(real_world: World) -> None:
    """AG-31, §7.8: the mission is named; all is there before the client has closed."""
    agent = await Undertaking.begin(real_world)
    mission = await agent.mission(tools=["Search"])
    async with mission.client():
        for number in range(20):
            assert agent.agent.audit(mission, "Search", parameters={"n": number}, result={"found": number})
    assert await log_of(agent, mission.s256) == [
        ("audit", {"action": "Search", "parameters": {"n": number}, "result": {"found": number}})
        for number in range(20)
    ]


async def test_records_are_sent_before_a_synchronous_client_has_closed(quick_real_world: World) -> None:
    """§7.8.2."""
    agent = await Undertaking.begin(quick_real_world)
    mission = await agent.mission()

    def work() -> None:
        with mission.sync_client():
            mission.audit("Search", description="Found 12.")

    await anyio.to_thread.run_sync(work)
    assert await log_of(agent, mission.s256) == [("audit", {"action": "Search", "description": "Found 12."})]


async def test_a_record_that_is_refused_tells_that_the_mission_is_over(quick_real_world: World) -> None:
    """AG-34, §7.8.2, §8.8: found out in the background; from then on it is known."""
    agent = await Undertaking.begin(quick_real_world)
    mission = await agent.mission()
    (bound,) = await quick_real_world.ps.steward.agents()
    await quick_real_world.ps.steward.end_mission(bound.person, mission.s256, "revoked")
    assert mission.audit("Search")
    assert await agent.agent.flush()
    assert mission.ended == "revoked"
    with pytest.raises(MissionTerminated, match=r"the mission has ended \(revoked\)$"):
        mission.audit("Search")


# Questions


async def test_a_question_is_answered_in_the_persons_words(real_world: World) -> None:
    """AG-31, AG-64, §7.6: `type` is `question`; within a mission and without."""
    agent = await Undertaking.begin(real_world)
    asking = agent.agent.ask("Aisle or *window*?", description="On the way there.", person=agent.channel)
    assert await agent.decided(asking, "approved", ("answer", "The window, please.")) == "The window, please."
    mission = await agent.mission()
    assert await agent.decided(mission.ask("Near the front?"), "approved", ("answer", "No.")) == "No."
    assert {kind for kind, _ in await log_of(agent, mission.s256)} == {"interaction"}


async def test_the_person_is_brought_to_another_page(quick_real_world: World) -> None:
    """AG-64, §7.6.2: `payment` and `interaction` are relayed where a page of theirs is open; else 424."""
    agent = await Undertaking.begin(quick_real_world)
    with pytest.raises(InteractionUnavailable):
        await agent.agent.bring("https://booking.example/confirm", "X7K2-M9P4", person=agent.channel)
    mission = await agent.mission()
    asking = asyncio.ensure_future(
        agent.agent.bring("https://booking.example/confirm", "X7K2-M9P4", mission=mission, type="payment", max_wait=60)
    )
    page = await agent.person.finds()
    assert "booking.example" in page.text
    await agent.person.presses(page.form("/decide/"), ("verdict", "left"))
    with pytest.raises(Abandoned):
        await asking


@pytest.mark.parametrize("description", ["", " ", "x" * 20_000])
async def test_what_says_nothing_or_too_much_is_not_sent(quick_real_world: World, description: str) -> None:
    """§8.1: a `ValueError`, before anything is sent."""
    agent = await Undertaking.begin(quick_real_world)
    for asking in (agent.agent.mission(description), agent.agent.ask(description)):
        with pytest.raises(ValueError, match="Markdown"):
            await asking
    with pytest.raises(ValueError):
        await agent.agent.mission(TRIP, resources=["http://plain.example"])
    with pytest.raises(ValueError):
        await agent.agent.mission(TRIP, tools=["Search", "Search"])
    assert quick_real_world.servers[PS].seen == []


async def test_nothing_that_is_kept_or_shown_holds_a_token(quick_real_world: World) -> None:
    """F87."""
    agent = await Undertaking.begin(quick_real_world)
    mission = await agent.mission(resources=[API])
    kept = (quick_real_world.home / "missions" / "planner" / f"{mission.s256}.json").read_text()
    assert "person_token" not in kept and json.loads(kept)["s256"] == mission.s256
    assert TRIP not in repr(mission.kept) and mission.s256 in repr(mission)
