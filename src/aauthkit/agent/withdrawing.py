"""What becomes of a pending request whose caller was cancelled (draft-11 §7.5.2.3).

To give up a call is not to withdraw what it asked for: an equal call joins it, and where it is kept on disk a later
process too. Only what is kept nowhere ends with the last client of its agent: nobody could even fetch the answer, and a
person would be left with a question that is of no use to anybody. It is withdrawn then, in the background, and not for
long, since whoever closes a client may be on the way out.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Final

from .errors import AAuthError
from .waiting import Resumes
from .waits import Wait, Waits

LONGEST: Final = 5.0
"""Seconds that a withdrawal may take."""
_under_way: set[asyncio.Task[None]] = set()
"""Kept here, since an event loop keeps no task alive by itself."""


class GivenUp:
    """The pending requests of one agent whose callers were cancelled, and the clients that may still join them."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str], Wait] = {}
        self._clients: set[int] = set()
        self._lock = threading.Lock()

    def open(self, client: object) -> None:
        """A client of the agent begins."""
        with self._lock:
            self._clients.add(id(client))

    def unused(self, client: object) -> None:
        """A client ends that never waited for anything."""
        with self._lock:
            self._clients.discard(id(client))

    def note(self, wait: Wait | None, waits: Waits) -> None:
        """Nobody here waits for this any more."""
        if wait is not None and not waits.are_kept:
            with self._lock:
                self._requests[wait.name, wait.jkt] = wait

    def joined(self, name: str, jkt: str) -> None:
        """Somebody waits for it again."""
        with self._lock:
            self._requests.pop((name, jkt), None)

    async def close(self, client: object, waits: Waits, resumer: Resumes) -> None:
        """A client ends. With the last one, what nobody waits for and nothing keeps is withdrawn."""
        with self._lock:
            self._clients.discard(id(client))
            if self._clients:
                return
            found, self._requests = list(self._requests.values()), {}
        open_ones = [wait for wait in found if waits.find(wait.name, wait.jkt) is not None]
        if open_ones:
            task = asyncio.ensure_future(_withdraw(resumer, open_ones))
            _under_way.add(task)
            task.add_done_callback(_under_way.discard)
            await asyncio.shield(task)

    def __repr__(self) -> str:
        return f"GivenUp({len(self._requests)})"


async def _withdraw(resumer: Resumes, waits: list[Wait]) -> None:
    try:
        async with asyncio.timeout(LONGEST):
            for wait in waits:
                await resumer.withdraw(wait)
    except (AAuthError, TimeoutError):
        return  # it ends by itself in time; who gave up cannot do more
