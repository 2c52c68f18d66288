"""A person's sentence as an order: how many of what, and by when. No model is asked; numbers and words are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

EXAMPLE: Final = "120 laptops, 60 monitors and 200 docks within 4 weeks"
MAX_PROMPT: Final = 400
"""Longest sentence that is read, in characters."""
MAX_ITEMS: Final = 6
MAX_QUANTITY: Final = 100_000
_NUMBERED: Final = re.compile(r"\b(\d[\d']{0,8})\s+([^\W\d_]+)")
_DAYS: Final = {"day": 1, "week": 7, "month": 30}


class NotUnderstood(Exception):
    """A sentence that holds no order; the message says how one is said."""


@dataclass(frozen=True, slots=True)
class Line:
    """Some of one item, as it was called."""

    item: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be bought, and within how many days, if that was said."""

    lines: tuple[Line, ...]
    within_days: int | None = None

    def in_words(self) -> str:
        """As a sentence."""
        what = ", ".join(f"{line.quantity} × {line.item}" for line in self.lines)
        return what if self.within_days is None else f"{what}, within {self.within_days} days"


def read_prompt(prompt: str) -> Order:
    """The order in a sentence. Raises `NotUnderstood`."""
    if len(prompt) > MAX_PROMPT:
        raise NotUnderstood(f"That is more than {MAX_PROMPT} characters. Say how many of what, and by when.")
    wanted: dict[str, int] = {}
    within: int | None = None
    for digits, word in _NUMBERED.findall(prompt):
        number, name = int(digits.replace("'", "")), _singular(word.lower())
        if name in _DAYS:
            within = number * _DAYS[name]
        elif number:
            wanted[name] = wanted.get(name, 0) + number
    if not wanted:
        raise NotUnderstood("No number of anything stands there. Say it like this: 200 laptops within 3 weeks.")
    if len(wanted) > MAX_ITEMS or max(wanted.values()) > MAX_QUANTITY:
        raise NotUnderstood(f"That is too much at once: at most {MAX_ITEMS} kinds of thing, {MAX_QUANTITY:,} of each.")
    return Order(tuple(Line(item, quantity) for item, quantity in wanted.items()), within)


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
