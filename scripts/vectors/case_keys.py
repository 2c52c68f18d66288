"""Cases of `digest` and `key`: what is digested and named, bytes in and bytes out."""

from __future__ import annotations

from functools import partial
from typing import Any

from .keys import KEYS, RSA_MODULUS, b64
from .messages import digest
from .pack import Pack, accepted, body_text, refused


def digests() -> Pack:
    pack = Pack("digest", "Content-Digest, and the body it speaks of (RFC 9530; §11.3.3.1).")
    body = b'{"hello": "world"}\n'
    right, longer = digest(body), digest(body, "sha-512")
    bad = refused("digest_mismatch")
    cases: list[tuple[str, str, list[str], bytes, bool]] = [
        ("sha-256", "SHA-256", [right], body, True),
        ("sha-512", "SHA-512", [longer], body, True),
        ("both", "Both", [f"{right}, {longer}"], body, True),
        ("lines", "Both, in two lines", [right, longer], body, True),
        ("empty-body", "An empty body", [digest(b"")], b"", True),
        ("other-body", "Another body", [right], body + b" ", False),
        ("one-wrong", "One of two does not match", [f"{right}, {digest(b'', 'sha-512')}"], body, False),
        ("unknown-beside", "An unknown algorithm beside a known one", [f"unixsum=:MDEy:, {right}"], body, True),
        ("unknown", "Only an unknown algorithm", ["unixsum=:MDEy:"], body, False),
        ("md5", "Only MD5", ["md5=:Sd/dVLAcvNLSq16eXua5uQ==:"], body, False),
        ("string", "A String", [f'sha-256="{right}"'], body, False),
        ("short", "Half a digest", ["sha-256=:AAAA:"], body, False),
        ("malformed", "No Dictionary", ["sha-256=:%%%:"], body, False),
        ("twice", "SHA-256 twice", [f"{right}, {right}"], body, False),
        ("none", "Empty", [""], body, False),
    ]
    for id, title, values, sent, ok in cases:
        stricter = (
            "RFC 9651 §4.2.2 lets the last of two equal keys win; here two are refused" if id == "twice" else None
        )
        given = {"values": values, "body": body_text(sent)}
        pack.add(
            f"digest-{id}", title, "digest", "11.3.3.1, RFC 9530 2", given, accepted() if ok else bad, stricter=stricter
        )
    return pack


def keys() -> Pack:
    pack = Pack(
        "key",
        "Keys: their algorithm, thumbprint, and how one is selected from a set (§11.3.1, §11.4, Signature-Keys §3.3).",
    )
    _keys_1(pack)
    _keys_2(pack)
    return pack


def _keys_add(
    pack: Pack,
    id: str,
    title: str,
    sections: str,
    given: dict[str, Any],
    outcome: dict[str, Any],
    stricter: str | None = None,
) -> None:
    pack.add(f"key-{id}", title, "key", sections, given, outcome, stricter=stricter)


def _keys_1(pack: Pack) -> None:
    add = partial(_keys_add, pack)
    rfc8037 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "alg": "Ed25519"}
    add(
        "rfc8037",
        "The key of RFC 8037 A.2 and its thumbprint of A.3",
        "6.7.1, RFC 8037 A.3",
        {"jwk": rfc8037},
        accepted(alg="Ed25519", thumbprint="kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
    )
    rfc7515 = {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "alg": "ES256",
    }
    add(
        "rfc7515",
        "The key of RFC 7515 A.3",
        "11.3.1, RFC 7515 A.3",
        {"jwk": rfc7515},
        accepted(alg="ES256", thumbprint="oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"),
    )
    for name in ("agent-1", "agent-es"):
        found = accepted(alg=KEYS[name].alg, thumbprint=KEYS[name].thumbprint)
        add(f"{name}", "A key of the pack", "11.3.1", {"jwk": KEYS[name].jwk}, found)
        more = {"use": "sig", "key_ops": ["verify"], "kid": "k", "x5c": ["AA"], "zz": {"a": 1}}
        add(
            f"{name}-whole",
            "Members that are not known are ignored and change no thumbprint",
            "SK 3.3, RFC 7638 3",
            {"jwk": {**KEYS[name].jwk, **more}},
            found,
        )


def _keys_2(pack: Pack) -> None:
    add = partial(_keys_add, pack)
    ed, es = KEYS["agent-1"].bare, KEYS["agent-es"].bare
    unsupported, invalid = refused("unsupported_algorithm"), refused("invalid_key")
    cases: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("no-alg", "No alg", ed, unsupported),
        ("alg-null", "alg is null", {**ed, "alg": None}, unsupported),
        ("alg-number", "alg is a number", {**ed, "alg": 7}, unsupported),
        ("eddsa", "EdDSA", {**ed, "alg": "EdDSA"}, unsupported),
        ("none", "none", {**ed, "alg": "none"}, unsupported),
        ("hs256", "A shared secret", {"kty": "oct", "k": b64(bytes(32)), "alg": "HS256"}, unsupported),
        ("oct-ed25519", "kty oct that says Ed25519", {"kty": "oct", "k": b64(bytes(32)), "alg": "Ed25519"}, invalid),
        ("rsa", "RSA", {"kty": "RSA", "n": RSA_MODULUS.rstrip("="), "e": "AQAB", "alg": "PS256"}, unsupported),
        ("akp", "AKP", {"kty": "AKP", "pub": "AAAA", "alg": "ML-DSA-44"}, unsupported),
        ("no-kty", "No kty", {"crv": "Ed25519", "x": ed["x"], "alg": "Ed25519"}, invalid),
        ("kty-number", "kty is a number", {**ed, "kty": 7, "alg": "Ed25519"}, invalid),
        ("kty-other", "kty EC, alg Ed25519", {**ed, "kty": "EC", "alg": "Ed25519"}, invalid),
        ("crv-other", "crv Ed448, alg Ed25519", {**ed, "crv": "Ed448", "alg": "Ed25519"}, invalid),
        ("p384", "crv P-384, alg ES256", {**es, "crv": "P-384", "alg": "ES256"}, invalid),
        ("no-crv", "No crv", {"kty": "OKP", "x": ed["x"], "alg": "Ed25519"}, invalid),
        ("no-x", "No x", {"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519"}, invalid),
        ("no-y", "No y", {"kty": "EC", "crv": "P-256", "x": es["x"], "alg": "ES256"}, invalid),
        ("long-x", "33 bytes", {**ed, "x": b64(b"\0" * 33), "alg": "Ed25519"}, invalid),
        ("stray-bits", "Stray bits in the last symbol", {**ed, "x": "A" * 42 + "B", "alg": "Ed25519"}, invalid),
        ("standard-base64", "The other alphabet", {**ed, "x": "+" * 42 + "A", "alg": "Ed25519"}, invalid),
        ("off-curve", "Not on the curve", {**es, "y": b64(b"\x05" * 32), "alg": "ES256"}, invalid),
        ("private", "With its private part", {**ed, "alg": "Ed25519", "d": b64(b"\x01" * 32)}, invalid),
        ("use-enc", "For encryption", {**ed, "alg": "Ed25519", "use": "enc"}, invalid),
        ("use-number", "use is a number", {**ed, "alg": "Ed25519", "use": 7}, invalid),
        ("ops", "key_ops without verify", {**ed, "alg": "Ed25519", "key_ops": ["sign"]}, invalid),
        ("ops-string", "key_ops is a string", {**ed, "alg": "Ed25519", "key_ops": "verify"}, invalid),
        ("kid-number", "kid is a number", {**ed, "alg": "Ed25519", "kid": 7}, invalid),
        ("string", "No object", "key", invalid),
    ]
    for id, title, jwk, outcome in cases:
        stricter = (
            "RFC 7517 says nothing of it; a public key with its private part is no secret any more"
            if id == "private"
            else None
        )
        add(id, title, "11.3.1, SK 3.3, SK 7.1", {"jwk": jwk}, outcome, stricter)
    _sets(add, unsupported, invalid)


def _sets(add: Any, unsupported: dict[str, Any], invalid: dict[str, Any]) -> None:
    from .world import DECOYS

    mine = KEYS["ap-1"].published()
    found = accepted(alg="Ed25519", thumbprint=KEYS["ap-1"].thumbprint)
    section = "11.4, SK 3.3"
    add(
        "set",
        "Selected by kid among keys that cannot be used",
        section,
        {"jwks": {"keys": [*DECOYS, mine, 7, "key"]}, "kid": "ap-1"},
        found,
    )
    add("set-repeated", "The same key twice", section, {"jwks": {"keys": [mine, mine]}, "kid": "ap-1"}, found)
    add(
        "set-twice",
        "One kid, two keys",
        section,
        {"jwks": {"keys": [mine, KEYS["ap-2"].published("ap-1")]}, "kid": "ap-1"},
        invalid,
        "RFC 7517 §4.5 says only that distinct keys should have distinct kids",
    )
    add(
        "set-absent", "No key of that kid", section, {"jwks": {"keys": [mine]}, "kid": "nobody"}, refused("unknown_key")
    )
    add("set-no-keys", "No keys", section, {"jwks": {}, "kid": "ap-1"}, invalid)
    add("set-keys-object", "keys is an object", section, {"jwks": {"keys": {"ap-1": mine}}, "kid": "ap-1"}, invalid)
    add(
        "set-no-alg",
        "The selected key has no alg",
        section,
        {"jwks": {"keys": [{**KEYS["ap-1"].bare, "kid": "ap-1"}]}, "kid": "ap-1"},
        unsupported,
    )
    add(
        "set-kid-case",
        "kids keep their case",
        section,
        {"jwks": {"keys": [mine]}, "kid": "AP-1"},
        refused("unknown_key"),
    )
    many = [{"kid": f"k{n}"} for n in range(300)]
    add(
        "set-many",
        "Behind three hundred others",
        section,
        {"jwks": {"keys": [*many, mine]}, "kid": "ap-1"},
        refused("unknown_key"),
        "a bound of ours: 256 members are looked at",
    )
    _private(add, invalid)


def _private(add: Any, invalid: dict[str, Any]) -> None:
    """Private keys, as a party keeps them."""
    for name in ("agent-1", "agent-es"):
        private = KEYS[name].private
        add(
            f"own-{name}",
            "A private key",
            "11.3.1",
            {"private": private},
            accepted(alg=KEYS[name].alg, thumbprint=KEYS[name].thumbprint),
        )
        other = KEYS["agent-2" if name == "agent-1" else "durable-es"].private
        add(
            f"own-{name}-mixed",
            "The private part of another key",
            "11.3.1",
            {"private": {**private, "d": other["d"]}},
            invalid,
        )
        add(
            f"own-{name}-short",
            "A private part of 31 bytes",
            "11.3.1",
            {"private": {**private, "d": b64(bytes(31))}},
            invalid,
        )
        add(f"own-{name}-public", "No private part", "11.3.1", {"private": KEYS[name].jwk}, invalid)
    zero = {**KEYS["agent-es"].private, "d": b64(bytes(32))}
    add("own-zero", "A scalar of zero", "11.3.1", {"private": zero}, invalid)
    add("own-large", "A scalar above the order", "11.3.1", {"private": {**zero, "d": b64(b"\xff" * 32)}}, invalid)
    add("own-string", "No object", "11.3.1", {"private": "key"}, invalid)
