"""A verifier in a crowd: issuers that rotate their keys, fail and lie, and strangers without end, in one process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aauthkit.discovery import Discovery
from aauthkit.egress import Egress, EgressError
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import SignatureFailure, WireError
from aauthkit.protocol.tokens import AUTH_TYP
from aauthkit.replay import ReplayCache
from aauthkit.serving import Request
from aauthkit.trust import ANY, Trust
from aauthkit.verification import Accepts, Verified, Verifier
from tests.plugins.signing import NOW, Issuer, Signer, new_key

API = "https://api.example"
ACCEPTS = Accepts(("jwt",), frozenset({AUTH_TYP}))


@dataclass
class Publisher(Issuer):
    """A person server: `keys` are published, `key` signs. `trouble` takes the place of its answers."""

    keys: list[SigningKey] = field(default_factory=list)
    trouble: Callable[[], Answer] | None = None
    fetched: int = 0

    def __post_init__(self) -> None:
        self.keys = self.keys or [self.key]

    def rotate(self, *, keep: bool) -> None:
        """Sign with another key from now on; `keep`: the one before stays published."""
        self.key = new_key()
        self.keys = [*(self.keys if keep else []), self.key]

    def document(self, url: str) -> Answer:
        self.fetched += 1
        if self.trouble is not None:
            return self.trouble()
        jwks_uri = f"{self.iss}/jwks.json"
        metadata = {
            "issuer": self.iss,
            "jwks_uri": jwks_uri,
            "person_token_endpoint": f"{self.iss}/person",
            "auth_token_endpoint": f"{self.iss}/token",
        }
        document: dict[str, Any] = {"keys": [key.public.jwk for key in self.keys]} if url == jwks_uri else metadata
        return Answer(200, (("content-type", "application/json"),), json.dumps(document).encode())


def unreachable() -> Answer:
    raise EgressError("no connection", "unreachable")


class Wire:
    """An `Http` between a verifier and these issuers; nothing comes through before `gate` is open."""

    egress = Egress()

    def __init__(self, *publishers: Publisher) -> None:
        self.publishers = {publisher.iss: publisher for publisher in publishers}
        self.gate = asyncio.Event()

    async def send(self, _method: str, url: str, *_: Any, **__: Any) -> Answer:
        await self.gate.wait()
        host = url.removeprefix("https://").partition("/")[0]
        await asyncio.sleep(0)
        publisher = self.publishers.get(f"https://{host}")
        return publisher.document(url) if publisher is not None else unreachable()


class Door:
    """A verifier at `API` with a clock of its own, and the revocations that arrived."""

    def __init__(self, wire: Wire, **knobs: Any) -> None:
        self.now = float(NOW)
        self.revoked: set[tuple[str, str]] = set()
        self.discovery = Discovery(wire, clock=lambda: self.now, jitter=lambda: 0.5)  # type: ignore[arg-type]
        self.replay = ReplayCache()
        self.verifier = Verifier(
            API,
            discovery=self.discovery,
            trust=knobs.pop("trust", Trust(person_servers=ANY)),
            is_revoked=lambda iss, jti: (iss, jti) in self.revoked,
            replay=self.replay,
            clock=lambda: self.now,
            **knobs,
        )

    def revoke(self, iss: str, jti: str) -> None:
        self.revoked.add((iss, jti))
        self.verifier.forget(iss, jti)

    async def verdict(self, request: Request) -> tuple[str, Verified | None]:
        """`accepted` or the error's code, and who was accepted."""
        try:
            return "accepted", await self.verifier.verify(request.as_signed(API), ACCEPTS)
        except SignatureFailure as failure:
            return failure.code, None
        except WireError as error:
            return error.code, None


def strangers(number: int, now: int) -> Iterator[Request]:
    """Requests under tokens of issuers that nobody knows, each another one."""
    key, forger = new_key(), new_key()
    for each in range(number):
        issuer = Issuer(f"https://s{each}.invented.example", forger)
        token = issuer.auth_token(key.public, API, "orders.read", now=now)
        yield Signer.token(key, token).sign("GET", f"{API}/orders", now=now)


def invented_kids(issuer: Issuer, number: int, now: int) -> Iterator[Request]:
    """Requests under tokens in a known issuer's name, each signed by a key that it never had."""
    key = new_key()
    for _ in range(number):
        token = Issuer(issuer.iss, new_key()).auth_token(key.public, API, "orders.read", now=now)
        yield Signer.token(key, token).sign("GET", f"{API}/orders", now=now)


def fresh_tokens(issuer: Issuer, number: int, now: int) -> Iterator[Request]:
    """Good requests that change something, each under a token and a key of its own."""
    for _ in range(number):
        key = new_key()
        token = issuer.auth_token(key.public, API, "orders.read", now=now)
        yield Signer.token(key, token).sign("POST", f"{API}/orders", now=now)
