"""Who watches a call: what was sent and obtained on the way, which pages were opened, and what went wrong with them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from ..agent import Errand, PersonChannel
from ..agent.watching import Event, Obtained, Sent
from ..narration import Beside, Narrator
from .visitor import ScriptedPerson


class Witness:
    """Tells a call's events, counts what matters, and brings the person: the scripted one, or whoever sits there."""

    def __init__(self, narrator: Narrator, scripted: ScriptedPerson | None, person: PersonChannel | None) -> None:
        self.errands: list[Errand] = []
        self.obtained: list[str] = []
        self.sent = 0
        self._narrator = narrator
        self._scripted = scripted
        self._person = Beside(narrator, person) if person is not None else None
        self._visit: asyncio.Task[None] | None = None

    def watch(self, event: Event) -> None:
        """Tell one event, and count it."""
        self._narrator.watch(event)
        if isinstance(event, Obtained):
            self.obtained.append(event.typ)
        self.sent += isinstance(event, Sent)

    async def show(self, errand: Errand) -> None:
        """Bring the person to a page."""
        self.errands.append(errand)
        if self._scripted is not None:
            self._narrator.line(f"  ☺ the page opens, with the code {errand.code}")
            self._visit = asyncio.create_task(self._scripted.come(errand.url_with_code, errand.code))
        elif self._person is not None:
            await self._person.show(errand.url_with_code, errand.url, errand.code, errand.requirement, errand.who)

    async def follow(self, call: Coroutine[Any, Any, Any]) -> Any:
        """The response to `call`, or what went wrong with the scripted person on the way."""
        task = asyncio.ensure_future(call)
        try:
            while not task.done():
                waiting: set[asyncio.Future[Any]] = {task} if self._visit is None else {task, self._visit}
                await asyncio.wait(waiting, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
                if self._visit is not None and self._visit.done():
                    self._visit.result()
            return task.result()
        finally:
            task.cancel()

    async def end(self) -> None:
        """The scripted person goes."""
        visit, self._visit = self._visit, None
        if visit is not None:
            visit.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await visit
