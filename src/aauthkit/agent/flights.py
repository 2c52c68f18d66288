"""One run for many waiters, on any event loop: what several calls need at once is obtained once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


@dataclass(eq=False)
class _Flight(Generic[T]):
    """A run under way. `outcome` is set on the loop that runs it and may be waited for on any other."""

    outcome: Future[T] = field(default_factory=Future)
    waiters: int = 0
    loop: asyncio.AbstractEventLoop | None = None
    task: asyncio.Task[None] | None = None


class Abandoned(Exception):
    """The run ended without an outcome, since the loop that ran it was closed."""


class Flights:
    """Runs that are shared by name.

    A waiter that is cancelled leaves the run to the others; the last one that leaves ends it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Hashable, _Flight[Any]] = {}

    def __contains__(self, name: Hashable) -> bool:
        """Whether a run of that name is under way for somebody."""
        return name in self._open

    async def share(self, name: Hashable, run: Callable[[], Awaitable[T]]) -> T:
        """The outcome of `run`, or of the run of the same name that is under way already."""
        while True:
            flight = self._board(name, run)
            outcome = asyncio.wrap_future(flight.outcome)
            outcome.add_done_callback(_heard)
            try:
                return await asyncio.shield(outcome)
            except Abandoned:
                continue
            finally:
                self._leave(name, flight)

    def _board(self, name: Hashable, run: Callable[[], Awaitable[T]]) -> _Flight[T]:
        with self._lock:
            known = self._open.get(name)
            if known is not None and not known.outcome.done():
                known.waiters += 1
                return cast("_Flight[T]", known)
            flight: _Flight[T] = _Flight(waiters=1, loop=asyncio.get_running_loop())
            self._open[name] = flight
            flight.task = asyncio.get_running_loop().create_task(self._fly(name, flight, run))
            return flight

    async def _fly(self, name: Hashable, flight: _Flight[T], run: Callable[[], Awaitable[T]]) -> None:
        try:
            outcome = await run()
        except asyncio.CancelledError:
            self._land(name, flight)
            if not flight.outcome.done():
                flight.outcome.set_exception(Abandoned())
            raise
        except BaseException as error:
            self._land(name, flight)
            flight.outcome.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            self._land(name, flight)
            flight.outcome.set_result(outcome)

    def _land(self, name: Hashable, flight: _Flight[Any]) -> None:
        with self._lock:
            if self._open.get(name) is flight:
                del self._open[name]

    def _leave(self, name: Hashable, flight: _Flight[Any]) -> None:
        with self._lock:
            flight.waiters -= 1
            last = flight.waiters == 0 and not flight.outcome.done()
            if last and self._open.get(name) is flight:
                del self._open[name]
        if last and flight.loop is not None and flight.task is not None and not flight.loop.is_closed():
            flight.loop.call_soon_threadsafe(flight.task.cancel)


def _heard(outcome: asyncio.Future[Any]) -> None:
    """A failure counts as heard, also where its waiter has left: asyncio would report it as lost."""
    if not outcome.cancelled():
        outcome.exception()
