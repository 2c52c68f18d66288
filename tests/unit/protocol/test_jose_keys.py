"""Keys: the algorithm is the key's own, a key is whole and for signatures, a set is read by `kid` alone."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol.jose import (
    ALGORITHMS,
    P256_ORDER,
    JoseError,
    KeyRejected,
    PublicKey,
    SigningKey,
    b64url_decode,
    b64url_encode,
    key_from_jwks,
    parse_jwk,
)
from tests.unit.protocol.specimens import AGENT_KEY, DEVICE_KEY, KEYS, OTHER_KEY, plain

ED = plain(AGENT_KEY.public)
EC = plain(DEVICE_KEY.public)
X25519 = {"kty": "OKP", "crv": "X25519", "x": ED["x"]}
OCT = {"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr4"}
RSA = {"kty": "RSA", "n": b64url_encode(b"\xff" * 256), "e": "AQAB"}
P384 = {"kty": "EC", "crv": "P-384", "x": b64url_encode(bytes(48)), "y": b64url_encode(bytes(48))}


def code_of(jwk: object) -> str:
    with pytest.raises(KeyRejected) as refused:
        parse_jwk(jwk)
    return refused.value.code


# The algorithm (draft-11 §11.3.1, §11.3.4 step 6; Signature-Keys §3.3)

UNSUPPORTED: dict[str, dict[str, Any]] = {
    "F12: no alg": {name: value for name, value in ED.items() if name != "alg"},
    "F12: no alg on P-256": {name: value for name, value in EC.items() if name != "alg"},
    "F12: null alg": {**ED, "alg": None},
    "F11: EdDSA": {**ED, "alg": "EdDSA"},
    "F10: none": {**ED, "alg": "none"},
    "F10: HS256": {**ED, "alg": "HS256"},
    "F10: an oct key": {**OCT, "alg": "HS256"},
    "F10: an oct key that says Ed25519 is no Ed25519": {**OCT, "alg": "HS512"},
    "Ed448": {**ED, "crv": "Ed448", "alg": "Ed448"},
    "ES384": {**P384, "alg": "ES384"},
    "RS256": {**RSA, "alg": "RS256"},
    "PS256": {**RSA, "alg": "PS256"},
    "ML-DSA": {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AA"},
    "ECDH-ES": {**X25519, "alg": "ECDH-ES"},
    "another case": {**ED, "alg": "ed25519"},
    "empty": {**ED, "alg": ""},
    "a number": {**ED, "alg": 1},
    "a list": {**ED, "alg": ["Ed25519"]},
    "an object": {**ED, "alg": {"name": "Ed25519"}},
    "true": {**ED, "alg": True},
}


@pytest.mark.parametrize("jwk", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_f10_f11_f12_a_key_without_an_algorithm_that_is_served_is_unsupported(jwk: dict[str, Any]) -> None:
    """F10, F11, F12."""
    assert code_of(jwk) == "unsupported_algorithm"


INVALID: dict[str, object] = {
    "F12: ES256 on an OKP key": {**ED, "alg": "ES256"},
    "F12: Ed25519 on an EC key": {**EC, "alg": "Ed25519"},
    "F12: kty of another": {**ED, "kty": "EC"},
    "F12: crv of another": {**ED, "crv": "X25519"},
    "F12: P-384 with ES256": {**P384, "alg": "ES256"},
    "F12: RSA with ES256": {**RSA, "alg": "ES256"},
    "F12: oct with ES256": {**OCT, "alg": "ES256"},
    "no kty": {name: value for name, value in ED.items() if name != "kty"},
    "kty a number": {**ED, "kty": 1},
    "kty a list": {**ED, "kty": ["OKP"]},
    "no crv": {name: value for name, value in ED.items() if name != "crv"},
    "crv a list": {**ED, "crv": ["Ed25519"]},
    "no x": {name: value for name, value in ED.items() if name != "x"},
    "no y": {name: value for name, value in EC.items() if name != "y"},
    "x a number": {**ED, "x": 7},
    "x null": {**ED, "x": None},
    "x empty": {**ED, "x": ""},
    "x padded": {**ED, "x": ED["x"] + "="},
    "x in standard base64": {**ED, "x": "+" + ED["x"][1:]},
    "x with stray bits": {**ED, "x": ED["x"][:-1] + chr(ord(ED["x"][-1]) + 1)},
    "x too short": {**ED, "x": b64url_encode(bytes(31))},
    "x too long": {**ED, "x": b64url_encode(bytes(33))},
    "P-256 x with a leading zero more": {**EC, "x": b64url_encode(b"\0" + b64url_decode(EC["x"]))},
    "a point off the curve": {**EC, "y": b64url_encode(bytes(31) + b"\x01")},
    "the point at infinity": {**EC, "x": b64url_encode(bytes(32)), "y": b64url_encode(bytes(32))},
    "a coordinate beyond the field": {**EC, "x": b64url_encode(b"\xff" * 32)},
    "a private part": AGENT_KEY.to_jwk(),
    "an empty private part": {**ED, "d": ""},
    "a null private part": {**ED, "d": None},
    "use enc": {**ED, "use": "enc"},
    "use a list": {**ED, "use": ["sig"]},
    "use null": {**ED, "use": None},
    "key_ops sign": {**ED, "key_ops": ["sign"]},
    "key_ops encrypt": {**ED, "key_ops": ["encrypt"]},
    "key_ops empty": {**ED, "key_ops": []},
    "key_ops a string": {**ED, "key_ops": "verify"},
    "kid a number": {**ED, "kid": 1},
    "kid a list": {**ED, "kid": ["a"]},
    "a string": "key",
    "null": None,
    "a list": [ED],
}


@pytest.mark.parametrize("jwk", INVALID.values(), ids=INVALID)
def test_f12_a_key_that_contradicts_itself_or_cannot_be_parsed_is_invalid(jwk: object) -> None:
    """F12."""
    assert code_of(jwk) == "invalid_key"


GOOD: dict[str, dict[str, Any]] = {
    "Ed25519": ED,
    "ES256": EC,
    "members not known": {**ED, "x5c": ["…"], "jku": "https://evil.example", "exp": 1, "y": "ignored"},
    "use sig": {**ED, "use": "sig"},
    "key_ops verify": {**ED, "key_ops": ["sign", "verify"]},
    "a kid": {**ED, "kid": "a"},
}


@pytest.mark.parametrize("jwk", GOOD.values(), ids=GOOD)
def test_a_good_key_is_read_and_written_again(jwk: dict[str, Any]) -> None:
    key = parse_jwk(jwk)
    expected = ED if jwk["kty"] == "OKP" else EC
    assert plain(key) == expected
    assert key.alg == jwk["alg"]
    assert key.kid == jwk.get("kid")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_f11_every_key_we_make_names_its_algorithm(alg: Literal["Ed25519", "ES256"]) -> None:
    """F11: `Ed25519`, never `EdDSA`."""
    key = KEYS[alg]
    assert key.public.jwk["alg"] == key.to_jwk()["alg"] == alg
    assert parse_jwk(key.public.jwk).alg == alg


def test_the_thumbprint_is_of_the_required_members_only() -> None:
    """RFC 7638 §3.2: neither `alg` nor `kid` nor `use` counts."""
    assert parse_jwk({**ED, "kid": "a", "use": "sig"}).thumbprint == parse_jwk(ED).thumbprint == AGENT_KEY.kid
    assert parse_jwk(EC).thumbprint == DEVICE_KEY.kid
    assert AGENT_KEY.kid != OTHER_KEY.kid


def test_two_keys_are_one_by_algorithm_and_thumbprint() -> None:
    assert parse_jwk({**ED, "kid": "a"}).same_key(parse_jwk({**ED, "kid": "b"}))
    assert not parse_jwk(ED).same_key(OTHER_KEY.public)
    assert not parse_jwk(ED).same_key(parse_jwk(EC))


# Private keys


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_private_key_comes_back_as_it_was_written(alg: Literal["Ed25519", "ES256"]) -> None:
    key = KEYS[alg]
    read = SigningKey.from_jwk(key.to_jwk())
    assert read == key
    assert read.kid == key.kid == key.public.thumbprint == key.to_jwk()["kid"]
    assert SigningKey.from_jwk({**key.to_jwk(), "key_ops": ["sign"], "use": "sig"}) == key


PRIVATE_REFUSED: dict[str, object] = {
    "no private part": ED,
    "a private part of another size": {**ED, "d": b64url_encode(bytes(31))},
    "not base64url": {**ED, "d": "+" * 43},
    "another key's public part": {**OTHER_KEY.to_jwk(), "d": AGENT_KEY.to_jwk()["d"]},
    "another key's public part on P-256": {**EC, "d": b64url_encode(bytes([3] * 32))},
    "a scalar of zero": {**EC, "d": b64url_encode(bytes(32))},
    "a scalar of the order": {**EC, "d": b64url_encode(P256_ORDER.to_bytes(32, "big"))},
    "a scalar beyond it": {**EC, "d": b64url_encode(b"\xff" * 32)},
    "EdDSA": {**AGENT_KEY.to_jwk(), "alg": "EdDSA"},
    "no alg": {name: value for name, value in AGENT_KEY.to_jwk().items() if name != "alg"},
    "for encryption": {**AGENT_KEY.to_jwk(), "use": "enc"},
    "no object": "key",
}


@pytest.mark.parametrize("jwk", PRIVATE_REFUSED.values(), ids=PRIVATE_REFUSED)
def test_a_private_key_that_is_not_whole_is_refused(jwk: object) -> None:
    with pytest.raises(KeyRejected):
        SigningKey.from_jwk(jwk)


def test_a_generated_key_is_made_of_the_source_given() -> None:
    assert SigningKey.generate(lambda size: bytes(range(size))) == AGENT_KEY
    draws = iter([bytes(32), b"\xff" * 32, DEVICE_KEY.secret])
    assert SigningKey.generate(lambda size: next(draws), "ES256") == DEVICE_KEY


def test_f87_no_private_or_public_material_shows_in_a_repr() -> None:
    """F87."""
    for key in (AGENT_KEY, DEVICE_KEY):
        shown = repr(key) + repr(key.public)
        assert b64url_encode(key.secret) not in shown
        assert repr(key.secret) not in shown
        assert "secret" not in shown


# A JWKS (draft-11 §11.4)

JUNK: list[Any] = [
    None,
    1,
    "key",
    [],
    {},
    {"kid": "other"},
    {"kid": 1},
    {"kid": None, **RSA},
    {**RSA, "kid": "rsa", "alg": "RS256"},
    {**ED, "kid": "old", "alg": "EdDSA"},
    {**EC, "kid": "broken", "y": "!"},
    {**OCT, "kid": "oct"},
]


def test_unusable_neighbours_break_nothing() -> None:
    """draft-11 §11.4: only the member that `kid` names is looked into."""
    key = key_from_jwks({"keys": [*JUNK, {**ED, "kid": "mine"}, *JUNK], "extra": 1}, "mine")
    assert key == parse_jwk({**ED, "kid": "mine"})


@pytest.mark.parametrize("kid", ["rsa", "old", "broken", "oct", "other"])
def test_the_member_that_is_named_must_be_usable(kid: str) -> None:
    with pytest.raises(KeyRejected):
        key_from_jwks({"keys": [*JUNK, {**ED, "kid": "mine"}]}, kid)


def test_a_kid_that_is_not_there_finds_nothing_and_no_other_key_is_tried() -> None:
    assert key_from_jwks({"keys": [{**ED, "kid": "mine"}, ED, *JUNK]}, "yours") is None
    assert key_from_jwks({"keys": []}, "mine") is None
    assert key_from_jwks({"keys": [ED]}, AGENT_KEY.kid) is None


def test_one_kid_for_two_keys_is_refused_and_the_same_key_twice_is_not() -> None:
    """Wycheproof: a duplicate `kid` is ambiguous."""
    first, second = {**ED, "kid": "mine"}, {**plain(OTHER_KEY.public), "kid": "mine"}
    with pytest.raises(KeyRejected, match="two keys"):
        key_from_jwks({"keys": [first, second]}, "mine")
    assert key_from_jwks({"keys": [first, dict(first)]}, "mine") == parse_jwk(first)


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": "x"}, {"keys": 1}])
def test_a_document_without_keys_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(KeyRejected):
        key_from_jwks(document, "mine")


def test_no_more_than_a_bounded_number_of_members_is_looked_at() -> None:
    many = [{**ED, "kid": f"k{number}"} for number in range(300)]
    assert key_from_jwks({"keys": many}, "k255") is not None
    assert key_from_jwks({"keys": many}, "k299") is None


# base64url (RFC 7515 §2)


@given(st.binary(max_size=70))
def test_base64url_comes_back(data: bytes) -> None:
    text = b64url_encode(data)
    assert b64url_decode(text) == data
    assert not {"+", "/", "="} & set(text)


@pytest.mark.parametrize(
    "text", ["A", "AAAAA", "AA=", "AA==", "A+A", "A/A", "A A", "AA\n", "\u00e9A", "AB", "AAB", None, 1, b"AA"]
)
def test_what_is_not_base64url_without_padding_and_stray_bits_is_refused(text: object) -> None:
    with pytest.raises(JoseError):
        b64url_decode(text)


@given(st.text("AQgw_-", max_size=12))
def test_no_bytes_have_two_texts(text: str) -> None:
    with contextlib.suppress(JoseError):
        assert b64url_encode(b64url_decode(text)) == text


values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), st.lists, max_leaves=3)
members = st.sampled_from(["kty", "crv", "alg", "x", "y", "kid", "use", "key_ops", "d"])


@given(st.dictionaries(members, values), st.sampled_from([ED, EC]))
def test_no_member_of_a_key_raises_anything_but_a_refusal(changes: dict[str, Any], jwk: dict[str, Any]) -> None:
    with contextlib.suppress(KeyRejected):
        assert isinstance(parse_jwk({**jwk, **changes}), PublicKey)
    with contextlib.suppress(KeyRejected):
        assert isinstance(SigningKey.from_jwk({**AGENT_KEY.to_jwk(), **changes}), SigningKey)


@pytest.mark.parametrize("key", [AGENT_KEY, DEVICE_KEY, OTHER_KEY])
def test_the_thumbprint_is_over_the_members_in_the_order_of_their_names(key: SigningKey) -> None:
    """RFC 7638 §3."""
    members = {name: value for name, value in key.public.jwk.items() if name not in ("alg", "kid", "use")}
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    assert key.public.thumbprint == b64url_encode(hashlib.sha256(text.encode()).digest())
