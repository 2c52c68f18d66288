"""ES256: r and s, 64 bytes, and nothing else; Wycheproof's P1363 cases and F04."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import utils

from aauthkit.protocol.jose import P256_ORDER, BadSignature, PublicKey, SigningKey, b64url_encode, parse_jwk
from tests.unit.protocol.specimens import DEVICE_KEY


def accepts(key: PublicKey, message: bytes, signature: bytes) -> bool:
    try:
        key.verify(message, signature)
    except BadSignature:
        return False
    return True


def key_of(group: dict[str, dict[str, str]]) -> PublicKey:
    """The key of a group of Wycheproof; its coordinates are DER integers, so a leading zero may stand or miss."""
    x, y = (int(group["publicKey"][name], 16).to_bytes(32, "big") for name in ("wx", "wy"))
    return parse_jwk({"kty": "EC", "crv": "P-256", "alg": "ES256", "x": b64url_encode(x), "y": b64url_encode(y)})


def test_each_case_of_wycheproof_gets_the_verdict_it_must_have(vectors_dir: Path) -> None:
    pack = json.loads((vectors_dir / "wycheproof" / "ecdsa_secp256r1_sha256_p1363_test.json").read_text())
    run = 0
    wrong = []
    for group in pack["testGroups"]:
        key = key_of(group)
        for test in group["tests"]:
            run += 1
            verdict = accepts(key, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
            if verdict is not (test["result"] == "valid"):
                wrong.append((test["tcId"], test["comment"]))
    assert not wrong
    assert run == pack["numberOfTests"] == 262


def test_f04_a_signature_is_64_bytes_and_der_is_refused() -> None:
    """F04; RFC 7518 §3.4, RFC 9421 §3.3."""
    raw = DEVICE_KEY.sign(b"m")
    assert len(raw) == 64
    assert accepts(DEVICE_KEY.public, b"m", raw)
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    assert not accepts(DEVICE_KEY.public, b"m", der)
    with pytest.raises(BadSignature, match="exactly 64 bytes"):
        DEVICE_KEY.public.verify(b"m", der)


def test_f04_der_of_exactly_64_bytes_is_read_as_r_and_s() -> None:
    """F04: a short r and s make DER as long as the raw form; its length says nothing then, and nothing is guessed."""
    short = int.from_bytes(b"\x01" + bytes(28), "big")
    der = utils.encode_dss_signature(short, short)
    assert len(der) == 64
    assert not accepts(DEVICE_KEY.public, b"m", der)


@pytest.mark.parametrize("size", [0, 32, 63, 65, 70, 71, 72, 96, 128])
def test_a_signature_of_another_size_is_refused(size: int) -> None:
    raw = DEVICE_KEY.sign(b"m")
    assert not accepts(DEVICE_KEY.public, b"m", (raw * 2)[:size])


@pytest.mark.parametrize("r", [0, P256_ORDER, P256_ORDER + 1, 2**256 - 1])
def test_r_and_s_out_of_range_are_refused(r: int) -> None:
    good = DEVICE_KEY.sign(b"m")
    edge = r.to_bytes(32, "big")
    for signature in (edge + good[32:], good[:32] + edge, edge + edge):
        assert not accepts(DEVICE_KEY.public, b"m", signature)


def test_a_signature_has_a_twin_so_that_a_replay_cannot_be_known_by_its_bytes() -> None:
    """(r, n - s) verifies too: the reason why replay is remembered by the signature base."""
    raw = DEVICE_KEY.sign(b"m")
    twin = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    assert twin != raw
    assert accepts(DEVICE_KEY.public, b"m", twin)


def test_rs_with_leading_zeros_keep_their_full_width() -> None:
    key = SigningKey("ES256", DEVICE_KEY.secret)
    assert {len(key.sign(bytes([number]))) for number in range(64)} == {64}


def test_a_signature_of_another_key_or_message_is_refused() -> None:
    raw = DEVICE_KEY.sign(b"m")
    other = SigningKey("ES256", bytes([9] * 32))
    assert not accepts(other.public, b"m", raw)
    assert not accepts(DEVICE_KEY.public, b"n", raw)
