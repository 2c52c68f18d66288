"""One folder for two servers: what is in it, which ports it takes, and what it says when it cannot be used."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aauthkit.egress import Egress
from aauthkit.installation import API_ORIGIN, Installation, InstallationError, free_ports, port_of


@contextmanager
def taken(port: int = 0) -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_that_is_taken_is_passed_over_for_one_that_is_free() -> None:
    with taken() as port:
        first, second = free_ports(port, port)
    assert port not in (first, second)
    assert first != second
    assert (first - port) % 10 == 0


def test_a_port_that_an_api_is_listed_under_is_not_chosen() -> None:
    with taken() as port:
        pass
    assert free_ports(port, taken=[port]) != [port]


def test_what_was_made_is_found_again_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    made = Installation.create(tmp_path / "here")
    assert Installation.load(tmp_path / "here") == made == Installation.load_or_create(tmp_path / "here")
    assert made.resources == (API_ORIGIN,)
    for file in (tmp_path / "here").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(InstallationError, match="already"):
        Installation.create(tmp_path / "here")


def test_the_egress_file_lists_every_origin(tmp_path: Path) -> None:
    made = Installation.create(tmp_path).admitting(["http://shop.localhost:9000"])
    assert Egress.from_file(made.egress_file).loopback == made.loopback
    assert made.loopback.origins == {made.provider, made.person, API_ORIGIN, "http://shop.localhost:9000"}


def test_an_origin_under_a_listed_host_takes_its_place(tmp_path: Path) -> None:
    made = Installation.create(tmp_path).admitting(["http://api.localhost:9000"])
    assert made.resources == ("http://api.localhost:9000",)
    assert Installation.load(tmp_path) == made


@pytest.mark.parametrize(
    "origin", ["https://api.example", "http://api.example:80", "http://person.localhost:9000", "api.localhost:1", ""]
)
def test_an_origin_that_is_not_this_machines_is_refused_and_nothing_changes(origin: str, tmp_path: Path) -> None:
    made = Installation.create(tmp_path)
    with pytest.raises(InstallationError):
        made.admitting([origin])
    assert Installation.load(tmp_path) == made


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        '{"provider": "http://provider.localhost:8701"}',
        '{"provider": "https://provider.example", "person": "http://person.localhost:1", "resources": []}',
        '{"provider": "http://a.localhost:1", "person": "http://a.localhost:2", "resources": []}',
        '{"provider": ["x"], "person": "http://person.localhost:1", "resources": []}',
        '{"provider": "http://a.localhost:1", "person": "http://b.localhost:2", "resources": 7}',
    ],
)
def test_a_damaged_installation_says_what_to_do(document: str, tmp_path: Path) -> None:
    (tmp_path / "installation.json").write_text(document)
    with pytest.raises(InstallationError, match="move the folder away"):
        Installation.load(tmp_path)


def test_no_installation_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match="aauthkit up"):
        Installation.load(tmp_path)


def test_it_knows_which_of_its_servers_nobody_listens_for(tmp_path: Path) -> None:
    with taken() as provider, taken() as person:
        document = {
            "provider": f"http://provider.localhost:{provider}",
            "person": f"http://person.localhost:{person}",
            "resources": [],
        }
        (tmp_path / "installation.json").write_text(json.dumps(document))
        found = Installation.load(tmp_path)
        assert found.not_running() == []
    assert found.not_running() == [found.provider, found.person]
    assert port_of(found.person) == person
