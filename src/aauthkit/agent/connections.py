"""How an agent reaches others from one event loop: HTTP client, discovery and signed calls of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from ..discovery import Discovery
from ..egress import Egress, Http, read_url
from ..outbound import MAX_ANSWER, Credential, Outbound
from ..protocol.identifiers import origin_of
from ..protocol.messages import Answer
from .clocks import Clocks


class AgentHttp(Http):
    """An `Http` that reaches the hosts which the agent's user chose at whatever address they have.

    The check of addresses keeps strangers from pointing a party at its own network (Signature-Keys §7.3). A resource
    that the user calls, and the person server and provider the agent was set up with, are no strangers; every other
    host, such as one that a document names, is checked.
    """

    def __init__(self, egress: Egress, chosen: set[str]) -> None:
        super().__init__(egress)
        self._chosen = chosen

    async def send(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        timeout: float = 10.0,
        limit: int = MAX_ANSWER,
        guarded: bool = True,
    ) -> Answer:
        """As `Http.send`; `guarded` holds for every host but the chosen ones."""
        guarded = guarded and read_url(url, self.egress.loopback).host not in self._chosen
        return await super().send(method, url, headers, body, timeout=timeout, limit=limit, guarded=guarded)


class AgentOutbound(Outbound):
    """An `Outbound` that signs once more where this machine's clock was what made a signature fail."""

    def __init__(self, http: Http, clocks: Clocks, **settings: Any) -> None:
        super().__init__(http, **settings)
        self._clocks = clocks

    def time_at(self, url: str) -> float:
        """The time at the origin of `url`, as far as is known."""
        return self._clocks.at(origin_of(url))

    async def call(self, method: str, url: str, credential: Credential, **settings: Any) -> Answer:
        """As `Outbound.call`."""
        answer = await super().call(method, url, credential, **settings)
        if self._clocks.learn(answer, url, safe=method == "GET"):
            answer = await super().call(method, url, credential, **settings)
        return answer


@dataclass(eq=False)
class Connections:
    """What belongs to one event loop. What was discovered stays known when the connections are closed."""

    http: Http
    discovery: Discovery
    outbound: Outbound
    users: set[int] = field(default_factory=set)

    async def aclose(self) -> None:
        """Close every connection; the next request opens new ones."""
        await self.discovery.aclose()
        await self.http.aclose()


class Exchange:
    """The connections of one agent, for each event loop that it is used on; closed when their last user leaves."""

    def __init__(
        self,
        egress: Egress,
        *,
        clocks: Clocks | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        nonce: Callable[[], str],
    ) -> None:
        self.egress = egress
        self.clocks = clocks or Clocks(clock)
        self._clock = clock
        self._sleep = sleep
        self._nonce = nonce
        self._chosen: set[str] = set()
        self._lock = threading.Lock()
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Connections] = WeakKeyDictionary()

    def choose(self, host: str) -> None:
        """Note that the agent's user chose this host."""
        self._chosen.add(host)

    def enter(self, user: Any) -> Connections:
        """The connections of the running event loop, kept open until `user` leaves."""
        loop = asyncio.get_running_loop()
        with self._lock:
            found = self._by_loop.get(loop)
            if found is None:
                self._forget_closed_loops()
                http = AgentHttp(self.egress, self._chosen)
                discovery = Discovery(http, clock=self._clock)
                outbound = AgentOutbound(http, self.clocks, sleep=self._sleep, nonce=self._nonce)
                found = self._by_loop[loop] = Connections(http, discovery, outbound)
            found.users.add(id(user))
            return found

    def _forget_closed_loops(self) -> None:
        for loop in [loop for loop in self._by_loop if loop.is_closed()]:
            del self._by_loop[loop]  # what is kept for a loop may keep the loop, so nothing else would

    async def leave(self, user: Any) -> None:
        """`user` needs the running loop's connections no longer."""
        with self._lock:
            found = self._by_loop.get(asyncio.get_running_loop())
            if found is None or id(user) not in found.users:
                return
            found.users.discard(id(user))
            last = not found.users
        if last:
            await found.aclose()
