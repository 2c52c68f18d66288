"""Missions among many calls, over time, and where callers give up (draft-11 §7.9.1, §8, §11.8)."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from aauthkit.agent import Pending, Permission
from aauthkit.protocol.headers import interaction_required
from tests.flows.test_agent_mission_refusals import ORDERS, PERSON_URL, Approving, approval
from tests.plugins.simulators import Parties, deferred, json_body
from tests.plugins.tls import Received, Reply

pytestmark = pytest.mark.anyio

PAGE = interaction_required("https://person.example/i/1", "A1B2-C3D4")


async def test_equal_proposals_of_one_moment_are_one(parties: Parties) -> None:
    """§8.1: one request, one mission for both."""
    approving, agent = Approving(parties), parties.agent()
    first, second = await asyncio.gather(agent.mission("A trip."), agent.mission("A trip."))
    assert first.s256 == second.s256
    assert len(approving.bodies) == 1


async def test_two_permissions_for_the_same_are_asked_for_twice(parties: Parties) -> None:
    """§7.7: what is granted once is not done twice."""
    approving, agent = Approving(parties), parties.agent()
    approving.script("/permission_endpoint", json_body({"permission": "granted"}), json_body({"permission": "denied"}))
    said = await asyncio.gather(agent.permission("Book"), agent.permission("Book"))
    assert sorted(map(bool, said)) == [False, True]
    assert parties.ps.count("/permission_endpoint") == 2


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_many_calls_under_a_mission_share_its_tokens(parties: Parties, sync: bool) -> None:
    """F40, §7.1: one person token and one auth token, which name it."""
    Approving(parties)
    mission = await parties.agent().mission("A trip.")
    for claims in (parties.ps.person_claims, parties.resource.resource_claims, parties.ps.auth_claims):
        claims["mission_s256"] = mission.s256
    if sync:

        def get_all() -> list[int]:
            with mission.sync_client() as http, ThreadPoolExecutor(8) as pool:
                return [one.status_code for one in pool.map(http.get, [ORDERS] * 40)]

        statuses = await asyncio.to_thread(get_all)
    else:
        async with mission.client() as http:
            statuses = [one.status_code for one in await asyncio.gather(*(http.get(ORDERS) for _ in range(40)))]
    assert set(statuses) == {200}
    assert (parties.ps.person_requests, parties.ps.auth_requests) == (1, 1)


async def test_tokens_that_have_ended_are_had_anew_under_the_same_mission(parties: Parties) -> None:
    """AG-31, AG-70, §7.9.1: under another key, for the same mission; those that came along were for the first key."""
    approving = Approving(parties)
    approving.answer = lambda caller: approval(
        approving.blob, person_tokens={"https://api.example": approving.token(caller)}
    )
    agent = parties.agent()
    mission = await agent.mission("A trip.")
    parties.ps.person_claims["mission_s256"] = mission.s256
    before = agent.thumbprint
    async with mission.client() as http:
        for _ in range(2):
            assert (await http.get(PERSON_URL)).status_code == 200
            parties.clock.advance(3600)
    assert agent.thumbprint != before
    assert parties.ps.person_requests == 1
    assert parties.ps.bodies[-1][1]["mission_s256"] == mission.s256


async def test_a_proposal_that_was_given_up_is_joined_again(parties: Parties) -> None:
    """§11.8: the person is shown the page once, and asked once."""
    approving, agent = Approving(parties), parties.agent()
    gate, polled = asyncio.Event(), asyncio.Event()

    def held(_request: Received) -> Reply:
        polled.set()
        return Reply(202, (("location", "/pending/m"), ("retry-after", "0")), b"", gate=gate)

    parties.ps.script["/mission_endpoint"] = [deferred("/pending/m", PAGE)]
    parties.ps.script["/pending/m"] = [held, json_body(approval(approving.blob))]
    call = asyncio.ensure_future(agent.mission("A trip."))
    await polled.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    gate.set()
    (waiting,) = agent.pending()
    assert (waiting.on, waiting.requirement) == (parties.ps.iss, "interaction")
    assert (await agent.mission("A trip.")).s256 == approving.s256
    assert (len(parties.errands), parties.ps.count("/mission_endpoint")) == (1, 1)
    assert agent.pending() == []


async def test_what_is_pending_gives_what_was_asked_for(parties: Parties) -> None:
    """§11.8: a permission, an answer, an update, each to whoever awaits it."""
    approving, agent = Approving(parties), parties.agent()
    mission = await agent.mission("A trip.")
    asked = {
        "/permission_endpoint": (agent.permission("Book", wait=0), json_body({"permission": "granted"})),
        "/interaction_endpoint": (agent.ask("Aisle?", wait=0), json_body({"answer": "Yes."})),
        f"/mission_endpoint/{mission.s256}": (mission.update("More.", wait=0), json_body({"s256": mission.s256})),
    }
    given = []
    for number, (path, (asking, answer)) in enumerate(asked.items()):
        approving.script(path, deferred(f"/pending/{number}", PAGE))
        parties.ps.script[f"/pending/{number}"] = [answer]
        with pytest.raises(Pending) as pending:
            await asking
        given.append(await pending.value)
    assert given[0] == Permission("Book", True) and given[1] == "Yes." and given[2].description == "More."
    assert mission.updates == (given[2],)
    assert len(parties.errands) == 1


async def test_a_wait_that_is_over_at_the_server_is_asked_for_anew(parties: Parties) -> None:
    """§11.8, §13.2: the pending URL is gone; the proposal is made once more, and says the same."""
    approving, agent = Approving(parties), parties.agent()
    parties.ps.script["/mission_endpoint"] = [deferred("/pending/m", PAGE), *parties.ps.script["/mission_endpoint"]]
    parties.ps.script["/pending/m"] = [Reply(404, (), b"")]
    with pytest.raises(Pending):
        await agent.mission("A trip.", limits={"tokens": 1}, wait=0)
    assert (await agent.mission("A trip.", limits={"tokens": 1})).s256 == approving.s256
    (body,) = approving.bodies
    assert body["limits"] == {"tokens": 1}


async def test_what_the_agent_says_of_itself_goes_along(parties: Parties) -> None:
    """§7.2.1, §7.4: reason, platform and device, for the person to read; a prompt is for tokens."""
    approving = Approving(parties)
    agent = parties.agent(justification="It is late.", platform="linux", device="desk")
    await agent.mission("A trip.", prompt="consent")
    assert {name: approving.bodies[0].get(name) for name in ("justification", "platform", "device", "prompt")} == {
        "justification": "It is late.",
        "platform": "linux",
        "device": "desk",
        "prompt": None,
    }


async def test_a_program_without_an_event_loop_proposes_with_one_of_its_own(parties: Parties) -> None:
    """A mission belongs to no loop: it is worked under from anywhere."""
    Approving(parties)
    agent = parties.agent()

    def program() -> int:
        mission = asyncio.run(agent.mission("A trip."))
        parties.ps.person_claims["mission_s256"] = mission.s256
        with mission.sync_client() as http:
            return http.get(PERSON_URL).status_code

    assert await asyncio.to_thread(program) == 200


@pytest.mark.parametrize("type", ["completion", "question", ""])
async def test_a_page_is_of_two_types(parties: Parties, type: str) -> None:
    """AG-64, §7.6.1: a completion belongs to the mission's own URL, a question has no page."""
    Approving(parties)
    with pytest.raises(ValueError, match="interaction or payment"):
        await parties.agent().bring("https://booking.example/x", type=type)  # type: ignore[arg-type]
    assert parties.ps.count("/interaction_endpoint") == 0
