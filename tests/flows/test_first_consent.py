"""First contact with everybody real: who the agent acts for, what it may do, and all that a person does with that."""

from __future__ import annotations

import asyncio

import pytest

from aauthkit.agent import Abandoned, Denied, Expired, ScopeReduced
from aauthkit.agent.watching import Answered
from tests.plugins.world import API, PS, Traveller, World

pytestmark = pytest.mark.anyio

HALF_AN_HOUR = 1790


def waits(agent: Traveller) -> list[str | None]:
    """What the person server's 202s asked for, one after another."""
    return [one.requirement for one in agent.events if isinstance(one, Answered) and (one.status, one.by) == (202, PS)]


# Two decisions in one visit


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_first_contact_is_asked_who_and_then_what_in_one_visit(real_world: World, sync: bool) -> None:
    """§7.1, §7.2, §11.6.4, F39, F43: the page stays open, so the second question appears on it; nothing opens twice."""
    planner = await real_world.enrol("planner", sync=sync, justification="I *compare* prices.")
    ada = await real_world.person("Ada")
    call = planner.get("/orders")
    page = await ada.comes(await planner.errand())
    assert "Orders at api.example" in page.text
    assert "compare prices" in page.text
    assert ada.asked == []
    await ada.approves()
    page = await ada.finds()
    assert "See your orders" in page.text
    assert ada.asked == ["orders.read", "orders.place"]
    await ada.approves("orders.read", "orders.place")
    response = await call
    assert (response.status, response.json()["may"]) == (200, ["orders.place", "orders.read"])
    assert not response.aauth["reduced"]
    assert planner.opened == 1
    assert waits(planner) == ["interaction"]  # the second answer is the first of its own request (§11.8.1)
    assert real_world.issuing() == (1, 1)
    assert [one.level for one in real_world.api.seen if one.path == "/orders"] == ["aa-person+jwt", "aa-auth+jwt"]
    assert not await ada.has_questions()


async def test_an_account_comes_by_invitation_and_the_question_waits_for_it(real_world: World) -> None:
    """No sign-up without an invitation outside the loopback profile; the code is used once, the session goes on."""
    planner = await real_world.enrol("planner")
    ada = real_world.visitor("Ada")
    call = planner.get("/me")
    page = await ada.comes(await planner.errand())
    assert page.status == 403
    assert "Name or password is wrong" in page.text
    await ada.signs_up(await real_world.accounts.invite())
    await ada.approves()
    assert (await call).status == 200
    assert planner.opened == 1


# Less than was asked for


async def test_less_than_asked_that_opens_the_route_is_served(real_world: World) -> None:
    """§11.10: the handler reads what was granted; what was unticked is not asked about again."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    call = planner.get("/orders")
    await ada.comes(await planner.errand())
    await ada.approves()
    await ada.finds()
    await ada.approves("orders.read")
    response = await call
    assert (response.status, response.json()["may"]) == (200, ["orders.read"])
    assert response.aauth["reduced"]
    assert (response.aauth["asked"], response.aauth["granted"]) == ({"orders.read", "orders.place"}, {"orders.read"})
    with pytest.raises(ScopeReduced) as reduced:
        await planner.call("POST", "/orders", json={"item": "lamp"})
    assert reduced.value.asked == {"orders.read", "orders.place"}
    assert reduced.value.granted == {"orders.read"}
    assert set(real_world.api.statuses("POST", "/orders")) == {401}
    assert planner.opened == 1
    assert not await ada.has_questions()
    assert (await planner.get("/orders")).status == 200


async def test_less_than_the_route_needs_is_scope_reduced(real_world: World) -> None:
    """The handler does not run, and the agent knows what it got."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    call = planner.get("/orders")
    await ada.comes(await planner.errand())
    await ada.approves()
    await ada.finds()
    await ada.approves("orders.place")
    with pytest.raises(ScopeReduced) as reduced:
        await call
    assert reduced.value.asked == {"orders.read", "orders.place"}
    assert reduced.value.granted == {"orders.place"}
    assert 200 not in real_world.api.statuses("GET", "/orders")


async def test_a_wider_route_is_a_question_of_its_own(real_world: World) -> None:
    """§6.5 step-up: only what was never asked is asked, with what is held; the wider token replaces the other."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    await real_world.acquainted(planner, ada, "orders.read", "orders.place")
    call = planner.call("DELETE", "/orders/7")
    await ada.finds()
    assert set(ada.asked) == {"orders.read", "orders.place", "orders.cancel"}
    await ada.approves("orders.read", "orders.place", "orders.cancel")
    assert (await call).status == 204
    assert (await planner.get("/orders")).json()["may"] == ["orders.cancel", "orders.place", "orders.read"]
    assert planner.opened == 1


# A page that is gone


async def test_a_page_that_is_gone_gets_a_fresh_code_at_the_next_poll(real_world: World) -> None:
    """§11.6.3.1, F39, F60: the code was used up by a page that was closed; the agent opens the next one."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    call = planner.get("/me")
    first = await planner.errand()
    await ada.comes(first)
    await real_world.pass_time(61)
    second = await planner.errand()
    assert second.url == first.url
    assert second.code != first.code
    page = await ada.opens(first.url_with_code)
    page = await ada.presses(page.form("/interaction/"))
    assert page.status >= 400
    await ada.comes(second)
    await ada.approves()
    assert (await call).status == 200
    assert planner.opened == 2


async def test_a_second_question_opens_a_page_where_the_first_was_closed(real_world: World) -> None:
    """§11.6.4: `approval` is answered only while a page is open in front of the person."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    await real_world.acquainted(planner, ada)
    await real_world.pass_time(61)
    call = planner.get("/orders")
    await ada.comes(await planner.errand())
    assert ada.asked == ["orders.read", "orders.place"]
    await ada.approves("orders.read")
    assert (await call).status == 200
    assert waits(planner) == ["interaction", "interaction"]


# No


async def test_denied_is_said_and_a_new_request_asks_again(real_world: World) -> None:
    """§11.9.4, F82: of who, and of what."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    call = planner.get("/orders")
    await ada.comes(await planner.errand())
    await ada.denies()
    with pytest.raises(Denied):
        await call
    assert await real_world.ps.steward.agents() == []
    call = planner.get("/orders")
    await ada.comes(await planner.errand())
    await ada.approves()
    await ada.finds()
    await ada.denies()
    with pytest.raises(Denied):
        await call
    call = planner.get("/orders")
    await ada.finds()
    await ada.approves("orders.read")
    assert (await call).status == 200
    assert planner.opened == 2


async def test_left_open_is_abandoned_and_a_new_request_asks_again(real_world: World) -> None:
    """§11.9.4"""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    call = planner.get("/me")
    await ada.comes(await planner.errand())
    await ada.leaves()
    with pytest.raises(Abandoned):
        await call
    call = planner.get("/me")
    await ada.comes(await planner.errand())
    await ada.approves()
    assert (await call).status == 200


# Withdrawn, given up, run out


async def test_an_agent_withdraws_and_the_page_says_so(real_world: World) -> None:
    """§7.5.2.3, §11.8.3: 204, then 410; the person decides nothing any more."""
    await real_world.admit("planner")
    planner, ada = await real_world.by_hand("planner"), await real_world.person("Ada")
    asking = {"resource": API, "capabilities": ["interaction"]}
    waiting = await planner.send("POST", f"{PS}/person", asking)
    assert waiting.status == 202
    await ada.comes(real_world.errand_of(waiting))
    form = ada.page.form("/decide/")
    where = str(waiting.header("location"))
    assert (await planner.send("DELETE", where)).status == 204
    assert (await planner.send("GET", where)).status == 410
    page = await ada.presses(form, ("verdict", "approved"))
    assert (page.status, page.heading) == (410, "The agent withdrew its request")
    assert (await planner.send("POST", f"{PS}/person", asking)).status == 202


async def test_a_call_given_up_and_made_again_joins_the_question_that_waits(real_world: World) -> None:
    """F39: the person is sent nowhere twice."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    call = planner.get("/me")
    errand = await planner.errand()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    again = planner.get("/me")
    await ada.comes(errand)
    await ada.approves()
    assert (await again).status == 200
    assert planner.opened == 1


async def test_nobody_comes_and_the_request_expires(real_world: World) -> None:
    """§11.8.3, §11.9.4: 408 once; the page says so; a new call is a new question."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    call = planner.get("/me")
    missed = await planner.errand()
    await real_world.pass_time(1801)
    with pytest.raises(Expired):
        await call
    assert 408 in real_world.servers[PS].statuses("GET", "/pending/")
    page = await ada.opens(missed.url_with_code)
    assert (page.status, page.forms) == (408, [])
    call = planner.get("/me")
    errand = await planner.errand()
    assert errand.url != missed.url
    await ada.comes(errand)
    await ada.approves()
    assert (await call).status == 200


# Late


async def test_consent_half_an_hour_later_still_yields_a_token(real_world: World) -> None:
    """A resource token lives five minutes and is judged when it arrives; a person may take half an hour, twice."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    call = planner.get("/orders")
    errand = await planner.errand()
    await real_world.pass_time(HALF_AN_HOUR)
    await ada.comes(errand)
    await ada.approves()
    await ada.finds()
    await real_world.pass_time(HALF_AN_HOUR - 100)
    await ada.approves("orders.read")
    assert (await call).status == 200
    assert real_world.servers[PS].statuses("GET", "/pending/").count(408) == 0
    assert real_world.issuing() == (1, 1)


async def test_a_presented_token_that_lapsed_meanwhile_costs_no_second_question(real_world: World) -> None:
    """§11.9.4: the poll answers 408, the decision is kept, and the chain from its top is answered 200 at once."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    await real_world.acquainted(planner, ada)
    await real_world.pass_time(3000)
    call = planner.get("/orders")
    errand = await planner.errand()
    await real_world.pass_time(1000)
    await ada.comes(errand)
    await ada.approves("orders.read")
    response = await call
    assert (response.status, response.json()["may"]) == (200, ["orders.read"])
    assert real_world.servers[PS].statuses("GET", "/pending/").count(408) == 1
    assert planner.opened == 2
    assert not await ada.has_questions()
    assert [len(planner.obtained(typ)) for typ in ("aa-person+jwt", "aa-auth+jwt")] == [2, 1]


@pytest.mark.parametrize("decided", ["before", "after"])
async def test_a_person_server_that_is_restarted_meanwhile_loses_nothing(real_world: World, decided: str) -> None:
    """F85, §11.8.4: a poll that is held is told to come back; session, question and decision are where they were."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    call = planner.get("/orders")
    await ada.comes(await planner.errand())
    if decided == "before":
        await ada.approves()
        await ada.finds()
    await real_world.pass_time(1)
    await real_world.restart_person_server()
    if decided == "after":
        await ada.approves()
        await ada.finds()
    await ada.approves("orders.read")
    assert (await call).status == 200
    assert planner.opened == 1
