"""A person who is switched off: their sessions, and all that their agents have, end at once (draft-11 §13.14)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from aauthkit.accounts import Accounts
from aauthkit.cli import main
from aauthkit.person.steward import Steward
from aauthkit.protocol.messages import Answer
from aauthkit.store import open_database
from tests.flows.test_missions import approved
from tests.plugins.people import PS, RESOURCE, Browser, World, body, claims_of, error_of, granted

pytestmark = pytest.mark.anyio

REVOKE = f"{RESOURCE}/revoke"


async def test_switching_a_person_off_ends_what_their_agents_have(world: World) -> None:
    """F57: tokens are revoked at their resources, what waits ends, sessions are over; nobody else is touched."""
    world.publish_resource(revocation_endpoint=REVOKE)
    world.network.posts[REVOKE] = Answer(200, ())
    agent, browser, token = await world.introduced()
    auth = await granted(agent, browser, token, "orders.read", "orders.read")
    waiting = await agent.ask_auth_token(agent.challenged(token, "orders.place"), token)
    bob, other = Browser(world), world.agent("writer")
    answer = await other.ask_person_token()
    await bob.open_interaction(answer)
    await bob.sign_up("Bob")
    await bob.decide("approved", memory="kept")
    theirs = body(await other.poll(answer))["person_token"]
    await world.server.accounts.set_disabled("Ada", True)
    page = await browser.get("/")
    assert page.has_form("/signin")
    refused = await browser.sign_in()
    assert refused.status == 403 and "switched off" in refused.text
    for late in (
        await agent.ask_person_token(),
        await agent.poll(waiting),
        await agent.send("POST", "/permission", {"action": "x"}),
        await agent.send("POST", "/mission", {"description": "x"}),
        await agent.send("POST", "/interaction", {"type": "question", "question": "x"}),
        await agent.send("POST", "/audit", {"action": "x", "mission_s256": "A" * 43}),
    ):
        assert error_of(late) == (403, "denied")
    await world.server.deliver_revocations()
    assert {sent["jti"] for _, sent in world.network.sent} == {claims_of(token)["jti"], claims_of(auth)["jti"]}
    assert (await other.ask_auth_token(other.challenged(theirs), theirs)).status == 202


async def test_switched_on_again_they_allow_what_they_allowed(world: World) -> None:
    """What was allowed and the missions stand; what the agents held does not come back, nor what waited."""
    agent, browser, mission = await approved(world, resources=[RESOURCE])
    token = mission["person_tokens"][RESOURCE]
    named = {"mission_s256": mission["s256"]}
    waiting = await agent.send("POST", "/permission", {"action": "x", **named})
    await world.server.accounts.set_disabled("Ada", True)
    await world.server.accounts.set_disabled("Ada", True)
    await world.server.accounts.set_disabled("Ada", False)
    assert error_of(await agent.poll(waiting)) == (403, "revoked")
    stale = await agent.ask_auth_token(agent.challenged(token, **named), token)
    assert error_of(stale) == (400, "revoked_presented_token")
    assert (await agent.ask_person_token(**named)).status == 200
    await browser.sign_in()
    page = await browser.get("/missions")
    assert "running" in page.text


async def test_another_process_switches_them_off_as_well(world: World) -> None:
    """Beside the running server, with nothing but its database."""
    agent, _, token = await world.introduced()
    accounts = Accounts(world.database, issuer=PS, clock=world.clock)
    steward = Steward(PS, world.database, clock=world.clock)
    steward.watch(accounts)
    await accounts.set_disabled("Ada", True)
    assert error_of(await agent.ask_person_token()) == (403, "denied")
    (issued,) = await steward.issued()
    assert issued.jti == claims_of(token)["jti"] and issued.revoked == int(world.clock())


def test_by_command(new_database_url: Callable[[], str], capsys: pytest.CaptureFixture[str]) -> None:
    """`aauthkit person disable|enable NAME`."""
    import asyncio

    url = new_database_url()

    async def make() -> None:
        database = await open_database(url)
        world = World(database)
        await world.server.start()
        await world.introduced()
        await world.close()
        await database.close()

    asyncio.run(make())
    at = ["--issuer", PS, "--database", url, "--json"]
    for command, disabled in (("disable", True), ("enable", False)):
        assert main(["person", command, "Ada", *at]) == 0
        assert json.loads(capsys.readouterr().out) == {"person": "Ada", "disabled": disabled}
    assert main(["person", "list", *at]) == 0
    assert json.loads(capsys.readouterr().out)[0]["disabled"] is False
    assert main(["person", "disable", "Eve", *at]) != 0
    assert "nobody here is called Eve" in capsys.readouterr().err
