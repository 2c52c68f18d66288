"""How many long polls one process holds, what each costs while it waits, and whom a decision wakes."""

from __future__ import annotations

import asyncio
import gc
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aauthkit.protocol.messages import Answer
from aauthkit.store import open_database
from tests.plugins.people import RESOURCE, AgentParty, Browser, World
from tests.plugins.signing import new_key

from .measuring import Figure, Unavailable

POLLS = 10_000
AT_ONCE = 100
"""Polls that are under way to where they wait."""
IDLE = 6.0
"""Seconds in which nothing happens, longer than a poll waits before it looks at its record by itself."""
PAGE_SIZE = 4096


def _resident() -> int:
    """Bytes of memory that this process has."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_SIZE
    except OSError as error:
        raise Unavailable("the memory of a process is read from /proc/self/statm") from error


async def pending_polls_held() -> Figure:
    """Polls through the server's own `answer`, each by an agent of its own, until one of them is decided."""
    with tempfile.TemporaryDirectory() as folder:
        database = await open_database(Path(folder) / "person.db")
        world = World(database)
        await world.server.start()
        held, detail = await _held(world)
        await world.close()
        await database.close()
    what = "long polls held by one process of a person server on SQLite, each by an agent of its own; measured once"
    return Figure("pending_polls_held", what, POLLS, "higher", [held], detail, least=1)


async def _held(world: World) -> tuple[float, str]:
    agents, answers = await _opened(world)
    first = answers[0]
    polls = [_poll(agent, answer) for agent, answer in zip(agents, answers, strict=True)]
    del agents, answers
    gc.collect()
    before, begun = _resident(), time.monotonic()
    tasks = await _placed(world, polls)
    took = time.monotonic() - begun
    gc.collect()
    each = (_resident() - before) / len(tasks) / 1024
    spent = time.process_time()
    await asyncio.sleep(IDLE)
    idle = (time.process_time() - spent) / IDLE
    held = sum(not task.done() for task in tasks)
    reached, woken = await _decided(world, first, tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    detail = (
        f"{each:.1f} KiB of memory each; all in place after {took:.0f} s; {idle:.0%} of a processor while nothing "
        f"happens; a decision reached its poll in {reached * 1e3:.0f} ms and woke {woken} of them"
    )
    return float(held if woken == 1 else 0), detail


async def _opened(world: World) -> tuple[list[AgentParty], list[Answer]]:
    """As many agents, each with a request that waits for its person."""
    agents = [AgentParty(world, f"worker{number}", key=new_key()) for number in range(POLLS)]
    answers = [await agent.ask_person_token(RESOURCE) for agent in agents]
    assert all(answer.status == 202 for answer in answers)
    return agents, answers


def _poll(agent: AgentParty, answer: Answer) -> Any:
    location = answer.header("location")
    assert location is not None
    headers = (("prefer", "wait=60"),)
    return agent.signer.sign("GET", location, headers=headers, now=int(agent.world.clock()))


async def _placed(world: World, polls: Sequence[Any]) -> list[asyncio.Task[Answer]]:
    """The polls, all of them held."""
    tasks: list[asyncio.Task[Answer]] = []
    known = world.server._deferred._polls
    for start in range(0, len(polls), AT_ONCE):
        tasks += [asyncio.create_task(world.server.answer(poll)) for poll in polls[start : start + AT_ONCE]]
        while sum(task.done() for task in tasks[start:]) + sum(one.held for one in known.values()) < len(tasks):
            await asyncio.sleep(0.01)
    return tasks


async def _decided(world: World, first: Answer, tasks: Sequence[asyncio.Task[Answer]]) -> tuple[float, int]:
    """Decide the first request as its person does; seconds until its poll is answered, and how many were answered."""
    browser = Browser(world)
    done = {task for task in tasks if task.done()}
    await browser.open_interaction(first)
    await browser.sign_up()
    begun = time.monotonic()
    await browser.decide("approved")
    await asyncio.wait({tasks[0]}, timeout=10)
    reached = time.monotonic() - begun
    await asyncio.sleep(0.5)
    over = [task for task in tasks if task.done() and task not in done]
    if tasks[0] in over:
        answer = tasks[0].result()
        assert answer.status == 200 and "person_token" in json.loads(answer.body), answer
    return reached, len(over)
