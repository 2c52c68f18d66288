"""What strangers may cost: anybody can ask to be enrolled, so how often and how much is bounded.

In memory, each process for itself, except for the number of open requests, which is on record.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from ..protocol.problems import Problem

IPV6_CUSTOMER: Final = 64
"""Bits of an IPv6 address that count as one asker: what follows them is the customer's to choose."""
MAX_SUBJECTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one provider. "Of one network" is an IPv4 address or an IPv6 /64."""

    open_requests: int = 1000
    """Enrolments that wait for a person at once."""
    open_per_network: int = 10
    """The same, of one network."""
    nonces: int = 10_000
    """Nonces given out and not yet used or expired."""
    asks_per_minute: int = 60
    """Requests for a nonce or an enrolment, of one network."""
    refreshes_per_minute: int = 30
    """Agent tokens for one agent."""


def network_of(peer: str | None) -> str:
    """Whom an address counts as; all that show none are one."""
    try:
        address = ip_address((peer or "").partition("%")[0])
    except ValueError:
        return (peer or "")[:64]
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return str(IPv6Address(int(address) >> IPV6_CUSTOMER << IPV6_CUSTOMER))
        address = address.ipv4_mapped
    return str(address)


class Pace:
    """How often each subject may come: `per_minute` at once, and as many in every minute that follows."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._apart = 60 / per_minute
        self._clock = clock
        self._paid: dict[str, float] = {}
        """Until when each subject has used up its share: a minute ahead at most."""

    def admit(self, subject: str) -> None:
        """Return and count, or raise `Problem` 429 with the seconds to wait."""
        now = self._clock()
        paid = min(max(self._paid.pop(subject, now), now), now + 60)
        wait = round(paid + self._apart - now - 60, 3)
        if wait <= 0:
            paid += self._apart
        if len(self._paid) >= MAX_SUBJECTS:
            del self._paid[next(iter(self._paid))]  # whoever came longest ago
        self._paid[subject] = paid
        if wait > 0:
            raise Problem("rate_limited", retry_after=math.ceil(wait))
