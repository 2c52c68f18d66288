"""The data set behind the pricing tool: who sells what, for how much, and how soon. The same for the same seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

SEED: Final = "spring"
ITEMS: Final = {"laptop": 1180, "monitor": 245, "dock": 139, "keyboard": 48, "headset": 84, "chair": 210}
"""What is traded, and about what it costs, in euros."""
SUPPLIERS: Final = ("Alder & Sons", "Bright Harbour", "Cobalt Works", "Dune Supply", "Elm Street")
WEEKS: Final = 12
"""Weeks of prices that are known."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What one supplier asks for one item: cents each, how many there are, and days until they arrive."""

    supplier: str
    cents: int
    available: int
    days: int


class Market:
    """The data set of one seed."""

    def __init__(self, seed: str = SEED) -> None:
        self._seed = seed

    def offers(self, item: str) -> tuple[Offer, ...]:
        """Every supplier's offer. Raises `KeyError` for what is not traded."""
        about = ITEMS[item]
        return tuple(
            Offer(
                supplier,
                cents=about * self._between(82, 124, item, supplier, "price"),
                available=self._between(30, 260, item, supplier, "available"),
                days=self._between(3, 33, item, supplier, "days"),
            )
            for supplier in SUPPLIERS
        )

    def weekly(self, item: str) -> tuple[int, ...]:
        """The price of an item in cents, week by week, the newest last. Raises `KeyError` for what is not traded."""
        about = ITEMS[item]
        drift = self._between(-9, 9, item, "drift")
        return tuple(
            about * (100 + drift * week // WEEKS + self._between(-2, 2, item, "week", str(week)))
            for week in range(1, WEEKS + 1)
        )

    def _between(self, low: int, high: int, *what: str) -> int:
        """A number that follows from the seed and from what it is for."""
        digest = hashlib.sha256("/".join((self._seed, *what)).encode()).digest()
        return low + int.from_bytes(digest[:8]) % (high - low + 1)
