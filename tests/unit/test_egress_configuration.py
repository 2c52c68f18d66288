"""The egress file: what it admits, and that whatever would have no effect is an error (house rule; F73's spirit)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.egress import Egress
from aauthkit.egress.configuration import VARIABLE, EgressFileError, egress_from_environment, read_egress
from aauthkit.protocol.identifiers import NO_LOOPBACK

PERSON = "http://person.localhost:8702"
Put = Callable[[object], Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Lays a file with this content; a string is laid as it is."""

    def put(document: object) -> Path:
        path = tmp_path / "egress.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return put


def refused(path: Path) -> str:
    with pytest.raises(EgressFileError) as caught:
        read_egress(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert said.count(str(path)) == 1
    return said


def test_an_empty_file_admits_what_the_default_admits(put: Put) -> None:
    assert read_egress(put({})) == Egress()
    assert Egress().loopback == NO_LOOPBACK


def test_every_member_has_its_effect(put: Put, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    egress = read_egress(
        put(
            {
                "loopback": [PERSON],
                "names": {"api.example": "127.0.0.1:8443", "six.example": "[::1]:443"},
                "ca_file": "ca.pem",
                "networks": ["10.0.0.0/8", "fd00::/8"],
                "hosts": ["intranet.example"],
                "jwks_hosts": {"https://a.example": ["cdn.example", "cdn.example:8443"], PERSON: ["keys.example"]},
                "proxy": "http://proxy.example:3128",
            }
        )
    )
    assert egress.loopback.origins == {PERSON}
    assert egress.names == {"api.example": ("127.0.0.1", 8443), "six.example": ("::1", 443)}
    assert egress.fixed("api.example", 443) == ("127.0.0.1", 8443)
    assert egress.ca_file == tmp_path / "ca.pem"
    assert egress.networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert egress.hosts == {"intranet.example"}
    assert egress.admits_jwks("https://a.example", "https://cdn.example:8443/jwks.json")
    assert egress.admits_jwks(PERSON, "https://keys.example/jwks.json")
    assert not egress.admits_jwks("https://b.example", "https://cdn.example/jwks.json")
    assert egress.proxy == "http://proxy.example:3128"
    assert Egress.from_file(tmp_path / "egress.json") == egress


def test_a_ca_file_by_its_whole_path(put: Put, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.pem").touch()
    assert read_egress(put({"ca_file": str(tmp_path / "elsewhere.pem")})).ca_file == tmp_path / "elsewhere.pem"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"loop_back": []}, "unknown member 'loop_back'"),
        ({"Hosts": []}, "unknown member 'Hosts'"),
        ({"loopback": PERSON}, "loopback is not a list of strings"),
        ({"loopback": ["http://person.example:80"]}, "http://NAME.localhost:PORT"),
        ({"loopback": ["https://person.localhost:8702"]}, "http://NAME.localhost:PORT"),
        ({"loopback": ["http://person.localhost"]}, "http://NAME.localhost:PORT"),
        ({"loopback": ["http://person.localhost:99999"]}, "names no port"),
        ({"loopback": [PERSON, "http://person.localhost:8703"]}, "share the host"),
        ({"loopback": None}, "loopback is not a list"),
        ({"names": ["api.example"]}, "names is not an object"),
        ({"names": {"api.example": "localhost:8443"}}, "localhost"),
        ({"names": {"api.example": "127.0.0.1"}}, "not address:port"),
        ({"names": {"api.example": "127.0.0.1:"}}, "not address:port"),
        ({"names": {"api.example": "127.0.0.1:x"}}, "not address:port"),
        ({"names": {"api.example": "127.0.0.1:٣"}}, "not address:port"),
        ({"names": {"api.example": "127.0.0.1:0"}}, "api.example"),
        ({"names": {"api.example": "127.0.0.1:65536"}}, "api.example"),
        ({"names": {"api.example": ["127.0.0.1", 8443]}}, "not address:port"),
        ({"names": {"API.example": "127.0.0.1:8443"}}, "API.example"),
        ({"ca_file": "nowhere.pem"}, "nowhere.pem"),
        ({"ca_file": ["ca.pem"]}, "ca_file is not a string"),
        ({"ca_file": ""}, "ca_file is not a string"),
        ({"networks": "10.0.0.0/8"}, "networks is not a list of strings"),
        ({"networks": [10]}, "networks is not a list of strings"),
        ({"networks": ["10.0.0.1/8"]}, "host bits"),
        ({"networks": ["intranet"]}, "intranet"),
        ({"hosts": "intranet.example"}, "hosts is not a list of strings"),
        ({"hosts": ["Intranet.example"]}, "'Intranet.example' is not a host"),
        ({"hosts": ["https://intranet.example"]}, "is not a host"),
        ({"hosts": ["intranet.example:8443"]}, "is not a host"),
        ({"hosts": [""]}, "is not a host"),
        ({"jwks_hosts": ["cdn.example"]}, "jwks_hosts is not an object"),
        ({"jwks_hosts": {"https://a.example": "cdn.example"}}, "https://a.example is not a list of strings"),
        ({"jwks_hosts": {"https://a.example/": ["cdn.example"]}}, "https://a.example/"),
        ({"jwks_hosts": {PERSON: ["cdn.example"]}}, "https"),
        ({"jwks_hosts": {"https://a.example": ["https://cdn.example"]}}, "is not a host"),
        ({"proxy": "proxy.example:3128"}, "proxy"),
        ({"proxy": "socks5://proxy.example"}, "proxy"),
        ({"proxy": {}}, "proxy is not a string"),
        ([], "not a JSON object"),
        ("{", "not a JSON document"),
        ('{"hosts": [], "hosts": []}', "twice"),
        ("", "not a JSON document"),
    ],
)
def test_what_would_not_do_what_it_says_is_an_error_with_the_file_s_name(put: Put, document: object, said: str) -> None:
    assert said in refused(put(document))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "nowhere.json")
    assert "directory" in refused(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "JSON" in refused(tmp_path / "binary")


def test_f87_a_proxy_s_password_is_not_shown(put: Put) -> None:
    """F87."""
    assert "hunter2" not in repr(read_egress(put({"proxy": "http://me:hunter2@proxy.example:3128"})))
    assert "hunter2" not in refused(put({"proxy": "ftp://me:hunter2@proxy.example"}))
    assert "hunter2" not in refused(put({"proxy": "http://me:hunter2@proxy.example", "networks": ["x"]}))


MEMBERS = st.sampled_from(["loopback", "names", "networks", "hosts", "jwks_hosts", "proxy", "ca_file"])
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(MEMBERS, VALUES, max_size=3))
def test_f91_any_content_is_an_egress_or_an_error_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    """F91."""
    path = tmp_path_factory.getbasetemp() / "any-egress.json"
    path.write_text(json.dumps(document))
    try:
        assert isinstance(read_egress(path), Egress)
    except EgressFileError as error:
        assert str(error).startswith(str(path))


# The environment.


def test_without_the_variable_there_is_no_exception(caplog: pytest.LogCaptureFixture) -> None:
    assert egress_from_environment({}) == Egress()
    assert egress_from_environment({VARIABLE: ""}) == Egress()
    # The environment is asked for nothing else: no proxy, no certificates.
    other = {"HTTPS_PROXY": "http://evil.example", "ALL_PROXY": "http://evil.example", "SSL_CERT_FILE": "/tmp/x"}
    assert egress_from_environment(other) == Egress()
    assert caplog.records == []


def test_the_variable_names_the_file_and_a_loopback_profile_is_announced(
    put: Put, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """design.md: every process says so in its log at start."""
    caplog.set_level(logging.WARNING)
    path = put({"hosts": ["intranet.example"]})
    assert egress_from_environment({VARIABLE: str(path)}).hosts == {"intranet.example"}
    assert caplog.records == []
    put({"loopback": [PERSON]})
    monkeypatch.setenv(VARIABLE, str(path))
    assert Egress.from_environment().loopback.origins == {PERSON}
    assert f"loopback profile on: {PERSON}" in caplog.text


def test_a_variable_that_names_no_file_is_an_error_and_not_the_default(tmp_path: Path) -> None:
    with pytest.raises(EgressFileError, match="No such file"):
        egress_from_environment({VARIABLE: str(tmp_path / "nowhere.json")})
