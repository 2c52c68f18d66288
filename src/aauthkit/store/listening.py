"""The one connection on which a process hears what others notify through PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from .asyncpg_errors import DRIVER_ERRORS, failure_of
from .errors import StoreError
from .wakeups import Wakeups

log = logging.getLogger(__name__)

CHANNEL = "aauthkit"
"""PostgreSQL's channel, which carries all of ours: `channel`, a line feed, `payload`."""

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
"""Seconds between two attempts to connect again."""
_ANSWER_SECONDS = 5.0
"""A connection that does not answer within this is dead, whatever the network says."""


class Listener:
    """Connects on first use, and again when the connection ends; then everybody is woken, for something was missed."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Any]],
        wakeups: Wakeups,
        *,
        heartbeat_seconds: float,
        jitter: Callable[[], float],
    ) -> None:
        self._connect = connect
        self._wakeups = wakeups
        self._heartbeat_seconds = heartbeat_seconds
        self._jitter = jitter
        self._starting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen from the return of this on. Raises `StoreUnavailable`."""
        async with self._starting:
            if self._task is None or self._task.done():
                connection, lost = await self._listen()
                self._task = asyncio.create_task(self._keep(connection, lost), name="aauthkit-store-wakeups")

    async def close(self) -> None:
        """Stop listening."""
        async with self._starting:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])

    async def _listen(self) -> tuple[Any, asyncio.Event]:
        lost = asyncio.Event()
        connection: Any = None
        try:
            connection = await self._connect()
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, self._heard)
        except DRIVER_ERRORS as error:
            failure: StoreError = failure_of(error, "LISTEN")
        except BaseException:
            if connection is not None:
                connection.terminate()
            raise
        else:
            return connection, lost
        if connection is not None:
            connection.terminate()
        raise failure

    def _heard(self, _connection: object, _process: int, _channel: str, text: str) -> None:
        channel, _, payload = text.partition("\n")
        self._wakeups.deliver(channel, payload)

    async def _keep(self, connection: Any, lost: asyncio.Event) -> None:
        try:
            while True:
                await self._until_lost(connection, lost)
                connection.terminate()
                log.warning("wake-ups of other processes are not heard: the connection was lost, connecting again")
                connection, lost = await self._listen_again()
                log.info("wake-ups of other processes are heard again")
                self._wakeups.missed()
        finally:
            connection.terminate()

    async def _until_lost(self, connection: Any, lost: asyncio.Event) -> None:
        while not lost.is_set():
            try:
                async with asyncio.timeout(self._heartbeat_seconds):
                    await lost.wait()
            except TimeoutError:
                try:
                    await connection.fetchval("SELECT 1", timeout=_ANSWER_SECONDS)
                except DRIVER_ERRORS:
                    return

    async def _listen_again(self) -> tuple[Any, asyncio.Event]:
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._listen()
            except StoreError:
                await asyncio.sleep(pause * (0.5 + self._jitter()))
                pause = min(2 * pause, _LONGEST_PAUSE)
