"""Fixed keys and times, and one whole specimen of each token, from which a test breaks one part."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from aauthkit.protocol.jose import PublicKey, SigningKey, sign_jwt
from aauthkit.protocol.tokens import AGENT_TYP, AUTH_TYP, PERSON_TYP, RESOURCE_TYP

NOW = 1_795_000_000
"""Seconds since the epoch at which every specimen was issued."""

AGENT_KEY = SigningKey("Ed25519", bytes(range(32)))
OTHER_KEY = SigningKey("Ed25519", bytes(range(32, 64)))
ISSUER_KEY = SigningKey("Ed25519", bytes(range(64, 96)))
DEVICE_KEY = SigningKey("ES256", bytes(range(1, 33)))
KEYS = {"Ed25519": AGENT_KEY, "ES256": DEVICE_KEY}

PROVIDER = "https://agents.example"
PERSON = "https://ps.example"
ACCESS = "https://as.example"
RESOURCE = "https://api.example"
DIGEST = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


def plain(key: PublicKey) -> dict[str, str]:
    """A public JWK without `kid`, as it stands in `cnf`."""
    return {name: value for name, value in key.jwk.items() if name != "kid"}


COMMON: Mapping[str, Any] = {"jti": "t-1", "iat": NOW, "cnf": {"jwk": plain(AGENT_KEY.public)}}
CLAIMS: Mapping[str, Mapping[str, Any]] = {
    AGENT_TYP: {
        **COMMON,
        "iss": PROVIDER,
        "dwk": "aauth-agent.json",
        "sub": "aauth:planner@agents.example",
        "exp": NOW + 3600,
        "ps": PERSON,
    },
    PERSON_TYP: {
        **COMMON,
        "iss": PERSON,
        "dwk": "aauth-person.json",
        "aud": RESOURCE,
        "sub": "8f14e45fceea167a",
        "exp": NOW + 3600,
        "mission_s256": DIGEST,
        "tenant": "acme",
    },
    RESOURCE_TYP: {
        "jti": "t-1",
        "iat": NOW,
        "iss": RESOURCE,
        "dwk": "aauth-resource.json",
        "aud": PERSON,
        "ps": PERSON,
        "sub": "8f14e45fceea167a",
        "presented_jti": "pt-1",
        "agent_jkt": AGENT_KEY.kid,
        "exp": NOW + 300,
        "scope": "orders.read orders.place",
        "account": "work",
        "login_hint": "ann@example.com",
        "mission_s256": DIGEST,
        "tenant": "acme",
        "interaction": {"url": "https://api.example/interaction", "code": "A1B2-C3D4"},
    },
    AUTH_TYP: {
        **COMMON,
        "iss": PERSON,
        "dwk": "aauth-person.json",
        "aud": RESOURCE,
        "ps": PERSON,
        "sub": "8f14e45fceea167a",
        "exp": NOW + 3600,
        "scope": "orders.read",
        "account": "work",
        "mission_s256": DIGEST,
        "tenant": "acme",
    },
}
"""For each `typ` the claims of a good token, the optional ones included."""


def token(
    typ: str,
    *,
    without: Collection[str] = (),
    header: Mapping[str, Any] | None = None,
    key: SigningKey = ISSUER_KEY,
    **claims: Any,
) -> str:
    """The specimen of this `typ`, with these claims instead of its own, `without` those, and `header` over its own."""
    kept = {name: value for name, value in {**CLAIMS.get(typ, COMMON), **claims}.items() if name not in without}
    fields = {"typ": typ, "kid": key.kid, **(header or {})}
    return sign_jwt(key, {name: value for name, value in fields.items() if value is not None}, kept)
