"""The examples of RFC 7515, RFC 7638 and RFC 8037, and joserfc as a second opinion in both directions."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt
from joserfc.errors import BadSignatureError

from aauthkit.protocol.jose import (
    ALGORITHMS,
    BadSignature,
    KeyRejected,
    SigningKey,
    b64url_decode,
    b64url_encode,
    parse_jwk,
    parse_jws,
    parse_jwt,
    sign_jwt,
)
from tests.unit.protocol.specimens import KEYS

# RFC 7515 A.3

EC_JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
EC_D = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
EC_JWS = (
    "eyJhbGciOiJFUzI1NiJ9"
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)


def test_rfc7515_a_3_verifies_once_the_key_names_its_algorithm() -> None:
    """The RFC's own key has no `alg` and is refused as it stands (draft-11 §11.3.1)."""
    with pytest.raises(KeyRejected, match="no alg"):
        parse_jwk(EC_JWK)
    jwt = parse_jwt(EC_JWS)
    assert jwt.claims == {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}
    jwt.jws.verify(parse_jwk({**EC_JWK, "alg": "ES256"}))


def test_rfc7515_a_3_the_private_key_belongs_to_the_public_one() -> None:
    key = SigningKey.from_jwk({**EC_JWK, "alg": "ES256", "d": EC_D})
    key.public.verify(b"m", key.sign(b"m"))


# RFC 8037 A.1 to A.4

OKP_JWK = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
OKP_D = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
OKP_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
OKP_JWS = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)


def test_rfc8037_a_1_to_a_3_key_and_thumbprint() -> None:
    key = SigningKey.from_jwk({**OKP_JWK, "alg": "Ed25519", "d": OKP_D})
    assert key.kid == parse_jwk({**OKP_JWK, "alg": "Ed25519"}).thumbprint == OKP_THUMBPRINT


def test_f11_rfc8037_a_4_is_the_key_s_signature_but_says_eddsa_and_is_refused() -> None:
    """F11."""
    key = SigningKey.from_jwk({**OKP_JWK, "alg": "Ed25519", "d": OKP_D})
    jws = parse_jws(OKP_JWS)
    assert jws.payload == b"Example of Ed25519 signing"
    assert key.sign(jws.signing_input) == jws.signature
    key.public.verify(jws.signing_input, jws.signature)
    with pytest.raises(BadSignature, match="alg"):
        jws.verify(key.public)
    with pytest.raises(KeyRejected) as refused:
        parse_jwk({**OKP_JWK, "alg": "EdDSA"})
    assert refused.value.code == "unsupported_algorithm"


# RFC 7638


def test_rfc7638_the_thumbprint_of_an_ec_key() -> None:
    """RFC 7638 §3.2; the RFC's own example is an RSA key, which is not served and refused by its algorithm."""
    assert parse_jwk({**EC_JWK, "alg": "ES256"}).thumbprint == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
    rsa = {"kty": "RSA", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86z", "e": "AQAB"}
    with pytest.raises(KeyRejected) as refused:
        parse_jwk({**rsa, "alg": "RS256"})
    assert refused.value.code == "unsupported_algorithm"


def test_the_member_order_of_a_key_does_not_change_its_thumbprint() -> None:
    key = {**EC_JWK, "alg": "ES256"}
    assert parse_jwk(dict(reversed(key.items()))).thumbprint == parse_jwk(key).thumbprint


# joserfc

claims_of = st.dictionaries(
    st.sampled_from(["sub", "aud", "jti", "scope", "x"]),
    st.text(max_size=20) | st.integers(0, 2**53) | st.booleans() | st.lists(st.text(max_size=4), max_size=3),
)


def theirs(key: SigningKey, *, private: bool = False) -> Any:
    return joserfc_jwk.import_key(key.to_jwk() if private else key.public.jwk)


@pytest.mark.parametrize("alg", ALGORITHMS)
@given(claims=claims_of)
def test_joserfc_reads_what_we_mint(alg: Literal["Ed25519", "ES256"], claims: dict[str, Any]) -> None:
    token = sign_jwt(KEYS[alg], {"typ": "aa-agent+jwt", "kid": KEYS[alg].kid}, claims)
    read = joserfc_jwt.decode(token, theirs(KEYS[alg]), algorithms=[alg])
    assert read.claims == claims
    assert read.header == {"alg": alg, "typ": "aa-agent+jwt", "kid": KEYS[alg].kid}


@pytest.mark.parametrize("alg", ALGORITHMS)
@given(claims=claims_of)
def test_we_read_what_joserfc_mints(alg: Literal["Ed25519", "ES256"], claims: dict[str, Any]) -> None:
    token = joserfc_jwt.encode(
        {"alg": alg, "typ": "aa-agent+jwt"}, claims, theirs(KEYS[alg], private=True), algorithms=[alg]
    )
    jwt = parse_jwt(token)
    jwt.jws.verify(KEYS[alg].public)
    assert jwt.claims == claims


@pytest.mark.parametrize("alg", ALGORITHMS)
@given(secret=st.binary(min_size=32, max_size=32))
def test_thumbprints_and_public_keys_are_joserfc_s(alg: Literal["Ed25519", "ES256"], secret: bytes) -> None:
    key = SigningKey.generate(lambda size: (b"\x01" + secret[1:]) if alg == "ES256" else secret, alg)
    assert theirs(key).thumbprint() == theirs(key, private=True).thumbprint() == key.kid
    assert parse_jwk({**theirs(key, private=True).as_dict(private=False), "alg": alg}).same_key(key.public)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_both_refuse_the_same_changed_signature(alg: Literal["Ed25519", "ES256"]) -> None:
    signing_input, _, signature = sign_jwt(KEYS[alg], {"typ": "x"}, {"a": 1}).rpartition(".")
    raw = bytearray(b64url_decode(signature))
    raw[10] ^= 1
    token = f"{signing_input}.{b64url_encode(bytes(raw))}"
    with pytest.raises(BadSignature):
        parse_jwt(token).jws.verify(KEYS[alg].public)
    with pytest.raises(BadSignatureError):
        joserfc_jwt.decode(token, theirs(KEYS[alg]), algorithms=[alg])
