"""What tells the four tokens apart and what each alone must hold: typ, dwk, domain, key, signature."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.protocol.identifiers import LoopbackProfile
from aauthkit.protocol.jose import sign_jwt
from aauthkit.protocol.tokens import (
    ACCESS_DWK,
    AGENT_DWK,
    AGENT_TYP,
    AUTH_TYP,
    PERSON_DWK,
    PERSON_TYP,
    RESOURCE_DWK,
    RESOURCE_TYP,
    AgentToken,
    AuthToken,
    PersonToken,
    ResourceToken,
    Token,
    TokenRejected,
    read_jwt,
    read_token,
)
from tests.unit.protocol.specimens import (
    ACCESS,
    AGENT_KEY,
    CLAIMS,
    DEVICE_KEY,
    ISSUER_KEY,
    OTHER_KEY,
    PERSON,
    PROVIDER,
    plain,
    token,
)

TYPES = {AGENT_TYP: AgentToken, PERSON_TYP: PersonToken, RESOURCE_TYP: ResourceToken, AUTH_TYP: AuthToken}


def read(raw: str, *expected: str, **options: Any) -> Token:
    return read_token(raw, frozenset(expected or TYPES), **options)


def refused(raw: str, *expected: str, **options: Any) -> TokenRejected:
    with pytest.raises(TokenRejected) as found:
        read(raw, *expected, **options)
    assert found.value.kind == "invalid"
    return found.value


# The type


@pytest.mark.parametrize("typ", TYPES)
@pytest.mark.parametrize("place", TYPES)
def test_f18_every_type_is_refused_in_every_place_but_its_own(typ: str, place: str) -> None:
    """F18; draft-11 §11.5.2 step 1, §13.11."""
    if typ == place:
        assert type(read(token(typ), place)) is TYPES[typ]
    else:
        assert "typ is" in str(refused(token(typ), place))
        assert "typ is" in str(refused(token(typ), *(set(TYPES) - {typ})))


@pytest.mark.parametrize("typ", TYPES)
@pytest.mark.parametrize("claimed", TYPES)
def test_f18_the_claims_of_one_type_under_the_typ_of_another_are_refused(typ: str, claimed: str) -> None:
    """F18: the name alone makes no token of it; `dwk`, `ps`, `scope` and `cnf` tell them apart as well."""
    raw = sign_jwt(ISSUER_KEY, {"typ": claimed, "kid": ISSUER_KEY.kid}, CLAIMS[typ])
    if typ == claimed:
        assert type(read(raw)) is TYPES[typ]
    else:
        refused(raw, claimed)


NOT_THE_TYPE: list[Any] = [
    None,
    "",
    "JWT",
    "at+jwt",
    "AA-AGENT+JWT",
    "application/aa-agent+jwt",
    "aa-agent+jwt ",
    "aa-agent",
    1,
    True,
    ["aa-agent+jwt"],
    {"aa-agent+jwt": 1},
]


@pytest.mark.parametrize("typ", NOT_THE_TYPE)
def test_a_typ_that_is_absent_or_any_other_is_refused_before_anything_else(typ: Any) -> None:
    for expected in (frozenset({AGENT_TYP}), (AGENT_TYP,), [AGENT_TYP], {AGENT_TYP: 1}):
        raw = sign_jwt(ISSUER_KEY, {"kid": "k"} if typ is None else {"typ": typ, "kid": "k"}, {})
        with pytest.raises(TokenRejected, match="typ is"):
            read_token(raw, expected)


def test_a_type_that_is_expected_but_not_served_is_refused() -> None:
    raw = sign_jwt(ISSUER_KEY, {"typ": "aa-mission+jwt", "kid": "k"}, {})
    assert "typ is" in str(refused(raw, "aa-mission+jwt"))


# The header


@pytest.mark.parametrize("typ", TYPES)
@pytest.mark.parametrize("kid", [None, "", 1, True, ["k"], {}, "x" * 256])
def test_f23_the_header_must_name_a_kid(typ: str, kid: Any) -> None:
    """F23."""
    header = {"typ": typ} if kid is None else {"typ": typ, "kid": kid}
    assert "kid" in str(refused(sign_jwt(ISSUER_KEY, header, CLAIMS[typ]), typ))


DWKS = {
    AGENT_TYP: {AGENT_DWK},
    PERSON_TYP: {PERSON_DWK},
    RESOURCE_TYP: {RESOURCE_DWK},
    AUTH_TYP: {PERSON_DWK, ACCESS_DWK},
}


@pytest.mark.parametrize("typ", TYPES)
@pytest.mark.parametrize("dwk", [AGENT_DWK, PERSON_DWK, RESOURCE_DWK, ACCESS_DWK])
def test_f20_each_type_has_its_own_well_known_document(typ: str, dwk: str) -> None:
    """F20: keys come from `{iss}/.well-known/{dwk}` and from nowhere else (draft-11 §11.5.2 step 2)."""
    if dwk in DWKS[typ]:
        assert read(token(typ, dwk=dwk), typ).dwk == dwk
    else:
        assert "dwk" in str(refused(token(typ, dwk=dwk), typ))


# What one type alone has


@pytest.mark.parametrize(
    ("sub", "iss"),
    [
        ("aauth:ceo@bank.example", PROVIDER),
        ("aauth:planner@evil-agents.example", PROVIDER),
        ("aauth:planner@sub.agents.example", PROVIDER),
        ("aauth:planner@example", PROVIDER),
        ("aauth:planner@agents.example", "https://evil.example"),
    ],
)
def test_f21_an_agent_of_another_domain_than_its_provider_is_refused(sub: str, iss: str) -> None:
    """F21; draft-11 §5.2, §11.2.1."""
    assert "domain" in str(refused(token(AGENT_TYP, sub=sub, iss=iss), AGENT_TYP))


@pytest.mark.parametrize("claims", [{"scope": "orders.read"}, {"scope": ""}, {"account": "work"}, {"scope": None}])
def test_a_person_token_carries_neither_scope_nor_account(claims: dict[str, Any]) -> None:
    """draft-11 §7.1.2."""
    assert "neither scope nor account" in str(refused(token(PERSON_TYP, **claims), PERSON_TYP))


def test_a_person_token_s_person_server_is_its_issuer() -> None:
    found = read(token(PERSON_TYP, ps="https://evil.example"), PERSON_TYP)
    assert isinstance(found, PersonToken)
    assert found.ps == found.iss == PERSON


def test_the_ps_of_an_auth_token_is_its_issuer_unless_an_access_server_issued_it() -> None:
    """draft-11 §9.4.1."""
    assert "ps is not" in str(refused(token(AUTH_TYP, ps="https://other.example"), AUTH_TYP))
    found = read(token(AUTH_TYP, iss=ACCESS, dwk=ACCESS_DWK), AUTH_TYP)
    assert isinstance(found, AuthToken)
    assert (found.iss, found.ps) == (ACCESS, PERSON)


def test_an_empty_scope_is_no_scope() -> None:
    for typ in (RESOURCE_TYP, AUTH_TYP):
        found = read(token(typ, scope=""), typ)
        assert isinstance(found, ResourceToken | AuthToken)
        assert found.scope == frozenset()


# The confirmation key (draft-11 §9.4.3.2 step 3, §11.3.4 step 6)

ED, EC = plain(AGENT_KEY.public), plain(DEVICE_KEY.public)


def lacking(jwk: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in jwk.items() if name not in names}


INCOMPLETE: dict[str, Any] = {
    "empty": {},
    "no kty": lacking(ED, "kty"),
    "OKP without crv": lacking(ED, "crv"),
    "OKP without x": lacking(ED, "x"),
    "EC without y": lacking(EC, "y"),
    "EC without crv, x, y": lacking(EC, "crv", "x", "y"),
    "RSA without n": {"kty": "RSA", "e": "AQAB", "alg": "RS256"},
    "RSA without e": {"kty": "RSA", "n": "AAAA", "alg": "RS256"},
}
UNUSABLE: dict[str, tuple[Any, str]] = {
    "F12: no alg": (lacking(ED, "alg"), "unsupported_algorithm"),
    "F11: EdDSA": ({**ED, "alg": "EdDSA"}, "unsupported_algorithm"),
    "F10: HS256": ({"kty": "oct", "k": "AAAA", "alg": "HS256"}, "unsupported_algorithm"),
    "F10: none": ({**ED, "alg": "none"}, "unsupported_algorithm"),
    "RS256": ({"kty": "RSA", "n": "AAAA", "e": "AQAB", "alg": "RS256"}, "unsupported_algorithm"),
    "alg a list": ({**ED, "alg": ["Ed25519"]}, "unsupported_algorithm"),
    "F12: kty disagrees": ({**ED, "kty": "EC", "y": "AA"}, "invalid_key"),
    "F12: crv disagrees": ({**ED, "crv": "X25519"}, "invalid_key"),
    "F12: P-256 says Ed25519": ({**EC, "alg": "Ed25519"}, "invalid_key"),
    "x too short": ({**ED, "x": "AAAA"}, "invalid_key"),
    "a point off the curve": ({**EC, "y": ED["x"]}, "invalid_key"),
    "a private part": (AGENT_KEY.to_jwk(), "invalid_key"),
    "for encryption": ({**ED, "use": "enc"}, "invalid_key"),
    "kty null": ({**ED, "kty": None}, "invalid_key"),
}
CONFIRMED = (AGENT_TYP, PERSON_TYP, AUTH_TYP)


@pytest.mark.parametrize("typ", CONFIRMED)
@pytest.mark.parametrize("jwk", INCOMPLETE.values(), ids=INCOMPLETE)
def test_an_incomplete_confirmation_key_is_the_token_s_fault(typ: str, jwk: Any) -> None:
    found = refused(token(typ, cnf={"jwk": jwk}), typ)
    assert found.key_code is None
    assert "incomplete" in str(found)


@pytest.mark.parametrize("typ", CONFIRMED)
@pytest.mark.parametrize(("jwk", "code"), UNUSABLE.values(), ids=UNUSABLE)
def test_f11_f12_an_unusable_confirmation_key_is_the_key_s_fault(typ: str, jwk: Any, code: str) -> None:
    """F10, F11, F12: the Signature-Error is the key's, not `invalid_jwt`."""
    assert refused(token(typ, cnf={"jwk": jwk}), typ).key_code == code


def test_a_confirmation_key_of_either_algorithm_is_read() -> None:
    for typ in CONFIRMED:
        found = read(token(typ, cnf={"jwk": EC, "kid": "ignored"}), typ)
        assert isinstance(found, AgentToken | PersonToken | AuthToken)
        assert found.cnf.same_key(DEVICE_KEY.public)


# The signature


@pytest.mark.parametrize("typ", TYPES)
def test_f22_a_token_verifies_under_its_issuer_s_key_and_no_other(typ: str) -> None:
    """F22: the key that `kid` names must have signed it."""
    for key in (ISSUER_KEY, DEVICE_KEY):
        found = read(token(typ, key=key), typ)
        found.verify_signature(key.public)
        with pytest.raises(TokenRejected, match="does not verify"):
            found.verify_signature(OTHER_KEY.public)
    forged = token(typ, key=OTHER_KEY, header={"kid": ISSUER_KEY.kid})
    with pytest.raises(TokenRejected, match="does not verify"):
        read(forged, typ).verify_signature(ISSUER_KEY.public)


@pytest.mark.parametrize("typ", TYPES)
def test_f10_a_token_whose_header_names_another_algorithm_is_refused(typ: str) -> None:
    """F10: an ES256 issuer key and a header that says Ed25519."""
    found = read(token(typ, key=ISSUER_KEY), typ)
    with pytest.raises(TokenRejected, match="alg"):
        found.verify_signature(DEVICE_KEY.public)


def test_what_is_no_token_is_rejected() -> None:
    for raw in ("", "a.b.c", "not a token", "x" * 20_000, None, 1):
        with pytest.raises(TokenRejected):
            read_jwt(raw)


def test_a_token_taken_apart_already_is_not_taken_apart_again() -> None:
    raw = token(AGENT_TYP)
    jwt = read_jwt(raw)
    assert read(raw, AGENT_TYP, jwt=jwt).jwt is jwt


# The loopback profile


def test_listed_origins_are_servers_in_the_loopback_profile_only() -> None:
    origin = "http://agents.localhost:8701"
    raw = token(AGENT_TYP, iss=origin, sub="aauth:planner@agents.localhost", ps="http://person.localhost:8702")
    listed = LoopbackProfile(frozenset({origin, "http://person.localhost:8702"}))
    assert read(raw, AGENT_TYP, loopback=listed).iss == origin
    refused(raw, AGENT_TYP)
    refused(raw, AGENT_TYP, loopback=LoopbackProfile(frozenset({origin})))


def test_f87_neither_token_nor_claims_show_in_a_repr() -> None:
    """F87."""
    for typ in TYPES:
        raw = token(typ, note="the-unknown-claim")
        shown = repr(read(raw, typ))
        assert raw not in shown
        assert raw.rpartition(".")[2] not in shown
        assert "the-unknown-claim" not in shown
