"""Reading the four tokens: every claim of each, missing, of the wrong type or in the wrong form (draft-11 §11.5)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol.jose import parse_jwk
from aauthkit.protocol.tokens import (
    AGENT_TYP,
    AUTH_TYP,
    PERSON_TYP,
    RESOURCE_TYP,
    AgentToken,
    AuthToken,
    PersonToken,
    ResourceToken,
    Token,
    TokenRejected,
    read_token,
)
from tests.unit.protocol.specimens import (
    CLAIMS,
    DIGEST,
    ISSUER_KEY,
    NOW,
    PERSON,
    RESOURCE,
    token,
)

TYPES = {AGENT_TYP: AgentToken, PERSON_TYP: PersonToken, RESOURCE_TYP: ResourceToken, AUTH_TYP: AuthToken}

REQUIRED = {
    AGENT_TYP: {"iss", "dwk", "jti", "iat", "exp", "cnf", "sub"},
    PERSON_TYP: {"iss", "dwk", "jti", "iat", "exp", "cnf", "sub", "aud"},
    RESOURCE_TYP: {"iss", "dwk", "jti", "iat", "exp", "sub", "aud", "ps", "presented_jti", "agent_jkt"},
    AUTH_TYP: {"iss", "dwk", "jti", "iat", "exp", "cnf", "sub", "aud", "ps"},
}
OPTIONAL = {typ: set(CLAIMS[typ]) - REQUIRED[typ] for typ in REQUIRED}

NOT_TEXT: list[Any] = [None, "", 1, True, ["a"], {"a": 1}, "x" * 256, "a\nb", "a\x00", "a\u202eb", "a\u200bb"]
NOT_A_TIME: list[Any] = [None, "1", str(NOW), float(NOW), True, -1, 2**53, [NOW], {}]
NOT_A_SERVER: list[Any] = [
    None,
    "",
    1,
    ["https://ps.example"],
    "ps.example",
    "http://ps.example",
    "https://ps.example/",
    "https://ps.example/v1",
    "https://ps.example:8443",
    "https://PS.example",
    "https://ps.example?x",
    "https://ps.example#x",
    "https://user@ps.example",
    "https://127.0.0.1",
    "https://[::1]",
    "https://",
    "HTTPS://ps.example",
    "https://ps.example\n",
    " https://ps.example",
    "https://ps..example",
    "https://pś.example",
    "urn:x",
]
NOT_A_DIGEST: list[Any] = [
    None,
    "",
    1,
    DIGEST[:-1],
    DIGEST + "A",
    DIGEST + "=",
    "+" + DIGEST[1:],
    [DIGEST],
    DIGEST + "\n",
]
NOT_A_SCOPE: list[Any] = [
    None,
    1,
    ["orders.read"],
    "a  b",
    " a",
    "a ",
    'a"b',
    "a\\b",
    "a\tb",
    "a\nb",
    "caf\u00e9",
    "x" * 9000,
]
NOT_AN_AGENT: list[Any] = [
    None,
    "",
    1,
    "planner@agents.example",
    "aauth:@agents.example",
    "aauth:planner",
    "aauth:planner@",
    "aauth:plan ner@agents.example",
    "aauth:planner@https://agents.example",
    "aauth:planner@Agents.example",
    "AAUTH:planner@agents.example",
    "aauth:" + "x" * 256 + "@agents.example",
    "aauth:pl\u00e4nner@agents.example",
]
NOT_AN_INTERACTION: list[Any] = [
    None,
    "https://api.example/interaction",
    {},
    {"url": "https://api.example/i"},
    {"code": "A1B2-C3D4"},
    {"url": 1, "code": "A1B2-C3D4"},
    {"url": "https://api.example/i", "code": 1},
    {"url": "https://api.example/i", "code": ""},
    {"url": "https://api.example/i", "code": "x" * 65},
    {"url": "https://api.example/i", "code": "A\n"},
    {"url": "http://api.example/i", "code": "A1B2-C3D4"},
    {"url": "javascript:alert(1)", "code": "A1B2-C3D4"},
    {"url": "https://api.example/i?x=1", "code": "A1B2-C3D4"},
    {"url": "https://api.example/i#x", "code": "A1B2-C3D4"},
]
NO_CNF: list[Any] = [None, "key", 1, [], {}, {"kid": "k"}, {"jwk": None}, {"jwk": "key"}, {"jwk": []}]

WRONG: dict[str, list[Any]] = {
    "iss": NOT_A_SERVER,
    "aud": [*NOT_A_SERVER, [RESOURCE], [RESOURCE, PERSON]],
    "ps": NOT_A_SERVER,
    "dwk": [*NOT_TEXT, "aauth-unknown.json", "openid-configuration", "../aauth-person.json"],
    "jti": NOT_TEXT,
    "sub": NOT_TEXT,
    "presented_jti": NOT_TEXT,
    "account": NOT_TEXT,
    "login_hint": NOT_TEXT,
    "tenant": NOT_TEXT,
    "iat": NOT_A_TIME,
    "exp": NOT_A_TIME,
    "agent_jkt": NOT_A_DIGEST,
    "mission_s256": NOT_A_DIGEST,
    "scope": NOT_A_SCOPE,
    "interaction": NOT_AN_INTERACTION,
    "cnf": NO_CNF,
}


def read(raw: str, *expected: str, **options: Any) -> Token:
    return read_token(raw, frozenset(expected or TYPES), **options)


def refused(raw: str, *expected: str, **options: Any) -> TokenRejected:
    with pytest.raises(TokenRejected) as found:
        read(raw, *expected, **options)
    assert found.value.kind == "invalid"
    return found.value


CASES = [(typ, name) for typ in TYPES for name in sorted(CLAIMS[typ])]


def test_the_table_names_every_claim_of_every_token() -> None:
    assert {name for _, name in CASES} == set(WRONG)
    assert set(CLAIMS) == set(TYPES) == set(REQUIRED)


@pytest.mark.parametrize("typ", TYPES)
def test_a_whole_token_is_read_with_its_values(typ: str) -> None:
    raw = token(typ)
    found = read(raw, typ)
    assert type(found) is TYPES[typ]
    for name, value in CLAIMS[typ].items():
        if name == "cnf":
            assert isinstance(found, AgentToken | PersonToken | AuthToken)
            assert found.cnf == parse_jwk(value["jwk"])
        elif name == "scope":
            assert getattr(found, name) == frozenset(value.split())
        else:
            assert getattr(found, name) == value
    assert (found.raw, found.kid, found.claims) == (raw, ISSUER_KEY.kid, CLAIMS[typ])


@pytest.mark.parametrize(("typ", "name"), [case for case in CASES if case[1] in REQUIRED[case[0]]])
def test_f23_a_required_claim_must_be_there(typ: str, name: str) -> None:
    """F23."""
    refused(token(typ, without=[name]), typ)


@pytest.mark.parametrize(("typ", "name"), [case for case in CASES if case[1] in OPTIONAL[case[0]]])
def test_an_optional_claim_may_be_absent(typ: str, name: str) -> None:
    found = read(token(typ, without=[name]), typ)
    assert getattr(found, name) == (frozenset() if name == "scope" else None)


@pytest.mark.parametrize(("typ", "name"), CASES)
def test_f23_f30_a_claim_of_the_wrong_type_or_form_is_refused(typ: str, name: str) -> None:
    """F23, F30: an optional claim as well, and `null` is not absence."""
    values = NOT_AN_AGENT if (typ, name) == (AGENT_TYP, "sub") else WRONG[name]
    accepted = []
    for value in values:
        with contextlib.suppress(TokenRejected):
            read(token(typ, **{name: value}), typ)
            accepted.append(value)
    assert not accepted


@pytest.mark.parametrize("value", NOT_AN_AGENT)
def test_a_parent_agent_must_be_an_agent_identifier(value: Any) -> None:
    """draft-11 §5.3.3 step 3."""
    refused(token(AGENT_TYP, parent_agent=value), AGENT_TYP)


def test_a_sub_agent_s_token_names_its_parent() -> None:
    found = read(
        token(AGENT_TYP, sub="aauth:planner+search@agents.example", parent_agent="aauth:planner@agents.example")
    )
    assert isinstance(found, AgentToken)
    assert found.parent_agent == "aauth:planner@agents.example"


def test_claims_that_are_not_known_are_ignored_and_kept() -> None:
    """draft-11 §5.3.1."""
    for typ in TYPES:
        found = read(token(typ, attestation={"type": "x"}, agent="ignored", act={"sub": "ignored"}), typ)
        assert found.claims["attestation"] == {"type": "x"}


values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), st.lists, max_leaves=3)


@given(
    st.sampled_from(sorted(TYPES)),
    st.dictionaries(st.sampled_from([*WRONG, "parent_agent", "nbf"]), values, max_size=3),
)
def test_no_claims_raise_anything_but_a_rejection(typ: str, claims: dict[str, Any]) -> None:
    with contextlib.suppress(TokenRejected):
        assert isinstance(read(token(typ, **claims), typ), TYPES[typ])
