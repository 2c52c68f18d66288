"""Who waits for what in this process, and how a wake-up reaches them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress

from .errors import StoreError, StoreUnavailable

LOOK_AGAIN = ""
"""The payload that says: something may have happened here, look at the records."""

MOST_PAYLOAD = 4_000
"""Bytes of UTF-8 in one payload; PostgreSQL carries less than 8,000 with the channel."""
MOST_CHANNEL = 500
"""Bytes of UTF-8 in the name of a channel."""
MOST_WAITING = 256
"""Payloads kept for one subscriber who does not fetch them; beyond it they become one `LOOK_AGAIN`."""


def check_wakeup(channel: str, payload: str = LOOK_AGAIN) -> None:
    """Refuse what one of the engines could not carry. Raises `StoreError`."""
    try:
        sizes = len(channel.encode()), len(payload.encode())
    except UnicodeEncodeError:
        sizes = 0, 0
    if not 0 < sizes[0] <= MOST_CHANNEL or sizes[1] > MOST_PAYLOAD or "\n" in channel or "\0" in channel + payload:
        raise StoreError(
            f"a channel is one line of 1 to {MOST_CHANNEL} bytes, a payload at most {MOST_PAYLOAD}, in UTF-8, no NUL"
        )


class Waiting:
    """One subscriber (a `Subscription`): what arrived since it last waited."""

    def __init__(self) -> None:
        self._payloads: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._closed = False

    async def wait(self, timeout: float | None = None) -> list[str]:
        """The payloads since the last wait; empty after `timeout` seconds. Raises `StoreUnavailable` when closed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        if self._closed:
            raise StoreUnavailable("the database was closed")
        payloads = list(self._payloads)
        self._payloads.clear()
        self._woken.clear()
        return payloads

    def wake(self, payload: str) -> None:
        """Keep `payload` for the next wait, or end the one that is under way."""
        if len(self._payloads) >= MOST_WAITING:
            self._payloads = {LOOK_AGAIN: None}
        self._payloads[payload] = None
        self._woken.set()

    def close(self) -> None:
        """End this and every later wait with `StoreUnavailable`."""
        self._closed = True
        self._woken.set()


class Wakeups:
    """The subscribers of this process, by channel."""

    def __init__(self) -> None:
        # By the one payload that a subscriber waits for: ten thousand who wait for others cost a wake-up nothing.
        self._waiting: defaultdict[str, defaultdict[str | None, set[Waiting]]]
        self._waiting = defaultdict(lambda: defaultdict(set))

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, channel: str, only: str | None = None) -> Waiting:
        """A new subscriber, who hears from now on; of one payload, if it is named, and of what may have been missed."""
        waiting = Waiting()
        self._waiting[channel][only].add(waiting)
        return waiting

    def remove(self, channel: str, waiting: Waiting, only: str | None = None) -> None:
        """Forget a subscriber."""
        subscribers = self._waiting[channel]
        subscribers[only].discard(waiting)
        if not subscribers[only]:
            del subscribers[only]
        if not subscribers:
            del self._waiting[channel]

    def deliver(self, channel: str, payload: str) -> None:
        """Wake those who wait on this channel for this payload, or for any; `LOOK_AGAIN` is for everybody."""
        subscribers = self._waiting.get(channel)
        if subscribers is None:
            return
        concerned = list(subscribers) if payload == LOOK_AGAIN else [None, payload]
        for waiting in [waiting for only in concerned for waiting in subscribers.get(only, ())]:
            waiting.wake(payload)

    def missed(self) -> None:
        """Wake everybody: some wake-ups may have been lost."""
        for waiting in self._everybody():
            waiting.wake(LOOK_AGAIN)

    def close(self) -> None:
        """End every wait."""
        for waiting in self._everybody():
            waiting.close()

    def _everybody(self) -> list[Waiting]:
        channels = self._waiting.values()
        return [waiting for subscribers in channels for some in subscribers.values() for waiting in some]
