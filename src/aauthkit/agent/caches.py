"""What an agent holds: its tokens, each in its place, and when one is too old to be presented.

draft-11 §7.1 (caching), §7.9.1 (margin), §9.4.2. A place is everything that tells two tokens apart, so that no token
for one person, resource or key is ever found where another's is looked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Generic, Literal, TypeVar

from ..outbound import Credential
from ..protocol.jose import SigningKey
from ..protocol.tokens import AgentToken, AuthToken, PersonToken

Level = Literal["agent", "person", "grant"]

MARGIN: Final = 300
"""Seconds before its end at which a token is renewed (draft-11 §7.9.1); a quarter of its lifetime if that is less."""
MAX_PLACES: Final = 4096
"""Most places that are remembered; those filled longest ago make room."""


def fresh(iat: int, exp: int, now: float) -> bool:
    """Whether a token may still be presented: its end is farther off than the margin (draft-11 §7.9.1)."""
    return now < exp - min(MARGIN, (exp - iat) / 4)


@dataclass(frozen=True, slots=True)
class Held:
    """A token of this agent with the key it is bound to: what a request is signed with.

    `asked` is the scope that was asked for when an auth token was granted.
    """

    level: Level
    token: AgentToken | PersonToken | AuthToken
    credential: Credential = field(repr=False)
    asked: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, token: AgentToken | PersonToken | AuthToken, key: SigningKey, asked: frozenset[str] = frozenset()
    ) -> Held:
        """`token`, which carries `key` in `cnf`."""
        level: Level = (
            "agent" if isinstance(token, AgentToken) else "person" if isinstance(token, PersonToken) else "grant"
        )
        return cls(level, token, Credential.from_token(key, token.raw), asked)

    @property
    def key(self) -> SigningKey:
        """The key the token is bound to."""
        return self.credential.key

    @property
    def granted(self) -> frozenset[str]:
        """The scope of an auth token; empty for any other."""
        return self.token.scope if isinstance(self.token, AuthToken) else frozenset()

    def fresh(self, now: float) -> bool:
        """Whether it may still be presented."""
        return fresh(self.token.iat, self.token.exp, now)

    def alive(self, now: float) -> bool:
        """Whether it has not expired."""
        return now < self.token.exp


@dataclass(frozen=True, slots=True)
class PersonPlace:
    """Where a person token belongs: it names one resource, and one mission at most (draft-11 §7.1)."""

    key: str
    person_server: str
    upstream: str | None = field(repr=False)
    resource: str
    mission: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an auth token belongs.

    `key` is the thumbprint of the signing key; `upstream` the exact token on whose behalf the call is made, or `None`.
    """

    key: str
    person_server: str
    upstream: str | None = field(repr=False)
    resource: str
    account: str | None = None
    mission: str | None = None

    @property
    def person(self) -> PersonPlace:
        """The place of the person token that this place's auth tokens are obtained with."""
        return PersonPlace(self.key, self.person_server, self.upstream, self.resource, self.mission)


def covers(held: Held, scope: frozenset[str], account: str | None) -> bool:
    """Whether an auth token is for this account and opens all of this scope."""
    return scope <= held.granted and getattr(held.token, "account", None) == account


P = TypeVar("P")
T = TypeVar("T")


class _Shelf(Generic[P, T]):
    """One current token in each place."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[P, T] = {}
        self._lock = threading.Lock()

    def get(self, place: P) -> T | None:
        return self._held.get(place)

    def put(self, place: P, held: T) -> None:
        with self._lock:
            self._held.pop(place, None)
            self._held[place] = held
            while len(self._held) > self._limit:
                del self._held[next(iter(self._held))]

    def drop(self, place: P, held: T) -> None:
        with self._lock:
            if self._held.get(place) is held:
                del self._held[place]

    def clear(self, mission: str) -> None:
        """Forget everything that belongs to a mission."""
        with self._lock:
            for place in [place for place in self._held if getattr(place, "mission", None) == mission]:
                del self._held[place]


@dataclass(frozen=True, slots=True)
class Session:
    """A resource's own session token, opaque here, and the level of the token it came for (draft-11 §6.3)."""

    token: str = field(repr=False)
    level: Level


@dataclass(frozen=True, slots=True)
class SessionPlace:
    """Where a session token belongs: it is the agent's, whatever key it signs with."""

    person_server: str
    upstream: str | None = field(repr=False)
    resource: str
    account: str | None
    mission: str | None

    @classmethod
    def of(cls, place: Place) -> SessionPlace:
        """The one of all places that differ in the key only."""
        return cls(place.person_server, place.upstream, place.resource, place.account, place.mission)


def _keyless(place: Place) -> Place:
    """The same place, under whatever key."""
    return replace(place, key="")


def _unshared(_place: Place, _held: Held) -> None:
    """For tokens that are nowhere else."""


class Wallet:
    """The tokens of one agent: for a person, granted, and of resources. Looking one up is plain, from any thread.

    `forget` is told of a token that a server refused.
    """

    def __init__(self, limit: int = MAX_PLACES, forget: Callable[[Place, Held], None] = _unshared) -> None:
        self._forget = forget
        self._shown: _Shelf[PersonPlace, bool] = _Shelf(limit)
        self._asked: _Shelf[Place, frozenset[str]] = _Shelf(limit)
        self._persons: _Shelf[PersonPlace, Held] = _Shelf(limit)
        self._grants: _Shelf[Place, Held] = _Shelf(limit)
        self._sessions: _Shelf[SessionPlace, Session] = _Shelf(limit)

    def session(self, place: Place) -> Session | None:
        """The session token of the resource, if it gave one."""
        return self._sessions.get(SessionPlace.of(place))

    def keep_session(self, place: Place, session: Session) -> None:
        """Put a session token in its place, instead of the one that was there."""
        self._sessions.put(SessionPlace.of(place), session)

    def drop_session(self, place: Place, session: Session) -> None:
        """Forget a session token that the resource refused, if it is still the current one."""
        self._sessions.drop(SessionPlace.of(place), session)

    def person(self, place: Place, now: float) -> Held | None:
        """The person token to present at `place`, if there is one that is not about to end."""
        return _presentable(self._persons.get(place.person), now)

    def grant(self, place: Place, now: float) -> Held | None:
        """The current auth token of `place`, if it is not about to end."""
        return _presentable(self._grants.get(place), now)

    def knows(self, place: Place) -> bool:
        """Whether this resource was ever shown for whom the agent acts, so that it is begun with at once."""
        return self._shown.get(_keyless(place).person) is not None

    def asked(self, place: Place) -> frozenset[str]:
        """The scope that the last auth token of `place` was asked with, whichever key it was bound to; or nothing."""
        return self._asked.get(_keyless(place)) or frozenset()

    def unask(self, place: Place) -> None:
        """Forget that scope: it is not given any more."""
        self._asked.put(_keyless(place), frozenset())

    def keep(self, place: Place, held: Held) -> None:
        """Put a token in its place, instead of the one that was there."""
        if held.level == "grant":
            self._grants.put(place, held)
            self._asked.put(_keyless(place), held.asked)
        elif held.level == "person":
            self._persons.put(place.person, held)
            self._shown.put(_keyless(place).person, True)

    def drop(self, place: Place, held: Held) -> None:
        """Forget a token that a server refused, if it is still the current one."""
        self._grants.drop(place, held)
        self._persons.drop(place.person, held)
        self._forget(place, held)

    def end_mission(self, mission: str) -> None:
        """Forget every token of a mission: it is over (draft-11 §8.8)."""
        for shelf in (self._persons, self._grants, self._sessions):
            shelf.clear(mission)


def _presentable(held: Held | None, now: float) -> Held | None:
    return held if held is not None and held.fresh(now) else None
