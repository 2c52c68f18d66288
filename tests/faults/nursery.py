"""A person server that is killed again and again: `python -m tests.faults.nursery URL COUNT SEED JOURNAL`.

A process without threads forks a child for each life. The child runs the server on the database, with agents and people
who propose, decide, refuse, permit, end, stop and revoke; whatever was answered to anybody is written to the journal in
the moment it was. The parent kills it with -9 at a random moment.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

from aauthkit.audit import MIGRATIONS as AUDIT_TABLES
from aauthkit.audit import Checkpoints
from aauthkit.keys import FixedKey
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.messages import Answer
from aauthkit.serving import Request
from aauthkit.store import Database, StoreError, open_database
from tests.plugins.people import PROVIDER, PS, AgentParty, Browser, World, body, claims_of, requirement
from tests.plugins.signing import Issuer

MOST_REQUESTS: Final = 180
"""That a life answers, at the most: counted rather than timed, so that a slow machine tells the same story."""
MOMENT: Final = 0.006
"""Seconds after that, at the most, so that it ends anywhere inside a request."""
AGENTS: Final = 2
"""At work at once, each with a person of its own."""
RESOURCES: Final = tuple(f"https://{name}.example" for name in ("orders", "stock", "mail"))
DEAF: Final = RESOURCES[2]
"""It answers every revocation with 503."""
BETWEEN: Final = 10
"""Seconds of the world's time from one life to the next."""
Tell = Callable[..., None]


def key_of(name: str) -> SigningKey:
    """The same key in every life."""
    return SigningKey.generate(lambda count: random.Random(name).randbytes(count))


def make_world(database: Database, number: int) -> World:
    """The server and everybody around it, in one of their lives."""
    world = World(database)
    world.provider = Issuer(PROVIDER, key_of("provider"))
    world.network.publish(world.provider, "aauth-agent.json", name="Example Agents")
    for iss in RESOURCES:
        resource = Issuer(iss, key_of(iss))
        world.network.publish(
            resource, "aauth-resource.json", access_mode="auth-token", revocation_endpoint=f"{iss}/revoke"
        )
        world.network.posts[f"{iss}/revoke"] = Answer(503 if iss == DEAF else 200, ())
    world.clock.pass_(number * BETWEEN)
    world.servers.clear()
    world.key = key_of("server")
    world.server = world.make_server(database)
    return world


def audit_key() -> FixedKey:
    """What checkpoints are signed with."""
    return FixedKey(key_of("audit"))


class Story:
    """What one agent and its person go through; `tell` is called in the moment one of them was answered."""

    def __init__(self, world: World, name: str, tell: Tell) -> None:
        self.world = world
        self.name = name
        self.tell = tell
        self.agent = AgentParty(world, name, key_of(name))
        self.browser = Browser(world, "198.51.100.7")

    async def run(self, turn: int) -> None:
        """One of the stories, from the beginning."""
        if not await self.identity(turn):
            return
        await (self.revoked, self.mission, self.stopped)[turn % 3]()

    async def identity(self, turn: int) -> bool:
        """Person tokens for every resource, each after its person's yes; the first may be refused."""
        for resource in RESOURCES:
            answer = await self.agent.ask_person_token(resource)
            assert answer.status == 202, answer.body
            verdict = "denied" if turn % 5 == 4 else "approved"
            if await self.decide(answer, verdict, memory="kept") == "denied":
                return False
            terminal = await self.agent.poll(answer)
            self.issued(terminal)
            self.issued(await self.agent.ask_person_token(resource))
        return True

    async def decide(self, asked: Answer, verdict: str, **filled: Any) -> str:
        """The person comes and decides, from two windows at once: only one of the two answers holds."""
        found = requirement(asked)
        if found is not None and found.value == "approval":  # their page is open in front of them
            await self.browser.open_next()
        else:
            await self.browser.open_interaction(asked)
        if self.browser.page is not None and self.browser.page.has_form("/signin"):
            await self.browser.get("/signup")
            await self.browser.sign_up(f"p{self.name}")
        page = self.browser.page
        assert page is not None
        other = Browser(self.world, self.browser.address)
        other.cookies, other.page = dict(self.browser.cookies), page
        against = "approved" if verdict == "denied" else "denied"
        first, second = await asyncio.gather(
            self.browser.submit("/decide/", verdict, **filled), other.submit("/decide/", against, **filled)
        )
        held = [said for said, shown in ((verdict, first), (against, second)) if shown.status == 200]
        assert len(held) == 1, (first.status, second.status)
        location = asked.header("location") or ""
        self.tell(decided=held[0], name=self.name, agent=self.agent.sub, pending=location)
        return held[0]

    def issued(self, answer: Answer) -> None:
        """A token went out."""
        assert answer.status == 200, answer.body
        self.tell(issued=claims_of(body(answer)["person_token"])["jti"])

    async def revoked(self) -> None:
        """The provider revokes the agent's token: a cascade to every resource."""
        answer = await self.world.revoke(self.agent.token)
        assert answer.status in (200, 202), answer.body
        self.tell(revoked=self.agent.sub)

    async def stopped(self) -> None:
        """Its person stops it."""
        steward = self.world.server.steward
        mine = next(one for one in await steward.agents() if one.sub == self.agent.sub)
        await steward.stop(mine.person, mine.iss, mine.sub)
        self.tell(stopped=self.agent.sub, revoked=self.agent.sub)

    async def mission(self) -> None:
        """A mission with all resources, permissions under it, and its end."""
        proposal = {"description": f"Mission of {self.name}", "capabilities": ["interaction"], "resources": RESOURCES}
        asked = await self.agent.send("POST", "/mission", proposal)
        assert asked.status == 202, asked.body
        if await self.decide(asked, "approved") == "denied":
            return
        answer = await self.agent.poll(asked)
        assert answer.status == 200, answer.body
        approved = body(answer)
        for token in approved["person_tokens"].values():
            self.tell(issued=claims_of(token)["jti"])
        s256 = approved["s256"]
        self.tell(mission=s256)
        for number in range(2):
            named = {"action": f"act {number}", "mission_s256": s256, "capabilities": ["interaction"]}
            asked = await self.agent.send("POST", "/permission", named)
            verdict = await self.decide(asked, "approved")
            permission = body(await self.agent.poll(asked))["permission"]
            assert permission == {"approved": "granted", "denied": "denied"}[verdict]
        steward = self.world.server.steward
        mine = next(one for one in await steward.agents() if one.sub == self.agent.sub)
        await steward.end_mission(mine.person, s256)
        self.tell(ended=s256)


class Life:
    """One life of the server, and what happens in it."""

    def __init__(self, number: int, tell: Tell) -> None:
        self.number = number
        self.tell = tell

    async def run(self, url: str, step: Callable[[], object], stories: int | None = None) -> None:
        """Until the end, or with `stories` until each agent has had so many. `step` is called for every answer."""
        database = await open_database(url)
        world = make_world(database, self.number)
        await database.migrate(AUDIT_TABLES)
        await world.server.start()
        step()
        answer = world.server.answer

        async def answered(request: Request) -> Answer:
            made = await answer(request)
            step()
            return made

        world.server.answer = answered  # type: ignore[method-assign]
        await asyncio.gather(
            *(self.one(world, number, stories) for number in range(AGENTS)), self.checkpoints(database, world, stories)
        )
        await world.close()
        await database.close()

    async def one(self, world: World, number: int, stories: int | None) -> None:
        """One agent of one person after the other."""
        turn = self.number + number
        while stories is None or turn < self.number + number + stories:
            try:
                await Story(world, f"a{self.number}-{number}-{turn}", self.tell).run(turn)
            except (StoreError, AssertionError) as error:
                self.tell(trouble=type(error).__name__, words=str(error)[:300])
                await asyncio.sleep(0.01)
            turn += 1

    async def checkpoints(self, database: Database, world: World, stories: int | None) -> None:
        """Of the audit log, far more often than in earnest."""
        making = Checkpoints(PS, database, audit_key().current, clock=world.clock)
        while stories is None:
            await asyncio.sleep(0.2)
            self.tell(checkpoint=await making.make())


def writing(journal: int) -> Tell:
    """One write for each line, which a kill leaves whole or not there."""

    def tell(**line: Any) -> None:
        os.write(journal, json.dumps(line).encode() + b"\n")

    return tell


def silent(**line: Any) -> None:
    """Nobody needs to know, but of trouble."""
    assert "trouble" not in line, line


def rehearse() -> None:
    """One whole life, on records that nobody keeps: what is imported late is there for every child."""
    import asyncpg  # noqa: F401

    import aauthkit.store.postgresql  # noqa: F401

    asyncio.run(Life(0, silent).run("sqlite://:memory:", lambda: None, stories=3))
    gc.freeze()


def live(url: str, number: int, journal: int, steps: int) -> NoReturn:
    """In the child: one life, which nothing but a kill ends."""
    try:
        asyncio.run(Life(number, writing(journal)).run(url, lambda: os.write(steps, b"!")))
    finally:
        os._exit(1)


def main() -> int:
    url, count, seed, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    dice = random.Random(seed)
    journal = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    rehearse()
    for number in range(count):
        heard, steps = os.pipe()
        child = os.fork()
        if child == 0:
            live(url, number, journal, steps)
        os.close(steps)
        left = 1 + dice.randrange(MOST_REQUESTS)
        while left > 0 and (taken := os.read(heard, left)):
            left -= len(taken)
        time.sleep(dice.uniform(0.0, MOMENT))
        os.kill(child, signal.SIGKILL)
        os.close(heard)
        _, status = os.waitpid(child, 0)
        if left > 0 or not os.WIFSIGNALED(status):  # it ended by itself, which no life may
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
