"""A clock that steps back and forth by hours: no token that is over or lives too long, nothing lost, no exception."""

from __future__ import annotations

import random
from typing import Final

import pytest

from aauthkit.audit import verify
from tests.plugins.people import PS, World, body, claims_of

pytestmark = pytest.mark.anyio

HOUR: Final = 3600
STEPS: Final = 60


async def test_f86_no_token_is_issued_that_is_over_or_lives_for_more_than_an_hour(world: World) -> None:
    """Whatever the clock says when it is asked; the agent's own clock follows the same steps."""
    dice = random.Random(11)
    agent, browser, _ = await world.introduced()
    issued = 0
    for _ in range(STEPS):
        world.clock.pass_(dice.choice((-5, -2, -1, 1, 2, 5)) * HOUR + dice.randrange(-600, 600))
        agent.renew()
        now = int(world.clock())
        answer = await agent.ask_person_token()
        assert answer.status in (200, 202), answer.body
        if answer.status == 202:
            continue
        claims = claims_of(body(answer)["person_token"])
        assert now < claims["exp"] <= now + HOUR and claims["iat"] <= now
        issued += 1
        page = await browser.get("/")
        assert page.status == 200
    assert issued > STEPS / 2
    assert (await verify(world.database, PS, [])).good


async def test_f86_what_waits_is_still_there_when_the_clock_is_right_again(world: World) -> None:
    """Hours ahead, with other agents and people at work, and back: the request that waited is decided and answered."""
    agent, browser, _ = await world.introduced()
    waiting = await agent.ask_person_token("https://stock.example")
    assert waiting.status == 202
    for hours in (3, -3, -5, 5, 9, -9):
        world.clock.pass_(hours * HOUR)
        other = world.agent(f"other{hours}")
        assert (await other.ask_person_token()).status == 202
    await browser.sign_in()
    await browser.open_next()
    await browser.decide("approved", memory="kept")
    answer = await agent.poll(waiting)
    assert answer.status == 200, answer.body


async def test_f86_a_revocation_stands_whatever_the_clock_does(world: World) -> None:
    """Revoked is revoked: hours back, hours forth."""
    agent, _, _ = await world.introduced()
    token = agent.token
    assert (await world.revoke(token)).status == 200
    for hours in (-2, 2, 0):
        world.clock.pass_(hours * HOUR)
        answer = await agent.ask_person_token()
        assert answer.status == 401, (hours, answer.body)
        world.clock.pass_(-hours * HOUR)
