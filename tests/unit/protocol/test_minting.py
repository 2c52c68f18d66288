"""Minting the four tokens: what is minted is read back whole, and no lifetime rule can be got around."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt

from aauthkit.protocol.jose import SigningKey, parse_jwt
from aauthkit.protocol.minting import mint_agent_token, mint_auth_token, mint_person_token, mint_resource_token
from aauthkit.protocol.tokens import (
    ACCESS_DWK,
    AGENT_TYP,
    AUTH_TYP,
    HOUR,
    MAX_AGENT_LIFETIME,
    MAX_RESOURCE_LIFETIME,
    PERSON_DWK,
    PERSON_TYP,
    RESOURCE_TYP,
    AuthToken,
    Token,
    check_lifetime,
    read_token,
)
from tests.unit.protocol.specimens import (
    ACCESS,
    AGENT_KEY,
    DEVICE_KEY,
    DIGEST,
    ISSUER_KEY,
    NOW,
    PERSON,
    PROVIDER,
    RESOURCE,
    plain,
)

Mint = Callable[..., str]
TIMES = {"iat": NOW, "exp": NOW + 200, "jti": "t-1"}
AGENT: dict[str, Any] = {
    **TIMES,
    "iss": PROVIDER,
    "sub": "aauth:planner+search@agents.example",
    "cnf": AGENT_KEY.public,
    "ps": PERSON,
    "parent_agent": "aauth:planner@agents.example",
}
PERSONAL: dict[str, Any] = {
    **TIMES,
    "iss": PERSON,
    "aud": RESOURCE,
    "sub": "p-1",
    "cnf": DEVICE_KEY.public,
    "mission_s256": DIGEST,
    "tenant": "acme",
}
CHALLENGE: dict[str, Any] = {
    **TIMES,
    "iss": RESOURCE,
    "aud": PERSON,
    "ps": PERSON,
    "sub": "p-1",
    "presented_jti": "pt-1",
    "agent_jkt": AGENT_KEY.kid,
    "scope": frozenset({"orders.read", "orders.place"}),
    "account": "work",
    "login_hint": "ann",
    "mission_s256": DIGEST,
    "tenant": "acme",
    "interaction": {"url": "https://api.example/i", "code": "A1B2-C3D4"},
}
GRANT: dict[str, Any] = {
    **TIMES,
    "iss": PERSON,
    "dwk": PERSON_DWK,
    "aud": RESOURCE,
    "ps": PERSON,
    "sub": "p-1",
    "cnf": AGENT_KEY.public,
    "scope": frozenset({"orders.read"}),
    "account": "work",
    "mission_s256": DIGEST,
    "tenant": "acme",
}
MINTS: dict[str, tuple[Mint, dict[str, Any], int]] = {
    AGENT_TYP: (mint_agent_token, AGENT, MAX_AGENT_LIFETIME),
    PERSON_TYP: (mint_person_token, PERSONAL, HOUR),
    RESOURCE_TYP: (mint_resource_token, CHALLENGE, MAX_RESOURCE_LIFETIME),
    AUTH_TYP: (mint_auth_token, GRANT, HOUR),
}
OPTIONAL = ("ps", "parent_agent", "mission_s256", "tenant", "account", "login_hint", "interaction", "scope")

each = pytest.mark.parametrize(
    ("typ", "mint", "values", "longest"), [(typ, *row) for typ, row in MINTS.items()], ids=MINTS
)


def read(raw: str, typ: str) -> Token:
    found = read_token(raw, (typ,))
    found.verify_signature(ISSUER_KEY.public)
    return found


@each
def test_what_is_minted_is_read_back_whole(typ: str, mint: Mint, values: dict[str, Any], longest: int) -> None:
    found = read(mint(ISSUER_KEY, **values), typ)
    for name, value in values.items():
        if name == "cnf":
            assert found.claims["cnf"] == {"jwk": plain(value)}
        else:
            assert getattr(found, name) == value
    check_lifetime(found, NOW)


@each
def test_a_claim_that_is_not_given_is_not_there(typ: str, mint: Mint, values: dict[str, Any], longest: int) -> None:
    optional = set(OPTIONAL) - ({"ps"} if typ != AGENT_TYP else set())
    claims = read(mint(ISSUER_KEY, **{n: v for n, v in values.items() if n not in optional}), typ).claims
    assert None not in claims.values()
    assert not optional & claims.keys()


@each
def test_the_header_names_type_algorithm_and_key(typ: str, mint: Mint, values: dict[str, Any], longest: int) -> None:
    """draft-11 §11.5.1; F11: `Ed25519`, never `EdDSA`."""
    for key in (ISSUER_KEY, DEVICE_KEY):
        assert parse_jwt(mint(key, **values)).header == {"alg": key.alg, "typ": typ, "kid": key.kid}


@each
def test_no_token_lives_longer_than_the_draft_lets_it(
    typ: str, mint: Mint, values: dict[str, Any], longest: int
) -> None:
    """draft-11 §5.3.1, §7.1.2, §6.7.1, §9.4.1."""
    assert mint(ISSUER_KEY, **{**values, "exp": NOW + longest})
    for exp in (NOW + longest + 1, NOW, NOW - 1, 0):
        with pytest.raises(ValueError, match="lives 1 to"):
            mint(ISSUER_KEY, **{**values, "exp": exp})


def test_f11_f12_every_confirmation_key_carries_its_algorithm() -> None:
    """F11, F12; and no `kid`, which would be a second name for it."""
    for key in (AGENT_KEY, DEVICE_KEY):
        claims = read(mint_person_token(ISSUER_KEY, **{**PERSONAL, "cnf": key.public}), PERSON_TYP).claims
        assert claims["cnf"]["jwk"]["alg"] == key.alg
        assert "kid" not in claims["cnf"]["jwk"]
        assert "d" not in claims["cnf"]["jwk"]


def test_f25_neither_resource_nor_auth_token_names_an_agent() -> None:
    """F25; draft-11 §6.7.1, §9.4.1."""
    for typ, mint, values in ((RESOURCE_TYP, mint_resource_token, CHALLENGE), (AUTH_TYP, mint_auth_token, GRANT)):
        assert not {"agent", "act", "parent_agent"} & read(mint(ISSUER_KEY, **values), typ).claims.keys()
    assert "cnf" not in read(mint_resource_token(ISSUER_KEY, **CHALLENGE), RESOURCE_TYP).claims


def test_a_person_token_has_no_way_to_carry_scope_or_account() -> None:
    for name in ("scope", "account"):
        with pytest.raises(TypeError):
            mint_person_token(ISSUER_KEY, **{**PERSONAL, name: "x"})


@pytest.mark.parametrize("name", ["iss", "dwk", "sub", "cnf", "jti", "iat", "exp", "ps", "parent_agent"])
def test_an_extra_claim_of_an_agent_token_replaces_none_of_its_own(name: str) -> None:
    raw = mint_agent_token(ISSUER_KEY, **AGENT, extra={name: "forged", "attestation": "x"})
    claims = read(raw, AGENT_TYP).claims
    assert claims["attestation"] == "x"
    assert claims[name] != "forged"
    left_out = mint_agent_token(ISSUER_KEY, **{**AGENT, "ps": None, "parent_agent": None}, extra={name: "forged"})
    assert read(left_out, AGENT_TYP).claims.get(name) != "forged"


@pytest.mark.parametrize("name", [*GRANT])
def test_an_extra_claim_of_an_auth_token_replaces_none_of_its_own(name: str) -> None:
    raw = mint_auth_token(ISSUER_KEY, **GRANT, extra={name: "forged", "email": "ann@example.com"})
    claims = read(raw, AUTH_TYP).claims
    assert claims["email"] == "ann@example.com"
    assert claims[name] != "forged"
    bare = {n: v for n, v in GRANT.items() if n not in OPTIONAL or n == "ps"}
    assert read(mint_auth_token(ISSUER_KEY, **bare, extra={name: "forged"}), AUTH_TYP).claims.get(name) != "forged"


def test_an_access_server_mints_under_its_own_document() -> None:
    found = read(mint_auth_token(ISSUER_KEY, **{**GRANT, "iss": ACCESS, "dwk": ACCESS_DWK}), AUTH_TYP)
    assert (found.iss, found.dwk) == (ACCESS, ACCESS_DWK)


scopes = st.frozensets(st.from_regex(r"[!#-\[\]-~]{1,12}", fullmatch=True), max_size=6)


@given(scopes)
def test_any_scope_comes_back(scope: frozenset[str]) -> None:
    found = read_token(mint_auth_token(ISSUER_KEY, **{**GRANT, "scope": scope}), (AUTH_TYP,))
    assert found.claims.get("scope", "") == " ".join(sorted(scope))
    assert isinstance(found, AuthToken)
    assert found.scope == scope


@each
def test_joserfc_reads_what_is_minted(typ: str, mint: Mint, values: dict[str, Any], longest: int) -> None:
    for key in (ISSUER_KEY, SigningKey("ES256", bytes([4] * 32))):
        found = joserfc_jwt.decode(mint(key, **values), joserfc_jwk.import_key(key.public.jwk), algorithms=[key.alg])
        assert found.header["typ"] == typ
        assert found.claims["exp"] == NOW + 200


def test_an_auth_token_is_issued_by_an_access_server_or_by_the_person_server_it_names() -> None:
    """§9.4.1: `ps` equals `iss` when a person server issued it; neither `agent` nor `act` is ever in it (F25)."""
    fine = {"iss": "https://ps.example", "dwk": "aauth-person.json", "ps": "https://ps.example"}
    rest = {"aud": "https://api.example", "sub": "p", "cnf": AGENT_KEY.public, "jti": "j", "iat": 1, "exp": 2}
    mint_auth_token(ISSUER_KEY, **fine, **rest)
    mint_auth_token(ISSUER_KEY, **{**fine, "dwk": "aauth-access.json", "iss": "https://as.example"}, **rest)
    for wrong in ({"ps": "https://other.example"}, {"dwk": "aauth-agent.json"}):
        with pytest.raises(ValueError):
            mint_auth_token(ISSUER_KEY, **{**fine, **wrong}, **rest)
    for claim in ("agent", "act"):
        with pytest.raises(ValueError):
            mint_auth_token(ISSUER_KEY, **fine, **rest, extra={claim: "aauth:x@agents.example"})
