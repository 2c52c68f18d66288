"""An agent that proposes missions in a world of real servers, and its person who decides on them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from aauthkit.agent import Callback, Errand, Mission
from tests.plugins.visiting import PATIENCE, Someone
from tests.plugins.world import Traveller, World

T = TypeVar("T")

TRIP = "# Plan a trip\n\nTo Japan, for **two**."


class Undertaking:
    """One agent and its person. `errands` are the pages that the agent itself sent the person to."""

    def __init__(self, world: World, traveller: Traveller, someone: Someone) -> None:
        self.world = world
        self.traveller = traveller
        self.agent = traveller.agent
        self.person = someone
        self.errands: list[Errand] = []
        self._came: asyncio.Queue[Errand] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self.channel = Callback(self._sent)

    @classmethod
    async def begin(cls, world: World, name: str = "planner", someone: str = "Ada", **settings: Any) -> Undertaking:
        """A new agent, and somebody with an account."""
        return cls(world, world.travels(await world.admit(name), **settings), await world.person(someone))

    def _sent(self, errand: Errand) -> None:
        self.errands.append(errand)
        self._loop.call_soon_threadsafe(self._came.put_nowait, errand)

    async def errand(self, call: asyncio.Task[Any]) -> Errand:
        """Where the agent sends the person next; `call` must not end before."""
        shown = asyncio.create_task(self._came.get())
        await asyncio.wait({shown, call}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not shown.done():
            shown.cancel()
            raise AssertionError(f"the agent sends nobody anywhere: {call}")
        return shown.result()

    async def decided(self, asking: Coroutine[Any, Any, T], verdict: str = "approved", *fields: tuple[str, str]) -> T:
        """What is asked, decided at the page that opens, or that is open already."""
        call = asyncio.ensure_future(asking)
        if self.errands:
            await self.person.finds()
        else:
            await self.person.comes(await self.errand(call))
        await self.person.presses(self.person.page.form("/decide/"), *fields, ("verdict", verdict))
        return await call

    async def mission(self, *fields: tuple[str, str], **proposal: Any) -> Mission:
        """A mission that was proposed and approved, with `fields` of the form filled otherwise."""
        asking = self.agent.mission(proposal.pop("description", TRIP), person=self.channel, **proposal)
        return await self.decided(asking, "approved", *fields)
