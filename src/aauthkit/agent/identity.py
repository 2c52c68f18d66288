"""The agent's own keys and its agent tokens, renewed in time and once for all who need one (draft-11 §5.3, §7.9.1).

A key signs for as long as its agent token serves. The next token is for a new key, unless something is bound to the
present one: a pending request, a request that a resource holds, or a challenge that is being met. Whoever began with a
key goes on with it to the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any
from weakref import WeakValueDictionary

from ..protocol.jose import SigningKey
from ..protocol.tokens import AgentToken
from .caches import Held
from .connections import Connections
from .errors import AAuthError
from .flights import Flights
from .shared import PROVIDER_PATIENCE, Shared
from .spans import token_request
from .waits import Waits

Refresh = Callable[[Connections, SigningKey], Awaitable[AgentToken]]
"""Obtains an agent token for a key from the provider. Raises `AAuthError`."""


def _alone(shared: Shared | None) -> AbstractAsyncContextManager[Any]:
    """Around a request to the provider: no other process makes one meanwhile."""
    return shared.alone("agent", limit=PROVIDER_PATIENCE) if shared is not None else nullcontext()


class Identity:
    """Who the agent is under one key, to everybody but its provider: the key, and the agent token that carries it."""

    def __init__(
        self,
        key: SigningKey,
        refresh: Refresh,
        flights: Flights,
        clock: Callable[[], float],
        shared: Shared | None = None,
    ) -> None:
        self.key = key
        self._refresh = refresh
        self._flights = flights
        self._clock = clock
        self._shared = shared
        self._held: Held | None = None
        self._bound: set[int] = set()

    def now(self) -> Held | None:
        """The agent token to present, if there is one that is not about to end. Plain; never waits."""
        held = self._held
        return held if held is not None and held.fresh(self._clock()) else None

    @property
    def is_new(self) -> bool:
        """Whether this key never had an agent token here."""
        return self._held is None

    @property
    def is_alive(self) -> bool:
        """Whether its agent token has not expired."""
        return self._held is not None and self._held.alive(self._clock())

    async def held(self, connections: Connections) -> Held:
        """The agent token to present, renewed if it is about to end. Raises `AgentTokenUnavailable`.

        While the provider gives none, one that has not expired goes on serving.
        """
        held = self.now()
        if held is not None:
            return held
        try:
            return await self._renewed(connections, None)
        except AAuthError:
            held = self._held
            if held is not None and held.alive(self._clock()):
                return held
            raise

    async def renew(self, refused: Held, connections: Connections) -> Held:
        """Another agent token than the one that a server refused."""
        held = self.now()
        return held if held is not None and held is not refused else await self._renewed(connections, refused)

    async def _renewed(self, connections: Connections, refused: Held | None) -> Held:
        async def run() -> Held:
            async with _alone(self._shared):
                return self.recall(refused) or await self.obtain(connections)

        with token_request("agent"):
            return await self._flights.share(("agent", self.key.kid), run)

    def recall(self, refused: Held | None = None) -> Held | None:
        """The agent token that another process had for this key meanwhile, if it is not the one that was refused."""
        found = self._shared.find_agent(self.key) if self._shared is not None else None
        if found is None or (refused is not None and found.token.raw == refused.token.raw):
            return None
        self._held = found
        return found

    async def obtain(self, connections: Connections) -> Held:
        """An agent token from the provider, whatever there is already. Raises `AgentTokenUnavailable`."""
        self._held = Held.of(await self._refresh(connections, self.key), self.key)
        if self._shared is not None:
            self._shared.keep(self._held)
        return self._held

    # What is bound to the key.

    @property
    def is_bound(self) -> bool:
        """Whether a call is meeting a challenge or waiting under this key."""
        return bool(self._bound)

    def bind(self, call: object) -> None:
        """Note that a call cannot go on under another key."""
        self._bound.add(id(call))

    def release(self, call: object) -> None:
        """The call is over."""
        self._bound.discard(id(call))


class Identities:
    """The agent under the key that signs now, and under those that something is still bound to.

    `make` gives the identity of a key, `generate` a new key.
    """

    def __init__(
        self,
        first: SigningKey,
        make: Callable[[SigningKey], Identity],
        generate: Callable[[], SigningKey],
        waits: Waits,
        flights: Flights,
        shared: Shared | None = None,
    ) -> None:
        self._make = make
        self._generate = generate
        self._waits = waits
        self._flights = flights
        self._shared = shared
        self._known: WeakValueDictionary[str, Identity] = WeakValueDictionary()
        self.current = self.of(first)

    def of(self, key: SigningKey) -> Identity:
        """The agent under this key."""
        found = self._known.get(key.kid)
        if found is None:
            found = self._known[key.kid] = self._make(key)
        return found

    def now(self) -> Identity | None:
        """What a call begins with now; `None`: `begin` is awaited first. Plain; never waits."""
        current = self.current
        if current.now() is not None or self._is_bound(current):
            return current
        return current if current.is_new and self._shared is None else None

    def known(self) -> Identity:
        """The agent as far as is known without asking anybody, by other processes too."""
        current = self.current
        if self._shared is not None and current.now() is None and not self._is_bound(current):
            self._adopted()
        return self.current

    def _adopted(self) -> Identity | None:
        """The agent under the key that other processes sign with, if it has a token; it is the current one then."""
        kept = self._shared.current() if self._shared is not None else None
        if kept is None:
            return None
        known = self.of(kept)
        if known.now() is not None or known.recall() is not None:
            self.current = known
        return known

    async def begin(self, connections: Connections) -> Identity:
        """What a call begins with, its agent token renewed if it is about to end. Raises `AgentTokenUnavailable`.

        That is when the key changes. While the provider gives no token, the key that has one goes on serving.
        """

        async def run() -> Identity:
            before = self.now()
            if before is not None:
                return before
            async with _alone(self._shared):
                return await self._changed(connections)

        with token_request("agent"):
            return await self._flights.share(("agent",), run)

    async def _changed(self, connections: Connections) -> Identity:
        before = self.current
        known = self._adopted()
        if known is not None:
            if known is self.current and known.now() is not None:
                return known
            if before.is_new or not before.is_alive:
                before = known
        goes_on = (before.is_new and known is None) or self._is_bound(before)
        following = before if goes_on else self.of(self._generate())
        try:
            await following.obtain(connections)
        except AAuthError:
            if self.current.is_alive:
                return self.current
            raise
        self.current = following
        if self._shared is not None:
            self._shared.make_current(following.key)
        return following

    def _is_bound(self, identity: Identity) -> bool:
        return identity.is_bound or self._waits.binds(identity.key.kid)
