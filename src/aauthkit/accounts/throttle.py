"""How long one must wait after wrong passwords: for an account, and for the address they came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from .names import fold_name

FORGOTTEN_AFTER: Final = 4 * 3600
"""Seconds after which nothing is left of what was counted, whatever it was."""
LONGEST_WAIT: Final = 900
"""Longest wait, in seconds."""
IPV6_NETWORK: Final = 64
"""Bits of an IPv6 address that count: what follows them is the customer's to choose."""


@dataclass(frozen=True, slots=True)
class Limit:
    """`free` failures cost nothing, each after them doubles the wait; one is forgotten every `forgets_in` seconds."""

    free: int
    forgets_in: int

    def wait_after(self, failures: int) -> int:
        """Seconds to wait after this many failures."""
        beyond = failures - self.free
        return 0 if beyond <= 0 else min(2 ** min(beyond, 16), LONGEST_WAIT)

    def left(self, failures: int, since: int, now: int) -> tuple[int, int]:
        """What is left at `now` of the failures counted at `since`, and the moment from which the next is forgotten."""
        forgotten = max(now - since, 0) // self.forgets_in
        if forgotten >= failures:
            return 0, now
        return failures - forgotten, since + forgotten * self.forgets_in


ACCOUNT: Final = Limit(free=5, forgets_in=600)
ADDRESS: Final = Limit(free=30, forgets_in=60)


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is counted, and by which limit. Kept as a hash: people type passwords into the field for the name."""

    key: str
    limit: Limit


def _hashed(kind: str, value: str) -> str:
    return hashlib.sha256(f"{kind}\0{value}".encode("utf-8", "surrogatepass")).hexdigest()


def account_subject(name: str) -> Subject:
    """The account that somebody tries to enter, whether it exists or not."""
    return Subject(_hashed("account", fold_name(name[:1024])), ACCOUNT)


def address_subject(peer: str | None) -> Subject:
    """Where an attempt comes from; all that show no address are one."""
    return Subject(_hashed("address", _network(peer or "")), ADDRESS)


def _network(peer: str) -> str:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer[:256]
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(int(address) >> (128 - IPV6_NETWORK))


def in_words(seconds: int) -> str:
    """A wait as people say it."""
    if seconds < 60:
        return f"{seconds} second{'' if seconds == 1 else 's'}"
    minutes = -(-seconds // 60)
    return f"{minutes} minute{'' if minutes == 1 else 's'}"
