"""The agent's own key and its agent token, renewed in time and once for all who need it (draft-11 §5.3, §7.9.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..protocol.jose import SigningKey
from ..protocol.tokens import AgentToken
from .caches import Held
from .connections import Connections
from .errors import AAuthError
from .flights import Flights

Refresh = Callable[[Connections, SigningKey], Awaitable[AgentToken]]
"""Obtains an agent token for a key from the provider. Raises `AAuthError`."""


class Identity:
    """Who the agent is, to everybody but its provider: one key, and the agent token that carries it.

    The key stays for as long as this object lives, so that no token or pending request ever loses the key it is bound
    to; a restarted agent has a new one.
    """

    def __init__(self, key: SigningKey, refresh: Refresh, flights: Flights, clock: Callable[[], float]) -> None:
        self.key = key
        self._refresh = refresh
        self._flights = flights
        self._clock = clock
        self._held: Held | None = None

    def now(self) -> Held | None:
        """The agent token to present, if there is one that is not about to end. Plain; never waits."""
        held = self._held
        return held if held is not None and held.fresh(self._clock()) else None

    async def held(self, connections: Connections) -> Held:
        """The agent token to present, renewed if it is about to end. Raises `AgentTokenUnavailable`.

        While the provider gives none, one that has not expired goes on serving.
        """
        held = self.now()
        if held is not None:
            return held
        try:
            return await self._renewed(connections)
        except AAuthError:
            held = self._held
            if held is not None and held.alive(self._clock()):
                return held
            raise

    async def renew(self, refused: Held, connections: Connections) -> Held:
        """Another agent token than the one that a server refused."""
        held = self.now()
        return held if held is not None and held is not refused else await self._renewed(connections)

    async def _renewed(self, connections: Connections) -> Held:
        async def run() -> Held:
            self._held = Held.of(await self._refresh(connections, self.key), self.key)
            return self._held

        return await self._flights.share(("agent", self.key.kid), run)
