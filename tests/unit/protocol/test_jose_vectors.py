"""Wycheproof's JSON Web Keys and Signatures: what must be refused is, and of the rest what we serve is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aauthkit.protocol.jose import ALGORITHMS, BadSignature, JoseError, KeyRejected, key_from_jwks, parse_jwk, parse_jws

SYMMETRIC = "symmetric algorithms are forbidden (draft-11 §11.3.1)"
RSA = "RSA is not served: Accept-Signature-Alg says Ed25519 and ES256"
ES512 = "P-521 is not served, and the vector's own name for it, ES521, is none"

KEY_STRICTER = {
    2: SYMMETRIC,
    5: RSA,
    13: SYMMETRIC,
    14: SYMMETRIC,
    15: SYMMETRIC,
}
"""Cases of the JWK pack whose signature is valid and refused here, with the reason."""

JWS_STRICTER = {
    1: SYMMETRIC,
    **dict.fromkeys((33, *range(259, 272)), RSA),
    **dict.fromkeys((*range(272, 276), 287, 288, *range(320, 324), *range(325, 329)), RSA),
    **dict.fromkeys((345, 346, 349, 350), RSA),
    **dict.fromkeys((347, 351), ES512),
    **dict.fromkeys((348, 352, 357, 358, 359, 372, 373, 376, 377), SYMMETRIC),
}
"""The same for the JWS pack."""

SERVED_VALID = {18, 378}
"""The valid cases of the JWS pack under an algorithm that is served; too few to be left to chance."""


def load(vectors_dir: Path, name: str, size: int) -> list[dict[str, Any]]:
    pack = json.loads((vectors_dir / "wycheproof" / name).read_text())
    assert sum(len(group["tests"]) for group in pack["testGroups"]) == pack["numberOfTests"] == size
    groups: list[dict[str, Any]] = pack["testGroups"]
    return groups


def published(group: dict[str, Any]) -> dict[str, Any]:
    """The key or key set that a verifier would be given: the public one, where there is one at all."""
    key: dict[str, Any] = group.get("public") or group["private"]
    return key


def accepted_under_set(jws: str, keys: dict[str, Any]) -> bool:
    try:
        parsed = parse_jws(jws)
        key = key_from_jwks(keys, str(parsed.header.get("kid")))
        if key is None:
            return False
        parsed.verify(key)
    except (JoseError, BadSignature):
        return False
    return True


def accepted_under_key(jws: Any, jwk: dict[str, Any]) -> bool:
    try:
        parse_jws(jws).verify(parse_jwk(jwk))
    except (JoseError, BadSignature):
        return False
    return True


def test_each_json_web_key_case_gets_its_verdict_or_is_named_with_a_reason(vectors_dir: Path) -> None:
    stricter, wrong = set(), []
    for group in load(vectors_dir, "json_web_key_test.json", 26):
        for test in group["tests"]:
            accepted, valid = accepted_under_set(test["jws"], published(group)), test["result"] == "valid"
            if valid and not accepted:
                stricter.add(test["tcId"])
            elif accepted is not valid:
                wrong.append((test["tcId"], test["comment"]))
    assert not wrong
    assert stricter == set(KEY_STRICTER)


def test_each_json_web_signature_case_gets_its_verdict_or_is_named_with_a_reason(vectors_dir: Path) -> None:
    stricter, accepted_cases, wrong = set(), set(), []
    for group in load(vectors_dir, "json_web_signature_test.json", 401):
        for test in group["tests"]:
            accepted, valid = accepted_under_key(test["jws"], published(group)), test["result"] == "valid"
            if accepted:
                accepted_cases.add(test["tcId"])
            if valid and not accepted:
                stricter.add(test["tcId"])
            elif accepted is not valid:
                wrong.append((test["tcId"], test["comment"]))
    assert not wrong
    assert stricter == set(JWS_STRICTER)
    assert accepted_cases == SERVED_VALID


def test_each_key_of_an_algorithm_that_is_not_served_is_refused_by_the_draft_s_code(vectors_dir: Path) -> None:
    """draft-11 §11.3.4 step 6: whatever its signature says, such a key is `unsupported_algorithm`."""
    groups = load(vectors_dir, "json_web_signature_test.json", 401)
    groups += load(vectors_dir, "json_web_key_test.json", 26)
    keys = [key for group in groups for key in published(group).get("keys", [published(group)])]
    unserved = [key for key in keys if key.get("alg") not in ALGORITHMS]
    assert len(unserved) > 30
    for key in unserved:
        with pytest.raises(KeyRejected) as refused:
            parse_jwk(key)
        assert refused.value.code == "unsupported_algorithm"


def test_a_key_that_says_it_is_for_encryption_verifies_nothing(vectors_dir: Path) -> None:
    """RFC 7517 §4.2: case 21 of the JWK pack is a good ES256 key and signature but for `use`."""
    [group] = [g for g in load(vectors_dir, "json_web_key_test.json", 26) if g["comment"] == "invalid_use"]
    [key] = published(group)["keys"]
    with pytest.raises(KeyRejected, match="use is not sig"):
        parse_jwk(key)
    assert accepted_under_key(group["tests"][0]["jws"], {**key, "use": "sig"})
