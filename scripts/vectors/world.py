"""The parties of the pack: a resource, an agent provider, a person server, an access server, and issuers with faults.

Every URL of the pack has one document, whoever asks, so that one server can serve them all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .keys import KEYS, RSA_MODULUS, Key, b64, sign_jws
from .messages import NOW

API, AP, PS, AS = "https://api.example", "https://agents.example", "https://ps.example", "https://as.example"
OTHER_API, OTHER_PS, MIXED = "https://other.example", "https://ps2.example", "https://mixed.example"
AGENT = "aauth:planner@agents.example"
PERSON = "8f14e45fceea167a5a36dedd4bea2543"
MISSION = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

TYPES = {"agent": "aa-agent+jwt", "person": "aa-person+jwt", "auth": "aa-auth+jwt", "resource": "aa-resource+jwt"}
DWK = {
    "agent": "aauth-agent.json",
    "person": "aauth-person.json",
    "access": "aauth-access.json",
    "resource": "aauth-resource.json",
}

_A384 = {"kty": "EC", "crv": "P-384", "x": b64(b"\x01" * 48), "y": b64(b"\x02" * 48)}
DECOYS: list[Any] = [
    {"kty": "RSA", "n": RSA_MODULUS.rstrip("="), "e": "AQAB", "kid": "rsa-unused"},
    {"kty": "AKP", "alg": "ML-DSA-44", "pub": b64(b"\x05" * 64), "kid": "ml-dsa"},
    {**_A384, "alg": "ES384", "kid": "es384"},
    {**KEYS["ap-2"].bare, "kid": "no-alg"},
    {**KEYS["ap-2"].bare, "alg": "EdDSA", "kid": "eddsa"},
    {"kty": "oct", "k": b64(b"\x07" * 32), "alg": "HS256", "kid": "oct"},
    {**KEYS["ap-2"].bare, "alg": "ES256", "kid": "disagrees"},
    {**KEYS["ap-2"].jwk, "x": "AAAA", "kid": "short"},
    KEYS["ap-1"].published("twice"),
    KEYS["ap-2"].published("twice"),
]
"""Members of a set that a verifier may meet and must not choke on."""


def answer(document: object, status: int = 200) -> dict[str, Any]:
    """A response as it stands in a vector."""
    body = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
    return {"status": status, "headers": [["content-type", "application/json"]], "body": body}


def _metadata(iss: str, role: str, **more: Any) -> dict[str, Any]:
    extra = {
        "person": {"auth_token_endpoint": f"{iss}/token", "person_token_endpoint": f"{iss}/person"},
        "access": {"auth_token_endpoint": f"{iss}/token"},
    }.get(role, {})
    return {"issuer": iss, "jwks_uri": f"{iss}/jwks.json", **extra, **more}


def _party(iss: str, role: str, keys: Iterable[Any], **more: Any) -> dict[str, Any]:
    members = [each.published() if isinstance(each, Key) else each for each in keys]
    return {
        f"{iss}/.well-known/{DWK[role]}": answer(_metadata(iss, role, **more)),
        f"{iss}/jwks.json": answer({"keys": members}),
    }


def _faulty(name: str, document: object, status: int = 200, jwks: object = None) -> dict[str, Any]:
    iss = f"https://{name}.example"
    keys = {"keys": [KEYS["ap-1"].published()]} if jwks is None else jwks
    return {
        f"{iss}/.well-known/{DWK['agent']}": answer(document, status),
        f"{iss}/jwks.json": answer(keys),
    }


def _faults() -> dict[str, Any]:
    def named(name: str, **more: Any) -> dict[str, Any]:
        return _metadata(f"https://{name}.example", "agent", **more)

    return {
        **_faulty("mismatch", _metadata("https://agents.example", "agent")),
        **_faulty("slash", {**named("slash"), "issuer": "https://slash.example/"}),
        **_faulty("noissuer", {"jwks_uri": "https://noissuer.example/jwks.json"}),
        **_faulty("nojwks", {"issuer": "https://nojwks.example"}),
        **_faulty("plainjwks", named("plainjwks", jwks_uri="http://plainjwks.example/jwks.json")),
        **_faulty("elsewhere", named("elsewhere", jwks_uri="https://agents.example/jwks.json")),
        **_faulty("notjson", "<html>not a document</html>"),
        **_faulty("array", "[]"),
        **_faulty("absent", "", 404),
        **_faulty("moved", "", 302),
        **_faulty("nokeys", named("nokeys"), jwks={"kids": []}),
        **_faulty("badset", named("badset"), jwks="not a set"),
        **_faulty("emptyset", named("emptyset"), jwks={"keys": []}),
    }


DOCUMENTS: Mapping[str, dict[str, Any]] = {
    **_party(AP, "agent", [KEYS["ap-1"], KEYS["ap-es"]]),
    **_party(MIXED, "agent", [*DECOYS, KEYS["ap-es"]]),
    **_party(PS, "person", [KEYS["ps-1"]]),
    **_party(OTHER_PS, "person", [KEYS["ps-2"]]),
    **_party(AS, "access", [KEYS["as-1"]]),
    **_party(API, "resource", [KEYS["api-1"]], scope_descriptions={"orders.read": "Read", "orders.write": "Write"}),
    **_faults(),
}


def documents(*issuers: str) -> dict[str, Any]:
    """What the pack serves of these issuers."""
    return {url: answer for url, answer in DOCUMENTS.items() if url.startswith(tuple(f"{iss}/" for iss in issuers))}


def relative(value: Any) -> Any:
    """Times as they are at `NOW`: `{"now": n}` is `NOW + n`."""
    if isinstance(value, dict):
        return NOW + value["now"] if set(value) == {"now"} else {name: relative(each) for name, each in value.items()}
    return [relative(each) for each in value] if isinstance(value, list) else value


class Spec:
    """A token before it is made: its times are relative, so that it can be made again at another time."""

    def __init__(self, key: str, header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
        self.key = key
        self.header = {name: value for name, value in header.items() if value is not None}
        self.claims = {name: value for name, value in claims.items() if value is not None}

    def made(self) -> str:
        return sign_jws(KEYS[self.key], self.header, relative(self.claims))

    def again(self) -> dict[str, Any]:
        """As it stands in a recipe."""
        return {"key": self.key, "header": self.header, "claims": self.claims}


def token(kind: str, *, bound: str = "agent-1", key: str | None = None, header: Any = None, **claims: Any) -> Spec:
    """A token in order, but for what is overridden; `None` leaves a claim or header member out."""
    role, iss, signer = {
        "agent": ("agent", AP, "ap-1"),
        "person": ("person", PS, "ps-1"),
        "auth": ("person", PS, "ps-1"),
        "resource": ("resource", API, "api-1"),
    }[kind]
    iss = claims.get("iss", iss) if isinstance(claims.get("iss", iss), str) else iss
    cnf = {"cnf": {"jwk": KEYS[bound].jwk}}
    own: dict[str, Any] = {
        "agent": {"sub": AGENT, "ps": PS, **cnf},
        "person": {"aud": API, "sub": PERSON, **cnf},
        "auth": {"aud": API, "ps": iss, "sub": PERSON, "scope": "orders.read", **cnf},
        "resource": {
            "aud": PS,
            "ps": PS,
            "sub": PERSON,
            "presented_jti": "person-1",
            "agent_jkt": KEYS[bound].thumbprint,
            "scope": "orders.read",
        },
    }[kind]
    lifetime = 300 if kind == "resource" else 3600
    base = {"iss": iss, "dwk": DWK[role], "jti": f"{kind}-1", "iat": {"now": 0}, "exp": {"now": lifetime}}
    signer = key or signer
    alg = KEYS[signer].alg
    return Spec(signer, {"alg": alg, "typ": TYPES[kind], "kid": signer, **(header or {})}, {**base, **own, **claims})


def presents(made: Spec | str, scheme: str = "jwt") -> str:
    """Signature-Key with a token, without the label."""
    return f'{scheme};jwt="{made if isinstance(made, str) else made.made()}"'


def hwk(name: str, **changes: Any) -> str:
    """Signature-Key with the bare key, without the label."""
    members = {name: value for name, value in {**KEYS[name].jwk, **changes}.items() if value is not None}
    return "hwk" + "".join(f';{name}="{value}"' for name, value in members.items())


def jwks_uri(iss: str = PS, dwk: str = DWK["person"], kid: str = "ps-1") -> str:
    """Signature-Key of a server, without the label."""
    return f'jwks_uri;id="{iss}";dwk="{dwk}";kid="{kid}"'
