"""What strangers may cost: anybody can ask to be enrolled, so how often and how much is bounded.

How often is kept in memory, by each process for itself; the number of open requests is on record.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

IPV6_CUSTOMER: Final = 64
"""Bits of an IPv6 address that count as one asker: what follows them is the customer's to choose."""


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
