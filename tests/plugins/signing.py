"""Parties with keys, for tests: they mint any token, sign any request, and break any part of it on purpose."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aauthkit.protocol.components import Component
from aauthkit.protocol.httpsig import BASE_COMPONENTS, content_digest, sign_request
from aauthkit.protocol.identifiers import authority_of, host_of, scheme_of
from aauthkit.protocol.jose import PublicKey, SigningKey, b64url_encode
from aauthkit.protocol.messages import SignedRequest
from aauthkit.protocol.signature_key import hwk_header, jkt_jwt_header, jwks_uri_header, jwt_header
from aauthkit.serving import BytesBody, Request

NOW = 1_795_000_000
"""The time that tests run at unless they say otherwise, in seconds since the epoch."""


def new_key(alg: Literal["Ed25519", "ES256"] = "Ed25519") -> SigningKey:
    return SigningKey.generate(secrets.token_bytes, alg)


def cnf(key: PublicKey) -> dict[str, Any]:
    return {"jwk": {name: value for name, value in key.jwk.items() if name != "kid"}}


def jti() -> str:
    return secrets.token_urlsafe(12)


@dataclass
class Issuer:
    """A server with one key: mints whatever it is told to. `claims` and `header` override anything."""

    iss: str
    key: SigningKey = field(default_factory=new_key)

    def jwks(self) -> Mapping[str, Any]:
        return {"keys": [self.key.public.jwk]}

    def mint(self, typ: str, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
        kept = {name: value for name, value in claims.items() if value is not None}
        fields = {"alg": self.key.alg, "typ": typ, "kid": self.key.kid, **(header or {})}
        # By hand: the product's own `sign_jwt` names the key's alg whatever it is told.
        parts = [{n: v for n, v in fields.items() if v is not None}, kept]
        signing_input = ".".join(b64url_encode(json.dumps(part).encode()) for part in parts)
        return f"{signing_input}.{b64url_encode(self.key.sign(signing_input.encode()))}"

    def agent_token(self, key: PublicKey, *, name: str = "planner", now: int = NOW, **claims: Any) -> str:
        base = {
            "iss": self.iss,
            "dwk": "aauth-agent.json",
            "sub": f"aauth:{name}@{host_of(self.iss)}",
            "jti": jti(),
            "iat": now,
            "exp": now + 3600,
            "cnf": cnf(key),
        }
        header = claims.pop("header", None)
        return self.mint(claims.pop("typ", "aa-agent+jwt"), {**base, **claims}, header)

    def person_token(self, key: PublicKey, aud: str, *, sub: str = "p-1", now: int = NOW, **claims: Any) -> str:
        base = {
            "iss": self.iss,
            "dwk": "aauth-person.json",
            "aud": aud,
            "sub": sub,
            "jti": jti(),
            "iat": now,
            "exp": now + 3600,
            "cnf": cnf(key),
        }
        header = claims.pop("header", None)
        return self.mint(claims.pop("typ", "aa-person+jwt"), {**base, **claims}, header)

    def auth_token(
        self, key: PublicKey, aud: str, scope: str | None, *, sub: str = "p-1", now: int = NOW, **claims: Any
    ) -> str:
        base = {
            "iss": self.iss,
            "dwk": "aauth-person.json",
            "aud": aud,
            "ps": self.iss,
            "sub": sub,
            "scope": scope,
            "jti": jti(),
            "iat": now,
            "exp": now + 3600,
            "cnf": cnf(key),
        }
        header = claims.pop("header", None)
        return self.mint(claims.pop("typ", "aa-auth+jwt"), {**base, **claims}, header)

    def resource_token(
        self,
        *,
        aud: str,
        sub: str,
        presented_jti: str,
        agent_jkt: str,
        scope: str | None = "orders.read",
        now: int = NOW,
        **claims: Any,
    ) -> str:
        base = {
            "iss": self.iss,
            "dwk": "aauth-resource.json",
            "aud": aud,
            "ps": aud,
            "sub": sub,
            "presented_jti": presented_jti,
            "agent_jkt": agent_jkt,
            "scope": scope,
            "jti": jti(),
            "iat": now,
            "exp": now + 300,
        }
        header = claims.pop("header", None)
        return self.mint(claims.pop("typ", "aa-resource+jwt"), {**base, **claims}, header)


def sign(
    method: str,
    url: str,
    key: SigningKey,
    signature_key: str,
    *,
    body: bytes = b"",
    content_type: str = "application/json",
    headers: Sequence[tuple[str, str]] = (),
    now: int = NOW,
    nonce: str | None = "",
    components: Iterable[str | Component] | None = None,
    drop: Sequence[str] = (),
    expires: int | None = None,
    label: str = "sig",
) -> Request:
    """A signed request as a server receives it. `drop` leaves components uncovered, `components` replaces them all."""
    scheme, _, rest = url.partition("://")
    authority, slash, tail = rest.partition("/")
    target = f"/{tail}" if slash else "/"
    fields: list[tuple[str, str]] = [("host", authority), *headers]
    covered: list[str | Component] = [*BASE_COMPONENTS]
    if "?" in target:
        covered.append("@query")
    if body:
        fields += [
            ("content-type", content_type),
            ("content-length", str(len(body))),
            ("content-digest", content_digest(body)),
        ]
        covered += ["content-digest", "content-type"]
    covered += [name for name, _ in headers if name == "authorization"]
    wanted = [*components] if components is not None else covered
    wanted = [name for name in wanted if str(name) not in drop]
    request = SignedRequest(method, scheme, authority, target, tuple(fields))
    signed = sign_request(
        request,
        key,
        signature_key=signature_key,
        components=[name for name in wanted if name != "signature-key"],
        created=now,
        nonce=secrets.token_urlsafe(8) if nonce == "" else nonce,
        expires=expires,
        label=label,
    )
    return Request(method, target, (*fields, *signed), BytesBody(body), "192.0.2.7")


@dataclass
class Signer:
    """An agent or server that signs: what it presents is `signature_key`."""

    key: SigningKey
    signature_key: str

    @classmethod
    def token(cls, key: SigningKey, token: str) -> Signer:
        return cls(key, jwt_header(token))

    @classmethod
    def bare(cls, key: SigningKey) -> Signer:
        return cls(key, hwk_header(key.public))

    @classmethod
    def server(cls, issuer: Issuer, dwk: str) -> Signer:
        return cls(issuer.key, jwks_uri_header(issuer.iss, dwk, issuer.key.kid))

    @classmethod
    def delegated(cls, durable: SigningKey, key: SigningKey, *, now: int = NOW, lifetime: int = 600) -> Signer:
        return cls(key, jkt_jwt_header(durable, key.public, iat=now, exp=now + lifetime))

    def sign(self, method: str, url: str, **knobs: Any) -> Request:
        return sign(method, url, self.key, self.signature_key, **knobs)


def with_header(request: Request, name: str, value: str | None) -> Request:
    """The request with this field replaced, or removed where `value` is `None`."""
    kept = tuple((n, v) for n, v in request.headers if n != name)
    added = ((name, value),) if value is not None else ()
    return Request(request.method, request.target, (*kept, *added), request.body, request.peer)


def with_target(request: Request, target: str) -> Request:
    """The request with another target, its signature as it was."""
    return Request(request.method, target, request.headers, request.body, request.peer)


def signature_twin(request: Request) -> Request:
    """An ES256-signed request with the other signature over the same base: s replaced by n - s."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    value = next(v for n, v in request.headers if n == "signature")
    label, _, encoded = value.partition("=")
    raw = base64.b64decode(encoded.strip(":"))
    twin = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    return with_header(request, "signature", f"{label}=:{base64.b64encode(twin).decode()}:")


__all__ = [
    "NOW",
    "Issuer",
    "Signer",
    "authority_of",
    "cnf",
    "jti",
    "new_key",
    "scheme_of",
    "sign",
    "signature_twin",
    "with_header",
    "with_target",
]
