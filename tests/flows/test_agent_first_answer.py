"""The first answer of a person server: what the agent prefers, and what it saves the person (draft-11 §11.8.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from aauthkit.agent import Pending, Unreachable
from aauthkit.protocol.headers import interaction_required, parse_wait
from tests.plugins.simulators import OpenClient, Parties
from tests.plugins.tls import Received, Reply
from tests.plugins.world import PS, World

pytestmark = pytest.mark.anyio

PERSON_URL = "https://api.example/person"
ORDERS = "https://api.example/orders"
PAGE = interaction_required("https://person.example/i/1", "A1B2-C3D4")


def preferred(request: Received) -> int:
    return parse_wait([value for name, value in request.headers if name == "prefer"])


def pauses_of(world: World) -> list[float]:
    """How long the agents of this world pause, from now on."""
    pauses: list[float] = []
    pause: Callable[[float], Awaitable[None]] = world.pause

    async def paused(seconds: float) -> None:
        pauses.append(seconds)
        await pause(seconds)

    world.pause = paused  # type: ignore[method-assign]
    return pauses


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_no_second_is_idle_between_an_answer_and_the_next_question(quick_real_world: World, sync: bool) -> None:
    """At once where the person has to go; while their page is open the second decision answers the request itself."""
    pauses = pauses_of(quick_real_world)
    planner = await quick_real_world.enrol("planner", sync=sync)
    ada = await quick_real_world.person("Ada")
    pauses.clear()
    call = planner.get("/orders")
    await ada.comes(await planner.errand())
    await ada.approves()
    await ada.finds()
    await ada.approves("orders.read")
    assert (await call).status == 200
    assert set(pauses) == {0}
    seen = quick_real_world.servers[PS].seen
    assert [one.status for one in seen if (one.method, one.path) == ("POST", "/token")] == [200]


async def test_a_request_says_for_how_long_its_first_answer_may_be_looked_for(
    parties: Parties, open_client: OpenClient
) -> None:
    """Shorter than a poll: what has no pending URL yet is lost with its connection."""
    parties.ps.waits, parties.ps.requirement = 1, PAGE
    await open_client(parties.agent()).get(ORDERS)
    posts = [one for one in parties.ps.requests if one.method == "POST"]
    polls = [one for one in parties.ps.requests if one.target.startswith("/pending/")]
    assert [preferred(one) for one in posts] == [5, 5]
    assert {preferred(one) for one in polls} == {45}


@pytest.mark.parametrize(("wait", "expected"), [(60, 5), (4, 2), (1, 0), (0, 0)])
async def test_a_caller_that_waits_less_prefers_less(parties: Parties, wait: float, expected: int) -> None:
    parties.ps.waits, parties.ps.requirement = 2, PAGE
    async with parties.agent().client(wait=wait) as http:
        with suppress(Pending):
            await http.get(PERSON_URL)
    assert [preferred(one) for one in parties.ps.requests if one.method == "POST"] == [expected]


async def test_a_request_that_is_lost_while_it_is_held_is_made_again(parties: Parties, open_client: OpenClient) -> None:
    """The person server knows it by its tokens, and joins both."""
    lost = Reply(raw=b"")
    parties.ps.script["/person_token_endpoint"] = [lost, lost]
    assert (await open_client(parties.agent()).get(PERSON_URL)).status == 200
    assert parties.ps.person_requests == 3
    assert parties.sleeper.slept == [1, 2]


async def test_a_person_server_that_loses_everything_is_unreachable(parties: Parties, open_client: OpenClient) -> None:
    parties.ps.script["/person_token_endpoint"] = [Reply(raw=b"")] * 3
    with pytest.raises(Unreachable):
        await open_client(parties.agent()).get(PERSON_URL)
    assert parties.ps.person_requests == 3
