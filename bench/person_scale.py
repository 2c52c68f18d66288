"""What a token request costs a person server that has a million records, over what it costs one that has a thousand.

Both run side by side, in turn: an agent whose person agreed before asks for a person token, and then for an auth token
with a resource token and the person token. Every agent token, resource token and presented token is new.
"""

from __future__ import annotations

import gc
import json
import statistics
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aauthkit.protocol.messages import Answer
from aauthkit.serving import Request
from aauthkit.store import open_database
from tests.plugins.people import RESOURCE, AgentParty, World, body, granted
from tests.plugins.signing import NOW, new_key

from .engines import POSTGRESQL, SQLITE, Meter, engine, metered
from .measuring import Figure
from .records import fill, records_of

LITTLE, MUCH = 1_000, 1_000_000
"""Records of each of the larger kinds."""
ROUNDS, BATCHES, BATCH = 7, 8, 10
"""A round's batches on each side, in turn, and the requests of each kind in a batch."""


@dataclass
class Side:
    """A person server with a past, and an agent that nobody needs to be asked about."""

    world: World
    agent: AgentParty
    meter: Meter

    async def batch(self) -> float:
        """Seconds of processor for `BATCH` person tokens and `BATCH` auth tokens."""
        await self.meter.look()
        agents = [AgentParty(self.world, self.agent.name, key=new_key()) for _ in range(BATCH)]
        asking = [self._request(agent, "/person", {"resource": RESOURCE}) for agent in agents]
        first, answers = await self._answered(asking)
        for agent in agents:
            agent.renew()
        asking = []
        for agent, answer in zip(agents, answers, strict=True):
            token = body(answer)["person_token"]
            asked = {"resource_token": agent.challenged(token), "presented_token": token}
            asking.append(self._request(agent, "/token", asked))
        second, answers = await self._answered(asking)
        assert all("auth_token" in body(answer) for answer in answers), answers[0].body
        return first + second

    def _request(self, agent: AgentParty, path: str, content: dict[str, str]) -> Request:
        request = agent.signer.sign(
            "POST", f"{self.world.ps_issuer}{path}", body=json.dumps(content).encode(), now=int(self.world.clock())
        )
        return request

    async def _answered(self, requests: list[Request]) -> tuple[float, list[Answer]]:
        gc.collect()
        gc.disable()  # what falls to one side by chance is no cost of its records
        try:
            begun = self.meter()
            answers = [await self.world.server.answer(request) for request in requests]
            return self.meter() - begun, answers
        finally:
            gc.enable()


@asynccontextmanager
async def side(url: str, size: int) -> AsyncIterator[Side]:
    """A server on the new database `url`, with `size` records of each larger kind."""
    database = await open_database(url)
    world = World(database)
    await world.server.start()
    agent, browser, token = await world.introduced()
    await granted(agent, browser, token, "orders.read", "orders.read")
    await world.close()
    await database.close()
    await fill(url, size, int(NOW))
    async with metered(url) as meter:
        database = await open_database(url)
        world = World(database)
        await world.server.start()
        try:
            yield Side(world, agent, meter)
        finally:
            await world.close()
            await database.close()


async def _scale(name: str) -> tuple[list[float], str]:
    rounds: list[float] = []
    costs: list[float] = []
    with engine(name) as new_url:
        async with AsyncExitStack() as stack:
            little = await stack.enter_async_context(side(new_url(), LITTLE))
            much = await stack.enter_async_context(side(new_url(), MUCH))
            for _ in range(ROUNDS + 1):
                pairs = [(await little.batch(), await much.batch()) for _ in range(BATCHES)]
                rounds.append(statistics.median(b / a for a, b in pairs))
                costs.append(statistics.median(b for _, b in pairs) / (2 * BATCH))
    detail = (
        f"{records_of(MUCH):,} rows over {records_of(LITTLE):,}; "
        f"{statistics.median(costs[1:]) * 1e3:.2f} ms of processor a request with the many"
    )
    return rounds[1:], detail


async def person_scale() -> Figure:
    """On SQLite, by the processor time of the server's process."""
    rounds, detail = await _scale(SQLITE)
    what = "a token request with a million records of each kind over one with a thousand, on SQLite"
    return Figure("person_scale_1e6_over_1e3", what, 1.2, "lower", rounds, detail)


async def person_scale_postgresql() -> Figure:
    """On PostgreSQL, by the processor time of the server's process and of its connections together."""
    rounds, detail = await _scale(POSTGRESQL)
    what = "a token request with a million records of each kind over one with a thousand, on PostgreSQL"
    return Figure("person_scale_1e6_over_1e3_postgresql", what, 1.2, "lower", rounds, detail)
