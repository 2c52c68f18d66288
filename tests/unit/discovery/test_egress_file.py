"""Egress as a file: every member means something, and anything else is an error where it stands."""

from __future__ import annotations

import json
import logging
from ipaddress import ip_network
from pathlib import Path

import pytest

from aauthkit.egress import Egress
from aauthkit.egress.configuration import VARIABLE, EgressFileError, egress_from_environment
from aauthkit.protocol.identifiers import LoopbackProfile

WHOLE = {
    "loopback": ["http://person.localhost:8702"],
    "names": {"api.example": "127.0.0.1:8443", "six.example": "[::1]:8444"},
    "ca_file": "ca.pem",
    "networks": ["10.0.0.0/8", "fd00::/8"],
    "hosts": ["intranet.example"],
    "jwks_hosts": {"https://a.example": ["cdn.example"]},
    "proxy": "http://proxy.example:3128",
}


def written(folder: Path, document: object) -> Path:
    (folder / "ca.pem").touch()
    path = folder / "egress.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_every_member_is_read_and_a_relative_ca_file_lies_beside_the_file(tmp_path: Path) -> None:
    assert Egress.from_file(written(tmp_path, WHOLE)) == Egress(
        names={"api.example": ("127.0.0.1", 8443), "six.example": ("::1", 8444)},
        ca_file=tmp_path / "ca.pem",
        loopback=LoopbackProfile(frozenset({"http://person.localhost:8702"})),
        networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
        hosts=frozenset({"intranet.example"}),
        jwks_hosts={"https://a.example": frozenset({"cdn.example"})},
        proxy="http://proxy.example:3128",
    )
    assert Egress.from_file(written(tmp_path, {})) == Egress()


@pytest.mark.parametrize(
    "document",
    [
        {"host": []},
        {"names": {"api.example": "127.0.0.1"}},
        {"names": {"api.example": "other.example:8443"}},
        {"names": ["api.example"]},
        {"loopback": ["http://person.example:8702"]},
        {"networks": ["10.0.0.1/8"]},
        {"networks": ["everywhere"]},
        {"hosts": "intranet.example"},
        {"hosts": ["Intranet.example"]},
        {"ca_file": "missing.pem"},
        {"ca_file": ["ca.pem"]},
        {"names": {"api.example": 8443}},
        {"jwks_hosts": {"https://a.example/": ["cdn.example"]}},
        {"jwks_hosts": {"https://a.example": "cdn.example"}},
        {"proxy": "proxy.example"},
        {"jwks_hosts": ["cdn.example"]},
        [],
        "{",
        '{"hosts": [], "hosts": []}',
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_by_its_name(tmp_path: Path, document: object) -> None:
    path = written(tmp_path, document)
    with pytest.raises(EgressFileError, match=str(path)):
        Egress.from_file(path)


def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(EgressFileError, match=r"egress\.json"):
        egress_from_environment({VARIABLE: str(tmp_path / "egress.json")})


def test_without_the_variable_nothing_but_https_to_public_addresses_is_admitted() -> None:
    assert egress_from_environment({}) == egress_from_environment({VARIABLE: ""}) == Egress()


def test_a_loopback_profile_is_announced_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        egress_from_environment({VARIABLE: str(written(tmp_path, WHOLE))})
    assert "http://person.localhost:8702" in caplog.text
