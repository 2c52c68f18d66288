"""A decision is made once, in time, by whom it concerns: also where two processes hear of it at once (F82)."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable

import pytest

from aauthkit.store import open_database
from tests.flows.test_missions import approved, propose
from tests.plugins.people import AgentParty, Browser, World, body, error_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def two(new_database_url: Callable[[], str]) -> AsyncIterator[tuple[World, World]]:
    """One person server as two processes, each with a connection of its own to the same records."""
    url = new_database_url()
    first, second = await open_database(url), await open_database(url)
    world = World(first)
    await world.server.start()
    other = copy.copy(world)
    other.server = world.make_server(second)
    await other.server.start()
    yield world, other
    await world.close()
    await first.close()
    await second.close()


def beside(browser: Browser, world: World) -> Browser:
    """The same browser, with another tab whose requests reach another process."""
    tab = copy.copy(browser)
    tab.world = world
    return tab


async def test_a_decision_after_expiry_is_none(world: World) -> None:
    """F60, §11.9.4: 408 `expired` to the agent, 410 to the person, and nothing came into being."""
    agent, browser = world.agent(), Browser(world)
    answer = await propose(agent)
    await browser.open_interaction(answer)
    await browser.sign_up()
    world.clock.pass_(1801)
    page = await browser.submit("/decide/", "approved")
    assert page.status == 410 and "run out" in page.text
    assert error_of(await agent.poll(answer)) == (408, "expired")
    person = (await world.server.accounts.list())[0].id
    assert await world.server.steward.missions(person) == []
    assert await world.server.steward.agents() == []


async def test_a_decision_after_withdrawal_is_none(world: World) -> None:
    """§7.5.2.3: the person is told that the agent withdrew it; 410 from then on."""
    agent, browser, mission = await approved(world)
    named = {"mission_s256": mission["s256"]}
    answer = await agent.send("POST", "/permission", {"action": "x", **named})
    await browser.open_next()
    assert (await agent.send("DELETE", answer.header("location") or "")).status == 204
    page = await browser.submit("/decide/", "approved")
    assert page.status == 410 and "withdrew" in page.text
    assert error_of(await agent.poll(answer)) == (410, "gone")
    log = await world.server.steward.mission_log(mission["s256"])
    assert [one.entry.get("event") for one in log][-1] == "asked"


async def test_two_processes_decide_a_question_once(two: tuple[World, World]) -> None:
    """F82: yes and no at once from two processes: one stands, the other is told, and the agent reads the first."""
    here, there = two
    agent, browser, mission = await approved(here, limits={"permissions": 100})
    for number in range(4):
        sent = {"action": f"act {number}", "mission_s256": mission["s256"]}
        answer = await agent.send("POST", "/permission", sent)
        await browser.open_next()
        tab = beside(browser, there)
        pages = await asyncio.gather(
            browser.submit("/decide/", "approved"), tab.submit("/decide/", "denied"), return_exceptions=True
        )
        statuses = sorted(page.status for page in pages if not isinstance(page, BaseException))
        assert statuses == [200, 410], pages
        poller = AgentParty(there, key=agent.key, token=agent.token)
        outcome = body(await poller.poll(answer))["permission"]
        assert outcome == ("granted" if pages[0].status == 200 else "denied")  # type: ignore[union-attr]
        assert error_of(await agent.poll(answer)) == (410, "gone")


async def test_two_processes_give_out_an_answer_once(two: tuple[World, World]) -> None:
    """§11.8.4: two polls at once, one answer; a token is issued once."""
    here, there = two
    agent, browser = here.agent(), Browser(here)
    answer = await agent.ask_person_token()
    await browser.open_interaction(answer)
    await browser.sign_up()
    await browser.decide("approved", memory="kept")
    poller = AgentParty(there, key=agent.key, token=agent.token)
    polled = await asyncio.gather(agent.poll(answer), poller.poll(answer))
    assert sorted(one.status for one in polled) == [200, 410]
    assert len(await here.server.steward.issued()) == 1


async def test_a_stop_in_one_process_and_a_token_in_the_other_leave_none_out(two: tuple[World, World]) -> None:
    """F57, §11.12.4: whichever comes first, no token is on record as good once the agent is stopped."""
    here, there = two
    agent, _, _ = await here.introduced()
    person = (await here.server.steward.agents())[0].person
    asking = AgentParty(there, key=agent.key, token=agent.token)
    for _ in range(5):
        answers = await asyncio.gather(
            asking.ask_person_token(),
            here.server.steward.stop(person, "https://agents.example", agent.sub),
            asking.ask_person_token(),
        )
        for answer in (answers[0], answers[2]):
            assert answer.status in (200, 403)
        live = [one for one in await here.server.steward.issued() if one.revoked is None]
        assert live == []
        await here.server.steward.start(person, "https://agents.example", agent.sub)


async def test_a_revocation_in_one_process_and_a_token_in_the_other_leave_none_out(two: tuple[World, World]) -> None:
    """F57, §11.12.4: also where the other process has not heard of it yet."""
    here, there = two
    agent, _, _ = await here.introduced()
    for _ in range(5):
        asking = AgentParty(there, key=agent.key, token=agent.token)
        answers = await asyncio.gather(
            asking.ask_person_token(), here.revoke(agent.token), asking.ask_person_token(), asking.ask_person_token()
        )
        assert answers[1].status == 200
        assert {answers[0].status, answers[2].status, answers[3].status} <= {200, 401}
        live = [one for one in await here.server.steward.issued() if one.revoked is None]
        assert live == []
        assert (await asking.ask_person_token()).status == 401
        here.clock.pass_(1)
        agent.renew()


async def test_two_people_in_two_processes_leave_a_new_agent_with_one(two: tuple[World, World]) -> None:
    """§13.14: the first yes binds it; the other person sees it no more."""
    here, there = two
    agent = here.agent()
    first, second = await propose(agent), await agent.ask_person_token()
    ada, bob = Browser(here), Browser(there)
    await ada.open_interaction(first)
    await ada.sign_up("Ada")
    await bob.open_interaction(second)
    await bob.sign_up("Bob")
    pages = await asyncio.gather(ada.submit("/decide/", "approved"), bob.decide("approved", memory="kept"))
    assert sorted(page.status for page in pages) == [200, 404]
    assert len(await here.server.steward.agents()) == 1
    won = [await agent.poll(first), await agent.poll(second)]
    assert sorted(one.status for one in won) == [200, 202]
