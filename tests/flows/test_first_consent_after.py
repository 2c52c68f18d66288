"""After the first consent, with everybody real: what is remembered, for whom, where, for how long, and by which key."""

from __future__ import annotations

import asyncio

import pytest

from aauthkit.agent import Denied
from tests.plugins.signing import new_key
from tests.plugins.world import API, OTHER, PS, World

pytestmark = pytest.mark.anyio

PERSON = "aa-person+jwt"
GRANT = "aa-auth+jwt"
HOUR = 3600


# This once


async def test_this_once_is_one_grant_for_one_key_until_its_first_token_expires(real_world: World) -> None:
    """The same key may be issued it again meanwhile, with no later expiry; then the person is asked again."""
    key = new_key()
    planner, ada = real_world.travels(await real_world.admit("planner", key=key)), await real_world.person("Ada")
    await real_world.acquainted(planner, ada, "orders.read", memory="once")
    await real_world.pass_time(600)
    again = real_world.restarted("planner", key=key)
    response = await again.get("/orders")
    assert (response.status, response.json()["may"]) == (200, ["orders.read"])
    for typ in (PERSON, GRANT):
        (first,), (second,) = planner.obtained(typ), again.obtained(typ)
        assert second["jti"] != first["jti"]
        assert second["iat"] == first["iat"] + 600
        assert second["exp"] <= first["exp"]
    await real_world.pass_time(HOUR)
    call = again.get("/orders")
    await ada.comes(await again.errand())
    await ada.approves()
    await ada.finds()
    await ada.approves("orders.read")
    assert (await call).status == 200


async def test_this_once_is_nothing_to_another_key(real_world: World) -> None:
    """An agent on another machine has a fresh key: the person is asked, and may say no."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    await real_world.acquainted(planner, ada, "orders.read", memory="once")
    again = real_world.restarted("planner", elsewhere=True)
    call = again.get("/orders")
    await ada.finds()
    await ada.denies()
    with pytest.raises(Denied):
        await call
    assert (await planner.get("/orders")).status == 200


# Until it is taken back


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_restarted_agent_is_the_same_agent_and_nobody_is_asked(real_world: World, elsewhere: bool) -> None:
    """§5.3, F44, F81: with the tokens it had, or under a fresh key elsewhere; what was kept answers at once."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    await real_world.acquainted(planner, ada, "orders.read")
    again = real_world.restarted("planner", elsewhere=elsewhere)
    assert again.agent.identifier == planner.agent.identifier == "aauth:planner@agents.example"
    response = await again.get("/orders")
    assert (again.agent.thumbprint == planner.agent.thumbprint) is not elsewhere
    assert real_world.issuing() == ((2, 2) if elsewhere else (1, 1))
    assert response.json() == (await planner.get("/orders")).json()
    assert (await again.get("/agent")).json() == {"agent": "aauth:planner@agents.example"}
    assert again.opened == 0
    assert len(await real_world.ps.steward.agents()) == 1


async def test_what_was_taken_back_is_asked_again(real_world: World) -> None:
    """F81"""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    await real_world.acquainted(planner, ada)
    await ada.takes_back()
    again = real_world.restarted("planner", elsewhere=True)
    call = again.get("/me")
    await ada.finds()
    await ada.denies()
    with pytest.raises(Denied):
        await call


async def test_prompt_consent_asks_although_it_was_agreed_before(real_world: World) -> None:
    """§7.2.1: both questions come again, and the new answer is what counts from then on."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    await real_world.acquainted(planner, ada, "orders.read", "orders.place")
    again = real_world.restarted("planner", prompt="consent")
    call = again.get("/orders")
    await ada.finds()
    await ada.approves(memory="kept")
    page = await ada.finds()
    assert "allowed before" in page.text
    await ada.approves("orders.read", memory="kept")
    assert (await call).json()["may"] == ["orders.read"]
    later = real_world.restarted("planner")
    assert (await later.get("/orders")).json()["may"] == ["orders.read"]
    assert later.opened == 0


# Whose agent, and where


async def test_a_second_agent_is_asked_about_and_has_the_same_sub(real_world: World) -> None:
    """§14.1, F25, F53: `sub` is the person's at this resource, whatever the agent; consent is each agent's own."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    await real_world.acquainted(planner, ada, "orders.read")
    buyer = await real_world.enrol("buyer")
    call = buyer.get("/orders")
    page = await ada.comes(await buyer.errand())
    assert "New agent, first time here" in page.text
    await ada.approves()
    await ada.finds()
    await ada.approves("orders.read")
    assert (await call).json()["for"] == (await planner.get("/orders")).json()["for"]
    agents = {one.sub for one in await real_world.ps.steward.agents()}
    assert agents == {"aauth:buyer@agents.example", "aauth:planner@agents.example"}


async def test_at_another_resource_the_same_person_is_somebody_else(real_world: World) -> None:
    """§14.1, F25: asked again, and nothing links the two."""
    await real_world.serve(OTHER)
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    await real_world.acquainted(planner, ada, "orders.read")
    call = planner.get(f"{OTHER}/orders")
    page = await ada.finds()
    assert "New place" in page.text
    assert "Orders at other.example" in page.text
    await ada.approves()
    await ada.finds()
    await ada.approves("orders.read")
    there, here = (await call).json(), (await planner.get("/orders")).json()
    assert there["for"] != here["for"]
    assert there["may"] == here["may"]
    assert planner.opened == 1
    at_the_other = {one.presented.raw for one in real_world.servers[OTHER].seen if one.signed}
    assert not at_the_other & {one.presented.raw for one in real_world.api.seen if one.signed}


async def test_another_person_cannot_claim_an_agent_that_has_one(real_world: World) -> None:
    """§13.14: whoever comes with the code of a bound agent sees nothing, and decides nothing."""
    await real_world.serve(OTHER)
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    await real_world.acquainted(planner, ada)
    await real_world.pass_time(61)
    bob = await real_world.person("Bob")
    call = planner.get(f"{OTHER}/me")
    errand = await planner.errand()
    page = await bob.comes(errand)
    assert page.status == 404
    assert "planner" not in page.text
    assert not await bob.has_questions()
    await ada.finds()
    await ada.approves()
    assert (await call).status == 200
    (bound,), account = await real_world.ps.steward.agents(), await real_world.accounts.find("Ada")
    assert account is not None and bound.person == account.id


async def test_two_people_have_agents_at_one_resource_and_are_two(real_world: World) -> None:
    """§14.1: each has a `sub` of their own; neither sees the other's questions."""
    ada, bob = await real_world.person("Ada"), await real_world.person("Bob")
    planner, buyer = await real_world.enrol("planner"), await real_world.enrol("buyer")
    await real_world.acquainted(planner, ada)
    call = buyer.get("/me")
    errand = await buyer.errand()
    assert not await ada.has_questions()
    await bob.comes(errand)
    await bob.approves()
    assert (await call).json() != (await planner.get("/me")).json()


# As time goes by


async def test_tokens_are_renewed_in_time_under_a_new_key_and_nobody_is_asked(real_world: World) -> None:
    """§7.9, §7.9.1, F42: the agent token first, then what rests on it; four hours of one call an hour."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    await real_world.acquainted(planner, ada, "orders.read")
    first = (await planner.get("/orders")).json()
    for hours in range(1, 5):
        await real_world.pass_time(HOUR - 200)
        assert (await planner.get("/orders")).json() == first
        assert real_world.issuing() == (1 + hours, 1 + hours)
    assert planner.opened == 1
    keys = {str(one.presented.jwt.claims["cnf"]) for one in real_world.api.seen if one.signed}
    assert len(keys) == 5
    assert 200 not in {one.status for one in real_world.api.seen if one.signed and one.level != GRANT}


async def test_f41_a_warm_call_is_one_request_and_nothing_else_happens_anywhere(real_world: World) -> None:
    """F34, F41: no challenge, no exchange, no metadata and no keys, at any of the servers."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    await real_world.acquainted(planner, ada, "orders.read")
    before = {name: len(server.seen) for name, server in real_world.servers.items()}
    for _ in range(3):
        assert (await planner.get("/orders")).status == 200
    after = {name: len(server.seen) for name, server in real_world.servers.items()}
    assert after == {**before, API: before[API] + 3}


async def test_f34_the_api_fetches_each_issuers_keys_once(real_world: World) -> None:
    """F34: also for other agents of the same provider and people of the same server."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    await real_world.acquainted(planner, ada, "orders.read")
    assert (await planner.get("/agent")).status == 200
    hand = await real_world.by_hand("planner")
    before = real_world.fetches()
    assert (await hand.send("GET", f"{API}/agent")).status == 200
    assert real_world.fetches() == before


# At once


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_first_calls_made_at_once_share_one_exchange(real_world: World, sync: bool) -> None:
    """F39, F40: one question, one token of each kind, one page."""
    planner, ada = await real_world.enrol("planner", sync=sync), await real_world.person("Ada")
    calls = [planner.get("/orders") for _ in range(5)]
    await ada.comes(await planner.errand())
    await ada.approves()
    await ada.finds()
    await ada.approves("orders.read")
    assert [response.status for response in await asyncio.gather(*calls)] == [200] * 5
    assert real_world.issuing() == (1, 1)
    assert planner.opened == 1
    assert real_world.servers[PS].count("GET", "/pending/") <= 4


async def test_f40_calls_for_different_things_at_once_each_get_their_own(real_world: World) -> None:
    """F40: each redeems its own resource token; afterwards the union is one token, and nobody is asked for it."""
    planner, ada = await real_world.enrol("planner"), await real_world.person("Ada")
    await real_world.acquainted(planner, ada)
    reading, cancelling = planner.get("/orders"), planner.call("DELETE", "/orders/7")
    for _ in range(2):
        await ada.finds()
        await ada.approves(*({"orders.read", "orders.cancel"} & set(ada.asked)), memory="kept")
    assert (await reading).json()["may"] == ["orders.read"]
    assert (await cancelling).status == 204
    assert (await planner.get("/orders")).status == 200
    assert (await planner.call("DELETE", "/orders/8")).status == 204
    assert not await ada.has_questions()
