"""Who takes part where only the core is measured: an issuer whose keys were fetched, an API, and agents who sign."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aauthkit.discovery import Discovery
from aauthkit.egress import Egress
from aauthkit.outbound import Credential, sign_outgoing
from aauthkit.protocol.jose import SigningKey, b64url_encode
from aauthkit.protocol.messages import Answer, HeaderList, SignedRequest
from aauthkit.protocol.tokens import AUTH_TYP
from aauthkit.trust import Trust
from aauthkit.verification import Accepts, Verifier
from tests.plugins.signing import Issuer, new_key

API = "https://api.example"
ISSUER = "https://ps.example"
ACCEPTS = Accepts(("jwt",), frozenset({AUTH_TYP}))
BODY = json.dumps({"order": "a chair", "number": 2, "note": "by Friday, please"}).encode()

# What a client of this house sends besides, in its order.
GET_FIELDS: HeaderList = (
    ("host", "api.example"),
    ("accept", "*/*"),
    ("accept-encoding", "gzip, deflate"),
    ("connection", "keep-alive"),
    ("user-agent", "bench/1.0"),
)
POST_FIELDS: HeaderList = (
    *GET_FIELDS,
    ("content-type", "application/json"),
    ("content-length", str(len(BODY))),
)


class Published:
    """An `Http` that answers with the documents of `issuers`."""

    def __init__(self, *issuers: Issuer) -> None:
        self.egress = Egress()
        self._documents: dict[str, bytes] = {}
        for issuer in issuers:
            jwks_uri = f"{issuer.iss}/jwks.json"
            metadata = {"issuer": issuer.iss, "jwks_uri": jwks_uri}
            endpoints = {name: f"{issuer.iss}/{name}" for name in ("person_token_endpoint", "auth_token_endpoint")}
            self._documents[f"{issuer.iss}/.well-known/aauth-person.json"] = json.dumps(metadata | endpoints).encode()
            self._documents[jwks_uri] = json.dumps(issuer.jwks()).encode()

    async def send(self, _method: str, url: str, *_: Any, **__: Any) -> Answer:
        return Answer(200, (("content-type", "application/json"),), self._documents[url])


@dataclass
class Agent:
    """A key and a token that is bound to it."""

    key: SigningKey
    credential: Credential

    @classmethod
    def of(cls, issuer: Issuer, now: float) -> Agent:
        key = new_key()
        token = issuer.auth_token(key.public, API, "orders.read orders.place", now=int(now))
        return cls(key, Credential.from_token(key, token))

    def request(self, target: str, now: float, nonce: bytes, body: bytes = b"") -> SignedRequest:
        """A request as it arrives: every string of it is new."""
        bare = unsigned(target, body)
        fields = sign_outgoing(bare, self.credential, now=now, body=body, nonce=b64url_encode(nonce))
        return afresh(bare.with_headers(fields))


def unsigned(target: str, body: bytes = b"") -> SignedRequest:
    """A request before it is signed."""
    return SignedRequest("POST" if body else "GET", "https", "api.example", target, POST_FIELDS if body else GET_FIELDS)


def afresh(request: SignedRequest) -> SignedRequest:
    """The same request of new strings, as off the wire: none of them is hashed yet."""
    headers = tuple((name, value.encode().decode()) for name, value in request.headers)
    return SignedRequest(request.method, request.scheme, request.authority, request.target, headers)


def raw_signature(request: SignedRequest) -> bytes:
    """The 64 bytes of a request's signature."""
    return b64decode(request.values("signature")[0].partition("=")[2].strip(":"))


def verifier(issuers: Sequence[Issuer], now: float | None = None, **more: Any) -> Verifier:
    """A verifier at `API` that trusts these issuers and has their documents to fetch; its time stands still."""
    moment = time.time() if now is None else now
    discovery = Discovery(Published(*issuers), clock=lambda: moment)  # type: ignore[arg-type]
    trust = Trust(person_servers=frozenset(issuer.iss for issuer in issuers))
    return Verifier(API, discovery=discovery, trust=trust, clock=lambda: moment, **more)
