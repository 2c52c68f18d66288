"""Discovery as tests build it, and what they ask of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from aauthkit.discovery import Discovery, DiscoveryFailed
from aauthkit.egress import Egress, Http, Resolver
from aauthkit.protocol.tokens import AGENT_DWK
from tests.plugins.tls import Clock, Internet

Discover = Callable[..., Discovery]


async def refused(discovery: Discovery, iss: Any, kid: str = "kid", dwk: str = AGENT_DWK) -> DiscoveryFailed:
    """How discovery refuses to give that key."""
    with pytest.raises(DiscoveryFailed) as caught:
        await discovery.key(iss, dwk, kid)
    return caught.value


class Answers:
    """A resolver that gives its answers one after another, the last for ever, and notes what it was asked."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture
async def discover(internet: Internet, clock: Clock) -> AsyncIterator[Discover]:
    """Makes a `Discovery` on this internet and clock; `egress` and `resolver` as of `Http`, the rest as of `Discovery`.

    Call it once the servers are started. No name outside the internet has an address.
    """
    async with AsyncExitStack() as stack:

        def make(egress: Egress | None = None, resolver: Resolver = lambda *_: [], **more: Any) -> Discovery:
            http = Http(egress or internet.egress(), resolver=resolver)
            stack.push_async_callback(http.aclose)
            discovery = Discovery(http, **{"clock": clock, "jitter": lambda: 0.0, "fetch_seconds": 30.0, **more})
            stack.push_async_callback(discovery.aclose)
            return discovery

        yield make
