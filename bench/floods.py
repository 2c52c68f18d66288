"""What strangers can make a verifier remember, in bytes: its caches under a stream of new issuers, kids and tokens."""

from __future__ import annotations

import gc
import tracemalloc

from tests.plugins.crowds import Door, Publisher, Wire, fresh_tokens, invented_kids, strangers

from .measuring import Figure

ROUNDS = 5
ISSUERS, KIDS, TOKENS = 2_000, 300, 5_000
MEGABYTE = 1024 * 1024


async def cache_bytes_under_flood() -> Figure:
    """Megabytes that a verifier holds after the flood; and how much more after as much again, which should be little.

    The replay cache is not in it: it holds what was signed within the window, whoever sends it, and forgets it then.
    """
    rounds, grown = [], []
    for _ in range(ROUNDS):
        once, twice = await _flooded()
        rounds.append(once / MEGABYTE)
        grown.append(twice / once)
    what = f"MB held by one verifier after {ISSUERS} invented issuers, {KIDS} invented kids and {TOKENS} good tokens"
    detail = f"after as many again {sorted(grown)[len(grown) // 2]:.2f} times that"
    return Figure("cache_bytes_under_flood", what, None, "lower", rounds, detail)


async def _flooded() -> tuple[int, int]:
    """Bytes held after a flood, and after a second one."""
    honest = Publisher("https://honest.example")
    wire = Wire(honest)
    wire.gate.set()
    door = Door(wire)
    await _flood(door, honest, 1)  # what is imported or compiled on first use is not the caches'
    gc.collect()
    tracemalloc.start()
    held = []
    for _ in range(2):
        await _flood(door, honest, None)
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    return held[0], held[1]


async def _flood(door: Door, honest: Publisher, least: int | None) -> None:
    door.now += 61
    now = int(door.now)
    for request in strangers(least or ISSUERS, now):
        await door.verdict(request)
    for request in invented_kids(honest, least or KIDS, now):
        await door.verdict(request)
    for request in fresh_tokens(honest, least or TOKENS, now):
        assert (await door.verdict(request))[0] == "accepted"
    door.replay._forget(door.now + 1_000)
