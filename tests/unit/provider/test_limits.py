"""Whom an address counts as."""

from __future__ import annotations

import pytest

from aauthkit.provider.limits import network_of


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        (None, ""),
        ("", ""),
        ("a socket", "a socket"),
        ("x" * 999, "x" * 64),
    ],
)
def test_an_address_counts_as_its_network(peer: str | None, network: str) -> None:
    assert network_of(peer) == network
