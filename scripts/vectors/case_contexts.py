"""Cases of `request`: the key a token is bound to, and where the token is presented (§9.4.3.2, §11.12.5)."""

from __future__ import annotations

from typing import Any

from .keys import KEYS, b64
from .messages import NOW, Message, Signing
from .pack import Requests, server, unsigned
from .world import (
    API,
    AS,
    DWK,
    OTHER_PS,
    PS,
    presents,
    token,
)

BAD = unsigned("invalid_jwt")

EXPIRED = unsigned("expired_jwt")


KEY = unsigned("invalid_key")

ALGS = unsigned("unsupported_algorithm", accept_signature_alg="Ed25519, ES256")


def level_of(kind: str) -> str:
    return {"agent": "agent", "person": "person", "auth": "grant"}[kind]


def confirmation(requests: Requests) -> None:
    """§9.4.3.2 step 3, which §7.1.4 step 2 applies to person tokens as well."""
    add, ed = requests.add, KEYS["agent-1"].bare
    es, both = KEYS["agent-es"].jwk, "7.1.4, 9.4.3.2"
    cases: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("string", "cnf is a string", "key", BAD),
        ("empty", "cnf without a key", {}, BAD),
        ("thumbprint", "cnf with a thumbprint only", {"jkt": KEYS["agent-1"].thumbprint}, BAD),
        ("no-kty", "The key has no kty", {"jwk": {"crv": "Ed25519", "x": ed["x"], "alg": "Ed25519"}}, BAD),
        ("no-x", "The key has no x", {"jwk": {"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519"}}, BAD),
        ("no-crv", "The key has no crv", {"jwk": {"kty": "OKP", "x": ed["x"], "alg": "Ed25519"}}, BAD),
        ("no-y", "An EC key has no y", {"jwk": {n: v for n, v in es.items() if n != "y"}}, BAD),
        ("no-n", "An RSA key has no n", {"jwk": {"kty": "RSA", "e": "AQAB", "alg": "PS256"}}, BAD),
        ("no-alg", "The key has no alg", {"jwk": ed}, ALGS),
        ("eddsa", "The key's alg is polymorphic", {"jwk": {**ed, "alg": "EdDSA"}}, ALGS),
        ("oct", "The key is a secret", {"jwk": {"kty": "oct", "k": "AAAA", "alg": "HS256"}}, ALGS),
        ("disagrees", "kty and alg disagree", {"jwk": {**ed, "alg": "ES256"}}, KEY),
        ("not-base64", "x is no base64url", {"jwk": {**ed, "x": "*" * 43, "alg": "Ed25519"}}, KEY),
        ("private", "The private part is in it", {"jwk": {**ed, "alg": "Ed25519", "d": b64(bytes(32))}}, KEY),
        ("use-enc", "The key is for encryption", {"jwk": {**ed, "alg": "Ed25519", "use": "enc"}}, KEY),
        (
            "ops-sign",
            "The key's key_ops do not hold verify",
            {"jwk": {**ed, "alg": "Ed25519", "key_ops": ["deriveKey"]}},
            KEY,
        ),
        ("kid-number", "The key's kid is a number", {"jwk": {**ed, "alg": "Ed25519", "kid": 7}}, KEY),
        ("off-curve", "A point that is not on the curve", {"jwk": {**es, "y": b64(b"\x05" * 32)}}, KEY),
    ]
    for name, title, cnf, outcome in cases:
        for kind in ("person", "auth") if name in ("empty", "no-x", "no-alg", "disagrees") else ("auth",):
            add(
                f"{kind}-cnf-{name}",
                title,
                f"{both}, 11.5.1, SK 3.3",
                outcome,
                by=token(kind, cnf=cnf),
                live=kind == "auth" and level_of(kind),
            )
    for kind in ("agent", "person", "auth"):
        other = token(kind, bound="agent-2")
        add(
            f"{kind}-cnf-other",
            "Bound to another key than signed",
            f"5.3.3, {both}",
            unsigned("invalid_signature"),
            by=other,
            live=level_of(kind),
        )


def context(requests: Requests) -> None:
    """Where a token is presented."""
    _context_1(requests)
    _context_2(requests)
    _context_3(requests)


def _context_1(requests: Requests) -> None:
    add = requests.add
    agents = server(token_types=["aa-agent+jwt"])
    for kind in ("person", "auth", "resource"):
        add(
            f"place-{kind}",
            f"A {kind} token where agents are expected",
            "11.5.2, 7.1.4",
            BAD,
            by=token(kind),
            at=agents,
            issuers=(PS, API),
        )
    grants = server(token_types=["aa-auth+jwt"])
    add(
        "place-person-for-auth",
        "A person token where an auth token is required",
        "7.1.4",
        BAD,
        by=token("person"),
        at=grants,
    )
    add(
        "resource-presented",
        "A resource token in Signature-Key",
        "11.5.2, 6.7.1",
        BAD,
        by=token("resource"),
        issuers=(API,),
        live="agent",
    )


def _context_2(requests: Requests) -> None:
    add = requests.add
    for kind in ("agent", "person", "auth"):
        spec = token(kind)
        revoked = [[spec.claims["iss"], spec.claims["jti"]]]
        add(
            f"{kind}-revoked",
            "Revoked by its issuer",
            "11.12.5, 11.3.4, SK 5.4.13",
            unsigned("revoked_jwt"),
            by=spec,
            revoked=revoked,
        )
        add(
            f"{kind}-revoked-elsewhere",
            "Another issuer revoked a token of the same jti",
            "11.12.1",
            by=spec,
            revoked=[[OTHER_PS, spec.claims["jti"]]],
        )
        seen = Signing(KEYS["agent-1"], presents(spec)).sign(Message())
        known = [{"request": seen.wire(), "time": NOW}]
        add(
            f"{kind}-revoked-known",
            "Revoked after it was accepted",
            "11.12.5",
            unsigned("revoked_jwt"),
            by=spec,
            before=known,
            revoked=revoked,
        )
        later = (("created", NOW + 3600),)
        add(
            f"{kind}-known-expired",
            "Expired since it was accepted",
            "11.5.2",
            EXPIRED,
            by=spec,
            before=known,
            params=later,
            time=NOW + 3600,
        )
        trusted = {role: ["https://trusted.example"] for role in (DWK["agent"], DWK["person"])}
        add(
            f"{kind}-untrusted",
            "An issuer that is not trusted here",
            "SK 5.4.7",
            KEY,
            by=spec,
            at=server(trusted=trusted),
        )


def _context_3(requests: Requests) -> None:
    add = requests.add
    grants = server(token_types=["aa-auth+jwt"])
    known = [{"request": Signing(KEYS["agent-1"], presents(token("agent"))).sign(Message()).wire(), "time": NOW}]
    add(
        "known-token-other-place",
        "A known token where another type is expected",
        "11.5.2",
        BAD,
        by=token("agent"),
        before=[{**known[0], "server": server()}],
        at=grants,
    )
    by_as = token("auth", iss=AS, dwk=DWK["access"], ps=OTHER_PS, key="as-1")
    trust = {DWK["access"]: [AS], DWK["person"]: [PS]}
    add(
        "auth-ps-untrusted",
        "An access server's token for a person server that is not trusted",
        "9.4.1, SK 5.4.7",
        KEY,
        by=by_as,
        issuers=(AS,),
        at=server(trusted=trust),
    )
