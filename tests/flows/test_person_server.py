"""A person server's whole ways: from a stranger's first request to tokens, with people at their browsers in between."""

from __future__ import annotations

import pytest

from tests.plugins.people import Browser, World, body, claims_of, error_of, requirement

pytestmark = pytest.mark.anyio


async def test_first_contact(world: World) -> None:
    agent, browser, token = await world.introduced()
    print(claims_of(token))
    answer = await agent.ask_auth_token(agent.challenged(token, "orders.read orders.place"), token, justification="**because**")
    print(answer, body(answer), requirement(answer))
    page = await browser.get("/")
    print(page.text)
    page = await browser.get(page.links[-1])
    print(page.text)
    page = await browser.decide("approved", "orders.read", memory="kept")
    print(page.text)
    answer = await agent.poll(answer)
    print(answer, claims_of(body(answer)["auth_token"]))
