"""Whom a server trusts, by role: nobody unless it says so, and everybody only where that is written out (F20)."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.protocol.tokens import ACCESS_DWK, AGENT_DWK, PERSON_DWK, RESOURCE_DWK, Token, read_token
from aauthkit.trust import ANY, Issuers, Trust, admits
from tests.plugins.signing import Issuer, new_key

PS = Issuer("https://ps.example")
AS = Issuer("https://as.example")
API = "https://api.example"
KEY = new_key().public
DWKS = (AGENT_DWK, PERSON_DWK, ACCESS_DWK, RESOURCE_DWK)


def token(raw: str) -> Token:
    return read_token(raw, {"aa-agent+jwt", "aa-person+jwt", "aa-auth+jwt"})


@pytest.mark.parametrize("empty", [frozenset(), (), [], set(), {}])
def test_f20_nobody_is_trusted_by_default_or_by_an_empty_list(empty: Any) -> None:
    """F20; draft-11 §13.7."""
    for trust in (Trust(), Trust(empty, empty, empty, empty)):
        assert not any(trust.admits_server(PS.iss, dwk) for dwk in DWKS)
        assert not trust.admits(token(PS.person_token(KEY, API)))


def test_each_role_is_trusted_by_itself() -> None:
    for name, dwk in zip(("agent_providers", "person_servers", "access_servers", "resources"), DWKS, strict=True):
        trust = Trust(**{name: {PS.iss}})
        assert [trust.admits_server(PS.iss, each) for each in DWKS] == [each == dwk for each in DWKS]


@pytest.mark.parametrize("near", ["https://PS.example", "https://ps.example/", "https://ps.example.evil.example", "ps"])
def test_f70_an_issuer_is_compared_exactly(near: str) -> None:
    """F70's near misses."""
    trust = Trust(person_servers=[PS.iss])
    assert trust.admits_server(PS.iss, PERSON_DWK)
    assert not trust.admits_server(near, PERSON_DWK)


def test_any_is_written_out() -> None:
    trust = Trust(person_servers=ANY)
    assert trust.admits_server("https://anybody.example", PERSON_DWK)
    assert not trust.admits_server("https://anybody.example", AGENT_DWK)
    assert not trust.admits_server("https://anybody.example", "jwks.json")
    assert repr(ANY) == "ANY"


@pytest.mark.parametrize("wrong", ["https://ps.example", ""])
def test_one_string_is_no_list_and_is_refused_when_it_is_written(wrong: Any) -> None:
    """`in` would look for a part of it."""
    with pytest.raises(TypeError, match="not one string"):
        Trust(person_servers=wrong)
    with pytest.raises(TypeError, match="not one string"):
        admits(wrong, "https://ps.example")


@pytest.mark.parametrize(
    ("answer", "trusted"), [(True, True), (False, False), (1, False), ("yes", False), (None, False)]
)
def test_a_function_that_is_asked_trusts_with_true_alone(answer: Any, trusted: bool) -> None:
    issuers: Issuers = lambda _iss: answer  # noqa: E731
    assert Trust(person_servers=issuers).admits_server(PS.iss, PERSON_DWK) is trusted


def test_an_access_server_s_token_needs_its_person_server_trusted_as_well() -> None:
    """draft-11 §9.4.1, §13.7."""
    raw = AS.auth_token(KEY, API, "a", dwk=ACCESS_DWK, ps=PS.iss)
    assert Trust(access_servers={AS.iss}, person_servers={PS.iss}).admits(token(raw))
    assert not Trust(access_servers={AS.iss}).admits(token(raw))
    assert not Trust(person_servers={PS.iss, AS.iss}).admits(token(raw))
    own = PS.auth_token(KEY, API, "a")
    assert Trust(person_servers={PS.iss}).admits(token(own))
    assert not Trust(access_servers={PS.iss}).admits(token(own))
