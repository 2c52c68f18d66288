"""`python -m bench.growth`: how the cost of one request grows with what there is of everything else, as a table."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from nacl import bindings

from aauthkit.protocol.messages import SignedRequest
from aauthkit.protocol.problems import SignatureFailure
from aauthkit.replay import ReplayCache
from aauthkit.verification import Verifier
from tests.plugins.signing import Issuer

from .pairs import microseconds
from .parties import ACCEPTS, BODY, ISSUER, Agent, afresh, raw_signature, verifier

CALLS = 400
Line = tuple[str, str, float]


async def measured() -> list[Line]:
    """What grows, how much of it there is, and microseconds of processor for one request."""
    now = time.time()
    lines = await _floor(now)
    for number in (1, 256, 4096):
        lines.append(("tokens remembered; one of them", str(number), await _tokens(now, number)))
    for number in (1, 32, 1024):
        lines.append(("issuers known; a token never seen", str(number), await _issuers(now, number)))
    for number in (0, 100_000, 390_000):
        lines.append(("signatures remembered against replay; a POST", str(number), await _replay(now, number)))
    for number in (1, 100, 10_000):
        lines.append(("requests at once in one loop; tokens never seen", str(number), await _at_once(now, number)))
    for number in (1, 2, 8):
        lines.append(("threads on one verifier, by the clock; a token seen", str(number), await _threads(now, number)))
    lines.append(("refused: a wrong signature under a token seen", "", await _refused(now)))
    return lines


async def _floor(now: float) -> list[Line]:
    issuer = Issuer(ISSUER)
    door, agent = verifier([issuer], now), Agent.of(issuer, now)
    verified = await door.verify(agent.request("/", now, os.urandom(12)), ACCEPTS)
    signed = raw_signature(verified.request) + verified.base
    cost = microseconds(lambda _: bindings.crypto_sign_open(signed, verified.key.raw), range(CALLS))
    return [("the floor: one raw verification", "", cost)]


async def _tokens(now: float, number: int) -> float:
    issuer = Issuer(ISSUER)
    door = verifier([issuer], now)
    requests = [Agent.of(issuer, now).request("/", now, os.urandom(12)) for _ in range(number)]
    for request in requests:
        await door.verify(request, ACCEPTS)
    return _cost(door, [afresh(requests[n * 7919 % number]) for n in range(CALLS)])


async def _issuers(now: float, number: int) -> float:
    issuers = [Issuer(f"https://ps{n}.example") for n in range(number)]
    door = verifier(issuers, now)
    for issuer in issuers:
        await door.verify(Agent.of(issuer, now).request("/", now, os.urandom(12)), ACCEPTS)
    agents = [Agent.of(issuers[n * 7919 % number], now) for n in range(CALLS)]
    return _cost(door, [agent.request("/", now, os.urandom(12)) for agent in agents])


async def _replay(now: float, number: int) -> float:
    issuer, seen = Issuer(ISSUER), ReplayCache()
    door, agent = verifier([issuer], now, replay=seen), Agent.of(issuer, now)
    for n in range(number):
        seen.admit(f"key {n % 400}", n.to_bytes(32, "big"), now + 61, now)
    requests = [agent.request("/", now, os.urandom(12), BODY) for _ in range(CALLS + 1)]
    await door.verify(requests.pop(), ACCEPTS)
    return _cost(door, requests)


async def _at_once(now: float, number: int) -> float:
    issuer = Issuer(ISSUER)
    agents = [Agent.of(issuer, now) for _ in range(min(number, 1000))]
    requests = [agents[n % len(agents)].request(f"/{n}", now, os.urandom(12)) for n in range(number)]
    costs = []
    for _ in range(5 if number > 100 else 50):
        door = verifier([issuer], now)
        await door.verify(agents[0].request("/", now, os.urandom(12)), ACCEPTS)
        gc.collect()
        begun = time.process_time()
        await asyncio.gather(*(door.verify(request, ACCEPTS) for request in requests))
        costs.append((time.process_time() - begun) / number * 1e6)
    return min(costs)


async def _threads(now: float, number: int) -> float:
    issuer = Issuer(ISSUER)
    door, agent = verifier([issuer], now), Agent.of(issuer, now)
    requests = [agent.request(f"/{n}", now, os.urandom(12)) for n in range(2000)]
    await door.verify(requests[0], ACCEPTS)
    share = len(requests) // number
    workers = [threading.Thread(target=_all, args=(door, requests[n * share : (n + 1) * share])) for n in range(number)]
    begun = time.perf_counter()
    for worker in workers:
        worker.start()
    await asyncio.to_thread(lambda: [worker.join() for worker in workers])
    return (time.perf_counter() - begun) / (share * number) * 1e6


def _all(door: Verifier, requests: Sequence[SignedRequest]) -> None:
    for request in requests:
        door.verify_now(request, ACCEPTS)


async def _refused(now: float) -> float:
    issuer = Issuer(ISSUER)
    door, agent = verifier([issuer], now), Agent.of(issuer, now)
    requests = [agent.request(f"/{n}", now, os.urandom(12)) for n in range(CALLS)]
    await door.verify(requests[0], ACCEPTS)

    def call(request: SignedRequest) -> None:
        try:
            door.verify_now(request, ACCEPTS)
        except SignatureFailure:
            return
        raise AssertionError("it was let in")

    return microseconds(call, [replace(afresh(request), target="/elsewhere") for request in requests])


def _cost(door: Verifier, requests: Sequence[SignedRequest]) -> float:
    call: Callable[[SignedRequest], object] = lambda request: door.verify_now(request, ACCEPTS)  # noqa: E731
    return microseconds(call, requests)


def main() -> None:
    """Print the table, as docs/performance.md has it."""
    print("| what | how many | us |\n|---|--:|--:|")
    for what, number, cost in asyncio.run(measured()):
        print(f"| {what} | {number} | {cost:.1f} |")


if __name__ == "__main__":
    main()
