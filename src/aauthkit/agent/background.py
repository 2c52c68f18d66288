"""What an agent sends without waiting for it: records of what was done, one after the other, on a loop of their own.

draft-11 §7.8.2. The queue is bounded, so that an agent that does more than its person server takes is not held up and
does not grow. What is in it is sent before the last client is closed, and before the program ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Final

from ..portal import start_soon
from .connections import Connections, Exchange
from .errors import AAuthError

log = logging.getLogger("aauthkit.agent")

MAX_JOBS: Final = 256
"""Most jobs that wait."""
PATIENCE: Final = 5.0
"""Seconds for which the end of a client waits for them."""

Job = Callable[[Connections], Awaitable[None]]


class Background:
    """The jobs of one agent, in the order in which they came; used from any thread."""

    def __init__(self, exchange: Exchange, limit: int = MAX_JOBS) -> None:
        self._exchange = exchange
        self._limit = limit
        self._jobs: deque[Job] = deque()
        self._lock = threading.Lock()
        self._worker: int | None = None
        self._last: Future[None] | None = None
        self.dropped = 0

    def put(self, job: Job) -> bool:
        """Have a job done soon; False where too many wait already, and it is dropped. Never waits."""
        with self._lock:
            if len(self._jobs) >= self._limit:
                self.dropped += 1
                return False
            self._jobs.append(job)
            if self._worker != os.getpid():  # in a forked child there is none either
                self._worker = os.getpid()
                self._last = start_soon(self._run())
            return True

    @property
    def is_busy(self) -> bool:
        """Whether anything is not done yet."""
        return self._worker == os.getpid()

    async def flush(self, patience: float = PATIENCE) -> bool:
        """Wait until what came so far is done; False where that takes longer than `patience` seconds."""
        last = self._last
        if last is None or self._worker not in (None, os.getpid()):
            return True
        _, late = await asyncio.wait({asyncio.wrap_future(last)}, timeout=patience)
        return not late

    async def _run(self) -> None:
        user = object()
        connections = self._exchange.enter(user)
        try:
            while (job := self._next()) is not None:
                try:
                    await job(connections)
                except AAuthError as error:
                    log.warning("what was to be sent in the background was not: %s", error)
                except Exception:  # a fault of one job is none of the next
                    log.exception("what was to be sent in the background was not")
        except BaseException:
            with self._lock:
                self._worker = None  # the next job begins anew
            raise
        finally:
            await self._exchange.leave(user)

    def _next(self) -> Job | None:
        with self._lock:
            if self._jobs:
                return self._jobs.popleft()
            self._worker = None
            return None

    def __repr__(self) -> str:
        return f"Background({len(self._jobs)})"
