"""`Pending`: a call whose answer takes longer than its caller waits, to be awaited, resumed later, or withdrawn."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, Protocol

from .errors import AAuthError
from .waits import Wait


class Resumes(Protocol):
    """What goes on with a pending request; an agent does."""

    def resume(self, wait: Wait) -> Awaitable[Any]:
        """Wait until it has ended."""
        ...

    def withdraw(self, wait: Wait) -> Awaitable[None]:
        """End it."""
        ...


class Pending(AAuthError):
    """Somebody has not decided yet, and the call waits no longer (`wait=`); nothing is lost.

    - `on`: the server that is waited for. `resource`: what was called. `since`: from when on, seconds since the epoch.
      `requirement`: what it waits for, as in its 202, or `None`.
    - `await pending` waits to the end, however long. For a request that a resource holds it gives the response; for a
      decision at the person server it gives `None`, and the call can be made again.
    - The same call made again joins it, also in another process of this agent and after a restart. The person is not
      sent anywhere twice.
    - `await pending.cancel()` withdraws it (draft-11 §7.5.2.3).
    """

    is_failure = False
    """For a tracer: a call that goes on elsewhere has not failed."""

    def __init__(self, wait: Wait, agent: Resumes) -> None:
        super().__init__(
            f"{wait.by} has not answered yet: somebody has to decide; await it, or make the call again later"
        )
        self.on = wait.by
        self.resource = wait.resource
        self.since = wait.since
        self.requirement = wait.requirement
        self.id = wait.id
        self._wait = wait
        self._agent = agent

    def __await__(self) -> Generator[Any, None, Any]:
        return self._agent.resume(self._wait).__await__()

    async def cancel(self) -> None:
        """Withdraw the request, and forget it."""
        await self._agent.withdraw(self._wait)
