"""Which IP addresses lie on the public internet, and which do not (Signature-Keys §7.3; RFC 6890).

The ranges are written out, so that the verdict is the same on every version of Python: its own `is_global` was changed
in maintenance releases.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_REFUSED_V4: Final = tuple(
    (IPv4Network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared (carrier-grade NAT)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "reserved"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
"""The only part of IPv6 that is handed out as global unicast; everything outside it is refused (RFC 4291 §2.4)."""
_REFUSED_V6: Final = tuple(
    (IPv6Network(network), kind)
    for network, kind in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_NEVER: Final = frozenset({"unspecified", "multicast"})
"""What no configuration can admit: nobody listens there."""


def embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one carries and leads to: mapped, NAT64 or 6to4; `None` for any other."""
    if isinstance(address, IPv4Address):
        return None
    if address in _MAPPED or address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address((int(address) >> 80) & 0xFFFFFFFF)
    return None


def kind_of(address: Address) -> str | None:
    """What keeps an address from being public (`private`, `loopback`, ...), or `None` for a public one."""
    inner = embedded(address)
    if inner is not None:
        return kind_of(inner)
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _REFUSED_V4 if address in network), None)
    named = next((kind for network, kind in _REFUSED_V6 if address in network), None)
    return named or (None if address in _GLOBAL_V6 else "reserved")


def may_reach(address: Address, networks: Iterable[Network], *, private: bool = False) -> str | None:
    """`None` if `address` may be connected to, else what it is.

    It may if it is public, lies in one of `networks`, or `private` says that its host was admitted by name.
    """
    kind = kind_of(address)
    if kind is None or kind in _NEVER:
        return kind
    inner = embedded(address)
    if private or any(address in network or (inner is not None and inner in network) for network in networks):
        return None
    return kind
