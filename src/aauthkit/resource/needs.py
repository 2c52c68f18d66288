"""What a route needs to know of its caller, stated as a value.

The levels are a table and not an order: an auth token says who the person is, but not which agent (draft-11 §4.2.1,
§C.1.6), so it opens what needs a person and not what needs an agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from ..callers import Agent, Caller, Grant, Person, Pseudonym, Server, Session
from ..protocol.signature_key import SERVED_SCHEMES

Level = Literal["key", "server", "agent", "session", "person", "grant"]
Delivery = Literal["401", "202"]
AccountHook = Callable[[Caller], Any]
"""Turns a verified caller into the application's account, at once or as an awaitable. `None`, or a raised `Problem`,
refuses the caller; a plain function runs in a worker thread, so that it may wait for a database."""

_SERVES: Final[Mapping[Level, tuple[type, ...]]] = {
    "key": (Pseudonym,),
    "server": (Server,),
    "agent": (Agent,),
    "session": (Session,),
    "person": (Person, Grant),
    "grant": (Grant,),
}
_SCHEME: Final[Mapping[Level, str]] = {
    "key": "hwk",
    "server": "jwks_uri",
    "agent": "jwt",
    "session": "jwt",
    "person": "jwt",
    "grant": "jwt",
}
TOKEN_LEVELS: Final[tuple[Level, ...]] = ("agent", "session", "person", "grant")
"""The levels that a challenge can ask for (draft-11 §6, Table 2), least demanding first."""


class NeedsConflict(ValueError):
    """Two needs that no caller could satisfy together, or that cannot be joined; the message says which."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one route of the resource `resource` needs. Made by the methods of `Resource`; equal needs are one.

    `levels` names the kinds of caller that are served; none means that the route is open to anybody. `a | b` serves the
    callers of either and asks for those of `a`; `a & b` serves only whom both serve.
    """

    resource: str
    levels: tuple[Level, ...]
    scope: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    schemes: tuple[str, ...] = ()
    """Signature-Key schemes that are accepted, in order of preference (draft-11 §11.3.4.1)."""
    roles: frozenset[str] = frozenset()
    """Metadata documents of the servers that are served: their `dwk`."""
    digest: bool = False
    """Whether a body must be covered by the signature, through `content-digest`, and its type with it."""
    components: tuple[str, ...] = ()
    """Further components that must be covered here."""
    preflight: bool = False
    """Whether a CORS preflight for this route passes unverified."""
    account: AccountHook | None = field(default=None, repr=False)
    session_scope: frozenset[str] = frozenset()
    """What a session must carry."""
    deliver: Delivery = "401"
    """How an auth token is asked for: 401, or 202 with the call held until it comes (draft-11 §6.5.1)."""
    parts: tuple[Need, ...] = field(default=(), repr=False)
    """The needs that were joined into this one."""

    @property
    def is_open(self) -> bool:
        """Whether anybody is served, unverified."""
        return not self.levels

    @property
    def asks(self) -> Level | None:
        """The level a challenge asks for; `None` where only keys and servers are served, for which there is none."""
        return next((level for level in self.levels if level in TOKEN_LEVELS), None)

    @property
    def callers(self) -> tuple[type, ...]:
        """The types of caller that are served."""
        return tuple(dict.fromkeys(kind for level in self.levels for kind in _SERVES[level]))

    def serves(self, caller: Caller) -> bool:
        """Whether `caller` has what the route needs; scope values are compared as whole values (draft-11 §11.10)."""
        return any(self._serves_at(level, caller) for level in self.levels)

    def _serves_at(self, level: Level, caller: Caller) -> bool:
        if not isinstance(caller, _SERVES[level]):
            return False
        if level == "grant":
            return isinstance(caller, Grant) and self.scope <= caller.scope
        return level != "session" or (isinstance(caller, Session) and self.session_scope <= caller.scope)

    def includes(self, need: Need) -> bool:
        """Whether whoever passed this need has passed `need`: it is this one, or one of those joined into it."""
        return need == self or need in self.parts

    def __or__(self, other: Need) -> Need:
        self._check_same_resource(other)
        if self.is_open or other.is_open:
            raise NeedsConflict("an open route has no alternative: anybody is served already")
        for mine, theirs in ((self.scope, other.scope), (self.session_scope, other.session_scope)):
            if mine and theirs and mine != theirs:
                raise NeedsConflict(
                    "two grants of different scope are no alternatives; name what either needs as optional"
                )
        return replace(
            self._joined(other),
            levels=tuple(dict.fromkeys((*self.levels, *other.levels))),
            schemes=tuple(dict.fromkeys((*self.schemes, *other.schemes))),
            roles=self.roles | other.roles,
            parts=(),
        )

    def __and__(self, other: Need) -> Need:
        self._check_same_resource(other)
        if self == other or other.is_open:
            return self
        if self.is_open:
            return other
        met = [level for mine in self.levels for theirs in other.levels for level in _meeting(mine, theirs)]
        levels = tuple(dict.fromkeys(met))
        if not levels:
            raise NeedsConflict(f"no caller is both {' or '.join(self.levels)} and {' or '.join(other.levels)}")
        schemes = tuple(dict.fromkeys((*self.schemes, *other.schemes)))
        if not any(level in TOKEN_LEVELS for level in levels):  # there is no challenge for whom these would let in
            schemes = tuple(scheme for scheme in schemes if scheme in {_SCHEME[level] for level in levels})
        return replace(
            self._joined(other),
            levels=levels,
            schemes=schemes,
            roles=self.roles & other.roles,
            parts=tuple(dict.fromkeys((*(self.parts or (self,)), *(other.parts or (other,))))),
        )

    def _joined(self, other: Need) -> Need:
        """What is the same of two needs, whether either or both must be met."""
        return replace(
            self,
            scope=self.scope | other.scope,
            optional=(self.optional | other.optional) - self.scope - other.scope,
            session_scope=self.session_scope | other.session_scope,
            digest=self.digest or other.digest,
            components=tuple(dict.fromkeys((*self.components, *other.components))),
            preflight=self.preflight and other.preflight,
            account=self._one_account(other),
            deliver="202" if "202" in (self.deliver, other.deliver) else "401",
        )

    def _check_same_resource(self, other: Need) -> None:
        if self.resource != other.resource:
            raise NeedsConflict(f"one route cannot belong to {self.resource} and to {other.resource}")

    def _one_account(self, other: Need) -> AccountHook | None:
        if self.account is not None and other.account is not None and self.account != other.account:
            raise NeedsConflict("one route has one account hook, and two different ones are named")
        return self.account or other.account


def _meeting(left: Level, right: Level) -> tuple[Level, ...]:
    """The level of those whom both levels serve, or none."""
    if left == right:
        return (left,)
    return ("grant",) if {left, right} == {"person", "grant"} else ()


def schemes_of(level: Level, more: Iterable[str]) -> tuple[str, ...]:
    """The scheme that proves `level`, then `more`, which are accepted so that a challenge can say what is missing.

    Raises `ValueError` for a scheme that has no place at a resource.
    """
    schemes = tuple(dict.fromkeys((_SCHEME[level], *more)))
    for scheme in schemes:
        if scheme not in SERVED_SCHEMES or scheme == "jkt-jwt":
            raise ValueError(f"the Signature-Key scheme {scheme!r} is not one that a route can name")
    return schemes


def both(left: Need | None, right: Need | None) -> Need | None:
    """What must be met where each of two applies; `None` needs nothing. Raises `NeedsConflict`."""
    if left is None or right is None:
        return left or right
    return left & right
