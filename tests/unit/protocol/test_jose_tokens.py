"""Compact JWS and JWT: three parts, an algorithm that is the key's, nothing critical, and no key from the header."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, Literal

import pytest
from cryptography.hazmat.primitives.asymmetric import utils
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol.jose import (
    ALGORITHMS,
    MAX_TOKEN,
    BadSignature,
    JoseError,
    SigningKey,
    b64url_decode,
    b64url_encode,
    parse_jws,
    parse_jwt,
    sign_jwt,
)
from tests.unit.protocol.specimens import AGENT_KEY, DEVICE_KEY, KEYS, OTHER_KEY

CLAIMS = {"iss": "https://ps.example", "exp": 1}


def made_of(header: object, payload: object = CLAIMS, key: SigningKey = AGENT_KEY) -> str:
    """A JWS whose header says whatever it is told to, with a signature of `key` that holds."""
    parts = [
        b64url_encode(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, payload)
    ]
    return ".".join([*parts, b64url_encode(key.sign(".".join(parts).encode()))])


def verified(token: object, key: SigningKey = AGENT_KEY) -> bool:
    try:
        parse_jwt(token).jws.verify(key.public)
    except (JoseError, BadSignature):
        return False
    return True


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_verifies_under_its_key_and_no_other(alg: Literal["Ed25519", "ES256"]) -> None:
    token = sign_jwt(KEYS[alg], {"typ": "x+jwt", "kid": "k"}, CLAIMS)
    jwt = parse_jwt(token)
    assert jwt.claims == CLAIMS
    assert jwt.header == {"alg": alg, "typ": "x+jwt", "kid": "k"}
    assert verified(token, KEYS[alg])
    assert not verified(token, OTHER_KEY if alg == "Ed25519" else SigningKey("ES256", bytes([7] * 32)))


def test_a_header_given_to_us_cannot_name_another_algorithm() -> None:
    assert parse_jwt(sign_jwt(AGENT_KEY, {"alg": "none"}, CLAIMS)).header["alg"] == "Ed25519"


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "HS256", "HS512", "EdDSA", "ES256", "ES384", "RS256", "ed25519", ""]
)
def test_f10_a_header_that_names_another_algorithm_than_the_key_is_refused(alg: str) -> None:
    """F10, F11: though the signature is the key's own."""
    assert verified(made_of({"alg": "Ed25519"}))
    assert not verified(made_of({"alg": alg}))
    assert not verified(made_of({"alg": alg if alg != "ES256" else "Ed25519"}, key=DEVICE_KEY), DEVICE_KEY)


@pytest.mark.parametrize(
    "header", [{}, {"alg": None}, {"alg": 1}, {"alg": ["Ed25519"]}, {"alg": {}}, {"ALG": "Ed25519"}]
)
def test_a_header_without_an_algorithm_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(JoseError, match="no alg"):
        parse_jws(made_of(header))


def test_f10_none_without_a_signature_is_refused() -> None:
    """F10."""
    token = made_of({"alg": "none"})
    assert not verified(token.rpartition(".")[0] + ".")
    assert not verified(token.rpartition(".")[0])


def test_f10_a_public_key_is_no_secret_for_an_hmac() -> None:
    """F10: the oldest confusion, HS256 keyed with the bytes of the public key."""
    signing_input = made_of({"alg": "HS256"}).rpartition(".")[0]
    for key in (AGENT_KEY, DEVICE_KEY):
        mac = hmac.new(key.public.raw, signing_input.encode(), hashlib.sha256).digest()
        for forged in (mac, mac + mac):
            assert not verified(f"{signing_input}.{b64url_encode(forged)}", key)


@pytest.mark.parametrize("value", [["exp"], ["b64"], [], None, "x", {}])
def test_a_critical_extension_is_refused_whatever_it_is(value: object) -> None:
    """RFC 7515 §4.1.11: none is known here."""
    with pytest.raises(JoseError, match="critical"):
        parse_jws(made_of({"alg": "Ed25519", "crit": value, "exp": 1}))


def test_an_unencoded_payload_is_refused() -> None:
    """RFC 7797."""
    with pytest.raises(JoseError, match="unencoded"):
        parse_jws(made_of({"alg": "Ed25519", "b64": False}))
    assert verified(made_of({"alg": "Ed25519", "b64": True}))


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_or_address_in_the_header_is_never_used(name: str) -> None:
    """Parsing looks at neither; the key comes from the caller, and theirs does not verify under it."""
    value = {"jwk": OTHER_KEY.public.jwk}.get(name, "https://evil.example/keys")
    token = made_of({"alg": "Ed25519", name: value}, key=OTHER_KEY)
    assert parse_jwt(token).claims == CLAIMS
    assert not verified(token, AGENT_KEY)


def test_f04_a_der_signature_of_a_token_is_refused() -> None:
    """F04."""
    signing_input, _, signature = made_of({"alg": "ES256"}, key=DEVICE_KEY).rpartition(".")
    raw = b64url_decode(signature)
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    assert verified(f"{signing_input}.{signature}", DEVICE_KEY)
    assert not verified(f"{signing_input}.{b64url_encode(der)}", DEVICE_KEY)


GOOD = made_of({"alg": "Ed25519"})
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")
ALG = b'"alg":"Ed25519"'

MALFORMED: dict[str, object] = {
    "empty": "",
    "one part": HEADER,
    "two parts": f"{HEADER}.{PAYLOAD}",
    "four parts": f"{GOOD}.{SIGNATURE}",
    "five parts, as an encrypted token": f"{GOOD}..",
    "an empty header": f".{PAYLOAD}.{SIGNATURE}",
    "no payload": f"{HEADER}..{SIGNATURE}",
    "padding": f"{HEADER}=.{PAYLOAD}.{SIGNATURE}",
    "padded signature": f"{GOOD}==",
    "standard base64": f"{HEADER}.{PAYLOAD}.+{SIGNATURE[1:]}",
    "a space": f" {GOOD}",
    "a line end": f"{GOOD}\n",
    "a header that is no JSON": f"{b64url_encode(b'alg')}.{PAYLOAD}.{SIGNATURE}",
    "a header that is a list": made_of(["Ed25519"]),
    "a payload that is a list": made_of({"alg": "Ed25519"}, [1]),
    "a payload that is a string": made_of({"alg": "Ed25519"}, "claims"),
    "a header with a member twice": made_of(b"{" + ALG + b"," + ALG + b"}"),
    "a payload with a member twice": made_of({"alg": "Ed25519"}, b'{"sub":"a","sub":"b"}'),
    "a payload with NaN": made_of({"alg": "Ed25519"}, b'{"exp":NaN}'),
    "a deep payload": made_of({"alg": "Ed25519"}, b'{"a":' * 17 + b"1" + b"}" * 17),
    "a deep header": made_of(b"{" + ALG + b',"a":' + b"[" * 17 + b"]" * 17 + b"}"),
    "not ascii": GOOD + "\u00e9",
    "too long": made_of({"alg": "Ed25519"}, {"a": "x" * MAX_TOKEN}),
    "bytes": GOOD.encode(),
    "none": None,
    "an object": {"payload": PAYLOAD, "signatures": []},
}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_a_compact_token_is_refused(token: object) -> None:
    with pytest.raises(JoseError):
        parse_jwt(token)


@pytest.mark.parametrize("part", range(3))
def test_stray_bits_in_any_part_are_refused(part: int) -> None:
    """A token has one spelling: its exact bytes are what an assertion is remembered by."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    parts = made_of(b"{" + ALG + b"}", b'{"a":1}').split(".")
    assert verified(".".join(parts))
    parts[part] = parts[part][:-1] + alphabet[alphabet.index(parts[part][-1]) + 1]
    with pytest.raises(JoseError, match="stray bits"):
        parse_jwt(".".join(parts))


def test_a_token_at_the_bound_is_read_and_none_beyond_it() -> None:
    rest = len(made_of({"alg": "Ed25519"}, b""))
    size = (MAX_TOKEN - rest) * 3 // 4 - len('{"a": ""}')
    token = made_of({"alg": "Ed25519"}, {"a": "x" * size})
    assert len(token) == MAX_TOKEN
    assert verified(token)
    assert not verified(made_of({"alg": "Ed25519"}, {"a": "x" * (size + 1)}))


@pytest.mark.parametrize("part", range(3))
def test_one_changed_character_anywhere_is_refused(part: int) -> None:
    for key in (AGENT_KEY, DEVICE_KEY):
        token = sign_jwt(key, {"typ": "x"}, CLAIMS)
        parts = token.split(".")
        for index in range(0, len(parts[part]), 5):
            changed = parts.copy()
            other = "B" if parts[part][index] != "B" else "C"
            changed[part] = parts[part][:index] + other + parts[part][index + 1 :]
            assert not verified(".".join(changed), key)


def test_f87_neither_token_nor_claims_show_in_a_repr() -> None:
    """F87."""
    jwt = parse_jwt(made_of({"alg": "Ed25519"}, {"sub": "secret-person"}))
    assert "secret-person" not in repr(jwt)
    assert SIGNATURE not in repr(parse_jwt(GOOD))
    assert PAYLOAD not in repr(parse_jwt(GOOD))


@given(st.text(max_size=60))
def test_no_text_raises_anything_but_a_jose_error(text: str) -> None:
    assert not verified(text)


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=70))
def test_nor_do_any_three_parts(header: bytes, payload: bytes, signature: bytes) -> None:
    assert not verified(".".join(map(b64url_encode, (header, payload, signature))))
    assert not verified(".".join([HEADER, b64url_encode(payload), b64url_encode(signature)]))


json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text('ä"b\\\n')
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["typ", "kid", "alg", "jwk"]), json_values, max_size=3),
    st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=6), json_values, max_size=4),
)
def test_a_header_written_before_is_written_alike(header: dict[str, Any], claims: dict[str, Any]) -> None:
    full = {"alg": AGENT_KEY.alg, **header} | {"alg": AGENT_KEY.alg}
    expected = [json.dumps(part, separators=(",", ":"), ensure_ascii=False).encode() for part in (full, claims)]
    for _ in range(2):
        token = sign_jwt(AGENT_KEY, header, claims)
        assert [b64url_decode(part) for part in token.split(".")[:2]] == expected
