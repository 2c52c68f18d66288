"""Ed25519: one verdict from libsodium and from the fallback, over every published edge case."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol import ed25519
from aauthkit.protocol.ed25519 import BadSignature, verify_with_openssl, verify_with_sodium

Verify = Callable[[bytes, bytes, bytes], None]
BACKENDS = {"libsodium": verify_with_sodium, "OpenSSL": verify_with_openssl}

# ed25519-speccheck, in its order; the names are those of its paper's table.
SPECCHECK = (
    False,  # 0: small order A and R, S = 0
    False,  # 1: small order A
    False,  # 2: small order R
    True,  # 3: A and R of mixed order, and both verification equations hold
    False,  # 4: holds with the cofactor only
    False,  # 5: holds with the cofactor only
    False,  # 6: S beyond the group order
    False,  # 7: S far beyond the group order
    False,  # 8: non-canonical R, reduced for the hash
    False,  # 9: non-canonical R, not reduced
    False,  # 10: non-canonical A, reduced for the hash
    False,  # 11: non-canonical A, not reduced
)

SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]
SEED = bytes(range(32))
PUBLIC = ed25519.public_of(SEED)
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493

both = pytest.mark.parametrize("verify", BACKENDS.values(), ids=BACKENDS)


def accepts(verify: Verify, public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        verify(public, message, signature)
    except BadSignature:
        return False
    return True


@both
def test_each_case_of_speccheck_gets_libsodium_s_verdict(vectors_dir: Path, verify: Verify) -> None:
    cases = json.loads((vectors_dir / "ed25519-speccheck" / "cases.json").read_text())
    verdicts = tuple(
        accepts(verify, *(bytes.fromhex(case[name]) for name in ("pub_key", "message", "signature"))) for case in cases
    )
    assert verdicts == SPECCHECK


@both
def test_each_case_of_wycheproof_gets_the_verdict_it_must_have(vectors_dir: Path, verify: Verify) -> None:
    pack = json.loads((vectors_dir / "wycheproof" / "ed25519_test.json").read_text())
    run = 0
    wrong = []
    for group in pack["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            run += 1
            verdict = accepts(verify, public, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
            if verdict is not (test["result"] == "valid"):
                wrong.append((test["tcId"], test["comment"]))
    assert not wrong
    assert run == pack["numberOfTests"] == 151


@both
@pytest.mark.parametrize("point", SMALL_ORDER)
def test_a_key_or_an_r_of_small_order_is_refused_in_every_encoding(verify: Verify, point: str) -> None:
    encoded = bytes.fromhex(point)
    good = ed25519.sign(SEED, PUBLIC, b"m")
    assert not accepts(verify, encoded, b"m", good)
    assert not accepts(verify, PUBLIC, b"m", encoded + good[32:])
    assert not accepts(verify, encoded, b"m", encoded + bytes(32))


@both
@pytest.mark.parametrize("offset", range(19))
def test_an_encoding_of_a_coordinate_beyond_the_field_is_refused(verify: Verify, offset: int) -> None:
    beyond = (ed25519.FIELD_PRIME + offset).to_bytes(32, "little")
    signature = ed25519.sign(SEED, PUBLIC, b"m")
    for encoded in (beyond, beyond[:31] + bytes([beyond[31] | 0x80])):
        assert not accepts(verify, encoded, b"m", signature)
        assert not accepts(verify, PUBLIC, b"m", encoded + signature[32:])


def test_the_fallback_reads_no_coordinate_beyond_the_field() -> None:
    """Nobody can sign for such a key, so that only the check itself shows it; libsodium has the same one."""
    for offset in range(19):
        beyond = (ed25519.FIELD_PRIME + offset).to_bytes(32, "little")
        assert not ed25519._sound_point(beyond)
        assert not ed25519._sound_point(beyond[:31] + bytes([beyond[31] | 0x80]))
    assert ed25519._sound_point((ed25519.FIELD_PRIME - 2).to_bytes(32, "little"))


@both
def test_a_second_s_for_the_same_signature_is_refused(verify: Verify) -> None:
    signature = ed25519.sign(SEED, PUBLIC, b"m")
    s = int.from_bytes(signature[32:], "little")
    assert accepts(verify, PUBLIC, b"m", signature)
    assert not accepts(verify, PUBLIC, b"m", signature[:32] + (s + GROUP_ORDER).to_bytes(32, "little"))


@both
@pytest.mark.parametrize("size", [0, 1, 63, 65, 128])
def test_a_signature_of_another_size_is_refused(verify: Verify, size: int) -> None:
    signature = (ed25519.sign(SEED, PUBLIC, b"m") * 2)[:size]
    assert not accepts(verify, PUBLIC, b"m", signature)


@both
@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_of_another_size_is_refused(verify: Verify, size: int) -> None:
    assert not accepts(verify, (PUBLIC * 2)[:size], b"m", ed25519.sign(SEED, PUBLIC, b"m"))


def test_both_ways_of_signing_write_the_same_bytes() -> None:
    """RFC 8032 §5.1.6 is deterministic."""
    for message in (b"", b"m", b"m" * 5000):
        assert ed25519.sign_with_openssl(SEED, message) == ed25519.sign_with_sodium(SEED, PUBLIC, message)
        assert ed25519.sign(SEED, PUBLIC, message) == ed25519.sign_with_openssl(SEED, message)


def test_rfc8032_test_3_is_signed_and_verified() -> None:
    """RFC 8032 §7.1."""
    seed = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
    public = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
    signature = bytes.fromhex(
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )
    assert ed25519.public_of(seed) == public
    assert ed25519.sign(seed, public, bytes.fromhex("af82")) == signature
    for verify in BACKENDS.values():
        assert accepts(verify, public, bytes.fromhex("af82"), signature)


def test_libsodium_is_what_verifies_where_it_is_at_hand() -> None:
    assert ed25519.HAVE_SODIUM
    assert ed25519.verify is verify_with_sodium


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=64), st.integers(0, 96 * 8 - 1))
def test_one_flipped_bit_anywhere_is_refused_by_both(seed: bytes, message: bytes, bit: int) -> None:
    public = ed25519.public_of(seed)
    signed = bytearray(public + ed25519.sign_with_openssl(seed, message))
    for verify in BACKENDS.values():
        assert accepts(verify, bytes(signed[:32]), message, bytes(signed[32:]))
    signed[bit // 8] ^= 1 << bit % 8
    for verify in BACKENDS.values():
        assert not accepts(verify, bytes(signed[:32]), message, bytes(signed[32:]))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=16), st.binary(min_size=64, max_size=64))
def test_both_agree_on_any_bytes(public: bytes, message: bytes, signature: bytes) -> None:
    assert accepts(verify_with_sodium, public, message, signature) is accepts(
        verify_with_openssl, public, message, signature
    )
