"""What an agent does, told as it happens: for a program or a person that follows a call. No event holds a token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Sent:
    """A request was signed and is on its way; `level` is the kind of token it presents."""

    method: str
    url: str = field(repr=False)
    level: str
    to: str


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer came: its status, and what it asks for or refuses, if anything."""

    status: int
    by: str
    requirement: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Obtained:
    """A token was issued to this agent and verified: its type and its claims."""

    typ: str
    by: str
    claims: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Carried:
    """A resource token was verified and is taken to the person server: its claims."""

    to: str
    claims: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody decides. `requirement` is as in the 202, or `None`; `status` is `pending` or `interacting`."""

    on: str
    requirement: str | None
    status: str


Event = Sent | Answered | Obtained | Carried | Waiting
Watch = Callable[[Event], None]


def unwatched(_event: Event) -> None:
    """For a call that nobody follows."""
