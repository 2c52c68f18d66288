"""The pack against libraries that others wrote: no outcome stands on our word alone where one of them can be asked."""

from __future__ import annotations

import base64
import hashlib
import json
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageVerifier,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import ECDSA_P256_SHA256, ED25519
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from aauthkit.conformance import Pack, Vector, load

REGISTRY = jws.JWSRegistry(algorithms=["Ed25519", "ES256", "EdDSA"], strict_check_header=False)
REFERENCE = "base-query-param-bytes"
"""Where we are stricter on purpose: an undecodable query is refused, theirs is decoded with a replacement."""


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load()


def joined(headers: list[list[str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        low = name.lower()
        found[low] = f"{found[low]}, {value.strip()}" if low in found else value
    return found


def library(alg: Any = ED25519, key: Any = None) -> HTTPMessageVerifier:
    keys = {"k": key} if key is not None else {}
    return HTTPMessageVerifier(
        signature_algorithm=alg, key_resolver=MappingKeyResolver(public_keys=keys, private_keys={})
    )


def their_base(wire: dict[str, Any], authority: str, entry: str, label: str = "sig") -> str:
    message = SimpleNamespace(
        method=wire["method"],
        url=f"{wire['scheme']}://{authority}{wire['target']}",
        headers=joined(wire["headers"]),
    )
    whole = library()
    parsed: Any = whole._parse_signature_dictionary(entry)[label]
    return str(
        whole._build_signature_base(message, covered_component_ids=list(parsed), signature_params=dict(parsed.params))[
            0
        ]
    )


def test_http_message_signatures_writes_the_same_bases(pack: Pack) -> None:
    """RFC 9421 §2. It takes a mapping of fields, so a byte-wrapped field in two lines is beyond it."""
    for vector in pack.select(kinds=["base"]):
        wire = vector.input["request"]
        if "result" not in vector.expected or vector.id in ("base-bs-lines", "base-fold"):
            continue
        found = their_base(wire, vector.input["authority"].removesuffix(":443"), vector.input["signature_input"])
        if vector.id != "base-target-uri":
            assert found == vector.expected["result"]["base"], vector.id


def test_http_message_signatures_refuses_the_same_bases(pack: Pack) -> None:
    lenient = {REFERENCE, "base-key-of-list", "base-line-break"}
    for vector in pack.select(kinds=["base"]):
        if "result" in vector.expected or vector.id in lenient:
            continue
        with pytest.raises((HTTPMessageSignaturesException, ValueError, AssertionError, AttributeError, TypeError)):
            their_base(vector.input["request"], vector.input["authority"], vector.input["signature_input"])


def public_key(jwk: dict[str, str]) -> tuple[Any, Any]:
    if jwk["alg"] == "Ed25519":
        raw = base64.urlsafe_b64decode(jwk["x"] + "=")
        return ED25519, ed25519.Ed25519PublicKey.from_public_bytes(raw)
    return ECDSA_P256_SHA256, import_key({n: v for n, v in jwk.items() if n != "alg"}).public_key


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def accepted_requests(pack: Pack) -> list[tuple[Vector, dict[str, Any]]]:
    """Vectors whose only key is that of a token, with that key."""
    found = []
    for vector in pack.select(kinds=["request"]):
        shown = joined(vector.input["request"]["headers"]).get("signature-key", "")
        if (
            "result" in vector.expected
            and shown.startswith('sig=jwt;jwt="')
            and shown.count('"') == 2
            and shown[-1] == '"'
        ):
            found.append((vector, claims_of(shown[len('sig=jwt;jwt="') : -1])["cnf"]["jwk"]))
    return found


def test_http_message_signatures_verifies_what_must_be_accepted(pack: Pack) -> None:
    """Each signature over the base that this library writes. It knows neither folds nor our reading of blanks."""
    beyond = {"field-folded", "edge-leading-zero", "edge-value-tab", "edge-value-tab-inside", "edge-value-blanks"}
    checked = 0
    for vector, jwk in accepted_requests(pack):
        if vector.id in beyond:
            continue
        fields = joined(vector.input["request"]["headers"])
        alg, key = public_key(jwk)
        over = their_base(vector.input["request"], "api.example", fields["signature-input"])
        raw = base64.b64decode(fields["signature"].strip()[len("sig=:") : -1] + "==")
        alg(public_key=key).verify(signature=raw, message=over.encode())
        checked += 1
    assert checked >= 50


@pytest.mark.parametrize("id", ["flipped-first", "flipped-last", "path-changed", "method-changed", "query-changed"])
def test_http_message_signatures_refuses_what_must_be_refused(pack: Pack, id: str) -> None:
    (vector,) = pack.select(ids=[id])
    fields = joined(vector.input["request"]["headers"])
    alg, key = public_key(claims_of(fields["signature-key"][len('sig=jwt;jwt="') : -1])["cnf"]["jwk"])
    over = their_base(vector.input["request"], "api.example", fields["signature-input"])
    raw = base64.b64decode(fields["signature"][len("sig=:") : -1])
    with pytest.raises(InvalidSignature):
        alg(public_key=key).verify(signature=raw, message=over.encode())


def issuer_key(vector: Vector, token: str) -> Any:
    header = json.loads(base64.urlsafe_b64decode(token.split(".", maxsplit=1)[0] + "=="))
    iss = claims_of(token)["iss"]
    keys = json.loads(vector.input["documents"][f"{iss}/jwks.json"]["body"])["keys"]
    return import_key(next(key for key in keys if key.get("kid") == header["kid"]))


def test_joserfc_verifies_every_token_that_must_be_accepted(pack: Pack) -> None:
    checked = 0
    for vector, _ in accepted_requests(pack):
        token = joined(vector.input["request"]["headers"])["signature-key"][len('sig=jwt;jwt="') : -1]
        jws.deserialize_compact(token, issuer_key(vector, token), registry=REGISTRY)
        checked += 1
    for vector in pack.select(kinds=["token"]):
        if "result" in vector.expected and vector.input["as"] == "parameters":
            for name in ("resource_token", "presented_token"):
                jws.deserialize_compact(vector.input[name], issuer_key(vector, vector.input[name]), registry=REGISTRY)
                checked += 1
    assert checked >= 60


@pytest.mark.parametrize(
    "id", ["jws-flipped", "jws-claims-changed", "jws-header-changed", "jws-wrong-key", "jws-alg-none"]
)
def test_joserfc_refuses_what_must_be_refused(pack: Pack, id: str) -> None:
    (vector,) = pack.select(ids=[id])
    (good,) = pack.select(ids=["agent-get"])
    token = joined(vector.input["request"]["headers"])["signature-key"][len('sig=jwt;jwt="') : -1]
    key = issuer_key(good, joined(good.input["request"]["headers"])["signature-key"][len('sig=jwt;jwt="') : -1])
    with pytest.raises((JoseError, ValueError)):
        jws.deserialize_compact(token, key, registry=REGISTRY)


def test_joserfc_gives_the_same_thumbprints(pack: Pack) -> None:
    """RFC 7638, 8037."""
    for vector in pack.select(kinds=["key"]):
        if "result" in vector.expected and "jwk" in vector.input:
            jwk = {name: vector.input["jwk"][name] for name in ("kty", "crv", "x", "y") if name in vector.input["jwk"]}
            assert import_key(jwk).thumbprint() == vector.expected["result"]["thumbprint"], vector.id


def test_the_digests_are_those_of_the_bodies(pack: Pack) -> None:
    """RFC 9530 §2, by nothing but hashlib."""
    names = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
    for vector in pack.select(kinds=["digest"]):
        if "result" not in vector.expected:
            continue
        body = base64.b64decode(vector.input["body"])
        known = [each.strip().split("=", 1) for line in vector.input["values"] for each in line.split(", ")]
        for name, value in known:
            if name in names:
                assert value == f":{base64.b64encode(names[name](body).digest()).decode()}:", vector.id


def test_the_example_of_rfc_9530_has_its_digest(pack: Pack) -> None:
    """RFC 9530, Appendix D: the digest of `{"hello": "world"}` and a line feed."""
    (vector,) = pack.select(ids=["digest-sha-256"])
    assert vector.input["values"] == ["sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"]
