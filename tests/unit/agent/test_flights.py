"""One run for many waiters: those who leave, and who leaves last."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from aauthkit.agent.flights import Flights

pytestmark = pytest.mark.anyio


class Run:
    """Something that takes until it is let go, and counts how often it was begun and cut off."""

    def __init__(self) -> None:
        self.begun = 0
        self.cut_off = 0
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cut_off += 1
            raise
        return self.begun


async def boarded(flights: Flights, run: Run, waiters: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(flights.share("name", run)) for _ in range(waiters)]
    while not run.begun:
        await asyncio.sleep(0)
    return tasks


async def everybody_leaves(flights: Flights, run: Run) -> None:
    for task in await boarded(flights, run, 2):
        task.cancel()
        await asyncio.wait({task})


async def test_all_who_come_while_it_runs_share_one_run() -> None:
    flights, run = Flights(), Run()
    tasks = await boarded(flights, run, 5)
    run.go.set()
    assert await asyncio.gather(*tasks) == [1] * 5
    assert await flights.share("name", run) == 2


async def test_who_leaves_takes_the_run_from_nobody() -> None:
    flights, run = Flights(), Run()
    first, second = await boarded(flights, run, 2)
    first.cancel()
    await asyncio.wait({first})
    run.go.set()
    assert await second == 1
    assert (run.begun, run.cut_off) == (1, 0)


async def test_the_last_who_leaves_ends_it_and_nothing_is_reported_as_lost() -> None:
    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    flights, run = Flights(), Run()
    await everybody_leaves(flights, run)
    while not run.cut_off:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    loop.set_exception_handler(before)
    assert reported == []
    run.go.set()
    assert await flights.share("name", run) == 2


async def test_a_failure_is_everybodys() -> None:
    flights = Flights()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise LookupError("no")

    outcomes = await asyncio.gather(*(flights.share("name", fail) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LookupError] * 3
