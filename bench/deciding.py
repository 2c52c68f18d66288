"""What a decision costs with all that it changes, over a bare commit of the same engine, each waiting for the disk."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass

from aauthkit.outbound import Outbound
from aauthkit.person.building import Built
from aauthkit.person.deciding import Choice, Decider, Deciding
from aauthkit.store import Database, Migration, open_database
from tests.plugins.people import AgentParty, Browser, World
from tests.plugins.signing import new_key

from .engines import POSTGRESQL, SQLITE, engine
from .measuring import Figure

ROUNDS, DECISIONS = 7, 20
"""Decisions of a round, each beside a bare commit before it and one after it."""
BARE = Migration(room="bench", version=1, statements=("CREATE TABLE bare (id BIGINT PRIMARY KEY, said TEXT NOT NULL)",))
SCOPES = "orders.read orders.place"


@dataclass
class Asked:
    """An open question, and who decides it."""

    page: str
    decider: Decider


async def _asked(world: World, browser: Browser, turn: int) -> list[Asked]:
    """Questions about scope, each by an agent of its own that the person knows."""
    found = []
    for each in range(DECISIONS):
        agent = AgentParty(world, f"worker{turn}-{each}", key=new_key())
        _, _, token = await world.introduced(agent, browser)
        answer = await agent.ask_auth_token(agent.challenged(token, SCOPES), token)
        assert answer.status == 202, answer.body
        row = await world.database.fetch_one(
            "SELECT page FROM questions WHERE agent_sub = :sub AND verdict IS NULL", sub=agent.sub
        )
        person = await world.database.fetch_one("SELECT id FROM accounts")
        assert row is not None and person is not None
        found.append(Asked(row["page"], Decider(person["id"], "a browser")))
    return found


async def _committed(database: Database, number: int) -> float:
    """Seconds for a row of nothing, on the disk."""
    begun = time.perf_counter()
    async with database.transaction() as tx:
        await tx.execute("INSERT INTO bare (id, said) VALUES (:id, 'nothing')", id=number)
    return time.perf_counter() - begun


async def _decided(deciding: Deciding, asked: Asked) -> float:
    """Seconds until it is decided, on the disk, and whoever polls was woken."""
    begun = time.perf_counter()
    choice = Choice("approved", frozenset({"orders.read"}), "kept")
    await deciding.decide(asked.page, asked.decider, choice)
    return time.perf_counter() - begun


async def _rounds(url: str) -> tuple[list[float], str]:
    database = await open_database(url, durable=True)
    await database.migrate([BARE])
    world = World(database)
    await world.server.start()
    # The server's own rooms: what is timed is the decision, and not the page on which it is made.
    ground = world.server._ground
    deciding = Built(ground, None, Outbound(world.network, clock=world.clock), None).deciding
    browser, rounds, bare, number = Browser(world), [], [], 0
    for each in range(ROUNDS + 1):
        open_ = await _asked(world, browser, each)
        gc.collect()
        commits, decisions = [], []
        for asked in open_:
            number += 1
            commits.append(await _committed(database, number))
            decisions.append(await _decided(deciding, asked))
        rounds.append(statistics.median(decisions) / statistics.median(commits))
        bare.append(statistics.median(commits))
    await world.close()
    await database.close()
    bare_ms = statistics.median(bare) * 1e3
    return rounds[1:], f"{DECISIONS} of each a round, in time; a bare commit took {bare_ms:.2f} ms"


async def _measured(name: str) -> tuple[list[float], str]:
    with engine(name) as new_url:
        return await _rounds(new_url())


async def decision_over_commit() -> Figure:
    """On SQLite."""
    rounds, detail = await _measured(SQLITE)
    what = "one decision with all its effects over one bare commit, each waiting for the disk, on SQLite"
    return Figure("decision_over_commit", what, 2.0, "lower", rounds, detail)


async def decision_over_commit_postgresql() -> Figure:
    """On PostgreSQL, by a socket on the same machine."""
    rounds, detail = await _measured(POSTGRESQL)
    what = "one decision with all its effects over one bare commit, each waiting for the disk, on PostgreSQL"
    return Figure("decision_over_commit_postgresql", what, 2.0, "lower", rounds, detail)
