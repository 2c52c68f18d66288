"""Tokens that were verified, by their exact bytes, so that the next request with one costs one signature less.

A verifier asks this before it reads a token. What can change while a token is remembered is asked anew each time: the
clock, a revocation, and what the endpoint takes; what cannot is not: its bytes, and so its issuer's signature.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from .callers import Agent, Grant, Person
from .protocol.tokens import AgentToken, AuthToken, PersonToken

MAX_ASSERTIONS: Final = 4096
"""Verified tokens remembered by one verifier."""
MAX_CHARACTERS: Final = 8 * 1024 * 1024
"""Their length in all, in characters. A token takes about seven times its length, with what was read from it."""


class Assertion(NamedTuple):
    """A verified token: who it proves, and while which times, in seconds since the epoch, that needs no second look."""

    token: AgentToken | PersonToken | AuthToken
    caller: Agent | Person | Grant
    typ: str
    begins: float
    ends: int

    @classmethod
    def of(cls, token: AgentToken | PersonToken | AuthToken) -> Assertion:
        """`token`, whose issuer's signature was verified."""
        caller: Agent | Person | Grant
        if isinstance(token, AgentToken):
            caller = Agent(token)
        elif isinstance(token, PersonToken):
            caller = Person(token)
        else:
            caller = Grant(token)
        return cls(token, caller, token.jwt.header["typ"], max(token.iat, token.claims.get("nbf", 0)), token.exp)


class Assertions:
    """The verified tokens of one verifier, bounded in number and in size. May be asked from any thread.

    Where no room is left, those that have ended make room, else those that came first.
    """

    def __init__(self, max_tokens: int = MAX_ASSERTIONS, max_characters: int = MAX_CHARACTERS) -> None:
        self._max_tokens = max_tokens
        self._max_characters = max_characters
        self._lock = threading.Lock()
        self._known: dict[str, Assertion] = {}
        self._characters = 0
        self.find: Final[Callable[[str], Assertion | None]] = self._known.get
        """The assertion of exactly this token, or `None` where it is not known."""

    def remember(self, assertion: Assertion, now: float) -> None:
        """Keep it until it ends, is forgotten, or has to make room."""
        raw = assertion.token.raw
        if len(raw) > self._max_characters:
            return
        with self._lock:
            if raw in self._known:
                return
            while len(self._known) >= self._max_tokens or self._characters + len(raw) > self._max_characters:
                self._make_room(now)
            self._known[raw] = assertion
            self._characters += len(raw)

    def forget(self, iss: str, jti: str) -> None:
        """Drop what is known under this name, when its revocation arrives: all are looked through, 0.3 ms at most."""
        with self._lock:
            for raw, (token, *_) in list(self._known.items()):
                if token.jti == jti and token.iss == iss:
                    self._drop(raw)

    def _make_room(self, now: float) -> None:
        ended = [raw for raw, assertion in self._known.items() if assertion.ends <= now]
        for raw in ended or list(self._known)[: max(1, len(self._known) // 8)]:
            self._drop(raw)

    def _drop(self, raw: str) -> None:
        del self._known[raw]
        self._characters -= len(raw)

    def __len__(self) -> int:
        return len(self._known)
