"""Which addresses are public, and what configuration may admit (Signature-Keys §7.3, fourth point)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from aauthkit.egress.addresses import embedded, kind_of, may_reach

PUBLIC = [
    "1.1.1.1",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "198.20.0.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
    "2002:101:101::1",
]

NOT_PUBLIC = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "100.64.0.1": "shared (carrier-grade NAT)",
    "100.127.255.255": "shared (carrier-grade NAT)",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "169.254.169.254": "link-local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.8": "reserved",
    "192.0.2.1": "documentation",
    "192.88.99.1": "reserved",
    "192.168.1.1": "private",
    "198.18.0.1": "reserved",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "::127.0.0.1": "reserved",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:169.254.169.254": "link-local",
    "::ffff:10.0.0.1": "private",
    "::ffff:0:127.0.0.1": "reserved",
    "64:ff9b::7f00:1": "loopback",
    "64:ff9b::a00:1": "private",
    "64:ff9b:1::1": "reserved",
    "100::1": "reserved",
    "2001::1": "reserved",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "loopback",
    "2002:a9fe:a9fe::1": "link-local",
    "3fff::1": "documentation",
    "5f00::1": "reserved",
    "fc00::1": "private",
    "fd12:3456::1": "private",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "reserved",
    "ff02::1": "multicast",
}


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_may_be_reached(text: str) -> None:
    assert kind_of(ip_address(text)) is None
    assert may_reach(ip_address(text), ()) is None


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_F27_an_address_that_is_not_public_is_named_for_what_it_is(text: str) -> None:
    assert may_reach(ip_address(text), ()) == NOT_PUBLIC[text]


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("64:ff9b::a01:203", "10.1.2.3"),
        ("2002:a01:203::1", "10.1.2.3"),
        ("2606:4700::1", None),
        ("10.1.2.3", None),
    ],
)
def test_an_ipv4_address_inside_an_ipv6_one_is_found(text: str, inner: str | None) -> None:
    found = embedded(ip_address(text))
    assert (None if found is None else str(found)) == inner


def test_a_network_admitted_by_configuration_admits_its_addresses_in_every_form() -> None:
    networks = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    for text in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd00::1"):
        assert may_reach(ip_address(text), networks) is None
    for text in ("10.2.0.1", "127.0.0.1", "::ffff:10.2.0.1", "fe80::1"):
        assert may_reach(ip_address(text), networks) is not None


def test_a_host_admitted_by_name_may_be_private_but_never_multicast_or_unspecified() -> None:
    for text in ("10.1.2.3", "127.0.0.1", "fe80::1", "::ffff:192.168.0.1"):
        assert may_reach(ip_address(text), (), private=True) is None
    for text in ("0.0.0.0", "224.0.0.1", "ff02::1", "::", "::ffff:0.0.0.0"):
        assert may_reach(ip_address(text), (ip_network("::/0"), ip_network("0.0.0.0/0")), private=True) is not None
