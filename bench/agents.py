"""What an agent's client costs: over a bare client, and in token requests when a thousand tasks need a fresh one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from aauthkit.store import open_database
from tests.plugins.tls import Authority, Clock
from tests.plugins.world import API, World, open_world

from .measuring import ROUNDS, Figure

CALLS = 400
TASKS = 1000
HOST = "api.example"


@asynccontextmanager
async def a_world(clock: Callable[[], float]) -> AsyncIterator[tuple[World, Authority, Path]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority(folder)
        database = await open_database(folder / "world.db")
        async with open_world(authority, folder, database, clock=clock) as world:
            yield world, authority, folder
        await database.close()


async def client_call_over_httpx() -> Figure:
    """Authorized calls per second through `agent.client()` over those of a bare client, one server, one at a time."""
    async with a_world(time.time) as (world, authority, _):
        planner = await world.enrol("planner")
        await world.acquainted(planner, await world.person("Ada"), "orders.read", "orders.place")
        port = world.egress.names[HOST][1]
        await _silence(world)
        files = authority.files(HOST)
        command = [sys.executable, "-m", "bench.plain_server", str(port), str(files.certificate), str(files.key)]
        with subprocess.Popen(command) as server:
            try:
                await _listening(port)
                rounds = await _rounds(world, planner.agent, port)
            finally:
                server.terminate()
    what = "authorized calls/s through agent.client() over calls/s of a bare httpx2 client"
    return Figure("client_call_over_httpx", what, 0.75, "higher", rounds, f"{CALLS} calls a round, real TLS")


async def _silence(world: World) -> None:
    world._over[API].set()
    await world._running[API]
    world.listeners[API].close()


async def _listening(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise RuntimeError("the plain server does not listen")


async def _rounds(world: World, agent: object, port: int) -> list[float]:
    from aauthkit import Agent

    assert isinstance(agent, Agent)
    headers, named = {"host": HOST}, {"sni_hostname": HOST}
    async with httpx2.AsyncClient(verify=world.egress.tls(), trust_env=False) as bare, agent.client() as signed:

        async def barely() -> None:
            (await bare.get(f"https://127.0.0.1:{port}/orders", headers=headers, extensions=named)).raise_for_status()

        async def authorized() -> None:
            (await signed.get(f"{API}/orders")).raise_for_status()

        await _rate(barely, 50), await _rate(authorized, 50)
        rounds = []
        for _ in range(ROUNDS):
            floor = await _rate(barely, CALLS)
            rounds.append(await _rate(authorized, CALLS) / floor)
    return rounds


async def _rate(call: Callable[[], Awaitable[None]], number: int) -> float:
    begun = time.perf_counter()
    for _ in range(number):
        await call()
    return number / (time.perf_counter() - begun)


async def token_requests_for_1000_tasks() -> Figure:
    """Token requests made when a thousand tasks meet an expired auth token at once."""
    rounds = []
    clock = Clock()
    async with a_world(clock) as (world, _, _):
        planner = await world.enrol("planner", timeout=120)
        await world.acquainted(planner, await world.person("Ada"), "orders.read", "orders.place")
        for _ in range(5):
            clock.advance(3700)
            _, before = world.issuing()
            answers = await asyncio.gather(*(planner.client.request("GET", f"{API}/orders") for _ in range(TASKS)))
            assert {answer.status for answer in answers} == {200}
            _, after = world.issuing()
            rounds.append(float(after - before))
    what = f"auth token requests made when {TASKS} tasks meet an expired token at once"
    return Figure("token_requests_for_1000_tasks", what, 1, "lower", rounds)
