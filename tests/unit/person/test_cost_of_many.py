"""What a person server does costs the same whatever others have on record, in steps of SQLite's machine (F86)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from aauthkit.person import records
from aauthkit.store import open_database
from bench.records import fill
from tests.plugins.people import RESOURCE, AgentParty, World, body, granted
from tests.plugins.signing import NOW, new_key

pytestmark = pytest.mark.anyio

LITTLE, MUCH = 20, 2_000
PAGES = ("/", "/allowed")
Act = Callable[[], Awaitable[Any]]


class Steps:
    """Counts what SQLite does for each act."""

    def __init__(self, world: World) -> None:
        self.total = 0
        self.of: dict[str, int] = {}
        database: Any = world.database
        for connection in (database._pen, database._reader):
            connection.set_progress_handler(self._step, 10)

    def _step(self) -> None:
        self.total += 1

    async def count(self, name: str, act: Awaitable[Any]) -> Any:
        before = self.total
        result = await act
        self.of[name] = self.total - before
        return result


async def _steps(folder: Path, size: int) -> Mapping[str, int]:
    url = f"sqlite:///{folder / str(size)}.db"
    database = await open_database(url)
    world = World(database)
    await world.server.start()
    try:
        await fill(url, size, int(NOW))
        agent, browser, token = await world.introduced()
        await granted(agent, browser, token, "orders.read", "orders.read")
        person = await records.person_of(database, world.provider.iss, agent.sub)
        assert person is not None
        steps = Steps(world)
        world.clock.pass_(120)  # so that what is over is swept with the next request
        other = AgentParty(world, agent.name, key=new_key())
        answer = await steps.count("person token", other.ask_person_token(RESOURCE))
        token = body(answer)["person_token"]
        await steps.count("auth token", other.ask_auth_token(other.challenged(token), token))
        waiting = await steps.count("question", other.ask_auth_token(other.challenged(token, "orders.place"), token))
        await steps.count("poll", other.poll(waiting))
        await browser.open_next()
        await steps.count("decision", browser.decide("approved", "orders.place", memory="kept"))
        for page in PAGES:
            await steps.count(f"page {page}", browser.get(page))
        await steps.count("agents", world.server.steward.agents(person))
        await steps.count("tokens", world.server.steward.issued(person))
        await steps.count("stop", world.server.steward.stop(person, world.provider.iss, agent.sub))
        await steps.count("delivery", world.server.deliver_revocations())
    finally:
        await world.close()
        await database.close()
    return steps.of


async def test_no_act_of_a_person_server_costs_more_for_what_others_did(tmp_path: Path) -> None:
    """F86: a token, a question, a poll, a decision, the pages, a stop and its deliveries."""
    little, much = await _steps(tmp_path, LITTLE), await _steps(tmp_path, MUCH)
    grown = {name: (little[name], steps) for name, steps in much.items() if steps > 1.3 * little[name] + 10}
    assert grown == {}
