"""A person server that is killed again and again: `python -m tests.faults.nursery URL COUNT SEED JOURNAL`.

A process without threads forks a child for each life. The child runs the server on the database, with agents and a
person who decide, refuse and revoke; whatever was answered to anybody is written to the journal in the moment it was.
The parent kills it with -9 at a random moment.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from typing import Any

from aauthkit.keys import FixedKey
from aauthkit.protocol.jose import SigningKey
from aauthkit.revocation import outbox
from aauthkit.store import StoreError, open_database
from tests.plugins.people import PROVIDER, RESOURCE, AgentParty, Browser, World, body, claims_of
from tests.plugins.signing import Issuer

LONGEST_LIFE = 0.4
"""Seconds after the server has started, at the most."""
AGENTS = 3


def key_of(name: str) -> SigningKey:
    """The same key in every life."""
    return SigningKey.generate(lambda count: random.Random(name).randbytes(count))


class Life:
    """One life of the server, and what happens to it."""

    def __init__(self, number: int, journal: int) -> None:
        self.number = number
        self.journal = journal

    def tell(self, **line: Any) -> None:
        """Somebody was answered: one write, which a kill leaves whole or not there."""
        os.write(self.journal, json.dumps(line).encode() + b"\n")

    async def run(self, url: str, started: int) -> None:
        """Until the end."""
        database = await open_database(url)
        world = World(database)
        world.provider = Issuer(PROVIDER, key_of("provider"))
        world.resource = Issuer(RESOURCE, key_of("resource"))
        world.network.publish(world.provider, "aauth-agent.json", name="Example Agents")
        world.publish_resource(revocation_endpoint=f"{RESOURCE}/revoke")
        world.clock.pass_(self.number * 10)
        world.server.keys = FixedKey(key_of("server"))
        await world.server.start()
        os.write(started, b"!")
        await asyncio.gather(*(self.one(world, number) for number in range(AGENTS)))

    async def one(self, world: World, number: int) -> None:
        """One agent of one person, over and over."""
        turn = 0
        while True:
            turn += 1
            try:
                await self.story(world, f"a{self.number}-{number}-{turn}", turn)
            except (StoreError, AssertionError, StopIteration) as error:
                self.tell(trouble=type(error).__name__)
                await asyncio.sleep(0.01)

    async def story(self, world: World, name: str, turn: int) -> None:
        agent, browser = AgentParty(world, name, key_of(name)), Browser(world, "198.51.100.7")
        answer = await agent.ask_person_token()
        await browser.open_interaction(answer)
        if browser.page is not None and browser.page.has_form("/signin"):
            await browser.get("/signup")
            await browser.sign_up(f"p{name}")
        page = await browser.decide("approved" if turn % 3 else "denied", memory="kept")
        if page.status != 200:
            return
        self.tell(decided="approved" if turn % 3 else "denied", agent=agent.sub)
        terminal = await agent.poll(answer)
        if terminal.status != 200:
            return
        token = body(terminal)["person_token"]
        self.tell(issued=claims_of(token)["jti"])
        again = await agent.ask_person_token()
        if again.status == 200:
            self.tell(issued=claims_of(body(again)["person_token"])["jti"])
        if turn % 2:
            revoked = await world.revoke(agent.token)
            if revoked.status in (200, 202):
                self.tell(revoked=agent.sub, status=revoked.status)


def live(url: str, number: int, journal: int, started: int) -> None:
    """In the child: one life, which nothing but a kill ends."""
    outbox.PAUSE = 0.01  # type: ignore[misc]
    asyncio.run(Life(number, journal).run(url, started))


def main() -> int:
    url, count, seed, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    dice = random.Random(seed)
    journal = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for number in range(count):
        heard, started = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                live(url, number, journal, started)
            finally:
                os._exit(1)
        os.close(started)
        begun = os.read(heard, 1)
        os.close(heard)
        if begun != b"!":
            return 1
        time.sleep(dice.uniform(0.0, LONGEST_LIFE))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
