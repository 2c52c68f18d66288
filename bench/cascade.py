"""How long a revocation takes that ends tokens at a thousand resources, of which some are slow and some are gone."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aauthkit.egress import EgressError
from aauthkit.person import records
from aauthkit.person.records import Issued
from aauthkit.protocol.messages import Answer, json_answer
from aauthkit.protocol.tokens import AUTH_TYP
from aauthkit.store import open_database
from tests.plugins.people import AgentParty, Network, World
from tests.plugins.signing import Signer

from .measuring import Figure

RECIPIENTS, SLOW, DEAD = 1_000, 50, 50
"""Recipients in all, those that take `SLOW_SECONDS` to answer, and those that cannot be connected to."""
SLOW_SECONDS, DEAD_SECONDS = 2.0, 3.0
"""Seconds until a slow one answers, and until a connection to one that is gone is given up."""


@dataclass
class Shops:
    """The recipients behind the one network, and when each that answers was told."""

    network: Network
    told: dict[str, float] = field(default_factory=dict)

    def resource(self, number: int) -> str:
        """Its identifier; every twentieth is slow, and each after such a one is gone."""
        kind = {0: "slow", 1: "dead"}.get(number % (RECIPIENTS // SLOW), "shop")
        return f"https://{kind}{number}.example"

    async def send(
        self, method: str, url: str, headers: Iterable[tuple[str, str]] = (), *more: Any, **knobs: Any
    ) -> Answer:
        host = urlsplit(url).hostname or ""
        if host.startswith("dead"):
            await asyncio.sleep(DEAD_SECONDS)
            raise EgressError("out of reach", "unreachable")
        if not host.startswith(("shop", "slow")):
            return await Network.send(self.network, method, url, headers, *more, **knobs)
        origin = f"https://{host}"
        if method == "GET":
            document = {"issuer": origin, "jwks_uri": f"{origin}/jwks.json", "revocation_endpoint": f"{origin}/revoke"}
            return json_answer(200, document | {"access_mode": "person-token"}, ("cache-control", "max-age=3600"))
        if host.startswith("slow"):
            await asyncio.sleep(SLOW_SECONDS)
        self.told[origin] = time.monotonic()
        return Answer(200)


async def cascade_1000_seconds() -> Figure:
    """From the provider's revocation to its answer, each recipient by its own signed request; told once."""
    with tempfile.TemporaryDirectory() as folder:
        database = await open_database(Path(folder) / "person.db")
        world = World(database)
        await world.server.start()
        seconds, detail = await _cascade(world)
        await world.close()
        await database.close()
    what = (
        f"seconds until a revocation has ended at {RECIPIENTS} recipients, {SLOW} of which take {SLOW_SECONDS:g} s and "
        f"{DEAD} cannot be reached within {DEAD_SECONDS:g} s; measured once"
    )
    return Figure("cascade_1000_seconds", what, None, "lower", [seconds], detail, least=1)


async def _cascade(world: World) -> tuple[float, str]:
    logging.getLogger("aauthkit.revocation").setLevel(logging.ERROR)  # fifty lines say who is gone
    agent, _, _ = await world.introduced()
    shops = Shops(world.network)
    world.network.send = shops.send  # type: ignore[method-assign]
    await _issued(world, agent, shops)
    begun, spent = time.monotonic(), time.process_time()
    answer = await world.revoke(agent.token)
    first = answer.status
    while answer.status == 202:
        location = answer.header("location")
        assert location is not None
        signer = Signer.server(world.provider, "aauth-agent.json")
        request = signer.sign("GET", location, headers=(("prefer", "wait=60"),), now=int(world.clock()))
        answer = await world.server.answer(request)
    seconds, spent = time.monotonic() - begun, time.process_time() - spent
    assert answer.status == 200, answer
    told = sorted(when - begun for when in shops.told.values())
    waiting = sum(one.state == "waiting" for one in await world.server.steward.deliveries())
    detail = (
        f"first answer {first}; half of them told after {told[len(told) // 2]:.1f} s, all {len(told)} that live after "
        f"{told[-1]:.1f} s, {waiting} still to be tried; {spent:.1f} s of processor"
    )
    return seconds, detail


async def _issued(world: World, agent: AgentParty, shops: Shops) -> None:
    """Tokens of the agent at every resource, on record as if they had been asked for."""
    now = int(world.clock())
    person = await records.person_of(world.database, world.provider.iss, agent.sub)
    assert person is not None
    async with world.database.transaction() as tx:
        for number in range(RECIPIENTS):
            issued = Issued(
                jti=f"token-{number}",
                typ=AUTH_TYP,
                person=person,
                agent_iss=world.provider.iss,
                agent_sub=agent.sub,
                jkt=agent.key.public.thumbprint,
                aud=shops.resource(number),
                sub=f"sub-{number}",
                scope=frozenset({"orders.read"}),
                account=None,
                issued=now,
                exp=now + 3600,
                agent_jti="of-the-agent",
            )
            await records.note_issued(tx, issued)
