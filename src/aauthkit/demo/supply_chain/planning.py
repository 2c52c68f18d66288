"""The plan for an order: the cheapest offers that arrive in time, and what that saves against the market's middle."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .market import Offer
from .reading import Line, Order


@dataclass(frozen=True, slots=True)
class Purchase:
    """Some of an item from one supplier: cents each, and days until they arrive."""

    item: str
    supplier: str
    quantity: int
    cents: int
    days: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to buy where. Money is in cents; `usual_cents` is what the same would cost at each item's median price."""

    purchases: tuple[Purchase, ...]
    total_cents: int
    usual_cents: int
    days: int
    missing: tuple[Line, ...] = ()

    @property
    def saved_cents(self) -> int:
        """How much less than usual."""
        return self.usual_cents - self.total_cents


def plan(order: Order, offers: Mapping[str, Sequence[Offer]]) -> Plan:
    """The cheapest way to what was ordered, from `offers` by item; what cannot be had in time is `missing`."""
    purchases: list[Purchase] = []
    missing: list[Line] = []
    usual = 0
    for line in order.lines:
        bought, left = _buy(line, offers[line.item], order.within_days)
        purchases += bought
        usual += (line.quantity - left) * median_cents(offers[line.item])
        if left:
            missing.append(Line(line.item, left))
    total = sum(one.quantity * one.cents for one in purchases)
    days = max((one.days for one in purchases), default=0)
    return Plan(tuple(purchases), total, usual, days, tuple(missing))


def _buy(line: Line, offers: Sequence[Offer], within: int | None) -> tuple[list[Purchase], int]:
    """What to take of each offer, cheapest first, and how much is still wanted then."""
    bought: list[Purchase] = []
    left = line.quantity
    in_time = [offer for offer in offers if within is None or offer.days <= within]
    for offer in sorted(in_time, key=lambda each: (each.cents, each.days, each.supplier)):
        taken = min(left, offer.available)
        if taken:
            bought.append(Purchase(line.item, offer.supplier, taken, offer.cents, offer.days))
            left -= taken
    return bought, left


def median_cents(offers: Sequence[Offer]) -> int:
    """The middle of what is asked for an item, in whole cents."""
    return int(statistics.median(offer.cents for offer in offers))
