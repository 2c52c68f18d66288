"""What earlier decisions say of a new request: pure, so that the rules can be read and tested in one place.

A decision is remembered for one person, agent, resource, account and scope, with what was asked and what was granted
then (draft-11 §6.7.1, §11.11). A request that asks no more than what was asked then is answered with what was
granted; anything beyond it, and what of it was left out where nothing else is asked for, is for the person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["identity", "scope", "mission", "update", "completion", "permission", "question", "relay"]
"""`identity`: may the agent act there as this person (draft-11 §7.1). `scope`: what it may do there (§7.2).

The rest issue no token: a mission proposed, updated, completed (§8), a permission (§7.7), a question, a relay (§7.6).
"""
TOKENS: Final = ("identity", "scope")
"""The kinds that a token answers."""
Memory = Literal["once", "today", "kept"]
"""For how long: one grant, a day, or until the person takes it back."""

IDENTITY: Final = frozenset({"identity"})
"""What a decision of kind `identity` is about, in the place of scope values."""
DAY: Final = 24 * 3600
"""Seconds that `today` lasts, and that a grant for `once` waits to be used."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A decision on record that was not taken back. Times are seconds since the epoch.

    For `once`, the first token issued sets `key` (its thumbprint) and `ends` (its expiry).
    """

    id: str
    asked: frozenset[str]
    granted: frozenset[str]
    memory: Memory
    decided: int
    key: str | None = None
    ends: int | None = None

    def is_over(self, now: float) -> bool:
        """Whether the time it was given for has passed."""
        if self.memory == "kept":
            return False
        return now >= (self.ends if self.memory == "once" and self.ends is not None else self.decided + DAY)

    def holds(self, now: float, key: str) -> bool:
        """Whether this decision may still answer a request under the agent's key of thumbprint `key`."""
        return not self.is_over(now) and (self.memory != "once" or self.key in (None, key))

    @property
    def unused(self) -> bool:
        """Whether this is one grant for which no token was issued yet."""
        return self.memory == "once" and self.ends is None


@dataclass(frozen=True, slots=True)
class Covered:
    """A request that needs no question: what is granted, by which decisions, and until when at the latest."""

    granted: frozenset[str]
    by: tuple[Standing, ...]

    @property
    def ends(self) -> int | None:
        """The expiry of the first token of a grant for once, which no later one may exceed; `None` for no bound."""
        bounds = [decision.ends for decision in self.by if decision.memory == "once" and decision.ends is not None]
        return min(bounds, default=None)

    @property
    def unused(self) -> tuple[str, ...]:
        """The grants for once that the next token uses up."""
        return tuple(decision.id for decision in self.by if decision.unused)


def weigh(asked: frozenset[str], decisions: Sequence[Standing], now: float, key: str) -> Covered | None:
    """What `decisions`, newest first, say of `asked`; `None` where the person has to be asked.

    Each value is settled by the newest decision that was about it, so that a later, smaller answer is not undone by an
    earlier one. A value that was left out then is left out again beside what was granted; a request of which nothing
    would be left asks for just that, which nobody said no to, and is for the person.
    """
    granted: set[str] = set()
    by: dict[str, Standing] = {}
    held = [decision for decision in decisions if decision.holds(now, key)]
    for value in asked:
        decision = next((one for one in held if value in one.asked), None)
        if decision is None:
            return None
        if value in decision.granted:
            granted.add(value)
            by[decision.id] = decision
    if asked and not granted:
        return None
    return Covered(frozenset(granted), tuple(by.values()))


@dataclass(frozen=True, slots=True)
class Revised:
    """What is left of an earlier decision after a later one; nothing granted is nothing left."""

    id: str
    asked: frozenset[str]
    granted: frozenset[str]


def revise(decisions: Sequence[Standing], asked: frozenset[str], granted: frozenset[str]) -> tuple[Revised, ...]:
    """How a new answer changes what was remembered before.

    What the person unticked is forgotten wherever it was allowed. A refusal ends the earlier answers to the same
    question that allowed any of it; refusing a larger one leaves the smaller as it was.
    """
    if granted:
        declined = asked - granted
        touched = [decision for decision in decisions if decision.asked & declined]
        return tuple(Revised(one.id, one.asked - declined, one.granted - declined) for one in touched)
    return tuple(
        Revised(one.id, frozenset(), frozenset()) for one in decisions if asked <= one.asked and asked & one.granted
    )
